"""Model folders and training checkpoints, written atomically.

A model folder is `config.json` (plain data) beside `model.safetensors` (weights).
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lexiseg.core.devices import Precision
from lexiseg.core.errors import ModelError
from lexiseg.core.files import StagingFolder, read_json_object, real, replacing, writing
from lexiseg.core.messages import printable
from lexiseg.core.weights import find_weights, read_tensors, weight_complaint
from lexiseg.io.config_json import to_jsonable
from lexiseg.io.shipped import CONFIG_FILE, check_folder

WEIGHTS_FILE = "model.safetensors"
_STORED: Mapping[str, Precision] = {"F32": "float32", "BF16": "bf16", "F16": "fp16"}
"""Types as safetensors calls them."""


def save_folder(
    folder: str | Path,
    config: object,
    state_dict: Mapping[str, Tensor],
    *,
    dtype: torch.dtype | None = None,
    extra_files: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Writes a model folder; it appears complete or not at all.

    Args:
        folder: the folder to make; its parents are made too.
        config: nested dataclasses, or a dict of plain data.
        state_dict: the weights; any device, shared memory allowed.
        dtype: storage type of floating point weights, such as `torch.float16`; None keeps each as
            it is.
        extra_files: texts that are written beside them, by plain file name (a model card, a
            licence).
        overwrite: replaces an earlier model folder. A folder that holds anything else is never
            replaced.

    Returns:
        The folder.

    Raises:
        ModelError: if it is there already, can't be written, or the weights don't fit `dtype`.
    """
    target = real(Path(folder))  # also for '.', which has no name to rename
    texts = dict(extra_files or {})
    for name in texts:
        if name != Path(name).name or name in ("", ".", "..", CONFIG_FILE, WEIGHTS_FILE):
            raise ModelError(f"an extra file must have a plain name of its own, got {name!r}.")
    texts[CONFIG_FILE] = json.dumps(to_jsonable(config), indent=2, ensure_ascii=False) + "\n"
    tensors = {name: _stored(name, tensor, dtype) for name, tensor in state_dict.items()}
    with writing(target, ModelError, SafetensorError):
        check_replaceable(target, overwrite=overwrite)
        with StagingFolder(target.parent) as staging:
            fresh = staging.path / target.name
            fresh.mkdir()
            for name, text in texts.items():
                (fresh / name).write_text(text, encoding="utf-8")
            save_file(tensors, fresh / WEIGHTS_FILE, metadata={"format": "pt"})
            # safetensors makes files that only their owner can read; the weights get the mode of the config
            (fresh / WEIGHTS_FILE).chmod((fresh / CONFIG_FILE).stat().st_mode)
            staging.publish(target.name)
    return target


def load_folder(folder: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Reads a model folder.

    Returns:
        The configuration as plain data, for `from_jsonable`; and the weights on the CPU, floating
        point as float32.

    Raises:
        ModelError: if the folder, its configuration or its weights are missing or damaged.
    """
    folder = Path(folder)
    check_folder(folder)
    if (weights := find_weights(folder)) is None:
        raise ModelError(f"the model folder {printable(folder)} has no {WEIGHTS_FILE}; copy the whole folder again.")
    document = read_json_object(folder / CONFIG_FILE, ModelError)
    try:
        stored = read_tensors(weights)
    except ValueError as error:
        raise ModelError(str(error)) from error
    return document, {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in stored.items()}


def stored_precision(folder: Path) -> Precision | None:
    """What a model folder's weights are stored in; None if they are in shards, a pickle, or of several types."""
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        return None
    with safe_open(weights, "pt") as file:
        names = {str(file.get_slice(key).get_dtype()) for key in file.keys()}  # noqa: SIM118
    floats = {name for name in names if "F" in name}
    return _STORED.get(next(iter(floats))) if len(floats) == 1 else None


def load_into(module: nn.Module, state_dict: Mapping[str, Tensor], source: str | Path) -> None:
    """Loads weights into a module; every name and every shape must agree, or nothing is changed.

    Args:
        module: changed in place.
        state_dict: the weights.
        source: where they come from, for messages.

    Raises:
        ModelError: naming the first few names that are missing, unknown, of another shape, whole numbers or not finite.
    """
    check_fit(module, state_dict, source)
    module.load_state_dict(dict(state_dict))


def check_fit(module: nn.Module, state_dict: Mapping[str, Tensor], source: str | Path) -> None:
    """Checks that every name, shape and type agrees, and that all numbers are finite; the module may be on "meta".

    Raises:
        ModelError: as `load_into` does.
    """
    if complaint := weight_complaint(state_dict, module.state_dict()):
        raise ModelError(
            f"the weights in {printable(source)} don't fit the model: the file {complaint}; "
            f"use the {CONFIG_FILE} that was saved with them."
        )


def weights_hash(state_dict: Mapping[str, Tensor]) -> str:
    """Sixteen hexadecimal digits of a SHA-256 over names, types, shapes and values, in any order."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state_dict.items()):
        digest.update(f"{name}|{tensor.dtype}|{list(tensor.shape)}|".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()[:16]


def atomic_save(obj: object, path: str | Path) -> Path:
    """Writes a training checkpoint atomically, with `torch.save` and a checksum.

    Args:
        obj: tensors, numbers, texts, and dicts and lists of them: what `load_training` can read.
        path: the file; its folder is made.

    Raises:
        ModelError: if it can't be written.
    """
    target = real(Path(path))
    with (
        writing(target, ModelError, RuntimeError),  # torch's own word for a full disk
        replacing(target, ModelError, is_durable=True) as hidden,
        hidden.open("wb") as file,
    ):
        torch.save({"checksum": _checksum(obj), "content": obj}, file)
    return target


def load_training(path: str | Path) -> Any:
    """Reads a training checkpoint on the CPU, without running any code that a pickle may hold.

    Raises:
        ModelError: if it is missing, damaged in any bit, or holds more than plain data.
    """
    path = Path(path)
    name = printable(path)
    if not path.is_file():
        raise ModelError(f"there is no training checkpoint {name}; start without resuming.")
    damaged = ModelError(
        f"the training checkpoint {name} is damaged or was not written by lexiseg; "
        "resume from another one or start anew."
    )
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpicklers of untrusted bytes raise almost anything
        raise damaged from error
    if not isinstance(saved, dict) or saved.keys() != {"checksum", "content"}:
        return saved  # written before there were checksums
    if saved["checksum"] != _checksum(saved["content"]):
        raise damaged
    return saved["content"]


def _checksum(content: Any) -> str:
    """SHA-256 over every name, number, text and tensor of a tree of plain data, in their order."""
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, Tensor):
            digest.update(f"{value.dtype}{list(value.shape)}".encode())
            digest.update(_bytes(value))
        elif isinstance(value, Mapping):
            for key, part in value.items():
                digest.update(f"{key!r}:".encode())
                add(part)
        elif isinstance(value, list | tuple):
            digest.update(f"{len(value)}[".encode())
            for part in value:
                add(part)
        else:
            digest.update(f"{value!r};".encode())

    add(content)
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    """The values of a tensor in memory order."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def _stored(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """A copy for the disk: safetensors takes neither shared nor strided memory."""
    tensor = tensor.detach().cpu()
    cast = tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor
    if cast.dtype != tensor.dtype and bool((cast.isfinite() != tensor.isfinite()).any()):
        raise ModelError(f"{name} holds values too large for {cast.dtype}; store it as float32.")
    return cast.clone(memory_format=torch.contiguous_format)


def check_replaceable(target: Path, *, overwrite: bool) -> None:
    """Raises ModelError if a model folder may not be written there."""
    if not target.exists():
        return
    if not target.is_dir():
        raise ModelError(f"{printable(target)} is a file; name a folder for the model.")
    if not any(target.iterdir()):
        return
    if not overwrite:
        raise ModelError(f"{printable(target)} is not empty; name another folder, or overwrite it.")
    if not (target / CONFIG_FILE).is_file():
        raise ModelError(
            f"{printable(target)} holds something other than a model, so it is not overwritten; name another folder."
        )

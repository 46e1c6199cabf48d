"""Reading weights in every layout; checking them against a network, and loading them into a part of one."""

import zipfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lexiseg.core.files import find_weights, kind_of_text, shard_of_each
from lexiseg.core.messages import few, printable


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Reads the tensors of a checkpoint on the CPU, without running code from a pickle.

    The state dict may be under "state_dict" or "model", and its keys may start with "module."; entries that are no
    tensors are left out.

    Args:
        path: a .safetensors; a pickle, which is opened with weights_only; an .index.json of shards; or a folder with
            one of `WEIGHT_FILES`.

    Raises:
        ValueError: if there is no such file, it or a shard cannot be read safely, or it holds no tensors by name.
    """
    if path.is_dir():
        if (found := find_weights(path)) is None:
            raise ValueError(
                f"{printable(path)} has no model.safetensors or pytorch_model.bin, whole or in shards: copy the whole "
                "folder again."
            )
        path = found
    if path.name.endswith(".index.json"):
        return _read_shards(path)
    name = printable(path)
    if not path.is_file():
        raise ValueError(f"there are no weights at {name}: give a .pt, .pth or .safetensors file.")
    _check_is_no_text(path)
    if is_torchscript(path):
        raise ValueError(
            f"{name} is a TorchScript archive, which holds a program beside the weights: save the state dict of "
            "torch.jit.load(...) to a file of its own, and give that."
        )
    try:
        _check_is_as_large_as_it_says(path)
        content: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # whatever a hostile or broken file raises
        raise ValueError(
            f"cannot read weights from {name}: the file is damaged or cut off, or holds more than tensors, so it is "
            "not opened; copy or download it again, or save its state dict."
        ) from error
    if isinstance(content, Mapping):
        nested = (content[key] for key in ("state_dict", "model") if isinstance(content.get(key), Mapping))
        content = next(nested, content)
    if not isinstance(content, Mapping) or (content and not any(isinstance(v, Tensor) for v in content.values())):
        raise ValueError(f"{name} holds no tensors by name: give a model's state dict.")
    found = {str(key).removeprefix("module."): value for key, value in content.items() if isinstance(value, Tensor)}
    if strange := [key for key, value in found.items() if not _is_plain(value)]:
        raise ValueError(f"{name} is damaged: {few(strange)} has fewer numbers than it says; download it again.")
    return found


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor has a number in memory for each that it says; a few may say that they are billions."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _check_is_as_large_as_it_says(path: Path) -> None:
    """Refuses an archive whose content is compressed, which torch.save never does: a small one may fill the memory."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
                raise ValueError("the archive is compressed")


def _read_shards(index: Path) -> dict[str, Tensor]:
    """The tensors of all shards that an index lists."""
    places = shard_of_each(index)
    files = sorted(set(places.values()))
    found = {name: tensor for file in files for name, tensor in read_tensors(index.parent / file).items()}
    if lost := [name for name in places if name.removeprefix("module.") not in found]:
        raise ValueError(f"the shards beside {printable(index)} lack {few(lost)}: download or copy them again.")
    return found


def _check_is_no_text(path: Path) -> None:
    """Refuses what a download brings in the place of weights."""
    what = kind_of_text(path)
    if what == "a Git-LFS pointer":
        raise ValueError(
            f"{printable(path)} is {what}, not the weights: fetch them with 'git lfs pull' in its folder, or download "
            "the file itself."
        )
    if what:
        raise ValueError(
            f"{printable(path)} is {what}, not weights: the download asked for a login or a confirmation; delete it, "
            "and download the file in a browser."
        )


def is_torchscript(path: Path) -> bool:
    """Whether a file is an archive of `torch.jit.save`, as OpenAI's CLIPs are, which torch.load takes for its own."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def _never(_: str) -> bool:
    return False


def weight_complaint(
    found: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    *,
    is_optional: Callable[[str], object] = _never,
    is_ignored: Callable[[str], object] = _never,
) -> str:
    """Says why weights don't fit, such as "lacks a and holds the unknown b, c"; empty if they do.

    Args:
        found: the weights by name.
        expected: tensors of the right shapes by name; the meta device suffices.
        is_optional: whether a name may be missing.
        is_ignored: whether an unexpected name is allowed.
    """
    complaints = {
        "lacks": [name for name in expected if name not in found and not is_optional(name)],
        "holds the unknown": [name for name in found if name not in expected and not is_ignored(name)],
        "has another shape in": [
            f"{name} {list(found[name].shape)} instead of {list(tensor.shape)}"
            for name, tensor in expected.items()
            if name in found and found[name].shape != tensor.shape
        ],
        "has whole numbers in": [
            name
            for name, tensor in expected.items()
            if name in found and tensor.is_floating_point() and not found[name].is_floating_point()
        ],
        "has NaN or infinity in": [
            name
            for name, tensor in found.items()
            if name in expected and tensor.is_floating_point() and not bool(tensor.isfinite().all())
        ],
    }
    return ", and ".join(f"{verb} {few(names)}" for verb, names in complaints.items() if names)


class _WithoutFirstValues(TorchFunctionMode):
    """Passes over what writes to a parameter in place: random first values that weights will replace."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name.endswith("_") and not name.startswith("_") and name != "requires_grad_":
            written = args[0] if args else (kwargs or {}).get("tensor")
            if isinstance(written, nn.Parameter):
                return written
        return func(*args, **(kwargs or {}))


@contextmanager
def without_first_values() -> Generator[None, None, None]:
    """Modules that are built in the block have parameters without values, which take neither time nor memory.

    Buffers have theirs. Give the parameters values with `load_state_dict(weights, assign=True)`.
    """
    with _WithoutFirstValues():
        yield


def load_part(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Loads weights by name into a module; what has no weights among them stays as it is.

    Raises:
        RuntimeError: if the module lacks one of the names, or has another shape there.
    """
    module.load_state_dict({**module.state_dict(), **weights})

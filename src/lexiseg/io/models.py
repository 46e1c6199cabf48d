"""Saving and loading models: a folder with config.json and model.safetensors."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lexiseg.core.errors import ModelError
from lexiseg.core.files import read_json_object, real
from lexiseg.core.frames import LARGEST_SIDE
from lexiseg.core.messages import printable
from lexiseg.core.random import fork_random
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.core.weights import without_first_values
from lexiseg.io.checkpoint import check_fit, load_folder, save_folder, weights_hash
from lexiseg.io.config_json import from_jsonable
from lexiseg.io.folder_format import FolderConfig, document_of, parse_config, read_config
from lexiseg.io.model_card import CARD_FILE, model_card
from lexiseg.io.shipped import CONFIG_FILE
from lexiseg.io.sources import parts_of, read_sources
from lexiseg.models.base import ModelConfig, OpenVocabularySegmenter
from lexiseg.models.fcclip import FCCLIP, FCCLIPConfig
from lexiseg.models.opsnet import OPSNet, OPSNetConfig
from lexiseg.models.ovseg import OVSeg, OVSegConfig

_SIDES = ("longest_side", "shortest_side", "image_size")
MODELS: Mapping[str, tuple[type[Any], type[OpenVocabularySegmenter]]] = {
    "opsnet": (OPSNetConfig, OPSNet),
    "ovseg": (OVSegConfig, OVSeg),
    "fcclip": (FCCLIPConfig, FCCLIP),
}
"""All models: the name in config.json, the configuration type and the model type."""


def save_model(
    model: OpenVocabularySegmenter,
    folder: str | Path,
    *,
    dtype: torch.dtype | None = None,
    extra_files: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Writes a whole model folder that `load_model` reads, atomically, with a model card.

    Args:
        model: the model, on any device.
        folder: the folder to make.
        dtype: storage type of the weights, such as `torch.float16`; None keeps them as they are.
        extra_files: texts beside them, by file name, such as another model card (README.md).
        overwrite: replaces an earlier model folder.

    Returns:
        The folder.

    Raises:
        ModelError: if it can't be written.
    """
    document = document_of(_system_name(model), model.config, model.provenance)
    texts = dict(extra_files or {})
    if CARD_FILE not in texts:
        texts[CARD_FILE] = card_of(model, real(Path(folder)).name, dtype)
    return save_folder(folder, document, model.state_dict(), dtype=dtype, extra_files=texts, overwrite=overwrite)


def _system_name(model: OpenVocabularySegmenter) -> str:
    return next(name for name, (_, kind) in MODELS.items() if type(model) is kind)


def card_of(model: OpenVocabularySegmenter, name: str, dtype: torch.dtype | None = None) -> str:
    """The model card of a model whose weights are stored in a type, by the name that loads it."""
    figures = model.provenance.figures
    weights = None
    if figures:  # they may be of what was in memory, while what is stored is rounded
        state = model.state_dict().items()
        weights = weights_hash({k: v.to(dtype).float() if v.is_floating_point() else v for k, v in state})
    system = _system_name(model)
    return model_card(
        model.config,
        model.provenance,
        name=name,
        about=(sys.modules[type(model).__module__].__doc__ or system).partition("\n")[0],
        system=system,
        is_measured=all(figure.weights == weights for figure in figures),
    )


def load_model(folder: str | Path) -> OpenVocabularySegmenter:
    """Reads a model folder; the model is on the CPU, in float32 and in eval mode.

    Raises:
        ModelError: if the folder is missing, incomplete or damaged, or weights and config disagree.
    """
    document, weights = load_folder(folder)
    found = parse_config(document, f"{CONFIG_FILE} in {printable(folder)}")
    kind, config = _model_of(found)
    if found.sources is not None:
        weights |= read_sources(parts_of(found.sources, found.place), config, found.place)
    _check_sizes(found.config, len(weights), source=found.place)
    try:
        with torch.device("meta"):  # sizes are held against the weights before memory is taken for them
            check_fit(kind(config), weights, folder)
        with fork_random(), without_first_values():
            model: OpenVocabularySegmenter = kind(config)
    except ModelError:
        raise
    except (ValueError, TypeError, RuntimeError, ArithmeticError, AssertionError, MemoryError) as error:
        raise ModelError(
            f"{found.place} describes no model that can be built "
            f"({' '.join(str(error).split())[:200] or type(error).__name__}); copy the folder again."
        ) from error
    model.load_state_dict(weights, assign=True)
    model.provenance = found.provenance
    return model.eval()


def _check_sizes(document: Mapping[str, Any], most: int, source: str) -> None:
    """Refuses sides that no picture has, and more layers than there are weights, which would take for ever to build."""
    for key, value in document.items():
        if isinstance(value, Mapping):
            _check_sizes(value, most, source)
        elif key in _SIDES and isinstance(value, int) and not 1 <= value <= LARGEST_SIDE:
            raise ModelError(f"{source}: {key} must lie between 1 and {LARGEST_SIDE} pixels, got {value}.")
        elif key.endswith(("layers", "depth", "depths")):
            numbers = [number for number in (value if isinstance(value, list) else [value]) if isinstance(number, int)]
            if sum(numbers) > most:
                raise ModelError(f"{source}: {key} is {value}, but there are only {most} weights; copy both again.")


def system_of(folder: str | Path) -> str | None:
    """The name of a folder's model in `MODELS`, from its config.json only; None if it is no model folder.

    Raises:
        ModelError: if a later lexiseg wrote it.
    """
    try:
        document = read_json_object(Path(folder) / CONFIG_FILE)
    except ValueError:
        return None
    if "training_vocabulary" not in document:
        return None
    return str(parse_config(document, f"{CONFIG_FILE} in {printable(folder)}").system)


def training_vocabulary(folder: Path) -> Vocabulary | None:
    """What a model was trained with, from its config.json only; None if that does not say."""
    found = read_config(folder)
    listed = found.config.get("training_vocabulary")
    return None if listed is None else from_jsonable(Vocabulary, listed, source=found.place)


def config_of_folder(folder: Path) -> ModelConfig:
    """A model's configuration, from its config.json only.

    Raises:
        ModelError: if it is missing or damaged.
    """
    return _model_of(read_config(folder))[1]


def _model_of(found: FolderConfig) -> tuple[Any, ModelConfig]:
    """The kind of model of a folder, and its configuration."""
    fields = found.config
    if "text_width" in fields and "training_vocabulary" not in fields:
        raise ModelError(
            f"{found.place} is that of a CLIP alone; give the folder of a whole model, or pass it as --clip."
        )
    if found.system not in MODELS:
        raise ModelError(f"{found.place}: system must be one of {', '.join(MODELS)}, got {found.system!r}.")
    config_type, kind = MODELS[found.system]
    return kind, from_jsonable(config_type, fields, source=found.place)

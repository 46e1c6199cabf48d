"""Published CLIPs: where an open_clip name and tag lie, and reading one from a file or a snapshot folder."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import open_clip
import torch
from open_clip.pretrained import get_pretrained_cfg
from torch import Tensor

from lexiseg.core.files import CLIP_CONFIG, CLIP_WEIGHTS, read_json_object
from lexiseg.core.messages import few, printable, shown
from lexiseg.core.weights import find_weights, weight_complaint
from lexiseg.encoders import colours
from lexiseg.encoders.clip.base import SIZES_BESIDE_WEIGHTS
from lexiseg.encoders.clip.convnext import ConvNextConfig
from lexiseg.encoders.clip.families import (
    AnyClipConfig,
    build_clip,
    config_of_weights,
    described_config,
    named_config,
    sizes_of_weights,
)
from lexiseg.encoders.clip.resnet import ClipConfig
from lexiseg.encoders.clip.siglip import SiglipConfig, read_tokenizer
from lexiseg.encoders.clip.torchscript import read_stored
from lexiseg.encoders.clip.vit import VitConfig

DEFAULT_MODEL = "RN50"
DEFAULT_TAG = "openai"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
_QUICK = "-quickgelu"
_SCALARS = ("logit_scale", "logit_bias")  # some state dicts hold them as vectors of one
_MASK = "attn_mask"
"""The causal mask, which follows from the context length; some state dicts hold it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRepository:
    """Where the weights of one of open_clip's names and tags lie: on the Hugging Face hub, or at an address."""

    model: str
    """open_clip's name of the architecture."""
    tag: str
    """open_clip's name of the training."""
    repository: str | None
    """On the hub; None if they lie at `address` alone."""
    weights: tuple[str, ...]
    """Names that the file of weights may have there: the first that is there is meant."""
    beside: tuple[str, ...]
    """Further files that are read where they are there: the sizes, and a tokenizer of its own."""
    address: str | None
    """A URL outside the hub; None if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedClip:
    """A CLIP as it was read."""

    config: AnyClipConfig
    state: Mapping[str, Tensor]
    """float32, by the names of `build_clip(config)`."""
    source: Path
    """The file of the weights."""
    note: str
    """What a user should know, such as which evidence decided about QuickGELU; empty if there is nothing."""


def clip_repository(model: str = DEFAULT_MODEL, tag: str | None = None) -> ClipRepository:
    """Where one of open_clip's names and tags lies, from open_clip's own table; nothing is fetched.

    Args:
        model: such as "RN50"; with or without "-quickgelu", as the tag tells the activation.
        tag: such as "openai"; by default that, or the only one there is.

    Raises:
        ValueError: if open_clip does not know the name or the tag, or the model is of a family that is not built here.
    """
    name = model.replace("/", "-")
    if named_config(name) is None:
        raise ValueError(f"open_clip knows no model {shown(model)}{_near(name, open_clip.list_models())}.")
    tags = open_clip.list_pretrained_tags_by_model(name) or open_clip.list_pretrained_tags_by_model(
        name.removesuffix(_QUICK)
    )
    if not tags:
        raise ValueError(f"open_clip publishes no weights of {shown(model)}: give a file of your own with it.")
    if tag is None:
        if DEFAULT_TAG not in tags and len(tags) > 1:
            raise ValueError(f"there are several trainings of {shown(model)}: choose one of {', '.join(tags)}.")
        tag = DEFAULT_TAG if DEFAULT_TAG in tags else tags[0]
    row = _row(name, tag)
    if not row:
        raise ValueError(f"open_clip publishes no weights {shown(tag)} of {shown(model)}{_near(tag, tags)}.")
    place = PurePosixPath(row.get("hf_hub") or "")
    is_file = bool(place.suffix in (".bin", ".pt", ".safetensors") and len(place.parts) > 2)
    return ClipRepository(
        model=name,
        tag=_cleaned(tag),
        repository="/".join(place.parts[:2]) or None,
        weights=(place.name,) if is_file else CLIP_WEIGHTS,
        beside=(CLIP_CONFIG, *TOKENIZER_FILES),
        address=row.get("url") or None,
    )


def _cleaned(tag: str) -> str:
    return tag.lower().replace("-", "_")


def _row(model: str, tag: str) -> dict[str, Any]:
    """What open_clip's table says about a name and tag; empty if it has none."""
    name, tag = model.replace("/", "-"), _cleaned(tag)
    return get_pretrained_cfg(name, tag) or get_pretrained_cfg(name.removesuffix(_QUICK), tag)


def _near(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    return f"; near names: {', '.join(near)}" if near else f"; it has {few(known)}"


def read_clip(path: Path, *, model: str | AnyClipConfig | None = None, tag: str | None = None) -> PublishedClip:
    """Reads a published CLIP, without running anything that lies in it.

    The sizes are those of the name or configuration that is given, else of the folder's open_clip_config.json, else
    they follow from the weights. Whether they were trained with QuickGELU is decided by the first of these that says
    anything: OpenAI's marks in the weights, open_clip's table for the tag, open_clip_config.json, open_clip's table for
    the name of the file, and the name or configuration that is given.

    Args:
        path: a state dict (.safetensors, or a pickle, opened with weights_only), a TorchScript archive, an .index.json
            of shards, or a folder as it lies on the Hugging Face hub.
        model: open_clip's name of the architecture, or its sizes.
        tag: open_clip's name of the training.

    Raises:
        ValueError: if there is no such file, it can't be read safely, its family is not built here, or the weights are
            not those of the sizes.
    """
    file = _weights_in(path)
    return clip_of(read_stored(file), file, model=model, tag=tag)


def clip_of(
    stored: Mapping[str, Tensor], file: Path, *, model: str | AnyClipConfig | None = None, tag: str | None = None
) -> PublishedClip:
    """`read_clip` of weights that were read already, such as those inside another model's checkpoint.

    Args:
        stored: under open_clip's names.
        file: where they lie.
        model: see `read_clip`.
        tag: likewise.

    Raises:
        ValueError: see `read_clip`.
    """
    state = _plain(stored)
    document, preparation = _documents(file)
    described = None if model is None else _given(model)
    if described is None and document is not None:
        described = described_config(document, printable(file.with_name(CLIP_CONFIG)))
    config = _fitting(state, described, file, model)
    row = _row(model, tag) if isinstance(model, str) and tag is not None else {}
    config = _with_colours(config, row or preparation, file)
    note = ""
    if isinstance(config, SiglipConfig):
        tokenizer = read_tokenizer(file.parent, config.context_length, config.vocabulary_size)
        config, state = replace(config, tokenizer_size=len(tokenizer)), state | {"tokenizer": tokenizer}
    else:
        config, note = _with_activation(config, stored, file, model, f"{model} {tag}" if row else "", row, document)
    return PublishedClip(config=config, state=_checked(config, state, file), source=file, note=note)


def _weights_in(path: Path) -> Path:
    """The file of the weights: the path itself, or what lies in the folder."""
    if not path.is_dir():
        return path
    names = [f"{name}{ending}" for name in CLIP_WEIGHTS for ending in ("", ".index.json")]
    found = next((path / name for name in names if (path / name).is_file()), None) or find_weights(path)
    if found is None:
        raise ValueError(
            f"{printable(path)} holds no {' or '.join(CLIP_WEIGHTS)}: give a folder or file of open_clip's weights."
        )
    return found


def _plain(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights alone, a separate text tower's under the names that a CLIP's own has."""
    names = {name: name.removeprefix("text.") for name in stored}
    if "text.positional_embedding" not in stored or "visual.trunk.attn_pool.latent" in stored:
        names = {name: name for name in stored}
    return {
        names[name]: value
        for name, value in stored.items()
        if name not in SIZES_BESIDE_WEIGHTS and name.rpartition(".")[2] != _MASK
    }


def _documents(file: Path) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """What open_clip_config.json beside weights says of the model, None if it is not theirs; and of its pictures."""
    path = file.with_name(CLIP_CONFIG)
    if not path.is_file() or not file.name.startswith(CLIP_WEIGHTS):
        return None, {}
    whole = read_json_object(path, ValueError)
    found, preparation = whole.get("model_cfg"), whole.get("preprocess_cfg") or {}
    if not isinstance(found, dict) or not isinstance(preparation, dict):
        raise ValueError(f'{printable(path)} does not describe a model: expected "model_cfg".')
    return found, preparation


def _with_colours(config: AnyClipConfig, said: Mapping[str, Any], file: Path) -> AnyClipConfig:
    """The colour scale that the weights were trained with, where anything says so."""
    asked = [tuple(said.get(name) or getattr(config.colours, name)) for name in ("mean", "std")]
    if asked == [config.colours.mean, config.colours.std]:
        return config
    if isinstance(config, VitConfig) and asked == [colours.HALF.mean, colours.HALF.std]:
        return replace(config, colour_scale="half")
    if isinstance(config, VitConfig) and asked == [colours.CLIP.mean, colours.CLIP.std]:
        return replace(config, colour_scale="clip")
    raise ValueError(
        f"{printable(file)} was trained on colours of mean {shown(asked[0])} and deviation {shown(asked[1])}, with "
        "which no model of its kind is read: choose another."
    )


def _given(model: str | AnyClipConfig) -> AnyClipConfig:
    if not isinstance(model, str):
        return model
    if (named := named_config(model.replace("/", "-"))) is None:
        raise ValueError(f"open_clip knows no model {shown(model)}{_near(model, open_clip.list_models())}.")
    return named


def _fitting(
    state: Mapping[str, Tensor], described: AnyClipConfig | None, file: Path, model: str | AnyClipConfig | None
) -> AnyClipConfig:
    """The sizes, which the shapes of the weights must agree with: nothing larger than the file is ever built."""
    try:
        if described is None:
            return config_of_weights(state)
        kind, sizes = sizes_of_weights(state)
    except ValueError as error:
        raise ValueError(f"{printable(file)} {str(error).rstrip('.')}.") from error
    wanted = f"{model}" if isinstance(model, str) else "the given sizes" if model else CLIP_CONFIG
    if not isinstance(described, kind):
        raise ValueError(
            f"the CLIP weights in {printable(file)} don't fit {wanted}: the file holds another kind of image tower; "
            "name the architecture that they belong to."
        )
    own = {name: getattr(described, name) for name in sizes}
    for name, width in (("mlp_ratio", "width"), ("text_mlp_ratio", "text_width")):
        if name in sizes and int(sizes[name] * sizes[width]) == int(own[name] * sizes[width]):  # named in few digits
            own[name] = sizes[name]
    if wrong := [f"{name} {sizes[name]} instead of {own[name]}" for name in sizes if own[name] != sizes[name]]:
        raise ValueError(
            f"the CLIP weights in {printable(file)} don't fit {wanted}: the file has {few(wrong)}; name the "
            "architecture that they belong to."
        )
    return described


def _with_activation(
    config: ClipConfig | VitConfig | ConvNextConfig,
    stored: Mapping[str, Tensor],
    file: Path,
    model: str | AnyClipConfig | None,
    listed_as: str,
    row: Mapping[str, Any],
    document: Mapping[str, Any] | None,
) -> tuple[AnyClipConfig, str]:
    """Decides about QuickGELU by the strongest evidence; and what to tell where a weaker one says otherwise."""
    evidence: list[tuple[bool, str]] = []
    if not SIZES_BESIDE_WEIGHTS.isdisjoint(stored):
        evidence.append((True, f"{printable(file)} bears OpenAI's marks, and OpenAI trained with QuickGELU"))
    if row:
        quick = bool(row.get("quick_gelu", False))
        evidence.append((quick, f"open_clip's table has {listed_as} {_with(quick)} QuickGELU"))
    if document is not None:
        quick = bool(document.get("quick_gelu", False))
        evidence.append((quick, f"{CLIP_CONFIG} beside it says that it was trained {_with(quick)} QuickGELU"))
    listed = {bool(row.get("quick_gelu", False)) for row in _rows_of_file(file.name)}
    if len(listed) == 1:
        (quick,) = listed
        evidence.append((quick, f"open_clip's table has a file {printable(file.name)} {_with(quick)} QuickGELU"))
    asked = None if model is None or row else config.quick_gelu
    if not evidence:
        if asked is not None:
            return config, ""
        return replace(config, quick_gelu=False), (
            f"Note: nothing says whether {printable(file)} was trained with QuickGELU; it is computed without: if it "
            f"was, name the model, with {_QUICK} at the end."
        )
    (decided, reason), *others = evidence
    said = [text for quick, text in others if quick != decided]
    if asked is not None and asked != decided:
        said.append(f"{model if isinstance(model, str) else 'the given sizes'} would be {_with(asked)} it")
    note = f"Note: {reason}: it is computed {_with(decided)} it, although {few(said)}." if said else ""
    return replace(config, quick_gelu=decided), note


def _with(quick: bool) -> str:
    return "with" if quick else "without"


def _rows_of_file(name: str) -> list[dict[str, Any]]:
    """The rows of open_clip's table whose address ends in this file's name."""
    rows = [get_pretrained_cfg(model, tag) for model, tag in open_clip.list_pretrained() if not model.endswith(_QUICK)]
    return [row for row in rows if row.get("url") and PurePosixPath(urlsplit(row["url"]).path).name == name]


def _checked(config: AnyClipConfig, state: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
    """The weights in float32 by the names of the module, all of them and no others."""
    with torch.device("meta"):
        own = build_clip(config).state_dict()
    bare = {name.removeprefix("clip."): value for name, value in own.items()}  # in the words of the file
    scalars = {name: value.reshape(()) for name, value in state.items() if name in _SCALARS and value.numel() == 1}
    state = {**state, **scalars}
    if complaint := weight_complaint(state, bare, is_optional=lambda name: name.endswith("num_batches_tracked")):
        raise ValueError(
            f"the CLIP weights in {printable(file)} don't fit their sizes: the file {complaint}; download it again."
        )
    found = {
        name if name == "tokenizer" else f"clip.{name}": value.float() if value.is_floating_point() else value
        for name, value in state.items()
    }
    counters = {name: torch.zeros((), dtype=value.dtype) for name, value in own.items() if name not in found}
    return found | counters

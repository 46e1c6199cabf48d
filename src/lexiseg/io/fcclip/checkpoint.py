"""Importing official FC-CLIP checkpoints, with and without CLIP inside, and writing them back."""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from lexiseg.core.errors import ModelError
from lexiseg.core.files import write_atomically
from lexiseg.core.frames import Resizing
from lexiseg.core.messages import printable
from lexiseg.core.random import fork_random
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.core.weights import read_tensors, weight_complaint, without_first_values
from lexiseg.encoders.clip.convnext import ConvNextConfig
from lexiseg.encoders.clip.published import clip_of, read_clip
from lexiseg.encoders.clip.resnet import ClipConfig
from lexiseg.encoders.segmenters.official_names import (
    Renaming,
    decoder_sizes,
    in_current_names,
    pixel_decoder_rows,
    query_decoder_rows,
)
from lexiseg.io.fcclip.settings import Settings, clip_settings, vocabulary_settings, with_settings
from lexiseg.layers.ensemble import GeometricConfig
from lexiseg.layers.pixel_decoder import DecoderConfig
from lexiseg.models.fcclip import FCCLIP, FCCLIPConfig
from lexiseg.models.provenance import Provenance, Source

OFFICIAL_CLIP = "backbone.clip_model."
"""Prefix of CLIP's weights in a checkpoint that the training program wrote."""
_PREDICTOR = "sem_seg_head.predictor."
_VOID = "void_embedding.weight"
_CLASS_WEIGHTS = "criterion.empty_weight"
NAMES = Renaming(
    (
        *pixel_decoder_rows("segmenter.pixel_decoder."),
        *query_decoder_rows("segmenter.query_decoder."),
        *((f"head.project.{2 * n}.*", f"{_PREDICTOR}class_embed.layers.{n}.*") for n in range(3)),
        ("head.pool.#.*", f"{_PREDICTOR}_mask_pooling_proj.#.*"),
        ("head.logit_scale", f"{_PREDICTOR}logit_scale"),
        ("head.void_embed", _VOID),
        ("clip.clip.*", f"{OFFICIAL_CLIP}*"),
    )
)
_KNOWN_BUFFERS = re.compile(r"^criterion\.empty_weight$|^pixel_(mean|std)$|\.num_batches_tracked$|\.attn_mask$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A model with the weights of a checkpoint, and what is to be told of them."""

    model: FCCLIP
    """In eval mode, on the CPU, in float32."""
    num_weights: int
    """How many tensors of the checkpoint are weights of the model."""
    left_over: tuple[str, ...]
    """Keys of the checkpoint that are known buffers, or CLIP weights that another file gives whole."""
    notes: tuple[str, ...]


def import_fcclip(
    path: Path, *, clip: Path | None = None, settings: Settings | None = None, vocabulary: Vocabulary | None = None
) -> Imported:
    """Builds a model from an official checkpoint of FC-CLIP.

    Args:
        path: a .pth of detectron2 (opened with weights_only) or a .safetensors; float32 or half precision.
        clip: CLIP's weights, as `read_clip` reads them; needed where the checkpoint, as published, has none.
        settings: the official configuration; the published one if not given.
        vocabulary: what it was trained on; if not given, the list in the settings, or else COCO's 133 names.

    Raises:
        ModelError: if a file can't be read, is another model's, or contradicts the settings or the vocabulary.
    """
    name, settings = printable(path), settings or {}
    try:
        stored = in_current_names(read_tensors(path))
    except ValueError as error:
        raise ModelError(str(error)) from error
    inside = {key: value for key, value in stored.items() if key.startswith(OFFICIAL_CLIP)}
    own = {key: value for key, value in stored.items() if key not in inside}
    sizes, clip_state = _clip(inside, clip, path, clip_settings(settings))
    config = with_settings(config_of(own, sizes, source=name), settings)
    listed = vocabulary or vocabulary_settings(settings, "train")
    config = replace(config, training_vocabulary=listed or config.training_vocabulary)
    _check_vocabulary(config.training_vocabulary, own, name)
    with torch.device("meta"):
        expected = {key: value for key, value in FCCLIP(config).state_dict().items() if not key.startswith("clip.")}
    official = {key: value.reshape(_shape_there(key, value)) for key, value in NAMES.to_official(expected).items()}
    if complaint := weight_complaint(own, official, is_ignored=_KNOWN_BUFFERS.search):
        raise ModelError(f"{name} is not the FC-CLIP that its sizes promise: it {complaint}; download it again.")
    state = {key: value.float() for key, value in NAMES.from_official(own, expected).items()}
    with fork_random(), without_first_values():
        model = FCCLIP(config)
    model.load_state_dict(state | {f"clip.{key}": value for key, value in clip_state.items()}, assign=True)
    used = len(official) + (len(clip_state) if clip is None else 0)
    left_over = tuple(key for key in stored if key not in official and (clip is not None or key not in inside))
    notes = (
        []
        if listed
        else [
            "Note: the names that the published checkpoints were trained with, each with several synonyms, are the "
            "authors' own; COCO's 133 built-in names stand for them: give others with --vocabulary."
        ]
    )
    parts = (("checkpoint", path), ("CLIP", clip))
    model.provenance = Provenance(
        made="imported from an official checkpoint",
        sources=tuple(Source.of(part, file) for part, file in parts if file is not None),
    )
    return Imported(model=model.eval(), num_weights=used, left_over=left_over, notes=tuple(notes))


def config_of(weights: Mapping[str, Tensor], clip: ConvNextConfig | ClipConfig, *, source: str) -> FCCLIPConfig:
    """The sizes that follow from a checkpoint's weights, with the published settings of CLIP's kind.

    Args:
        weights: under official names, without CLIP's; the meta device suffices.
        clip: CLIP's sizes.
        source: where they come from, for messages.

    Raises:
        ModelError: if the weights are not FC-CLIP's, or their joint space is not this CLIP's.
    """
    try:
        decoder = DecoderConfig(**decoder_sizes(weights))
        embed_dim = weights[_VOID].shape[-1]
        if f"{_PREDICTOR}logit_scale" not in weights:
            raise KeyError(f"{_PREDICTOR}logit_scale")
        config = FCCLIPConfig(
            clip=clip,
            decoder=decoder,
            training_vocabulary=Vocabulary.of("coco"),
            resizing=Resizing(rule="detectron2"),
            fusion=GeometricConfig(needs_region=isinstance(clip, ClipConfig)),
        )
    except (KeyError, ValueError, IndexError, TypeError) as error:
        reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise ModelError(f"{source} is no checkpoint of FC-CLIP: {reason}.") from error
    widths = [
        len(weights[f"sem_seg_head.pixel_decoder.{key}"][0]) for key in ("adapter_1.weight", "input_proj.0.0.weight")
    ]
    if embed_dim != clip.embed_dim or widths != [clip.stage_dims[0], clip.stage_dims[-1]]:
        raise ModelError(
            f"{source} was trained with a CLIP of {widths[0]} to {widths[1]} channels and {embed_dim} dimensions, but "
            f"the one given has {clip.stage_dims[0]} to {clip.stage_dims[-1]} and {clip.embed_dim}: give the CLIP that "
            "belongs to it."
        )
    return config


def to_official(model: FCCLIP, *, with_clip: bool = False) -> dict[str, Tensor]:
    """A model's weights under the official names: the inverse of the import.

    Args:
        model: the model.
        with_clip: with CLIP's, as the training program writes them; published files have none.
    """
    state = {key: value.detach() for key, value in model.state_dict().items()}
    chosen = {key: value for key, value in state.items() if with_clip or not key.startswith("clip.")}
    found = {key: value.reshape(_shape_there(key, value)) for key, value in NAMES.to_official(chosen).items()}
    counts = torch.ones(len(model.config.training_vocabulary) + 1)
    counts[-1] = 0.1  # the loss's weight of no-object
    return found | {_CLASS_WEIGHTS: counts}


def export_fcclip(model: FCCLIP, path: Path, *, with_clip: bool = False) -> None:
    """Writes a checkpoint that the official program reads: a .pth with {"model": state dict}.

    Raises:
        ValueError: if it can't be written.
    """
    buffer = io.BytesIO()
    state = {key: value.cpu() for key, value in to_official(model, with_clip=with_clip).items()}
    torch.save({"model": state}, buffer)
    write_atomically(path, buffer.getvalue())


def _shape_there(key: str, value: Tensor) -> torch.Size | tuple[int, ...]:
    """The official shape of a weight: the void embedding is a table of one row."""
    return (1, *value.shape) if key == _VOID and value.ndim == 1 else value.shape


def _clip(
    inside: Mapping[str, Tensor], file: Path | None, checkpoint: Path, given: ConvNextConfig | ClipConfig | None
) -> tuple[ConvNextConfig | ClipConfig, Mapping[str, Tensor]]:
    """CLIP's sizes and weights, from their own file or from within the checkpoint."""
    name = printable(checkpoint)
    whole = {key.removeprefix(OFFICIAL_CLIP): value for key, value in inside.items()}
    is_whole = any(key.startswith("visual.") for key in whole)
    if file is None and not is_whole:
        raise ModelError(
            f"{name} holds no CLIP, as the published checkpoints don't: give the CLIP that it was trained with by "
            "--clip, such as open_clip's convnext_large_d_320 of laion2b_s29b_b131k_ft_soup for fcclip_cocopan.pth."
        )
    try:
        found = read_clip(file, model=given) if file is not None else clip_of(whole, checkpoint, model=given)
        config = found.config
        if not isinstance(config, ConvNextConfig | ClipConfig):
            raise ModelError(
                "FC-CLIP needs a CLIP with stages, a ConvNeXt or a ModifiedResNet, and "
                f"{printable(file or checkpoint)} holds a Vision Transformer."
            )
    except ModelError:
        raise
    except ValueError as error:
        raise ModelError(str(error)) from error
    if given is None:  # all published FC-CLIPs with a ModifiedResNet were trained with OpenAI's weights
        config = replace(config, quick_gelu=isinstance(config, ClipConfig))
    return config, found.state


def _check_vocabulary(vocabulary: Vocabulary, weights: Mapping[str, Tensor], source: str) -> None:
    """Checks that the vocabulary has as many concepts as the loss had classes, where the checkpoint tells."""
    if _CLASS_WEIGHTS in weights and len(weights[_CLASS_WEIGHTS]) - 1 != len(vocabulary):
        raise ModelError(
            f"{source} was trained on {len(weights[_CLASS_WEIGHTS]) - 1} classes, but its training vocabulary is to "
            f"have {len(vocabulary)}; name the trained classes with --vocabulary."
        )

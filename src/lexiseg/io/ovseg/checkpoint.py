"""Importing official OVSeg checkpoints: sizes from the weights, settings from the official configuration."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from lexiseg.core.errors import ModelError
from lexiseg.core.messages import printable
from lexiseg.core.random import fork_random
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.core.weights import read_tensors, weight_complaint
from lexiseg.encoders.clip.vit import VitConfig
from lexiseg.encoders.clip.vit_weights import PROMPT_KEY, vit_config_of
from lexiseg.encoders.segmenters.maskformer import DeepResNetBackbone, MaskFormerConfig
from lexiseg.encoders.segmenters.official_names import count, resnet_sizes, swin_sizes
from lexiseg.io.ovseg.keys import KNOWN_BUFFERS, OFFICIAL_CLIP, from_official, to_official
from lexiseg.io.ovseg.settings import Settings, contradiction, with_settings
from lexiseg.models.ovseg import OVSeg, OVSegConfig
from lexiseg.models.presets import ovseg_r101_config, ovseg_swin_base_config
from lexiseg.models.provenance import Provenance, Source

_OFFICIAL_PROMPTS = f"{OFFICIAL_CLIP}visual.mask_embedding"
LICENCE = "cc-by-nc-4.0"
"""Of the official program and its weights."""
_PREDICTOR = "sem_seg_head.predictor."
_CLASS_WEIGHTS = "criterion.empty_weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A model with the weights of a checkpoint."""

    model: OVSeg
    """In eval mode, on the CPU, in the checkpoint's own precision: `model.float()` runs one in half precision."""
    num_weights: int
    """How many tensors of the checkpoint are weights."""
    left_over: tuple[str, ...]
    """Keys of the checkpoint that are known buffers, not weights."""


def import_ovseg(path: Path, *, settings: Settings | None = None, vocabulary: Vocabulary | None = None) -> Imported:
    """Builds a model from an official checkpoint of OVSeg.

    Its sizes are those of the weights. What does not follow from them (heads, thresholds, lambda) is taken from
    `settings`, or else from the published preset with the same kind of backbone.

    Args:
        path: a .pth of detectron2 (opened with weights_only) or a .safetensors; float32 or half precision.
        settings: the official configuration as `read_settings` gives it.
        vocabulary: the vocabulary that segmentation was trained on; the 171 concepts of COCO-Stuff if not given.

    Raises:
        ModelError: if it can't be read, is another model's, or contradicts the settings or the vocabulary.
    """
    name, settings = printable(path), settings or {}
    try:
        weights = read_tensors(path)
    except ValueError as error:
        raise ModelError(str(error)) from error
    config = with_settings(config_of(weights, source=name), settings)
    if vocabulary is not None:
        config = replace(config, training_vocabulary=vocabulary)
    _check_vocabulary(config.training_vocabulary, weights, settings, name)
    try:
        with torch.device("meta"):
            own = OVSeg(config).state_dict()
    except (ValueError, RuntimeError, ArithmeticError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{name} describes no model that can be built ({reason}); download it again.") from error
    expected = to_official(own)
    complaint = weight_complaint(
        weights,
        expected,
        is_optional=lambda key: key.endswith("num_batches_tracked"),
        is_ignored=lambda key: KNOWN_BUFFERS.search(key) or (key == _OFFICIAL_PROMPTS and config.clip.prompts is None),
    )
    if complaint:
        raise ModelError(f"{name} is not the OVSeg that its sizes promise: it {complaint}; download it again.")
    with fork_random():  # not on the meta device, where buffers that are not saved would have no values
        model = OVSeg(config)
    model.load_state_dict(from_official(weights, own), assign=True)
    model.provenance = Provenance(
        made="imported from an official checkpoint", sources=(Source.of("whole model", path, licence=LICENCE),)
    )
    left_over = tuple(key for key in weights if key not in expected)
    return Imported(model=model.eval(), num_weights=len(weights) - len(left_over), left_over=left_over)


def config_of(weights: Mapping[str, Tensor], *, source: str) -> OVSegConfig:
    """The sizes that follow from a checkpoint's weights, with the settings of the preset of its kind.

    Args:
        weights: under official names; the meta device suffices.
        source: where they come from, for messages.

    Raises:
        ModelError: if the weights are not OVSeg's.
    """
    try:
        preset = _preset(weights)
        return replace(
            preset,
            segmenter=_segmenter_config(weights, preset.segmenter),
            clip=_clip_config(weights),
            head_hidden=len(weights[f"{_PREDICTOR}class_embed.layers.0.weight"]),
        )
    except (KeyError, ValueError, IndexError, TypeError) as error:
        if "visual.conv1.weight" in weights:
            raise ModelError(f"{source} holds a CLIP alone; import it with 'lexiseg import clip'.") from error
        reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise ModelError(
            f"{source} is no checkpoint of OVSeg with a Swin or a deep-stem ResNet and a ViT CLIP: {reason}."
        ) from error


def _preset(weights: Mapping[str, Tensor]) -> OVSegConfig:
    if "backbone.patch_embed.proj.weight" in weights:
        return ovseg_swin_base_config()
    if "backbone.stem.conv3.weight" in weights:
        return ovseg_r101_config()
    raise KeyError("backbone.patch_embed.proj.weight or backbone.stem.conv3.weight")


def _segmenter_config(weights: Mapping[str, Tensor], preset: MaskFormerConfig) -> MaskFormerConfig:
    swin = deep_resnet = None
    if preset.swin is not None:
        swin = replace(preset.swin, **swin_sizes(weights))
    else:
        assert preset.deep_resnet is not None
        sizes = resnet_sizes(weights)
        deep_resnet = DeepResNetBackbone(
            stem_width=len(weights["backbone.stem.conv1.weight"]),
            **sizes,
            # detectron2's ResNets that are dilated so have three blocks there
            multi_grid=preset.deep_resnet.multi_grid if sizes["depths"][-1] == preset.deep_resnet.depths[-1] else (),
        )
    mask_dim, pixel_dim = weights["sem_seg_head.pixel_decoder.mask_features.weight"].shape[:2]
    num_queries, hidden_dim = weights[f"{_PREDICTOR}query_embed.weight"].shape
    return replace(
        preset,
        swin=swin,
        deep_resnet=deep_resnet,
        pixel_dim=pixel_dim,
        mask_dim=mask_dim,
        hidden_dim=hidden_dim,
        num_queries=num_queries,
        decoder_layers=count(weights, rf"{re.escape(_PREDICTOR)}transformer\.decoder\.layers\.(\d+)\."),
        feedforward_dim=len(weights[f"{_PREDICTOR}transformer.decoder.layers.0.linear1.weight"]),
    )


def _clip_config(weights: Mapping[str, Tensor]) -> VitConfig:
    state = {
        f"clip.{key.removeprefix(OFFICIAL_CLIP)}": value
        for key, value in weights.items()
        if key.startswith(OFFICIAL_CLIP)
    }
    if _OFFICIAL_PROMPTS in weights:
        state[PROMPT_KEY] = weights[_OFFICIAL_PROMPTS]
    return vit_config_of(state, quick_gelu=True)  # the authors' CLIPs are fine-tuned from OpenAI's


def _check_vocabulary(vocabulary: Vocabulary, weights: Mapping[str, Tensor], settings: Settings, source: str) -> None:
    """Checks that the vocabulary has as many concepts as the loss has classes."""
    if _CLASS_WEIGHTS not in weights:
        contradiction(settings, "sem_seg_head.NUM_CLASSES", len(vocabulary))
        return
    num_classes = len(weights[_CLASS_WEIGHTS]) - 1  # the last is no-object
    contradiction(settings, "sem_seg_head.NUM_CLASSES", num_classes)
    if len(vocabulary) != num_classes:
        raise ModelError(
            f"{source} was trained on {num_classes} classes, but its training vocabulary is to have "
            f"{len(vocabulary)}; name the trained classes with --vocabulary."
        )

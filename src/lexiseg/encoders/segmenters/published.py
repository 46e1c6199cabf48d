"""Reading any published closed-set segmenter: a folder in transformers' layout, or a checkpoint of detectron2's."""

import re
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lexiseg.core.files import read_json_object
from lexiseg.core.messages import few, printable
from lexiseg.core.random import fork_random
from lexiseg.core.weights import find_weights, read_tensors
from lexiseg.encoders.segmenters.detectron2 import official_names, read_detectron2
from lexiseg.encoders.segmenters.mask2former import Segmenter, SegmenterConfig
from lexiseg.encoders.segmenters.mask2former_weights import ClosedSet, Segments, label_names, read_mask2former
from lexiseg.encoders.segmenters.published_kinds import (
    KINDS,
    PublishedConfig,
    PublishedSegmenter,
    quiet_transformers,
)

AnySegmenterConfig = SegmenterConfig | PublishedConfig
_UNUSED = re.compile(
    r"^criterion\.|text_mapper\.|relative_position_index$|position_ids$|num_batches_tracked$|\.swin\.layernorm\.|"
    r"^model\.pixel_level_module\.encoder\.model\.layernorm\."
)
"""Weights of the loss and of OneFormer's training texts, and what follows from the sizes or is never read."""
_OTHER_KINDS: Mapping[str, str] = {
    r"ForImageClassification|^(vit|resnet|swin|swinv2|convnext|convnextv2|deit|beit|dinov2|timm_wrapper)\b": (
        "an image classifier"
    ),
    r"ForObjectDetection|^(detr|deformable_detr|yolos|rt_detr|owlvit|owlv2|grounding-dino)\b": "a detection model",
    r"^sam\d?|Sam\w*Model": "a SAM, whose masks have no classes",
    r"ForSemanticSegmentation|^(segformer|upernet|dpt)\b": "a model that names pixels, not masks",
    r"^(clip|siglip|siglip2|chinese_clip|align)\b": "a CLIP, which --clip takes",
    r"ForDepthEstimation": "a model of depth",
    r"ForCausalLM|ForMaskedLM|ForSequenceClassification|ForTokenClassification|ForConditionalGeneration|"
    r"^(bert|gpt2|llama|t5|roberta|mistral|qwen\w*)\b": "a text model",
    r"^(opsnet|ovseg|fcclip)\b": "an open-vocabulary model already, which --model takes",
}
"""What a folder is instead, by its model type and architectures."""


def read_closed_set(path: Path) -> ClosedSet:
    """Reads a published closed-set model.

    Args:
        path: a folder in transformers' layout with a Mask2Former (Swin or ResNet), MaskFormer, OneFormer or EoMT; or a
            checkpoint of the official Mask2Former, a .pth or a .pkl of the model zoo.

    Raises:
        ValueError: if something is missing or damaged, or it is a model of another kind, which is then named.
    """
    if path.is_file():
        return _with_segments(read_detectron2(path), path)
    file = path / "config.json"
    if not file.is_file() or (weights := find_weights(path)) is None:
        lost = "model.safetensors" if file.is_file() else "config.json"
        raise ValueError(
            f"{printable(path)} has no {lost}: expected a segmenter's folder with config.json and model.safetensors, "
            "its shards or pytorch_model.bin, or a checkpoint file of detectron2's Mask2Former."
        )
    document = read_json_object(file, ValueError)
    kind = document.get("model_type")
    if kind == "mask2former":
        return _with_segments(read_mask2former(path), path)
    if kind not in KINDS:
        raise ValueError(
            f"expected a Mask2Former, MaskFormer, OneFormer or EoMT in transformers' layout, but {printable(path)} is "
            f"{_other_kind(document)}: choose another model."
        )
    if kind == "eomt" and "hidden_size" not in document and isinstance(document.get("backbone"), str):
        raise ValueError(
            f"{printable(path)} is an EoMT in the layout of its authors' own program: take the one in transformers' "
            "layout, on the main branch of its repository."
        )
    return _with_segments(_read(path, document, weights), path)


def build_segmenter(config: AnySegmenterConfig) -> Segmenter | PublishedSegmenter:
    """The network of a configuration, whose state dict is `ClosedSet.segmenter`.

    A call turns pictures, RGB in [0, 1], into `MaskProposals`; the class head's linear layer makes the published class
    logits of their `query_embed`.
    """
    return Segmenter(config) if isinstance(config, SegmenterConfig) else PublishedSegmenter(config)


def _read(path: Path, document: Mapping[str, Any], file: Path) -> ClosedSet:
    """A MaskFormer, OneFormer or EoMT: transformers renames the weights of older versions while it loads them."""
    names = label_names(document, path)
    weights = read_tensors(file)
    _check_layers(document, len(weights), path)
    config = PublishedConfig.of(document)
    kind = KINDS[config.model_type]
    make: Any = getattr(import_module("transformers"), kind.network)
    try:
        with fork_random(), quiet_transformers():
            network, report = make.from_pretrained(
                None,
                config=config.to_transformers(num_labels=len(names)),
                state_dict=dict(weights),
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                dtype=torch.float32,
            )
    except Exception as error:  # whatever sizes that contradict one another raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")[:200]
        raise ValueError(
            f"{printable(path)} describes no {config.model_type} that can be built ({reason}): download or copy the "
            "folder again."
        ) from error
    state: dict[str, Tensor] = network.state_dict()
    complaints = {
        "lacks": [name for name in report["missing_keys"] if not _UNUSED.search(name)],
        "holds the unknown": [name for name in report["unexpected_keys"] if not _UNUSED.search(name)],
        "has another shape in": [str(one[0]) for one in report["mismatched_keys"] if not _UNUSED.search(one[0])],
        "has no numbers in": [name for name, tensor in weights.items() if not _are_numbers(name, tensor)],
    }
    if complaint := ", and ".join(f"{verb} {few(sorted(names))}" for verb, names in complaints.items() if names):
        raise ValueError(
            f"the weights in {printable(path)} don't fit its config.json: {file.name} {complaint}; download or copy "
            "the whole folder again."
        )
    return ClosedSet(
        config=config,
        segmenter=PublishedSegmenter.own_weights(config, state),
        class_weight=state[f"{kind.head}.weight"],
        class_bias=state[f"{kind.head}.bias"],
        names=names,
    )


def _are_numbers(name: str, tensor: Tensor) -> bool:
    """Whether a weight that is read holds finite floating point numbers."""
    return bool(_UNUSED.search(name)) or (tensor.is_floating_point() and bool(tensor.isfinite().all()))


def _check_layers(document: Mapping[str, Any], most: int, path: Path) -> None:
    """Refuses more layers than there are weights, which would take for ever to build."""
    for key, value in document.items():
        if isinstance(value, Mapping):
            _check_layers(value, most, path)
        elif key.endswith(("layers", "depths", "blocks")):
            numbers = [number for number in (value if isinstance(value, list) else [value]) if isinstance(number, int)]
            if sum(numbers) > most:
                raise ValueError(
                    f"config.json in {printable(path)} says {key} = {str(value)[:60]}, but there are only {most} "
                    "weights: download or copy both again."
                )


def _other_kind(document: Mapping[str, Any]) -> str:
    """What a config.json is of."""
    kind, architectures = document.get("model_type"), document.get("architectures")
    words = [str(kind), *(map(str, architectures) if isinstance(architectures, list) else ())]
    for pattern, other in _OTHER_KINDS.items():
        if any(re.search(pattern, word) for word in words):
            return f"{other} ({kind})" if kind else other
    return "no model of transformers" if kind is None else f"a model of another kind ({printable(str(kind))})"


def _with_segments(found: ClosedSet, path: Path) -> ClosedSet:
    """With what the names of a repository or file, or the number of classes, say of what it was trained for."""
    named = path.parents[1] if path.parent.name == "snapshots" else path  # in the hub's cache, the repository
    kinds: tuple[Segments, ...] = ("panoptic", "instance", "semantic")
    told = next((kind for kind in kinds if kind in named.name.lower()), None)
    if told is None and len(found.names) in (80, 100, 8):
        told = "instance" if official_names(len(found.names)) is not None else None
    if told is None and len(found.names) == 133:
        told = "panoptic"
    return replace(found, segments=told)

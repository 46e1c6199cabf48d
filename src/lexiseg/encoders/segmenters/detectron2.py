"""Reading official Mask2Former checkpoints: detectron2's .pth, and the model zoo's .pkl."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lexiseg.core.messages import printable
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.core.weights import read_tensors, weight_complaint
from lexiseg.encoders.segmenters.mask2former import ResNetBackbone, Segmenter, SegmenterConfig, SwinBackbone
from lexiseg.encoders.segmenters.mask2former_weights import ClosedSetWeights, unused_weight
from lexiseg.encoders.segmenters.official_names import (
    Renaming,
    decoder_sizes,
    in_current_names,
    pixel_decoder_rows,
    query_decoder_rows,
    resnet_rows,
    resnet_sizes,
    swin_rows,
    swin_sizes,
)
from lexiseg.encoders.segmenters.pickled_arrays import is_pickle_of_arrays, read_pickled_arrays

_OWN = "mask2former.pixel_level_module."
NAMES = Renaming(
    (
        *swin_rows(f"{_OWN}encoder."),
        *resnet_rows(f"{_OWN}encoder."),
        *pixel_decoder_rows(f"{_OWN}decoder."),
        *query_decoder_rows("mask2former.transformer_module."),
        ("class_predictor.*", "sem_seg_head.predictor.class_embed.*"),
    )
)
"""The names of a Segmenter's weights and of its class head, and the official ones."""
_UNUSED = ".swin.layernorm."
_IGNORED = (".relative_position_index", "criterion.empty_weight", "pixel_mean", "pixel_std", ".num_batches_tracked")
_OTHERS: Mapping[str, str] = {
    "void_embedding.": "an FC-CLIP, which 'lexiseg import fcclip' takes",
    "clip_adapter.": "an OVSeg, which 'lexiseg import ovseg' takes",
    "visual.": "a CLIP",
    "sem_seg_head.pixel_decoder.layer_4.": "a MaskFormer in detectron2's layout: take it in transformers'",
    "proposal_generator.": "a detection model, which has no masks of every class",
    "model.pixel_level_module.": "a model in transformers' layout: give its folder, with config.json",
}
"""What a checkpoint is instead, by the start of a name of its weights."""
OFFICIAL_LISTS = ("coco", "ade20k", "cityscapes")
"""Built-in vocabularies in the order of the official class heads; instance segmentation has their things alone."""


def official_names(num_classes: int) -> tuple[str, ...] | None:
    """The class names of the official program with so many classes: COCO's, ADE20K's or Cityscapes'."""
    for listed in OFFICIAL_LISTS:
        concepts = Vocabulary.of(listed).concepts
        for known in (concepts, [concept for concept in concepts if concept.is_thing]):
            if len(known) == num_classes:
                return tuple(concept.name for concept in known)
    return None


def read_detectron2(path: Path, *, names: Sequence[str] | None = None) -> ClosedSetWeights:
    """Reads an official Mask2Former checkpoint; its sizes are those of the weights.

    Args:
        path: a .pth or .safetensors of a state dict, bare or under "model"; or a pickle of numpy arrays, which is
            read without running anything.
        names: the class names in the order of the class head; the official program's with so many classes if not
            given, or LABEL_0, LABEL_1 ... where there is none.

    Raises:
        ValueError: if it can't be read, is no such model, or has another number of classes.
    """
    source = printable(path)
    weights = in_current_names(_read(path))
    config = _config(weights, source)
    try:
        with torch.device("meta"):
            own = Segmenter(config).state_dict()
    except (ValueError, RuntimeError, ArithmeticError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise ValueError(f"{source} describes no model that can be built ({reason}); download it again.") from error
    needed = {name: tensor for name, tensor in own.items() if _UNUSED not in name}
    classes = len(weights["sem_seg_head.predictor.class_embed.weight"])
    head = {
        "class_predictor.weight": torch.empty(classes, config.hidden_dim, device="meta"),
        "class_predictor.bias": torch.empty(classes, device="meta"),
    }
    complaint = weight_complaint(
        weights,
        NAMES.to_official(needed | head),
        is_optional=lambda key: key.endswith("num_batches_tracked"),
        is_ignored=lambda key: key.endswith(_IGNORED),
    )
    if complaint:
        raise ValueError(f"{source} is not the Mask2Former that its sizes promise: it {complaint}; download it again.")
    names = names or official_names(classes - 1) or [f"LABEL_{number}" for number in range(classes - 1)]
    if len(names) != classes - 1:
        raise ValueError(
            f"{source} has {classes - 1} classes, but {len(names)} names were given: give one for each, in the order "
            "of its class head."
        )
    found = NAMES.from_official(weights, needed | head)
    class_weight, class_bias = (found.pop(f"class_predictor.{part}").float() for part in ("weight", "bias"))
    return ClosedSetWeights(
        config=config,
        segmenter={name: found.get(name, unused_weight(name, tensor)) for name, tensor in own.items()},
        class_weight=class_weight,
        class_bias=class_bias,
        names=tuple(names),
    )


def _read(path: Path) -> dict[str, Tensor]:
    """The weights by name, of either kind of file."""
    if not path.is_file() or not is_pickle_of_arrays(path):
        return read_tensors(path)
    try:
        weights = read_pickled_arrays(path)
    except Exception as error:  # whatever a hostile or broken pickle raises
        raise ValueError(
            f"cannot read weights from {printable(path)}: the file is damaged or cut off, or holds more than arrays, "
            "so it is not opened; copy or download it again."
        ) from error
    if not weights:
        raise ValueError(f"{printable(path)} holds no arrays by name: give a model of detectron2's model zoo.")
    return weights


def _config(weights: Mapping[str, Tensor], source: str) -> SegmenterConfig:
    """The sizes that follow from the weights."""
    if other := next((kind for start, kind in _OTHERS.items() if any(key.startswith(start) for key in weights)), None):
        raise ValueError(f"{source} is no Mask2Former, but {other}.")
    sizes: dict[str, Any]
    try:
        sizes = dict(decoder_sizes(weights))
        weights["sem_seg_head.predictor.class_embed.weight"]
        if sizes["mask_dim"] != sizes["hidden_dim"]:
            raise ValueError(f"its widths {sizes['hidden_dim']} and {sizes['mask_dim']} of queries and masks differ")
        if "backbone.patch_embed.proj.weight" in weights:
            read: dict[str, Any] = dict(swin_sizes(weights))
            sizes["swin"] = SwinBackbone(**read, image_size=384 if read["window_size"] == 12 else 224)
        else:
            read = dict(resnet_sizes(weights))
            layer_type = "bottleneck" if "backbone.res2.0.conv3.weight" in weights else "basic"
            stem = len(weights["backbone.stem.conv1.weight"])
            sizes["resnet"] = ResNetBackbone(embedding_size=stem, layer_type=layer_type, **read)
        return SegmenterConfig(**sizes)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise ValueError(
            f"{source} is no checkpoint of detectron2's Mask2Former with a Swin or a ResNet: {reason}."
        ) from error

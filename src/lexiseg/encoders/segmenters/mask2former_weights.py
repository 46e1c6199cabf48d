"""Reading and writing closed-set Mask2Formers in transformers' layout: sizes and weights."""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor

from lexiseg.core.files import read_json_object, replacing, write_atomically
from lexiseg.core.weights import find_weights, read_tensors, weight_complaint
from lexiseg.encoders.segmenters.mask2former import Segmenter, SegmenterConfig, from_transformers, to_transformers
from lexiseg.encoders.segmenters.preparation import PREPROCESSOR_FILE, preprocessor_json
from lexiseg.encoders.segmenters.published_kinds import PublishedConfig

_OWN_PREFIX = "mask2former."
_BACKBONE_PREFIX = "pixel_level_module.encoder."
RENAMED_BLOCKS = (
    ("attention.q_proj.", "attention.self.query."),
    ("attention.k_proj.", "attention.self.key."),
    ("attention.v_proj.", "attention.self.value."),
    ("attention.relative_position_bias.", "attention.self."),
    ("attention.o_proj.", "attention.output.dense."),
    ("mlp.fc1.", "intermediate.dense."),
    ("mlp.fc2.", "output.dense."),
)
"""Names of a Swin's weights in newer versions of transformers, and in published files."""
_RENAMED = (("swin.encoder.", "encoder."), ("swin.embeddings.", "embeddings."), *RENAMED_BLOCKS)
"""Likewise in a Mask2Former, whose Swin has one wrapper less."""
_IGNORED_ENDINGS = ("criterion.empty_weight", ".relative_position_index")
"""Endings of tensors that are not loaded: the loss's class weights, and an index that follows from the sizes."""
_OPTIONAL = re.compile(r"num_batches_tracked$|pixel_level_module\.encoder\.swin\.layernorm\.")
"""Tensors of newer versions of transformers that no output depends on."""
Segments = Literal["panoptic", "semantic", "instance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedSet:
    """A closed-set segmenter: sizes, weights, class head and class names."""

    config: SegmenterConfig | PublishedConfig
    segmenter: Mapping[str, Tensor]
    """State dict for `published.build_segmenter`."""
    class_weight: Float[Tensor, "S1 C"]
    """Rows of the class head: the training names, then no-object."""
    class_bias: Float[Tensor, " S1"]
    names: tuple[str, ...]
    segments: Segments | None = None
    """What it was trained to find, as far as that is known: an instance model knows no stuff, a semantic one does not
    tell the things of one class apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedSetWeights(ClosedSet):
    """A closed-set Mask2Former."""

    config: SegmenterConfig


def read_mask2former(folder: Path) -> ClosedSetWeights:
    """Reads a Mask2Former folder in transformers' published layout: config.json, and weights as `read_tensors` does.

    Raises:
        ValueError: if something is missing, damaged, or of another architecture.
    """
    config_file, weights_file = folder / "config.json", find_weights(folder)
    if weights_file is None or not config_file.is_file():
        raise ValueError(
            f"{folder} has no {'config.json' if weights_file else 'model.safetensors'}: expected a Mask2Former folder "
            "with config.json and model.safetensors, its shards or pytorch_model.bin."
        )
    document = read_json_object(config_file, ValueError)
    weights = read_tensors(weights_file)
    config = from_transformers(document)
    names = label_names(document, folder)
    own = published_names(config)
    expected = {f"model.{published}": tensor for published, (_, tensor) in own.items()}
    expected["class_predictor.weight"] = torch.empty(len(names) + 1, config.hidden_dim, device="meta")
    expected["class_predictor.bias"] = torch.empty(len(names) + 1, device="meta")
    complaint = weight_complaint(
        weights, expected, is_optional=_OPTIONAL.search, is_ignored=lambda name: name.endswith(_IGNORED_ENDINGS)
    )
    if complaint:
        raise ValueError(
            f"the weights in {folder} don't fit its config.json: {weights_file.name} {complaint}; "
            "download or copy the whole folder again."
        )
    return ClosedSetWeights(
        config=config,
        segmenter={
            name: weights.get(f"model.{published}", unused_weight(published, tensor))
            for published, (name, tensor) in own.items()
        },
        class_weight=weights["class_predictor.weight"].float(),
        class_bias=weights["class_predictor.bias"].float(),
        names=names,
    )


def write_mask2former(
    folder: Path,
    config: SegmenterConfig,
    segmenter: Mapping[str, Tensor],
    *,
    class_weight: Float[Tensor, "S1 C"],
    class_bias: Float[Tensor, " S1"],
    names: Sequence[str],
    longest_side: int | None = None,
) -> None:
    """Writes a closed-set Mask2Former in transformers' published layout; the inverse of `read_mask2former`.

    Both `read_mask2former` and transformers' own `from_pretrained` read it.

    Args:
        folder: created if it is missing; a model in it is overwritten.
        config: the sizes.
        segmenter: state dict of a Segmenter of these sizes.
        class_weight: rows of the class head: the names, then no-object.
        class_bias: likewise.
        names: the closed set, in the order of the rows.
        longest_side: longer side in pixels of the pictures that it learned from, padded with black, as our trainings
            pad; None leaves out how pictures are prepared.

    Raises:
        ValueError: if the class head does not fit the names.
    """
    shapes = tuple(class_weight.shape), tuple(class_bias.shape)
    rows = len(names) + 1
    if shapes != ((rows, config.hidden_dim), (rows,)):
        raise ValueError(
            f"expected a class head of {rows} rows, one for each of the {len(names)} names and one for no-object, "
            f"got shapes {shapes[0]} and {shapes[1]}."
        )
    document = to_transformers(config)
    document.architectures = ["Mask2FormerForUniversalSegmentation"]
    document.id2label = dict(enumerate(names))
    document.label2id = {name: index for index, name in enumerate(names)}
    tensors = {f"model.{published}": segmenter[name] for published, (name, _) in published_names(config).items()}
    tensors |= {"class_predictor.weight": class_weight, "class_predictor.bias": class_bias}
    stored = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    with replacing(folder / "model.safetensors") as path:
        save_file(stored, path, metadata={"format": "pt"})
    write_atomically(folder / "config.json", document.to_json_string())
    if longest_side is not None:
        write_atomically(folder / PREPROCESSOR_FILE, preprocessor_json(longest_side, "black"))


@functools.cache
def published_names(config: SegmenterConfig) -> Mapping[str, tuple[str, Tensor]]:
    """For each published name, without "model.": the name in a Segmenter's state dict, and a meta tensor of its shape.

    transformers renames weights from version to version and translates while it loads; the files keep their names.
    """
    with torch.device("meta"):
        state = Segmenter(config).state_dict()
    found: dict[str, tuple[str, Tensor]] = {}
    for name, tensor in state.items():
        published = name.removeprefix(_OWN_PREFIX)
        if config.swin is not None and published.startswith(_BACKBONE_PREFIX):
            for new, old in _RENAMED:
                published = published.replace(new, old)
        found[published] = name, tensor
    return found


def label_names(document: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
    """The class names in the order of their numbers."""
    id_to_label = document.get("id2label")
    if not isinstance(id_to_label, dict) or not id_to_label:
        raise ValueError(f"{folder} has no class names (id2label) in its config.json: it can't be assembled.")
    if set(id_to_label) != {str(number) for number in range(len(id_to_label))}:
        raise ValueError(
            f"the class names (id2label) of {folder} are not numbered from 0 to {len(id_to_label) - 1}: "
            "number them as the rows of the class head."
        )
    return tuple(str(id_to_label[str(number)]) for number in range(len(id_to_label)))


def unused_weight(name: str, like: Tensor) -> Tensor:
    """A value for a weight that no output depends on and that older files lack."""
    return torch.zeros(like.shape, dtype=like.dtype) if not name.endswith("weight") else torch.ones(like.shape)

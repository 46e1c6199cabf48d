"""A recipe at a glance, before anything is spent on it: its fields, parameters, memory and pictures."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from lexiseg.core.frames import Frame
from lexiseg.core.random import fork_random
from lexiseg.core.structures import ImageBatch
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.clip.base import OpenClip
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.training.engine.run_settings import Recipe
from lexiseg.training.segmentation.recipe import TrainingRecipe

TRAINED_BYTES, FROZEN_BYTES = 16, 4
"""Per parameter in float32: weight, gradient and AdamW's two moments; or the weight alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleSize:
    """One part of a model."""

    name: str
    num_trained: int
    num_frozen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a training keeps in memory, in bytes; without the criterion's and the allocator's own needs."""

    weights: int
    """Weights, gradients and moments, of one process."""
    activations: int
    """What the segmenter keeps of one picture for the way back, under bf16 autocast."""


def list_fields(config: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yields every field of nested dataclasses as a dotted name and a short text."""
    for field in fields(config):
        value, path = getattr(config, field.name), f"{name}.{field.name}".removeprefix(".")
        if isinstance(value, Vocabulary):
            first = ", ".join(value.names[:3])
            yield path, f"{len(value)} names ({first} ...), {len(value.templates)} templates"
        elif is_dataclass(value):
            yield from list_fields(value, path)
        elif isinstance(value, tuple) and value and is_dataclass(value[0]):
            for number, item in enumerate(value):
                yield from list_fields(item, f"{path}.{number}")
        else:
            yield path, "-" if value is None else f"{value:,}" if type(value) is int else str(value)


def list_answers(recipe: Recipe) -> list[tuple[str, str]]:
    """How the recipe's model answers unless told otherwise, as `list_fields` does, where no field says it."""
    return [row for name, config in recipe.answers().items() for row in list_fields(config, name)]


def count_parameters(recipe: Recipe) -> tuple[ModuleSize, ...]:
    """The parameters of each part of the recipe's model, built on the meta device; nothing if its sizes are open.

    Of a CLIP that sees whole pictures, image trunk, attention pool and text tower are counted apart: only the trunk
    runs in training.
    """
    with torch.device("meta"):
        model = recipe.build()
    if model is None:
        return ()
    parts = [(name, part) for name, part in model.named_children() if name != "clip"]
    if isinstance(model, OpenClip):
        parts = [("CLIP", model)]
    elif isinstance(model, OpenVocabularySegmenter) and model.encodes_crops:
        parts.append(("CLIP", model.clip))
    elif isinstance(model, OpenVocabularySegmenter):
        visual = model.clip.visual
        parts += [
            ("CLIP's attention pool", visual.attnpool),
            ("CLIP's trunk", visual),
            ("CLIP's text tower", model.clip),
        ]
    counted: set[int] = set()
    found = []
    for name, part in parts:
        own = [p for p in part.parameters() if id(p) not in counted]
        counted |= {id(p) for p in own}
        trained = sum(p.numel() for p in own if p.requires_grad)
        found.append(ModuleSize(name=name, num_trained=trained, num_frozen=sum(p.numel() for p in own) - trained))
    return tuple(found)


def estimate_memory(recipe: TrainingRecipe) -> Memory | None:
    """What a training of a segmenter will keep in memory, found without any: fake tensors know sizes alone.

    Saved activations are those of a forward pass of one picture of the full crop. Under activation checkpointing
    there are fewer.
    """
    parts = count_parameters(recipe)
    if not parts:
        return None
    saved: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage()._cdata] = tensor
        return tensor

    side = recipe.framing.image_size
    with FakeTensorMode(), fork_random():
        model: Any = recipe.build()
        segmenter = model.segmenter.eval()  # in training mode, transformers looks at values
        pictures = ImageBatch(
            pixel_values=torch.zeros(1, 3, side, side), frames=(Frame.fit((side, side), longest=side),)
        )
        weights = {p.untyped_storage()._cdata for p in segmenter.parameters()}
        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            torch.autocast("cpu", torch.bfloat16),
        ):
            if isinstance(model, OpenVocabularySegmenter):
                model.propose(pictures, every_layer=True)
            else:
                segmenter(pictures.pixel_values, every_layer=True)
        activations = sum(t.untyped_storage().nbytes() for key, t in saved.items() if key not in weights)
    trained, frozen = sum(p.num_trained for p in parts), sum(p.num_frozen for p in parts)
    return Memory(weights=TRAINED_BYTES * trained + FROZEN_BYTES * frozen, activations=activations)

"""What official Mask2Former and FC-CLIP make of masks and class probabilities, held against a reference."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lexiseg.core.concepts import Concept
from lexiseg.core.frames import Frame
from lexiseg.core.structures import MaskPrediction, PanopticMap
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.io.verification import Check, agreement, check_shape, difference
from lexiseg.models.postprocess.panoptic import MergeConfig, mask_probs_of, panoptic_map

MIN_AGREEMENT = 0.999
"""Share of the pixels of maps and masks that must be the reference's: all but a handful at borders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialSettings:
    """The settings of the official programs that outputs depend on."""

    things: frozenset[int]
    """Classes that are things."""
    score_threshold: float = 0.8
    overlap_threshold: float = 0.8
    num_instances: int = 100
    """Pairs of a query and a class, things or not, that instances are taken from."""


def output_checks(
    class_probs: Float[Tensor, "Q K1"],
    mask_logits: Float[Tensor, "Q h w"],
    frame: Frame,
    settings: OfficialSettings,
    reference: Mapping[str, Tensor],
    *,
    prefix: str = "",
    segment_classes: Mapping[int, int] | None = None,
    limit: float = 1e-4,
) -> list[Check]:
    """Checks `sem_seg`, `panoptic_seg` and `instances`, as far as the reference has them.

    Args:
        class_probs: probabilities with no-object last.
        mask_logits: at stride 4 of the padded picture.
        frame: the picture's; its `original` size is that of the outputs.
        settings: thresholds and things.
        reference: recorded tensors by name.
        prefix: what their names begin with.
        segment_classes: the class of each id of the panoptic map; not compared if not given.
        limit: the largest difference that holds; half-precision tensors get their rounding on top.

    Raises:
        ModelError: if an output has another shape.
    """
    expected = {key.removeprefix(prefix): value for key, value in reference.items() if key.startswith(prefix)}
    masks = torch.stack([mask_probs_of(logits, frame) for logits in mask_logits])
    checks: list[Check] = []

    def compare(name: str, found: Tensor) -> None:
        if (recorded := expected.get(name)) is None:
            return
        if name.startswith("instances.") and len(found) != len(recorded):
            checks.append(Check(name=prefix + name, overall=math.inf, limit=limit))
        elif recorded.dtype == torch.uint8:
            share = agreement(found, recorded, name=prefix + name)
            checks.append(Check(name=prefix + name, overall=share, limit=MIN_AGREEMENT, kind="agreement"))
        else:
            rounding = float(recorded.float().abs().max()) * 2**-11 if recorded.dtype == torch.float16 else 0.0
            value = difference(found, recorded, name=prefix + name)
            checks.append(Check(name=prefix + name, overall=value, limit=limit + rounding))

    compare("sem_seg", torch.einsum("qk,qhw->khw", class_probs[:, :-1], masks))
    scores, classes, queries = _instances(class_probs, masks, settings)
    if "instances.scores" in expected and "instances.classes" in expected:
        order = expected["instances.scores"].argsort(descending=True, stable=True)
        expected |= {key: value[order] for key, value in expected.items() if key.startswith("instances.")}
        compare("instances.scores", scores)
        aligned = _aligned(scores, classes, expected["instances.scores"], expected["instances.classes"], limit)
        classes, queries = classes[aligned], queries[aligned]
        compare("instances.classes", classes)
        compare("instances.masks", (masks[queries] > 0.5).to(torch.uint8))
    if "panoptic_seg" in expected:
        found = _panoptic(class_probs, mask_logits, frame, settings)
        name = f"{prefix}panoptic_seg"
        share = panoptic_agreement(found, expected["panoptic_seg"], segment_classes, name=name)
        checks.append(Check(name=name, overall=share, limit=MIN_AGREEMENT, kind="agreement"))
    return checks


def panoptic_agreement(
    found: PanopticMap, expected: Int[Tensor, "H W"], segment_classes: Mapping[int, int] | None, *, name: str
) -> float:
    """The share of pixels in a segment that is the reference's, whatever its number; no segment is one too.

    Each of our segments stands for that of the reference which it shares most pixels with, and, where classes are
    given, which has its class.

    Raises:
        ModelError: if the maps have different sizes.
    """
    ids = torch.from_numpy(found.segmentation).long()
    check_shape(ids, expected, name)
    table = torch.zeros(int(ids.max()) + 1, dtype=torch.long)
    taken = {0}
    for segment in found.segments:
        there, counts = expected[ids == segment.id].unique(return_counts=True)
        best = int(there[counts.argmax()])
        fits = segment_classes is None or segment_classes.get(best) == segment.class_id
        table[segment.id] = best if best not in taken and fits else -1
        taken.add(best)
    return float((table[ids] == expected).float().mean())


def read_settings_of_outputs(settings: Mapping[str, Any], num_classes: int) -> OfficialSettings:
    """The settings of an official configuration as JSON; the official defaults, and only things, where it has none."""
    test = settings.get("mask_former", {}).get("TEST", {})
    things = settings.get("thing_contiguous_ids", range(num_classes))
    return OfficialSettings(
        things=frozenset(map(int, things)),
        score_threshold=float(test.get("OBJECT_MASK_THRESHOLD", 0.8)),
        overlap_threshold=float(test.get("OVERLAP_THRESHOLD", 0.8)),
        num_instances=int(settings.get("detections_per_image", 100)),
    )


def segment_classes(segments: Sequence[Mapping[str, Any]] | None) -> dict[int, int] | None:
    """The class of each segment from a recorded `segments_info`."""
    return None if segments is None else {int(one["id"]): int(one["category_id"]) for one in segments}


def _instances(
    class_probs: Float[Tensor, "Q K1"], masks: Float[Tensor, "Q H W"], settings: OfficialSettings
) -> tuple[Float[Tensor, " N"], Int[Tensor, " N"], Int[Tensor, " N"]]:
    """Scores, classes and queries of instances, best first: the best pairs of a query and a class that is a thing."""
    num_classes = class_probs.shape[1] - 1
    best, pairs = class_probs[:, :-1].flatten().topk(min(settings.num_instances, len(class_probs) * num_classes))
    is_thing = torch.tensor([int(pair) % num_classes in settings.things for pair in pairs], dtype=torch.bool)
    best, pairs = best[is_thing], pairs[is_thing]
    queries, classes = pairs // num_classes, pairs % num_classes
    inside = masks[queries] > 0.5
    quality = (masks[queries] * inside).flatten(1).sum(1) / (inside.flatten(1).sum(1) + 1e-6)
    order = (best * quality).argsort(descending=True, stable=True)
    return (best * quality)[order], classes[order], queries[order]


def _aligned(
    scores: Float[Tensor, " N"], classes: Int[Tensor, " N"], expected: Tensor, expected_classes: Tensor, limit: float
) -> list[int]:
    """Our instances in the reference's order: of scores that rounding may swap, one of the same class goes first."""
    left = list(range(len(scores)))
    order = []
    for score, class_id in zip(expected[: len(scores)].tolist(), expected_classes.tolist(), strict=False):
        near = [place for place in left if abs(float(scores[place]) - score) <= limit] or left
        order.append(next((place for place in near if int(classes[place]) == class_id), near[0]))
        left.remove(order[-1])
    return order + left


def _panoptic(
    class_probs: Float[Tensor, "Q K1"], mask_logits: Float[Tensor, "Q h w"], frame: Frame, settings: OfficialSettings
) -> PanopticMap:
    """The panoptic map by the official rules, which are those of `panoptic_map`."""
    num_classes = class_probs.shape[1] - 1
    concepts = tuple(Concept(f"class {k}", is_thing=k in settings.things) for k in range(num_classes))
    prediction = MaskPrediction(
        mask_logits=mask_logits[None],
        class_logits=class_probs[None, :, :-1].clamp(min=1e-30).log(),
        void_probs=class_probs[None, :, -1],
        iou_scores=torch.ones(1, len(class_probs)),
        num_concepts=num_classes,
    )
    rules = MergeConfig(
        rank_by="class",
        score_threshold=settings.score_threshold,
        overlap_threshold=settings.overlap_threshold,
        void_competes=True,
    )
    return panoptic_map(prediction, 0, frame, Vocabulary(concepts), rules)

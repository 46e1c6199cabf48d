"""The tasks that a model can be measured on: panoptic, semantic and instance segmentation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Int32

from lexiseg.core.structures import PanopticMap
from lexiseg.core.tables import percent
from lexiseg.data.categories import places
from lexiseg.data.dataset import MASK_KINDS, Annotation, Category, Dataset, TaskName
from lexiseg.data.id_maps import compact
from lexiseg.data.run_lengths import pixels_of
from lexiseg.evaluation.measure import Answer, Measure, true_map
from lexiseg.evaluation.metrics.instance_quality import (
    InstanceQuality,
    InstanceTally,
    PictureMasks,
    found_masks,
    summarise_instances,
)
from lexiseg.evaluation.metrics.panoptic_quality import (
    ClassQuality,
    ClassTally,
    PanopticQuality,
    PanopticTally,
    summarise,
    tally_pair,
)
from lexiseg.evaluation.metrics.semantic_quality import (
    SemanticQuality,
    SemanticTally,
    over_classes,
    summarise_semantic,
    tally_labels,
)
from lexiseg.models.postprocess.instances import instances
from lexiseg.models.postprocess.semantic import semantic_map, soft_semantic_map


@dataclass(frozen=True, slots=True)
class PanopticMeasure(Measure):
    """Panoptic quality by COCO's official rules."""

    name: ClassVar[TaskName] = "panoptic"
    heading: ClassVar[tuple[str, ...]] = ("", "PQ", "SQ", "RQ", "classes")

    def zero(self) -> PanopticTally:
        """No segments."""
        return PanopticTally()

    def tally(self, answer: Answer, truth: Annotation) -> PanopticTally:
        """Merges the masks into a map and matches its segments."""
        found = answer.merged
        true, segments = truth.to_segmentation(self.categories), answer.segment_infos(found)
        return tally_pair(true.ids, true.segments, found.segmentation, segments, self.categories)

    def image_score(self, tally: PanopticTally) -> float | None:
        """PQ of the picture as if all its segments were of one class."""
        whole = sum(tally.classes.values(), ClassTally())
        return whole.iou_sum / (whole.tp + whole.fp / 2 + whole.fn / 2) if whole.count else None

    def truth_map(self, truth: Annotation) -> PanopticMap:
        """The listed segments, crowds included; pixels of others are void here."""
        true = truth.to_segmentation(self.categories)
        ids = compact(true.ids, [s.id for s in true.segments]) + 1
        return true_map(ids, [s.category_id for s in true.segments], self.categories)

    def summarise(self, tally: PanopticTally, categories: Sequence[Category]) -> PanopticQuality:
        """PQ, SQ and RQ."""
        return summarise(tally, categories)

    def jsonable_figures(self, quality: PanopticQuality, *, per_class: bool) -> dict[str, Any]:
        """All, things and stuff; classes in a list."""
        plain: dict[str, Any] = quality.to_jsonable()
        if not per_class:
            return plain
        return {**quality.all.to_jsonable(), **plain, "per_class": [_jsonable_class(c) for c in quality.per_class]}

    def rows(self, quality: PanopticQuality) -> list[tuple[str, ...]]:
        """All, things and stuff."""
        return [(name, *mean.cells(), str(mean.n)) for name, mean in quality.means.items()]


@dataclass(frozen=True, slots=True)
class SemanticMeasure(Measure):
    """Mean IoU, on label maps or on panoptic truth whose segments are merged by category."""

    unseen: frozenset[str] = frozenset()
    """Names of categories that training had no masks of, for hIoU."""
    name: ClassVar[TaskName] = "semantic"
    heading: ClassVar[tuple[str, ...]] = ("", "IoU", "accuracy", "classes")

    def zero(self) -> SemanticTally:
        """No pixels."""
        return SemanticTally.zero(len(self.categories))

    def tally(self, answer: Answer, truth: Annotation) -> SemanticTally:
        """Gives every pixel a class by the semantic rule, and counts."""
        return tally_labels(truth.to_semantic(self.categories), self._labels(answer), len(self.categories))

    def _labels(self, answer: Answer) -> Int32[np.ndarray, "H W"]:
        """Places in the categories; -1 is none."""
        if answer.semantic_rule == "soft":
            concepts = soft_semantic_map(answer.prediction, answer.index, answer.frame)
        else:
            concepts = semantic_map(answer.merged, len(answer.vocabulary))
        place_of = places(self.categories)
        class_of = np.array([*(place_of[i] for i in answer.category_ids), -1], np.int32)
        return class_of[concepts]

    def image_score(self, tally: SemanticTally) -> float | None:
        """The picture's own mIoU."""
        return summarise_semantic(tally, self.categories).miou if tally.confusion.any() else None

    def truth_map(self, truth: Annotation) -> PanopticMap:
        """One segment for each class."""
        return self._map_of(truth.to_semantic(self.categories))

    def answer_map(self, answer: Answer) -> PanopticMap:
        """One segment for each class."""
        return self._map_of(self._labels(answer))

    def _map_of(self, labels: Int32[np.ndarray, "H W"]) -> PanopticMap:
        return true_map(labels + 1, [category.id for category in self.categories], self.categories)

    def summarise(self, tally: SemanticTally, categories: Sequence[Category]) -> SemanticQuality:
        """Mean IoU, also weighted by pixels, and accuracies; over all classes also hIoU, if there is a split."""
        whole = summarise_semantic(tally, self.categories, self.unseen)
        return whole if len(categories) == len(self.categories) else over_classes(whole, categories)

    def rows(self, quality: SemanticQuality) -> list[tuple[str, ...]]:
        """Mean IoU with the mean accuracy, the same by pixels, and the split."""
        occurring = str(sum(c.occurs for c in quality.per_class))
        rows = [
            ("mean over classes", percent(quality.miou), percent(quality.mean_accuracy), occurring),
            ("mean over pixels", percent(quality.fwiou), percent(quality.pixel_accuracy), ""),
        ]
        split = (
            ("mean over seen classes", quality.miou_seen),
            ("mean over unseen classes", quality.miou_unseen),
            ("harmonic mean of both", quality.hiou),
        )
        return rows + [(name, percent(value), "", "") for name, value in split if value is not None]


@dataclass(frozen=True, slots=True)
class InstanceMeasure(Measure):
    """Mask AP by COCO's official program, on objects or on the things of a panoptic truth."""

    name: ClassVar[TaskName] = "instance"
    heading: ClassVar[tuple[str, ...]] = ("", "AP", "AP50", "AP75", "classes")

    def zero(self) -> InstanceTally:
        """No pictures."""
        return InstanceTally()

    def tally(self, answer: Answer, truth: Annotation) -> InstanceTally:
        """Keeps the picture's masks. AP ranks them itself, so the score threshold does not apply."""
        merge = replace(answer.merge, score_threshold=0.0)
        found = instances(answer.prediction, answer.index, answer.frame, answer.vocabulary, merge)
        true = truth.to_instances(self.categories)
        detections = found_masks(found, answer.category_ids)
        one = PictureMasks(image_id=truth.sample.key, size=true.size, annotations=true.masks, found=detections)
        return InstanceTally(pictures=(one,))

    def image_score(self, tally: InstanceTally) -> float | None:
        """AP of the picture alone."""
        return summarise_instances(tally, self.categories).ap

    def truth_map(self, truth: Annotation) -> PanopticMap:
        """Objects over one another, the largest lowest."""
        true = truth.to_instances(self.categories)
        ids = np.zeros(true.size, np.int32)
        for number in sorted(range(len(true.masks)), key=lambda number: -true.masks[number].area):
            ids[pixels_of(true.masks[number].counts, true.size)] = number + 1
        return true_map(ids, [mask.category_id for mask in true.masks], self.categories)

    def summarise(self, tally: InstanceTally, categories: Sequence[Category]) -> InstanceQuality:
        """AP over all IoU thresholds, at 0.50 and at 0.75, and by size."""
        return summarise_instances(tally, categories)

    def rows(self, quality: InstanceQuality) -> list[tuple[str, ...]]:
        """All sizes, and AP of each."""
        known = str(sum(c.ap is not None for c in quality.per_class))
        sizes = (("small", quality.ap_small), ("medium", quality.ap_medium), ("large", quality.ap_large))
        return [("all", *quality.cells(), known), *((name, percent(figure), "", "", "") for name, figure in sizes)]


def measure_of(dataset: Dataset, task: TaskName | None, unseen: frozenset[str] = frozenset()) -> Measure:
    """The measure of a task on a data set; what the data set is made for if no task is named.

    Args:
        dataset: samples on disk.
        task: what is measured.
        unseen: names of categories that training had no masks of; a data set's own split goes before it.

    Raises:
        ValueError: if the data set has no truth for the task.
    """
    own: list[TaskName] = [kind for kind in MASK_KINDS if kind in dataset.kinds]
    if not own or not (task is None or task in own or ("panoptic" in own and task in MASK_KINDS)):
        kinds = " and ".join(own) or "no"
        raise ValueError(f"a data set of {kinds} truth has none for the {task or 'panoptic'} task: name another.")
    task = task or own[0]
    if task == "semantic":
        return SemanticMeasure(dataset, dataset.unseen or unseen)
    return PanopticMeasure(dataset) if task == "panoptic" else InstanceMeasure(dataset)


def _jsonable_class(quality: ClassQuality) -> dict[str, Any]:
    category, tally = quality.category, quality.tally
    known = {"name": category.name, "category_id": category.id, "is_thing": category.is_thing}
    return {**known, **quality.to_jsonable(), "tp": tally.tp, "fp": tally.fp, "fn": tally.fn}

"""The tasks that a model can be measured on: panoptic, semantic and instance segmentation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Int32

from lexiseg.core.errors import FormatError
from lexiseg.core.images import open_picture
from lexiseg.core.structures import PanopticMap
from lexiseg.core.tables import percent
from lexiseg.data.datasets.spec import AnnotatedDataset
from lexiseg.data.formats.coco_instances import InstanceDataset, InstanceSample
from lexiseg.data.formats.coco_panoptic import Category, PanopticDataset, Sample
from lexiseg.data.formats.id_maps import compact
from lexiseg.data.formats.label_maps import SemanticDataset, SemanticSample, load_labels
from lexiseg.data.formats.run_lengths import pixels_of
from lexiseg.evaluation.loading import Opened, check_size, open_panoptic
from lexiseg.evaluation.measure import Answer, Measure, TaskName, true_map
from lexiseg.evaluation.metrics.instance_quality import (
    InstanceQuality,
    InstanceTally,
    TrueMask,
    found_masks,
    summarise_instances,
    tally_instances,
    true_masks_of_annotations,
    true_masks_of_map,
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

    dataset: PanopticDataset
    name: ClassVar[TaskName] = "panoptic"
    heading: ClassVar[tuple[str, ...]] = ("", "PQ", "SQ", "RQ", "classes")

    def open(self, sample: Any) -> Opened:
        """Reads a picture and its id map."""
        return open_panoptic(sample, self.dataset.categories)

    def zero(self) -> PanopticTally:
        """No segments."""
        return PanopticTally()

    def tally(self, answer: Answer, truth: Any) -> PanopticTally:
        """Merges the masks into a map and matches its segments."""
        found = answer.merged()
        segments = answer.segment_infos(found)
        return tally_pair(truth.ids, truth.sample.segments, found.segmentation, segments, self.dataset.categories)

    def image_score(self, tally: PanopticTally) -> float | None:
        """PQ of the picture as if all its segments were of one class."""
        whole = sum(tally.classes.values(), ClassTally())
        return whole.iou_sum / (whole.tp + whole.fp / 2 + whole.fn / 2) if whole.count else None

    def truth_map(self, truth: Any) -> PanopticMap:
        """Its listed segments, crowds included; pixels of others are void here."""
        listed = truth.sample.segments
        ids = compact(truth.ids, [s.id for s in listed]) + 1
        return true_map(ids, [s.category_id for s in listed], self.categories)

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelTruth:
    """One picture's semantic annotation, in memory."""

    sample: Sample | SemanticSample
    labels: Int32[np.ndarray, "H W"]
    """Places in the data set's categories; -1 is ignored."""


@dataclass(frozen=True, slots=True)
class SemanticMeasure(Measure):
    """Mean IoU, on label maps or on panoptic truth whose segments are merged by category."""

    dataset: PanopticDataset | SemanticDataset
    unseen: frozenset[str] = frozenset()
    """Names of categories that training had no masks of, for hIoU."""
    name: ClassVar[TaskName] = "semantic"
    heading: ClassVar[tuple[str, ...]] = ("", "IoU", "accuracy", "classes")

    def open(self, sample: Any) -> Opened:
        """Reads a picture and its label map."""
        if isinstance(self.dataset, SemanticDataset):
            labels = load_labels(sample, self.dataset)
            picture = open_picture(sample.image_path)
            check_size(sample.file_name, picture, labels)
            return Opened(picture=picture, truth=LabelTruth(sample=sample, labels=labels))
        opened = open_panoptic(sample, self.dataset.categories)
        places = {category.id: place for place, category in enumerate(self.dataset.categories)}
        segments = {s.id: places[s.category_id] for s in sample.segments}
        class_of = np.array([*segments.values(), -1], np.int32)
        labels = class_of[compact(opened.truth.ids, list(segments))]  # -1, no segment, reads the last
        return Opened(picture=opened.picture, truth=LabelTruth(sample=sample, labels=labels))

    def zero(self) -> SemanticTally:
        """No pixels."""
        return SemanticTally.zero(len(self.categories))

    def tally(self, answer: Answer, truth: Any) -> SemanticTally:
        """Gives every pixel a class by the asked rule, and counts."""
        return tally_labels(truth.labels, self._labels(answer), len(self.categories))

    def _labels(self, answer: Answer) -> Int32[np.ndarray, "H W"]:
        """Places in the categories; -1 is none."""
        if answer.semantic_rule == "soft":
            concepts = soft_semantic_map(answer.prediction, answer.index, answer.frame)
        else:
            concepts = semantic_map(answer.merged(), len(answer.vocabulary))
        places = {category.id: place for place, category in enumerate(self.categories)}
        class_of = np.array([*(places[i] for i in answer.category_ids), -1], np.int32)
        return class_of[concepts]

    def image_score(self, tally: SemanticTally) -> float | None:
        """The picture's own mIoU."""
        return summarise_semantic(tally, self.categories).miou if tally.confusion.any() else None

    def truth_map(self, truth: Any) -> PanopticMap:
        """One segment for each class."""
        return self._map_of(truth.labels)

    def answer_map(self, answer: Answer) -> PanopticMap:
        """Likewise."""
        return self._map_of(self._labels(answer))

    def _map_of(self, labels: Int32[np.ndarray, "H W"]) -> PanopticMap:
        return true_map(labels + 1, [category.id for category in self.categories], self.categories)

    def summarise(self, tally: SemanticTally, categories: Sequence[Category]) -> SemanticQuality:
        """Mean IoU and its kin; over all classes also hIoU, if there is a split."""
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskTruth:
    """One picture's objects, in memory."""

    sample: Sample | InstanceSample
    masks: tuple[TrueMask, ...]
    size: tuple[int, int]
    """Height and width in pixels."""


@dataclass(frozen=True, slots=True)
class InstanceMeasure(Measure):
    """Mask AP by COCO's official program, on objects or on the things of a panoptic truth."""

    dataset: PanopticDataset | InstanceDataset
    name: ClassVar[TaskName] = "instance"
    heading: ClassVar[tuple[str, ...]] = ("", "AP", "AP50", "AP75", "classes")

    def open(self, sample: Any) -> Opened:
        """Reads a picture and the masks of its objects."""
        if isinstance(self.dataset, PanopticDataset):
            opened = open_panoptic(sample, self.categories)
            masks = true_masks_of_map(opened.truth.ids, sample.segments, self.categories)
            truth = MaskTruth(sample=sample, masks=masks, size=opened.truth.ids.shape)
            return Opened(picture=opened.picture, truth=truth)
        picture = open_picture(sample.image_path)
        size = sample.height, sample.width
        if picture.shape[:2] != size:
            raise FormatError(
                f"{sample.file_name}: the picture is {picture.shape[1]} x {picture.shape[0]} pixels, "
                f"its objects are drawn for {sample.width} x {sample.height}."
            )
        masks = true_masks_of_annotations(sample.file_name, sample.annotations, size)
        return Opened(picture=picture, truth=MaskTruth(sample=sample, masks=masks, size=size))

    def zero(self) -> InstanceTally:
        """No pictures."""
        return InstanceTally()

    def tally(self, answer: Answer, truth: Any) -> InstanceTally:
        """Keeps the picture's masks. AP ranks them itself, so the score threshold does not apply."""
        merge = replace(answer.merge, score_threshold=0.0)
        found = instances(answer.prediction, answer.index, answer.frame, answer.vocabulary, merge)
        return tally_instances(truth.sample.image_id, truth.size, truth.masks, found_masks(found, answer.category_ids))

    def image_score(self, tally: InstanceTally) -> float | None:
        """AP of the picture alone."""
        return summarise_instances(tally, self.categories).ap

    def truth_map(self, truth: Any) -> PanopticMap:
        """Objects over one another, the largest lowest."""
        ids = np.zeros(truth.size, np.int32)
        order = sorted(range(len(truth.masks)), key=lambda number: -truth.masks[number].area)
        for number in order:
            ids[pixels_of(truth.masks[number].counts, truth.size)] = number + 1
        return true_map(ids, [mask.category_id for mask in truth.masks], self.categories)

    def summarise(self, tally: InstanceTally, categories: Sequence[Category]) -> InstanceQuality:
        """AP and its kin."""
        return summarise_instances(tally, categories)

    def rows(self, quality: InstanceQuality) -> list[tuple[str, ...]]:
        """All sizes, and AP of each."""
        known = str(sum(c.ap is not None for c in quality.per_class))
        sizes = (("small", quality.ap_small), ("medium", quality.ap_medium), ("large", quality.ap_large))
        return [
            ("all", *quality.cells(), known),
            *((name, percent(figure), "", "", "") for name, figure in sizes),
        ]


def measure_of(dataset: AnnotatedDataset, task: TaskName | None, unseen: frozenset[str] = frozenset()) -> Measure:
    """The measure of a task on a data set; what the data set is made for if no task is named.

    Args:
        dataset: samples on disk.
        task: what is measured.
        unseen: names of categories that training had no masks of; a data set's own split goes before it.

    Raises:
        ValueError: if the data set has no truth for the task.
    """
    match dataset, task:
        case PanopticDataset(), None | "panoptic":
            return PanopticMeasure(dataset)
        case PanopticDataset(), "semantic":
            return SemanticMeasure(dataset, unseen)
        case PanopticDataset(), "instance":
            return InstanceMeasure(dataset)
        case SemanticDataset(), None | "semantic":
            return SemanticMeasure(dataset, dataset.unseen or unseen)
        case InstanceDataset(), None | "instance":
            return InstanceMeasure(dataset)
        case _:
            kind = type(dataset).__name__.removesuffix("Dataset").lower()
            raise ValueError(f"a data set of {kind} truth has none for the {task or 'panoptic'} task: name another.")


def _jsonable_class(quality: ClassQuality) -> dict[str, Any]:
    category, tally = quality.category, quality.tally
    known = {"name": category.name, "category_id": category.id, "is_thing": category.is_thing}
    return {**known, **quality.to_jsonable(), "tp": tally.tp, "fp": tally.fp, "fn": tally.fn}

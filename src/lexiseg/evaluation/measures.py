"""The tasks that a model can be measured on: what a truth is, how an answer is held against it, how figures are told.

A measure is bound to a data set and goes to the processes that read it. Its tallies are values that add up; as plain
data they can be kept on disk and sent to other processes.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Int32

from lexiseg.core.frames import Frame
from lexiseg.core.structures import MaskPrediction, PanopticMap, Segment
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import places
from lexiseg.data.dataset import MASK_KINDS, Annotation, Category, Dataset, Loaded, Sample, SegmentInfo, TaskName
from lexiseg.data.id_maps import compact, segments_of
from lexiseg.data.run_lengths import pixels_of
from lexiseg.evaluation.metrics.instance_quality import (
    InstanceQuality,
    InstanceTally,
    found_masks,
    summarise_instances,
    tally_instances,
)
from lexiseg.evaluation.metrics.panoptic_quality import (
    ClassQuality,
    ClassTally,
    PanopticQuality,
    Tally,
    jsonable_quality,
    percent,
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
from lexiseg.models.base import SemanticRule
from lexiseg.models.postprocess.instances import instances
from lexiseg.models.postprocess.panoptic import MergeConfig, panoptic_map
from lexiseg.models.postprocess.semantic import semantic_map, soft_semantic_map


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What a model says of one picture of a batch, and what it was asked."""

    prediction: MaskPrediction
    index: int
    frame: Frame
    vocabulary: Vocabulary
    """Thing or stuff as the data set has it."""
    category_ids: tuple[int, ...]
    """The category of each concept."""
    merge: MergeConfig
    semantic_rule: SemanticRule

    def merged(self) -> PanopticMap:
        """The panoptic map."""
        return panoptic_map(self.prediction, self.index, self.frame, self.vocabulary, self.merge)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRow:
    """One class of a report."""

    name: str
    figure: float
    """What classes are sorted by, as a fraction."""
    cells: tuple[str, ...]
    """As they stand under the heading, in percent."""


@dataclass(frozen=True, slots=True)
class Measure(ABC):
    """One task on one data set."""

    dataset: Dataset

    name: ClassVar[TaskName]
    """The task."""
    heading: ClassVar[tuple[str, ...]]
    """Names of the figures; the first column, of names, has none."""

    @property
    def samples(self) -> tuple[Sample, ...]:
        """On disk."""
        return self.dataset.samples

    @property
    def categories(self) -> tuple[Category, ...]:
        """Of the data set; their places are the class ids."""
        return self.dataset.categories

    def open(self, sample: Sample) -> Loaded:
        """Reads one sample, with the kind of annotation that the task needs and no other.

        Raises:
            PictureError, FormatError: if it cannot be read.
        """
        loaded = self.dataset.load(sample)
        return replace(loaded, annotation=loaded.annotation.as_kind(self.name, self.categories))

    def to_jsonable(self, tally: Any) -> Any:
        """The tally as JSON has it."""
        return tally.to_jsonable()

    def from_jsonable(self, plain: Any) -> Any:
        """The inverse of `to_jsonable`."""
        return type(self.zero()).from_jsonable(plain)

    @abstractmethod
    def zero(self) -> Any:
        """The tally of nothing."""

    @abstractmethod
    def tally(self, answer: Answer, truth: Annotation) -> Any:
        """Counts one picture."""

    @abstractmethod
    def scene_score(self, tally: Any) -> float | None:
        """How good one picture's answer is, as a fraction; None where nothing was to be found and nothing was."""

    @abstractmethod
    def truth_map(self, truth: Annotation) -> PanopticMap:
        """The truth as an answer would look, for pictures."""

    @abstractmethod
    def answer_map(self, answer: Answer) -> PanopticMap:
        """The answer that is counted, for pictures."""

    @abstractmethod
    def summarise(self, tally: Any, categories: Sequence[Category]) -> Any:
        """Turns counts into figures over some of the classes."""

    @abstractmethod
    def jsonable_figures(self, quality: Any, *, per_class: bool) -> dict[str, Any]:
        """Figures as fractions, for JSON; the main ones at the top level."""

    @abstractmethod
    def rows(self, quality: Any) -> list[tuple[str, ...]]:
        """Figures in percent, for the terminal."""

    @abstractmethod
    def class_rows(self, quality: Any) -> list[ClassRow]:
        """Every class that occurs."""


@dataclass(frozen=True, slots=True)
class PanopticMeasure(Measure):
    """Panoptic quality by COCO's official rules."""

    name = "panoptic"
    heading = ("", "PQ", "SQ", "RQ", "classes")

    def zero(self) -> Tally:
        """No segments."""
        return Tally()

    def tally(self, answer: Answer, truth: Annotation) -> Tally:
        """Merges the masks into a map and matches its segments."""
        found = answer.merged()
        segments = [
            SegmentInfo(id=s.id, category_id=answer.category_ids[s.class_id], area=s.area, box=s.box)
            for s in found.segments
        ]
        true = truth.to_segmentation(self.categories)
        return tally_pair(true.ids, true.segments, found.segmentation, segments, self.categories)

    def scene_score(self, tally: Tally) -> float | None:
        """PQ of the picture as if all its segments were of one class."""
        whole = sum(tally.classes.values(), ClassTally())
        return whole.iou_sum / (whole.tp + whole.fp / 2 + whole.fn / 2) if whole.count else None

    def truth_map(self, truth: Annotation) -> PanopticMap:
        """Its listed segments, crowds included; pixels of others are void here."""
        true = truth.to_segmentation(self.categories)
        ids = compact(true.ids, [s.id for s in true.segments]) + 1
        return true_map(ids, [s.category_id for s in true.segments], self.categories)

    def answer_map(self, answer: Answer) -> PanopticMap:
        """The merged map."""
        return answer.merged()

    def summarise(self, tally: Tally, categories: Sequence[Category]) -> PanopticQuality:
        """PQ, SQ and RQ."""
        return summarise(tally, categories)

    def jsonable_figures(self, quality: PanopticQuality, *, per_class: bool) -> dict[str, Any]:
        """All, things and stuff; classes in a list."""
        plain: dict[str, Any] = jsonable_quality(quality)
        if not per_class:
            return plain
        main = {"pq": quality.all.pq, "sq": quality.all.sq, "rq": quality.all.rq}
        return {**main, **plain, "per_class": [_plain_class(c) for c in quality.per_class]}

    def rows(self, quality: PanopticQuality) -> list[tuple[str, ...]]:
        """All, things and stuff."""
        parts = (("all", quality.all), ("things", quality.things), ("stuff", quality.stuff))
        return [(name, *percent(part), str(part.n)) for name, part in parts]

    def class_rows(self, quality: PanopticQuality) -> list[ClassRow]:
        """Classes with a match, a miss or a false alarm."""
        return [
            ClassRow(
                name=c.category.name,
                figure=c.pq,
                cells=(*percent(c), "thing" if c.category.is_thing else "stuff"),
            )
            for c in quality.per_class
            if c.tally.count
        ]


@dataclass(frozen=True, slots=True)
class SemanticMeasure(Measure):
    """Mean IoU, on label maps or on panoptic truth whose segments are merged by category."""

    name = "semantic"
    heading = ("", "IoU", "accuracy", "classes")
    unseen: frozenset[str] = frozenset()
    """Names of categories that training had no masks of, for hIoU."""

    def zero(self) -> SemanticTally:
        """No pixels."""
        return SemanticTally.zero(len(self.categories))

    def tally(self, answer: Answer, truth: Annotation) -> SemanticTally:
        """Gives every pixel a class by the asked rule, and counts."""
        return tally_labels(truth.to_semantic(self.categories), self._labels(answer), len(self.categories))

    def _labels(self, answer: Answer) -> Int32[np.ndarray, "H W"]:
        """Places in the categories; -1 is none."""
        if answer.semantic_rule == "soft":
            concepts = soft_semantic_map(answer.prediction, answer.index, answer.frame)
        else:
            concepts = semantic_map(answer.merged(), len(answer.vocabulary))
        place_of = places(self.categories)
        class_of = np.array([*(place_of[i] for i in answer.category_ids), -1], np.int32)
        return class_of[concepts]

    def scene_score(self, tally: SemanticTally) -> float | None:
        """The picture's own mIoU."""
        return summarise_semantic(tally, self.categories).miou if tally.confusion.any() else None

    def truth_map(self, truth: Annotation) -> PanopticMap:
        """One segment for each class."""
        return self._map_of(truth.to_semantic(self.categories))

    def answer_map(self, answer: Answer) -> PanopticMap:
        """Likewise."""
        return self._map_of(self._labels(answer))

    def _map_of(self, labels: Int32[np.ndarray, "H W"]) -> PanopticMap:
        return true_map(labels + 1, [category.id for category in self.categories], self.categories)

    def summarise(self, tally: SemanticTally, categories: Sequence[Category]) -> SemanticQuality:
        """Mean IoU and its kin; over all classes also hIoU, if there is a split."""
        whole = summarise_semantic(tally, self.categories, self.unseen)
        return whole if len(categories) == len(self.categories) else over_classes(whole, categories)

    def jsonable_figures(self, quality: SemanticQuality, *, per_class: bool) -> dict[str, Any]:
        """Figures by their names."""
        return _without_classes(quality.to_jsonable(), per_class=per_class)

    def rows(self, quality: SemanticQuality) -> list[tuple[str, ...]]:
        """Mean IoU with the mean accuracy, the same by pixels, and the split."""
        occurring = str(sum(c.occurs for c in quality.per_class))
        rows = [
            ("mean over classes", f"{100 * quality.miou:.1f}", f"{100 * quality.mean_accuracy:.1f}", occurring),
            ("mean over pixels", f"{100 * quality.fwiou:.1f}", f"{100 * quality.pixel_accuracy:.1f}", ""),
        ]
        split = (
            ("mean over seen classes", quality.miou_seen),
            ("mean over unseen classes", quality.miou_unseen),
            ("harmonic mean of both", quality.hiou),
        )
        return rows + [(name, f"{100 * value:.1f}", "", "") for name, value in split if value is not None]

    def class_rows(self, quality: SemanticQuality) -> list[ClassRow]:
        """Classes in truth or prediction."""
        return [
            ClassRow(
                name=c.category.name,
                figure=c.iou,
                cells=(
                    f"{100 * c.iou:.1f}",
                    f"{100 * c.accuracy:.1f}",
                    "thing" if c.category.is_thing else "stuff",
                ),
            )
            for c in quality.per_class
            if c.occurs
        ]


@dataclass(frozen=True, slots=True)
class InstanceMeasure(Measure):
    """Mask AP by COCO's official program, on objects or on the things of a panoptic truth."""

    name = "instance"
    heading = ("", "AP", "AP50", "AP75", "classes")

    def zero(self) -> InstanceTally:
        """No pictures."""
        return InstanceTally()

    def tally(self, answer: Answer, truth: Annotation) -> InstanceTally:
        """Keeps the picture's masks. AP ranks them itself, so the score threshold does not apply."""
        merge = replace(answer.merge, score_threshold=0.0)
        found = instances(answer.prediction, answer.index, answer.frame, answer.vocabulary, merge)
        true = truth.to_instances(self.categories)
        return tally_instances(truth.sample.key, true.size, true.masks, found_masks(found, answer.category_ids))

    def scene_score(self, tally: InstanceTally) -> float | None:
        """AP of the picture alone."""
        return summarise_instances(tally, self.categories).ap

    def truth_map(self, truth: Annotation) -> PanopticMap:
        """Objects over one another, the largest lowest."""
        true = truth.to_instances(self.categories)
        ids = np.zeros(true.size, np.int32)
        for number in sorted(range(len(true.masks)), key=lambda number: -true.masks[number].area):
            ids[pixels_of(true.masks[number].counts, true.size)] = number + 1
        return true_map(ids, [mask.category_id for mask in true.masks], self.categories)

    def answer_map(self, answer: Answer) -> PanopticMap:
        """The merged map, in which no two masks overlap as those that are counted may."""
        return answer.merged()

    def summarise(self, tally: InstanceTally, categories: Sequence[Category]) -> InstanceQuality:
        """AP and its kin."""
        return summarise_instances(tally, categories)

    def jsonable_figures(self, quality: InstanceQuality, *, per_class: bool) -> dict[str, Any]:
        """Figures by their names."""
        return _without_classes(quality.to_jsonable(), per_class=per_class)

    def rows(self, quality: InstanceQuality) -> list[tuple[str, ...]]:
        """All sizes, and AP of each."""
        known = str(sum(c.ap is not None for c in quality.per_class))
        sizes = (("small", quality.ap_small), ("medium", quality.ap_medium), ("large", quality.ap_large))
        return [
            ("all", _shown(quality.ap), _shown(quality.ap50), _shown(quality.ap75), known),
            *((name, _shown(figure), "", "", "") for name, figure in sizes),
        ]

    def class_rows(self, quality: InstanceQuality) -> list[ClassRow]:
        """Classes with true objects."""
        return [
            ClassRow(name=c.category.name, figure=c.ap, cells=(_shown(c.ap), _shown(c.ap50), _shown(c.ap75), "thing"))
            for c in quality.per_class
            if c.ap is not None
        ]


def _shown(figure: float | None) -> str:
    return "-" if figure is None else f"{100 * figure:.1f}"


def _without_classes(plain: dict[str, Any], *, per_class: bool) -> dict[str, Any]:
    return plain if per_class else {key: value for key, value in plain.items() if key != "per_class"}


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


def true_map(ids: Int32[np.ndarray, "H W"], category_ids: Sequence[int], categories: Sequence[Category]) -> PanopticMap:
    """A truth as a model's answer would look, sure of every name.

    Args:
        ids: segments numbered from 1; 0 is void. Numbers without a pixel are left out.
        category_ids: of the segments, in the order of their numbers.
        categories: of the data set.
    """
    place_of = places(categories)
    segments: list[Segment] = []
    for number, (area, box) in segments_of(ids).items():
        place = place_of[category_ids[number - 1]]
        category = categories[place]
        segments.append(
            Segment(
                id=number,
                class_id=place,
                name=category.name,
                score=1.0,
                is_thing=category.is_thing,
                area=area,
                box=box,
                guesses=(),
                path=(),
            )
        )
    return PanopticMap(segmentation=ids, segments=tuple(segments))


def _plain_class(quality: ClassQuality) -> dict[str, Any]:
    tally = quality.tally
    return {
        "name": quality.category.name,
        "category_id": quality.category.id,
        "is_thing": quality.category.is_thing,
        "pq": quality.pq,
        "sq": quality.sq,
        "rq": quality.rq,
        "tp": tally.tp,
        "fp": tally.fp,
        "fn": tally.fn,
    }

"""The tasks that a model can be measured on: what a truth is, how an answer is held against it, how figures are told.

A measure is bound to a data set and goes to the processes that read it. Its tallies are values that add up; as plain
data they can be kept on disk and sent to other processes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from lexiseg.core.frames import Frame
from lexiseg.core.structures import MaskPrediction
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.panoptic_format import Category, PanopticDataset, SegmentInfo
from lexiseg.evaluation.panoptic_quality import (
    ClassQuality,
    ClassTally,
    PanopticQuality,
    Tally,
    percent,
    plain_quality,
    summarise,
    tally_pair,
)
from lexiseg.evaluation.truths import Opened, open_panoptic
from lexiseg.models.postprocess import MergeConfig, panoptic_map

TaskName = Literal["panoptic", "semantic", "instance"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRow:
    """One class of a report."""

    name: str
    figure: float
    """What classes are sorted by, as a fraction."""
    cells: tuple[str, ...]
    """As they stand under the heading, in percent."""


@runtime_checkable
class Measure(Protocol):
    """One task on one data set."""

    @property
    def name(self) -> TaskName:
        """The task."""
        ...

    @property
    def samples(self) -> Sequence[Any]:
        """On disk, each with a `file_name`."""
        ...

    @property
    def categories(self) -> tuple[Category, ...]:
        """Of the data set."""
        ...

    @property
    def heading(self) -> tuple[str, ...]:
        """Names of the figures; the first column, of names, has none."""
        ...

    def open(self, sample: Any) -> Opened:
        """Reads one sample.

        Raises:
            PictureError, FormatError: if it cannot be read.
        """
        ...

    def zero(self) -> Any:
        """The tally of nothing."""
        ...

    def tally(self, answer: Answer, truth: Any) -> Any:
        """Counts one picture."""
        ...

    def scene_score(self, tally: Any) -> float | None:
        """How good one picture's answer is, as a fraction; None where nothing was to be found and nothing was."""
        ...

    def to_plain(self, tally: Any) -> Any:
        """The tally as JSON has it."""
        ...

    def from_plain(self, plain: Any) -> Any:
        """The inverse of `to_plain`."""
        ...

    def summarise(self, tally: Any, categories: Sequence[Category]) -> Any:
        """Turns counts into figures over some of the classes."""
        ...

    def plain_figures(self, quality: Any, *, per_class: bool) -> dict[str, Any]:
        """Figures as fractions, for JSON; the main ones at the top level."""
        ...

    def rows(self, quality: Any) -> list[tuple[str, ...]]:
        """Figures in percent, for the terminal."""
        ...

    def class_rows(self, quality: Any) -> list[ClassRow]:
        """Every class that occurs."""
        ...


@dataclass(frozen=True, slots=True)
class PanopticMeasure:
    """Panoptic quality by COCO's official rules."""

    dataset: PanopticDataset
    name: TaskName = "panoptic"
    heading: tuple[str, ...] = ("", "PQ", "SQ", "RQ", "classes")

    @property
    def samples(self) -> Sequence[Any]:
        """On disk."""
        return self.dataset.samples

    @property
    def categories(self) -> tuple[Category, ...]:
        """Of the data set."""
        return self.dataset.categories

    def open(self, sample: Any) -> Opened:
        """Reads a picture and its id map."""
        return open_panoptic(sample, self.dataset.categories)

    def zero(self) -> Tally:
        """No segments."""
        return Tally()

    def tally(self, answer: Answer, truth: Any) -> Tally:
        """Merges the masks into a map and matches its segments."""
        found = panoptic_map(answer.prediction, answer.index, answer.frame, answer.vocabulary, answer.merge)
        segments = [
            SegmentInfo(id=s.id, category_id=answer.category_ids[s.class_id], area=s.area, box=s.box)
            for s in found.segments
        ]
        return tally_pair(truth.ids, truth.sample.segments, found.segmentation, segments, self.dataset.categories)

    def scene_score(self, tally: Tally) -> float | None:
        """PQ of the picture as if all its segments were of one class."""
        whole = sum(tally.classes.values(), ClassTally())
        return whole.iou_sum / (whole.tp + whole.fp / 2 + whole.fn / 2) if whole.count else None

    def to_plain(self, tally: Tally) -> Any:
        """Counts by category id."""
        return {str(key): [c.iou_units, c.tp, c.fp, c.fn] for key, c in tally.classes.items()}

    def from_plain(self, plain: Any) -> Tally:
        """The inverse of `to_plain`."""
        rows: Mapping[str, Sequence[int]] = plain
        return Tally(
            classes={
                int(key): ClassTally(iou_units=units, tp=tp, fp=fp, fn=fn) for key, (units, tp, fp, fn) in rows.items()
            }
        )

    def summarise(self, tally: Tally, categories: Sequence[Category]) -> PanopticQuality:
        """PQ, SQ and RQ."""
        return summarise(tally, categories)

    def plain_figures(self, quality: PanopticQuality, *, per_class: bool) -> dict[str, Any]:
        """All, things and stuff; classes in a list."""
        plain: dict[str, Any] = plain_quality(quality)
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


AnyDataset = PanopticDataset


def measure_of(dataset: AnyDataset, task: TaskName | None) -> Measure:
    """The measure of a task on a data set; what the data set is made for if no task is named.

    Raises:
        ValueError: if the data set has no truth for the task.
    """
    return PanopticMeasure(dataset)


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

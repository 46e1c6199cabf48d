"""Panoptic quality by the rules of COCO's official evaluator, in numpy alone.

Kirillov et al., "Panoptic Segmentation" (2019): PQ = SQ x RQ per class, averaged over the classes
that occur. Tallies add up over pictures and over processes, and the order never changes a digit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from lexiseg.core.checks import check_size
from lexiseg.data.dataset import Category, SegmentInfo, last_of_each_id
from lexiseg.data.id_maps import MAX_ID, VOID, compact, run_lengths
from lexiseg.evaluation.metrics.figures import Figures

# A match has an IoU above one half, and doubles in (1/2, 1] are whole multiples of 2^-53. So the
# sum of the IoUs is kept as a whole number of these: exact, of constant size, and free of order.
IOU_UNIT = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassTally:
    """Counts of one class."""

    iou_units: int = 0
    """Sum of the IoUs of the matches, in units of 2^-53."""
    tp: int = 0
    fp: int = 0
    fn: int = 0

    @property
    def iou_sum(self) -> float:
        """Sum of the IoUs of the matches, rounded once."""
        return self.iou_units / IOU_UNIT

    @property
    def count(self) -> int:
        """Segments of either side that count: 0 leaves the class out of every mean."""
        return self.tp + self.fp + self.fn

    def __add__(self, other: "ClassTally") -> "ClassTally":
        return ClassTally(
            iou_units=self.iou_units + other.iou_units,
            tp=self.tp + other.tp,
            fp=self.fp + other.fp,
            fn=self.fn + other.fn,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticTally:
    """Counts per category id, empty classes left out; `PanopticTally()` is the zero of `+`."""

    classes: Mapping[int, ClassTally] = field(default_factory=dict)

    def __add__(self, other: "PanopticTally") -> "PanopticTally":
        keys = sorted(self.classes.keys() | other.classes.keys())
        return PanopticTally(classes={key: self[key] + other[key] for key in keys})

    def __getitem__(self, category_id: int) -> ClassTally:
        """The counts of one class, zeros where it did not occur."""
        return self.classes.get(category_id, ClassTally())

    def to_jsonable(self) -> list[list[int]]:
        """What JSON can hold: category id, IoU units, tp, fp and fn of every class."""
        return [[key, c.iou_units, c.tp, c.fp, c.fn] for key, c in self.classes.items()]

    @staticmethod
    def from_jsonable(rows: Iterable[Sequence[int]]) -> "PanopticTally":
        """The inverse of `to_jsonable`."""
        return PanopticTally(
            classes={key: ClassTally(iou_units=units, tp=tp, fp=fp, fn=fn) for key, units, tp, fp, fn in rows}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticFigures(Figures):
    """PQ = SQ x RQ, as fractions; all zero where nothing occurs."""

    NAMES = ("pq", "sq", "rq")
    pq: float
    sq: float
    rq: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality(PanopticFigures):
    """Means over a group of classes."""

    n: int
    """Classes that occur: those with a match, a false positive or a false negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassQuality(PanopticFigures):
    """The figures of one class."""

    category: Category
    tally: ClassTally

    @property
    def occurs(self) -> bool:
        """Whether it has a match, a miss or a false alarm."""
        return self.tally.count > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticQuality:
    """The whole report: means over all classes, things and stuff, then every class."""

    all: Quality
    things: Quality
    stuff: Quality
    per_class: tuple[ClassQuality, ...]

    @property
    def means(self) -> dict[str, Quality]:
        """The three means by their names."""
        return {"all": self.all, "things": self.things, "stuff": self.stuff}

    def to_jsonable(self) -> dict[str, dict[str, Any]]:
        """The three means as JSON has them."""
        return {name: {**mean.to_jsonable(), "n": mean.n} for name, mean in self.means.items()}


def tally_pair(
    truth_ids: Integer[np.ndarray, "H W"],
    truth_segments: Iterable[SegmentInfo],
    predicted_ids: Integer[np.ndarray, "_ _"],
    predicted_segments: Iterable[SegmentInfo],
    categories: Sequence[Category],
) -> PanopticTally:
    """Matches the segments of one picture and counts.

    A pair of one category matches at IoU > 0.5, where true void under the prediction is taken off the union. Crowd
    regions never match and are never missed. An unmatched prediction is forgiven if more than half of it lies on void
    and its own category's crowd.

    As in the official evaluator, a prediction must agree with its list, and a truth need not: a true segment has the
    area that is listed, so that an IoU may pass 1 where the map has more pixels; a listed one without a pixel is
    missed, and pixels of an unlisted one are neither void nor anybody's. Of two entries with one id the later counts.

    Args:
        truth_ids: the true map; 0 is void.
        truth_segments: its segments; an `area` of 0 is counted in the map, `box` is not used.
        predicted_ids: the predicted map of the same size; 0 is void.
        predicted_segments: its segments; `area`, `box` and `is_crowd` have no meaning here.
        categories: all that may occur.

    Raises:
        ValueError: if the sizes differ, a category is unknown, an id is negative, or a predicted segment stands in
            only one of map and list.
    """
    truth, predicted = last_of_each_id(truth_segments), last_of_each_id(predicted_segments)
    known = {category.id for category in categories}
    for side, segments in (("truth", truth), ("prediction", predicted)):
        if unknown := {segment.category_id for segment in segments} - known:
            raise ValueError(f"{side}: category {min(unknown)} is not among the categories.")
    pairs = overlaps(truth_ids, truth, predicted_ids, predicted)
    true_classes, classes = (np.array([s.category_id for s in side], np.int64) for side in (truth, predicted))
    matches = pairs.matches()
    matches[1:, 1:] &= true_classes[:, None] == classes[None]

    counts = dict.fromkeys(sorted({*true_classes.tolist(), *classes.tolist()}), ClassTally())
    for row, column in zip(*(axis.tolist() for axis in matches.nonzero()), strict=True):
        counts[truth[row - 1].category_id] += pairs.match(row, column)
    for row, segment in enumerate(truth, start=1):
        if not segment.is_crowd and not matches[row].any():
            counts[segment.category_id] += ClassTally(fn=1)
    for column, segment in enumerate(predicted, start=1):
        if not matches[:, column].any() and not pairs.is_forgiven(column, segment.category_id):
            counts[segment.category_id] += ClassTally(fp=1)
    return PanopticTally(classes={key: value for key, value in counts.items() if value.count})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overlaps:
    """How predicted segments or masks lie over the true segments; row and column 0 are void, others from 1."""

    truth: tuple[SegmentInfo, ...]
    shared: Int[np.ndarray, "T1 P1"]
    """Pixels of every pair."""
    true_areas: Int[np.ndarray, " T1"]
    """Of the true segments, in pixels; of segments in a list as it has them, see `tally_pair`."""
    areas: Int[np.ndarray, " P1"]
    """Of the predicted ones, in pixels."""

    def iou(self) -> Float[np.ndarray, "T1 P1"]:
        """The IoU of every pair."""
        return self.shared / np.maximum(self._unions(), 1)

    def matches(self) -> Bool[np.ndarray, "T1 P1"]:
        """Pairs of segments with an IoU above one half, whatever their categories; a crowd has none."""
        found = 2 * self.shared > self._unions()  # in whole numbers: no rounding decides a match
        found[0], found[:, 0] = False, False
        found[1:][[segment.is_crowd for segment in self.truth]] = False
        return found

    def matched(self) -> list[int | None]:
        """For each prediction the place in `truth` of the segment that it matches: above one half there is but one."""
        return [int(column.argmax()) if column.any() else None for column in self.matches()[1:, 1:].T]

    def match(self, row: int, column: int) -> ClassTally:
        """What a match counts."""
        union = self.true_areas[row] + self.areas[column] - self.shared[row, column] - self.shared[0, column]
        return ClassTally(iou_units=int(int(self.shared[row, column]) / int(union) * IOU_UNIT), tp=1)

    def is_forgiven(self, column: int, category_id: int) -> bool:
        """Whether more than half of a prediction lies on void and the crowd of its category."""
        # COCO has one crowd region per category; of several the official program takes the last.
        crowds = [r for r, s in enumerate(self.truth, start=1) if s.is_crowd and s.category_id == category_id]
        rows = [0, *crowds[-1:]]
        return bool(2 * self.shared[rows, column].sum() > self.areas[column])

    def _unions(self) -> Int[np.ndarray, "T1 P1"]:
        """Pixels of both, true void under the prediction taken off."""
        return self.true_areas[:, None] + self.areas[None] - self.shared - self.shared[0][None]


def overlaps(
    truth_ids: Integer[np.ndarray, "H W"],
    truth_segments: Iterable[SegmentInfo],
    predicted_ids: Integer[np.ndarray, "_ _"],
    predicted_segments: Iterable[SegmentInfo],
) -> Overlaps:
    """Counts the pixels of every pair of segments; see `tally_pair` for what may differ between map and list.

    Raises:
        ValueError: as `tally_pair`, but categories are not looked at.
    """
    truth, predicted = last_of_each_id(truth_segments), last_of_each_id(predicted_segments)
    check_size("the truth", truth_ids.shape, "the prediction", predicted_ids.shape)
    true_listed, listed = _listed("truth", truth), _listed("prediction", predicted)
    # Segments are wide, so the pixels of a row come in runs: some twenty times fewer than pixels.
    (true_runs, runs), lengths = run_lengths(truth_ids, predicted_ids)
    if min(true_runs.min(initial=0), runs.min(initial=0)) < 0:
        raise ValueError("the ids of a map must not be negative: 0 is void.")
    rows, columns = compact(true_runs, true_listed), compact(runs, listed)
    if (columns < 0).any():
        raise ValueError(f"prediction: segment {runs[columns < 0][0]} is in the map but not in the list.")
    rows[rows < 0] = len(true_listed)
    height, width = len(true_listed) + 1, len(listed)
    pairs = np.bincount(rows.astype(np.int64) * width + columns, weights=lengths, minlength=height * width)
    shared = pairs.astype(np.int64).reshape(height, width)  # sums of whole numbers, exact in float64
    if not (areas := shared.sum(0))[1:].all():
        raise ValueError(
            f"prediction: segment {listed[1 + int(areas[1:].argmin())]} is in the list but not in the map."
        )
    true_areas = shared[:-1].sum(1)  # an unlisted true segment is part of predicted areas and of nothing else
    stated = np.array([0, *(segment.area for segment in truth)])
    return Overlaps(truth=truth, shared=shared[:-1], true_areas=np.where(stated > 0, stated, true_areas), areas=areas)


def mask_overlaps(
    truth_ids: Integer[np.ndarray, "H W"], truth_segments: Iterable[SegmentInfo], masks: Iterable[np.ndarray]
) -> Overlaps:
    """Counts the pixels that masks share with true segments; the masks may lie over one another.

    Args:
        truth_ids: the true map; 0 is void.
        truth_segments: its segments; `area` and `box` are not used.
        masks: bool (H, W), one by one, so that they need not be in memory together.
    """
    truth = last_of_each_id(truth_segments)
    listed = _listed("truth", truth)
    rows = compact(truth_ids, listed)
    rows[rows < 0] = len(listed)  # unlisted segments are part of the masks' areas and of nothing else

    def count(pixels: np.ndarray) -> np.ndarray:
        return np.bincount(pixels.ravel(), minlength=len(listed) + 1)

    none = np.zeros(len(listed) + 1, np.int64)  # no mask is void
    shared = np.stack([none, *(count(rows[mask]) for mask in masks)], axis=1)
    return Overlaps(truth=truth, shared=shared[:-1], true_areas=count(rows)[:-1], areas=shared.sum(0))


def summarise(tally: PanopticTally, categories: Sequence[Category]) -> PanopticQuality:
    """Turns counts into figures: each class's own, and macro means over the classes that occur."""
    per_class = tuple(_quality_of(category, tally[category.id]) for category in categories)
    return PanopticQuality(
        all=_mean(per_class),
        things=_mean([c for c in per_class if c.category.is_thing]),
        stuff=_mean([c for c in per_class if not c.category.is_thing]),
        per_class=per_class,
    )


def _listed(side: str, segments: Sequence[SegmentInfo]) -> list[int]:
    """Void and the listed ids, which must make sense."""
    listed = [segment.id for segment in segments]
    if min(listed, default=1) <= VOID or max(listed, default=1) > MAX_ID:
        raise ValueError(f"{side}: segment ids must be positive and fit in 24 bits.")
    return [VOID, *listed]


def _quality_of(category: Category, tally: ClassTally) -> ClassQuality:
    sq = tally.iou_sum / tally.tp if tally.tp else 0.0
    half = tally.tp + tally.fp / 2 + tally.fn / 2
    pq, rq = (tally.iou_sum / half, tally.tp / half) if half else (0.0, 0.0)
    return ClassQuality(category=category, tally=tally, pq=pq, sq=sq, rq=rq)


def _mean(classes: Sequence[ClassQuality]) -> Quality:
    present = [c for c in classes if c.tally.count]
    n = len(present)
    pq, sq, rq = (sum(getattr(c, name) for c in present) / n if n else 0.0 for name in Quality.NAMES)
    return Quality(pq=pq, sq=sq, rq=rq, n=n)

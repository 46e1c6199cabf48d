"""Mean IoU from counts of pixels, with the split into seen and unseen names; in numpy alone.

A confusion matrix holds whole numbers, so tallies add up over pictures and processes without rounding. Figures are
quotients of these whole numbers, and sums over classes are exactly rounded: no order of anything changes a digit.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Int, Integer

from lexiseg.core.checks import check_size
from lexiseg.data.dataset import Category
from lexiseg.data.id_maps import run_lengths
from lexiseg.evaluation.metrics.figures import Figures


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SemanticTally:
    """Counts of pixels that have a true class; `SemanticTally.zero(K)` is the zero of `+`."""

    confusion: Int[np.ndarray, "K K1"]
    """int64: rows are true classes, columns predicted classes; the last column is void, which no class wins."""

    @staticmethod
    def zero(num_classes: int) -> "SemanticTally":
        """Nothing counted yet."""
        return SemanticTally(confusion=np.zeros((num_classes, num_classes + 1), np.int64))

    @staticmethod
    def from_jsonable(content: Mapping[str, Any]) -> "SemanticTally":
        """The inverse of `to_jsonable`."""
        num_classes = content["num_classes"]
        confusion = np.zeros(num_classes * (num_classes + 1), np.int64)
        confusion[content["places"]] = content["counts"]
        return SemanticTally(confusion=confusion.reshape(num_classes, num_classes + 1))

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.confusion)

    def __add__(self, other: "SemanticTally") -> "SemanticTally":
        if self.num_classes != other.num_classes:
            raise ValueError(
                f"counts over {self.num_classes} and over {other.num_classes} classes do not add up: "
                "count both with one list of classes."
            )
        return SemanticTally(confusion=self.confusion + other.confusion)

    def to_jsonable(self) -> dict[str, Any]:
        """What JSON can hold: only places of the matrix, read row by row, that are not zero."""
        flat = self.confusion.ravel()
        places = np.flatnonzero(flat)
        return {"num_classes": self.num_classes, "places": places.tolist(), "counts": flat[places].tolist()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassIoU(Figures):
    """Figures of one class, as fractions; zero where their denominator is."""

    NAMES = ("iou", "accuracy")
    category: Category
    iou: float
    accuracy: float
    """The share of its true pixels that are found."""
    hits: int
    """Pixels that are of this class in truth and prediction."""
    true_pixels: int
    predicted_pixels: int
    """Where the truth has any class; on ignored pixels nothing is counted."""

    @property
    def occurs(self) -> bool:
        """Whether truth or prediction has a pixel of it."""
        return self.true_pixels + self.predicted_pixels > 0

    def to_jsonable(self) -> dict[str, Any]:
        """What JSON can hold."""
        pixels = {name: getattr(self, name) for name in ("hits", "true_pixels", "predicted_pixels")}
        return {"name": self.category.name, "category_id": self.category.id, **Figures.to_jsonable(self), **pixels}


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticQuality:
    """The whole report, as fractions."""

    miou: float
    """The sum of the IoUs of classes with true pixels, divided by the number of classes that occur in truth or
    prediction (OVSeg). A class that is only predicted thus pulls the mean down, which a mean over the true classes
    alone would forgive; one that occurs nowhere is left out."""
    fwiou: float
    """The mean IoU weighted by true pixels."""
    pixel_accuracy: float
    """The share of true pixels whose class is found."""
    mean_accuracy: float
    """The mean accuracy of the classes with true pixels."""
    per_class: tuple[ClassIoU, ...]
    miou_seen: float | None = None
    """mIoU over the names that training had masks of; None without a split."""
    miou_unseen: float | None = None
    """mIoU over the other names; None without a split."""
    hiou: float | None = None
    """The harmonic mean of both, 0 if either is 0; None without a split."""

    def to_jsonable(self) -> dict[str, Any]:
        """What JSON can hold; the split only if there is one."""
        names = ("miou", "fwiou", "pixel_accuracy", "mean_accuracy")
        split = ("miou_seen", "miou_unseen", "hiou") if self.hiou is not None else ()
        figures = {name: getattr(self, name) for name in (*names, *split)}
        return {**figures, "per_class": [one.to_jsonable() for one in self.per_class]}


def tally_labels(
    truth: Integer[np.ndarray, "H W"], predicted: Integer[np.ndarray, "_ _"], num_classes: int
) -> SemanticTally:
    """Counts one picture.

    A true pixel without a class is ignored, whatever is predicted there. A predicted pixel without a class is never
    ignored: it is a miss of the true class.

    Args:
        truth: class ids; -1 is ignored.
        predicted: class ids of the same size; -1 is none, as `models.postprocess.semantic_map` has it.
        num_classes: K, positive.

    Raises:
        ValueError: if the sizes differ or a value is no class id.
    """
    check_size("the truth", truth.shape, "the prediction", predicted.shape)
    if num_classes < 1:
        raise ValueError(f"num_classes must be positive, got {num_classes}.")
    # Regions are wide, so pixels come in runs, and there are far fewer of these.
    (rows, columns), lengths = run_lengths(truth, predicted)
    _check_range("truth", rows, num_classes)
    _check_range("prediction", columns, num_classes)
    width = num_classes + 1
    # Both are shifted by one, so that "none" is a row or a column of its own: the first.
    codes = (rows.astype(np.int64) + 1) * width + (columns.astype(np.int64) + 1)
    # Weights are summed in float64, which is exact for whole numbers below 2^53.
    counts = np.bincount(codes, weights=lengths, minlength=width * width).astype(np.int64).reshape(width, width)
    return SemanticTally(confusion=np.roll(counts[1:], -1, axis=1))


def summarise_semantic(
    tally: SemanticTally, categories: Sequence[Category], unseen: frozenset[str] = frozenset()
) -> SemanticQuality:
    """Turns counts into figures.

    Args:
        tally: the counts.
        categories: one for each class id, in order.
        unseen: names of categories that training had no masks of; with none, there is no split.

    Raises:
        ValueError: if categories and counts do not fit one another, or `unseen` holds a name that no category has.
    """
    if len(categories) != tally.num_classes:
        raise ValueError(f"the counts are of {tally.num_classes} classes, but there are {len(categories)} categories.")
    if strange := sorted(unseen - {category.name for category in categories}):
        raise ValueError(f"{strange[0]!r} is held out, but no category has this name: leave it out.")
    hits = tally.confusion.diagonal().tolist()
    true_pixels = tally.confusion.sum(1).tolist()
    predicted_pixels = tally.confusion.sum(0)[:-1].tolist()
    per_class = tuple(
        ClassIoU(
            category=category,
            iou=_ratio(hit, true + predicted - hit),
            accuracy=_ratio(hit, true),
            hits=hit,
            true_pixels=true,
            predicted_pixels=predicted,
        )
        for category, hit, true, predicted in zip(categories, hits, true_pixels, predicted_pixels, strict=True)
    )
    quality = _quality_of(per_class)
    if not unseen:
        return quality
    seen = _mean_iou([one for one in per_class if one.category.name not in unseen])
    held_out = _mean_iou([one for one in per_class if one.category.name in unseen])
    return replace(quality, miou_seen=seen, miou_unseen=held_out, hiou=harmonic_mean(seen, held_out))


def over_classes(quality: SemanticQuality, categories: Sequence[Category]) -> SemanticQuality:
    """The figures over a group of the classes; pixels of other true classes count no more, except as false alarms."""
    wanted = {category.id for category in categories}
    return _quality_of(tuple(one for one in quality.per_class if one.category.id in wanted))


def harmonic_mean(one: float, other: float) -> float:
    """2ab / (a + b) of two fractions; 0 if either is 0."""
    return 2 * one * other / (one + other) if one and other else 0.0


def _quality_of(per_class: tuple[ClassIoU, ...]) -> SemanticQuality:
    pixels = sum(one.true_pixels for one in per_class)
    present = [one.accuracy for one in per_class if one.true_pixels]
    return SemanticQuality(
        miou=_mean_iou(per_class),
        fwiou=_ratio(math.fsum(one.true_pixels * one.iou for one in per_class), pixels),
        pixel_accuracy=_ratio(sum(one.hits for one in per_class), pixels),
        mean_accuracy=_ratio(math.fsum(present), len(present)),
        per_class=per_class,
    )


def _mean_iou(classes: Sequence[ClassIoU]) -> float:
    return _ratio(math.fsum(one.iou for one in classes if one.true_pixels), sum(one.occurs for one in classes))


def _ratio(part: float, whole: int) -> float:
    return part / whole if whole else 0.0


def _check_range(side: str, values: Integer[np.ndarray, " R"], num_classes: int) -> None:
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low < -1 or high >= num_classes:
        wrong = low if low < -1 else high
        raise ValueError(f"{side}: class ids must lie in 0 to {num_classes - 1}, or be -1 for none, got {wrong}.")

"""Where a model loses panoptic quality: oracles alone and on a ladder, sizes of segments, and confused names."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Integer

from lexiseg.core.pool import ProgressCallback
from lexiseg.core.structures import RegionCounts
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Category, Dataset, SegmentInfo
from lexiseg.evaluation.evaluator import EvaluationTask, count_shards, filled, inference, open_task
from lexiseg.evaluation.loading import Skipped, TruthBatch
from lexiseg.evaluation.metrics.panoptic_quality import (
    ClassTally,
    PanopticQuality,
    Quality,
    Tally,
    jsonable_quality,
    overlaps,
    percent,
    summarise,
    tally_pair,
)
from lexiseg.evaluation.oracles import ALONE, LADDER, ORACLES, MatchedImage, Oracles, answer, look, true_proposals
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.io.config_json import to_jsonable
from lexiseg.models.base import Fusion, OpenVocabularySegmenter
from lexiseg.models.postprocess.panoptic import MergeConfig

Size = Literal["small", "medium", "large"]
SIZES: Mapping[Size, str] = {
    "small": "below 32 x 32",
    "medium": "below 96 x 96",
    "large": "from 96 x 96",
}
"""COCO's sizes of segments, in pixels of the picture."""

NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisTally:
    """All counts of a diagnosis; `DiagnosisTally()` is the zero of `+`."""

    quality: Mapping[Oracles, Tally] = field(default_factory=dict)
    sizes: Mapping[Size, Tally] = field(default_factory=dict)
    confusions: Mapping[tuple[int, int | None], int] = field(default_factory=dict)
    """True segments by their category and the one given to them, None where no segment has their place."""

    def __add__(self, other: "DiagnosisTally") -> "DiagnosisTally":
        return DiagnosisTally(
            quality=_added(self.quality, other.quality, Tally()),
            sizes=_added(self.sizes, other.sizes, Tally()),
            confusions=_added(self.confusions, other.confusions, 0),
        )

    def to_jsonable(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {
            "quality": [[list(oracles), tally.to_jsonable()] for oracles, tally in self.quality.items()],
            "sizes": {size: tally.to_jsonable() for size, tally in self.sizes.items()},
            "confusions": [[true, given, count] for (true, given), count in self.confusions.items()],
        }

    @staticmethod
    def from_jsonable(content: Mapping[str, Any]) -> "DiagnosisTally":
        """The inverse of `to_jsonable`."""
        return DiagnosisTally(
            quality={tuple(oracles): Tally.from_jsonable(rows) for oracles, rows in content["quality"]},
            sizes={size: Tally.from_jsonable(content["sizes"][size]) for size in SIZES if size in content["sizes"]},
            confusions={(true, given): count for true, given, count in content["confusions"]},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """How often segments of one name were given another, or the same."""

    true: str
    given: str | None
    """None where nothing was found in their place."""
    count: int
    share: float
    """Of all true segments of this name."""

    @property
    def is_right(self) -> bool:
        """Whether it is no confusion at all."""
        return self.true == self.given


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What each part of a model costs. Figures are fractions."""

    quality: Mapping[Oracles, PanopticQuality]
    """The model as it is, each oracle alone, and the rungs of the ladder."""
    sizes: Mapping[Size, PanopticQuality]
    """The model's figures by the size of segments. A true segment counts in its own size, and so does the prediction
    that matches it; an unmatched prediction counts in the size that it has itself. So the counts of the three sizes
    add up to those of the model."""
    confusions: tuple[Confusion, ...]
    """Most frequent first, right names included. A true segment was given the name of the predicted segment that it
    overlaps with an IoU above one half, whatever that name is."""
    num_pictures: int
    unreadable: tuple[Skipped, ...]

    def to_jsonable(self) -> dict[str, Any]:
        """What JSON can hold; costs are differences of PQ."""
        model = self.quality[()].all.pq
        ladder: list[dict[str, Any]] = []
        before = model
        for oracles in LADDER:
            figures = self.quality[oracles]
            ladder.append(
                {"oracles": list(oracles), "gain": figures.all.pq - before, **jsonable_quality(figures)},
            )
            before = figures.all.pq
        alone = {
            oracle: {"gain": self.quality[(oracle,)].all.pq - model, **jsonable_quality(self.quality[(oracle,)])}
            for oracle in ORACLES
        }
        return {
            "ladder": ladder,
            "alone": alone,
            "sizes": {size: jsonable_quality(quality) for size, quality in self.sizes.items()},
            "confusions": to_jsonable(self.confusions),
            "num_pictures": self.num_pictures,
            "unreadable": to_jsonable(self.unreadable),
        }

    def ladder_table(self) -> tuple[tuple[str, ...], ...]:
        """Rows for a terminal, the first one the heading; from the model's PQ to 100, in percent."""
        rows: list[tuple[str, ...]] = [("", "PQ", "gain", "PQ things", "PQ stuff")]
        before = None
        for oracles in LADDER:
            name = f"+ true {oracles[-1]}" if oracles else "model"
            rows.append(_row(name, self.quality[oracles], before))
            before = self.quality[oracles].all.pq
        return tuple(rows)

    def alone_table(self) -> tuple[tuple[str, ...], ...]:
        """Rows for a terminal: each part replaced by truth while all others stay the model's, in percent."""
        model = self.quality[()].all.pq
        rows = [_row(f"true {oracles[0]} alone", self.quality[oracles], model) for oracles in ALONE]
        return (("", "PQ", "gain", "PQ things", "PQ stuff"), *rows)

    def size_table(self) -> tuple[tuple[str, ...], ...]:
        """Rows for a terminal: the model by the size of segments, in percent."""
        rows: list[tuple[str, ...]] = [("", "PQ", "SQ", "RQ", "PQ things", "PQ stuff", "segments")]
        for size, extent in SIZES.items():
            quality = self.sizes[size]
            segments = sum(c.tally.tp + c.tally.fn for c in quality.per_class)
            parts = (_pq(quality.things), _pq(quality.stuff))
            rows.append((f"{size} ({extent})", *percent(quality.all), *parts, str(segments)))
        return tuple(rows)

    def confusion_table(self, *, limit: int = 20) -> tuple[tuple[str, ...], ...]:
        """Rows for a terminal: the most frequent mistakes.

        Args:
            limit: rows at most.
        """
        wrong = [c for c in self.confusions if not c.is_right][:limit]
        rows = [(c.true, c.given or NOTHING, str(c.count), f"{100 * c.share:.0f}") for c in wrong]
        return (("true", "taken for", "segments", "% of the name"), *rows)


def diagnose(
    model: OpenVocabularySegmenter,
    dataset: Dataset,
    vocabulary: Vocabulary,
    settings: EvaluationSettings | None = None,
    *,
    workers: int = 0,
    parts: Path | None = None,
    resume: bool = False,
    report: ProgressCallback = lambda done, total: None,
) -> Diagnosis:
    """Finds where a model loses panoptic quality, in one pass over the data.

    Args:
        model: answers in eval mode; its modes are restored afterwards.
        dataset: samples on disk.
        vocabulary: the words, one concept per category.
        settings: protocol and inference switches; the papers' protocol if not given.
        workers: as in `evaluate`.
        parts: as in `evaluate`, but a folder of its own.
        resume: as in `evaluate`.
        report: called after every batch with the samples done and their number.

    Raises:
        ValueError: if words and categories do not fit one another, or no picture can be read.
    """
    settings = replace(filled(settings, model), task="panoptic")
    with inference(model):
        task = open_task(model, dataset, vocabulary, settings)
        counter = _DiagnosisCounter(model, task, settings)
        counted = count_shards(
            model, task, settings, counter, workers=workers, parts=parts, resume=resume, report=report
        )
    return summarise_diagnosis(
        counted.tally, dataset.categories, num_pictures=len(counted.scenes), unreadable=counted.skipped
    )


class _DiagnosisCounter:
    """Looks at every picture once and counts every combination of oracles."""

    name = "diagnosis"

    def __init__(self, model: OpenVocabularySegmenter, task: EvaluationTask, settings: EvaluationSettings) -> None:
        self._model, self._task, self._settings = model, task, settings
        self.regions = RegionCounts()

    def zero(self) -> DiagnosisTally:
        return DiagnosisTally()

    def count(self, batch: TruthBatch) -> Iterator[tuple[DiagnosisTally, None]]:
        fusion, merge = self._settings.fusion, self._settings.merge
        assert fusion is not None, "filled in"
        assert merge is not None, "filled in"
        for tally in tally_batch(self._model, self._task, batch, fusion, merge):
            yield tally, None

    def to_jsonable(self, tally: DiagnosisTally) -> dict[str, Any]:
        return tally.to_jsonable()

    def from_jsonable(self, plain: Mapping[str, Any]) -> DiagnosisTally:
        return DiagnosisTally.from_jsonable(plain)


def tally_batch(
    model: OpenVocabularySegmenter,
    task: EvaluationTask,
    batch: TruthBatch,
    fusion: Fusion,
    merge: MergeConfig,
) -> Iterator[DiagnosisTally]:
    """Looks at the pictures of a batch once and yields their counts.

    Args:
        model: in eval mode.
        task: words, and the category of each.
        batch: with panoptic truths.
        fusion: how CLIP and query are joined.
        merge: how masks compete for pixels.
    """
    images = batch.images.to(task.words.text_embed.device)
    proposals = model.propose(images)
    prediction = model.classify(images, proposals, task.words, fusion)
    for index, (frame, truth) in enumerate(zip(images.frames, batch.truths, strict=True)):
        scene = look(
            prediction,
            index,
            frame,
            truth.to_segmentation(task.measure.categories),
            task.vocabulary,
            task.category_ids,
            merge,
        )
        masks = true_proposals(scene, proposals.query_embed[index])
        names: list[int] = []
        if masks is not None:
            named = model.classify(images.only(index), masks, task.words, fusion)
            names = named.class_logits[0, :, : named.num_concepts].argmax(-1).tolist()
        yield tally_scene(scene, names, task.measure.categories)


def summarise_diagnosis(
    tally: DiagnosisTally,
    categories: Sequence[Category],
    *,
    num_pictures: int,
    unreadable: Iterable[Skipped] = (),
) -> Diagnosis:
    """Turns counts into figures."""
    name_of = {category.id: category.name for category in categories}
    totals: dict[int, int] = {}
    for (true, _), count in tally.confusions.items():
        totals[true] = totals.get(true, 0) + count
    confusions = [
        Confusion(
            true=name_of[true],
            given=None if given is None else name_of[given],
            count=count,
            share=count / totals[true],
        )
        for (true, given), count in tally.confusions.items()
    ]
    confusions.sort(key=lambda one: (-one.count, one.true, one.given or ""))
    return Diagnosis(
        quality={o: summarise(tally.quality.get(o, Tally()), categories) for o in (*LADDER, *ALONE)},
        sizes={size: summarise(tally.sizes.get(size, Tally()), categories) for size in SIZES},
        confusions=tuple(confusions),
        num_pictures=num_pictures,
        unreadable=tuple(unreadable),
    )


def tally_scene(scene: MatchedImage, names_of_truth: Sequence[int], categories: Sequence[Category]) -> DiagnosisTally:
    """Counts one picture.

    Args:
        scene: the answer and the truth.
        names_of_truth: the model's name for the true mask of every segment of the scene.
        categories: all that may occur.
    """
    quality: dict[Oracles, Tally] = {}
    true_ids, true_segments = scene.truth.ids, scene.truth.segments
    for oracles in dict.fromkeys((*LADDER, *ALONE)):
        ids, segments = answer(scene, oracles, names_of_truth)
        quality[oracles] = tally_pair(true_ids, true_segments, ids, segments, categories)
    sizes, confusions = tally_segments(true_ids, true_segments, *answer(scene, (), names_of_truth))
    return DiagnosisTally(quality=quality, sizes=sizes, confusions=confusions)


def tally_segments(
    true_ids: Integer[np.ndarray, "H W"],
    true_segments: Sequence[SegmentInfo],
    ids: Integer[np.ndarray, "_ _"],
    segments: Sequence[SegmentInfo],
) -> tuple[dict[Size, Tally], dict[tuple[int, int | None], int]]:
    """Counts one map by the size of segments, and which category every true segment is taken for.

    Matching and forgiving are those of `panoptic_quality.tally_pair`.
    """
    pairs = overlaps(true_ids, true_segments, ids, segments)
    matches = pairs.matches()

    sizes: dict[Size, dict[int, ClassTally]] = {size: {} for size in SIZES}
    confusions: dict[tuple[int, int | None], int] = {}

    def count(area: int, category_id: int, one: ClassTally) -> None:
        classes = sizes[size_of(area)]
        classes[category_id] = classes.get(category_id, ClassTally()) + one

    right: set[int] = set()
    for row, true in enumerate(true_segments, start=1):
        if true.is_crowd:
            continue
        column = int(matches[row].argmax())  # 0, the column of void, if there is none
        given = segments[column - 1].category_id if column else None
        confusions[true.category_id, given] = confusions.get((true.category_id, given), 0) + 1
        if column and given == true.category_id:
            count(int(pairs.true_areas[row]), true.category_id, pairs.match(row, column))
            right.add(column)
        else:
            count(int(pairs.true_areas[row]), true.category_id, ClassTally(fn=1))
    for column, segment in enumerate(segments, start=1):
        if column not in right and not pairs.is_forgiven(column):
            count(int(pairs.areas[column]), segment.category_id, ClassTally(fp=1))
    return {size: Tally(classes=classes) for size, classes in sizes.items()}, confusions


def size_of(area: int) -> Size:
    """COCO's name for an area in pixels."""
    return "small" if area < 32**2 else "medium" if area < 96**2 else "large"


def _row(name: str, quality: PanopticQuality, before: float | None) -> tuple[str, ...]:
    gain = "" if before is None else f"{100 * (quality.all.pq - before):+.1f}"
    return name, percent(quality.all)[0], gain, _pq(quality.things), _pq(quality.stuff)


def _pq(quality: Quality) -> str:
    return percent(quality)[0] if quality.n else "-"


def _added(one: Mapping[Any, Any], other: Mapping[Any, Any], zero: Any) -> dict[Any, Any]:
    return {key: one.get(key, zero) + other.get(key, zero) for key in dict.fromkeys((*one, *other))}

"""Where a model loses panoptic quality: oracles alone and on a ladder, sizes of segments, and confused names."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from lexiseg.core.pool import ProgressCallback
from lexiseg.core.structures import RegionCounts
from lexiseg.core.tables import percent
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Category, Dataset, SegmentInfo
from lexiseg.evaluation.counting import ShardCounter
from lexiseg.evaluation.loading import AnnotatedBatch, Skipped
from lexiseg.evaluation.metrics.panoptic_quality import (
    ClassTally,
    PanopticQuality,
    PanopticTally,
    Quality,
    overlaps,
    summarise,
    tally_pair,
)
from lexiseg.evaluation.metrics.sizes import SIZES, Size, size_of
from lexiseg.evaluation.oracles import (
    ALONE,
    LADDER,
    ORACLES,
    MatchedImage,
    Oracles,
    answer,
    match_proposals,
    true_proposals,
)
from lexiseg.evaluation.plan import EvaluationPlan, filled, inference, plan_evaluation
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.io.config_json import to_jsonable
from lexiseg.models.base import OpenVocabularySegmenter

_HEADING = ("", "PQ", "gain", "PQ things", "PQ stuff")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisTally:
    """All counts of a diagnosis; `DiagnosisTally()` is the zero of `+`."""

    quality: Mapping[Oracles, PanopticTally] = field(default_factory=dict)
    sizes: Mapping[Size, PanopticTally] = field(default_factory=dict)
    confusions: Mapping[tuple[int, int | None], int] = field(default_factory=dict)
    """True segments by their category and the one given to them, None where no segment has their place."""

    def __add__(self, other: "DiagnosisTally") -> "DiagnosisTally":
        return DiagnosisTally(
            quality=_added(self.quality, other.quality, PanopticTally()),
            sizes=_added(self.sizes, other.sizes, PanopticTally()),
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
            quality={tuple(oracles): PanopticTally.from_jsonable(rows) for oracles, rows in content["quality"]},
            sizes={s: PanopticTally.from_jsonable(content["sizes"][s]) for s in SIZES if s in content["sizes"]},
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

        def gained(oracles: Oracles, before: Oracles) -> dict[str, Any]:
            figures = self.quality[oracles]
            return {"gain": figures.all.pq - self.quality[before].all.pq, **figures.to_jsonable()}

        return {
            "ladder": [{"oracles": list(oracles), **gained(oracles, oracles[:-1])} for oracles in LADDER],
            "alone": {oracle: gained((oracle,), ()) for oracle in ORACLES},
            "sizes": {size: quality.to_jsonable() for size, quality in self.sizes.items()},
            "confusions": to_jsonable(self.confusions),
            "num_pictures": self.num_pictures,
            "unreadable": to_jsonable(self.unreadable),
        }

    def tables(self) -> Iterable[tuple[str, tuple[tuple[str, ...], ...]]]:
        """Titles and rows for a terminal; the first row of each is its heading."""
        yield "From the model to 100: parts replaced by truth one after the other", self.ladder_table()
        yield "Parts replaced by truth, each alone", self.alone_table()
        yield "By the size of segments", self.size_table()
        yield "Most frequent confusions", self.confusion_table()
        yield "Most often with nothing in their place", self.missed_table()

    def ladder_table(self) -> tuple[tuple[str, ...], ...]:
        """Rows for a terminal, the first one the heading; from the model's PQ to 100, in percent."""
        rungs = [self._row(f"+ true {oracles[-1]}", oracles, oracles[:-1]) for oracles in LADDER[1:]]
        return _HEADING, self._row("model", (), None), *rungs

    def alone_table(self) -> tuple[tuple[str, ...], ...]:
        """Rows for a terminal: each part replaced by truth while all others stay the model's, in percent."""
        return _HEADING, *(self._row(f"true {oracles[0]} alone", oracles, ()) for oracles in ALONE)

    def _row(self, name: str, oracles: Oracles, before: Oracles | None) -> tuple[str, ...]:
        quality = self.quality[oracles]
        gain = "" if before is None else f"{100 * (quality.all.pq - self.quality[before].all.pq):+.1f}"
        return name, percent(quality.all.pq), gain, _pq(quality.things), _pq(quality.stuff)

    def size_table(self) -> tuple[tuple[str, ...], ...]:
        """Rows for a terminal: the model by the size of segments, in percent."""
        rows: list[tuple[str, ...]] = [("", "PQ", "SQ", "RQ", "PQ things", "PQ stuff", "segments")]
        for size, extent in SIZES.items():
            quality = self.sizes[size]
            segments = sum(c.tally.tp + c.tally.fn for c in quality.per_class)
            apart = (_pq(quality.things), _pq(quality.stuff))
            rows.append((f"{size} ({extent})", *quality.all.cells(), *apart, str(segments)))
        return tuple(rows)

    def confusion_table(self, *, limit: int = 20) -> tuple[tuple[str, ...], ...]:
        """Rows for a terminal: the names that are most often taken for others.

        Args:
            limit: rows at most.
        """
        wrong = [c for c in self.confusions if c.given not in (None, c.true)][:limit]
        rows = [(c.true, c.given or "", str(c.count), percent(c.share, digits=0)) for c in wrong]
        return (("true", "taken for", "segments", "% of the name"), *rows)

    def missed_table(self, *, limit: int = 20) -> tuple[tuple[str, ...], ...]:
        """Rows for a terminal: the names in whose place most often nothing is found.

        Args:
            limit: rows at most.
        """
        missed = [c for c in self.confusions if c.given is None][:limit]
        rows = [(c.true, str(c.count), percent(c.share, digits=0)) for c in missed]
        return (("true", "segments", "% of the name"), *rows)


def diagnose(
    model: OpenVocabularySegmenter,
    dataset: Dataset,
    vocabulary: Vocabulary,
    settings: EvaluationSettings | None = None,
    *,
    workers: int = 0,
    shards_dir: Path | None = None,
    resume: bool = False,
    report: ProgressCallback = lambda done, total: None,
) -> Diagnosis:
    """Finds where a model loses panoptic quality, in one pass over the data.

    Args:
        model: answers in eval mode; its modes are restored afterwards.
        dataset: samples on disk.
        vocabulary: one concept per category, in any order.
        settings: protocol and inference options; the papers' protocol if not given.
        workers: as in `evaluate_dataset`.
        shards_dir: as in `evaluate_dataset`, but a folder of its own.
        resume: as in `evaluate_dataset`.
        report: called after every batch with the samples done and their number.

    Raises:
        ValueError: if vocabulary and categories do not fit one another, or no picture can be read.
    """
    settings = replace(filled(settings, model), task="panoptic")
    with inference(model, settings.precision):
        plan = plan_evaluation(model, dataset, vocabulary, settings)
        counter = ShardCounter(model, plan, settings, name="diagnosis", zero=DiagnosisTally(), count=_count_losses)
        counted = counter.run(workers=workers, shards_dir=shards_dir, resume=resume, report=report)
    return summarise_diagnosis(
        counted.tally, dataset.categories, num_pictures=len(counted.scores), unreadable=counted.skipped
    )


def _count_losses(
    model: OpenVocabularySegmenter, plan: EvaluationPlan, batch: AnnotatedBatch
) -> tuple[list[tuple[DiagnosisTally, None]], RegionCounts]:
    """Looks at the pictures of a batch once and counts every combination of oracles."""
    images = batch.images.to(plan.words.text_embed.device)
    encoded = model.encode(images)
    prediction = model.answer(encoded, plan.words, plan.fusion)
    tallies: list[tuple[DiagnosisTally, None]] = []
    for index, (frame, truth) in enumerate(zip(batch.images.frames, batch.annotations, strict=True)):
        matched = match_proposals(plan.answer(prediction, index, frame), truth.to_segmentation(plan.measure.categories))
        masks = true_proposals(matched, encoded.proposals.query_embed[index])
        names: list[int] = []
        if masks is not None:
            named = model.classify(images.only(index), masks, plan.words, plan.fusion)
            names = named.class_logits[0, :, : named.num_concepts].argmax(-1).tolist()
        tallies.append((tally_image(matched, names, plan.measure.categories), None))
    return tallies, RegionCounts()


def summarise_diagnosis(
    tally: DiagnosisTally, categories: Sequence[Category], *, num_pictures: int, unreadable: Iterable[Skipped] = ()
) -> Diagnosis:
    """Turns counts into figures."""
    name_of: dict[int | None, str] = {category.id: category.name for category in categories}
    totals: Counter[int] = Counter()
    for (true, _), count in tally.confusions.items():
        totals[true] += count
    confusions = [
        Confusion(true=name_of[true], given=name_of.get(given), count=count, share=count / totals[true])
        for (true, given), count in tally.confusions.items()
    ]
    confusions.sort(key=lambda one: (-one.count, one.true, one.given or ""))
    return Diagnosis(
        quality={o: summarise(tally.quality.get(o, PanopticTally()), categories) for o in (*LADDER, *ALONE)},
        sizes={size: summarise(tally.sizes.get(size, PanopticTally()), categories) for size in SIZES},
        confusions=tuple(confusions),
        num_pictures=num_pictures,
        unreadable=tuple(unreadable),
    )


def tally_image(matched: MatchedImage, names_of_truth: Sequence[int], categories: Sequence[Category]) -> DiagnosisTally:
    """Counts one picture.

    Args:
        matched: the answer and the truth.
        names_of_truth: the model's name for the true mask of every segment.
        categories: all that may occur.
    """
    quality: dict[Oracles, PanopticTally] = {}
    true_ids, true_segments = matched.truth.ids, matched.truth.segments
    for oracles in dict.fromkeys((*LADDER, *ALONE)):
        ids, segments = answer(matched, oracles, names_of_truth)
        quality[oracles] = tally_pair(true_ids, true_segments, ids, segments, categories)
    sizes, confusions = tally_segments(true_ids, true_segments, *answer(matched, (), names_of_truth))
    return DiagnosisTally(quality=quality, sizes=sizes, confusions=confusions)


def tally_segments(
    true_ids: Integer[np.ndarray, "H W"],
    true_segments: Sequence[SegmentInfo],
    ids: Integer[np.ndarray, "_ _"],
    segments: Sequence[SegmentInfo],
) -> tuple[dict[Size, PanopticTally], dict[tuple[int, int | None], int]]:
    """Counts one map by the size of segments, and which category every true segment is taken for.

    Matching and forgiving are those of `panoptic_quality.tally_pair`.
    """
    pairs = overlaps(true_ids, true_segments, ids, segments)
    matches = pairs.matches()

    sizes: dict[Size, dict[int, ClassTally]] = {size: {} for size in SIZES}
    confusions: dict[tuple[int, int | None], int] = {}

    def count(area: int, category_id: int, one: ClassTally) -> None:
        classes = sizes[size_of(math.sqrt(area))]
        classes[category_id] = classes.get(category_id, ClassTally()) + one

    right: set[int] = set()
    for row, true in enumerate(pairs.truth, start=1):
        if true.is_crowd:
            continue
        names = {column: segments[column - 1].category_id for column in matches[row].nonzero()[0].tolist()}
        hits = [column for column, name in names.items() if name == true.category_id]
        given = true.category_id if hits else next(iter(names.values()), None)
        confusions[true.category_id, given] = confusions.get((true.category_id, given), 0) + 1
        for one in [pairs.match(row, column) for column in hits] or [ClassTally(fn=1)]:
            count(int(pairs.true_areas[row]), true.category_id, one)
        right.update(hits)
    for column, segment in enumerate(segments, start=1):
        if column not in right and not pairs.is_forgiven(column, segment.category_id):
            count(int(pairs.areas[column]), segment.category_id, ClassTally(fp=1))
    return {size: PanopticTally(classes=classes) for size, classes in sizes.items()}, confusions


def _pq(quality: Quality) -> str:
    return percent(quality.pq if quality.n else None)


def _added(one: Mapping[Any, Any], other: Mapping[Any, Any], zero: Any) -> dict[Any, Any]:
    return {key: one.get(key, zero) + other.get(key, zero) for key in dict.fromkeys((*one, *other))}

"""Where mIoU is lost: true masks with the model's names, and the model's masks with true names (OVSeg, introduction).

* **true masks**: one for each class of a picture, cut out of the truth. They go through the model as if it had proposed
  them, and each gives its best asked name to all its pixels. The query is that of the proposal that overlaps the mask
  most. "CLIP's names" leave the query out.
* **true names**: each of the model's masks is surely of the true class that it overlaps best by IoU; one that overlaps
  none is void. Predicted IoUs, where there are any, still filter, and the semantic rule is the model's.

All three are upper bounds of nothing: a true mask may be one that CLIP names worse than a proposal.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Int32

from lexiseg.core.pool import ProgressCallback
from lexiseg.core.structures import ImageBatch, MaskPrediction, RegionCounts
from lexiseg.core.tables import percent
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import places
from lexiseg.data.dataset import Annotation, Dataset
from lexiseg.evaluation.counting import ShardCounter
from lexiseg.evaluation.loading import AnnotatedBatch, Skipped
from lexiseg.evaluation.metrics.semantic_quality import SemanticQuality, SemanticTally, tally_labels
from lexiseg.evaluation.plan import EvaluationPlan, filled, inference, plan_evaluation
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.evaluation.upper_bounds import TrueClasses
from lexiseg.io.config_json import to_jsonable
from lexiseg.models.base import EncodedImages, OpenVocabularySegmenter

Way = Literal["model", "true masks, CLIP's names", "true masks, model's names", "true names"]
WAYS: tuple[Way, ...] = get_args(Way)


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticDiagnosisTally:
    """Counts of pixels for each way of answering; `SemanticDiagnosisTally()` is the zero of `+`."""

    ways: Mapping[Way, SemanticTally] = field(default_factory=dict)

    def __add__(self, other: "SemanticDiagnosisTally") -> "SemanticDiagnosisTally":
        if not self.ways or not other.ways:
            return other if other.ways else self
        return SemanticDiagnosisTally(ways={way: tally + other.ways[way] for way, tally in self.ways.items()})

    def to_jsonable(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {way: tally.to_jsonable() for way, tally in self.ways.items()}

    @staticmethod
    def from_jsonable(content: Mapping[str, Any]) -> "SemanticDiagnosisTally":
        """The inverse of `to_jsonable`."""
        return SemanticDiagnosisTally(ways={way: SemanticTally.from_jsonable(content[way]) for way in WAYS})


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticDiagnosis:
    """What masks and names cost. Figures are fractions."""

    quality: Mapping[Way, SemanticQuality]
    num_pictures: int
    unreadable: tuple[Skipped, ...]

    def to_jsonable(self) -> dict[str, Any]:
        """What JSON can hold; gains are differences of mIoU."""
        own = self.quality["model"].miou
        ways = {way: {"gain": one.miou - own, **one.to_jsonable()} for way, one in self.quality.items()}
        return {"ways": ways, "num_pictures": self.num_pictures, "unreadable": to_jsonable(self.unreadable)}

    def tables(self) -> Iterable[tuple[str, tuple[tuple[str, ...], ...]]]:
        """Titles and rows for a terminal, in percent; the first row is the heading."""
        own = self.quality["model"].miou
        rows = [
            (
                way,
                percent(one.miou),
                "" if way == "model" else f"{100 * (one.miou - own):+.1f}",
                percent(one.mean_accuracy),
                *([percent(one.miou_seen), percent(one.miou_unseen)] if one.hiou is not None else []),
            )
            for way, one in self.quality.items()
        ]
        split = ("seen", "unseen")[: len(rows[0]) - 4]
        yield "Masks or names replaced by truth", (("", "mIoU", "gain", "mean accuracy", *split), *rows)


def diagnose_semantic(
    model: OpenVocabularySegmenter,
    dataset: Dataset,
    vocabulary: Vocabulary,
    settings: EvaluationSettings | None = None,
    *,
    report: ProgressCallback = lambda done, total: None,
    resume: bool = False,
    shards_dir: Path | None = None,
    workers: int = 0,
) -> SemanticDiagnosis:
    """Finds out whether masks or names cost the mIoU, in one pass over the data; arguments as `diagnose` takes them.

    Raises:
        ValueError: if vocabulary and categories do not fit one another, or no picture can be read.
    """
    settings = replace(filled(settings, model), task="semantic")
    with inference(model, settings.precision):
        plan = plan_evaluation(model, dataset, vocabulary, settings)
        zero = SemanticDiagnosisTally(ways={way: plan.measure.zero() for way in WAYS})
        counter = ShardCounter(model, plan, settings, name="semantic diagnosis", zero=zero, count=_count)
        counted = counter.run(workers=workers, shards_dir=shards_dir, resume=resume, report=report)
    quality = {way: plan.summarise(tally)[0] for way, tally in counted.tally.ways.items()}
    return SemanticDiagnosis(quality=quality, num_pictures=len(counted.scores), unreadable=counted.skipped)


def _count(
    model: OpenVocabularySegmenter, plan: EvaluationPlan, batch: AnnotatedBatch
) -> tuple[list[tuple[SemanticDiagnosisTally, None]], RegionCounts]:
    images = batch.images.to(plan.words.text_embed.device)
    encoded = model.encode(images)
    prediction = model.answer(encoded, plan.words, plan.fusion)
    tallies = [
        (_count_picture(model, plan, images.only(index), encoded, prediction.only(index), index, truth), None)
        for index, truth in enumerate(batch.annotations)
    ]
    return tallies, RegionCounts()


def _count_picture(
    model: OpenVocabularySegmenter,
    plan: EvaluationPlan,
    image: ImageBatch,
    encoded: EncodedImages,
    prediction: MaskPrediction,
    index: int,
    truth: Annotation,
) -> SemanticDiagnosisTally:
    """Counts one picture; where all of it is ignored, nothing."""
    categories, (frame,) = plan.measure.categories, image.frames
    labels = truth.to_semantic(categories)
    true = TrueClasses.of(labels, frame, image.pixel_values.device)
    place_of = places(categories)
    ious = true.ious(prediction.mask_logits[0])
    named = true.naming(prediction, ious, plan.concept_of_place)
    tallies: dict[Way, SemanticTally] = {
        "model": plan.measure.tally(plan.answer(prediction, 0, frame), truth),
        "true masks, CLIP's names": plan.measure.zero(),
        "true masks, model's names": plan.measure.zero(),
        "true names": plan.measure.tally(plan.answer(named, 0, frame), truth),
    }
    if true.places:
        queries = encoded.proposals.query_embed[index][ious.argmax(0)]
        looked = model.encode(image, true.proposals(model, queries))
        fusions: tuple[tuple[Way, Any], ...] = (
            ("true masks, CLIP's names", model.clip_only),
            ("true masks, model's names", plan.fusion),
        )
        for way, fusion in fusions:
            answer = model.answer(looked, plan.words, fusion)
            concepts = answer.class_logits[0, :, : answer.num_concepts].argmax(-1).tolist()
            given = [place_of[plan.category_ids[concept]] for concept in concepts]
            tallies[way] = tally_labels(labels, renamed(labels, true.places, given), len(categories))
    return SemanticDiagnosisTally(ways=tallies)


def renamed(labels: Int32[np.ndarray, "H W"], old: Iterable[int], new: Iterable[int]) -> Int32[np.ndarray, "H W"]:
    """A map of places in which each of some is another; -1 stays."""
    given = labels.copy()
    for before, after in zip(old, new, strict=True):
        given[labels == before] = after
    return given

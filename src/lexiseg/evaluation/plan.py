"""What is evaluated: a data set and its vocabulary, matched, embedded and read in batches."""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import starmap
from typing import Any

import torch

from lexiseg.core.devices import Precision, computing
from lexiseg.core.frames import Frame
from lexiseg.core.pool import ProgressCallback
from lexiseg.core.structures import MaskPrediction, VocabularyEmbeddings
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import match_groups, match_vocabulary
from lexiseg.data.dataset import Annotation, Category, Dataset, Loaded
from lexiseg.evaluation.loading import AnnotatedBatch, Skipped, batched, open_all
from lexiseg.evaluation.measure import Answer, Measure
from lexiseg.evaluation.measures import measure_of
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.models.base import Fusion, OpenVocabularySegmenter, SemanticRule
from lexiseg.models.postprocess.panoptic import MergeConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPlan:
    """A data set and its vocabulary, matched and embedded."""

    measure: Measure
    vocabulary: Vocabulary
    """Thing or stuff as the data set has it."""
    category_ids: tuple[int, ...]
    """The category of each concept."""
    words: VocabularyEmbeddings
    """On the model's device."""
    groups: Mapping[str, tuple[Category, ...]]
    fusion: Fusion
    merge: MergeConfig
    semantic_rule: SemanticRule = "merged"

    @property
    def concept_of_place(self) -> tuple[int, ...]:
        """For each category of the data set, by its place, the concept that names it."""
        concept_of = {category_id: concept for concept, category_id in enumerate(self.category_ids)}
        return tuple(concept_of[category.id] for category in self.measure.categories)

    def answer(self, prediction: MaskPrediction, index: int, frame: Frame, merge: MergeConfig | None = None) -> Answer:
        """One picture's part of a prediction, with vocabulary and settings."""
        return Answer(
            prediction=prediction,
            index=index,
            frame=frame,
            vocabulary=self.vocabulary,
            category_ids=self.category_ids,
            merge=merge or self.merge,
            semantic_rule=self.semantic_rule,
        )

    def answers(
        self, prediction: MaskPrediction, merge: MergeConfig, batch: AnnotatedBatch
    ) -> Iterator[tuple[Answer, Annotation]]:
        """The answer and the truth of every picture of a batch."""
        for index, (frame, truth) in enumerate(zip(batch.images.frames, batch.annotations, strict=True)):
            yield self.answer(prediction, index, frame, merge), truth

    def tally(self, prediction: MaskPrediction, merge: MergeConfig, batch: AnnotatedBatch) -> Any:
        """The counts of a batch."""
        return sum(starmap(self.measure.tally, self.answers(prediction, merge, batch)), self.measure.zero())

    def summarise(self, tally: Any) -> tuple[Any, dict[str, Any]]:
        """Figures over all classes, and over each group of them."""
        groups = {name: self.measure.summarise(tally, categories) for name, categories in self.groups.items()}
        return self.measure.summarise(tally, self.measure.categories), groups


def plan_evaluation(
    model: OpenVocabularySegmenter,
    dataset: Dataset,
    vocabulary: Vocabulary,
    settings: EvaluationSettings,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> EvaluationPlan:
    """Matches concepts to categories, by name or synonym, and embeds the vocabulary.

    Raises:
        ValueError: if the data set is empty or has no truth for the task, or vocabulary, categories and groups do not
            fit one another.
    """
    if not dataset.samples:
        raise ValueError("the data set holds no pictures: name one that does.")
    named_groups = match_groups(groups or {}, dataset.categories)
    unseen = frozenset(category.name for category in named_groups.get("unseen", ()))
    measure = measure_of(dataset, settings.task, unseen)
    matched, category_ids = match_vocabulary(dataset.categories, vocabulary)
    device = next(model.parameters()).device
    with torch.autocast(device.type, enabled=False):  # what is cached serves every precision
        words = model.embed_vocabulary(matched, negatives=settings.negatives, cache_dir=settings.cache_dir)
    return EvaluationPlan(
        measure=measure,
        vocabulary=matched,
        category_ids=category_ids,
        words=words.to(device),
        groups=named_groups,
        fusion=settings.fusion or model.config.fusion,
        merge=settings.merge or model.config.merge,
        semantic_rule=settings.semantic_rule or "merged",
    )


def filled(settings: EvaluationSettings | None, model: OpenVocabularySegmenter) -> EvaluationSettings:
    """Settings in which fusion, merge, semantic rule and precision are named: the model's own where nothing was."""
    settings = settings or EvaluationSettings()
    model.check_fusion(settings.fusion)
    return replace(
        settings,
        fusion=settings.fusion or model.config.fusion,
        merge=settings.merge or model.config.merge,
        semantic_rule=settings.semantic_rule or model.semantic_rule,
        precision=settings.precision or "float32",
    )


def read_batches(
    model: OpenVocabularySegmenter,
    opened: Iterable[Loaded | Skipped],
    batch_size: int,
    skipped: list[Skipped],
    report: ProgressCallback,
    *,
    total: int,
    done: int = 0,
) -> Generator[AnnotatedBatch, None, None]:
    """Yields samples in batches as the model takes them; those that could not be read are added to `skipped`.

    Args:
        model: whose configuration says how large pictures are.
        opened: the samples.
        batch_size: pictures of a batch at most.
        skipped: grows.
        report: called after every batch.
        total: what `report` is told that there are.
        done: samples that were done before.
    """
    sides = {"longest": model.config.longest_side, "shortest": model.config.shortest_side}
    for batch in batched(opened, **sides, batch_size=batch_size, resizing=model.resizing):
        if isinstance(batch, Skipped):
            skipped.append(batch)
            done += 1
        else:
            yield batch
            done += len(batch.annotations)
        report(done, total)


def planned_batches(
    model: OpenVocabularySegmenter,
    plan: EvaluationPlan,
    settings: EvaluationSettings,
    skipped: list[Skipped],
    report: ProgressCallback,
) -> Generator[AnnotatedBatch, None, None]:
    """Yields the batches of an evaluation; what cannot be read is added to `skipped`.

    Raises:
        ValueError: after the last sample, if not one could be read.
    """
    samples = plan.measure.samples[: settings.limit]
    opened = open_all(plan.measure.open, samples)
    yield from read_batches(model, opened, settings.batch_size, skipped, report, total=len(samples))
    if len(skipped) == len(samples):
        raise nothing_read(skipped)


def nothing_read(skipped: Sequence[Skipped]) -> ValueError:
    """What to say where not one picture can be read."""
    return ValueError(f"none of the {len(skipped)} pictures can be read; the first: {skipped[0].reason}")


@contextmanager
def inference(model: OpenVocabularySegmenter, precision: Precision | None = None) -> Generator[None, None, None]:
    """Eval mode without gradients, in a precision; afterwards every part is in the mode in which it was.

    Raises:
        DeviceError: if the model's device can't compute in it.
    """
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), computing(next(model.parameters()).device, precision or "float32"):
            yield
    finally:
        for part, mode in modes:
            part.training = mode

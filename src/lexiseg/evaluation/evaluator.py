"""Evaluation of a model on a data set: in shards that processes can share and a later call can resume."""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8

from lexiseg.core import processes
from lexiseg.core.batches import to_image_batch
from lexiseg.core.frames import Frame
from lexiseg.core.pool import ProgressCallback
from lexiseg.core.structures import MaskPrediction, PanopticMap, RegionCounts, VocabularyEmbeddings
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import match_groups, match_words
from lexiseg.data.dataset import Category, Dataset, Sample
from lexiseg.evaluation.loading import Skipped, TruthBatch, batched, open_all
from lexiseg.evaluation.measures import Answer, Measure, measure_of
from lexiseg.evaluation.report import (
    EvaluationSettings,
    ImageScore,
    Report,
    installed_versions,
    jsonable_settings,
)
from lexiseg.evaluation.shards import ShardStore, digest, shards_of
from lexiseg.io.checkpoint import weights_hash
from lexiseg.io.config_json import to_jsonable
from lexiseg.models.base import OpenVocabularySegmenter, SemanticRule
from lexiseg.models.postprocess.panoptic import MergeConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationTask:
    """A data set and the words for it, ready to be counted."""

    measure: Measure
    vocabulary: Vocabulary
    """Thing or stuff as the data set has it."""
    category_ids: tuple[int, ...]
    """The category of each concept."""
    words: VocabularyEmbeddings
    """On the model's device."""
    groups: Mapping[str, tuple[Category, ...]]
    semantic_rule: SemanticRule = "merged"

    def tallies(self, prediction: MaskPrediction, merge: MergeConfig, batch: TruthBatch) -> Iterator[Any]:
        """The counts of every picture of a batch against its truth."""
        for index, (frame, truth) in enumerate(zip(batch.images.frames, batch.truths, strict=True)):
            yield self.measure.tally(self.answer(prediction, index, frame, merge), truth)

    def answer(self, prediction: MaskPrediction, index: int, frame: Frame, merge: MergeConfig) -> Answer:
        """One picture's part of a prediction, with what was asked."""
        return Answer(
            prediction=prediction,
            index=index,
            frame=frame,
            vocabulary=self.vocabulary,
            category_ids=self.category_ids,
            merge=merge,
            semantic_rule=self.semantic_rule,
        )

    def tally(self, prediction: MaskPrediction, merge: MergeConfig, batch: TruthBatch) -> Any:
        """The counts of a batch."""
        return sum(self.tallies(prediction, merge, batch), self.measure.zero())

    def summarise(self, tally: Any) -> tuple[Any, dict[str, Any]]:
        """Figures over all classes, and over each group of them."""
        groups = {name: self.measure.summarise(tally, categories) for name, categories in self.groups.items()}
        return self.measure.summarise(tally, self.measure.categories), groups


def open_task(
    model: OpenVocabularySegmenter,
    dataset: Dataset,
    vocabulary: Vocabulary,
    settings: EvaluationSettings,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> EvaluationTask:
    """Matches the words to the categories, by name or synonym, and encodes them.

    Raises:
        ValueError: if the data set is empty or has no truth for the task, or words, categories and groups do not fit
            one another.
    """
    if not dataset.samples:
        raise ValueError("the data set holds no pictures: name one that does.")
    named_groups = match_groups(groups or {}, dataset.categories)
    unseen = frozenset(category.name for category in named_groups.get("unseen", ()))
    measure = measure_of(dataset, settings.task, unseen)
    matched, category_ids = match_words(dataset.categories, vocabulary)
    words = model.embed_vocabulary(matched, negatives=settings.negatives, cache_dir=settings.cache_dir)
    return EvaluationTask(
        measure=measure,
        vocabulary=matched,
        category_ids=category_ids,
        words=words.to(_device_of(model)),
        groups=named_groups,
        semantic_rule=settings.semantic_rule or "merged",
    )


def evaluate(
    model: OpenVocabularySegmenter,
    dataset: Dataset,
    vocabulary: Vocabulary,
    settings: EvaluationSettings | None = None,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    workers: int = 0,
    parts: Path | None = None,
    resume: bool = False,
    report: ProgressCallback = lambda done, total: None,
) -> Report:
    """Segments every picture of a data set and measures the answers by the official rules.

    The pictures are counted in shards. Under torchrun each process takes every n-th of them and all get the whole
    report; the digits are those of a single process that computes with as many threads.

    Args:
        model: answers in eval mode; its modes are restored afterwards.
        dataset: samples on disk.
        vocabulary: the words that are asked for, one concept per category.
        settings: task, protocol and inference switches; the papers' protocol if not given.
        groups: names of categories whose figures are also wanted on their own, by the group's name; "unseen" is what
            hIoU splits by, unless the data set has a split of its own.
        workers: processes that read pictures ahead; 0 reads them in this one.
        parts: folder for finished shards, which a later call can resume from. Remove it when the report is safe. With
            several processes all write into it.
        resume: goes on with the shards that `parts` holds.
        report: called after every batch with the samples done and their number (of this process).

    Raises:
        ValueError: if words, categories and groups do not fit one another, no picture can be read, or `parts` belongs
            to another evaluation or cannot be written.
    """
    settings = filled(settings, model)
    with inference(model):
        task = open_task(model, dataset, vocabulary, settings, groups)
        settings = replace(settings, task=task.measure.name)
        counter = _AnswerCounter(model, task, settings)
        counted = count_shards(
            model, task, settings, counter, workers=workers, parts=parts, resume=resume, report=report
        )
    quality, by_group = task.summarise(counted.tally)
    parameter = next(model.parameters())
    return Report(
        measure=task.measure,
        quality=quality,
        groups=by_group,
        scenes=counted.scenes,
        images_per_second=len(counted.scenes) / counted.seconds,
        unreadable=counted.skipped,
        regions=counted.regions,
        settings=settings,
        domain_similarity=task.words.domain_similarity,
        versions=installed_versions(),
        device=str(parameter.device),
        dtype=str(parameter.dtype).removeprefix("torch."),
        weights=weights_hash(model.state_dict()),
    )


def filled(settings: EvaluationSettings | None, model: OpenVocabularySegmenter) -> EvaluationSettings:
    """Settings in which fusion, merge and semantic rule are named: the model's own where nothing was."""
    settings = settings or EvaluationSettings()
    model.check_fusion(settings.fusion)
    return replace(
        settings,
        fusion=settings.fusion or model.config.fusion,
        merge=settings.merge or model.config.merge,
        semantic_rule=settings.semantic_rule or model.semantic_rule,
    )


@runtime_checkable
class Counter(Protocol):
    """What is counted over a data set. Tallies add up, and are kept on disk as plain data."""

    regions: RegionCounts
    """What the model's region branch did so far, where it has one; the evaluator sets it to nothing for each shard."""

    @property
    def name(self) -> str:
        """What tells its shards from those of others."""
        ...

    def zero(self) -> Any:
        """The tally of nothing."""
        ...

    def count(self, batch: TruthBatch) -> Iterator[tuple[Any, float | None]]:
        """For each picture of a batch its tally and its score, if it has one."""
        ...

    def to_jsonable(self, tally: Any) -> Any:
        """A tally as JSON has it."""
        ...

    def from_jsonable(self, plain: Any) -> Any:
        """The inverse of `to_jsonable`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What all processes counted together."""

    tally: Any
    scenes: tuple[ImageScore, ...]
    skipped: tuple[Skipped, ...]
    seconds: float
    """Of one process, on average."""
    regions: RegionCounts


class _AnswerCounter:
    """Holds the model's answers against the truth."""

    name = "answers"

    def __init__(self, model: OpenVocabularySegmenter, task: EvaluationTask, settings: EvaluationSettings) -> None:
        self._model, self._task, self._settings = model, task, settings
        self.regions = RegionCounts()

    def zero(self) -> Any:
        return self._task.measure.zero()

    def count(self, batch: TruthBatch) -> Iterator[tuple[Any, float | None]]:
        task, merge = self._task, self._settings.merge
        assert merge is not None, "filled in"
        images = batch.images.to(task.words.text_embed.device)
        prediction = self._model(images, task.words, self._settings.fusion)
        self.regions += prediction.counts
        for tally in task.tallies(prediction, merge, batch):
            yield tally, task.measure.scene_score(tally)

    def to_jsonable(self, tally: Any) -> Any:
        return self._task.measure.to_jsonable(tally)

    def from_jsonable(self, plain: Any) -> Any:
        return self._task.measure.from_jsonable(plain)


def count_shards(
    model: OpenVocabularySegmenter,
    task: EvaluationTask,
    settings: EvaluationSettings,
    counter: Counter,
    *,
    workers: int,
    parts: Path | None,
    resume: bool,
    report: ProgressCallback,
) -> Counted:
    """Counts every shard once, in one process or in all that torchrun started; see `evaluate`.

    Raises:
        ValueError: if no picture can be read, or `parts` belongs to another evaluation or cannot be written.
    """
    store = ShardStore(parts, _plan(model, task, settings, counter)) if parts is not None else None
    problem = None
    if store is not None and processes.rank() == 0:
        try:
            store.open(resume=resume)
        except ValueError as error:
            problem = str(error)
    if problem := processes.gather(problem)[0]:  # the folder is there before anybody looks into it
        raise ValueError(problem)
    own = _count_own(model, task, settings, counter, store, workers, report)
    shards = [shard for part in processes.gather(own) for shard in part]
    shards.sort(key=lambda shard: shard["number"])
    scenes = tuple(ImageScore(name=name, score=score) for shard in shards for name, score in shard["scenes"])
    skipped = tuple(Skipped(**entry) for shard in shards for entry in shard["skipped"])
    if not scenes:
        raise ValueError(f"none of the {len(skipped)} pictures can be read; the first: {skipped[0].reason}")
    return Counted(
        tally=sum((counter.from_jsonable(shard["tally"]) for shard in shards), counter.zero()),
        scenes=scenes,
        skipped=skipped,
        seconds=sum(shard["seconds"] for shard in shards) / processes.world_size(),
        regions=sum((RegionCounts(**shard["regions"]) for shard in shards), RegionCounts()),
    )


def _count_own(
    model: OpenVocabularySegmenter,
    task: EvaluationTask,
    settings: EvaluationSettings,
    counter: Counter,
    store: ShardStore | None,
    workers: int,
    report: ProgressCallback,
) -> list[dict[str, Any]]:
    """This process's shards as plain data: those that are finished from the store, and the others counted now."""
    samples = task.measure.samples[: settings.limit]
    mine = dict(list(enumerate(shards_of(len(samples))))[processes.rank() :: processes.world_size()])
    finished = {number: store.load(number) if store else None for number in mine}
    for number, shard in finished.items():
        if shard is not None and shard["skipped"]:
            finished[number] = None  # what could not be read then may be mended now
    config = model.config
    todo = {number: places for number, places in mine.items() if finished[number] is None}
    total = sum(map(len, mine.values()))
    done = total - sum(map(len, todo.values()))
    opened = open_all(task.measure.open, [samples[i] for places in todo.values() for i in places], workers=workers)
    for number, places in todo.items():
        start = time.perf_counter()
        tally, counter.regions = counter.zero(), RegionCounts()
        scenes: list[list[Any]] = []
        skipped: list[Skipped] = []
        read = islice(opened, len(places))
        for batch in batched(
            read, longest=config.longest_side, shortest=config.shortest_side, batch_size=settings.batch_size
        ):
            if isinstance(batch, Skipped):
                skipped.append(batch)
                done += 1
            else:
                for truth, (one, score) in zip(batch.truths, counter.count(batch), strict=True):
                    tally += one
                    scenes.append([truth.sample.file_name, score])
                done += len(batch.truths)
            report(done, total)
        shard = {
            "number": number,
            "tally": counter.to_jsonable(tally),
            "scenes": scenes,
            "skipped": to_jsonable(tuple(skipped)),
            "seconds": time.perf_counter() - start,
            "regions": to_jsonable(counter.regions),
        }
        if store is not None:
            store.save(number, shard)
        finished[number] = shard
    return [shard for shard in finished.values() if shard is not None]


def _plan(
    model: OpenVocabularySegmenter, task: EvaluationTask, settings: EvaluationSettings, counter: Counter
) -> dict[str, Any]:
    """All that decides the digits of a shard."""
    samples = task.measure.samples[: settings.limit]
    return {
        "counter": counter.name,
        "weights": weights_hash(model.state_dict()),
        "config": to_jsonable(model.config),
        "settings": jsonable_settings(settings),
        "words": to_jsonable(task.vocabulary),
        "categories": to_jsonable(task.measure.categories),
        "samples": [len(samples), digest([_identity(sample) for sample in samples])],
        "versions": installed_versions(),
        "device": str(_device_of(model)),
        "dtype": str(next(model.parameters()).dtype),
    }


def _identity(sample: Sample) -> str:
    """What tells a sample from another of its name: its annotation and the sizes of its files."""
    return f"{sample.file_name} {sample.file_sizes()} {sample.segments or sample.objects!r}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """One picture with its truth and the model's answer, to be looked at."""

    picture: UInt8[np.ndarray, "H W 3"]
    truth: PanopticMap
    prediction: PanopticMap


def comparisons(
    model: OpenVocabularySegmenter,
    dataset: Dataset,
    vocabulary: Vocabulary,
    settings: EvaluationSettings,
    names: Sequence[str],
) -> Iterator[Comparison]:
    """Segments some pictures again.

    Args:
        model: as it was evaluated.
        dataset: likewise.
        vocabulary: likewise.
        settings: those of the report, in which everything is filled in.
        names: file names of pictures that could be read.
    """
    assert settings.merge is not None, "filled in"
    config = model.config
    with inference(model):
        task = open_task(model, dataset, vocabulary, settings)
        by_name = {sample.file_name: sample for sample in task.measure.samples}
        for name in names:
            opened = task.measure.open(by_name[name])
            images = to_image_batch([opened.picture], longest=config.longest_side, shortest=config.shortest_side)
            prediction = model(images.to(task.words.text_embed.device), task.words, settings.fusion)
            yield Comparison(
                picture=opened.picture,
                truth=task.measure.truth_map(opened.annotation),
                prediction=task.measure.answer_map(task.answer(prediction, 0, images.frames[0], settings.merge)),
            )


def read_task(
    model: OpenVocabularySegmenter,
    task: EvaluationTask,
    settings: EvaluationSettings,
    skipped: list[Skipped],
    report: ProgressCallback,
) -> Generator[TruthBatch, None, None]:
    """Yields the batches of a task; what cannot be read is added to `skipped`.

    Raises:
        ValueError: after the last sample, if not one could be read.
    """
    config, samples = model.config, task.measure.samples[: settings.limit]
    done = 0
    opened = open_all(task.measure.open, samples)
    for part in batched(
        opened, longest=config.longest_side, shortest=config.shortest_side, batch_size=settings.batch_size
    ):
        if isinstance(part, Skipped):
            skipped.append(part)
            done += 1
        else:
            yield part
            done += len(part.truths)
        report(done, len(samples))
    if len(skipped) == len(samples):
        raise ValueError(f"none of the {len(samples)} pictures can be read; the first: {skipped[0].reason}")


@contextmanager
def inference(model: OpenVocabularySegmenter) -> Generator[None, None, None]:
    """Eval mode without gradients; afterwards every part is in the mode in which it was."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def _device_of(model: OpenVocabularySegmenter) -> torch.device:
    return next(model.parameters()).device

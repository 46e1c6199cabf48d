"""Counting over a data set: in shards that processes can share and a later call can resume."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from lexiseg.core import processes
from lexiseg.core.pool import ProgressCallback
from lexiseg.core.structures import RegionCounts
from lexiseg.data.dataset import Sample
from lexiseg.evaluation.loading import Skipped, TruthBatch, open_all
from lexiseg.evaluation.measure import Tally
from lexiseg.evaluation.report import EvaluationSettings, ImageScore, installed_versions, jsonable_settings
from lexiseg.evaluation.shards import ShardStore, digest, shards_of
from lexiseg.evaluation.task import EvaluationTask, nothing_read, read_batches
from lexiseg.io.checkpoint import weights_hash
from lexiseg.io.config_json import to_jsonable
from lexiseg.models.base import OpenVocabularySegmenter


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """What is counted over a data set."""

    name: str
    """Tells its shards from those of another counter."""
    zero: Tally
    """The tally of nothing."""
    count: Callable[[TruthBatch], tuple[Iterable[tuple[Tally, float | None]], RegionCounts]]
    """For each picture of a batch its tally and its score, if it has one; and what CLIP was shown region by region."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What all processes counted together."""

    tally: Any
    scores: tuple[ImageScore, ...]
    skipped: tuple[Skipped, ...]
    seconds: float
    """Of one process, on average."""
    regions: RegionCounts


def count_shards(
    model: OpenVocabularySegmenter,
    task: EvaluationTask,
    settings: EvaluationSettings,
    counter: Counter,
    *,
    workers: int,
    shards_dir: Path | None,
    resume: bool,
    report: ProgressCallback,
) -> Counted:
    """Counts every shard once, in one process or in all that torchrun started; see `evaluate_dataset`.

    Raises:
        ValueError: if no picture can be read, or `shards_dir` belongs to another evaluation or cannot be written.
    """
    store = ShardStore(shards_dir, _plan(model, task, settings, counter)) if shards_dir is not None else None
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
    scores = tuple(ImageScore(name=name, score=score) for shard in shards for name, score in shard["scenes"])
    skipped = tuple(Skipped(**entry) for shard in shards for entry in shard["skipped"])
    if not scores:
        raise nothing_read(skipped)
    return Counted(
        tally=sum((counter.zero.from_jsonable(shard["tally"]) for shard in shards), counter.zero),
        scores=scores,
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
    todo = {number: places for number, places in mine.items() if finished[number] is None}
    total = sum(map(len, mine.values()))
    done = total - sum(map(len, todo.values()))
    opened = open_all(task.measure.open, [samples[i] for places in todo.values() for i in places], workers=workers)
    for number, places in todo.items():
        start = time.perf_counter()
        tally, regions = counter.zero, RegionCounts()
        scores: list[list[Any]] = []
        skipped: list[Skipped] = []
        read = islice(opened, len(places))
        for batch in read_batches(model, read, settings.batch_size, skipped, report, total=total, done=done):
            counted, shown = counter.count(batch)
            regions += shown
            for truth, (one, score) in zip(batch.truths, counted, strict=True):
                tally += one
                scores.append([truth.sample.file_name, score])
        done += len(places)
        shard = {
            "number": number,
            "tally": tally.to_jsonable(),
            "scenes": scores,
            "skipped": to_jsonable(tuple(skipped)),
            "seconds": time.perf_counter() - start,
            "regions": to_jsonable(regions),
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
    parameter = next(model.parameters())
    return {
        "counter": counter.name,
        "weights": weights_hash(model.state_dict()),
        "config": to_jsonable(model.config),
        "settings": jsonable_settings(settings),
        "words": to_jsonable(task.vocabulary),
        "categories": to_jsonable(task.measure.categories),
        "samples": [len(samples), digest([_identity(sample) for sample in samples])],
        "versions": installed_versions(),
        "device": str(parameter.device),
        "dtype": str(parameter.dtype),
    }


def _identity(sample: Sample) -> str:
    """What tells a sample from another of its name: its annotation and the sizes of its files."""
    return f"{sample.file_name} {sample.file_sizes()} {sample.segments or sample.objects!r}"

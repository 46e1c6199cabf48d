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
from lexiseg.evaluation.loading import AnnotatedBatch, Skipped, open_all
from lexiseg.evaluation.measure import Tally
from lexiseg.evaluation.plan import EvaluationPlan, nothing_read, read_batches
from lexiseg.evaluation.report import EvaluationSettings, ImageScore, installed_versions, jsonable_settings
from lexiseg.evaluation.shards import ShardStore, digest, shards_of
from lexiseg.io.checkpoint import weights_hash
from lexiseg.io.config_json import to_jsonable
from lexiseg.models.base import OpenVocabularySegmenter

RULES = 2
"""Of merging and counting: one more whenever they change, so that no evaluation has shards of two kinds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What all processes counted together."""

    tally: Any
    scores: tuple[ImageScore, ...]
    skipped: tuple[Skipped, ...]
    seconds: float
    """Of one process, on average."""
    regions: RegionCounts


CountBatch = Callable[
    [OpenVocabularySegmenter, EvaluationPlan, AnnotatedBatch], tuple[Iterable[tuple[Tally, float | None]], RegionCounts]
]
"""For each picture of a batch its tally and its score, if it has one; and what CLIP was shown region by region."""


@dataclass(frozen=True, slots=True)
class ShardCounter:
    """Counts something over a data set."""

    model: OpenVocabularySegmenter
    plan: EvaluationPlan
    settings: EvaluationSettings
    name: str
    """Tells its shards from those of another counter."""
    zero: Tally
    """The tally of nothing."""
    count: CountBatch

    def run(self, *, workers: int, shards_dir: Path | None, resume: bool, report: ProgressCallback) -> Counted:
        """Counts every shard once, in one process or in all that torchrun started; see `evaluate_dataset`.

        Raises:
            ValueError: if no picture can be read, or `shards_dir` belongs to another evaluation or can't be written.
        """
        store = ShardStore(shards_dir, self._fingerprint()) if shards_dir is not None else None
        problem = None
        if store is not None and processes.rank() == 0:
            try:
                store.open(resume=resume)
            except ValueError as error:
                problem = str(error)
        if problem := processes.gather(problem)[0]:  # the folder is there before anybody looks into it
            raise ValueError(problem)
        own = self._count_own(store, workers, report)
        shards = sorted((shard for part in processes.gather(own) for shard in part), key=lambda shard: shard["number"])
        scores = tuple(ImageScore(name=name, score=score) for shard in shards for name, score in shard["scenes"])
        skipped = tuple(Skipped(**entry) for shard in shards for entry in shard["skipped"])
        if not scores:
            raise nothing_read(skipped)
        return Counted(
            tally=sum((self.zero.from_jsonable(shard["tally"]) for shard in shards), self.zero),
            scores=scores,
            skipped=skipped,
            seconds=sum(shard["seconds"] for shard in shards) / processes.world_size(),
            regions=sum((RegionCounts(**shard["regions"]) for shard in shards), RegionCounts()),
        )

    def _count_own(self, store: ShardStore | None, workers: int, report: ProgressCallback) -> list[dict[str, Any]]:
        """This process's shards as plain data: those that are finished from the store, and the others counted now."""
        measure, samples = self.plan.measure, self._samples()
        mine = dict(list(enumerate(shards_of(len(samples))))[processes.rank() :: processes.world_size()])
        known = {number: store.load(number) if store else None for number in mine}
        # what could not be read then may be mended now
        finished = {number: shard for number, shard in known.items() if shard and not shard["skipped"]}
        todo = {number: places for number, places in mine.items() if number not in finished}
        total = sum(map(len, mine.values()))
        done = total - sum(map(len, todo.values()))
        opened = open_all(measure.open, [samples[i] for places in todo.values() for i in places], workers=workers)
        for number, places in todo.items():
            start = time.perf_counter()
            tally, regions = self.zero, RegionCounts()
            scores: list[list[Any]] = []
            skipped: list[Skipped] = []
            read = islice(opened, len(places))
            batches = read_batches(self.model, read, self.settings.batch_size, skipped, report, total=total, done=done)
            for batch in batches:
                counted, shown = self.count(self.model, self.plan, batch)
                regions += shown
                for annotation, (one, score) in zip(batch.annotations, counted, strict=True):
                    tally += one
                    scores.append([annotation.sample.file_name, score])
            done += len(places)
            finished[number] = {
                "number": number,
                "tally": tally.to_jsonable(),
                "scenes": scores,
                "skipped": to_jsonable(tuple(skipped)),
                "seconds": time.perf_counter() - start,
                "regions": to_jsonable(regions),
            }
            if store is not None:
                store.save(number, finished[number])
        return list(finished.values())

    def _samples(self) -> tuple[Sample, ...]:
        return self.plan.measure.samples[: self.settings.limit]

    def _fingerprint(self) -> dict[str, Any]:
        """All that decides the digits of a shard."""
        samples = self._samples()
        parameter = next(self.model.parameters())
        return {
            "counter": self.name,
            "rules": RULES,
            "weights": weights_hash(self.model.state_dict()),
            "config": to_jsonable(self.model.config),
            "settings": jsonable_settings(self.settings),
            "words": to_jsonable(self.plan.vocabulary),
            "categories": to_jsonable(self.plan.measure.categories),
            "samples": [len(samples), digest([_identity(sample) for sample in samples])],
            "versions": installed_versions(),
            "device": str(parameter.device),
            "dtype": str(parameter.dtype),
        }


def _identity(sample: Sample) -> str:
    """What tells a sample from another of its name: its annotation and the sizes of its files."""
    return f"{sample.file_name} {sample.file_sizes()} {sample.segments or sample.objects!r}"

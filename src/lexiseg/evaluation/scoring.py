"""Scores of finished predictions, files against files; nothing here needs torch."""

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from lexiseg.data.id_maps import FormatError, load_ids
from lexiseg.data.panoptic_format import Category, PanopticDataset, Sample
from lexiseg.evaluation.panoptic_quality import Tally, tally_pair
from lexiseg.io.plain import few

CHUNK = 32  # pictures that a worker process takes at once

Report = Callable[[int, int], None]
"""Called with the pictures done and their number."""


def score_panoptic(
    truth: PanopticDataset,
    predicted: PanopticDataset,
    *,
    workers: int = 1,
    report: Report = lambda done, total: None,
) -> Tally:
    """Counts predicted id PNGs against the true ones, as COCO's official evaluator does.

    Pictures are paired by their id; predictions for other pictures are not looked at. The counts do not depend on
    `workers`.

    Args:
        truth: its pictures need not be there, its id PNGs must.
        predicted: read with the categories of the truth.
        workers: processes that read and count; 1 does it in this one.
        report: called while it works.

    Raises:
        FormatError: naming the picture, if a prediction or a file is missing, sizes differ, a category is unknown, or
            a prediction contradicts itself. The first few names are given where many are missing.
    """
    prediction_of = {sample.image_id: sample for sample in predicted.samples}
    _refuse_missing("pictures have no prediction", truth.samples, lambda s: s.image_id in prediction_of)
    pairs = [(sample, prediction_of[sample.image_id]) for sample in truth.samples]
    for side, samples in (("true", [pair[0] for pair in pairs]), ("predicted", [pair[1] for pair in pairs])):
        there = _files_beside(sample.segmentation_path for sample in samples)
        _refuse_missing(f"{side} id PNGs are missing", samples, lambda s, there=there: s.segmentation_path in there)
    tally, done = Tally(), 0
    with _mapped(partial(_score_pairs, categories=truth.categories), _chunks(pairs), workers) as counted:
        for part, number in counted:
            tally, done = tally + part, done + number
            report(done, len(pairs))
    return tally


def _score_pairs(pairs: Sequence[tuple[Sample, Sample]], categories: Sequence[Category]) -> tuple[Tally, int]:
    """The counts of some pictures, and how many they were."""
    tally = Tally()
    for true, found in pairs:
        ids, found_ids = load_ids(true.segmentation_path), load_ids(found.segmentation_path)
        try:
            tally += tally_pair(ids, true.segments, found_ids, found.segments, categories)
        except ValueError as error:
            raise FormatError(f"{true.file_name}: {error}") from error
    return tally, len(pairs)


def _refuse_missing(what: str, samples: Sequence[Sample], is_there: Callable[[Sample], bool]) -> None:
    missing = [sample.file_name for sample in samples if not is_there(sample)]
    if missing:
        raise FormatError(
            f"{len(missing)} of {len(samples)} {what}: {few(missing)}. Add them, or take the pictures out of the truth."
        )


def _files_beside(paths: Iterable[Path]) -> set[Path]:
    """Every file of the folders in which `paths` lie: one look at each folder instead of one at each file."""
    found: set[Path] = set()
    for folder in {path.parent for path in paths}:
        try:
            with os.scandir(folder) as entries:
                found |= {folder / entry.name for entry in entries}
        except OSError as error:
            raise FormatError(f"{folder}: this folder cannot be read ({error.strerror}). Check the path.") from error
    return found


Item = TypeVar("Item")
Result = TypeVar("Result")


def _chunks(items: Sequence[Item]) -> list[Sequence[Item]]:
    return [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]


@contextmanager
def _mapped(
    work: Callable[[Sequence[Item]], Result], chunks: Sequence[Sequence[Item]], workers: int
) -> Generator[Iterable[Result], None, None]:
    """Results in the order of the chunks, from this process or from several."""
    if workers <= 1:
        yield map(work, chunks)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield pool.map(work, chunks)

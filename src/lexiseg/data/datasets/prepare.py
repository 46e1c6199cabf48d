"""Files made of a data set's own: in worker processes, whole or not at all, and begun again where it stopped."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lexiseg.core.errors import FormatError, PictureError
from lexiseg.core.files import replacing, write_atomically, writing
from lexiseg.core.pool import ProgressCallback, collect_problems, map_in_pool
from lexiseg.data.dataset import Category, Sample, SegmentInfo, describe_segments
from lexiseg.data.datasets.folders import SHOWN
from lexiseg.data.formats.coco_panoptic import to_json
from lexiseg.data.id_maps import VOID, load_ids

PARTIAL = ".partial"
LEFTOVERS = (".*.tmp", ".part-*")
"""Files of a call that was killed, of this release and of earlier ones."""


def make_folder(
    target: Path, sources: Mapping[str, Any], make: Callable[[Any, Path], None], report: ProgressCallback, workers: int
) -> int:
    """Makes a folder of files, one of each source.

    The files gather in a folder beside it, which gets its name when all are there. A file that is there is not made
    again, so a call that was interrupted goes on where it stopped.

    Args:
        target: the folder.
        sources: for each file's name, what it is made of.
        make: writes the file of a source to a path; a function of a module, so that workers find it.
        report: is told about progress.
        workers: processes.

    Returns:
        How many files were made.

    Raises:
        FormatError: if there are no sources, sources can't be used (all others are made first), or the folder can't
            be made.
        ValueError: if a file can't be written.
    """
    if not sources:
        raise FormatError(f"{target}: there is nothing to make it of. `lexiseg data check` says what is missing.")
    work = target if target.is_dir() else target.with_name(target.name + PARTIAL)
    with writing(target, FormatError):
        work.mkdir(parents=True, exist_ok=True)
        there = set(os.listdir(work))  # noqa: PTH208 - names are all that is needed
        jobs = [(work / name, source) for name, source in sources.items() if name not in there]
        before = len(sources) - len(jobs)
        report(before, len(sources))
        make_one = partial(_make_one, make=make)
        if problems := collect_problems(make_one, jobs, workers, lambda done, _: report(before + done, len(sources))):
            raise FormatError(
                f"{len(problems)} of {len(sources)} files of {target} could not be made; mend or remove their sources "
                f"and call again. {' '.join(problems[:SHOWN])}"
            )
        if work != target:
            for leftover in (path for pattern in LEFTOVERS for path in work.glob(pattern)):
                leftover.unlink()
            work.rename(target)
    return len(jobs)


def write_panoptic_json(
    masks: Path,
    pictures: Mapping[str, str],
    categories: Sequence[Category],
    category_of: Callable[[int], int],
    workers: int,
    *,
    crowds: frozenset[int] = frozenset(),
) -> None:
    """Writes the JSON beside a folder of id PNGs, last, so that where it stands the PNGs stand too; once.

    Args:
        masks: the folder, whose name the JSON gets.
        pictures: for each PNG's name, the picture's.
        categories: all of them.
        category_of: the category of a segment's id; a function of a module.
        workers: processes.
        crowds: segment ids that stand for groups of things.
    """
    target = masks.with_suffix(".json")
    if target.exists():
        return
    describe = partial(_describe, category_of=category_of, crowds=crowds)
    described = map_in_pool(describe, [masks / name for name in pictures], workers)
    listed = [
        (Sample(image_id=number, file_name=picture, image_path=Path(picture), mask_path=masks / mask, segments=s), size)
        for number, ((mask, picture), (s, size)) in enumerate(zip(pictures.items(), described, strict=True), start=1)
    ]
    write_atomically(target, to_json(listed, categories), FormatError)


def _describe(
    path: Path, category_of: Callable[[int], int], crowds: frozenset[int]
) -> tuple[tuple[SegmentInfo, ...], tuple[int, ...]]:
    """The segments and the size of a PNG."""
    ids = load_ids(path)
    category_ids = {i: category_of(i) for i in np.unique(ids).tolist() if i != VOID}
    return describe_segments(ids, category_ids, crowd=crowds), ids.shape


def _make_one(job: tuple[Path, Any], make: Callable[[Any, Path], None]) -> str | None:
    """Makes one file, whole or not at all; returns what is wrong with its source."""
    path, source = job
    try:
        with replacing(path) as hidden:
            make(source, hidden)
    except (FormatError, PictureError) as error:
        return str(error)
    return None

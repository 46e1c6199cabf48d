"""Files of folders, found by listing every folder once, not by asking for each file."""

import os
from collections import defaultdict
from collections.abc import Collection, Generator, Iterable
from pathlib import Path

from lexiseg.core.files import no_collection
from lexiseg.data.dataset import Sample

SHOWN = 5
"""How many names stand in a message."""


def stems(folder: Path, end: str, *, deep: bool = False, skip: str | None = None) -> list[str]:
    """Names of the files that end so, without that end, in order; see `files_below`."""
    return sorted(name[: -len(end)] for name in _names(folder, deep=deep, skip=skip) if name.endswith(end))


def files_below(folder: Path, ends: Collection[str]) -> list[str]:
    """Names of the files with one of the ends, in any case of letters, in order; also of the folders inside."""
    return sorted(name for name in _names(folder, deep=True) if name.lower().endswith(tuple(ends)))


def without_end(name: str) -> str:
    """A file's name, with its folders, without its end."""
    return name.rpartition(".")[0]


def _names(folder: Path, *, deep: bool, skip: str | None = None) -> Generator[str, None, None]:
    """Names in a folder, as paths with slashes where they lie deeper; hidden ones are left out.

    Args:
        folder: listed once; one that is not there is empty.
        deep: looks into the folders inside, too.
        skip: leaves out folders whose names begin so.
    """
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while waiting:
        inside, above = waiting.pop()
        try:
            here = (folder / inside).stat()
            entries = os.scandir(folder / inside)
        except OSError:
            continue
        if (identity := (here.st_dev, here.st_ino)) in above:  # a link to a folder that it lies in
            entries.close()
            continue
        with entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if deep and _is_folder(entry):
                    if not (skip and entry.name.startswith(skip)):
                        waiting.append((f"{inside}{entry.name}/", above | {identity}))
                else:
                    yield f"{inside}{entry.name}"


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether it is one; a link to itself is a file that can't be read."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def pair(
    images: Path,
    labels: Path,
    names: Iterable[str] | None = None,
    *,
    image_end: str = ".jpg",
    labels_end: str = ".png",
    deep: bool = False,
) -> tuple[Sample, ...]:
    """Pictures and label maps of the same names, whether they are there or not: who opens one will be told.

    Args:
        images: the folder of pictures.
        labels: the folder of label maps.
        names: without their ends; all of both folders if not given, as a picture without its map must not be forgotten.
        image_end: of the pictures' file names.
        labels_end: of the label maps' file names.
        deep: looks for names in the folders inside, too.
    """
    if names is None:
        names = either(stems(images, image_end, deep=deep), stems(labels, labels_end, deep=deep))
    return tuple(
        Sample(
            file_name=f"{name}{image_end}",
            image_path=images / f"{name}{image_end}",
            mask_path=labels / f"{name}{labels_end}",
        )
        for name in names
    )


def either(first: Iterable[str], second: Iterable[str]) -> list[str]:
    """All names of both, in order: a picture without its label map is no reason to forget it."""
    return sorted({*first, *second})


@no_collection()
def absent(paths: Iterable[Path]) -> list[Path]:
    """Which of the paths are not there; every folder is listed once."""
    in_folder: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    for path in paths:
        folder, _, name = str(path).rpartition(os.sep)  # path.parent would cost more than all else
        in_folder[folder or (os.sep if path.is_absolute() else os.curdir)].append((name, path))
    missing: list[Path] = []
    for folder, wanted in in_folder.items():
        try:
            there = set(os.listdir(folder))  # noqa: PTH208 - a Path per file would cost as much again
        except OSError:
            there = set()
        missing.extend(path for name, path in wanted if name not in there)
    return missing

"""Files of folders, found by listing every folder once, not by asking for each file."""

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from lexiseg.data.dataset import Sample

SHOWN = 5
"""How many names stand in a message."""


def stems(folder: Path, end: str, *, deep: bool = False, skip: str | None = None) -> list[str]:
    """Names of the files that end so, without that end, in order; below `folder` as paths with slashes.

    Args:
        folder: listed once; one that is not there is empty.
        end: such as "_leftImg8bit.png".
        deep: looks into the folders inside, too.
        skip: leaves out folders whose names begin so.
    """
    found: list[str] = []
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        try:
            entries = os.scandir(folder / inside)
        except OSError:
            continue
        with entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.name.endswith(end):
                    found.append(f"{inside}{entry.name[: -len(end)]}")
                elif deep and not (skip and entry.name.startswith(skip)) and entry.is_dir():
                    waiting.append(f"{inside}{entry.name}/")
    return sorted(found)


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


def absent(paths: Iterable[Path]) -> list[Path]:
    """Which of the paths are not there; every folder is listed once."""
    in_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        in_folder[path.parent].append(path)
    missing: list[Path] = []
    for folder, wanted in in_folder.items():
        try:
            there = set(os.listdir(folder))  # noqa: PTH208 - a Path per file would cost more than all else
        except OSError:
            there = set()
        missing.extend(path for path in wanted if path.name not in there)
    return missing

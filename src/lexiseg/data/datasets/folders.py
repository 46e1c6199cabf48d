"""What lies in folders: listed once, never asked for file by file."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lexiseg.core.concepts import Concept, same_word
from lexiseg.core.errors import FormatError
from lexiseg.core.files import read_json
from lexiseg.core.vocabulary import Vocabulary, builtin_names, label_table
from lexiseg.data.formats.coco_panoptic import Category, PanopticDataset, Sample, SegmentInfo
from lexiseg.data.formats.label_maps import SemanticSample

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
    images: Path, labels: Path, names: Iterable[str], *, image_end: str = ".jpg", labels_end: str = ".png"
) -> tuple[SemanticSample, ...]:
    """Pictures and label maps of the same names, whether they are there or not: who opens one will be told."""
    return tuple(
        SemanticSample(
            file_name=f"{name}{image_end}",
            image_path=images / f"{name}{image_end}",
            labels_path=labels / f"{name}{labels_end}",
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


def builtin_categories(listed: str, ids: Sequence[int] | None = None) -> tuple[Category, ...]:
    """The categories of a built-in list, under the data set's own numbers.

    Args:
        listed: name of the list.
        ids: a number per concept; the list's own label values if not given.
    """
    numbers = label_table(listed).values if ids is None else ids
    concepts = Vocabulary.of(listed).concepts
    return tuple(Category(id=i, name=c.name, is_thing=c.is_thing) for i, c in zip(numbers, concepts, strict=True))


def own_words(categories: Sequence[Category]) -> Vocabulary:
    """The built-in list that names exactly these categories, which adds synonyms, or else their names; in their order.

    Raises:
        VocabularyError: if two categories have one name.
    """
    names = [same_word(category.name) for category in categories]
    for listed in builtin_names():
        known = Vocabulary.of(listed)
        concept_of = {same_word(concept.name): concept for concept in known.concepts}
        if concept_of.keys() == set(names):
            return Vocabulary(tuple(concept_of[name] for name in names), known.templates)
    return Vocabulary(tuple(Concept(c.name, is_thing=c.is_thing) for c in categories))


def places(categories: Sequence[Category]) -> dict[int, int]:
    """The class map of label files that hold the categories' own numbers."""
    return {category.id: place for place, category in enumerate(categories)}


def read_named_panoptic(
    annotations: Path, masks: Path, categories: Sequence[Category], find_image: Callable[[str], Path]
) -> PanopticDataset:
    """Reads a COCO panoptic JSON whose pictures have names for ids, as those of ADE20K and Cityscapes have.

    Pictures are numbered from 1 in the order of the JSON.

    Args:
        annotations: the JSON.
        masks: the folder of id PNGs.
        categories: what the numbers in the JSON mean; the JSON's own names are not used.
        find_image: where the picture lies that the JSON calls so.

    Raises:
        FormatError: if the JSON is not in format, or speaks of other categories.
    """
    content = read_json(annotations)
    known = {category.id for category in categories}
    samples: list[Sample] = []
    try:
        if strange := sorted({int(c["id"]) for c in content["categories"]} - known):
            raise FormatError(
                f"{annotations}: category {strange[0]} is none of this data set; the JSON belongs to another one, "
                "or was made with other numbers."
            )
        names = {picture["id"]: str(picture["file_name"]) for picture in content["images"]}
        for number, entry in enumerate(content["annotations"], start=1):
            if entry["image_id"] not in names:
                raise FormatError(f"{annotations}: picture {entry['image_id']} is not among the images.")
            image_path = find_image(names[entry["image_id"]])
            samples.append(
                Sample(
                    image_id=number,
                    file_name=image_path.name,
                    image_path=image_path,
                    segmentation_path=masks / str(entry["file_name"]),
                    segments=tuple(_to_segment(segment) for segment in entry["segments_info"]),
                )
            )
    except FormatError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise FormatError(f"{annotations}: not in COCO panoptic format ({type(error).__name__}: {error}).") from error
    return PanopticDataset(categories=tuple(categories), samples=tuple(samples))


def _to_segment(entry: Mapping[str, Any]) -> SegmentInfo:
    x, y, width, height = (int(number) for number in entry["bbox"])
    return SegmentInfo(
        id=int(entry["id"]),
        category_id=int(entry["category_id"]),
        area=int(entry["area"]),
        box=(x, y, width, height),
        is_crowd=bool(entry["iscrowd"]),
    )

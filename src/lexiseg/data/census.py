"""A census of a data set: what each class has, which pixels have none, and what pictures bear EXIF flags.

Objects, crowds and pictures are counted in the lists, of all pictures; pixels in those that were opened, and EXIF flags
in the headers that were read. Whatever has nothing is named.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress
from string import digits
from typing import Any

import numpy as np

from lexiseg.core.files import no_collection
from lexiseg.core.messages import few
from lexiseg.core.tables import percent
from lexiseg.data.dataset import IGNORED, Annotation, Category, Dataset, Sample
from lexiseg.data.formats.coco_segments import column
from lexiseg.data.formats.layouts import SPLIT_WORDS
from lexiseg.data.id_maps import VOID, segments_of
from lexiseg.data.run_lengths import area_of

PAIR = 2
"""Classes of a binary mask, whose files often hold 0 and 255."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCount:
    """How often a class occurs."""

    name: str
    objects: int
    """Segments or objects that are no crowd."""
    crowds: int
    pictures: int
    """Those with an object or a crowd of it; where no list tells, of the opened ones."""
    pixels: int
    """In the pictures that were opened."""


@dataclass(frozen=True, slots=True)
class PixelCount:
    """What the pixels of opened pictures belong to."""

    num_pictures: int = 0
    num_pixels: int = 0
    of_category: Counter[int] = field(default_factory=Counter)
    """Pixels by category id; those of objects may overlap."""
    pictures: Counter[int] = field(default_factory=Counter)
    """Pictures with such a pixel, by category id."""
    ignored: Counter[int] = field(default_factory=Counter)
    """Pixels without a class, by the value that the map has for them. Objects leave none: what they do not cover may be
    anything."""

    def __add__(self, other: "PixelCount") -> "PixelCount":
        return PixelCount(
            self.num_pictures + other.num_pictures,
            self.num_pixels + other.num_pixels,
            self.of_category + other.of_category,
            self.pictures + other.pictures,
            self.ignored + other.ignored,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What a data set has of everything."""

    num_pictures: int
    classes: tuple[ClassCount, ...]
    """In the order of the data set's categories."""
    unlisted: frozenset[int]
    """Ids of segments' categories that the data set does not have."""
    opened: PixelCount
    is_listed: bool
    """Whether lists tell segments or objects; label maps have none."""
    num_headers: int
    """Pictures whose header was read."""
    num_flagged: int
    """Those whose EXIF orientation turns or mirrors them."""
    splits: Mapping[str, int]
    """Pictures below a folder of a split's name, by split."""

    @property
    def is_complete(self) -> bool:
        """Whether every picture was opened."""
        return self.opened.num_pictures == self.num_pictures

    def table(self, most: int | None = None) -> list[tuple[str, ...]]:
        """A heading, and a row for each class of which anything is known, the most frequent first; at most so many."""
        columns = ("class", *(("objects", "crowds") if self.is_listed else ()), "pictures", "% of pixels")
        if not (self.is_listed or self.opened.num_pixels or any(one.pictures for one in self.classes)):
            return [columns]
        classes = sorted(self.classes, key=lambda one: (-one.objects, -one.pictures, -one.pixels))
        return [columns, *map(self._row, classes[:most])]

    def _row(self, one: ClassCount) -> tuple[str, ...]:
        counts = (one.objects, one.crowds, one.pictures) if self.is_listed else (one.pictures,)
        share = percent(one.pixels / self.opened.num_pixels if self.opened.num_pixels else None)
        return one.name, *(f"{count:,}" for count in counts), share

    def facts(self) -> tuple[str, ...]:
        """What pixels were counted in, which values of them are ignored, and where pictures lie, a sentence each."""
        found = []
        if self.opened.num_pixels:
            ignored = f"; {self._ignored()}" if self.opened.ignored else ""
            what = "Pixels are" if self.is_listed else "Pictures and pixels are"
            found.append(f"{what} those of the {self.opened.num_pictures} pictures that were opened{ignored}.")
        if self.splits:
            found.append(
                f"Pictures per split folder: {', '.join(f'{name} {count}' for name, count in self.splits.items())}."
            )
        return tuple(found)

    def problems(self) -> tuple[str, ...]:
        """What a training learns nothing on, a sentence each."""
        return tuple(self._unseen()) if self._is_of_nothing else ()

    def notes(self) -> tuple[str, ...]:
        """What it can live with, and should be known, a sentence each."""
        found = [] if self._is_of_nothing else [*self._unseen()]
        if crowds := [f"'{one.name}' ({one.crowds} objects)" for one in self.classes if one.crowds and not one.objects]:
            found.append(
                f"classes with crowds alone, of which no thing is learned: {few(crowds)}. Some tools mark brush masks "
                "so; --crowds-as-things takes them for things."
            )
        if len(self.splits) > 1:
            found.append(f"{' and '.join(self.splits)} are taken together, as no split is named (--split).")
        if self.num_flagged:
            found.append(
                f"{self.num_flagged} of {self.num_headers} pictures whose headers were read bear an EXIF flag that "
                "turns or mirrors them: they are read upright, and their annotations must be upright, too."
            )
        return tuple(found)

    @property
    def _is_of_nothing(self) -> bool:
        """Whether label maps, all of them opened, hold no class."""
        is_known = not self.is_listed and self.is_complete and self.opened.num_pixels > 0
        return is_known and not any(one.pixels for one in self.classes)

    def _unseen(self) -> list[str]:
        """The classes with nothing, and the value that may be meant to be one."""
        unseen = [f"'{one.name}'" for one in self.classes if not one.pictures]
        is_pair = not self.is_listed and len(self.classes) <= PAIR and self.opened.num_pixels > 0
        if not unseen or not (self.is_listed or self.is_complete or is_pair):
            return []  # a few label maps of many classes need not hold them all
        what, where = "object" if self.is_listed else "pixel", ""
        if not (self.is_listed or self.is_complete):
            where = f" in the {self.opened.num_pictures} pictures that were opened"
        many = f"{few(unseen)} ({len(unseen)} of {len(self.classes)} classes) have"
        sentence = f"{many if len(unseen) > 1 else f'the class {unseen[0]} has'} no {what}{where}"
        if self.is_listed or not self.opened.ignored or not (is_pair or len(unseen) == 1):
            return [f"{sentence}."]
        value = max(self.opened.ignored, key=lambda value: (value != VOID, self.opened.ignored[value]))
        name = unseen[0][1:-1] if len(unseen) == 1 else "NAME"
        return [
            f"{sentence}, while {value} (ignored) covers {self._share(self.opened.ignored[value])} of all pixels: is "
            f"{value} the class? Give every line of classes.txt its value ('{value} {name}'), or repaint it."
        ]

    def _ignored(self) -> str:
        values = [f"{value} ({self._share(count)})" for value, count in self.opened.ignored.most_common()]
        return f"{self._share(self.opened.ignored.total())} of them are ignored, by their value: {few(values)}"

    def _share(self, count: int) -> str:
        return f"{percent(count / self.opened.num_pixels)} %"


@no_collection()
def take_census(dataset: Dataset, opened: PixelCount, *, num_headers: int, num_flagged: int) -> Census:
    """Counts what the lists of a data set hold, once through and without copies, and adds what was seen in its files.

    Args:
        dataset: nothing of it is opened.
        opened: of some of its pictures; see `count_pixels`.
        num_headers: pictures whose header was read.
        num_flagged: those with an EXIF orientation other than upright.
    """
    listed = [one for one in dataset.samples if one.segments is not None or one.objects is not None]
    ids = [_ids(sample) for sample in listed]
    objects, pictures = Counter(chain.from_iterable(ids)), Counter(chain.from_iterable(map(set, ids)))
    crowds = Counter(chain.from_iterable(map(compress, ids, map(_crowds, listed))))
    labels = Counter(dataset.categories[place].id for sample in dataset.samples for place in sample.labels)
    folders = Counter(split for sample in dataset.samples for split in _splits_of(sample.file_name))
    return Census(
        num_pictures=len(dataset.samples),
        classes=tuple(
            ClassCount(
                name=one.name,
                objects=objects[one.id] - crowds[one.id],
                crowds=crowds[one.id],
                pictures=(pictures or labels or opened.pictures)[one.id],
                pixels=opened.of_category[one.id],
            )
            for one in dataset.categories
        ),
        unlisted=frozenset(objects.keys() - {one.id for one in dataset.categories}),
        opened=opened,
        is_listed=bool(listed),
        num_headers=num_headers,
        num_flagged=num_flagged,
        splits={split: folders[split] for split in SPLIT_WORDS if folders[split]},
    )


def _ids(sample: Sample) -> list[int]:
    """The category of each listed segment or object."""
    if sample.segments is not None:
        return column(sample.segments, "category_id")
    return [one["category_id"] for one in sample.objects or ()]


def _crowds(sample: Sample) -> list[Any]:
    """Whether each listed segment or object is a crowd."""
    if sample.segments is not None:
        return column(sample.segments, "is_crowd")
    return [one.get("iscrowd", 0) for one in sample.objects or ()]


def _splits_of(file_name: str) -> list[str]:
    """The splits that the folders of a picture are called by; of several, the outermost."""
    if "/" not in file_name:
        return []
    names = file_name.lower().split("/")[:-1]
    return [split for name in names for split, words in SPLIT_WORDS.items() if name.rstrip(digits) in words][:1]


def count_pixels(annotation: Annotation, categories: Sequence[Category]) -> PixelCount:
    """Counts the pixels of one picture by what its annotation says of them."""
    if annotation.size is None:
        return PixelCount(1)
    of_category, ignored = Counter[int](), Counter[int]()
    if annotation.panoptic is not None:
        areas = {segment: area for segment, (area, _) in segments_of(annotation.panoptic.ids).items()}
        for segment in annotation.panoptic.segments:
            of_category[segment.category_id] += areas.pop(segment.id, 0)
        ignored[VOID] = annotation.panoptic.ids.size - of_category.total()
    elif annotation.semantic is not None:
        counts = np.bincount(annotation.semantic.ravel() + 1, minlength=len(categories) + 1)[1:].tolist()
        of_category.update({category.id: count for category, count in zip(categories, counts, strict=True)})
        unknown = annotation.semantic.size - of_category.total()
        ignored.update(annotation.ignored or {IGNORED: unknown})
    elif annotation.instances is not None:
        for mask in annotation.instances.masks:
            of_category[mask.category_id] += area_of(mask.counts, annotation.instances.size)
    of_category, ignored = +of_category, +ignored  # without zeros
    height, width = annotation.size
    return PixelCount(1, height * width, of_category, Counter(of_category.keys()), ignored)

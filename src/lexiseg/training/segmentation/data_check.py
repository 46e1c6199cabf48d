"""What is wrong with training data, in sentences with counts, before the first step."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TypeVar

from PIL import Image

from lexiseg.core.files import open_regular
from lexiseg.core.images import EXIF_ORIENTATION
from lexiseg.core.messages import few
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import match_categories
from lexiseg.data.dataset import AnnotationKind, Dataset, Sample
from lexiseg.data.datasets.folders import absent
from lexiseg.data.datasets.spec import OPENED, problem_of

ItemT = TypeVar("ItemT")

MAPS = frozenset[AnnotationKind](("panoptic", "semantic"))
"""Annotations that lie in files beside the pictures."""
HEADERS = 2000
"""Pictures whose size a thorough look reads from the files' headers; it takes about a second."""
SIDES = 100
"""Pictures whose headers tell how large they are."""
SIDEWAYS = range(5, 9)
"""EXIF orientations that swap width and height."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """What was found."""

    num_pictures: int
    classes: tuple[tuple[str, int, int], ...] = ()
    """Each category with the segments or objects that are no crowd, and the pictures that have some; the most frequent
    first. Nothing where lists do not tell, as of label maps."""
    facts: tuple[str, ...] = ()
    """What is neither good nor bad, a sentence each."""
    problems: tuple[str, ...] = ()
    """What a training would break or learn nothing on, a sentence each."""
    notes: tuple[str, ...] = ()
    """What it can live with."""

    def __add__(self, other: "DataReport") -> "DataReport":
        both = {name: getattr(self, name) + getattr(other, name) for name in ("classes", "facts", "problems", "notes")}
        return replace(self, **both)


class Problem(str):
    """A sentence about what a training would break or learn nothing on."""


class Note(str):
    """A sentence about what it can live with."""


def _report(data: Dataset, sentences: Iterable[Problem | Note]) -> DataReport:
    found = list(sentences)
    problems, notes = (tuple(one for one in found if isinstance(one, kind)) for kind in (Problem, Note))
    return DataReport(num_pictures=len(data.samples), problems=problems, notes=notes)


def look_at_data(data: Dataset, vocabulary: Vocabulary, *, per_class: bool, files: bool = False) -> DataReport:
    """Looks at a training set as its annotations allow.

    Args:
        data: the training set.
        vocabulary: the recipe's words.
        per_class: whether crowds count as parts of their class; see `data.samples.segmentation.to_targets`.
        files: opens files as well. 16 pictures with objects are opened in any case, as their lists tell too little.
    """
    found = look_at_lists(data, vocabulary, per_class=per_class)
    found = replace(found, classes=count_classes(data) if files else ())
    if not MAPS & data.kinds:
        return found + _report(data, _broken(_complete(data), data))
    return found + look_at_files(data) if files else found


def count_classes(data: Dataset) -> tuple[tuple[str, int, int], ...]:
    """Segments or objects of each category and the pictures that have some; see `DataReport.classes`."""
    segments, pictures = Counter[int](), Counter[int]()
    for sample in data.samples:
        own = Counter(s.category_id for s in sample.segments or () if not s.is_crowd)
        own.update(one["category_id"] for one in sample.objects or () if not one.get("iscrowd", 0))
        segments += own
        pictures.update(own.keys())
    if not segments:
        return ()
    counted = [(category.name, segments[category.id], pictures[category.id]) for category in data.categories]
    return tuple(sorted(counted, key=lambda one: -one[1]))


def median_side(data: Dataset) -> int | None:
    """The median of the longer sides of some pictures, from their headers; None if none can be read."""
    sizes = [size for sample in _evenly(list(data.samples), SIDES) if (size := _size(sample.image_path)) is not None]
    return round(median(map(max, sizes))) if sizes else None


def look_at_lists(data: Dataset, vocabulary: Vocabulary, *, per_class: bool) -> DataReport:
    """Holds lists against the vocabulary and the folders; opens no file, so every training begins with it.

    Args:
        data: the training set.
        vocabulary: the recipe's words. Objects of a COCO instance JSON, whose reader has refused malformed ones, are
            not held against it.
        per_class: whether crowds count as parts of their class; see `data.samples.segmentation.to_targets`.
    """
    return _report(data, _look_at_lists(data, vocabulary, per_class=per_class))


def _look_at_lists(data: Dataset, vocabulary: Vocabulary, *, per_class: bool) -> Iterator[Problem | Note]:
    count = len(data.samples)
    if not count:
        yield Problem("there are no pictures: give a data set with at least two.")
        return
    masks = (sample.mask_path for sample in data.samples if sample.mask_path is not None)
    for what, paths in (("pictures", (sample.image_path for sample in data.samples)), ("masks", masks)):
        if missing := absent(paths):
            yield Problem(
                f"{len(missing)} of {count} {what} are missing, first {missing[0]}: copy them there, or leave their "
                "annotations out."
            )
    if MAPS & data.kinds:
        yield from _look_at_categories(data, vocabulary, per_class=per_class)
    else:
        yield from _look_at_objects(data)
    if count == 1:
        yield Note("there is one picture only: a model learns it by heart and nothing else.")


def _look_at_categories(data: Dataset, vocabulary: Vocabulary, *, per_class: bool) -> Iterator[Problem | Note]:
    """Whether there are words for the categories, and segments of those that have one."""
    class_ids = match_categories(data.categories, vocabulary)
    unknown = [c.name for c in data.categories if c.id not in class_ids]
    if len(unknown) == len(data.categories):
        yield Problem(
            f"none of the {len(unknown)} categories ({few(unknown)}) is in the recipe's vocabulary of "
            f"{len(vocabulary)} words: choose the data or the recipe that fit."
        )
    elif unknown:
        yield Note(
            f"{len(unknown)} of {len(data.categories)} categories are not in the vocabulary ({few(unknown)}): "
            f"{_segments_of(data, unknown)}their pixels are not learned from."
        )
    if any(sample.segments is not None for sample in data.samples):
        yield from _look_at_segments(data, set(class_ids), per_class=per_class)


def _look_at_objects(data: Dataset) -> Iterator[Problem | Note]:
    """Whether there is an object to learn in every picture."""
    count = len(data.samples)
    listed = [(s.file_name, s.objects) for s in data.samples if s.objects is not None]
    empty = [name for name, objects in listed if all(one.get("iscrowd", 0) for one in objects)]
    if len(empty) == count:
        yield Problem(f"none of the {count} pictures has an object that is no crowd: mark things one by one.")
    elif empty:
        yield Note(f"{len(empty)} of {count} pictures have no object, or crowds alone, first {empty[0]}.")


def _look_at_segments(data: Dataset, known: set[int], *, per_class: bool) -> Iterator[Problem | Note]:
    """Whether there is a segment to learn in every picture."""
    count = len(data.samples)
    segments = [segment for sample in data.samples for segment in sample.segments or ()]
    listed = {category.id for category in data.categories}
    strange = [
        s.file_name for s in data.samples if any(segment.category_id not in listed for segment in s.segments or ())
    ]
    if strange:
        yield Problem(
            f"{len(strange)} of {count} pictures have segments of a category that the annotations do not list, first "
            f"{strange[0]}: list it, or leave them out."
        )
    empty = [
        sample.file_name
        for sample in data.samples
        if not any(s.category_id in known and (per_class or not s.is_crowd) for s in sample.segments or ())
    ]
    if len(empty) == count and segments and all(segment.is_crowd for segment in segments):
        yield Problem(
            f"all {len(segments)} segments of the {count} pictures are crowds, of which nothing is learned: mark "
            "things one by one."
        )
    elif len(empty) == count and known:
        yield Problem(f"none of the {count} pictures has a segment of the vocabulary: choose other data.")
    elif empty and known:
        yield Note(
            f"{len(empty)} of {count} pictures have nothing to learn (void, crowds, other categories), first "
            f"{empty[0]}."
        )


def _segments_of(data: Dataset, names: Sequence[str]) -> str:
    """How many segments have one of these categories, where the lists tell."""
    ids = {category.id for category in data.categories if category.name in set(names)}
    owners = [segment.category_id in ids for sample in data.samples for segment in sample.segments or ()]
    return f"{sum(owners)} of {len(owners)} segments are theirs, and " if owners else ""


def look_at_files(data: Dataset) -> DataReport:
    """Opens files that are there: headers of up to 2,000 pictures and masks, and 16 of both as a whole. Seconds."""
    return _report(data, _look_at_files(data))


def _look_at_files(data: Dataset) -> Iterator[Problem | Note]:
    there = _complete(data)
    looked = _evenly(there, HEADERS)
    other_sizes, outside = [], []
    for sample in looked:
        size, mask_size = _size(sample.image_path), None if sample.mask_path is None else _size(sample.mask_path)
        if size is None or mask_size is None:
            continue  # opening them as a whole says more, and a broken file is seldom alone
        if size != mask_size:
            other_sizes.append(f"{sample.file_name}: {size[0]} x {size[1]} and {mask_size[0]} x {mask_size[1]}")
        elif not all(_is_inside(s.box, size) for s in sample.segments or ()):
            outside.append(sample.file_name)
    if other_sizes:
        yield Problem(
            f"{len(other_sizes)} of {len(looked)} masks have another size than their picture, first "
            f"{other_sizes[0]} pixels: make them anew."
        )
    if outside:
        yield Problem(
            f"{len(outside)} of {len(looked)} pictures have segments whose box lies outside the picture, first "
            f"{outside[0]}: the annotations belong to other pictures."
        )
    if not other_sizes:
        yield from _broken(there, data)


def _broken(samples: list[Sample], data: Dataset) -> Iterator[Problem | Note]:
    """Opens a few of the samples, from all over the list, as strictly as a training does."""
    opened = _evenly(samples, OPENED)
    broken = [problem for sample in opened if (problem := problem_of(sample, data, strict=True)) is not None]
    if broken:
        yield Problem(f"{len(broken)} of {len(opened)} pictures that were opened can't be used, first {broken[0]}")


def _complete(data: Dataset) -> list[Sample]:
    """The samples whose files are all there."""
    lost = set(absent(path for sample in data.samples for path in sample.files))
    return [sample for sample in data.samples if lost.isdisjoint(sample.files)]


def _evenly(items: list[ItemT], most: int) -> list[ItemT]:
    """At most so many of them, from all over the list."""
    return items[:: -(-len(items) // most)] if items else []


def _size(path: Path) -> tuple[int, int] | None:
    """Width and height as they will be after the EXIF orientation, from the header alone."""
    try:
        with open_regular(path) as file, Image.open(file) as picture:
            width, height = picture.size
            is_sideways = picture.getexif().get(EXIF_ORIENTATION, 1) in SIDEWAYS
    except Exception:  # a parser of untrusted bytes may raise anything
        return None
    return (height, width) if is_sideways else (width, height)


def _is_inside(box: tuple[int, int, int, int], size: tuple[int, int]) -> bool:
    x, y, width, height = box
    return 0 <= x <= x + width <= size[0] and 0 <= y <= y + height <= size[1]

"""What is wrong with a data set, whatever it is for: the rules of `data check`, `train --check` and every training."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from lexiseg.core.concepts import same_word
from lexiseg.core.errors import FormatError, PictureError
from lexiseg.core.images import UPRIGHT, Header, header_of, size_of
from lexiseg.core.messages import few
from lexiseg.core.pool import ProgressCallback, map_in_pool
from lexiseg.data.census import Census, PixelCount, count_pixels, take_census
from lexiseg.data.dataset import IGNORED, Annotation, Dataset, Sample, turned_by_exif
from lexiseg.data.datasets.folders import absent
from lexiseg.data.formats.coco_segments import column
from lexiseg.data.formats.layouts import Remarks
from lexiseg.data.id_maps import segments_of
from lexiseg.data.run_lengths import area_of

ItemT = TypeVar("ItemT")

OPENED = 16
"""How many pictures a check opens where it is not asked to open all."""
HEADERS = 2000
"""Pictures whose header is read where not all are asked for; it takes about a second."""

CLASSLESS = "label maps that hold no class of the data set: {n}, first that of {first}; nothing is learned from them."
HIDDEN = "segments in the JSON that are not in the PNG: {n}, first {first}; they count as missed, and teach nothing."
EMPTY = "objects whose mask has no pixel: {n}, first {first}; they teach nothing."
TWICE = "segments whose id stands twice in their list: {n}, first {first}; the last entry counts."
SAME_NAME = "pictures with the file name of another: {n}, first {first}; they are taken one by one."


@dataclass(frozen=True, slots=True)
class Resource:
    """A file or folder of a data set."""

    what: str
    """A word for it: pictures, labels."""
    places: tuple[str, ...]
    """Where it may lie in the data set's folder, the best first; `{split}` is val or train, `{long}` validation ..."""
    source: str
    """Where to get it."""


FoundResources = tuple[tuple[Resource, Path | None], ...]
"""Each resource of a data set, and where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a check found."""

    home: Path
    resources: FoundResources = ()
    lacking: tuple[str, ...] = ()
    """A sentence for each resource that is missing."""
    num_samples: int = 0
    missing: tuple[Path, ...] = ()
    """Files that are listed, but are not there."""
    num_opened: int = 0
    broken: tuple[str, ...] = ()
    """A sentence for each picture that can't be used, or one where they can't be listed."""
    problems: tuple[str, ...] = ()
    """What else a training or an evaluation would break on, a sentence each."""
    notes: tuple[str, ...] = ()
    """What they can live with."""
    census: Census | None = None
    """What there is of every class; None where nothing could be listed."""

    @property
    def is_fine(self) -> bool:
        """Whether nothing is missing and nothing broken."""
        return not (self.lacking or self.missing or self.broken or self.problems) and self.num_samples > 0


def examine(
    dataset: Dataset,
    home: Path,
    *,
    every: bool = False,
    workers: int = 1,
    report: ProgressCallback = lambda done, of: None,
) -> Findings:
    """Holds the lists of a data set against each other and the folders, and opens some of its files, as trainings do.

    Args:
        dataset: nothing of it is open.
        home: its folder, for the report.
        every: opens all pictures and headers, not 16 and 2,000.
        workers: processes that open.
        report: is told about progress.
    """
    missing = absent(path for sample in dataset.samples for path in sample.files)
    lost = set(missing)
    there = [sample for sample in dataset.samples if lost.isdisjoint(sample.files)] if lost else list(dataset.samples)
    look = partial(look_into, dataset=replace(dataset, samples=()))  # a worker needs no other samples
    chosen = there if every else evenly(there, OPENED)
    remarks, broken, pixels = Remarks(), list[str](), PixelCount()
    _look_at_lists(dataset, remarks)
    for done, (problem, remarkable, seen) in enumerate(map_in_pool(look, chosen, workers), start=1):
        broken += [problem] if problem else []
        pixels += seen
        for sentence, place in remarkable:
            remarks.add(sentence, place)
        report(done, len(chosen))
    looked = there if every else evenly(there, HEADERS)
    read = map_in_pool(header_of, [sample.image_path for sample in looked], workers if every else 1)
    headers = {sample.key: header for sample, header in zip(looked, read, strict=True) if header is not None}
    num_flagged = sum(header.orientation in UPRIGHT for header in headers.values())
    census = take_census(dataset, pixels, num_headers=len(headers), num_flagged=num_flagged)
    return Findings(
        home=home,
        num_samples=len(dataset.samples),
        missing=tuple(missing),
        num_opened=len(chosen),
        broken=tuple(broken),
        problems=(
            *_problems_of_lists(dataset, census.unlisted),
            *_problems_of_headers(looked, headers, {sample.key for sample in chosen}),
            *census.problems(),
        ),
        notes=(*dataset.notes, *remarks.sentences(), *census.notes()),
        census=census,
    )


def look_into(sample: Sample, dataset: Dataset) -> tuple[str | None, tuple[tuple[str, str], ...], PixelCount]:
    """What keeps a sample from being learned from, or nothing; what is remarkable, with its place; and its pixels."""
    try:
        annotation = dataset.load(sample, strict=True).annotation
    except (PictureError, FormatError) as error:
        return str(error), (), PixelCount()
    return None, tuple(_remarkable(sample, annotation)), count_pixels(annotation, dataset.categories)


def _remarkable(sample: Sample, annotation: Annotation) -> Iterator[tuple[str, str]]:
    if annotation.semantic is not None and (annotation.semantic == IGNORED).all():
        yield CLASSLESS, sample.file_name
    if annotation.panoptic is not None:
        seen = segments_of(annotation.panoptic.ids)
        yield from ((HIDDEN, f"{sample.file_name}, segment {s.id}") for s in sample.segments or () if s.id not in seen)
    if annotation.instances is not None:
        size = annotation.instances.size
        empty = (n for n, mask in enumerate(annotation.instances.masks, 1) if not area_of(mask.counts, size))
        yield from ((EMPTY, f"{sample.file_name}, its object number {n}") for n in empty)


def _look_at_lists(dataset: Dataset, remarks: Remarks) -> None:
    """Remarks on names and ids that stand twice."""
    seen: set[str] = set()
    for sample in dataset.samples:
        if sample.file_name in seen:
            remarks.add(SAME_NAME, sample.file_name)
        seen.add(sample.file_name)
        ids = column(sample.segments or (), "id")
        for place, one in enumerate(ids) if len(set(ids)) < len(ids) else ():
            if one in ids[:place]:
                remarks.add(TWICE, f"{sample.file_name}, segment {one}")


def _problems_of_lists(dataset: Dataset, unlisted: frozenset[int]) -> Iterator[str]:
    """Categories of one name, and segments of a category that is not listed."""
    named: dict[str, list[str]] = defaultdict(list)
    for category in dataset.categories:
        named[same_word(category.name)].append(f"'{category.name}' ({category.id})")
    for alike in named.values():
        if len(alike) > 1:
            yield f"the categories {few(alike)} have one name: give each its own, or make one of them."
    yield from _problems_of_objects(dataset)
    if unlisted:
        owners = (
            s.file_name for s in dataset.samples if unlisted.intersection(column(s.segments or (), "category_id"))
        )
        strange = list(owners)
        yield (
            f"{len(strange)} of {len(dataset.samples)} pictures have segments of a category that the annotations do "
            f"not list, first {strange[0]}: list it, or leave them out."
        )


def _problems_of_objects(dataset: Dataset) -> Iterator[str]:
    """Objects of which nothing is learned or measured."""
    listed = [sample.objects for sample in dataset.samples if sample.objects is not None]
    if listed and all(one.get("iscrowd", 0) for objects in listed for one in objects):
        yield f"none of the {len(listed)} pictures has an object that is no crowd: mark things one by one."


def _problems_of_headers(
    there: Sequence[Sample], headers: Mapping[int | str, Header], opened: Collection[int | str]
) -> Iterator[str]:
    """Maps that are not of their picture's size, if those were not opened, and boxes that leave the picture."""
    looked = [sample for sample in there if sample.mask_path is not None]
    other_sizes, turned, outside = list[str](), list[str](), list[str]()
    for sample in looked:
        header, mask_size = headers.get(sample.key), size_of(sample.files[-1])
        if header is None or mask_size is None:
            continue  # opening them as a whole says more, and a broken file is seldom alone
        size = header.size
        if size != mask_size and sample.key in opened:
            continue
        if header.is_turned_from(mask_size):
            turned.append(f"{sample.file_name}: {turned_by_exif(mask_size)}")
        elif size != mask_size:
            other_sizes.append(f"{sample.file_name}: {size[1]} x {size[0]} and {mask_size[1]} x {mask_size[0]}")
        elif not all(_is_inside(s.box, size) for s in sample.segments or ()):
            outside.append(sample.file_name)
    if other_sizes:
        yield (
            f"{len(other_sizes)} of {len(looked)} masks have another size than their picture, first "
            f"{other_sizes[0]} pixels: make them anew."
        )
    if turned:
        yield f"{len(turned)} of {len(looked)} masks do not follow their picture, first {turned[0]}."
    if outside:
        yield (
            f"{len(outside)} of {len(looked)} pictures have segments whose box lies outside the picture, first "
            f"{outside[0]}: the annotations belong to other pictures."
        )


def evenly(items: Sequence[ItemT], most: int) -> list[ItemT]:
    """At most so many of them, from all over the list."""
    count = min(most, len(items))
    return [items[place * len(items) // count] for place in range(count)]


def _is_inside(box: tuple[int, int, int, int], size: tuple[int, int]) -> bool:
    x, y, width, height = box
    return 0 <= x <= x + width <= size[1] and 0 <= y <= y + height <= size[0]

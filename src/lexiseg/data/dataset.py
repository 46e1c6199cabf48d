"""The contract of a data set: what every reader returns, and all that evaluation, training and mining know of one.

A `Dataset` lists samples and opens nothing. `load` opens one: the picture, and its `Annotation`, of which a data set
has some kinds and lacks others. Nobody asks which files a data set was read from; they ask whether a kind is there
(`"panoptic" in dataset.kinds`), or for one kind made of another (`annotation.to_semantic(categories)`).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int32, Integer, UInt8

from lexiseg.core.checks import check_size
from lexiseg.core.errors import FormatError
from lexiseg.core.images import header_of, open_picture
from lexiseg.data.id_maps import VOID, Box, compact, segments_of
from lexiseg.data.run_lengths import encode, pixels_of

TaskName = Literal["panoptic", "semantic", "instance"]
"""What a model can be measured on."""
AnnotationKind = Literal["panoptic", "semantic", "instance", "captions", "labels"]
MASK_KINDS: tuple[TaskName, ...] = ("panoptic", "semantic", "instance")
"""The kinds to learn masks from, or to be measured on; the first that a data set has is what it is made for."""
IGNORED = -1
"""A pixel without a class, in a semantic map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """One class of a data set."""

    id: int
    """The data set's own number for it: any non-negative number, with gaps."""
    name: str
    is_thing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentInfo:
    """One segment of one picture."""

    id: int
    """Value of its pixels in the id map; positive."""
    category_id: int
    area: int
    """Pixels."""
    box: Box
    """x, y, width, height in pixels."""
    is_crowd: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One picture as the data set lists it; none of its files is open."""

    file_name: str
    """Unique in the data set, for messages."""
    image_path: Path
    mask_path: Path | None = None
    """Its id PNG or label map, where it has one."""
    image_id: int | str | None = None
    """A number as COCO has it, or a name as the files of ADE20K and Cityscapes have it that other programs make."""
    size: tuple[int, int] | None = None
    """Height and width in pixels, of a picture with objects."""
    segments: Sequence[SegmentInfo] | None = None
    """Of a panoptic annotation."""
    objects: tuple[Mapping[str, Any], ...] | None = None
    """Of an instance annotation; as in COCO's JSON, and checked: category_id, area (None: as the mask has it), iscrowd,
    segmentation."""
    labels: tuple[int, ...] = ()
    """Classes that the picture shows: places in the data set's categories; none where people agreed on none."""
    captions: tuple[str, ...] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else the JSON says of the picture: captions, names of labels, a licence."""

    @property
    def key(self) -> int | str:
        """What tells the picture from others of its data set."""
        return self.file_name if self.image_id is None else self.image_id

    @property
    def files(self) -> tuple[Path, ...]:
        """The picture, and its map if it has one."""
        return (self.image_path,) if self.mask_path is None else (self.image_path, self.mask_path)

    def file_sizes(self) -> list[int | None]:
        """Bytes of picture, id map and label map, which tell a sample from another of its name; None: no such file."""
        id_map, label_map = (self.mask_path, None) if self.segments is not None else (None, self.mask_path)
        paths = (self.image_path, id_map, label_map)
        return [path.stat().st_size if path is not None and path.is_file() else None for path in paths]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segmentation:
    """A panoptic annotation: each pixel belongs to one segment, or to none."""

    ids: Int32[np.ndarray, "H W"]
    """Segment ids; 0 is void."""
    segments: tuple[SegmentInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectMask:
    """One annotated object."""

    category_id: int
    counts: str
    """Its pixels in COCO's compressed run-length code."""
    area: float
    """What decides its size: the annotation's own figure, in pixels."""
    is_crowd: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Instances:
    """An instance annotation: objects, whose masks may overlap."""

    masks: tuple[ObjectMask, ...]
    size: tuple[int, int]
    """Height and width of the picture in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Annotation:
    """What is known of one picture; every kind may be absent."""

    sample: Sample
    panoptic: Segmentation | None = None
    semantic: Int32[np.ndarray, "H W"] | None = None
    """Each pixel's class as its place in the data set's categories; -1 is ignored."""
    ignored: Mapping[int, int] = field(default_factory=dict)
    """The ignored pixels of a semantic map, counted by the value that its file has for them, if it has one."""
    instances: Instances | None = None
    labels: tuple[int, ...] = ()
    """As in the sample."""
    captions: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width in pixels, if there is a map or a mask."""
        if self.panoptic is not None:
            return self.panoptic.ids.shape
        if self.semantic is not None:
            return self.semantic.shape
        return None if self.instances is None else self.instances.size

    @property
    def has_things(self) -> bool:
        """Whether things of one class are told apart."""
        return self.panoptic is not None or self.instances is not None

    def to_segmentation(self, categories: Sequence[Category]) -> Segmentation:
        """The map of segments: as annotated, or the objects painted, or a segment for every class of a semantic map.

        Raises:
            ValueError: if there is none of the three.
        """
        if self.panoptic is not None:
            return self.panoptic
        if self.instances is not None:
            return paint_objects(self.instances)
        ids = self.to_semantic(categories) + 1  # void is -1 in one form, 0 in the other
        of_places = {place: category.id for place, category in enumerate(categories, start=1)}
        return Segmentation(ids=ids, segments=describe_segments(ids, of_places))

    def to_semantic(self, categories: Sequence[Category]) -> Int32[np.ndarray, "H W"]:
        """Each pixel's class as its place in the categories, -1 is none: as annotated, or of a segmentation.

        Raises:
            ValueError: if there is neither.
        """
        if self.semantic is not None:
            return self.semantic
        if self.panoptic is None:
            raise ValueError(f"{self.sample.file_name} has no annotation of every pixel: take another data set.")
        places = {category.id: place for place, category in enumerate(categories)}
        of_segments = {s.id: places[s.category_id] for s in self.panoptic.segments}
        class_of = np.array([*of_segments.values(), IGNORED], np.int32)
        return class_of[compact(self.panoptic.ids, list(of_segments))]  # -1, no segment, reads the last

    def to_instances(self, categories: Sequence[Category]) -> Instances:
        """The objects: as annotated, or the things of a segmentation, where a crowd region stays a crowd region.

        Raises:
            ValueError: if there is neither.
        """
        if self.instances is not None:
            return self.instances
        if self.panoptic is None:
            raise ValueError(f"{self.sample.file_name} has no annotation of objects: take another data set.")
        return things_of(self.panoptic, categories)

    def as_kind(self, kind: TaskName, categories: Sequence[Category]) -> "Annotation":
        """The same picture with an annotation of that kind alone, made of another where it is not there.

        Raises:
            ValueError: if it can't be made.
        """
        match kind:
            case "panoptic":
                return Annotation(sample=self.sample, panoptic=self.to_segmentation(categories))
            case "semantic":
                return Annotation(sample=self.sample, semantic=self.to_semantic(categories))
            case "instance":
                return Annotation(sample=self.sample, instances=self.to_instances(categories))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loaded:
    """A sample that was read: its picture and its annotation."""

    picture: UInt8[np.ndarray, "H W 3"]
    annotation: Annotation


def turned_by_exif(size: tuple[int, int]) -> str:
    """What is wrong with an annotation of the height and width that a picture has before its EXIF flag turns it."""
    height, width = size
    return (
        f"the picture is turned by its EXIF flag to {height} x {width} pixels, its annotation of {width} x {height} is "
        "not: turn the annotation as well, or save the picture without the flag"
    )


def read_listed(sample: Sample, categories: tuple[Category, ...], strict: bool) -> Annotation:
    """The annotation of a data set whose lists say all: labels and captions."""
    return Annotation(sample=sample, labels=sample.labels, captions=sample.captions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Categories and samples, and how a sample's annotation is read. It can be pickled, and workers open samples."""

    categories: tuple[Category, ...] = ()
    """The place in this tuple is the class index of metrics. Captions need none."""
    samples: tuple[Sample, ...]
    kinds: frozenset[AnnotationKind]
    """What its annotations have."""
    read: Callable[[Sample, tuple[Category, ...], bool], Annotation] = read_listed
    """Reads the annotation of a sample under these categories; strictly or not, see `annotation`. A function of a
    module, or a value that pickles."""
    unseen: frozenset[str] = frozenset()
    """Names of categories that a zero-shot split holds out."""
    name: str = ""
    """In the catalogue; empty for a folder of one's own."""
    notes: tuple[str, ...] = ()
    """What its reader left out, computed, or found elsewhere than listed: a sentence with a count for each kind."""

    def annotation(self, sample: Sample, *, strict: bool = False) -> Annotation:
        """Reads what is known of a picture, which stays closed.

        Args:
            sample: one of the data set's.
            strict: what a training asks for: the picture is there, and list and map of a segmentation agree to the
                last segment. An evaluation goes by the official evaluator's rules, which ask for neither. (ADE20K's
                usual panoptic files list stuff that things cover wholly.)

        Raises:
            FormatError: naming the picture, if a file is missing, damaged, or says what makes no sense.
        """
        return self.read(sample, self.categories, strict)

    def load(self, sample: Sample, *, strict: bool = False) -> Loaded:
        """Reads a picture and its annotation; see `annotation`.

        Raises:
            PictureError: if the picture cannot be read.
            FormatError: if the annotation cannot be read, or is of another size.
        """
        annotation = self.annotation(sample, strict=strict)
        picture = open_picture(sample.image_path)
        if annotation.size is not None:
            if (header := header_of(sample.image_path)) is not None and header.is_turned_from(annotation.size):
                raise FormatError(f"{sample.file_name}: {turned_by_exif(annotation.size)}.")
            check_size(f"{sample.file_name}: the picture", picture.shape, "its annotation", annotation.size)
        return Loaded(picture=picture, annotation=annotation)


@dataclass(frozen=True, slots=True, kw_only=True)
class _PartReader:
    """Reads annotations under some of a data set's categories.

    Segments of the others stay in the map and leave the list: they are no void, so that what is found there is wrong.
    """

    whole: Dataset

    def __call__(self, sample: Sample, categories: tuple[Category, ...], strict: bool) -> Annotation:
        """See `Dataset.read`."""
        found = self.whole.read(sample, self.whole.categories, strict)
        kept = {category.id: place for place, category in enumerate(categories)}
        places = np.array([*(kept.get(category.id, IGNORED) for category in self.whole.categories), IGNORED], np.int32)
        panoptic, instances = found.panoptic, found.instances
        if panoptic is not None:
            panoptic = replace(panoptic, segments=tuple(s for s in panoptic.segments if s.category_id in kept))
        if instances is not None:
            instances = replace(instances, masks=tuple(m for m in instances.masks if m.category_id in kept))
        return replace(
            found,
            panoptic=panoptic,
            semantic=None if found.semantic is None else places[found.semantic],
            instances=instances,
            labels=tuple(place for place in places[list(found.labels)].tolist() if place != IGNORED),
        )


def part_of(dataset: Dataset, categories: tuple[Category, ...]) -> Dataset:
    """The data set under some of its categories; pixels of the others are nobody's, in semantic maps ignored."""
    if categories == dataset.categories:
        return dataset
    unseen = dataset.unseen & {category.name for category in categories}
    return replace(dataset, categories=categories, read=_PartReader(whole=dataset), unseen=unseen)


def last_of_each_id(segments: Iterable[SegmentInfo]) -> tuple[SegmentInfo, ...]:
    """Of entries with one id the last, as COCO's official evaluator reads them."""
    return tuple({segment.id: segment for segment in segments}.values())


def crowds_as_things(dataset: Dataset) -> Dataset:
    """The data set with every listed crowd as one object: some tools mark whatever was drawn with a brush so."""
    samples = (
        replace(
            sample,
            segments=sample.segments and tuple(replace(segment, is_crowd=False) for segment in sample.segments),
            objects=sample.objects and tuple({**one, "iscrowd": 0} for one in sample.objects),
        )
        for sample in dataset.samples
    )
    return replace(dataset, samples=tuple(samples))


def describe_segments(
    ids: Integer[np.ndarray, "H W"], category_ids: Mapping[int, int], *, crowd: Collection[int] = ()
) -> tuple[SegmentInfo, ...]:
    """Describes the segments of a map: area and box are measured, never taken on trust.

    Args:
        ids: the map; 0 is void.
        category_ids: for each segment id, its category. Ids without a pixel are left out.
        crowd: ids that are regions of many things.

    Raises:
        ValueError: if the map holds an id that has no category.
    """
    measured = segments_of(ids)
    if missing := sorted(measured.keys() - category_ids.keys()):
        raise ValueError(f"segment {missing[0]} is in the map but has no category. Name it or paint it 0.")
    return tuple(
        SegmentInfo(id=i, category_id=category_ids[i], area=area, box=box, is_crowd=i in crowd)
        for i, (area, box) in measured.items()
    )


def things_of(segmentation: Segmentation, categories: Sequence[Category]) -> Instances:
    """The things of a segmentation as objects; areas are measured, whatever the list says."""
    things = {category.id for category in categories if category.is_thing}

    def to_mask(segment: SegmentInfo) -> ObjectMask:
        pixels = segmentation.ids == segment.id
        area = float(np.count_nonzero(pixels))
        counts, category_id = encode(pixels), segment.category_id
        return ObjectMask(category_id=category_id, counts=counts, area=area, is_crowd=segment.is_crowd)

    masks = tuple(to_mask(segment) for segment in segmentation.segments if segment.category_id in things)
    return Instances(masks=masks, size=segmentation.ids.shape)


def paint_objects(instances: Instances) -> Segmentation:
    """A map of a picture's objects, and a description of each.

    A pixel has one owner: crowds lie below all others and larger objects below smaller ones, which their masks
    usually leave no hole for. An object without a visible pixel is left out.
    """
    drawn = [(mask, pixels_of(mask.counts, instances.size)) for mask in instances.masks]
    drawn.sort(key=lambda one: (not one[0].is_crowd, -one[1].sum()))
    ids = np.full(instances.size, VOID, np.int32)
    for number, (_, pixels) in enumerate(drawn, start=1):
        ids[pixels] = number
    numbered = dict(enumerate((mask for mask, _ in drawn), start=1))
    crowd = {number for number, mask in numbered.items() if mask.is_crowd}
    of_numbers = {number: mask.category_id for number, mask in numbered.items()}
    return Segmentation(ids=ids, segments=describe_segments(ids, of_numbers, crowd=crowd))

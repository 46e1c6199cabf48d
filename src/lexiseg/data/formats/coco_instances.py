"""COCO instance format, read and checked: one JSON with a box and a mask per object. Nothing here needs torch."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32

from lexiseg.core.errors import FormatError
from lexiseg.data.formats.coco_panoptic import Category, SegmentInfo, describe_segments
from lexiseg.data.formats.layouts import find_images
from lexiseg.data.formats.run_lengths import code_of, pixels_of


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSample:
    """One picture with its objects."""

    image_id: int
    file_name: str
    image_path: Path
    height: int
    width: int
    annotations: tuple[Mapping[str, Any], ...]
    """As in the JSON, and checked: category_id, bbox, area, iscrowd, segmentation (polygons or RLE)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceDataset:
    """Categories, all of them things, and samples, in the order of the JSON."""

    categories: tuple[Category, ...]
    samples: tuple[InstanceSample, ...]


def read_instances(annotations: Path, *, images: Path | None = None) -> InstanceDataset:
    """Reads the JSON of a data set; pictures are opened later, one sample at a time.

    Args:
        annotations: the JSON.
        images: the folder of pictures; looked for beside the JSON and above its folder if not given.

    Raises:
        FormatError: if the JSON is not in format, or an object of it is none; the message names its picture.
    """
    content = _load(annotations)
    try:
        categories = tuple(Category(id=int(c["id"]), name=str(c["name"]), is_thing=True) for c in content["categories"])
        pictures = {int(picture["id"]): picture for picture in content["images"]}
        _check_unique([category.id for category in categories], "category")
        _check_unique([int(picture["id"]) for picture in content["images"]], "picture")
        objects: dict[int, list[Mapping[str, Any]]] = {image_id: [] for image_id in pictures}
        known = {category.id for category in categories}
        for annotation in content["annotations"]:
            image_id = annotation["image_id"]
            if image_id not in objects:
                raise FormatError(f"object {annotation.get('id')} belongs to picture {image_id}, which is not listed.")
            check_object(annotation, pictures[image_id], known)
            objects[image_id].append(annotation)
        if images is None:
            root = annotations.parent.parent if annotations.parent.name == "annotations" else annotations.parent
            names = [p["file_name"] for p in pictures.values()]
            beside = annotations.with_suffix("")  # val.json and val/
            images = beside if names and (beside / names[0]).is_file() else find_images(root, beside, names)
        samples = tuple(
            InstanceSample(
                image_id=image_id,
                file_name=str(picture["file_name"]),
                image_path=images / picture["file_name"],
                height=int(picture["height"]),
                width=int(picture["width"]),
                annotations=tuple(objects[image_id]),
            )
            for image_id, picture in pictures.items()
        )
    except FormatError as error:
        raise FormatError(f"{annotations}: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise FormatError(f"{annotations}: not in COCO instance format ({type(error).__name__}: {error}).") from error
    return InstanceDataset(categories=categories, samples=samples)


def paint_objects(sample: InstanceSample) -> tuple[Int32[np.ndarray, "H W"], tuple[SegmentInfo, ...]]:
    """A map of a picture's objects, and a description of each.

    A pixel has one owner: crowds lie below all others and larger objects below smaller ones, which their masks
    usually leave no hole for. An object without a visible pixel is left out.

    Raises:
        FormatError: naming picture and object, if a mask can't be read.
    """
    size = sample.height, sample.width
    drawn = []
    for annotation in sample.annotations:
        where = f"{sample.file_name}, object {annotation.get('id')}"
        pixels = pixels_of(code_of(where, annotation["segmentation"], size), size)
        drawn.append((bool(annotation.get("iscrowd", 0)), pixels, annotation["category_id"]))
    drawn.sort(key=lambda one: (not one[0], -one[1].sum()))
    ids = np.zeros(size, np.int32)
    for number, (_, pixels, _) in enumerate(drawn, start=1):
        ids[pixels] = number
    category_ids = {number: category_id for number, (_, _, category_id) in enumerate(drawn, start=1)}
    crowd = {number for number, (is_crowd, _, _) in enumerate(drawn, start=1) if is_crowd}
    return ids, describe_segments(ids, category_ids, crowd=crowd)


def check_object(annotation: Mapping[str, Any], picture: Mapping[str, Any], categories: set[int]) -> None:
    """Refuses an object that no reader of COCO's format could use.

    Args:
        annotation: of the JSON.
        picture: the JSON's entry of its picture.
        categories: the ids that are known.

    Raises:
        FormatError: naming picture and object.
    """
    where = f"{picture['file_name']}, object {annotation.get('id')}"
    if annotation["category_id"] not in categories:
        raise FormatError(f"{where}: category {annotation['category_id']} is not among the categories.")
    if annotation.get("iscrowd", 0) not in (0, 1):
        raise FormatError(f"{where}: iscrowd must be 0 or 1, got {annotation['iscrowd']!r}.")
    if len(annotation["bbox"]) != 4 or not _is_finite(annotation["bbox"]):
        raise FormatError(f"{where}: bbox must be x, y, width and height, got {annotation['bbox']!r}.")
    if not _is_finite([annotation["area"]]) or annotation["area"] < 0:
        raise FormatError(f"{where}: area must be a number of pixels, got {annotation['area']!r}.")
    if problem := _problem_of(annotation["segmentation"], (int(picture["height"]), int(picture["width"]))):
        raise FormatError(f"{where}: {problem}.")


def _problem_of(segmentation: object, size: tuple[int, int]) -> str:
    """What is wrong with a mask, or nothing."""
    if isinstance(segmentation, Mapping):
        if tuple(segmentation.get("size", ())) != size:
            return f"the RLE is {segmentation.get('size')}, but height and width of the picture are {list(size)}"
        counts = segmentation.get("counts")
        if isinstance(counts, str) and counts:
            return ""
        if not isinstance(counts, list) or not all(isinstance(run, int) and run >= 0 for run in counts):
            return "the counts of the RLE must be text, or a list of numbers that are not negative"
        pixels = size[0] * size[1]
        return "" if sum(counts) == pixels else f"the RLE covers {sum(counts)} pixels, but the picture has {pixels}"
    if not isinstance(segmentation, list) or not segmentation:
        return "the segmentation must be polygons or an RLE"
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2 or not _is_finite(polygon):
            return "a polygon must be a list of x and y of three points or more"
    return ""


def _is_finite(numbers: Sequence[Any]) -> bool:
    """Whether all are numbers, and none is infinite or NaN; the sum says so at once."""
    try:
        return math.isfinite(math.fsum(numbers))
    except (TypeError, ValueError, OverflowError):
        return False


def _check_unique(ids: Sequence[int], what: str) -> None:
    ((most, times),) = Counter(ids).most_common(1) or [(0, 0)]
    if times > 1:
        raise FormatError(f"the {what} {most} is listed {times} times. Leave all but one of them out.")


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: this is no JSON ({error}).") from error

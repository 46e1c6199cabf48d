"""COCO instance format, read and checked: one JSON with a mask per object. Nothing here needs torch.

What other tools leave out is computed, what can't be used is left out and counted by kind; see `Dataset.notes`.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lexiseg.core.errors import FormatError
from lexiseg.core.files import read_json
from lexiseg.core.images import size_of
from lexiseg.data.dataset import Annotation, Category, Dataset, Instances, ObjectMask, Sample
from lexiseg.data.formats.layouts import (
    FileFinder,
    Remarks,
    category_number,
    in_format,
    name_of,
    picture_finder,
    to_flag,
    to_id,
)
from lexiseg.data.run_lengths import area_of, code_of, is_finite, is_text_of_bytes, mended_mask

Object = Mapping[str, Any]
LEFT_OUT = "objects that {problem}: {{n}}, first {{first}}; they are left out."
COMPUTED = "objects without a number for their {field}: {{n}}, first {{first}}; it follows from their masks."
BYTES = "masks that are the text of Python bytes (b'...'): {n}, first that of {first}; they are read as what they mean."
TEXT = "objects with iscrowd written as text: {n}, first {first}; it is read as what it says."
ROOT = "categories without an object that others name as their supercategory: {n}, first {first}; they are left out."


def read_instances(annotations: Path, *, images: Path | None = None, content: Any = None) -> Dataset:
    """Reads the JSON of a data set; pictures are opened later, one sample at a time.

    Args:
        annotations: the JSON.
        images: the folder of pictures; looked for beside the JSON and above its folder if not given.
        content: of the JSON, where it has been read already.

    Raises:
        FormatError: if the JSON is not in format; the message names the entry.
    """
    content = read_json(annotations) if content is None else content
    remarks = Remarks()
    needed = {"images": ("id", "file_name|coco_url"), "annotations": (), "categories": ("id", "name")}
    with in_format(annotations, "COCO instance format", content, **needed):
        pictures: dict[int | str, Mapping[str, Any]] = {to_id(one["id"]): one for one in content["images"]}
        _check_unique([to_id(one["id"]) for one in content["images"]], "picture")
        known = {to_id(one["id"]) for one in content["categories"]}
        _check_unique([to_id(one["id"]) for one in content["categories"]], "category")
        objects = _by_picture(content["annotations"], pictures, known, remarks)
        entries = _without_root(content["categories"], objects.values(), remarks)
        categories = tuple(Category(id=category_number(one), name=str(one["name"]), is_thing=True) for one in entries)
        names = [name_of(picture) for picture in pictures.values()]
        finder = picture_finder(annotations) if images is None else FileFinder([images])
        paths = finder.find_all(names, remarks)
        samples = tuple(
            Sample(
                image_id=image_id,
                file_name=name,
                image_path=path,
                size=_size_of(pictures[image_id], path, name, remarks),
                objects=tuple(objects[image_id]),
            )
            for image_id, name, path in zip(pictures, names, paths, strict=True)
        )
    return Dataset(
        categories=categories,
        samples=samples,
        kinds=frozenset({"instance"}),
        read=read_objects,
        notes=remarks.sentences(),
    )


def read_objects(sample: Sample, categories: Sequence[Category], strict: bool) -> Annotation:
    """The objects of a sample with their masks; see `Dataset.annotation`.

    Raises:
        FormatError: naming picture and object, if a mask can't be read.
    """
    if (size := sample.size or size_of(sample.image_path)) is None:
        raise FormatError(f"{sample.file_name}: its height and width are not listed, and the picture can't be opened.")
    masks = masks_of(sample.file_name, sample.objects or (), size)
    return Annotation(sample=sample, instances=Instances(masks=masks, size=size))


def masks_of(name: str, objects: Sequence[Object], size: tuple[int, int]) -> tuple[ObjectMask, ...]:
    """The masks of a picture's objects.

    Args:
        name: of the picture, for messages.
        objects: as in the JSON, and checked; with polygons or run-length codes. An area of None is measured.
        size: height and width in pixels.

    Raises:
        FormatError: naming picture and object, if a mask can't be read.
    """
    return tuple(
        ObjectMask(
            category_id=one["category_id"],
            counts=(counts := code_of(f"{name}, object {one.get('id')}", one["segmentation"], size)),
            area=float(area_of(counts, size) if one["area"] is None else one["area"]),
            is_crowd=bool(one.get("iscrowd", 0)),
        )
        for one in objects
    )


def _by_picture(
    listed: Iterable[Any],
    pictures: Mapping[int | str, Mapping[str, Any]],
    known: set[int | str],
    remarks: Remarks,
) -> dict[int | str, list[Object]]:
    """The objects that can be used, by the id of their picture."""
    objects: dict[int | str, list[Object]] = {image_id: [] for image_id in pictures}
    for one in listed:
        if _is_plain(one, pictures, known):
            objects[one["image_id"]].append(one)
        elif (mended := _mended(one, pictures, known, remarks)) is not None:
            objects[mended["image_id"]].append(mended)
    return objects


def _is_plain(one: Any, pictures: Mapping[int | str, Mapping[str, Any]], known: set[int | str]) -> bool:
    """Whether an object is as COCO has it, so that nothing need be said; quick, as there are millions.

    A sum is finite where all its numbers are.
    """
    try:
        mask = one["segmentation"]
        if not (
            0 < one["area"] < math.inf
            and one["category_id"] in known
            and one["image_id"] in pictures
            and one.get("iscrowd", 0) in (0, 1)
            and len(one["bbox"]) == 4
            and math.isfinite(sum(one["bbox"]))
        ):
            return False
        if type(mask) is dict:
            picture = pictures[one["image_id"]]
            is_text = type(mask["counts"]) is str and mask["counts"][:2] != "b'"
            return is_text and mask["size"] == [picture["height"], picture["width"]]
        for polygon in mask:
            if len(polygon) < 6 or len(polygon) % 2 or not math.isfinite(sum(polygon)):
                return False
        return bool(mask)
    except (KeyError, TypeError, AttributeError, OverflowError):
        return False


def _mended(
    one: Any, pictures: Mapping[int | str, Mapping[str, Any]], known: set[int | str], remarks: Remarks
) -> Object | None:
    """An object as COCO has it, of one that is not; None if it can't be used. Remarks on what it did."""
    entry: Mapping[str, Any] = one if isinstance(one, Mapping) else {}
    where = f"object {entry.get('id')}"
    image_id, category_id = _id_in(pictures, entry.get("image_id")), _id_in(known, entry.get("category_id"))
    if image_id is None:
        problem = "belong to no picture that is listed"
        return remarks.add(LEFT_OUT.format(problem=problem), f"{where} of picture {entry.get('image_id')}")
    picture = pictures[image_id]
    where = f"{name_of(picture)}, {where}"
    is_crowd, written = _crowd(entry.get("iscrowd")), entry.get("area")
    area = written if isinstance(written, int | float) and 0 <= written < math.inf else None
    size = _listed_size(picture)
    mask, problem = mended_mask(entry.get("segmentation"), size, may_be_flat=bool(area))
    if category_id is None:
        problem, where = "have a category that is not listed", f"{where} of category {entry.get('category_id')}"
    elif is_crowd is None:
        problem = "have an iscrowd that is neither 0 nor 1"
    if problem:
        return remarks.add(LEFT_OUT.format(problem=problem), where)
    if isinstance(entry.get("iscrowd"), str):
        remarks.add(TEXT, where)
    if area is None:
        remarks.add(COMPUTED.format(field="area"), where)
    if not isinstance(box := entry.get("bbox"), list) or len(box) != 4 or not is_finite(box):
        remarks.add(COMPUTED.format(field="bbox"), where)
    if isinstance(mask, dict) and is_text_of_bytes(mask["counts"]):
        remarks.add(BYTES, where)
    changed = {"image_id": image_id, "category_id": category_id, "segmentation": mask, "iscrowd": int(bool(is_crowd))}
    return {**entry, **changed, "area": area}


def _id_in(known: Iterable[int | str], written: Any) -> int | str | None:
    """An id as it is known, whether it is written as a number or as text."""
    try:
        return found if (found := to_id(written)) in known else None
    except (TypeError, ValueError, OverflowError):
        return None


def _crowd(written: Any) -> bool | None:
    """Whether a mask is of many things; None if that makes no sense."""
    try:
        return to_flag(written)
    except ValueError:
        return None


def _listed_size(picture: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width, where they are listed as whole numbers above 0."""
    try:
        height, width = (float(picture[side]) for side in ("height", "width"))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    is_size = min(height, width) > 0 and height.is_integer() and width.is_integer()
    return (int(height), int(width)) if is_size else None


def _size_of(picture: Mapping[str, Any], path: Path, name: str, remarks: Remarks) -> tuple[int, int] | None:
    """Height and width, from the picture where they are not listed."""
    if (listed := _listed_size(picture)) is not None:
        return listed
    remarks.add("pictures listed without height and width: {n}, first {first}; they are asked for theirs.", name)
    return size_of(path)


def _without_root(
    entries: Sequence[Mapping[str, Any]], objects: Iterable[Sequence[Object]], remarks: Remarks
) -> Sequence[Mapping[str, Any]]:
    """All categories but the one that stands for a whole project: Roboflow's first, numbered 0 and over all others."""
    first, others = entries[0] if entries else {}, entries[1:]
    is_root = str(first.get("id")) == "0" and str(first.get("supercategory") or "none") == "none"
    if not is_root or {str(one.get("supercategory")) for one in others} != {str(first["name"])}:
        return entries
    if any(one["category_id"] == 0 for of_picture in objects for one in of_picture):
        return entries
    remarks.add(ROOT, f"'{first['name']}' ({first['id']})")
    return others


def _check_unique(ids: Sequence[int | str], what: str) -> None:
    ((most, times),) = Counter(ids).most_common(1) or [(0, 0)]
    if times > 1:
        raise FormatError(f"the {what} {most} is listed {times} times. Leave all but one of them out.")

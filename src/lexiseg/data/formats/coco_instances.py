"""COCO instance format, read and checked: one JSON with a box and a mask per object. Nothing here needs torch."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lexiseg.core.errors import FormatError
from lexiseg.core.files import read_json
from lexiseg.data.dataset import Annotation, Category, Dataset, Instances, ObjectMask, Sample
from lexiseg.data.formats.layouts import find_images, in_format
from lexiseg.data.run_lengths import code_of, is_finite, problem_of_mask


def read_instances(annotations: Path, *, images: Path | None = None) -> Dataset:
    """Reads the JSON of a data set; pictures are opened later, one sample at a time.

    Args:
        annotations: the JSON.
        images: the folder of pictures; looked for beside the JSON and above its folder if not given.

    Raises:
        FormatError: if the JSON is not in format, or an object of it is none; the message names its picture.
    """
    content = read_json(annotations)
    with in_format(annotations, "COCO instance format"):
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
            Sample(
                image_id=image_id,
                file_name=str(picture["file_name"]),
                image_path=images / picture["file_name"],
                size=(int(picture["height"]), int(picture["width"])),
                objects=tuple(objects[image_id]),
            )
            for image_id, picture in pictures.items()
        )
    return Dataset(categories=categories, samples=samples, kinds=frozenset({"instance"}), read=read_objects)


def read_objects(sample: Sample, categories: Sequence[Category], strict: bool) -> Annotation:
    """The objects of a sample with their masks; see `Dataset.annotation`.

    Raises:
        FormatError: naming picture and object, if a mask can't be read.
    """
    assert sample.size is not None, "every sample of this format has it"
    masks = masks_of(sample.file_name, sample.objects or (), sample.size)
    return Annotation(sample=sample, instances=Instances(masks=masks, size=sample.size))


def masks_of(name: str, objects: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> tuple[ObjectMask, ...]:
    """The masks of a picture's objects.

    Args:
        name: of the picture, for messages.
        objects: as in the JSON, and checked; with polygons or run-length codes.
        size: height and width in pixels.

    Raises:
        FormatError: naming picture and object, if a mask can't be read.
    """
    return tuple(
        ObjectMask(
            category_id=one["category_id"],
            counts=code_of(f"{name}, object {one.get('id')}", one["segmentation"], size),
            area=float(one["area"]),
            is_crowd=bool(one.get("iscrowd", 0)),
        )
        for one in objects
    )


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
    if len(annotation["bbox"]) != 4 or not is_finite(annotation["bbox"]):
        raise FormatError(f"{where}: bbox must be x, y, width and height, got {annotation['bbox']!r}.")
    if not is_finite([annotation["area"]]) or annotation["area"] < 0:
        raise FormatError(f"{where}: area must be a number of pixels, got {annotation['area']!r}.")
    if problem := problem_of_mask(annotation["segmentation"], (int(picture["height"]), int(picture["width"]))):
        raise FormatError(f"{where}: {problem}.")


def _check_unique(ids: Sequence[int], what: str) -> None:
    ((most, times),) = Counter(ids).most_common(1) or [(0, 0)]
    if times > 1:
        raise FormatError(f"the {what} {most} is listed {times} times. Leave all but one of them out.")

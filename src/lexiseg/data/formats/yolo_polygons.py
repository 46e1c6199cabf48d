"""YOLO's polygons: a text per picture, whose lines are a class and the corners of an outline.

`class x1 y1 x2 y2 ...`, where x and y are shares of the picture's width and height as it is seen upright, and classes
count from 0 (https://docs.ultralytics.com/datasets/segment/). A picture without a text shows nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lexiseg.core.errors import FormatError
from lexiseg.core.files import read_text
from lexiseg.core.images import size_of
from lexiseg.data.dataset import Annotation, Category, Dataset, Sample
from lexiseg.data.formats.coco_instances import LEFT_OUT, read_objects
from lexiseg.data.formats.layouts import Remarks
from lexiseg.data.run_lengths import mended_mask

BOX = 4
"""Numbers of a line that is a box: its centre and its sides."""
OUTSIDE = 0.01
"""How far an outline may leave the picture, as a share of its sides."""


def read_polygons(images: Path, texts: Mapping[str, Path | None], categories: Sequence[Category]) -> Dataset:
    """Reads the texts; lines that can't be used are left out and counted in the data set's notes.

    Args:
        images: the folder of pictures.
        texts: of each picture's name, its text, if it has one.
        categories: a number per class.

    Raises:
        FormatError: if a text can't be read.
    """
    remarks, known = Remarks(), {category.id for category in categories}
    samples = tuple(
        Sample(
            file_name=name,
            image_path=images / name,
            objects=() if text is None else tuple(_objects_of(text, known, remarks)),
        )
        for name, text in sorted(texts.items())
    )
    things = tuple(replace(category, is_thing=True) for category in categories)
    return Dataset(
        categories=things,
        samples=samples,
        kinds=frozenset({"instance"}),
        read=read_shares,
        notes=remarks.sentences(),
    )


def read_shares(sample: Sample, categories: Sequence[Category], strict: bool) -> Annotation:
    """The objects of a sample with their masks; see `Dataset.annotation`.

    Raises:
        FormatError: naming the picture, if its size can't be read.
    """
    if (size := size_of(sample.image_path)) is None:
        raise FormatError(f"{sample.file_name}: the picture can't be opened, so its polygons have no size.")
    sides = size[1], size[0]
    objects = tuple(
        {**one, "segmentation": [[x * sides[n % 2] for n, x in enumerate(p)] for p in one["segmentation"]]}
        for one in sample.objects or ()
    )
    return read_objects(replace(sample, size=size, objects=objects), categories, strict)


def _objects_of(text: Path, known: set[int], remarks: Remarks) -> list[dict[str, Any]]:
    """The objects of a picture, as COCO has them but for their polygons, which are shares of its sides."""
    found = []
    for number, line in enumerate(read_text(text).splitlines(), start=1):
        if not (words := line.split()):
            continue
        where = f"line {number} of {text.name}"
        try:
            class_id, polygon = float(words[0]), [float(word) for word in words[1:]]
        except ValueError:
            remarks.add(LEFT_OUT.format(problem="are no line of numbers"), where)
            continue
        mask, problem = mended_mask([] if len(polygon) == BOX else polygon, None, may_be_flat=False)
        if class_id not in known:
            problem, where = "have a category that is not listed", f"{where} of category {words[0]}"
        elif not problem and not all(-OUTSIDE <= x <= 1 + OUTSIDE for x in polygon):
            problem = "have corners outside the picture, whose sides are 1"
        if problem:
            remarks.add(LEFT_OUT.format(problem=problem), where)
        else:
            found.append({"id": number, "category_id": int(class_id), "segmentation": mask, "area": None, "iscrowd": 0})
    return found

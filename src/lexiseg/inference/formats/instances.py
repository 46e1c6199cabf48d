"""COCO instance format: one JSON with a compressed run-length code per thing."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool

from lexiseg.data.id_maps import Box
from lexiseg.data.run_lengths import encode
from lexiseg.inference.formats.format import Categories, NamedResult, Run, coco_json, name_of_picture
from lexiseg.inference.result import Result

INSTANCES = "instances"


def instances_entry(named: NamedResult) -> list[dict[str, Any]]:
    """The things, as the JSON lists them, best first: whole masks that may overlap, or else those of the map."""
    result, numbers = named.result, named.categories.numbers
    return [
        {
            "category_id": numbers[name, True],
            "segmentation": {"size": list(mask.shape), "counts": encode(mask)},
            "area": int(mask.sum()),
            "bbox": list(box),
            "iscrowd": 0,
            "score": round(score, 4),
        }
        for name, score, box, mask in _things(result)
    ]


def instances_document(run: Run) -> Iterator[str]:
    """The text of the JSON."""
    things = ((picture.image["id"], thing) for picture in run.pictures() for thing in picture.entries[INSTANCES])
    return coco_json(run, _numbered(things), _thing_categories(run.categories))


def to_coco(result: Result) -> dict[str, Any]:
    """One picture's things as the content of a COCO instance JSON; see `Result.to_coco`."""
    categories = Categories.of(result.vocabulary)
    name = result.name
    picture = name_of_picture(result, name)
    named = NamedResult(result=result, stem=name, picture=picture, categories=categories, map_name=f"{name}.png")
    return {
        "images": [{**named.image(), "id": 1}],
        "annotations": list(_numbered((1, thing) for thing in instances_entry(named))),
        "categories": _thing_categories(categories),
    }


def _things(result: Result) -> Iterator[tuple[str, float, Box, Bool[np.ndarray, "H W"]]]:
    if result.instances is not None:
        yield from ((one.name, one.score, one.box, one.mask) for one in result.instances)
        return
    for segment in result.segments:
        if segment.is_thing:
            yield segment.name, segment.score, segment.box, result.segmentation == segment.id


def _numbered(things: Iterable[tuple[int | str, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Things with the numbers of their pictures, and numbers of their own."""
    return ({"id": n, "image_id": image_id, **thing} for n, (image_id, thing) in enumerate(things, start=1))


def _thing_categories(categories: Categories) -> list[dict[str, Any]]:
    return [category for category in categories.to_coco() if category["isthing"]]

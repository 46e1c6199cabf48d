"""COCO instance format: one JSON with a compressed run-length code per thing."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool

from lexiseg.data.id_maps import Box
from lexiseg.data.run_lengths import encode
from lexiseg.inference.formats.format import Categories, NamedResult, Run, coco_json
from lexiseg.inference.result import Result

INSTANCES = "instances"


def instances_entry(named: NamedResult) -> list[dict[str, Any]]:
    """The things, as the JSON lists them, best first: whole masks that may overlap, or else those of the map."""
    result, numbers = named.result, named.categories.numbers
    return [
        {
            "image_id": 0,
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
    things = (one for picture in run.pictures() for one in _placed(picture.entries[INSTANCES], picture.image["id"]))
    annotations = ({"id": number, **thing} for number, thing in enumerate(things, start=1))
    return coco_json(run, annotations, _thing_categories(run.categories))


def to_coco(result: Result) -> dict[str, Any]:
    """One picture's things as the content of a COCO instance JSON; see `Result.to_coco`."""
    categories = Categories.of(result.vocabulary)
    named = NamedResult(
        result=result, stem=result.name, picture=str(result.source or result.name), categories=categories, map_name=""
    )
    things = _placed(instances_entry(named), 1)
    return {
        "images": [{**named.image(), "id": 1}],
        "annotations": [{"id": number, **thing} for number, thing in enumerate(things, start=1)],
        "categories": _thing_categories(categories),
    }


def _things(result: Result) -> Iterator[tuple[str, float, Box, Bool[np.ndarray, "H W"]]]:
    if result.instances is not None:
        yield from ((one.name, one.score, one.box, one.mask) for one in result.instances)
        return
    for segment in result.segments:
        if segment.is_thing:
            yield segment.name, segment.score, segment.box, result.segmentation == segment.id


def _placed(things: list[dict[str, Any]], image_id: int | str) -> Iterator[dict[str, Any]]:
    """The things of a picture that has its number now."""
    return ({**thing, "image_id": image_id} for thing in things)


def _thing_categories(categories: Categories) -> list[dict[str, Any]]:
    return [category for category in categories.to_coco() if category["isthing"]]

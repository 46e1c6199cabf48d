"""COCO panoptic format: an id PNG per picture, and one JSON."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lexiseg.core.structures import PanopticMap, Segment
from lexiseg.data.dataset import SegmentInfo
from lexiseg.data.formats.coco_panoptic import annotation_entry
from lexiseg.data.id_maps import load_ids, save_ids
from lexiseg.inference.formats.format import Categories, FinishedPicture, NamedResult, Run, coco_json
from lexiseg.inference.result import guesses_to_jsonable

PANOPTIC = "panoptic"
DOCUMENT = "panoptic.json"


def panoptic_files(named: NamedResult) -> dict[str, bytes]:
    """The map: a pixel's segment id is R + 256 G + 65536 B; 0 is void."""
    file = io.BytesIO()
    save_ids(file, named.result.segmentation)
    return {named.map_name: file.getvalue()}


def panoptic_entry(named: NamedResult) -> dict[str, Any]:
    """The segments, as the JSON lists them, with their scores and their paths down a taxonomy."""
    numbers = named.categories.numbers
    segments = named.result.segments
    infos = [SegmentInfo(id=s.id, category_id=numbers[s.name, s.is_thing], area=s.area, box=s.box) for s in segments]
    annotation = annotation_entry(0, named.map_name, infos)
    for listed, segment in zip(annotation["segments_info"], segments, strict=True):
        listed["score"] = round(segment.score, 4)
        if segment.path:
            listed["path"] = guesses_to_jsonable(segment.path)
    del annotation["image_id"]  # not known before the end
    return annotation


def panoptic_document(run: Run) -> Iterator[str]:
    """The text of the JSON."""
    annotations = ({"image_id": one.image["id"], **one.entries[PANOPTIC]} for one in run.pictures())
    return coco_json(run, annotations, run.categories.to_coco())


def read_map(folder: Path, picture: FinishedPicture, categories: Categories) -> PanopticMap:
    """Reads a map again, without the scores and guesses of its segments.

    Raises:
        FormatError: if it is missing or damaged.
    """
    kind_of = {number: kind for kind, number in categories.numbers.items()}
    place_of = {number: place for place, number in enumerate(categories.numbers.values())}
    listed = picture.entries[PANOPTIC]["segments_info"]
    segments = tuple(
        Segment(
            id=one["id"],
            class_id=place_of[one["category_id"]],
            name=kind_of[one["category_id"]][0],
            is_thing=kind_of[one["category_id"]][1],
            score=one["score"],
            area=one["area"],
            box=tuple(one["bbox"]),
        )
        for one in listed
    )
    return PanopticMap(segmentation=load_ids(folder / picture.name), segments=segments)

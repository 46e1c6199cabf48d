"""Mask AP by COCO's official program.

A tally keeps the masks of each picture, run-length coded, because AP ranks the detections of all pictures together.
Figures are computed from the pictures in the order of their ids, so the order of adding never changes a digit.
"""

import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import cocoeval

from lexiseg.data.dataset import Category, ObjectMask
from lexiseg.data.run_lengths import area_of, encode
from lexiseg.evaluation.metrics.figures import Figures
from lexiseg.evaluation.metrics.sizes import SIZES
from lexiseg.models.postprocess.instances import Instance

COCOeval: Any = cocoeval.COCOeval  # its declared type leaves out what it takes and gives

MAX_DETECTIONS = 100  # of one class in one picture, as COCO has it
AREAS = ("all", *SIZES)  # COCO's area ranges, in its order


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundMask:
    """One detection."""

    category_id: int
    counts: str
    score: float
    """For ranking alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureMasks:
    """One picture's truth and detections."""

    image_id: int | str
    size: tuple[int, int]
    """Height and width in pixels."""
    annotations: tuple[ObjectMask, ...] = ()
    found: tuple[FoundMask, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceTally:
    """Pictures that were looked at; `InstanceTally()` is the zero of `+`."""

    pictures: tuple[PictureMasks, ...] = ()

    def __add__(self, other: "InstanceTally") -> "InstanceTally":
        return InstanceTally(pictures=self.pictures + other.pictures)

    def to_jsonable(self) -> list[Any]:
        """What JSON can hold, without names to save room."""
        return [
            [
                one.image_id,
                list(one.size),
                [[t.category_id, t.counts, t.area, t.is_crowd] for t in one.annotations],
                [[f.category_id, f.counts, f.score] for f in one.found],
            ]
            for one in self.pictures
        ]

    @staticmethod
    def from_jsonable(content: Iterable[Any]) -> "InstanceTally":
        """The inverse of `to_jsonable`."""
        return InstanceTally(
            pictures=tuple(
                PictureMasks(
                    image_id=image_id,
                    size=(size[0], size[1]),
                    annotations=tuple(
                        ObjectMask(category_id=c, counts=m, area=a, is_crowd=w) for c, m, a, w in annotations
                    ),
                    found=tuple(FoundMask(category_id=c, counts=m, score=s) for c, m, s in found),
                )
                for image_id, size, annotations, found in content
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragePrecision(Figures):
    """AP as fractions; None where no true object counts."""

    NAMES = ("ap", "ap50", "ap75")
    ap: float | None
    """Mean over the IoU thresholds 0.50, 0.55 ... 0.95."""
    ap50: float | None
    ap75: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassAP(AveragePrecision):
    """The AP of one class."""

    category: Category

    @property
    def occurs(self) -> bool:
        """Whether it has true objects."""
        return self.ap is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceQuality(AveragePrecision):
    """The whole report: means over the classes that have true objects."""

    ap_small: float | None
    """Of objects below 32 x 32 pixels."""
    ap_medium: float | None
    ap_large: float | None
    """Of objects above 96 x 96 pixels."""
    per_class: tuple[ClassAP, ...]
    """Things, in the order of the categories."""

    def to_jsonable(self) -> dict[str, Any]:
        """What JSON can hold."""
        sizes = {"ap_small": self.ap_small, "ap_medium": self.ap_medium, "ap_large": self.ap_large}
        classes = [{"name": c.category.name, "category_id": c.category.id, **c.to_jsonable()} for c in self.per_class]
        return {**Figures.to_jsonable(self), **sizes, "per_class": classes}


def found_masks(instances: Iterable[Instance], category_ids: Sequence[int]) -> tuple[FoundMask, ...]:
    """A model's instances.

    Args:
        instances: as `models.postprocess.instances` gives them.
        category_ids: the category of each concept.
    """
    return tuple(
        FoundMask(category_id=category_ids[one.class_id], counts=encode(one.mask), score=one.score) for one in instances
    )


def summarise_instances(tally: InstanceTally, categories: Sequence[Category]) -> InstanceQuality:
    """Mask AP over the things among the categories; masks of other categories are left out.

    Raises:
        ValueError: if a picture is in the tally twice.
    """
    pictures = sorted(tally.pictures, key=lambda one: (str(type(one.image_id)), one.image_id))
    for one, other in itertools.pairwise(pictures):
        if one.image_id == other.image_id:
            raise ValueError(f"picture {one.image_id} was counted twice: count every picture once.")
    things = [category for category in categories if category.is_thing]
    precision = _precision(pictures, [category.id for category in things])
    places = {category_id: place for place, category_id in enumerate(sorted(category.id for category in things))}

    def ap(*, size: str = "all", threshold: int | None = None, category: Category | None = None) -> float | None:
        some = precision[slice(None) if threshold is None else threshold, ..., AREAS.index(size)]
        some = some if category is None else some[..., places[category.id]]
        known = some[some > -1]  # -1 stands for a class without true objects
        return float(known.mean()) if known.size else None

    def aps(category: Category | None = None) -> dict[str, float | None]:
        at = {"ap": None, "ap50": 0, "ap75": 5}  # places of 0.50 and 0.75 among COCO's thresholds
        return {name: ap(threshold=threshold, category=category) for name, threshold in at.items()}

    return InstanceQuality(
        **aps(),
        ap_small=ap(size="small"),
        ap_medium=ap(size="medium"),
        ap_large=ap(size="large"),
        per_class=tuple(ClassAP(category=category, **aps(category)) for category in things),
    )


class _Objects:
    """One side in the form in which COCO's program asks for it."""

    def __init__(self, category_ids: Sequence[int], objects: Mapping[int | str, Sequence[dict[str, Any]]]) -> None:
        self._category_ids = list(category_ids)
        self._objects = objects

    def getImgIds(self) -> list[int | str]:  # noqa: N802 - COCO's names
        return list(self._objects)

    def getCatIds(self) -> list[int]:  # noqa: N802
        return self._category_ids

    def getAnnIds(self, imgIds: Iterable[Any], catIds: Iterable[Any]) -> list[dict[str, Any]]:  # noqa: N802, N803
        wanted = set(catIds)
        return [one for image_id in imgIds for one in self._objects[image_id] if one["category_id"] in wanted]

    def loadAnns(self, ids: list[dict[str, Any]]) -> list[dict[str, Any]]:  # noqa: N802
        return ids

    def annToRLE(self, ann: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        return ann["segmentation"]


def _precision(pictures: Sequence[PictureMasks], category_ids: Sequence[int]) -> np.ndarray:
    """COCO's table: IoU threshold, recall, category by rising id, size; -1 where a class has no true object."""
    if not pictures or not category_ids:
        return np.full((10, 101, len(category_ids), len(AREAS)), -1.0)
    annotations: dict[int | str, list[dict[str, Any]]] = {}
    found: dict[int | str, list[dict[str, Any]]] = {}
    number = 0  # an id of 0 would say "no match" to COCO's program
    for picture in pictures:
        annotations[picture.image_id], found[picture.image_id] = [], []
        for one in (*picture.annotations, *picture.found):
            number += 1
            code = {"size": list(picture.size), "counts": one.counts}
            entry = {"id": number, "image_id": picture.image_id, "category_id": one.category_id, "segmentation": code}
            if isinstance(one, ObjectMask):
                annotations[picture.image_id].append({**entry, "area": one.area, "iscrowd": int(one.is_crowd)})
            else:
                area = area_of(one.counts, picture.size)
                found[picture.image_id].append({**entry, "area": float(area), "score": one.score})
    with redirect_stdout(io.StringIO()):
        program = COCOeval(_Objects(category_ids, annotations), _Objects(category_ids, found), iouType="segm")
        program.evaluate()
        program.accumulate()
    limits: list[int] = program.params.maxDets
    return program.eval["precision"][..., limits.index(MAX_DETECTIONS)]

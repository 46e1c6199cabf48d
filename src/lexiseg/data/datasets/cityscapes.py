"""Cityscapes: 19 semantic classes, of which 8 are things in its panoptic form."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lexiseg.core.errors import FormatError
from lexiseg.core.pool import ProgressCallback
from lexiseg.data.categories import builtin_categories, places
from lexiseg.data.dataset import Dataset
from lexiseg.data.datasets.findings import Resource
from lexiseg.data.datasets.folders import pair, stems
from lexiseg.data.datasets.prepare import make_folder, write_panoptic_json
from lexiseg.data.datasets.spec import DatasetSpec
from lexiseg.data.formats.coco_panoptic import read_named_panoptic
from lexiseg.data.formats.label_maps import load_values, semantic_dataset
from lexiseg.data.id_maps import VOID, save_ids

IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Cityscapes' own ids of the 19 classes that count, in the order of their trainIds."""
FIRST_INSTANCE = 1000
"""An instance's id is 1000 times its class plus its number; a smaller one is a region: stuff, or a group of things."""

_CATEGORIES = builtin_categories("cityscapes", IDS)
_SITE = "Get it from https://www.cityscapes-dataset.com/downloads/ (you need an account): "
_PICTURES = Resource("pictures", ("leftImg8bit/{split}",), f"{_SITE}leftImg8bit_trainvaltest.zip.")
_IMAGE_END, _LABELS_END, _INSTANCES_END = "_leftImg8bit.png", "_gtFine_labelIds.png", "_gtFine_instanceIds.png"


def read_semantic(paths: Mapping[str, Path], split: str) -> Dataset:
    """Reads the maps of ids, which every download has; maps of trainIds are not needed."""
    samples = pair(paths["pictures"], paths["labels"], image_end=_IMAGE_END, labels_end=_LABELS_END, deep=True)
    return semantic_dataset(_CATEGORIES, samples, places(_CATEGORIES))


def read_cityscapes_panoptic(paths: Mapping[str, Path], split: str) -> Dataset:
    """Reads what Cityscapes' own script or `make_panoptic` wrote; pictures lie in a folder per city."""
    return read_named_panoptic(paths["annotations"], paths["id maps"], _CATEGORIES, paths["pictures"], _in_its_city)


def _in_its_city(name: str) -> str:
    scene = name.removesuffix(_IMAGE_END).removesuffix("_gtFine")  # the script's JSON names files that are not
    return f"{scene.split('_')[0]}/{scene}{_IMAGE_END}"


def make_panoptic(home: Path, split: str, report: ProgressCallback, workers: int) -> int:
    """Makes id PNGs and their JSON of the maps of instances."""
    base = home / "gtFine"
    masks = base / f"cityscapes_panoptic_{split}"
    place_of = {scene.split("/")[-1]: scene for scene in stems(base / split, _INSTANCES_END, deep=True)}
    sources = {
        f"{scene}_gtFine_panoptic.png": base / split / f"{place}{_INSTANCES_END}" for scene, place in place_of.items()
    }
    count = make_folder(masks, sources, _make_ids, report, workers)
    pictures = {name: name.replace("_panoptic.png", _IMAGE_END) for name in sources}
    things = frozenset(category.id for category in _CATEGORIES if category.is_thing)
    write_panoptic_json(masks, pictures, _CATEGORIES, _category_of, workers, crowds=things)
    return count


def _make_ids(source: Path, path: Path) -> None:
    """Keeps the instances' ids where their class counts; all else is void."""
    values = load_values(source).astype(np.int32)
    if values.min() < 0:
        raise FormatError(f"{source}: expected ids that are not negative, got {values.min()}.")
    save_ids(path, np.where(np.isin(_class_of(values), IDS), values, VOID))


def _category_of(segment_id: int) -> int:
    return int(_class_of(segment_id))


def _class_of(ids: Any) -> Any:
    return np.where(ids >= FIRST_INSTANCE, ids // FIRST_INSTANCE, ids)


_PREPARE = "Make them of gtFine_trainvaltest.zip with `lexiseg data prepare cityscapes-panoptic`."

PANOPTIC = DatasetSpec(
    name="cityscapes-panoptic",
    title="Cityscapes panoptic, 8 things and 11 stuff",
    task="panoptic",
    vocabulary="cityscapes",
    homes=("cityscapes",),
    resources=(
        _PICTURES,
        Resource("annotations", ("gtFine/cityscapes_panoptic_{split}.json",), _PREPARE),
        Resource("id maps", ("gtFine/cityscapes_panoptic_{split}",), _PREPARE),
    ),
    read=read_cityscapes_panoptic,
    make=make_panoptic,
)

SEMANTIC = DatasetSpec(
    name="cityscapes",
    title="Cityscapes semantic, 19 classes",
    task="semantic",
    vocabulary="cityscapes",
    homes=("cityscapes",),
    resources=(_PICTURES, Resource("labels", ("gtFine/{split}",), f"{_SITE}gtFine_trainvaltest.zip.")),
    read=read_semantic,
)

"""Cityscapes: 19 semantic classes, of which 8 are things in its panoptic form."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lexiseg.core.errors import FormatError
from lexiseg.core.pool import ProgressCallback
from lexiseg.data.categories import builtin_categories, places
from lexiseg.data.dataset import Dataset
from lexiseg.data.datasets.folders import either, pair, stems
from lexiseg.data.datasets.prepare import make_folder, write_panoptic_json
from lexiseg.data.datasets.spec import DatasetSpec, Resource
from lexiseg.data.formats.coco_panoptic import read_named_panoptic
from lexiseg.data.formats.label_maps import load_values, semantic_dataset
from lexiseg.data.id_maps import VOID, save_ids

IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Cityscapes' own ids of the 19 classes that count, in the order of their trainIds."""
FIRST_INSTANCE = 1000
"""An instance's id is 1000 times its class plus its number; a smaller one is a region: stuff, or a group of things."""

_CATEGORIES = builtin_categories("cityscapes", IDS)
_SITE = "Get it from https://www.cityscapes-dataset.com/downloads/ (you need an account): "
_PICTURES = Resource(what="pictures", places=("leftImg8bit/{split}",), source=f"{_SITE}leftImg8bit_trainvaltest.zip.")
_IMAGE_END = "_leftImg8bit.png"


def read_semantic(paths: Mapping[str, Path], split: str) -> Dataset:
    """Reads the maps of ids, which every download has; maps of trainIds are not needed."""
    names = either(
        stems(paths["pictures"], _IMAGE_END, deep=True), stems(paths["labels"], "_gtFine_labelIds.png", deep=True)
    )
    samples = pair(paths["pictures"], paths["labels"], names, image_end=_IMAGE_END, labels_end="_gtFine_labelIds.png")
    return semantic_dataset(_CATEGORIES, samples, places(_CATEGORIES))


def read_cityscapes_panoptic(paths: Mapping[str, Path], split: str) -> Dataset:
    """Reads what Cityscapes' own script or `make_panoptic` wrote; pictures lie in a folder per city."""

    def find_image(name: str) -> Path:
        scene = name.removesuffix(_IMAGE_END).removesuffix("_gtFine")  # the script's JSON names files that are not
        return paths["pictures"] / scene.split("_")[0] / f"{scene}{_IMAGE_END}"

    return read_named_panoptic(paths["annotations"], paths["id maps"], _CATEGORIES, find_image)


def make_panoptic(home: Path, split: str, report: ProgressCallback, workers: int) -> int:
    """Makes id PNGs and their JSON of the maps of instances."""
    base = home / "gtFine"
    masks = base / f"cityscapes_panoptic_{split}"
    scenes = stems(base / split, "_gtFine_instanceIds.png", deep=True)
    sources = {
        f"{scene.split('/')[-1]}_gtFine_panoptic.png": base / split / f"{scene}_gtFine_instanceIds.png"
        for scene in scenes
    }
    count = make_folder(masks, sources, _make_ids, report, workers)
    if not (target := masks.with_suffix(".json")).exists():
        pictures = {name: name.replace("_panoptic.png", _IMAGE_END) for name in sources}
        things = frozenset(category.id for category in _CATEGORIES if category.is_thing)
        write_panoptic_json(target, masks, pictures, _CATEGORIES, _category_of, workers, crowds=things)
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
        Resource(what="annotations", places=("gtFine/cityscapes_panoptic_{split}.json",), source=_PREPARE),
        Resource(what="id maps", places=("gtFine/cityscapes_panoptic_{split}",), source=_PREPARE),
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
    resources=(
        _PICTURES,
        Resource(what="labels", places=("gtFine/{split}",), source=f"{_SITE}gtFine_trainvaltest.zip."),
    ),
    read=read_semantic,
)

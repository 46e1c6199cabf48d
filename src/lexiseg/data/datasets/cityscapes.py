"""Cityscapes: 19 semantic classes, of which 8 are things in its panoptic form."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lexiseg.core.errors import FormatError
from lexiseg.core.pool import ProgressCallback
from lexiseg.data.datasets.folders import builtin_categories, either, pair, places, read_named_panoptic, stems
from lexiseg.data.datasets.prepare import make_folder, segments_info, write_panoptic_json
from lexiseg.data.datasets.spec import DatasetSpec, Resource
from lexiseg.data.formats.coco_panoptic import PanopticDataset
from lexiseg.data.formats.id_maps import VOID, load_ids, save_ids
from lexiseg.data.formats.label_maps import SemanticDataset, load_values

IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Cityscapes' own ids of the 19 classes that count, in the order of their trainIds."""
FIRST_INSTANCE = 1000
"""An instance's id is 1000 times its class plus its number; a smaller one is a region: stuff, or a group of things."""

_CATEGORIES = builtin_categories("cityscapes", IDS)
_SITE = "Get it from https://www.cityscapes-dataset.com/downloads/ (you need an account): "
_PICTURES = Resource(what="pictures", places=("leftImg8bit/{split}",), source=f"{_SITE}leftImg8bit_trainvaltest.zip.")
_IMAGE_END = "_leftImg8bit.png"


def read_semantic(parts: Mapping[str, Path], split: str) -> SemanticDataset:
    """Reads the maps of ids, which every download has; maps of trainIds are not needed."""
    names = either(
        stems(parts["pictures"], _IMAGE_END, deep=True), stems(parts["labels"], "_gtFine_labelIds.png", deep=True)
    )
    return SemanticDataset(
        categories=_CATEGORIES,
        samples=pair(
            parts["pictures"], parts["labels"], names, image_end=_IMAGE_END, labels_end="_gtFine_labelIds.png"
        ),
        class_of=places(_CATEGORIES),
    )


def read_cityscapes_panoptic(parts: Mapping[str, Path], split: str) -> PanopticDataset:
    """Reads what Cityscapes' own script or `make_panoptic` wrote; pictures lie in a folder per city."""

    def find_image(name: str) -> Path:
        scene = name.removesuffix(_IMAGE_END).removesuffix("_gtFine")  # the script's JSON names files that are not
        return parts["pictures"] / scene.split("_")[0] / f"{scene}{_IMAGE_END}"

    return read_named_panoptic(parts["annotations"], parts["id maps"], _CATEGORIES, find_image)


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
        write_panoptic_json(target, masks, pictures, _CATEGORIES, _describe, workers)
    return count


def _make_ids(source: Path, path: Path) -> None:
    """Keeps the instances' ids where their class counts; all else is void."""
    values = load_values(source).astype(np.int32)
    if values.min() < 0:
        raise FormatError(f"{source}: expected ids that are not negative, got {values.min()}.")
    save_ids(path, np.where(np.isin(_class_of(values), IDS), values, VOID))


def _describe(path: Path) -> tuple[list[dict[str, Any]], tuple[int, int]]:
    ids = load_ids(path)
    things = {category.id for category in _CATEGORIES if category.is_thing}
    height, width = ids.shape
    return segments_info(ids, lambda i: int(_class_of(i)), lambda i: i in things), (height, width)


def _class_of(ids: Any) -> Any:
    return np.where(ids >= FIRST_INSTANCE, ids // FIRST_INSTANCE, ids)


_PREPARE = "Make them of gtFine_trainvaltest.zip with `lexiseg data prepare cityscapes-panoptic`."

PANOPTIC = DatasetSpec(
    name="cityscapes-panoptic",
    title="Cityscapes panoptic, 8 things and 11 stuff",
    task="panoptic",
    vocabulary="cityscapes",
    homes=("cityscapes",),
    parts=(
        _PICTURES,
        Resource(
            what="annotations",
            places=("gtFine/cityscapes_panoptic_{split}.json",),
            source=_PREPARE,
        ),
        Resource(
            what="id maps",
            places=("gtFine/cityscapes_panoptic_{split}",),
            source=_PREPARE,
        ),
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
    parts=(
        _PICTURES,
        Resource(what="labels", places=("gtFine/{split}",), source=f"{_SITE}gtFine_trainvaltest.zip."),
    ),
    read=read_semantic,
)

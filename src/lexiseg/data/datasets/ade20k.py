"""ADE20K: 150 classes, semantic and panoptic (100 things, 50 stuff), and the full data set's 847."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from lexiseg.core.checks import check_size
from lexiseg.core.errors import FormatError
from lexiseg.core.images import open_picture
from lexiseg.core.pool import ProgressCallback
from lexiseg.data.categories import builtin_categories, places
from lexiseg.data.dataset import IGNORED, Dataset
from lexiseg.data.datasets.findings import Resource
from lexiseg.data.datasets.folders import either, pair, stems
from lexiseg.data.datasets.prepare import make_folder, write_panoptic_json
from lexiseg.data.datasets.spec import LONG, DatasetSpec
from lexiseg.data.formats.coco_panoptic import read_named_panoptic
from lexiseg.data.formats.label_maps import load_values, semantic_dataset, to_places
from lexiseg.data.id_maps import VOID, load_ids, save_ids

_CATEGORIES = builtin_categories("ade20k", range(150))
_THINGS = np.array([0, *(c.id + 1 for c in _CATEGORIES if c.is_thing)])
"""For each of the 100 instance classes, which count from 1, its value in the semantic maps: they keep their order."""

SHORTER_SIDE = 512
"""To which MaskFormer and its successors resize the full data set's pictures and labels; figures depend on it."""
NO_CLASS = 65535

_SITE = "Get it from http://sceneparsing.csail.mit.edu: "
_ZIP, _INSTANCES = f"{_SITE}ADEChallengeData2016.zip.", f"{_SITE}annotations_instance.tar."
_PICTURES = Resource("pictures", ("images/{long}",), _ZIP)
_HOMES = ("ADEChallengeData2016", "ade/ADEChallengeData2016")


def read_semantic(paths: Mapping[str, Path], split: str) -> Dataset:
    """Reads maps of 1 to 150, in which 0 is ignored."""
    samples = pair(paths["pictures"], paths["labels"])
    return semantic_dataset(_CATEGORIES, samples, {category.id + 1: category.id for category in _CATEGORIES})


def read_ade_panoptic(paths: Mapping[str, Path], split: str) -> Dataset:
    """Reads what Mask2Former's script or `make_panoptic` wrote, under our list's names."""
    return read_named_panoptic(paths["annotations"], paths["id maps"], _CATEGORIES, paths["pictures"])


def make_panoptic(home: Path, split: str, report: ProgressCallback, workers: int) -> int:
    """Makes id PNGs and their JSON: stuff of the semantic maps, and over it the things of the instance maps."""
    semantic, instances = home / "annotations" / LONG[split], home / "annotations_instance" / LONG[split]
    masks = home / f"ade20k_panoptic_{split}"
    names = stems(semantic, ".png")
    if names and not instances.is_dir():
        raise FormatError(f"{instances}: the instance maps are missing. {_INSTANCES}")
    sources = {f"{name}.png": (semantic / f"{name}.png", instances / f"{name}.png") for name in names}
    count = make_folder(masks, sources, _join, report, workers)
    pictures = {f"{name}.png": f"{name}.jpg" for name in names}
    write_panoptic_json(masks, pictures, _CATEGORIES, _category_of, workers)
    return count


def _join(source: tuple[Path, Path], path: Path) -> None:
    """Joins the two maps of a picture. A segment's id is its value in the semantic maps, plus 256 times its number."""
    values = load_values(source[0])
    red_green = load_ids(source[1])
    check_size(f"{source[1]}: the instance map", red_green.shape, "the semantic map", values.shape)
    classes, numbers = red_green & 255, (red_green >> 8) & 255
    is_thing = numbers > 0
    if (strange := int(classes[is_thing].max(initial=0))) >= len(_THINGS) or (is_thing & (classes == 0)).any():
        raise FormatError(f"{source[1]}: expected instances of the classes 1 to 100, got {strange}.")
    found = np.unique(red_green[is_thing] & 0xFFFF)
    if len(np.unique(found >> 8)) < len(found):
        raise FormatError(f"{source[1]}: an instance has two classes.")
    stuff = [c.id + 1 for c in _CATEGORIES if not c.is_thing]
    ids = np.where(np.isin(values, stuff), values, VOID).astype(np.int32)
    save_ids(path, np.where(is_thing, _THINGS[np.where(is_thing, classes, 0)] + 256 * numbers, ids))


def _category_of(segment_id: int) -> int:
    return segment_id % 256 - 1


def read_full(paths: Mapping[str, Path], split: str) -> Dataset:
    """Reads the prepared pictures and labels where both are there, or else the published ones at their full size."""
    categories = builtin_categories("ade20k-full")
    pictures, labels = paths["pictures"], paths["labels"]
    if pictures.parent.name == labels.parent.name == "ADE":
        samples = pair(pictures, labels, _names(pictures), labels_end="_seg.png")
        return semantic_dataset(categories, samples, places(categories), encoding="ade-full")
    if "ADE" in (pictures.parent.name, labels.parent.name):
        raise FormatError(f"{labels} and {pictures} do not belong together. Call `lexiseg data prepare ade20k-full`.")
    samples = pair(pictures, labels, labels_end=".tif")
    return semantic_dataset(categories, samples, {place: place for place in range(len(categories))})


def make_full(home: Path, split: str, report: ProgressCallback, workers: int) -> int:
    """Makes pictures of 512 pixels at their shorter side, and labels 0 to 846 with 65535 for none."""
    published = home / "images" / "ADE" / LONG[split]
    names = _names(published)
    pictures = {f"{_last(name)}.jpg": published / f"{name}.jpg" for name in names}
    labels = {f"{_last(name)}.tif": published / f"{name}_seg.png" for name in names}
    total = len(pictures) + len(labels)
    target, told = home / "images_detectron2" / LONG[split], len(pictures)
    made = make_folder(target, pictures, _shrink, lambda done, _: report(done, total), workers)
    target = home / "annotations_detectron2" / LONG[split]
    return made + make_folder(target, labels, _renumber, lambda done, _: report(told + done, total), workers)


def _names(published: Path) -> list[str]:
    """The published pictures, in a folder per scene; beside each lies a folder of its instances, named like it."""
    maps = stems(published, "_seg.png", deep=True, skip="ADE_")
    return either(stems(published, ".jpg", deep=True, skip="ADE_"), maps)


def _last(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _shrink(source: Path, path: Path) -> None:
    picture = Image.fromarray(open_picture(source))
    width, height = _smaller(*picture.size)
    if (width, height) != picture.size:
        picture = Image.fromarray(_bilinear(np.asarray(picture), (height, width)))
    picture.save(path, format="JPEG")


def _renumber(source: Path, path: Path) -> None:
    categories = builtin_categories("ade20k-full")
    classes = to_places(load_values(source, "ade-full"), places(categories))
    height, width = classes.shape
    width, height = _smaller(width, height)
    rows, columns = (np.arange(size) * old // size for size, old in zip((height, width), classes.shape, strict=True))
    classes = classes[rows[:, None], columns]
    labels = np.where(classes == IGNORED, NO_CLASS, classes).astype(np.uint16)
    Image.fromarray(labels).save(path, format="TIFF", compression="tiff_deflate")


def _smaller(width: int, height: int) -> tuple[int, int]:
    """The size to which a picture is made smaller; smaller ones stay."""
    if min(width, height) <= SHORTER_SIDE:
        return width, height
    if width >= height:
        return round(width / height * SHORTER_SIDE), SHORTER_SIDE
    return SHORTER_SIDE, round(height / width * SHORTER_SIDE)


def _bilinear(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes by the four nearest pixels alone, as OpenCV does: Pillow would average all, and figures would differ."""
    (top, bottom, down), (left, right, along) = (
        _neighbours(new, old) for new, old in zip(size, picture.shape[:2], strict=True)
    )
    rows = picture[top] * (1 - down)[:, None, None] + picture[bottom] * down[:, None, None]
    columns = rows[:, left] * (1 - along)[:, None] + rows[:, right] * along[:, None]
    return np.rint(columns).astype(np.uint8)


def _neighbours(new: int, old: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each new place, the two old ones beside its centre and the weight of the second."""
    centres = ((np.arange(new, dtype=np.float32) + 0.5) * (old / new) - 0.5).clip(0, old - 1).astype(np.float32)
    first = centres.astype(np.int64)
    return first, np.minimum(first + 1, old - 1), centres - first


SEMANTIC = DatasetSpec(
    name="ade20k",
    title="ADE20K semantic, 150 classes",
    task="semantic",
    vocabulary="ade20k",
    homes=_HOMES,
    resources=(_PICTURES, Resource("labels", ("annotations/{long}",), _ZIP)),
    read=read_semantic,
)

_MADE = f"Make them with `lexiseg data prepare ade20k-panoptic` of annotations/ and annotations_instance/. {_INSTANCES}"
PANOPTIC = DatasetSpec(
    name="ade20k-panoptic",
    title="ADE20K panoptic, 100 things and 50 stuff",
    task="panoptic",
    vocabulary="ade20k",
    homes=_HOMES,
    resources=(
        _PICTURES,
        Resource("annotations", ("ade20k_panoptic_{split}.json",), _MADE),
        Resource("id maps", ("ade20k_panoptic_{split}",), _MADE),
    ),
    read=read_ade_panoptic,
    make=make_panoptic,
)

_FULL_SITE = "Ask for ADE20K_2021_17_01 at https://groups.csail.mit.edu/vision/datasets/ADE20K/."
FULL = DatasetSpec(
    name="ade20k-full",
    title="ADE20K full, 847 classes",
    task="semantic",
    vocabulary="ade20k-full",
    homes=("ADE20K_2021_17_01", "ade/ADE20K_2021_17_01"),
    resources=(
        Resource("pictures", ("images_detectron2/{long}", "images/ADE/{long}"), _FULL_SITE),
        Resource("labels", ("annotations_detectron2/{long}", "images/ADE/{long}"), _FULL_SITE),
    ),
    read=read_full,
    make=make_full,
)

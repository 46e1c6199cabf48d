"""Pascal VOC 2012 (20 classes) and Pascal Context on VOC 2010 (59 and 459 classes)."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from lexiseg.core.errors import FormatError
from lexiseg.core.files import read_lines
from lexiseg.core.pool import ProgressCallback
from lexiseg.data.categories import builtin_categories, places
from lexiseg.data.dataset import Dataset
from lexiseg.data.datasets.findings import Resource
from lexiseg.data.datasets.folders import pair
from lexiseg.data.datasets.prepare import make_folder
from lexiseg.data.datasets.spec import DatasetSpec
from lexiseg.data.formats.label_maps import load_values, semantic_dataset

NO_CLASS = 65535

_VOC = "Get it from http://host.robots.ox.ac.uk/pascal/VOC/voc2012/: VOCtrainval_11-May-2012.tar."
_VOC_2010 = "Get it from http://host.robots.ox.ac.uk/pascal/VOC/voc2010/: VOCtrainval_03-May-2010.tar."
_CONTEXT = "Get it from https://www.cs.stanford.edu/~roozbeh/pascal-context/: trainval.tar.gz."
_CONTEXT_LISTS = (
    "ImageSets/SegmentationContext/{split}.txt",
    "pascalcontext_{split}.txt",
    "ImageSets/Main/{split}.txt",
)
_CONTEXT_LABELS = ("annotations_detectron2/pc459_{split}", "trainval")


def read_voc(paths: Mapping[str, Path], split: str) -> Dataset:
    """Reads palette PNGs, in which 0 (background) and 255 (border) are ignored."""
    categories = builtin_categories("pascal-voc")
    samples = pair(paths["pictures"], paths["labels"], read_lines(paths["names"]))
    return semantic_dataset(categories, samples, places(categories))


def read_context(paths: Mapping[str, Path], split: str, *, listed: str) -> Dataset:
    """Reads the published matrices, prepared TIFFs, or, for the 59 classes, mmsegmentation's PNGs.

    The 59 classes are found by their numbers among the 459. Label maps of 59 classes that other projects prepare
    lie in one folder but number the classes in two different orders, so those are not read.
    """
    categories = builtin_categories(listed)
    labels = paths["labels"]
    end, class_of = ".mat", places(categories)
    if labels.name.startswith("pc459"):  # MaskFormer's successors count from 0
        end, class_of = ".tif", {value - 1: place for value, place in class_of.items()}
    elif labels.name == "SegmentationClassContext":  # the 59 in the order of their numbers, from 1
        end, class_of = ".png", {n: class_of[value] for n, value in enumerate(sorted(class_of), start=1)}
    samples = pair(paths["pictures"], labels, _names(paths["names"]), labels_end=end)
    return semantic_dataset(categories, samples, class_of, encoding="mat" if end == ".mat" else "grey")


def make_context(home: Path, split: str, report: ProgressCallback, workers: int) -> int:
    """Makes TIFFs of the matrices, which are read much sooner: 0 to 458, and 65535 for none."""
    lists = [home / place.format(split=split) for place in _CONTEXT_LISTS]
    path = next((path for path in lists if path.exists()), None)
    if path is None:
        raise FormatError(f"{home}: there is no list of pictures, expected {' or '.join(map(str, lists))}. {_VOC_2010}")
    sources = {f"{name}.tif": home / "trainval" / f"{name}.mat" for name in _names(path)}
    return make_folder(home / "annotations_detectron2" / f"pc459_{split}", sources, _convert, report, workers)


def _convert(source: Path, path: Path) -> None:
    values = load_values(source, "mat")
    if values.min() < 0 or values.max() > 459:
        raise FormatError(f"{source}: expected labels from 0 to 459, got {values.min()} to {values.max()}.")
    labels = np.where(values == 0, NO_CLASS, values.astype(np.int32) - 1).astype(np.uint16)
    Image.fromarray(labels).save(path, format="TIFF", compression="tiff_deflate")


def _names(path: Path) -> list[str]:
    """The pictures of a list, in whose lines more may follow the name."""
    return [line.split()[0] for line in read_lines(path)]


VOC = DatasetSpec(
    name="pascal-voc",
    title="Pascal VOC 2012, 20 classes without background",
    task="semantic",
    vocabulary="pascal-voc",
    homes=("VOCdevkit/VOC2012", "VOC2012"),
    resources=(
        Resource("pictures", ("JPEGImages",), _VOC),
        Resource("labels", ("SegmentationClass",), _VOC),
        Resource("names", ("ImageSets/Segmentation/{split}.txt",), _VOC),
    ),
    read=read_voc,
)

_HOMES = ("VOCdevkit/VOC2010", "VOC2010")
_SHARED = (Resource("pictures", ("JPEGImages",), _VOC_2010), Resource("names", _CONTEXT_LISTS, _VOC_2010))

CONTEXT_59 = DatasetSpec(
    name="pascal-context-59",
    title="Pascal Context, its 59 frequent classes",
    task="semantic",
    vocabulary="pascal-context-59",
    homes=_HOMES,
    resources=(*_SHARED, Resource("labels", (*_CONTEXT_LABELS, "SegmentationClassContext"), _CONTEXT)),
    read=partial(read_context, listed="pascal-context-59"),
    make=make_context,
)

CONTEXT_459 = DatasetSpec(
    name="pascal-context-459",
    title="Pascal Context, all 459 classes",
    task="semantic",
    vocabulary="pascal-context-459",
    homes=_HOMES,
    resources=(*_SHARED, Resource("labels", _CONTEXT_LABELS, _CONTEXT)),
    read=partial(read_context, listed="pascal-context-459"),
    make=make_context,
)

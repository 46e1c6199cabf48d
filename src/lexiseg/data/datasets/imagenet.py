"""ImageNet's validation pictures with the multi-labels of ReaL."""

from collections.abc import Mapping
from pathlib import Path

from lexiseg.core.errors import FormatError
from lexiseg.core.files import read_json
from lexiseg.data.categories import builtin_categories
from lexiseg.data.dataset import Dataset, Sample
from lexiseg.data.datasets.findings import Resource
from lexiseg.data.datasets.folders import stems
from lexiseg.data.datasets.spec import DatasetSpec

NUM_CLASSES = 1000


def read_real(paths: Mapping[str, Path], split: str) -> Dataset:
    """Reads a list of classes per picture, in the order of the pictures' numbers; some lists are empty.

    Pictures may lie in one folder, or in one per class as torchvision has them.

    Raises:
        FormatError: if the labels are no lists of classes.
    """
    path = paths["labels"]
    labels = read_json(path)
    if not isinstance(labels, list):
        raise FormatError(f"{path}: expected a list with a list of classes per picture, got {type(labels).__name__}.")
    for number, classes in enumerate(labels, start=1):
        if not isinstance(classes, list) or not all(isinstance(c, int) and 0 <= c < NUM_CLASSES for c in classes):
            raise FormatError(f"{path}: entry {number} must be a list of classes from 0 to 999, got {classes!r}.")
    folder = paths["pictures"]
    place_of = {stem.rsplit("/", 1)[-1]: stem for stem in stems(folder, ".JPEG", deep=True)}
    names = [f"ILSVRC2012_val_{number:08d}" for number in range(1, len(labels) + 1)]
    return Dataset(
        kinds=frozenset({"labels"}),
        categories=builtin_categories("imagenet", range(NUM_CLASSES)),
        samples=tuple(
            Sample(
                file_name=f"{name}.JPEG", image_path=folder / f"{place_of.get(name, name)}.JPEG", labels=tuple(classes)
            )
            for name, classes in zip(names, labels, strict=True)
        ),
    )


REAL = DatasetSpec(
    name="imagenet-real",
    title="ImageNet validation with ReaL's multi-labels, 1,000 classes",
    task="labels",
    vocabulary="imagenet",
    homes=("imagenet", "ILSVRC2012", "ImageNet"),
    resources=(
        Resource(
            "pictures",
            ("val", "ILSVRC/Data/CLS-LOC/val", "Data/CLS-LOC/val"),
            "Get ILSVRC2012_img_val.tar from https://image-net.org (you need an account).",
        ),
        Resource(
            "labels", ("real.json",), "Get real.json from https://github.com/google-research/reassessed-imagenet."
        ),
    ),
    read=read_real,
    splits=("val",),
)

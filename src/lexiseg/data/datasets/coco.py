"""COCO 2017: panoptic, its semantic form, instances and captions; and COCO-Stuff, which is pixel maps of its own."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from lexiseg.core.pool import ProgressCallback
from lexiseg.core.vocabulary import label_table
from lexiseg.data.categories import builtin_categories, places
from lexiseg.data.dataset import IGNORED, Dataset, Sample
from lexiseg.data.datasets.findings import Resource
from lexiseg.data.datasets.folders import either, pair, stems
from lexiseg.data.datasets.prepare import make_folder
from lexiseg.data.datasets.spec import DatasetSpec
from lexiseg.data.formats.coco_captions import coco_captions
from lexiseg.data.formats.coco_instances import read_instances
from lexiseg.data.formats.coco_panoptic import check_segmentation, read_panoptic
from lexiseg.data.formats.label_maps import semantic_dataset
from lexiseg.data.formats.layouts import FileFinder, Remarks

NO_CLASS = 255
_SITE = "Get it from https://cocodataset.org/#download: "
_ANNOTATIONS = f"{_SITE}2017 Train/Val annotations."
_PANOPTIC = f"{_SITE}2017 Panoptic Train/Val annotations"
_PICTURES = Resource("pictures", ("{split}2017", "images/{split}2017"), f"{_SITE}2017 Train images, 2017 Val images.")


def read_coco_panoptic(paths: Mapping[str, Path], split: str) -> Dataset:
    """Reads the 133 categories and all pictures."""
    return read_panoptic(paths["annotations"], images=paths["pictures"], masks=paths["id maps"])


def make_semantic(home: Path, split: str, report: ProgressCallback, workers: int) -> int:
    """Paints each id map anew with places in the list of categories; 255 is void."""
    found = PANOPTIC.open(home, split)
    without_samples = replace(found, samples=())  # what every job is sent
    sources = {sample.files[-1].name: (without_samples, sample) for sample in found.samples}
    return make_folder(home / f"panoptic_semseg_{split}2017", sources, _paint, report, workers)


def _paint(source: tuple[Dataset, Sample], path: Path) -> None:
    dataset, sample = source
    annotation = dataset.annotation(sample)
    segmentation = annotation.to_segmentation(dataset.categories)
    check_segmentation(sample.file_name, segmentation.ids, segmentation.segments)
    classes = annotation.to_semantic(dataset.categories)
    Image.fromarray(np.where(classes == IGNORED, NO_CLASS, classes).astype(np.uint8)).save(path, format="PNG")


def read_coco_semantic(paths: Mapping[str, Path], split: str) -> Dataset:
    """Reads the label maps that `make_semantic` wrote, or Mask2Former's script."""
    categories = builtin_categories("coco", range(133))
    return semantic_dataset(categories, pair(paths["pictures"], paths["labels"]), places(categories))


def read_coco_stuff(paths: Mapping[str, Path], split: str) -> Dataset:
    """Reads pixel maps, whose values are COCO's category ids less one, or, in MaskFormer's form, places of classes."""
    labels, table = paths["labels"], label_table("coco-stuff")
    ours = [name for name in stems(labels, ".png") if not name.endswith("_labelTrainIds")]  # which mmsegmentation adds
    categories = builtin_categories("coco-stuff")
    is_renumbered = "_detectron2" in labels.parent.name
    samples = pair(paths["pictures"], labels, either(stems(paths["pictures"], ".jpg"), ours))
    class_of = {place: place for place in range(len(categories))} if is_renumbered else places(categories)
    return semantic_dataset(categories, samples, class_of, unseen=table.unseen)


def read_coco_instances(paths: Mapping[str, Path], split: str) -> Dataset:
    """Reads the 80 things with boxes and masks."""
    return read_instances(paths["annotations"], images=paths["pictures"])


def read_captioned(paths: Mapping[str, Path], split: str) -> Dataset:
    """Reads five captions or so per picture."""
    listed, remarks = coco_captions(paths["annotations"]), Remarks()
    found = FileFinder([paths["pictures"]]).find_all([name for _, name, _ in listed], remarks)
    samples = tuple(
        Sample(image_id=image_id, file_name=name, image_path=path, captions=captions)
        for (image_id, name, captions), path in zip(listed, found, strict=True)
    )
    return Dataset(samples=samples, kinds=frozenset({"captions"}), notes=remarks.sentences())


PANOPTIC = DatasetSpec(
    name="coco-panoptic",
    title="COCO panoptic, 80 things and 53 stuff",
    task="panoptic",
    vocabulary="coco",
    homes=("coco",),
    resources=(
        _PICTURES,
        Resource("annotations", ("annotations/panoptic_{split}2017.json",), f"{_PANOPTIC}."),
        Resource(
            "id maps",
            ("panoptic_{split}2017", "annotations/panoptic_{split}2017"),
            f"{_PANOPTIC}, and unpack panoptic_val2017.zip (or train) that is in it.",
        ),
    ),
    read=read_coco_panoptic,
)

SEMANTIC = DatasetSpec(
    name="coco-semantic",
    title="COCO panoptic as 133 semantic classes",
    task="semantic",
    vocabulary="coco",
    homes=("coco",),
    resources=(
        _PICTURES,
        Resource(
            "labels",
            ("panoptic_semseg_{split}2017",),
            "Make them of the panoptic annotations with `lexiseg data prepare coco-semantic`.",
        ),
    ),
    read=read_coco_semantic,
    make=make_semantic,
)

STUFF = DatasetSpec(
    name="coco-stuff",
    title="COCO-Stuff, 171 classes, 156 of them seen and 15 unseen in the zero-shot split",
    task="semantic",
    vocabulary="coco-stuff",
    homes=("coco", "coco-stuff", "coco_stuff164k"),
    resources=(
        _PICTURES,
        Resource(
            "labels",
            (
                "stuffthingmaps/{split}2017",
                "annotations/{split}2017",
                "stuffthingmaps_detectron2/{split}2017",
                "annotations_detectron2/{split}2017",
            ),
            "Get stuffthingmaps_trainval2017.zip from https://github.com/nightrome/cocostuff.",
        ),
    ),
    read=read_coco_stuff,
)

INSTANCES = DatasetSpec(
    name="coco-instances",
    title="COCO instances, 80 things",
    task="instance",
    homes=("coco",),
    resources=(_PICTURES, Resource("annotations", ("annotations/instances_{split}2017.json",), _ANNOTATIONS)),
    read=read_coco_instances,
)

CAPTIONS = DatasetSpec(
    name="coco-captions",
    title="COCO captions",
    task="captions",
    homes=("coco",),
    resources=(_PICTURES, Resource("annotations", ("annotations/captions_{split}2017.json",), _ANNOTATIONS)),
    read=read_captioned,
)

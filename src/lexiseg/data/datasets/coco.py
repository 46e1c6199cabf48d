"""COCO 2017: panoptic, its semantic form, instances and captions; and COCO-Stuff, which is pixel maps of its own."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from lexiseg.core.pool import ProgressCallback
from lexiseg.core.vocabulary import label_table
from lexiseg.data.datasets.folders import builtin_categories, either, pair, places, stems
from lexiseg.data.datasets.image_level import CaptionDataset, CaptionSample
from lexiseg.data.datasets.prepare import make_folder
from lexiseg.data.datasets.spec import DatasetSpec, Resource
from lexiseg.data.formats.coco_captions import coco_captions
from lexiseg.data.formats.coco_instances import InstanceDataset, read_instances
from lexiseg.data.formats.coco_panoptic import Category, PanopticDataset, Sample, check_segmentation, read_panoptic
from lexiseg.data.formats.id_maps import VOID, compact, load_ids
from lexiseg.data.formats.label_maps import SemanticDataset

NO_CLASS = 255
_SITE = "Get it from https://cocodataset.org/#download: "
_PICTURES = Resource(
    what="pictures",
    places=("{split}2017", "images/{split}2017"),
    source=f"{_SITE}2017 Train images, 2017 Val images.",
)
_PANOPTIC = Resource(
    what="annotations",
    places=("annotations/panoptic_{split}2017.json",),
    source=f"{_SITE}2017 Panoptic Train/Val annotations.",
)
_MASKS = Resource(
    what="id maps",
    places=("panoptic_{split}2017", "annotations/panoptic_{split}2017"),
    source=f"{_SITE}2017 Panoptic Train/Val annotations, and unpack panoptic_val2017.zip (or train) that is in it.",
)


def read_coco_panoptic(parts: Mapping[str, Path], split: str) -> PanopticDataset:
    """Reads the 133 categories and all pictures."""
    return read_panoptic(
        parts["annotations"].parent.parent,
        annotations=parts["annotations"],
        images=parts["pictures"],
        masks=parts["id maps"],
    )


def make_semantic(home: Path, split: str, report: ProgressCallback, workers: int) -> int:
    """Paints each id map anew with places in the list of categories; 255 is void."""
    found = PANOPTIC.open(home, split)
    assert isinstance(found, PanopticDataset)
    place_of = places(found.categories)
    sources = {sample.segmentation_path.name: (sample, found.categories, place_of) for sample in found.samples}
    return make_folder(home / f"panoptic_semseg_{split}2017", sources, _paint, report, workers)


def _paint(source: tuple[Sample, tuple[Category, ...], dict[int, int]], path: Path) -> None:
    sample, categories, place_of = source
    ids = load_ids(sample.segmentation_path)
    check_segmentation(sample.file_name, ids, sample.segments, categories)
    known = compact(ids, [VOID, *(segment.id for segment in sample.segments)])
    table = np.array([NO_CLASS, *(place_of[segment.category_id] for segment in sample.segments)], np.uint8)
    Image.fromarray(table[known]).save(path, format="PNG")


def read_coco_semantic(parts: Mapping[str, Path], split: str) -> SemanticDataset:
    """Reads the label maps that `make_semantic` wrote, or Mask2Former's script."""
    names = either(stems(parts["pictures"], ".jpg"), stems(parts["labels"], ".png"))
    categories = builtin_categories("coco", range(133))
    return SemanticDataset(
        categories=categories, samples=pair(parts["pictures"], parts["labels"], names), class_of=places(categories)
    )


def read_coco_stuff(parts: Mapping[str, Path], split: str) -> SemanticDataset:
    """Reads pixel maps, whose values are COCO's category ids less one, or, in MaskFormer's form, places of classes."""
    labels, table = parts["labels"], label_table("coco-stuff")
    ours = [name for name in stems(labels, ".png") if not name.endswith("_labelTrainIds")]  # which mmsegmentation adds
    categories = builtin_categories("coco-stuff")
    is_renumbered = "_detectron2" in labels.parent.name
    return SemanticDataset(
        categories=categories,
        samples=pair(parts["pictures"], labels, either(stems(parts["pictures"], ".jpg"), ours)),
        class_of={place: place for place in range(len(categories))} if is_renumbered else places(categories),
        unseen=table.unseen,
    )


def read_coco_instances(parts: Mapping[str, Path], split: str) -> InstanceDataset:
    """Reads the 80 things with boxes and masks."""
    return read_instances(parts["annotations"], images=parts["pictures"])


def read_captions(parts: Mapping[str, Path], split: str) -> CaptionDataset:
    """Reads five captions or so per picture."""
    samples = tuple(
        CaptionSample(
            image_id=image_id, file_name=file_name, image_path=parts["pictures"] / file_name, captions=captions
        )
        for image_id, file_name, captions in coco_captions(parts["annotations"])
    )
    return CaptionDataset(samples=samples)


PANOPTIC = DatasetSpec(
    name="coco-panoptic",
    title="COCO panoptic, 80 things and 53 stuff",
    task="panoptic",
    vocabulary="coco",
    homes=("coco",),
    parts=(_PICTURES, _PANOPTIC, _MASKS),
    read=read_coco_panoptic,
)

SEMANTIC = DatasetSpec(
    name="coco-semantic",
    title="COCO panoptic as 133 semantic classes",
    task="semantic",
    vocabulary="coco",
    homes=("coco",),
    parts=(
        _PICTURES,
        Resource(
            what="labels",
            places=("panoptic_semseg_{split}2017",),
            source="Make them of the panoptic annotations with `lexiseg data prepare coco-semantic`.",
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
    parts=(
        _PICTURES,
        Resource(
            what="labels",
            places=(
                "stuffthingmaps/{split}2017",
                "annotations/{split}2017",
                "stuffthingmaps_detectron2/{split}2017",
                "annotations_detectron2/{split}2017",
            ),
            source="Get stuffthingmaps_trainval2017.zip from https://github.com/nightrome/cocostuff.",
        ),
    ),
    read=read_coco_stuff,
)

INSTANCES = DatasetSpec(
    name="coco-instances",
    title="COCO instances, 80 things",
    task="instance",
    vocabulary="",
    homes=("coco",),
    parts=(
        _PICTURES,
        Resource(
            what="annotations",
            places=("annotations/instances_{split}2017.json",),
            source=f"{_SITE}2017 Train/Val annotations.",
        ),
    ),
    read=read_coco_instances,
)

CAPTIONS = DatasetSpec(
    name="coco-captions",
    title="COCO captions",
    task="captions",
    vocabulary="",
    homes=("coco",),
    parts=(
        _PICTURES,
        Resource(
            what="annotations",
            places=("annotations/captions_{split}2017.json",),
            source=f"{_SITE}2017 Train/Val annotations.",
        ),
    ),
    read=read_captions,
)

"""Exports of labelling tools open as they are written.

What lies in `fixtures/exports` was written by the tools themselves (`write.py` there says which versions); layouts of
tools that are services are drawn here as their documentation has them.
"""

from pathlib import Path

import pytest

from lexiseg.data.catalogue import open_dataset
from lexiseg.data.dataset import Dataset
from lexiseg.data.datasets.findings import examine
from lexiseg.data.formats.coco_instances import read_instances
from miniatures import put_json, put_palette, put_picture, put_rgb, put_text, rows

EXPORTS = Path(__file__).parents[2] / "fixtures" / "exports"
SQUARE = [1, 1, 4, 1, 4, 4, 1, 4]


def areas(data: Dataset) -> dict[str, list[tuple[str, int]]]:
    """Class and pixels of every object, by picture; each picture is opened."""
    names = {category.id: category.name for category in data.categories}
    loaded = [data.load(sample, strict=True).annotation for sample in data.samples]
    return {
        one.sample.file_name.split("/")[-1]: [
            (names[s.category_id], s.area) for s in one.to_segmentation(data.categories).segments
        ]
        for one in loaded
    }


@pytest.mark.parametrize(
    ("name", "split", "expected", "notes"),
    [
        ("datumaro-coco", "train", {"view0.jpg": [("disc", 9)]}, ["have no outline"]),
        ("datumaro-coco", "val", {"view1.jpg": [("bar", 6)]}, []),
        ("datumaro-voc", "val", {"view1.jpg": [("bar", 6)]}, []),
        ("label-studio-coco", None, {"view0.png": [("disc", 9)]}, ["have no outline", "by the end of their names"]),
        ("label-studio-yolo", None, {"view0.png": [("disc", 9)]}, ["have no outline"]),
        ("fiftyone-coco", None, {"view0.png": [("disc", 851)]}, ["have no outline"]),
        ("supervision-coco", None, {"view0.png": [("disc", 841), ("bar", 551)]}, []),
        ("supervision-coco", "train", {"view0.png": [("disc", 841), ("bar", 551)]}, []),
        ("supervision-yolo", "train", {"view0.png": [("disc", 841), ("bar", 551)]}, []),
        ("supervision-yolo", None, {"view0.png": [("disc", 841), ("bar", 551)]}, []),
    ],
)
def test_what_a_tool_writes_is_read(
    name: str, split: str | None, expected: dict[str, list[tuple[str, int]]], notes: list[str]
):
    data = open_dataset(EXPORTS / name, None, split)

    assert areas(data) == expected
    assert [part for part, note in zip(notes, data.notes, strict=True) if part not in note] == []
    assert examine(data, EXPORTS).broken == ()


def document(file_name: str, **changes: object) -> dict[str, object]:
    """A COCO JSON of one picture and one object."""
    one = {"id": 5, "image_id": 8, "category_id": 1, "bbox": [1, 1, 3, 3], "area": 9.0, "segmentation": [SQUARE]}
    return {
        "images": [{"id": 8, "file_name": file_name, "height": 6, "width": 8}],
        "categories": [{"id": 1, "name": "disc", "supercategory": "none"}],
        "annotations": [{**one, **changes}],
    }


def test_roboflow_has_a_folder_per_split_and_a_category_for_the_project(tmp_path: Path):
    """As https://docs.roboflow.com describes COCO JSON: train/, valid/, test/, each with _annotations.coco.json."""
    content = document("a_jpg.rf.0f.jpg", category_id=1)
    content["categories"] = [
        {"id": 0, "name": "disc", "supercategory": "none"},
        {"id": 1, "name": "disc", "supercategory": "disc"},
    ]
    for split in ("train", "valid"):
        put_picture(tmp_path / split / "a_jpg.rf.0f.jpg")
        put_json(tmp_path / split / "_annotations.coco.json", content)

    data = open_dataset(tmp_path, None, "val")

    assert data.samples[0].image_path == tmp_path / "valid" / "a_jpg.rf.0f.jpg"
    assert areas(data) == {"a_jpg.rf.0f.jpg": [("disc", 9)]}
    assert [category.id for category in data.categories] == [1]
    assert data.notes == (
        "categories without an object that others name as their supercategory: 1, first 'disc' (0); they are left out.",
    )
    with pytest.raises(ValueError, match=r"train/_annotations\.coco\.json, valid/_annotations"):
        open_dataset(tmp_path, None)


def test_cvat_puts_pictures_into_a_folder_per_subset(tmp_path: Path):
    """As https://docs.cvat.ai/docs/dataset_management/formats/format-coco/ has it (2.x, written through Datumaro)."""
    put_picture(tmp_path / "images/default/deep/a.jpg")
    put_json(tmp_path / "annotations/instances_default.json", document("deep/a.jpg", attributes={"occluded": False}))

    assert areas(open_dataset(tmp_path, None)) == {"a.jpg": [("disc", 9)]}


def test_cvats_segmentation_mask_has_a_colour_per_class(tmp_path: Path):
    """As https://docs.cvat.ai/docs/dataset_management/formats/format-smask/ has it: Segmentation mask 1.1."""
    put_picture(tmp_path / "JPEGImages/a.jpg")
    put_text(
        tmp_path / "labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\ndisc:10,20,0::\nbar:7,7,0::"
    )
    put_rgb(tmp_path / "SegmentationClass/a.png", rows(0, 10, 7), rows(0, 20, 7))
    put_text(tmp_path / "ImageSets/Segmentation/default.txt", "a\n")

    data = open_dataset(tmp_path, None)

    assert areas(data) == {"a.jpg": [("disc", 16), ("bar", 16)]}
    assert data.annotation(data.samples[0]).to_semantic(()).min() == -1  # background is no class


def test_labelmes_voc_folder_has_a_list_whose_first_name_is_no_class(tmp_path: Path):
    """As labelme's examples/semantic_segmentation/labelme2voc.py writes it (5.x)."""
    put_picture(tmp_path / "JPEGImages/a.jpg")
    put_text(tmp_path / "class_names.txt", "_background_\ndisc\nbar")
    put_palette(tmp_path / "SegmentationClass/a.png", rows(0, 1, 2))

    assert areas(open_dataset(tmp_path, None)) == {"a.jpg": [("disc", 16), ("bar", 16)]}


@pytest.mark.parametrize("name", ["000000000008.jpg", "COCO_val2014_000000000008.jpg"])
def test_lvis_names_pictures_by_their_address(tmp_path: Path, name: str):
    """LVIS v1 has coco_url and no file_name, and no iscrowd (https://www.lvisdataset.org/dataset)."""
    put_picture(tmp_path / "val2017/000000000008.jpg")
    content = document("")
    content["images"] = [
        {"id": 8, "height": 6, "width": 8, "coco_url": "http://images.cocodataset.org/val2017/000000000008.jpg"}
        | ({} if name[0] == "0" else {"file_name": name})
    ]

    data = read_instances(put_json(tmp_path / "lvis_v1_val.json", content))

    assert data.samples[0].image_path == tmp_path / "val2017/000000000008.jpg"
    assert data.annotation(data.samples[0]).instances is not None

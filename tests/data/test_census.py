import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lexiseg.core.images import header_of
from lexiseg.data.catalogue import open_dataset
from lexiseg.data.census import Census, PixelCount, take_census
from lexiseg.data.dataset import Category, Dataset, Sample, SegmentInfo, crowds_as_things
from lexiseg.data.datasets.findings import OPENED, Findings, examine
from lexiseg.data.datasets.own_folder import open_folder
from miniatures import put_grey, put_json, put_picture, put_text, rows

OWL, CAT, SKY = (
    Category(id=5, name="owl", is_thing=True),
    Category(id=9, name="cat", is_thing=True),
    Category(id=2, name="sky", is_thing=False),
)


def labelled(root: Path, classes: str, *maps: np.ndarray) -> Findings:
    """A folder of label maps, checked as a whole."""
    for number, values in enumerate(maps):
        put_picture(root / f"images/{number}.png")
        put_grey(root / f"labels/{number}.png", values)
    put_text(root / "classes.txt", classes)
    return examine(open_folder(root), root, every=True)


def objects(root: Path, *crowds: tuple[int, ...]) -> Path:
    """A COCO JSON of owls and cats: for each picture, the crowd flag of its owl and of its cat."""
    for number in range(len(crowds)):
        put_picture(root / f"images/{number}.png")
    triangle: dict[str, Any] = {"segmentation": [[0, 0, 4, 0, 4, 4]], "area": 8, "bbox": [0, 0, 4, 4]}
    put_json(
        root / "own.json",
        {
            "images": [{"id": n, "file_name": f"{n}.png", "height": 6, "width": 8} for n in range(len(crowds))],
            "categories": [{"id": one.id, "name": one.name} for one in (OWL, CAT)],
            "annotations": [
                {"id": 10 * n + k, "image_id": n, "category_id": (5, 9)[k], "iscrowd": flag, **triangle}
                for n, flags in enumerate(crowds)
                for k, flag in enumerate(flags)
            ],
        },
    )
    return root


def census_of(found: Findings) -> Census:
    assert found.census is not None
    return found.census


def test_lists_are_counted_of_all_pictures_and_pixels_of_those_that_were_opened(tmp_path: Path):
    root = objects(tmp_path, *[(0, 1)] * (OPENED + 4), (0,))

    found = census_of(examine(open_folder(root), root))

    assert found.table() == [
        ("class", "objects", "crowds", "pictures", "% of pixels"),
        ("owl", "21", "0", "21", "12.5"),
        ("cat", "0", "20", "20", "12.5"),
    ]
    assert found.facts() == ("Pixels are those of the 16 pictures that were opened.",)
    assert not found.is_complete


def test_segments_are_counted_without_a_file():
    segments = tuple(
        SegmentInfo(id=k, category_id=c, area=1, box=(0, 0, 1, 1), is_crowd=k == 3)
        for k, c in enumerate((5, 5, 2, 9), 0)
    )
    samples = tuple(Sample(file_name=f"{n}.png", image_path=Path(f"{n}.png"), segments=segments[n:]) for n in range(2))
    data = Dataset(categories=(OWL, CAT, SKY), samples=samples, kinds=frozenset({"panoptic"}))

    found = take_census(data, PixelCount(), num_headers=0, num_flagged=0)

    assert [(one.objects, one.crowds, one.pictures) for one in found.classes] == [(3, 0, 2), (0, 2, 2), (2, 0, 2)]
    assert "crowds alone, of which no thing is learned: 'cat' (2 objects)" in found.notes()[0]


def test_a_binary_mask_of_0_and_255_is_named_with_its_share(tmp_path: Path):
    found = labelled(tmp_path, "background\ncrack", rows(0, 0, 255), rows(0, 0, 0))

    assert found.notes == (
        "the class 'crack' has no pixel, while 255 (ignored) covers 16.7 % of all pixels: is 255 the class? Give "
        "every line of classes.txt its value ('255 crack'), or repaint it.",
    )
    assert found.is_fine  # as with more pictures than are opened: 255 may be the border of a class that is painted
    assert "16.7 % of them are ignored, by their value: 255 (16.7 %)" in census_of(found).facts()[0]


@pytest.mark.parametrize(("classes", "values"), [("1 crack", (0, 255)), ("1 crack\n2 rust", (0, 255, 255))])
def test_label_maps_of_no_class_at_all_are_a_problem(tmp_path: Path, classes: str, values: tuple[int, ...]):
    (problem,) = labelled(tmp_path, classes, rows(*values)).problems

    assert "no pixel, while 255 (ignored) covers" in problem


def test_the_class_with_nothing_among_many_is_a_note(tmp_path: Path):
    found = labelled(tmp_path, "wall\nowl\ncat", rows(0, 1, 255))

    assert found.is_fine
    assert found.notes[0].startswith("the class 'cat' has no pixel, while 255 (ignored) covers")


def test_of_a_few_label_maps_nothing_is_said_of_many_classes_and_a_note_of_two(tmp_path: Path):
    for name, classes in (("two", "background\ncrack"), ("many", "background\ncrack\nrust\nhole")):
        labelled(tmp_path / name, classes, *[rows(0, 255)] * (OPENED + 1))
    two, many = (examine(open_folder(tmp_path / name), tmp_path) for name in ("two", "many"))

    assert two.is_fine
    assert "has no pixel in the 16 pictures that were opened, while 255" in two.notes[0]
    assert not many.notes
    assert "Pictures and pixels are those of the 16 pictures" in census_of(many).facts()[0]


def test_a_class_without_an_object_is_named(tmp_path: Path):
    root = objects(tmp_path, (0,), (0,))

    assert examine(open_folder(root), root).notes == ("the class 'cat' has no object.",)


def test_classes_of_crowds_alone_are_named_and_can_be_read_as_things(tmp_path: Path):
    root = objects(tmp_path, (1, 0), (1, 1))
    data = open_folder(root)
    things = crowds_as_things(data)

    found, mended = examine(data, root), examine(things, root)
    masks = [mask for one in things.samples for mask in things.annotation(one).to_instances(()).masks]

    assert found.notes == (
        "classes with crowds alone, of which no thing is learned: 'owl' (2 objects). Some tools mark brush masks so; "
        "--crowds-as-things takes them for things.",
    )
    assert not mended.notes
    assert [one.objects for one in census_of(mended).classes] == [2, 2]
    assert [mask.is_crowd for mask in masks] == [False] * 4


def split_folder(root: Path) -> Path:
    for split, count in (("train", 3), ("val", 2)):
        for number in range(count):
            put_picture(root / f"images/{split}/{number}.png")
            put_grey(root / f"labels/{split}/{number}.png", rows(0, 1))
    put_text(root / "classes.txt", "wall\nowl")
    return root


def test_pictures_are_counted_per_split_folder_and_both_together_is_noted(tmp_path: Path):
    root = split_folder(tmp_path)

    both, val = (examine(open_folder(root, split), root) for split in (None, "val"))

    assert census_of(both).splits == {"train": 3, "val": 2}
    assert "Pictures per split folder: train 3, val 2." in census_of(both).facts()
    assert both.notes == ("train and val are taken together, as no split is named (--split).",)
    assert not val.notes
    samples = tuple(
        replace(one, file_name=f"{name}/a.jpg")
        for one, name in zip(
            open_folder(root).samples, ("train2017", "valid", "photos/Test", "trainers", "val"), strict=True
        )
    )
    found = take_census(Dataset(samples=samples, kinds=frozenset()), PixelCount(), num_headers=0, num_flagged=0)
    assert found.splits == {"train": 1, "val": 2, "test": 1}


def coco_split(root: Path, name: str, count: int) -> None:
    document = json.loads((objects(root / "scratch", *[(0,)] * count) / "own.json").read_text())
    put_json(root / f"annotations/instances_{name}.json", document)


def test_a_folder_of_train_and_val_gives_the_usual_split_where_none_is_named(tmp_path: Path):
    labels, coco = split_folder(tmp_path / "labels"), tmp_path / "coco"
    coco_split(coco, "train2017", 3)
    coco_split(coco, "val2017", 2)

    for root in (labels, coco):
        sizes = [len(open_dataset(root, None, split, usual="val").samples) for split in (None, "val", "train")]
        trained = open_dataset(root, None, usual="train")
        assert sizes == [2, 2, 3]
        assert len(trained.samples) == 3
        assert trained.notes[0] == "the folder has train and val: train is taken, as no split is named."


@pytest.mark.parametrize("name", ["own.json", "instances_val2017.json"])
def test_a_folder_of_one_json_is_read_whole_whatever_is_usual(tmp_path: Path, name: str):
    root = objects(tmp_path, (0,), (0,))
    (root / "own.json").rename(root / name)

    data = open_dataset(root, None, usual="train")

    assert (len(data.samples), data.notes) == (2, ())


def flag(path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(path) as picture:
        picture.copy().save(path, exif=exif)


@pytest.mark.parametrize("kind", ["labels", "objects"])
def test_a_picture_turned_by_its_flag_whose_annotation_is_not_is_said_as_the_cause(tmp_path: Path, kind: str):
    if kind == "objects":
        objects(tmp_path, (0,), (0,))
    else:
        labelled(tmp_path, "wall", rows(0), rows(0))
    for number in range(2):
        flag(tmp_path / f"images/{number}.png", 6)

    found = examine(open_folder(tmp_path), tmp_path)

    assert len(found.broken) == 2
    assert len(census_of(found).table()) == (
        3 if kind == "objects" else 1
    )  # of maps that can't be used nothing is known
    assert found.broken[0].startswith(
        "0.png: the picture is turned by its EXIF flag to 6 x 8 pixels, its annotation of "
    )
    assert found.notes[-1].startswith("2 of 2 pictures whose headers were read bear an EXIF flag")


def test_maps_that_were_not_opened_are_held_against_the_flag_too(tmp_path: Path):
    labelled(tmp_path, "wall", *[rows(0)] * 40)
    data = open_folder(tmp_path)
    opened = {sample.file_name for sample in (data.samples[place * 40 // OPENED] for place in range(OPENED))}
    (unseen, *_) = (one.file_name for one in data.samples if one.file_name not in opened)
    flag(tmp_path / "images" / unseen, 8)

    (problem,) = examine(data, tmp_path).problems

    assert problem.startswith(f"1 of 40 masks do not follow their picture, first {unseen}: the picture is turned by")


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_a_flag_that_keeps_the_size_is_a_note(tmp_path: Path, orientation: int):
    labelled(tmp_path, "wall", rows(0), rows(0))
    flag(tmp_path / "images/0.png", orientation)

    found = examine(open_folder(tmp_path), tmp_path)

    assert found.is_fine
    assert found.notes[0].startswith("1 of 2 pictures whose headers were read bear an EXIF flag that turns or mirrors")


def test_a_header_says_the_size_upright_and_the_flag(tmp_path: Path):
    path = put_picture(tmp_path / "a.png")
    upright = header_of(path)
    flag(path, 6)
    turned = header_of(path)

    assert upright is not None
    assert turned is not None
    assert (upright.size, turned.size, turned.orientation) == ((6, 8), (8, 6), 6)
    assert turned.is_turned_from((6, 8))
    assert not turned.is_turned_from((8, 6))
    assert not upright.is_turned_from((8, 6))
    assert header_of(put_text(tmp_path / "b.png", "no picture")) is None

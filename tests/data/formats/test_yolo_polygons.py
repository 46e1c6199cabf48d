from pathlib import Path

import pytest
from PIL import Image

from lexiseg.core.errors import FormatError
from lexiseg.data.catalogue import open_dataset
from lexiseg.data.dataset import Dataset
from lexiseg.data.datasets.findings import examine
from miniatures import put_picture, put_text

SQUARE = "0 0.125 0.1666667 0.5 0.1666667 0.5 0.6666667 0.125 0.6666667"


def yolo(root: Path, text: str, *, split: str = "") -> Dataset:
    """Two pictures, of which the first has a text."""
    put_picture(root / "images" / split / "a.jpg")
    put_picture(root / "images" / split / "b.JPG")
    put_text(root / "labels" / split / "a.txt", text)
    put_text(root / "data.yaml", "names:\n  0: disc\n  1: bar\n")
    return open_dataset(root, None, split or None)


@pytest.mark.parametrize("split", ["", "val"])
def test_shares_of_the_sides_become_pixels_and_a_picture_without_a_text_shows_nothing(tmp_path: Path, split: str):
    data = yolo(tmp_path, f"{SQUARE}\n\n", split=split)

    first, second = (data.load(sample).annotation.to_segmentation(data.categories) for sample in data.samples)

    assert data.kinds == {"instance"}
    assert [(category.id, category.name, category.is_thing) for category in data.categories] == [
        (0, "disc", True),
        (1, "bar", True),
    ]
    assert [(s.category_id, s.box) for s in first.segments] == [(0, (1, 1, 3, 3))]
    assert second.segments == ()
    assert examine(data, tmp_path).is_fine


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("0 0.5 0.5 0.2 0.2", "have no outline, but a box alone or nothing"),
        ("0", "have no outline"),
        ("0 0.1 0.1 0.2 0.2 0.3", "have a polygon of fewer than three points"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "have a polygon that is no list of x and y"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3", "have a flat polygon"),
        ("0 10 10 20 10 20 20", "have corners outside the picture"),
        ("7 0.1 0.1 0.2 0.1 0.2 0.2", "have a category that is not listed"),
        ("0.9 0.1 0.1 0.2 0.1 0.2 0.2", "have a category that is not listed"),
        ("disc 0.1 0.1 0.2 0.1 0.2 0.2", "are no line of numbers"),
        ("0 0.1 nan 0.2 0.1 0.2 0.2", "no list of x and y"),
    ],
)
def test_lines_that_are_no_outline_are_left_out_and_counted(tmp_path: Path, line: str, kind: str):
    data = yolo(tmp_path, f"{SQUARE}\n{line}\n{line}")

    assert len(data.samples[0].objects or ()) == 1
    (note,) = data.notes
    assert kind in note
    assert ": 2, first line 2 of a.txt" in note


def test_a_picture_turned_by_its_camera_has_its_polygons_as_it_is_seen(tmp_path: Path):
    data = yolo(tmp_path, SQUARE)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 8)).save(tmp_path / "images/a.jpg", exif=exif)

    assert data.load(data.samples[0]).annotation.size == (6, 8)


def test_a_picture_that_is_none_is_named(tmp_path: Path):
    data = yolo(tmp_path, SQUARE)
    put_text(tmp_path / "images/a.jpg", "text")

    with pytest.raises(FormatError, match=r"a\.jpg: the picture can't be opened"):
        data.annotation(data.samples[0])


@pytest.mark.parametrize(
    ("text", "said"), [("names: 3", "expected `names`"), ("- a", "expected `names`"), ("a: [", "no YAML")]
)
def test_a_yaml_without_names_is_refused(tmp_path: Path, text: str, said: str):
    yolo(tmp_path, SQUARE)
    put_text(tmp_path / "data.yaml", text)

    with pytest.raises(FormatError, match=said):
        open_dataset(tmp_path, None)

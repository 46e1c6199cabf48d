import json
from pathlib import Path
from typing import Any

import pytest

from lexiseg.core.errors import FormatError
from lexiseg.data.dataset import Category
from lexiseg.data.formats.coco_instances import read_instances
from miniatures import put_json, put_picture

SQUARE = [1, 1, 4, 1, 4, 4, 1, 4]


def content(**changes: Any) -> dict[str, Any]:
    """A JSON of two pictures and one object; the changes are made to the object."""
    one = {
        "id": 5,
        "image_id": 8,
        "category_id": 3,
        "bbox": [1, 1, 3, 3],
        "area": 9.0,
        "iscrowd": 0,
        "segmentation": [SQUARE],
    }
    return {
        "images": [
            {"id": 8, "file_name": "a.jpg", "height": 6, "width": 8},
            {"id": 9, "file_name": "b.jpg", "height": 6, "width": 8},
        ],
        "categories": [{"id": 3, "name": "cat"}, {"id": 90, "name": "toothbrush"}],
        "annotations": [{**one, **changes}],
    }


def refusal(path: Path) -> str:
    with pytest.raises(FormatError) as caught:
        read_instances(path)
    message = str(caught.value)
    assert str(path) in message
    assert len(message.splitlines()) == 1
    return message


def test_objects_are_kept_with_their_pictures_as_they_stand(tmp_path: Path):
    path = put_json(tmp_path / "annotations" / "instances_val2017.json", content())
    put_picture(tmp_path / "val2017" / "a.jpg")

    data = read_instances(path)

    assert data.categories == (
        Category(id=3, name="cat", is_thing=True),
        Category(id=90, name="toothbrush", is_thing=True),
    )
    assert [(s.image_id, s.file_name, *s.size, len(s.objects)) for s in data.samples] == [
        (8, "a.jpg", 6, 8, 1),
        (9, "b.jpg", 6, 8, 0),
    ]
    assert data.samples[0].image_path == tmp_path / "val2017" / "a.jpg"
    assert data.samples[0].objects[0]["segmentation"] == [SQUARE]


@pytest.mark.parametrize(
    "segmentation",
    [
        [SQUARE, [0, 0, 1.5, 0, 1, 1]],
        {"size": [6, 8], "counts": [0, 3, 45]},
        {"size": [6, 8], "counts": "abc"},
    ],
)
def test_polygons_and_both_forms_of_rle_are_masks(tmp_path: Path, segmentation: object):
    path = put_json(tmp_path / "a.json", content(segmentation=segmentation, iscrowd=1))

    assert read_instances(path).samples[0].objects[0]["segmentation"] == segmentation


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"category_id": 4}, ["a.jpg, object 5", "category 4"]),
        ({"image_id": 7}, ["object 5", "picture 7"]),
        ({"iscrowd": 2}, ["a.jpg, object 5", "0 or 1"]),
        ({"bbox": [1, 2, 3]}, ["a.jpg, object 5", "bbox"]),
        ({"bbox": [1, 2, float("nan"), 3]}, ["bbox"]),
        ({"bbox": [1, 2, "3", 3]}, ["bbox"]),
        ({"area": -1}, ["area", "-1"]),
        ({"area": None}, ["area", "None"]),
        ({"segmentation": []}, ["polygons or a run-length code"]),
        ({"segmentation": [[1, 2, 3, 4]]}, ["three points"]),
        ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, ["three points"]),
        ({"segmentation": [[1, 2, 3, 4, 5, "6"]]}, ["three points"]),
        ({"segmentation": {"size": [8, 6], "counts": "abc"}}, ["[8, 6]", "[6, 8]"]),
        ({"segmentation": {"size": [6, 8], "counts": [3, 40]}}, ["43 pixels", "48"]),
        ({"segmentation": {"size": [6, 8], "counts": [-3, 51]}}, ["not negative"]),
        ({"segmentation": {"size": [6, 8]}}, ["counts"]),
        ({"segmentation": None}, ["polygons or a run-length code"]),
    ],
)
def test_an_object_that_is_none_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], parts: list[str]):
    message = refusal(put_json(tmp_path / "a.json", content(**changes)))

    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "not in COCO instance format"),
        ('{"images": [], "annotations": []}', "categories"),
        (json.dumps({**content(), "categories": [{"id": 3, "name": "a"}, {"id": 3, "name": "b"}]}), "listed 2 times"),
        (json.dumps({**content(), "images": content()["images"] * 2}), "listed 2 times"),
    ],
)
def test_what_is_no_instance_json_is_refused(tmp_path: Path, text: str, part: str):
    (tmp_path / "a.json").write_text(text)

    assert part in refusal(tmp_path / "a.json")


def test_a_json_that_is_not_there_is_named(tmp_path: Path):
    assert "cannot be read" in refusal(tmp_path / "gone.json")


def square(top: int, left: int, side: int) -> list[list[float]]:
    return [[left, top, left + side, top, left + side, top + side, left, top + side]]


def test_painted_objects_lie_on_crowds_and_smaller_ones_on_larger(tmp_path: Path):
    document = content(segmentation=square(0, 0, 4), category_id=3)
    (first,) = document["annotations"]
    document["annotations"] = [
        {**first, "id": 1, "segmentation": square(1, 1, 2), "category_id": 90},
        first,
        {**first, "id": 2, "segmentation": {"size": [6, 8], "counts": [0, 48]}, "iscrowd": 1},
    ]
    data = read_instances(put_json(tmp_path / "objects.json", document), images=tmp_path)

    painted = data.annotation(data.samples[0]).to_segmentation(data.categories)
    ids, segments = painted.ids, painted.segments

    assert {s.id: (s.category_id, s.area, s.is_crowd) for s in segments} == {
        1: (3, 48 - 16, True),
        2: (3, 16 - 4, False),
        3: (90, 4, False),
    }
    assert (ids[1:3, 1:3] == 3).all()
    assert ids[0, 0] == 2
    assert ids[5, 7] == 1
    assert data.annotation(data.samples[1]).to_segmentation(data.categories).segments == ()


def test_a_hidden_object_is_left_out_and_a_mask_that_covers_other_pixels_is_named(tmp_path: Path):
    document = content(segmentation=square(0, 0, 3))
    (first,) = document["annotations"]
    document["annotations"] = [first, {**first, "id": 6}]
    data = read_instances(put_json(tmp_path / "objects.json", document), images=tmp_path)
    assert [s.area for s in data.annotation(data.samples[0]).to_segmentation(data.categories).segments] == [9]

    document = content(segmentation={"size": [6, 8], "counts": "04"})
    data = read_instances(put_json(tmp_path / "objects.json", document), images=tmp_path)
    with pytest.raises(FormatError, match=r"a\.jpg, object 5: the run-length code does not cover"):
        data.annotation(data.samples[0]).to_segmentation(data.categories)

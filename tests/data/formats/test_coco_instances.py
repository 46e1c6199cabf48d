import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lexiseg.core.errors import FormatError
from lexiseg.data.dataset import Category
from lexiseg.data.formats.coco_instances import read_instances
from lexiseg.data.run_lengths import encode
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


LINE = [1, 1, 4, 4, 2, 2]


@pytest.mark.parametrize(
    ("changes", "kind", "where"),
    [
        ({"category_id": 4}, "have a category that is not listed", "a.jpg, object 5 of category 4"),
        ({"category_id": [3]}, "have a category that is not listed", "a.jpg, object 5"),
        ({"image_id": 7}, "belong to no picture that is listed", "object 5 of picture 7"),
        ({"iscrowd": 2}, "have an iscrowd that is neither 0 nor 1", "a.jpg, object 5"),
        ({"iscrowd": "maybe"}, "have an iscrowd that is neither 0 nor 1", "a.jpg, object 5"),
        ({"segmentation": []}, "have no outline, but a box alone or nothing", "a.jpg, object 5"),
        ({"segmentation": [[]]}, "have no outline", "a.jpg, object 5"),
        ({"segmentation": {}}, "have no outline", "a.jpg, object 5"),
        ({"segmentation": None}, "have no outline", "a.jpg, object 5"),
        ({"segmentation": [[1, 2, 3, 4]]}, "have a polygon of fewer than three points", "a.jpg, object 5"),
        ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, "have a polygon that is no list of x and y", "a.jpg, object 5"),
        ({"segmentation": [[1, 2, 3, 4, 5, "6"]]}, "have a polygon that is no list of x and y", "a.jpg, object 5"),
        ({"segmentation": [[1, 2, 3, 4, 5, float("nan")]]}, "no list of x and y", "a.jpg, object 5"),
        ({"segmentation": [LINE], "area": 0}, "have a flat polygon, without an area", "a.jpg, object 5"),
        ({"segmentation": [LINE], "area": None}, "have a flat polygon", "a.jpg, object 5"),
        ({"segmentation": {"size": [8, 6], "counts": "abc"}}, "of another size than their picture", "a.jpg, object 5"),
        ({"segmentation": {"size": [6, 8], "counts": [3, 40]}}, "does not cover their picture", "a.jpg, object 5"),
        ({"segmentation": {"size": [6, 8], "counts": [-3, 51]}}, "does not cover their picture", "a.jpg, object 5"),
        ({"segmentation": {"size": [6, 8]}}, "does not cover their picture", "a.jpg, object 5"),
    ],
)
def test_objects_that_are_none_are_left_out_and_counted_by_kind(
    tmp_path: Path, changes: dict[str, Any], kind: str, where: str
):
    document = content(**changes)
    good = {"id": 6, "image_id": 9, "category_id": 3, "bbox": [1, 1, 3, 3], "area": 9, "segmentation": [SQUARE]}
    document["annotations"] += [dict(document["annotations"][0], id=7), good]

    data = read_instances(put_json(tmp_path / "a.json", document))

    assert [len(sample.objects or ()) for sample in data.samples] == [0, 1]
    (note,) = data.notes
    assert kind in note
    assert f": 2, first {where}" in note
    assert note.endswith("; they are left out.")


@pytest.mark.parametrize("area", [None, float("inf"), float("nan"), -1, "9", [9]])
def test_an_area_that_is_no_number_follows_from_the_mask(tmp_path: Path, area: object):
    data = read_instances(put_json(tmp_path / "a.json", content(area=area)))

    instances = data.annotation(data.samples[0]).instances
    assert instances is not None
    assert instances.masks[0].area == 9
    assert data.notes == (
        "objects without a number for their area: 1, first a.jpg, object 5; it follows from their masks.",
    )


def test_1e400_is_infinite_in_json(tmp_path: Path):
    (tmp_path / "a.json").write_text(json.dumps(content(area=7654321.5)).replace("7654321.5", "1e400"))

    assert "without a number for their area" in read_instances(tmp_path / "a.json").notes[0]


@pytest.mark.parametrize("box", [None, [1, 2, 3], [1, 2, float("nan"), 3], [1, 2, "3", 3]])
def test_a_box_is_not_needed(tmp_path: Path, box: object):
    data = read_instances(put_json(tmp_path / "a.json", content(bbox=box)))

    assert len(data.samples[0].objects or ()) == 1
    assert "without a number for their bbox" in data.notes[0]


def test_ids_and_flags_written_as_text_are_what_they_say(tmp_path: Path):
    document = content(image_id="8", category_id="3", iscrowd="false")
    document["images"][1]["id"] = "9"

    data = read_instances(put_json(tmp_path / "a.json", document))

    assert [sample.image_id for sample in data.samples] == [8, 9]
    instances = data.annotation(data.samples[0]).instances
    assert instances is not None
    assert (instances.masks[0].category_id, instances.masks[0].is_crowd) == (3, False)
    assert data.notes == (
        "objects with iscrowd written as text: 1, first a.jpg, object 5; it is read as what it says.",
    )


def test_polygons_that_are_none_are_dropped_beside_others_and_a_bare_one_is_read(tmp_path: Path):
    for segmentation in ([SQUARE, [1, 1, 2, 2]], SQUARE):
        data = read_instances(put_json(tmp_path / "a.json", content(segmentation=segmentation)))

        assert (data.samples[0].objects or ())[0]["segmentation"] == [SQUARE]


def test_the_text_of_python_bytes_is_read_as_what_it_means(tmp_path: Path):
    code = encode(np.eye(6, 8, dtype=bool))
    data = read_instances(
        put_json(tmp_path / "a.json", content(segmentation={"size": [6, 8], "counts": str(code.encode())}))
    )

    instances = data.annotation(data.samples[0]).instances
    assert instances is not None
    assert instances.masks[0].counts == code
    assert "the text of Python bytes (b'...'): 1, first that of a.jpg, object 5" in data.notes[0]


def test_a_size_that_is_not_listed_is_that_of_the_picture(tmp_path: Path):
    document = content()
    for picture in document["images"]:
        del picture["height"]
    put_picture(tmp_path / "a.jpg")

    data = read_instances(put_json(tmp_path / "a.json", document))

    assert [sample.size for sample in data.samples] == [(6, 8), None]
    assert data.load(data.samples[0]).annotation.size == (6, 8)
    with pytest.raises(FormatError, match=r"b\.jpg: its height and width are not listed"):
        data.annotation(data.samples[1])


@pytest.mark.parametrize("height", [-6, "tall", 0.5, float("nan"), [6]])
def test_a_size_that_is_none_is_that_of_the_picture(tmp_path: Path, height: object):
    document = content()
    document["images"][0]["height"] = height
    put_picture(tmp_path / document["images"][0]["file_name"])

    data = read_instances(put_json(tmp_path / "a.json", document))

    assert data.notes[0].startswith("pictures listed without height and width: 1")


def test_an_id_of_a_category_that_is_no_number_is_named(tmp_path: Path):
    document = content()
    document["categories"][0].update(id="cat", name="tabby")

    assert "the id of the category 'tabby' must be a number, got 'cat'" in refusal(
        put_json(tmp_path / "a.json", document)
    )


def test_a_picture_without_a_name_has_that_of_its_address(tmp_path: Path):
    document = content()
    document["images"][0].update(file_name=None, coco_url="http://images.cocodataset.org/val2017/1.jpg")

    assert read_instances(put_json(tmp_path / "a.json", document)).samples[0].file_name == "val2017/1.jpg"


def test_only_roboflows_root_without_an_object_is_left_out(tmp_path: Path):
    for number, parent, objects_of, kept in (
        (0, "cat", 90, [90]),
        (0, "cat", 0, [0, 90]),
        (0, "none", 90, [0, 90]),
        (0, ["cat"], 90, [0, 90]),
        (3, "cat", 90, [3, 90]),  # a true class that this split does not show
    ):
        document = content(category_id=objects_of)
        document["categories"] = [
            {"id": number, "name": "cat", "supercategory": "none"},
            {"id": 90, "name": "cat", "supercategory": parent},
        ]

        data = read_instances(put_json(tmp_path / "a.json", document))

        assert [category.id for category in data.categories] == kept


@pytest.mark.parametrize(
    ("part", "key", "said"),
    [
        ("images", "id", "entry 2 of 'images' has no 'id'"),
        ("images", "file_name", "entry 2 of 'images' has no 'file_name' or 'coco_url'"),
        ("categories", "name", "entry 2 of 'categories' has no 'name'"),
    ],
)
def test_an_entry_that_lacks_a_field_is_named(tmp_path: Path, part: str, key: str, said: str):
    document = content()
    del document[part][1][key]

    assert said in refusal(put_json(tmp_path / "a.json", document))


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

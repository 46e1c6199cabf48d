import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lexiseg.core.errors import FormatError
from lexiseg.data.dataset import Category
from lexiseg.data.datasets.findings import examine
from lexiseg.data.formats.coco_panoptic import PanopticWriter, read_panoptic
from lexiseg.data.id_maps import compact, load_ids, save_ids, segments_of

CATEGORIES = (
    Category(id=3, name="cat", is_thing=True),
    Category(id=70, name="sky", is_thing=False),
)
IDS = np.zeros((4, 6), np.int32)
IDS[1:3, 2:5] = 70_000
IDS[3] = 5


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that every example of a property may write anew."""
    return tmp_path_factory.mktemp("ids") / "ids.png"


def write(root: Path, *, overwrite: bool = False, grey: int = 9) -> None:
    with PanopticWriter(root, CATEGORIES, overwrite=overwrite) as writer:
        picture = Image.new("RGB", (6, 4), (grey, grey, grey))
        writer.add(8, picture, IDS, {70_000: 3, 5: 70}, crowd={70_000}, extras={"caption": "a 猫"})


def edit(root: Path, change: str, value: object) -> None:
    """Sets one key of the first segment in the JSON."""
    content = json.loads((root / "panoptic.json").read_text())
    content["annotations"][0]["segments_info"][0][change] = value
    (root / "panoptic.json").write_text(json.dumps(content))


@settings(max_examples=30)
@given(st.lists(st.integers(0, 2**24 - 1), min_size=1, max_size=12), st.integers(1, 4))
def test_ids_survive_the_png(scratch: Path, row: list[int], n: int):
    ids = np.array([row] * n, np.int64)

    save_ids(scratch, ids)

    assert np.array_equal(load_ids(scratch), ids)


def test_a_pixel_is_red_then_green_then_blue(tmp_path: Path):
    Image.fromarray(np.array([[[1, 2, 3]]], np.uint8)).save(tmp_path / "one.png")

    assert load_ids(tmp_path / "one.png").tolist() == [[1 + 2 * 256 + 3 * 65536]]


@pytest.mark.parametrize("bad", [-1, 2**24])
def test_ids_beyond_24_bits_are_refused(tmp_path: Path, bad: int):
    with pytest.raises(ValueError, match="Renumber"):
        save_ids(tmp_path / "ids.png", np.full((2, 2), bad))


@pytest.mark.parametrize(("content", "said"), [(b"", "no readable"), (b"text", "no readable"), (None, "no such")])
def test_a_broken_png_is_named(tmp_path: Path, content: bytes | None, said: str):
    path = tmp_path / "broken.png"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(FormatError, match=rf"broken\.png.*{said}"):
        load_ids(path)


def test_a_truncated_png_is_refused(tmp_path: Path):
    path = tmp_path / "cut.png"
    save_ids(path, np.arange(10_000).reshape(100, 100))
    path.write_bytes(path.read_bytes()[:500])

    with pytest.raises(FormatError, match="no readable"):
        load_ids(path)


def test_a_grey_png_holds_no_ids(tmp_path: Path):
    Image.new("L", (3, 3)).save(tmp_path / "grey.png")

    with pytest.raises(FormatError, match="mode L"):
        load_ids(tmp_path / "grey.png")


@settings(max_examples=50)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.lists(st.integers(0, 2**24 - 1), min_size=1, max_size=5),
    st.integers(0, 2**32 - 1),
)
def test_areas_and_boxes_equal_those_of_each_mask(h: int, w: int, values: list[int], seed: int):
    ids = np.random.default_rng(seed).choice(values, (h, w))

    measured = segments_of(ids)

    assert set(measured) == set(ids.ravel().tolist()) - {0}
    for name, (area, box) in measured.items():
        ys, xs = np.nonzero(ids == name)
        assert area == len(ys)
        assert box == (xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1)


def test_compact_numbers_follow_the_list_and_strangers_are_minus_one():
    ids = np.array([[7, 0, 16_000_000, 5]])

    assert compact(ids, [0, 16_000_000, 7, 90]).tolist() == [[2, 0, 1, -1]]


def test_what_is_written_is_read_back(tmp_path: Path):
    write(tmp_path / "set")

    data = read_panoptic(tmp_path / "set")

    (sample,) = data.samples
    assert data.categories == CATEGORIES
    assert (sample.image_id, sample.extras) == (8, {"caption": "a 猫"})
    assert [(s.id, s.category_id, s.area, s.box, s.is_crowd) for s in sample.segments] == [
        (5, 70, 6, (0, 3, 6, 1), False),
        (70_000, 3, 6, (2, 1, 3, 2), True),
    ]
    assert np.array_equal(data.annotation(sample, strict=True).to_segmentation(()).ids, IDS)


def test_a_finished_data_set_leaves_no_temporary_names(tmp_path: Path):
    write(tmp_path)

    assert sorted(p.name for p in tmp_path.iterdir()) == ["images", "panoptic", "panoptic.json"]


def test_the_same_content_gives_the_same_bytes(tmp_path: Path):
    write(tmp_path / "a")
    write(tmp_path / "b")

    files = [p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()]
    assert len(files) == 3
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_folder_that_is_not_empty_is_refused_unless_overwritten(tmp_path: Path):
    write(tmp_path, grey=1)
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(ValueError, match="not empty"):
        write(tmp_path)
    write(tmp_path, overwrite=True, grey=200)

    (sample,) = read_panoptic(tmp_path).samples
    assert Image.open(sample.image_path).getpixel((0, 0)) == (200, 200, 200)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_pictures_of_no_data_set_are_never_overwritten(tmp_path: Path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "holiday.jpg").write_bytes(b"dear")

    with pytest.raises(ValueError, match="no data set"):
        write(tmp_path, overwrite=True)

    assert (tmp_path / "images" / "holiday.jpg").read_bytes() == b"dear"


@pytest.mark.parametrize("existed", [True, False])
def test_a_failure_leaves_nothing_half_written(tmp_path: Path, existed: bool):
    root = tmp_path / "set"
    if existed:
        write(root, grey=1)
    before = {p: p.is_file() and p.read_bytes() for p in tmp_path.rglob("*")}

    def fail() -> None:
        with PanopticWriter(root, CATEGORIES, overwrite=True) as writer:
            writer.add(1, Image.new("RGB", (6, 4)), IDS, {70_000: 3, 5: 70})
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    assert {p: p.is_file() and p.read_bytes() for p in tmp_path.rglob("*")} == before


def test_words_that_json_cannot_hold_leave_nothing_behind(tmp_path: Path):
    writer = PanopticWriter(tmp_path / "set", CATEGORIES)
    writer.add(1, Image.new("RGB", (6, 4)), IDS, {70_000: 3, 5: 70}, extras={"bad": {1, 2}})

    with pytest.raises(TypeError):
        writer.close()

    assert not (tmp_path / "set").exists()


def test_a_file_in_the_way_ends_in_a_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(ValueError, match="can't be written"):
        PanopticWriter(tmp_path / "file" / "set", CATEGORIES)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"category_ids": {5: 70}}, "no category"),
        ({"category_ids": {5: 70, 70_000: 4}}, "category 4"),
        ({"picture": Image.new("RGB", (4, 6))}, "the picture is 4 x 6 pixels, its map 6 x 4: "),
        ({"image_id": 1}, "already written"),
        ({"file_name": "../escaped.png"}, "plain file name"),
        ({"file_name": "000000000001.jpg"}, "already written"),
    ],
)
def test_a_wrong_picture_is_refused(tmp_path: Path, arguments: dict[str, object], said: str):
    right = {
        "image_id": 2,
        "picture": Image.new("RGB", (6, 4)),
        "ids": IDS,
        "category_ids": {5: 70, 70_000: 3},
    }
    with PanopticWriter(tmp_path, CATEGORIES) as writer:
        writer.add(**{**right, "image_id": 1})
        with pytest.raises(ValueError, match=said):
            writer.add(**{**right, **arguments})


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("id", 6, "segment 5 is in the PNG but not in the JSON"),
        ("id", 0, "lie in 1 to 16777215, got 0"),
        ("category_id", 4, "category 4"),
    ],
)
def test_a_contradiction_is_found_when_the_picture_is_loaded(tmp_path: Path, key: str, value: int, said: str):
    write(tmp_path)
    edit(tmp_path, key, value)
    data = read_panoptic(tmp_path)

    with pytest.raises(FormatError, match=rf"^000000000008\.png: .*{said}"):
        data.annotation(data.samples[0], strict=True)


def test_of_two_entries_with_one_id_the_last_counts(tmp_path: Path):
    write(tmp_path)
    edit(tmp_path, "id", 70_000)
    data = read_panoptic(tmp_path)

    panoptic = data.annotation(data.samples[0]).panoptic
    assert panoptic is not None
    assert [(s.id, s.category_id) for s in panoptic.segments] == [(70_000, 3)]


def test_a_segment_without_pixels_is_noted_and_trained_on_as_it_is_evaluated(tmp_path: Path):
    write(tmp_path)
    save_ids(tmp_path / "panoptic" / "000000000008.png", np.where(IDS == 5, 0, IDS))
    data = read_panoptic(tmp_path)

    assert data.annotation(data.samples[0], strict=True).to_segmentation(()).ids.max() == 70_000
    found = examine(data, tmp_path)
    assert found.is_fine
    assert found.notes[0].startswith(
        "segments in the JSON that are not in the PNG: 1, first 000000000008.png, segment 5"
    )


def test_a_segment_of_the_png_alone_is_found_by_every_check(tmp_path: Path):
    write(tmp_path)
    edit(tmp_path, "id", 6)

    assert examine(read_panoptic(tmp_path), tmp_path).broken == (
        "000000000008.png: segment 5 is in the PNG but not in the JSON.",
    )


@pytest.mark.parametrize(
    ("key", "value", "note"),
    [
        ("area", float("inf"), "segments without a number for their area: 1, first 000000000008.png, segment 5"),
        ("area", float("nan"), "segments without a number for their area: 1"),
        ("iscrowd", "false", "segments with numbers or flags written as text: 1, first 000000000008.png, segment 5"),
        ("category_id", "70", "segments with numbers or flags written as text: 1"),
        ("area", -1, "segments without a number for their area: 1"),
        ("area", 1e300, "segments without a number for their area: 1"),
        ("area", 10**19, "segments without a number for their area: 1"),
        ("area", None, "segments without a number for their area: 1"),
        *[
            ("bbox", box, "segments without four numbers for their box: 1, first 000000000008.png, segment 5")
            for box in ([], [0, 0, 1], [None] * 4, {"x": 0}, [float("nan")] * 4, 7, [10**400] * 4)
        ],
        ("area", "6", "segments with numbers or flags written as text: 1"),
    ],
)
def test_what_json_can_say_but_coco_does_not_is_read_and_noted(tmp_path: Path, key: str, value: object, note: str):
    write(tmp_path)
    edit(tmp_path, key, value)

    data = read_panoptic(tmp_path)

    assert data.notes[0].startswith(note)
    ((segment, _),) = [sample.segments for sample in data.samples]
    assert (segment.id, segment.category_id, segment.is_crowd) == (5, 70, False)
    assert segment.area in (0, 6)  # 0 is counted in the map
    assert len(segment.box) == 4


def test_a_crowd_flag_that_is_neither_is_refused(tmp_path: Path):
    write(tmp_path)
    edit(tmp_path, "iscrowd", 2)

    with pytest.raises(FormatError, match=r"000000000008\.png, segment 5: 2 is neither true nor false"):
        read_panoptic(tmp_path)


def test_an_infinite_area_beyond_json_is_no_traceback(tmp_path: Path):
    write(tmp_path)
    edit(tmp_path, "area", 123456.5)
    text = (tmp_path / "panoptic.json").read_text().replace("123456.5", "1e400")
    (tmp_path / "panoptic.json").write_text(text)

    assert "without a number for their area" in read_panoptic(tmp_path).notes[0]


def test_an_entry_that_lacks_a_field_is_named_with_file_and_entry(tmp_path: Path):
    write(tmp_path)
    content = json.loads((tmp_path / "panoptic.json").read_text())
    for part, key, said in (
        ("annotations", "segments_info", "entry 1 of 'annotations' has no 'segments_info'"),
        ("categories", "isthing", "entry 1 of 'categories' has no 'isthing'"),
        ("images", "file_name", "entry 1 of 'images' has no 'file_name' or 'coco_url'"),
    ):
        broken = {**content, part: [{k: v for k, v in one.items() if k != key} for one in content[part]]}
        (tmp_path / "panoptic.json").write_text(json.dumps(broken))
        with pytest.raises(FormatError, match=rf"panoptic\.json: not in COCO panoptic format: {said}\.$"):
            read_panoptic(tmp_path)
    del content["annotations"][0]["segments_info"][0]["category_id"]
    (tmp_path / "panoptic.json").write_text(json.dumps(content))
    with pytest.raises(FormatError, match=r"000000000008\.png, segment 5: it has no 'category_id'"):
        read_panoptic(tmp_path)


def test_things_and_stuff_may_be_told_in_words(tmp_path: Path):
    write(tmp_path)
    content = json.loads((tmp_path / "panoptic.json").read_text())
    for category, flag in zip(content["categories"], ("true", "False"), strict=True):
        category["isthing"] = flag
    (tmp_path / "panoptic.json").write_text(json.dumps(content))

    assert read_panoptic(tmp_path).categories == CATEGORIES


def test_label_ids_of_transformers_are_places_among_the_categories(tmp_path: Path):
    write(tmp_path)
    content = json.loads((tmp_path / "panoptic.json").read_text())
    for segment, place in zip(content["annotations"][0]["segments_info"], (1, 0), strict=True):
        segment["label_id"] = place
        del segment["category_id"]
    (tmp_path / "panoptic.json").write_text(json.dumps(content))

    data = read_panoptic(tmp_path, categories=CATEGORIES)

    assert [segment.category_id for segment in data.samples[0].segments or ()] == [70, 3]
    assert "segments with a label_id, as transformers writes it, and no category_id: 2" in data.notes[0]
    content["annotations"][0]["segments_info"][0]["label_id"] = 2
    (tmp_path / "panoptic.json").write_text(json.dumps(content))
    with pytest.raises(FormatError, match="its label_id 2 is no place among the 2 categories"):
        read_panoptic(tmp_path, categories=CATEGORIES)


def test_ids_in_a_jpeg_are_refused(tmp_path: Path):
    write(tmp_path)
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "panoptic" / "000000000008.png", format="JPEG")

    (broken,) = examine(read_panoptic(tmp_path), tmp_path).broken

    assert "000000000008.png: a JPEG changes segment ids" in broken


def test_names_that_stand_twice_are_found(tmp_path: Path):
    write(tmp_path)
    content = json.loads((tmp_path / "panoptic.json").read_text())
    content["images"].append({**content["images"][0], "id": 9})
    content["annotations"].append({**content["annotations"][0], "image_id": 9})
    content["categories"][1]["name"] = "cat"
    (tmp_path / "panoptic.json").write_text(json.dumps(content))

    found = examine(read_panoptic(tmp_path), tmp_path)

    assert found.notes[0] == (
        "pictures with the file name of another: 1, first 000000000008.png; they are taken one by one."
    )
    assert found.problems == (
        "the categories 'cat' (3), 'cat' (70) have one name: give each its own, or make one of them.",
    )


def test_an_id_that_stands_twice_is_noted(tmp_path: Path):
    write(tmp_path)
    edit(tmp_path, "id", 70_000)

    notes = examine(read_panoptic(tmp_path), tmp_path).notes

    assert notes[0].startswith(
        "segments whose id stands twice in their list: 1, first 000000000008.png, segment 70000;"
    )


def test_a_missing_picture_is_found_when_it_is_loaded(tmp_path: Path):
    write(tmp_path)
    (tmp_path / "images" / "000000000008.png").unlink()
    data = read_panoptic(tmp_path)

    with pytest.raises(FormatError, match=r"000000000008\.png: the picture is missing.*images"):
        data.annotation(data.samples[0], strict=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "this is no JSON"),
        ("\x00", "this is no JSON"),
        ("[]", "not in COCO panoptic format"),
        ("{}", "not in COCO panoptic format"),
        ('{"annotations": 3, "categories": []}', "not in COCO panoptic format"),
    ],
)
def test_a_json_of_another_kind_ends_in_a_sentence(tmp_path: Path, text: str, said: str):
    (tmp_path / "panoptic.json").write_text(text)

    with pytest.raises(FormatError, match=rf"panoptic\.json: {said}"):
        read_panoptic(tmp_path)


def test_a_folder_without_a_data_set_ends_in_a_sentence(tmp_path: Path):
    with pytest.raises(FormatError, match=r"no panoptic\.json"):
        read_panoptic(tmp_path)
    with pytest.raises(FormatError, match="no such folder"):
        read_panoptic(tmp_path / "nowhere")


def test_two_annotations_of_one_picture_are_refused(tmp_path: Path):
    write(tmp_path)
    content = json.loads((tmp_path / "panoptic.json").read_text())
    content["annotations"] *= 2
    (tmp_path / "panoptic.json").write_text(json.dumps(content))

    with pytest.raises(FormatError, match="two annotations"):
        read_panoptic(tmp_path)


def test_the_folders_of_coco_are_found(tmp_path: Path):
    write(tmp_path / "ours")
    (tmp_path / "annotations").mkdir()
    for split in ("train2017", "val2017"):
        write(tmp_path / split / "made")
        made = tmp_path / split / "made"
        (made / "panoptic.json").rename(tmp_path / f"annotations/panoptic_{split}.json")
        (made / "panoptic").rename(tmp_path / f"annotations/panoptic_{split}")
        (made / "images" / "000000000008.png").rename(tmp_path / split / "000000000008.png")

    with pytest.raises(FormatError, match=r"panoptic_train2017\.json, .*Name the JSON"):
        read_panoptic(tmp_path)
    for data in (
        read_panoptic(tmp_path, annotations=tmp_path / "annotations/panoptic_val2017.json"),
        read_panoptic(tmp_path / "annotations/panoptic_val2017.json"),
    ):
        assert data.samples[0].image_path == tmp_path / "val2017" / "000000000008.png"
        assert np.array_equal(data.annotation(data.samples[0], strict=True).to_segmentation(()).ids, IDS)


def test_a_true_coco_sample_reads_without_help_and_its_own_figures_agree(coco_sample: Path):
    data = read_panoptic(coco_sample)

    assert len(data.categories) == 133
    assert sum(category.is_thing for category in data.categories) == 80
    published = {"coco_panoptic": [142238, 439180], "miniature": [8, 9]}
    assert [sample.image_id for sample in data.samples] == published[coco_sample.name]
    for sample in data.samples:
        measured = segments_of(data.annotation(sample, strict=True).to_segmentation(()).ids)
        assert {s.id: (s.area, s.box) for s in sample.segments} == measured


def test_a_true_coco_sample_survives_the_round_trip(coco_sample: Path, tmp_path: Path):
    source = read_panoptic(coco_sample)
    with PanopticWriter(tmp_path / "copy", source.categories) as writer:
        for s in source.samples:
            writer.add(
                s.image_id,
                Image.open(s.image_path),
                load_ids(s.mask_path),
                {segment.id: segment.category_id for segment in s.segments},
                crowd={segment.id for segment in s.segments if segment.is_crowd},
                extras=s.extras,
                file_name=s.file_name,
            )

    copy = read_panoptic(tmp_path / "copy")

    assert copy.categories == source.categories
    for ours, theirs in zip(copy.samples, source.samples, strict=True):
        assert set(ours.segments) == set(theirs.segments)
        assert ours.extras == theirs.extras
        assert np.array_equal(load_ids(ours.mask_path), load_ids(theirs.mask_path))

import json
from pathlib import Path

import pytest
from PIL import Image

from lexiseg.core.errors import FormatError
from lexiseg.data.catalogue import open_dataset
from lexiseg.data.dataset import Category
from lexiseg.data.datasets.own_folder import read_classes
from lexiseg.data.formats.coco_panoptic import PanopticWriter
from miniatures import put_grey, put_json, put_picture, put_text, rows

ROAD, SKY = Category(id=7, name="road", is_thing=False), Category(id=11, name="sky", is_thing=False)


def own(root: Path, classes: str = "7 road\n11 sky:stuff\n12 cat", file: str = "classes.txt") -> Path:
    put_picture(root / "images/a.jpg")
    put_picture(root / "images/deep/b.png")
    put_grey(root / "labels/a.png", rows(7, 11, 12, 255))
    put_grey(root / "labels/deep/b.png", rows(7))
    put_text(root / file, classes)
    return root


def refusal(path: Path, split: str | None = None) -> str:
    with pytest.raises(FormatError) as caught:
        open_dataset(path, None, split)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_label_png_per_picture_is_read_with_its_list_of_classes(tmp_path: Path):
    data = open_dataset(own(tmp_path), None)

    assert data.kinds == {"semantic"}
    assert data.categories == (ROAD, SKY, Category(id=12, name="cat", is_thing=True))
    assert [s.file_name for s in data.samples] == ["a.jpg", "deep/b.png"]
    assert data.annotation(data.samples[0]).to_semantic(())[[0, 2, 4, 5], 0].tolist() == [0, 1, 2, -1]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("classes.txt", "7: road\n\n11, sky\n"),
        ("classes.json", '{"7": "road", "11": "sky"}'),
        ("classes.json", '[{"id": 7, "name": "road", "isthing": 0}, {"id": 11, "name": "sky", "isthing": 0}]'),
        ("classes.json", '[{"id": 7, "name": "road"}, {"id": 11, "name": "sky"}]'),
    ],
)
def test_classes_may_be_written_in_several_forms(tmp_path: Path, file: str, text: str):
    data = open_dataset(own(tmp_path, text, file), None)

    assert data.kinds == {"semantic"}
    assert data.categories == (ROAD, SKY)


@pytest.mark.parametrize(("file", "text"), [("classes.txt", "wall\nsky"), ("classes.json", '["wall", "sky"]')])
def test_without_numbers_classes_count_from_nought(tmp_path: Path, file: str, text: str):
    data = open_dataset(own(tmp_path, text, file), None)

    assert data.kinds == {"semantic"}
    assert [(c.id, c.name) for c in data.categories] == [(0, "wall"), (1, "sky")]


def test_classes_of_one_name_are_told_apart_by_their_ids(tmp_path: Path) -> None:
    put_text(tmp_path / "classes.txt", "n02012849 crane\nn03126707 crane\nsky:stuff")

    categories = read_classes(tmp_path / "classes.txt")

    assert [(c.id, c.name) for c in categories] == [(0, "crane (n02012849)"), (1, "crane (n03126707)"), (2, "sky")]


def test_a_split_is_a_folder_below_both(tmp_path: Path):
    put_picture(tmp_path / "images/val/a.jpg")
    put_picture(tmp_path / "images/train/b.jpg")
    put_grey(tmp_path / "annotations/val/a.png", rows(0))
    put_text(tmp_path / "classes.txt", "cat")

    data = open_dataset(str(tmp_path), None, "val")

    assert data.kinds == {"semantic"}
    assert [s.mask_path for s in data.samples] == [tmp_path / "annotations/val/a.png"]
    assert "no split 'test'" in refusal(tmp_path, "test")


@pytest.mark.parametrize(
    ("file", "text", "part"),
    [
        ("classes.txt", "\n", "no classes"),
        ("classes.txt", "cat\ncat", "'cat' stands twice"),
        ("classes.txt", "3 cat\n3 dog", "3 stands twice"),
        ("classes.txt", "cat:stuf", "did you mean"),
        ("classes.txt", "cat, dog", "comma"),
        ("classes.json", "{", "no JSON"),
        ("classes.json", '{"a": "cat"}', "expected a list of names"),
        ("classes.json", '{"-1": "cat"}', "must not be negative"),
        ("classes.json", "7", "expected a list of names"),
        ("classes.json", '[{"name": "cat"}]', "expected a list of names"),
    ],
)
def test_classes_that_are_none_are_refused(tmp_path: Path, file: str, text: str, part: str):
    message = refusal(own(tmp_path, text, file))

    assert part in message
    assert file in message


def test_folders_that_lack_a_half_or_hold_two_pictures_of_a_name_are_refused(tmp_path: Path):
    own(tmp_path)
    put_picture(tmp_path / "images/a.png")
    assert "have one name" in refusal(tmp_path)
    (tmp_path / "labels").rename(tmp_path / "elsewhere")
    assert "a folder labels/" in refusal(tmp_path)


def test_coco_panoptic_is_recognised_and_its_split_by_the_jsons_name(tmp_path: Path):
    for name in ("one", "two"):
        with PanopticWriter(tmp_path / name, (ROAD,)) as writer:
            writer.add(1, Image.new("RGB", (8, 6)), rows(1), {1: 7})
    for name in ("one", "two"):  # as two JSONs in one folder, each beside its id maps
        (tmp_path / name / "panoptic").rename(tmp_path / f"{name}_val" if name == "one" else tmp_path / "train")
        (tmp_path / name / "panoptic.json").rename(tmp_path / ("one_val.json" if name == "one" else "train.json"))
    (tmp_path / "one/images").rename(tmp_path / "images")

    data = open_dataset(tmp_path, None, "val")

    assert data.kinds == {"panoptic"}
    assert data.samples[0].mask_path.parent == tmp_path / "one_val"
    assert data.samples[0].image_path.is_file()
    assert "several data sets" in refusal(tmp_path)


def test_our_own_layout_is_recognised(tmp_path: Path):
    with PanopticWriter(tmp_path, (ROAD,)) as writer:
        writer.add(1, Image.new("RGB", (8, 6)), rows(1), {1: 7})

    for path in (tmp_path, tmp_path / "panoptic.json"):
        assert open_dataset(path, None).kinds == {"panoptic"}


def test_coco_instances_are_recognised_by_their_content(tmp_path: Path):
    put_picture(tmp_path / "train/a.jpg")
    content = {
        "images": [{"id": 8, "file_name": "a.jpg", "height": 6, "width": 8}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [],
    }
    path = put_json(tmp_path / "annotations/objects.json", content)

    for where in (tmp_path, path):
        data = open_dataset(where, None)
        assert data.kinds == {"instance"}
        assert data.samples[0].image_path == tmp_path / "train/a.jpg"
    put_json(tmp_path / "other.json", content)
    assert "several data sets (objects.json, other.json)" in refusal(tmp_path)


def test_the_true_coco_sample_is_recognised(coco_sample: Path):
    data = open_dataset(coco_sample / "panoptic_examples.json", None)

    assert data.kinds == {"panoptic"}
    assert len(data.samples) == 2


@pytest.mark.parametrize("content", [None, "{", "[]", '{"annotations": 3}', json.dumps({"images": []})])
def test_what_is_no_data_set_is_refused_with_the_forms_that_are_known(tmp_path: Path, content: str | None):
    if content is not None:
        put_text(tmp_path / "a.json", content)

    message = refusal(tmp_path)

    assert ("classes.txt" in message) or ("no JSON" in message)


def test_a_value_that_is_no_class_is_told_with_its_picture(tmp_path: Path):
    put_picture(tmp_path / "images" / "one.jpg")
    put_grey(tmp_path / "labels" / "one.png", rows(1, 2, 0, 255))
    put_text(tmp_path / "classes.txt", "1 cat\n")
    data = open_dataset(tmp_path, None)

    assert data.kinds == {"semantic"}
    with pytest.raises(FormatError, match=r"one\.jpg: its label map holds 2, which is no class"):
        data.annotation(data.samples[0]).to_semantic(())


def test_pictures_may_lie_in_a_folder_of_the_name_of_their_instance_json(tmp_path: Path):
    put_picture(tmp_path / "val" / "one.jpg")
    put_json(
        tmp_path / "val.json",
        {
            "images": [{"id": 1, "file_name": "one.jpg", "height": 8, "width": 8}],
            "annotations": [],
            "categories": [{"id": 1, "name": "cat"}],
        },
    )

    data = open_dataset(tmp_path, None)

    assert data.kinds == {"instance"}
    assert data.samples[0].image_path.is_file()


@pytest.mark.parametrize(
    ("picture", "label"),
    [("a.JPG", "a.PNG"), ("A.Tif", "a.png"), ("a.jpe", "a.tif"), ("a.png", "a.TIFF"), ("a.Jpeg", "A.png")],
)
def test_pictures_and_maps_pair_whatever_the_case_of_their_letters(tmp_path: Path, picture: str, label: str):
    put_picture(tmp_path / "images" / picture)
    put_grey(tmp_path / "labels" / label, rows(0))
    put_text(tmp_path / "classes.txt", "cat")

    (sample,) = open_dataset(tmp_path, None).samples

    assert sample.files == (tmp_path / "images" / picture, tmp_path / "labels" / label)


def test_composed_letters_pair_with_decomposed_ones(tmp_path: Path):
    put_picture(tmp_path / "images" / "gr\u00fcn.png")
    put_grey(tmp_path / "labels" / "gru\u0308n.png", rows(0))
    put_text(tmp_path / "classes.txt", "cat")

    data = open_dataset(tmp_path, None)

    assert [sample.files[1].is_file() for sample in data.samples] == [True]


def test_a_map_saved_as_jpeg_is_told_as_the_reason(tmp_path: Path):
    put_picture(tmp_path / "images" / "a.png")
    noise = rows(*range(6))
    put_grey(tmp_path / "labels" / "a.jpg", 40 * noise)
    put_text(tmp_path / "classes.txt", "cat")
    data = open_dataset(tmp_path, None)

    with pytest.raises(FormatError, match=r"a\.jpg is a JPEG, which changes values: save maps as PNG"):
        data.annotation(data.samples[0])


def test_folders_of_splits_are_named_where_none_is_chosen(tmp_path: Path):
    for split in ("train", "valid"):
        put_picture(tmp_path / split / "images" / "a.png")
        put_grey(tmp_path / split / "labels" / "a.png", rows(0))
    put_text(tmp_path / "classes.txt", "cat")

    assert open_dataset(tmp_path, None, "val").samples[0].image_path == tmp_path / "valid" / "images" / "a.png"
    assert "It has the splits train, valid: name one with --split." in refusal(tmp_path)


def test_vocs_lists_of_names_are_its_splits(tmp_path: Path):
    for name in ("a", "b", "c"):
        put_picture(tmp_path / "JPEGImages" / f"{name}.jpg")
        put_grey(tmp_path / "SegmentationClass" / f"{name}.png", rows(1))
    put_text(tmp_path / "class_names.txt", "_background_\ncat")
    put_text(tmp_path / "ImageSets/Segmentation/train.txt", "a")
    put_text(tmp_path / "ImageSets/Segmentation/val.txt", "b")

    names = [[s.file_name for s in open_dataset(tmp_path, None, split).samples] for split in ("train", "val", None)]

    assert names == [["a.jpg"], ["b.jpg"], ["a.jpg", "b.jpg"]]
    assert "there is no test.txt" in refusal(tmp_path, "test")


def test_lists_of_vocs_form_may_have_ends_and_pairs_and_what_they_lack_is_told(tmp_path: Path):
    for name in ("a", "b", "c"):
        put_picture(tmp_path / "JPEGImages" / f"{name}.jpg")
        put_grey(tmp_path / "SegmentationClass" / f"{name}.png", rows(1))
    put_text(tmp_path / "class_names.txt", "_background_\ncat")
    put_text(tmp_path / "ImageSets/Segmentation/train.txt", "a.jpg\n/JPEGImages/b.jpg /SegmentationClass/b.png")

    data = open_dataset(tmp_path, None)

    assert [sample.file_name for sample in data.samples] == ["a.jpg", "b.jpg"]
    assert data.notes == ("pictures in no list of ImageSets/Segmentation: 1, first c.jpg; they are left out.",)


def test_the_halves_of_a_split_may_have_different_words(tmp_path: Path):
    put_picture(tmp_path / "images/val/a.jpg")
    put_grey(tmp_path / "labels/validation/a.png", rows(0))
    put_text(tmp_path / "classes.txt", "cat")

    (sample,) = open_dataset(tmp_path, None, "val").samples

    assert sample.files[1].is_file()


def test_texts_without_a_picture_are_told_and_vocs_list_holds_for_texts(tmp_path: Path):
    for name in ("a", "b"):
        put_picture(tmp_path / "images" / f"{name}.jpg")
    for name in ("a", "z"):
        put_text(tmp_path / "labels" / f"{name}.txt", "0 0 0 1 0 1 1")
    put_text(tmp_path / "data.yaml", "names: [cat]")

    assert open_dataset(tmp_path, None).notes == ("texts without a picture: 1, first z.txt; they are left out.",)

    put_text(tmp_path / "ImageSets/Segmentation/train.txt", "b")
    assert [sample.file_name for sample in open_dataset(tmp_path, None, "train").samples] == ["b.jpg"]


def test_previews_beside_pictures_and_maps_are_none(tmp_path: Path):
    put_picture(tmp_path / "images/a.jpg")
    put_picture(tmp_path / "images/a.gif")
    put_grey(tmp_path / "labels/a.PNG", rows(0))
    put_picture(tmp_path / "labels/a_overlay.jpg")
    put_text(tmp_path / "classes.txt", "cat")

    (sample,) = open_dataset(tmp_path, None).samples

    assert sample.files == (tmp_path / "images/a.jpg", tmp_path / "labels/a.PNG")


def test_links_to_themselves_and_to_folders_they_lie_in_are_no_trap(tmp_path: Path):
    put_picture(tmp_path / "images/a.jpg")
    put_grey(tmp_path / "labels/a.png", rows(0))
    put_text(tmp_path / "classes.txt", "cat")
    (tmp_path / "images/loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "images/again").symlink_to(".")

    assert [sample.file_name for sample in open_dataset(tmp_path, None).samples] == ["a.jpg", "loop.jpg"]


@pytest.mark.parametrize("file", ["data.yaml", "labelmap.txt", "class_names.txt", "labels/classes.txt"])
@pytest.mark.parametrize("folder", ["train", "images"])
def test_a_coco_json_comes_before_other_tools_lists_of_classes(tmp_path: Path, folder: str, file: str):
    put_picture(tmp_path / folder / "a.jpg")
    put_text(tmp_path / file, "cat")
    listed = {"images": [{"id": 1, "file_name": "a.jpg", "height": 6, "width": 8}], "annotations": []}
    put_json(tmp_path / "annotations/instances_train.json", {**listed, "categories": [{"id": 1, "name": "cat"}]})

    (sample,) = open_dataset(tmp_path, None).samples

    assert sample.image_path == tmp_path / folder / "a.jpg"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cat:1,2,3::\ndog:1,2,3::", "expected a colour of its own"),
        ("cat:1,2,300::", "of numbers to 255"),
        ("background:0,0,0::", "there are no classes"),
    ],
)
def test_a_labelmap_whose_colours_are_not_of_one_class_each_is_refused(tmp_path: Path, text: str, said: str):
    put_picture(tmp_path / "JPEGImages" / "a.jpg")
    put_grey(tmp_path / "SegmentationClass" / "a.png", rows(1))
    put_text(tmp_path / "labelmap.txt", text)

    assert said in refusal(tmp_path)


@pytest.mark.parametrize("text", ["cat", "cat:1,2::", ":1,2,3::"])
def test_a_labelmap_of_another_form_is_refused(tmp_path: Path, text: str):
    put_picture(tmp_path / "JPEGImages" / "a.jpg")
    put_grey(tmp_path / "SegmentationClass" / "a.png", rows(1))
    put_text(tmp_path / "labelmap.txt", text)

    assert "expected lines such as 'cat:128,0,0::'" in refusal(tmp_path)

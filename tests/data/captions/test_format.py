"""Captions from files in every form, matched to the pictures of a data set."""

import json
from pathlib import Path

import pytest

from lexiseg.core.errors import FormatError
from lexiseg.data.captions.format import captions_of, read_captions
from lexiseg.data.dataset import Sample
from lexiseg.storybook.export import StorybookSpec, write_storybook
from miniatures import put_json, put_text


def test_cocos_captions_are_gathered_by_picture(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 7, "file_name": "seven.jpg"}, {"id": 2, "file_name": "two.jpg"}],
        "annotations": [
            {"image_id": 2, "caption": " a dog\n"},
            {"image_id": 7, "caption": "a cat"},
            {"image_id": 2, "caption": "a bed"},
        ],
    }

    captions = read_captions(put_json(tmp_path / "captions_val2017.json", content))

    assert captions == {"seven.jpg": ("a cat",), "two.jpg": ("a dog", "a bed")}


def test_the_drawn_worlds_json_is_a_file_of_captions(tmp_path: Path) -> None:
    dataset = write_storybook(StorybookSpec(role="base", split="val", count=2, size=(32, 32)), tmp_path / "data")

    captions = read_captions(tmp_path / "data" / "panoptic.json")

    own = tuple(sample.captions for sample in dataset.samples)
    assert captions_of([sample.file_name for sample in dataset.samples], captions) == own
    assert [len(texts) for texts in own] == [5, 5]


@pytest.mark.parametrize("heading", ["", "filepath\ttitle\n"])
def test_lines_hold_a_file_name_a_tab_and_a_caption(tmp_path: Path, heading: str) -> None:
    path = put_text(
        tmp_path / "pairs.tsv", f"{heading}train/1.jpg\ta cat\ton a bed\n\n2.jpg\ta dog\ntrain/1.jpg\ta bed\n"
    )

    assert read_captions(path) == {"train/1.jpg": ("a cat\ton a bed", "a bed"), "2.jpg": ("a dog",)}


def test_json_lines_hold_one_caption_or_several(tmp_path: Path) -> None:
    lines = [{"file_name": "1.jpg", "caption": "a cat"}, {"file_name": "2.jpg", "captions": ["a dog", "ein Hund, 狗"]}]
    path = put_text(tmp_path / "captions.jsonl", "\n".join(json.dumps(line) for line in lines))

    assert read_captions(path) == {"1.jpg": ("a cat",), "2.jpg": ("a dog", "ein Hund, 狗")}


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("captions.txt", "1.jpg\ta cat", "COCO's captions"),
        ("captions.tsv", "1.jpg\ta cat\n2.jpg a dog", "line 2 has no tab"),
        ("captions.tsv", "\n", "there are no captions"),
        ("captions.jsonl", '{"file_name": "1.jpg"}', 'line 1 must hold a "file_name"'),
        ("captions.jsonl", '{"file_name": "1.jpg", "captions": [7]}', 'line 1 must hold a "file_name"'),
        ("captions.jsonl", '{"file_name": "1.jpg", "captions": "a cat"}', 'line 1 must hold a "file_name"'),
        ("captions.jsonl", "[1]\n{", "line 1 must hold"),
        ("captions.jsonl", "{", "line 1 is no JSON"),
        ("captions.json", "{", "no JSON"),
        ("captions.json", "[]", "not in COCO's caption format"),
        ("captions.json", '{"images": [{"captions": ["a cat"]}]}', "entry 1 of its images must hold"),
    ],
)
def test_what_is_no_file_of_captions_is_named_in_a_sentence(
    tmp_path: Path, name: str, text: str, complaint: str
) -> None:
    with pytest.raises(FormatError, match=complaint):
        read_captions(put_text(tmp_path / name, text))


def test_a_file_that_is_not_there_or_no_text_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="No such file"):
        read_captions(tmp_path / "missing.tsv")
    (tmp_path / "bytes.tsv").write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(FormatError, match="no UTF-8 text"):
        read_captions(tmp_path / "bytes.tsv")


def test_captions_find_their_pictures_by_the_name_or_by_the_end_of_one() -> None:
    captions = {name: (name,) for name in ("train/1.jpg", "a/2.jpg", "b/2.jpg", "c/3.jpg", "5.jpg")}

    found = captions_of(["1.jpg", "a/2.jpg", "b/2.jpg", "val/3.jpg", "4.jpg", "train/5.jpg"], captions)

    assert found == (("train/1.jpg",), ("a/2.jpg",), ("b/2.jpg",), (), (), ("5.jpg",))


@pytest.mark.parametrize(
    ("pictures", "captioned"),
    [
        (["2.jpg", "4.jpg"], ["a/2.jpg", "b/2.jpg"]),
        (["a/2.jpg", "b/2.jpg"], ["2.jpg"]),
        (["2.jpg", "a/2.jpg"], ["a/2.jpg", "b/2.jpg"]),
    ],
)
def test_captions_that_could_be_those_of_several_pictures_are_given_to_none(
    pictures: list[str], captioned: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"2\.jpg' could be those of .*2\.jpg' or of another picture"):
        captions_of(pictures, dict.fromkeys(captioned, ("a cat",)))


def test_a_line_ends_where_it_does_in_a_text_file_and_nowhere_else(tmp_path: Path) -> None:
    marks = "a\u2028b\u0085c\x0bd\x0ce\rf"
    (tmp_path / "captions.tsv").write_bytes(f"1.jpg\t{marks}\r\n2.jpg\ta dog\n".encode())
    (tmp_path / "captions.jsonl").write_bytes('{"file_name": "1.jpg", "caption": "a\u2028b"}\r\n'.encode())

    assert read_captions(tmp_path / "captions.tsv") == {"1.jpg": (marks,), "2.jpg": ("a dog",)}
    assert read_captions(tmp_path / "captions.jsonl") == {"1.jpg": ("a\u2028b",)}


def test_captions_of_other_pictures_are_told_apart() -> None:
    with pytest.raises(ValueError, match=r"no picture has a caption.*'cat\.png'.*'1\.jpg'"):
        captions_of(["cat.png"], {"1.jpg": ("a cat",)})


def test_data_sets_without_captions_have_none() -> None:
    somewhere = Path("somewhere")
    drawn = Sample(image_id=1, file_name="1", image_path=somewhere, mask_path=somewhere, segments=())
    semantic = Sample(file_name="1", image_path=somewhere, mask_path=somewhere)
    captioned = Sample(image_id=1, file_name="1", image_path=somewhere, captions=("a cat",))

    assert tuple(sample.captions for sample in [drawn, semantic, captioned]) == ((), (), ("a cat",))

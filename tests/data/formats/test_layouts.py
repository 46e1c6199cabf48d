import unicodedata
from pathlib import Path

import pytest

from lexiseg.data.formats.layouts import FileFinder, Remarks, picture_finder, to_flag, what_is_there
from miniatures import put_picture, put_text


def find(root: Path, name: str, remarks: Remarks | None = None) -> str:
    """Where a JSON in this folder finds a picture."""
    (found,) = picture_finder(root / "a.json").find_all([name], remarks or Remarks())
    return str(found.relative_to(root))


@pytest.mark.parametrize(
    ("there", "named"),
    [
        ("images/a.png", "images/a.png"),
        ("images/a.png", "images\\a.png"),
        ("images/a.png", "a.png"),
        ("images/a.png", "./images/a.png"),
        ("a.png", "a.png"),
        ("images/deep/er/a.png", "a.png"),
        ("images/deep/a.png", "deep\\a.png"),
        ("images/a.PNG", "a.png"),
        ("images/A.png", "a.png"),
        ("images/a.png", "/home/someone/shapes/images/a.png"),
        ("images/a.png", "C:\\Users\\some one\\images\\a.png"),
        ("images/a.png", "../../label-studio/data/media/upload/1/a.png"),
        (f"images/{unicodedata.normalize('NFD', 'grün.png')}", unicodedata.normalize("NFC", "grün.png")),
        (f"images/{unicodedata.normalize('NFC', 'grün.png')}", unicodedata.normalize("NFD", "grün.png")),
        ("elsewhere/a.png", "a.png"),
    ],
)
def test_a_picture_is_found_wherever_its_list_was_written(tmp_path: Path, there: str, named: str):
    put_picture(tmp_path / there)

    assert (tmp_path / find(tmp_path, named)).samefile(tmp_path / there)


def test_beside_the_json_comes_first_and_an_exact_name_before_one_alike(tmp_path: Path):
    for name in ("a.png", "images/a.png", "images/b.PNG", "images/b.png"):
        put_picture(tmp_path / name)

    assert find(tmp_path, "a.png") == "a.png"
    assert find(tmp_path, "b.png") == "images/b.png"


def test_the_longest_common_end_decides_and_what_is_found_so_is_told(tmp_path: Path):
    for folder in ("images/train", "images/val"):
        put_picture(tmp_path / folder / "1.png")
    remarks = Remarks()

    assert find(tmp_path, "/data/set/val/1.png", remarks) == "images/val/1.png"
    assert remarks.sentences() == (
        "files that are not where the list says, but were found by the end of their names: 1, first "
        f"/data/set/val/1.png as {tmp_path}/images/val/1.png.",
    )
    assert not (tmp_path / find(tmp_path, "/data/set/1.png")).exists()  # one of two is nobody's


def test_one_file_is_never_two_pictures(tmp_path: Path):
    put_picture(tmp_path / "images/val/1.png")

    found = FileFinder([tmp_path / "images"]).find_all(["/old/train/1.png", "val/1.png"], Remarks())
    both = FileFinder([tmp_path / "images"]).find_all(["/a/1.png", "/b/1.png"], Remarks())

    assert [path.exists() for path in found] == [False, True]
    assert [path.exists() for path in both] == [False, False]


def test_what_is_missing_is_missed_where_its_like_are_and_what_is_there_is_told(tmp_path: Path):
    for name in "bcdef":
        put_picture(tmp_path / "images" / f"{name}.png")

    assert find(tmp_path, "a.png") == "images/a.png"
    assert find(tmp_path, "/home/someone/a.png") == "images/a.png"
    said = what_is_there(tmp_path / "images" / "a.png")
    assert said == f"{tmp_path}/images holds b.png, c.png, d.png and 2 more"
    assert what_is_there(tmp_path / "gone" / "a.png") == f"{tmp_path} holds images"


@pytest.mark.parametrize(
    ("file", "there", "strange"),
    [
        ("annotations/instances_train.json", "train", "val"),
        ("annotations/panoptic_val.json", "val", "train2017"),
        ("a.json", "images", "masks"),
        ("a.json", "images", "annotations/deep"),
        ("train.json", "images/train", "images/val"),
    ],
)
def test_a_missing_picture_is_no_file_of_another_split_or_of_the_masks(
    tmp_path: Path, file: str, there: str, strange: str
):
    for name in (f"{there}/0.png", f"{there}/1.png", f"{strange}/1.png", f"{strange}/2.png"):
        put_picture(tmp_path / name)
    remarks, names = Remarks(), ["0.png", "1.png", "2.png"]

    found = picture_finder(tmp_path / file).find_all(names, remarks)

    assert found == [tmp_path / there / name for name in names]
    assert remarks.sentences() == ()


def test_what_lies_outside_the_folder_of_the_others_is_told(tmp_path: Path):
    for name in ("images/0.png", "images/1.png", "more/2.png", "val/3.png"):
        put_picture(tmp_path / name)
    remarks = Remarks()

    found = picture_finder(tmp_path / "train.json").find_all(["0.png", "1.png", "2.png", "/old/val/3.png"], remarks)

    assert found[2:] == [tmp_path / "more/2.png", tmp_path / "val/3.png"]  # a split that the name tells is meant
    assert "found by the end of their names: 2, first 2.png" in remarks.sentences()[0]


def test_one_file_is_not_two_pictures_whose_names_differ_in_their_folders_alone(tmp_path: Path):
    put_picture(tmp_path / "images/0.png")

    one, other = FileFinder([tmp_path / "images"]).find_all(["./0.png", "old/0.png"], Remarks())

    assert one.exists()
    assert not other.exists()


def test_masks_of_the_pictures_names_are_no_pictures(tmp_path: Path):
    put_picture(tmp_path / "panoptic/a.png")
    put_text(tmp_path / "a.json", "{}")

    finder = picture_finder(tmp_path / "a.json", tmp_path / "panoptic")

    assert not finder.find_all(["a.png"], Remarks())[0].exists()


def test_flags_may_be_words():
    assert [to_flag(one) for one in (1, 0, True, None, "True", " no ", "0", "")] == [1, 0, 1, 0, 1, 0, 0, 0]
    with pytest.raises(ValueError, match="'maybe' is neither true nor false"):
        to_flag("maybe")

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexiseg.core.errors import PictureError
from lexiseg.core.picture_files import OVERLAY_MARK, find_pictures, pair_names, unique_names


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "page10.jpg",
        "page2.JPG",
        "page1.png",
        "notes.txt",
        ".hidden.jpg",
        "deep er/cat.png",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(arguments: list[str]) -> list[str]:
    return [path.as_posix() for argument in arguments for path in find_pictures(argument)]


def test_a_folder_gives_its_own_pictures_in_natural_order(album: Path) -> None:
    assert names(["."]) == ["page1.png", "page2.JPG", "page10.jpg"]


def test_a_folder_with_a_space_works(album: Path) -> None:
    assert names(["deep er"]) == ["deep er/cat.png"]


def test_a_quoted_glob_is_expanded_and_takes_pictures_alone(album: Path) -> None:
    assert names(["*"]) == ["page1.png", "page2.JPG", "page10.jpg"]
    assert names(["**/*.png"]) == ["deep er/cat.png", "page1.png"]


def test_a_file_with_brackets_in_its_name_is_a_file_first(album: Path) -> None:
    (album / "cat [1].jpg").touch()

    assert names(["cat [1].jpg"]) == ["cat [1].jpg"]


def test_a_named_file_is_kept_whatever_it_is(album: Path) -> None:
    assert names(["notes.txt", "missing.jpg", "x" * 5000]) == [
        "notes.txt",
        "missing.jpg",
        "x" * 5000,
    ]


@pytest.mark.parametrize("argument", ["*.bmp", "nowhere/*", "empty"])
def test_what_holds_no_picture_is_named_in_the_error(album: Path, argument: str) -> None:
    (album / "empty").mkdir()

    with pytest.raises(PictureError, match="no pictures") as caught:
        find_pictures(argument)

    assert f"'{argument}'" in str(caught.value)


def test_links_to_nothing_are_pictures_whose_opening_tells(album: Path) -> None:
    (album / "deep er" / "link.jpg").symlink_to(album / "gone.jpg")
    (album / "deep er" / "folder.jpg").mkdir()
    os.mkfifo(album / "deep er" / "pipe.jpg")

    assert names(["deep er"]) == names(["deep er/*"]) == ["deep er/cat.png", "deep er/link.jpg"]


def test_folders_inside_are_searched_where_that_is_asked_for(album: Path) -> None:
    for name in ("deep er/still/owl.HEIC", "deep er/.cache/x.png", "out/page1.png", "clip.mp4"):
        (album / name).parent.mkdir(exist_ok=True, parents=True)
        (album / name).touch()
    (album / "deep er" / "loop").symlink_to(album)

    found = find_pictures(".", recursive=True)

    inside = ["deep er/cat.png", "deep er/still/owl.HEIC", "out/page1.png", "page1.png", "page2.JPG", "page10.jpg"]
    assert [path.as_posix() for path in found] == inside
    (album / "empty").mkdir()
    told = r"holds no pictures, results of earlier runs aside; name another one, or its videos \('\*.mp4'\)\.$"
    with pytest.raises(PictureError, match=told):
        find_pictures("empty", recursive=True)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        (".", ["page2.JPG", "deep er/own.png"]),
        ("**/*", ["page2.JPG", "deep er/own.png"]),
        ("*/*.png", ["deep er/own.png"]),
        ("deep er", ["deep er/own.png"]),
        ("deep er/more/*", ["deep er/more/cut.png"]),
        ("page1.png", ["page1.png"]),
    ],
)
def test_results_among_pictures_are_none(album: Path, argument: str, expected: list[str]) -> None:
    for name in ("deep er/own.png", "deep er/more/cut.png"):
        (album / name).parent.mkdir(exist_ok=True, parents=True)
        (album / name).touch()
    results = {Path(): {"page1.png", "page10.jpg"}, Path("deep er"): {"cat.png", "more/cut.png"}}

    found = find_pictures(argument, recursive=True, results_in=lambda folder: results.get(folder, set()))

    assert sorted(map(str, found)) == sorted(expected)


def test_a_pattern_takes_videos_if_it_ends_like_one(album: Path) -> None:
    for name in ("walk.mp4", "page3.MP4", "notes.mov"):
        (album / name).touch()

    assert names(["*.mp4"]) == ["walk.mp4"]
    assert names(["page*"]) == ["page1.png", "page2.JPG", "page10.jpg"]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a/cat.jpg", "a/dog.jpg"], ["cat", "dog"]),
        (["a/cat.jpg", "b/cat.jpg"], ["a-cat", "b-cat"]),
        (["a/cat.jpg", "a/cat.png"], ["cat-jpg", "cat-png"]),
        (["a/Cat.jpg", "b/cat.jpg"], ["a-Cat", "b-cat"]),
        (["x/a/cat.jpg", "y/a/cat.jpg", "cat.jpg"], ["x-a-cat", "y-a-cat", "cat"]),
        (["z/x/a/cat.jpg", "x/a/cat.jpg"], ["x-a-cat", "x-a-cat-2"]),
        (["../cat.jpg", "/a/cat.jpg", "/b/a/cat.jpg"], ["cat", "a-cat", "b-a-cat"]),
        ([f"{'d' * 250}/cat.jpg", "cat.jpg"], ["d" * 180, "cat"]),
        (["a/cat.jpg", "b/cat.jpg", "c/a-cat.jpg"], ["a-cat-2", "b-cat", "a-cat"]),
        (["cat.jpg", "b/cat.jpg"], ["cat", "b-cat"]),
        (["walk.mp4", "walk-000001.png", "owl.mp4"], ["walk-mp4", "walk-000001", "owl"]),
        (["Walk.MOV", "a/walk-0000012.png", "walk-MOV.png"], ["Walk-MOV-2", "walk-0000012", "walk-MOV"]),
    ],
)
def test_names_stay_short_and_differ(paths: list[str], expected: list[str]) -> None:
    assert unique_names([Path(path) for path in paths]) == expected


@pytest.mark.parametrize(
    ("paths", "known", "expected"),
    [
        (["a/cat.png", "a/cat.jpg"], {0: "cat"}, ["cat", "cat-jpg"]),
        (["b/cat.png"], {0: "b-cat"}, ["b-cat"]),
        (["b/cat.png", "a/dog.png"], {0: "dog"}, ["dog", "dog-2"]),
        (["a/cat.png", "b/cat.png"], {1: "Cat", 0: "cat"}, ["a-cat", "Cat"]),
    ],
)
def test_names_that_pictures_have_already_are_kept(
    paths: list[str], known: dict[int, str], expected: list[str]
) -> None:
    assert unique_names([Path(path) for path in paths], known) == expected


@pytest.mark.parametrize("letter", ["x", "猫"])
def test_a_name_leaves_room_for_what_is_put_behind_it(letter: str) -> None:
    names = unique_names([Path(letter * (250 // len(letter.encode())) + ending) for ending in (".jpg", ".png")])

    assert len(set(names)) == 2
    assert all(100 < len(name.encode()) < 200 for name in names)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "a", "b", "x/a", "cat"]),
            st.sampled_from(
                [
                    "cat",
                    "Cat",
                    "a-cat",
                    "cat-2",
                    "cat-jpg",
                    "猫",
                    "...",
                    "cat.overlay",
                    "Cat.Overlay",
                    "cat-overlay",
                    "cat.overlay.overlay",
                ]
            ),
            st.sampled_from(["", ".jpg", ".png", ".JPG"]),
        ),
        unique=True,
        max_size=12,
    )
)
def test_no_two_outputs_ever_share_a_name(parts: list[tuple[str, str, str]]) -> None:
    paths = [Path(folder) / f"{stem}{suffix}" for folder, stem, suffix in parts]

    found = unique_names(paths)

    outputs = {f"{name}{mark}.png".casefold() for name in found for mark in ("", OVERLAY_MARK)}
    assert len(outputs) == 2 * len(paths)
    assert all(name and "/" not in name for name in found)


def test_twenty_thousand_pictures_of_one_name_are_named_at_once() -> None:
    names = unique_names([Path(f"{folder}/in/cat.jpg") for folder in range(20_000)])  # a minute, if each looks at all

    assert names[:2] == ["0-in-cat", "1-in-cat"]
    assert unique_names([Path(f"{folder}/a/in/cat.jpg") for folder in range(20_000)])[1] == "a-in-cat-2"
    assert len(set(names)) == 20_000


def test_names_of_one_picture_are_paired_by_the_most_that_they_share() -> None:
    truth = ("a/1.png", "b/1.png", "b/2.jpg", "3.JPG", "4.png", "5.png")

    found = pair_names(("x/b/2.jpg", "b/1.png", "C:\\data\\3.jpg", "4.tif", "y/5.png", "z/5.png", "6.png"), truth)

    assert found == {"b/1.png": "b/1.png", "x/b/2.jpg": "b/2.jpg", "C:\\data\\3.jpg": "3.JPG", "4.tif": "4.png"}


def test_a_circle_of_links_is_a_picture_that_cannot_be_reached(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    for path in (tmp_path / "loop", tmp_path / "loop" / "cat.png"):
        assert find_pictures(str(path)) == [path]

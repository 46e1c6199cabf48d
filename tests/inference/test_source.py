"""Everything that a picture can come from is one source."""

import io
import re
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lexiseg.core.errors import PictureError
from lexiseg.core.structures import PanopticMap
from lexiseg.inference.predictor import Model
from lexiseg.inference.source import Item, Source, item_of, items_of
from lexiseg.inference.video import write_video
from picture_server import answer, serving
from walks import draw_walk, map_of

WORDS = "cat, dog, sky:stuff"


def png(red: int) -> bytes:
    """A picture of eight by six pixels of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (red, 0, 0)).save(buffer, format="PNG")
    return buffer.getvalue()


def red_of(item: Item) -> int:
    return int(item.open()[0, 0, 0])


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with pictures, which are told apart by their colours."""
    for red, name in enumerate(("a.png", "b.jpg.png", "in/a.png", "in/deep/c.png", "walk-000003.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(png(red))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def walk(album: Path) -> Path:
    """A video of ten frames, each brighter than the one before."""
    write_video(album / "walk.mp4", (Image.new("RGB", (32, 32), (20 * n,) * 3) for n in range(10)), Fraction(5))
    return album / "walk.mp4"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> "Typed":
    """Puts bytes on the standard input."""

    def _typed(content: bytes, *, is_terminal: bool = False) -> None:
        stream = io.TextIOWrapper(io.BytesIO(content))
        monkeypatch.setattr(stream, "isatty", lambda: is_terminal)
        monkeypatch.setattr(sys, "stdin", stream)

    return _typed


class Typed:
    """What the fixture `typed` is."""

    def __call__(self, content: bytes, *, is_terminal: bool = False) -> None: ...


def shown(source: Source) -> dict[str, str]:
    """What the items of a source are called, by the names of their files."""
    return {item.name: item.shown for item in source.items()}


# What is typed


def test_files_folders_and_patterns_are_one_source(album: Path) -> None:
    source = Source.of(["in/*.png", ".", "gone.png", "in/a.png"])

    assert shown(source) == {
        "in-a": "in/a.png",
        "a": "a.png",
        "b.jpg": "b.jpg.png",
        "walk-000003": "walk-000003.png",
        "gone": "gone.png",
    }
    assert source.identity_of("in-a") == str((album / "in" / "a.png").resolve())
    assert source.identity_of("c") is None
    assert source.count() == 5


def test_what_is_named_twice_keeps_its_first_place(album: Path) -> None:
    source = Source.of(["b.jpg.png", ".", str(album / "a.png"), "in/../walk-000003.png"])

    assert list(shown(source).values()) == ["b.jpg.png", "a.png", "walk-000003.png"]


def test_pictures_and_videos_keep_the_names_that_they_have(album: Path, walk: Path) -> None:
    (album / "link.png").symlink_to("b.jpg.png")
    earlier = [
        (str(album.resolve() / "in" / "a.png"), "old"),
        (f"{walk.resolve()}#8", "film-000008"),
        (str(album.resolve() / "b.jpg.png"), "link"),
        ("/elsewhere.png", "a"),
    ]

    source = Source.of(["a.png", "in/a.png", "walk.mp4", "b.jpg.png", "link.png"], every=8, earlier=iter(earlier))

    assert list(shown(source)) == ["a", "old", "film-000000", "film-000008", "b.jpg", "link"]


def test_a_list_names_paths_beside_itself_and_addresses(album: Path) -> None:
    lines = ("# what we like", "", "a.png", "  deep/c.png  ", "http://127.0.0.1:1/x/owl.png", "/nowhere/z.png", "a.png")
    (album / "in" / "List.TXT").write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")

    assert shown(Source.of(["in/List.TXT"])) == {
        "a": "in/a.png",
        "c": "in/deep/c.png",
        "owl": "http://127.0.0.1:1/x/owl.png",
        "z": "/nowhere/z.png",
    }


def test_what_a_list_names_wrongly_is_found_out_in_its_turn(album: Path) -> None:
    (album / "empty").mkdir()
    (album / "list.txt").write_text("list.txt\nempty\n*.bmp\n-\nzero\0byte.png\na.png")

    opened, told = [], []
    for item in Source.of(["list.txt"]).items():
        try:
            opened.append(red_of(item))
        except PictureError as error:
            told.append(str(error))

    assert opened == [0]
    assert [part in sentence for part, sentence in zip(("is not a pic", "folder", *["exist"] * 3), told, strict=True)]
    assert "'list.txt' is not a picture that can be read" in told[0]


def test_a_list_names_folders_and_patterns_beside_itself(album: Path) -> None:
    album = album.rename(album.with_name("[1] album"))
    (album / "in" / "list.txt").write_text("deep\n*.png\n", encoding="utf-8")

    found = shown(Source.of([album / "in" / "list.txt"])).values()

    assert [Path(path).relative_to(album).as_posix() for path in found] == ["in/deep/c.png", "in/a.png"]


@pytest.mark.parametrize(
    ("content", "part"),
    [(b"", "names no pictures"), (b"# nothing\n\n", "names no pictures"), (b"\xff\xfe\x00", "can't be read")],
)
def test_a_list_without_a_use_is_refused(album: Path, content: bytes, part: str) -> None:
    (album / "list.txt").write_bytes(content)

    with pytest.raises(PictureError, match=f"the list 'list.txt' {part}"):
        Source.of(["a.png", "list.txt"])


def test_a_list_that_is_too_large_is_not_read(album: Path) -> None:
    with (album / "list.txt").open("wb") as file:
        file.truncate(10**12)

    with pytest.raises(PictureError, match="is no list"):
        Source.of(["list.txt"])


def test_half_an_address_is_told_in_its_turn(album: Path) -> None:
    half, fine = Source.of(["http://[::1", "a.png"]).items()

    assert red_of(fine) == 0
    with pytest.raises(PictureError, match=r"'http://\[::1' "):
        half.open()


def test_an_address_is_fetched_when_its_turn_comes(album: Path) -> None:
    with serving({"/x/owl.png": answer(png(9)), "/x": answer(b"no", "text/html")}) as (server, asked):
        source = Source.of([f"{server}/x/owl.png", f"{server}/x", f"{server}/x/owl.png"])
        items = list(source.items())
        assert asked == []

        assert red_of(items[0]) == 9
        with pytest.raises(PictureError, match="is no picture but"):
            items[1].open()

        assert red_of(item_of(f"{server}/x/owl.png")) == 9
        with pytest.raises(PictureError, match=r"'s3://b/a\.png' is no http\(s\) address"):
            item_of("s3://b/a.png").open()

    assert [item.name for item in items] == ["owl", "x"]
    assert [item.name for item in items_of(f"{server}/x/owl.png")] == [item_of(f"{server}/x/owl.png").name] == ["owl"]
    assert source.identity_of("owl") == f"{server}/x/owl.png"
    assert items[0].source is None


def test_addresses_with_other_queries_keep_their_names_in_any_order() -> None:
    addresses = [f"http://127.0.0.1:1/show?id={number}" for number in range(3)]

    names = {item.shown: item.name for item in Source.of(addresses).items()}

    assert names == {item.shown: item.name for item in Source.of(addresses[::-1]).items()}
    assert all(re.fullmatch("[0-9a-f]{6}-show", name) for name in names.values())


def test_a_picture_on_the_standard_input_has_a_name_and_an_identity(typed: Typed) -> None:
    identities = set()
    for red in (7, 8, 7):
        typed(png(red))
        source = Source.of(["-", "-"]) if red == 8 else Source.of(["-"])
        (item,) = source.items()
        assert (item.name, item.shown, red_of(item)) == ("stdin", "-", red)
        identities.add(source.identity_of("stdin"))

    assert len(identities) == 2


def test_an_empty_or_endless_standard_input_is_a_sentence(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lexiseg.inference.source.MOST_BYTES", 1000)
    for content, part in ((b"", "is empty (0 bytes)"), (bytes(2000), "is too large (the limit is 1,000 bytes)")):
        typed(content)
        (item,) = Source.of(["-"]).items()
        with pytest.raises(PictureError) as caught:
            item.open()
        assert part in str(caught.value)

    typed(b"", is_terminal=True)
    with pytest.raises(PictureError, match="there is none; pipe one into the command"):
        Source.of(["-"])


def test_a_video_has_an_item_for_every_frame_that_is_taken(walk: Path) -> None:
    source = Source.of(["walk.mp4"], every=4)
    items = list(source.items())

    assert [(item.name, item.shown) for item in items] == [
        (f"walk-{number:06d}", f"walk.mp4#{number}") for number in (0, 4, 8)
    ]
    assert [abs(red_of(item) - 80 * place) < 12 for place, item in enumerate(items)] == [True] * 3
    assert source.identity_of("walk-000123") == f"{walk.resolve()}#123"
    assert source.identity_of("walk") is source.identity_of("walk-12") is None
    assert source.count() == 3


def test_names_of_frames_are_no_names_of_pictures(walk: Path) -> None:
    found = shown(Source.of(["walk-000003.png", "walk.mp4"], every=9))

    assert found == {"walk-000003": "walk-000003.png", "walk-mp4-000000": "walk.mp4#0", "walk-mp4-000009": "walk.mp4#9"}


def test_a_video_that_cannot_be_read_is_an_item_that_says_so(walk: Path) -> None:
    walk.write_bytes(b"no video")
    source = Source.of(["walk.mp4", "a.png"])
    broken, fine = source.items()

    assert source.count() == 2
    assert red_of(fine) == 0
    with pytest.raises(PictureError, match=r"'walk\.mp4' is no video that can be read"):
        broken.open()


def test_what_is_finished_is_left_out_and_ids_go_on_from_it(walk: Path) -> None:
    scenes = draw_walk(0, frames=10)
    whole = {item.name: item for item in Source.of(["walk.mp4"]).items()}
    maps = {name: follow(item, scene.truth) for (name, item), scene in zip(whole.items(), scenes, strict=True)}
    finished = [name for name in maps if not name.endswith(("3", "8", "9"))]

    def earlier() -> Iterator[tuple[str, Callable[[], PanopticMap]]]:
        yield "a", lambda: pytest.fail("no frame")
        yield "other-000001", lambda: pytest.fail("another video's")
        yield from ((name, partial(maps.__getitem__, name)) for name in finished)

    rest = {item.name: item for item in Source.of(["walk.mp4", "a.png"]).items([*finished, "a"], earlier)}

    assert list(rest) == ["walk-000003", "walk-000008", "walk-000009"]
    for name, item in rest.items():
        again = follow(item, scenes[int(name[-6:])].truth)
        np.testing.assert_array_equal(again.segmentation, maps[name].segmentation)


def follow(item: Item, truth: PanopticMap) -> PanopticMap:
    """The map of a frame, whose ids count down as those of no other one."""
    assert item.follow is not None
    number = 100 + int(item.name[-6:])
    ids = np.where(truth.segmentation > 0, number - truth.segmentation, 0)
    return item.follow(
        map_of(ids, {number - segment.id: (segment.name, segment.is_thing) for segment in truth.segments})
    )


def test_nothing_at_all_is_refused() -> None:
    with pytest.raises(PictureError, match="no picture was given"):
        Source.of([])


# What is given from Python


def test_one_picture_of_any_kind_is_a_source(album: Path) -> None:
    array = np.full((6, 8, 3), 5, np.uint8)
    image = Image.fromarray(array)

    for picture, name in (("a.png", "a"), (Path("a.png"), "a"), (png(0), "picture")):
        assert [(item.name, item.given, red_of(item)) for item in items_of(picture)] == [(name, picture, 0)]
    for picture in (array, image, array[..., 0], image.convert("RGBA")):
        assert [red_of(item) for item in items_of(picture)] == [5]


def test_iterables_hold_all_of_these_and_may_be_endless(album: Path, walk: Path) -> None:
    def endless() -> Iterator[object]:
        yield from ("in", np.zeros((2, 6, 8, 3), np.uint8)[0], "walk.mp4", b"")
        while True:
            yield "a.png"

    items = list(islice(items_of(endless(), recursive=True, every=5), 7))

    assert [item.name for item in items] == [
        "a",
        "c",
        "picture-000001",
        "walk-000000",
        "walk-000005",
        "picture-000003",
        "a",
    ]
    stack = np.arange(4, dtype=np.uint8)[:, None, None, None].repeat(6, 1).repeat(8, 2).repeat(3, 3)
    assert (
        [red_of(item) for item in items_of(stack)] == [red_of(item) for item in items_of(list(stack))] == [0, 1, 2, 3]
    )


def test_an_array_with_its_channels_first_is_no_stack_of_three() -> None:
    (item,) = items_of(np.zeros((3, 6, 8), np.uint8))

    with pytest.raises(PictureError, match="move the channels to the end"):
        item.open()
    assert len(list(items_of(np.zeros((5, 6, 8), np.uint8)))) == 5
    assert len(list(items_of(np.zeros((3, 6, 4), np.uint8)))) == 1


def test_a_mistake_in_an_iterable_is_told_in_its_turn_with_what_was_given(tiny: Model, album: Path) -> None:
    (album / "empty").mkdir()
    bad = ["gone.png", Path("empty"), "*.bmp", np.zeros((6, 8, 2), np.uint8), b"no picture", "in/nowhere.txt"]
    told: list[object] = []

    found = list(tiny.segment_many(iter(["a.png", *bad, "in"]), WORDS, on_error=lambda given, _: told.append(given)))

    assert [result.name for result in found] == ["a", "a"]
    assert all(one is other for one, other in zip(told, bad, strict=True))
    with pytest.raises(ValueError, match="every must be positive, got 0"):
        tiny.segment_many("a.png", WORDS, every=0)


def test_a_video_is_segmented_frame_by_frame(tiny: Model, walk: Path) -> None:
    settings = {"score_threshold": 0.0, "negatives": False}

    found = list(tiny.segment_many("walk.mp4", WORDS, every=2, batch_size=2, **settings))

    assert [result.name for result in found] == [f"walk-{number:06d}" for number in range(0, 10, 2)]
    assert {result.source for result in found} == {Path("walk.mp4")}
    stuff = {segment.id for result in found for segment in result.segments if not segment.is_thing}
    assert len(stuff) <= 1
    for result in found:
        assert {segment.id for segment in result.segments} == set(np.unique(result.segmentation)) - {0}


def test_memory_does_not_grow_with_the_number_of_pictures(album: Path) -> None:
    Image.effect_noise((200, 200), 50).save(album / "a.png")
    peaks = []
    for count in (5, 100):
        tracemalloc.start()
        sizes = [item.open().size for item in items_of("a.png" for _ in range(count))]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(sizes) == count

    assert peaks[1] < peaks[0] + 100_000  # a picture has 120,000 bytes

"""Frames of videos, also of broken and of hostile ones."""

import sys
import tracemalloc
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lexiseg.core.errors import PictureError
from lexiseg.inference import video
from lexiseg.inference.video import facts_of, frames_of, write_video

av = pytest.importorskip("av")


def striped(number: int, height: int = 48, width: int = 64) -> Image.Image:
    """A picture with a white stripe that moves to the right, a pixel a frame."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, number % width : number % width + 8] = 255
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of thirty frames."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_video(path, map(striped, range(30)), Fraction(10))
    return path


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of thirty frames that have nothing in common, so that each of them has some thousand bytes."""
    path, rng = tmp_path_factory.mktemp("noise") / "noise.mp4", np.random.default_rng(0)
    frames = (Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8)) for _ in range(30))
    write_video(path, frames, Fraction(10))
    return path


def remuxed(source: Path, target: Path, **options: str) -> Path:
    """The same video in another container, or written in another way."""
    with av.open(str(source)) as read, av.open(str(target), "w", options=options) as written:
        stream = read.streams.video[0]
        copy = written.add_stream_from_template(stream)
        for packet in read.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                written.mux(packet)
    return target


def told(path: Path) -> tuple[int, str]:
    """How many frames open, and the sentence with which the video ends."""
    opened, frames = 0, frames_of(path)

    def open_all() -> None:
        nonlocal opened
        for frame in frames:
            with suppress(PictureError):  # of the one that is cut in two
                frame.open()
                opened += 1

    with pytest.raises(PictureError) as caught:
        open_all()
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert path.name in sentence
    return opened, sentence


def test_frames_come_in_their_order_with_their_numbers(film: Path) -> None:
    frames = [(frame.number, frame.open()) for frame in frames_of(film)]

    assert [number for number, _ in frames] == list(range(30))
    for number, picture in frames:
        assert picture.shape == (48, 64, 3)
        assert picture.flags.c_contiguous
        assert abs(picture[24, :, 1].argmax() - number) <= 1
    facts = facts_of(film)
    assert (facts.num_frames, facts.rate) == (30, 10)


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_other_containers_have_the_same_frames(film: Path, tmp_path: Path, suffix: str) -> None:
    path = remuxed(film, tmp_path / f"film{suffix}")

    assert [frame.open().shape for frame in frames_of(path)] == [(48, 64, 3)] * 30
    assert facts_of(path).num_frames == 30


def test_a_video_that_was_filmed_upright_is_upright(film: Path, tmp_path: Path) -> None:
    content = film.read_bytes()
    lying = bytes.fromhex("00010000 00000000 00000000 00000000 00010000 00000000 00000000 00000000 40000000")
    turned = bytes.fromhex("00000000 00010000 00000000 ffff0000 00000000 00000000 00000000 00000000 40000000")
    place = content.index(lying, content.index(b"tkhd"))
    path = tmp_path / "upright.mp4"
    path.write_bytes(content[:place] + turned + content[place + len(lying) :])

    first, flat = (next(frames_of(one)).open() for one in (path, film))

    np.testing.assert_array_equal(first, np.rot90(flat, -1))


def test_a_video_that_is_cut_off_gives_what_is_there_and_says_so(noise: Path, tmp_path: Path) -> None:
    for path in (remuxed(noise, tmp_path / "cut.mp4", movflags="faststart"), remuxed(noise, tmp_path / "cut.mkv")):
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])

        opened, sentence = told(path)

        assert 0 < opened < 30
        assert "breaks off after" in sentence
        assert "of about 30 frames" in sentence


def test_a_video_without_its_list_of_frames_is_no_video(film: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.mp4"
    path.write_bytes(film.read_bytes()[: film.stat().st_size // 2])  # the list lies at the end

    assert told(path)[1].startswith(f"'{path}' is no video that can be read")


def test_a_damaged_frame_does_not_cost_those_behind_it(noise: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.mp4"
    content = bytearray(noise.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8000] = np.random.default_rng(0).bytes(8000)
    path.write_bytes(content)

    frames, damaged = list(frames_of(path)), []
    for frame in frames:
        try:
            frame.open()
        except PictureError as error:
            damaged.append(str(error))

    assert [frame.number for frame in frames] == list(range(30))
    assert 1 <= len(damaged) < 10
    assert all("is damaged; copy or download the video again." in sentence for sentence in damaged)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no video at all",
        b"ffconcat version 1.0\nfile film.mp4\n",
        b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:1/x.ts\n#EXT-X-ENDLIST\n",
    ],
    ids=["nothing", "text", "a list of other files", "a list of addresses"],
)
def test_what_is_no_video_is_refused_and_opens_nothing_else(film: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "film.mp4").write_bytes(film.read_bytes())
    (tmp_path / "evil.mp4").write_bytes(content)

    assert "is no video that can be read" in told(tmp_path / "evil.mp4")[1]


def test_a_video_that_is_missing_a_folder_or_sound_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux([*stream.encode(frame), *stream.encode()])

    assert "can't be read (No such file or directory)" in told(tmp_path / "gone.mp4")[1]
    assert "it is a folder" in told(tmp_path / "folder.mp4")[1]
    assert "has sound and no pictures" in told(tmp_path / "sound.mp4")[1]


def test_a_video_of_huge_frames_is_refused_before_they_are_decoded(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "MOST_PIXELS", 1000)

    assert told(film) == (0, f"'{film}' is too large (64 x 48, the limit is 1,000 pixels); make it smaller first.")


def test_without_pyav_a_sentence_says_what_opens_videos(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)

    assert "pip install 'lexiseg[video]'" in told(film)[1]


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path: Path) -> None:
    peaks = []
    for count in (10, 200):
        path = tmp_path / f"{count}.mp4"
        write_video(path, (striped(number, 120, 160) for number in range(count)), Fraction(25))
        tracemalloc.start()
        shown = [frame.open().sum() > 0 for frame in frames_of(path)]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(shown) == count

    assert peaks[1] < peaks[0] + 20_000  # a frame has 57,600 bytes


def test_pictures_of_odd_and_of_other_sizes_become_one_video(tmp_path: Path) -> None:
    path = tmp_path / "odd.mp4"

    write_video(path, [striped(0, 47, 63), striped(1, 30, 30)], Fraction(100_000))

    assert [frame.open().shape for frame in frames_of(path)] == [(48, 64, 3)] * 2


def test_a_video_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken.mp4").mkdir()

    with pytest.raises(ValueError, match=r"taken.mp4' can't be written"):
        write_video(tmp_path / "taken.mp4", map(striped, range(3)), Fraction(10))

    assert [path.name for path in tmp_path.iterdir()] == ["taken.mp4"]

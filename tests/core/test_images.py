import io
import struct
import sys
import threading
import warnings
import zlib
from inspect import unwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from lexiseg.core.errors import PictureError
from lexiseg.core.images import FORMATS, open_picture, size_of


def photograph(width: int = 64, height: int = 48) -> Image.Image:
    """A smooth picture, red to the right and green downwards."""
    rows, columns = np.mgrid[0:height, 0:width]
    red, green = columns * 255 // max(1, width - 1), rows * 255 // max(1, height - 1)
    return Image.fromarray(np.stack([red, green, 255 - red], axis=-1).astype(np.uint8))


def png_header(width: int, height: int) -> bytes:
    """A 1-bit PNG that claims a size and holds no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def refusal(source: object, **options: int) -> str:
    """The one sentence with which a picture is refused."""
    with pytest.raises(PictureError) as caught:
        unwrap(open_picture)(source, **options)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


# What must be refused


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    assert "gone.jpg' does not exist" in refusal(tmp_path / "gone.jpg")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "is a folder" in refusal(tmp_path)


def test_text_named_jpg_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.jpg").write_text("Dear picture, " * 100)

    assert "letter.jpg' is not a picture" in refusal(tmp_path / "letter.jpg")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".gif", ".bmp"])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    path = tmp_path / f"cut{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    assert f"cut{suffix}' is" in refusal(path)


def test_zero_bytes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()

    assert "empty (0 bytes)" in refusal(tmp_path / "empty.png")


@pytest.mark.parametrize("side", [11_000, 30_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(side, side))  # decoding would fail with "damaged": there is no data

    assert "bomb.png' is too large" in refusal(path)


@pytest.mark.parametrize("kind", FORMATS)
def test_no_format_is_decoded_before_its_size_is_known(kind: str) -> None:
    buffer = io.BytesIO()
    photograph().save(buffer, kind)

    with Image.open(buffer) as opened:
        assert opened.size == (64, 48)
        assert opened._im is None


def test_an_icon_which_pillow_decodes_at_once_is_refused() -> None:
    buffer = io.BytesIO()
    photograph().save(buffer, "ICO", sizes=[(64, 48)])

    assert "is not a picture that can be read" in refusal(buffer.getvalue())


def test_the_limit_on_pixels_is_an_argument() -> None:
    assert "the limit is 100 pixels" in refusal(photograph(11, 10), max_pixels=100)
    assert open_picture(photograph(10, 10), max_pixels=100).shape == (10, 10, 3)


def test_postscript_is_never_handed_to_an_interpreter(tmp_path: Path) -> None:
    photograph().save(tmp_path / "drawing.eps")

    assert "is not a picture" in refusal(tmp_path / "drawing.eps")


@pytest.mark.parametrize("name", ["line\nbreak.jpg", "x" * 5000, "null\0byte"])
def test_a_strange_name_makes_one_short_line(name: str) -> None:
    assert len(refusal(Path(name))) < 300


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((8, 8, 2), np.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros(8, np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.int64),
        np.zeros((8, 8), bool),
        np.full((8, 8, 3), 255.0),
        np.full((8, 8, 3), -0.1),
        np.full((8, 8, 3), np.nan),
    ],
)
def test_a_wrong_array_is_refused(array: np.ndarray) -> None:
    assert "array" in refusal(array)


def test_something_else_is_refused_with_its_type() -> None:
    assert "got int" in refusal(7)


@given(
    damage=st.integers(0, 2**32 - 1),
    cut=st.integers(0, 100),
    kind=st.sampled_from(["JPEG", "PNG", "GIF"]),
)
def test_damaged_bytes_end_in_a_picture_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, damage: int, cut: int, kind: str
) -> None:
    buffer = io.BytesIO()
    photograph().save(buffer, kind)
    data = np.frombuffer(buffer.getvalue(), np.uint8).copy()
    noise = np.random.default_rng(damage)
    data[noise.integers(0, len(data), 5)] = noise.integers(0, 256, 5)
    path = tmp_path_factory.mktemp("damaged") / "picture"
    path.write_bytes(data[: len(data) * cut // 100].tobytes())

    try:
        picture = open_picture(path)
    except PictureError as error:
        sentence = str(error)
        assert "picture'" in sentence
    else:
        assert picture.dtype == np.uint8


# What must work


def test_a_png_gives_its_own_bytes(tmp_path: Path) -> None:
    photograph().save(tmp_path / "a folder.png")

    picture = open_picture(str(tmp_path / "a folder.png"))

    assert np.array_equal(picture, np.asarray(photograph()))
    assert picture.flags.writeable
    assert picture.flags.c_contiguous


@pytest.mark.parametrize("size", [(1, 1), (20_000, 50), (50, 20_000)])
def test_extreme_sizes_work(tmp_path: Path, size: tuple[int, int]) -> None:
    photograph(*size).save(tmp_path / "p.png")

    assert open_picture(tmp_path / "p.png").shape == (size[1], size[0], 3)


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr", "CMYK", "HSV", "LA", "RGBA", "PA", "La", "RGBa"])
def test_every_common_mode_looks_like_the_picture(mode: str) -> None:
    source = photograph()
    converted = {"P": lambda: source.quantize(64), "PA": lambda: source.quantize(64).convert("PA")}
    if mode in ("La", "RGBa"):
        image = source.convert({"La": "LA", "RGBa": "RGBA"}[mode]).convert(mode)
    else:
        image = converted.get(mode, lambda: source.convert(mode))()

    picture = open_picture(image)

    grey = mode in ("1", "L", "LA", "La")
    expected = np.asarray(source.convert("L").convert("RGB") if grey else source)
    difference = abs(picture.astype(int).mean((0, 1)) - expected.astype(int).mean((0, 1)))
    assert picture.shape == (48, 64, 3)
    assert difference.max() < 8


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    rgba = np.zeros((2, 3, 4), np.uint8)
    rgba[:, 0] = (200, 0, 0, 255)
    rgba[:, 1] = (200, 0, 0, 0)
    rgba[:, 2] = (0, 0, 0, 127)
    Image.fromarray(rgba).save(tmp_path / "p.png")

    row = open_picture(tmp_path / "p.png")[0]

    assert row.tolist() == [[200, 0, 0], [255, 255, 255], [128, 128, 128]]
    assert np.array_equal(open_picture(rgba)[0], row)


def test_a_transparent_palette_entry_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "index.png", transparency=0)
    image.save(tmp_path / "bytes.png", transparency=b"\x00\xff")
    image.save(tmp_path / "index.gif", transparency=0)

    for path in sorted(tmp_path.iterdir()):
        assert open_picture(path).tolist() == [[[255, 255, 255], [40, 50, 60]]]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 257, 257 * 100, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"p{suffix}")

    assert open_picture(tmp_path / f"p{suffix}")[0, :, 0].tolist() == [0, 1, 100, 255]


def test_thirty_two_bit_numbers_without_a_white_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 1_000_000]], np.int32)).save(tmp_path / "depth.tif")

    assert "white is unknown" in refusal(tmp_path / "depth.tif")


def test_a_floating_point_tiff_is_read(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)).save(tmp_path / "p.tif")

    assert open_picture(tmp_path / "p.tif")[0, :, 1].tolist() == [0, 128, 255]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path: Path, suffix: str, orientation: int) -> None:
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :16] = 255  # white top left corner
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }  # how the camera stored it
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](upright)))
    stored.save(tmp_path / f"p{suffix}", exif=exif, **({"quality": 95} if suffix != ".png" else {}))

    picture = open_picture(tmp_path / f"p{suffix}")

    assert picture.shape == upright.shape
    assert abs(picture.astype(int) - upright).max() < 40


def test_damaged_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    photograph().save(tmp_path / "p.jpg", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\xff\x01")

    assert open_picture(tmp_path / "p.jpg").shape == (48, 64, 3)


def test_a_pillow_image_is_not_changed() -> None:
    image = photograph()
    before = image.tobytes()

    open_picture(image)[:] = 0

    assert image.tobytes() == before


def test_an_array_is_copied() -> None:
    array = np.asarray(photograph()).copy()

    open_picture(array)[:] = 0

    assert np.array_equal(array, np.asarray(photograph()))


@given(height=st.integers(1, 5), width=st.integers(1, 5), seed=st.integers(0, 999), flip=st.booleans())
def test_the_same_picture_comes_from_bytes_and_from_floats(height: int, width: int, seed: int, flip: bool) -> None:
    array = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    array = array[::-1, ::-1] if flip else array

    assert np.array_equal(open_picture(array), array)
    assert np.array_equal(open_picture(array / 255), array)
    assert np.array_equal(open_picture((array / 255).astype(np.float32)), array)


def test_a_grey_array_has_three_equal_channels() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)

    assert np.array_equal(open_picture(grey), np.repeat(grey[..., None], 3, axis=2))


def test_nothing_global_in_pillow_or_warnings_changes(tmp_path: Path) -> None:
    photograph().save(tmp_path / "p.png")
    (tmp_path / "bomb.png").write_bytes(png_header(30_000, 30_000))
    before = Image.MAX_IMAGE_PIXELS, list(warnings.filters)

    def work() -> None:
        for _ in range(20):
            open_picture(tmp_path / "p.png")
            refusal(tmp_path / "bomb.png")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 60}])
def test_pictures_compressed_like_photographs_open_close_to_what_they_were(
    tmp_path: Path, np_rng: np.random.Generator, options: dict[str, object]
) -> None:
    """A soft landscape as a camera would store it; the next test opens true ones, where the shared data is."""
    coarse = Image.fromarray(np_rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    soft = coarse.resize((320, 240), Image.Resampling.BICUBIC)
    soft.save(tmp_path / "camera.jpg", **{"quality": 92, **options})

    found = open_picture(tmp_path / "camera.jpg")

    assert found.shape == (240, 320, 3)
    assert found.std() > 5
    assert np.abs(found.astype(int) - np.asarray(soft)).mean() < 4


def test_real_photographs_open(shared: Path) -> None:
    photographs = sorted((shared / "real").rglob("*.jpg"))[:3]
    assert photographs

    for path in photographs:
        assert open_picture(path).std() > 5


def test_bytes_of_a_file_are_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(np.arange(24, dtype=np.uint8).reshape(2, 4, 3)).save(path)

    np.testing.assert_array_equal(open_picture(path.read_bytes()), open_picture(path))


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "the picture is empty"), (b"no picture", "the picture is not a picture that can be")]
)
def test_bytes_that_are_no_picture_are_refused(content: bytes, reason: str) -> None:
    with pytest.raises(PictureError, match=reason):
        open_picture(content)


def test_messages_call_bytes_as_they_are_told() -> None:
    assert "what came from afar is empty" in refusal_of_bytes(b"", called="what came from afar")


def refusal_of_bytes(content: bytes, *, called: str) -> str:
    with pytest.raises(PictureError) as caught:
        open_picture(content, called=called)
    return str(caught.value)


# Photographs of telephones


def heic(path: Path, *images: Image.Image, primary: int = 0, **options: object) -> Path:
    """Writes an HEIF file of one or more pictures."""
    heif = pytest.importorskip("pillow_heif")
    file = heif.from_pillow(images[0])
    for image in images[1:]:
        file.add_from_pillow(image)
    file.save(path, quality=90, primary_index=primary, **options)
    return path


def test_a_heic_photograph_opens_upright_and_nothing_is_registered_with_pillow(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    flat, turned = heic(tmp_path / "flat.heic", photograph()), tmp_path / "turned.heif"
    heic(turned, photograph(), exif=exif.tobytes())

    found = open_picture(flat)

    assert np.abs(found.astype(int) - np.asarray(photograph())).mean() < 4
    np.testing.assert_array_equal(open_picture(flat.read_bytes()), found)
    assert open_picture(turned).shape == (64, 48, 3)
    assert (size_of(flat), size_of(turned)) == ((48, 64), (64, 48))
    assert "HEIF" not in Image.OPEN


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "JPEG2000", "MPO", "HEIF"])
def test_the_header_tells_the_size_of_a_turned_picture(tmp_path: Path, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned"
    if form == "HEIF":
        heic(path, photograph(), exif=exif.tobytes())
    elif form == "MPO":
        photograph().save(path, format=form, save_all=True, append_images=[photograph()], exif=exif)
    else:
        photograph().save(path, format=form, exif=exif)

    assert size_of(path) == open_picture(path).shape[:2]
    assert size_of(path) == (64, 48) or form == "JPEG2000"


def test_a_heic_photograph_says_what_opens_it_where_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = heic(tmp_path / "p.heic", photograph())
    monkeypatch.setitem(sys.modules, "pillow_heif", None)

    sentence = refusal(path)

    assert "p.heic' is an HEIC photograph" in sentence
    assert "pip install 'lexiseg[heif]'" in sentence
    assert size_of(path) is None


@pytest.mark.parametrize("side", [30_000, 11_000, 20])
def test_a_heic_that_lies_about_its_size_is_refused(tmp_path: Path, side: int) -> None:
    path = heic(tmp_path / "p.heic", photograph())
    content = path.read_bytes()
    place = content.index(b"ispe") + 8
    path.write_bytes(content[:place] + struct.pack(">II", side, side) + content[place + 8 :])

    assert "p.heic' is" in refusal(path)


@given(damage=st.integers(0, 2**32 - 1), cut=st.integers(0, 100))
def test_a_damaged_heic_ends_in_a_picture_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, damage: int, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    data = np.frombuffer(heic(folder / "whole.heic", photograph()).read_bytes(), np.uint8).copy()
    noise = np.random.default_rng(damage)
    data[noise.integers(12, len(data), 5)] = noise.integers(0, 256, 5)
    path = folder / "picture"
    path.write_bytes(data[: len(data) * cut // 100].tobytes())

    try:
        picture = open_picture(path)
    except PictureError as error:
        sentence = str(error)
        assert "picture'" in sentence
    else:
        assert picture.dtype == np.uint8


# Files with several frames or pages


@pytest.mark.parametrize("suffix", [".gif", ".tif", ".mpo", ".webp", ".png", ".avif"])
def test_a_file_with_several_frames_says_once_which_one_was_taken(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    path, single = tmp_path / f"two{suffix}", tmp_path / f"one{suffix}"
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    frames[0].save(single)

    for _ in range(2):
        assert (open_picture(path)[24, 32] // 128).tolist() == [1, 0, 0]
        open_picture(single)

    (record,) = caplog.records
    assert record.name == "lexiseg"
    assert f"two{suffix}' holds several frames or pages; the first one was taken." in record.getMessage()


def test_the_main_picture_of_a_heif_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = heic(
        tmp_path / "burst.heic", Image.new("RGB", (64, 48), "red"), Image.new("RGB", (64, 48), "blue"), primary=1
    )

    assert (open_picture(path)[24, 32] // 128).tolist() == [0, 0, 1]
    assert "burst.heic' holds several frames or pages; the main one was taken." in caplog.text


def test_of_three_hundred_pages_one_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [Image.new("L", (8, 8), page % 256) for page in range(300)]
    pages[0].save(tmp_path / "book.tif", save_all=True, append_images=pages[1:])
    decoded: list[int] = []
    load = TiffImageFile.load
    monkeypatch.setattr(TiffImageFile, "load", lambda self: decoded.append(self.tell()) or load(self))

    assert open_picture(tmp_path / "book.tif").max() == 0
    assert set(decoded) == {0}


def test_what_is_damaged_behind_the_first_frame_does_not_cost_the_picture(tmp_path: Path) -> None:
    frames = [Image.effect_noise((64, 48), 50).convert("RGB") for _ in range(2)]
    for suffix in (".gif", ".tif"):
        path = tmp_path / f"two{suffix}"
        frames[0].save(path, save_all=True, append_images=frames[1:])
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])

        assert open_picture(path).shape == (48, 64, 3)

"""Opening images: any file, Pillow image or array becomes RGB bytes, or raises a `PictureError`.

Files are untrusted. The size is read from the header before a pixel is decoded, only formats that Pillow decodes by
itself are tried (never EPS, which would start Ghostscript) and HEIF where pillow-heif is installed, and any exception
inside a decoder becomes a `PictureError` that names the file.
"""

import io
import logging
import threading
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from lexiseg.core.errors import PictureError
from lexiseg.core.files import file_mode, open_regular
from lexiseg.core.messages import printable

FORMATS = (
    "JPEG", "MPO", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "TGA", "JPEG2000", "AVIF",
)  # fmt: skip
"""Of which Pillow opens the header alone; an ICO, for one, it decodes at once."""
HEIF = "HEIF"
"""The format of telephones' photographs (.heic), which pillow-heif decodes."""
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
"""What stands behind `ftyp` at the beginning of such files; the last two also in some AVIFs, which Pillow knows."""
EXIF_ORIENTATION = 0x0112
SIDEWAYS = range(5, 9)
"""EXIF orientations that swap width and height."""
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # what undoes each EXIF orientation; 1 is upright

# Warning filters belong to the whole process: two threads that change and restore them in a crossed
# order would leave them changed for good. Headers are read one at a time; the decoding itself runs
# in parallel.
_header_lock = threading.Lock()
logger = logging.getLogger("lexiseg")


def open_picture(
    source: str | Path | bytes | Image.Image | np.ndarray,
    *,
    max_pixels: int = 120_000_000,
    called: str = "the picture",
) -> UInt8[np.ndarray, "h0 w0 3"]:
    """Opens a picture as RGB bytes, upright.

    Transparency is laid over white, 16-bit grey is scaled (never clipped), and the EXIF orientation is applied. A file
    with several frames or pages gives the first one, an HEIF file its main picture, and a note is logged; a Pillow
    image gives the frame that it shows.

    Args:
        source: a file, or its bytes; or a Pillow image, which is not changed; or an array in RGB(A) order of shape
            (H, W), (H, W, 3) or (H, W, 4), either uint8 or floating point in [0, 1].
        max_pixels: refuses anything larger before it is decoded. Pillow's own limit, about 179
            million, holds besides it.
        called: what messages call a picture that is given as bytes.

    Returns:
        A new, writable, contiguous array.

    Raises:
        PictureError: if it is no picture, is damaged, or is too large.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    if isinstance(source, Image.Image):
        filename = getattr(source, "filename", "")
        name = printable(filename) if filename else "the Pillow image"
        with _one_sentence(name, max_pixels):
            return _decode(source, name, max_pixels)
    if isinstance(source, bytes):
        with _one_sentence(called, max_pixels):
            return _decode_bytes(io.BytesIO(source), called, max_pixels)
    if not isinstance(source, str | Path):
        raise PictureError(
            "a picture must be a path, a file's bytes, a Pillow image or a NumPy array, "
            f"got {type(source).__name__}; convert it to one of these."
        )
    return _from_file(Path(source), max_pixels)


@dataclass(frozen=True, slots=True)
class Header:
    """What a picture's file says of it before its pixels."""

    size: tuple[int, int]
    """Height and width in pixels as it is seen upright."""
    orientation: int
    """EXIF's number for how the stored pixels lie; 1 is upright."""

    def is_turned_from(self, size: Sequence[int]) -> bool:
        """Whether a height and a width are those of the stored pixels, which the flag turns on their side."""
        return self.orientation in SIDEWAYS and self.size != tuple(size) == self.size[::-1]


def header_of(path: Path) -> Header | None:
    """The header of a picture, whose pixels stay closed; None if it can't be read."""
    try:
        with open_regular(path) as file, _identify(file, "") as picture:
            width, height = picture.size
            orientation = picture.getexif().get(EXIF_ORIENTATION, 1)
            is_turned = orientation in SIDEWAYS and picture.format != "TIFF"  # whose size Pillow has swapped by now
    except Exception:  # a parser of untrusted bytes may raise anything
        return None
    return Header((width, height) if is_turned else (height, width), orientation)


def size_of(path: Path) -> tuple[int, int] | None:
    """Height and width of a picture in pixels as it is seen upright, from its header; None if that can't be read."""
    header = header_of(path)
    return None if header is None else header.size


def _from_file(path: Path, max_pixels: int) -> np.ndarray:
    name = printable(path)
    if file_mode(path) == 0:
        raise PictureError(f"{name} does not exist or can't be reached; check the name and the folder.")
    try:
        file = open_regular(path)
    except IsADirectoryError as error:
        raise PictureError(f"{name} is a folder, not a picture; name a picture in it.") from error
    except OSError as error:
        raise PictureError(f"{name} can't be read ({error.strerror}); give a file that can.") from error
    with file, _one_sentence(name, max_pixels):
        return _decode_bytes(file, name, max_pixels)


def _decode_bytes(file: BinaryIO | io.BytesIO, name: str, max_pixels: int) -> np.ndarray:
    """Decodes an open file of unknown content."""
    if file.seek(0, io.SEEK_END) == 0:
        raise PictureError(f"{name} is empty (0 bytes); copy or download the picture again.")
    file.seek(0)
    with _identify(file, name) as image:
        picture = _decode(image, name, max_pixels)
        _note_frames(image, name)
    return picture


def _identify(file: BinaryIO | io.BytesIO, name: str) -> Image.Image:
    """Reads the header of an open file; its pixels are not decoded yet."""
    with _pillow_warnings_as_errors():
        Image.init()
        try:
            return Image.open(file, formats=[f for f in FORMATS if f in Image.OPEN])
        except Image.UnidentifiedImageError:
            file.seek(0)
            start = file.read(12)
            if start[4:8] != b"ftyp" or start[8:] not in HEIF_BRANDS:
                raise
            try:
                from pillow_heif import HeifImageFile
            except ImportError as error:
                raise PictureError(
                    f"{name} is an HEIC photograph, which pillow-heif opens: pip install 'lexiseg[heif]', or save it "
                    "as a JPEG."
                ) from error
            file.seek(0)
            return HeifImageFile(file)  # not registered with Pillow, which belongs to the whole process


def _note_frames(image: Image.Image, name: str) -> None:
    """Says which one was taken of several; asked after decoding, because a look at the second moves to it."""
    try:
        has_several = bool(getattr(image, "is_animated", False))
    except Exception:  # what is damaged is not needed
        return
    if has_several:
        _say_taken(name, "main" if image.format == HEIF else "first")


@lru_cache(maxsize=10_000)
def _say_taken(name: str, place: str) -> None:
    """Logs a note, once a file: what is remembered is not said again."""
    logger.warning("Note: %s holds several frames or pages; the %s one was taken.", name, place)


def _from_array(array: np.ndarray, max_pixels: int) -> np.ndarray:
    got = f"got {array.dtype} of shape {array.shape}"
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        hint = "; move the channels to the end" if array.ndim == 3 else ""
        raise PictureError(f"a picture array must have shape (H, W), (H, W, 3) or (H, W, 4), {got}{hint}.")
    _check_size(array.shape[1], array.shape[0], "the array", max_pixels)
    if np.issubdtype(array.dtype, np.floating):
        array = _unit_to_bytes(array, "the array")
    elif array.dtype != np.uint8:
        raise PictureError(
            f"a picture array must be uint8, or floating point in [0, 1], {got}; "
            "divide it by the value that means white."
        )
    if array.ndim == 3 and array.shape[2] == 3:
        return np.array(array, order="C")
    # Pillow takes no zero strides or Fortran order here, so a contiguous copy is made first.
    return _to_rgb(Image.fromarray(np.ascontiguousarray(array)), "the array")


def _decode(image: Image.Image, name: str, max_pixels: int) -> np.ndarray:
    """Checks the size in the header, decodes, turns upright and converts."""
    _check_size(image.width, image.height, name, max_pixels)
    image.load()
    orientation = _orientation(image)  # only now: Pillow turns TIFF and AVIF by itself while loading
    if orientation in UPRIGHT:
        image = image.transpose(UPRIGHT[orientation])
    return _to_rgb(image, name)


def _check_size(width: int, height: int, name: str, max_pixels: int) -> None:
    if min(width, height) < 1:
        raise PictureError(f"{name} has no pixels ({width} x {height}); give a picture that has.")
    if width * height > max_pixels:
        raise PictureError(
            f"{name} is too large ({width} x {height}, the limit is {max_pixels:,} pixels); make it smaller first."
        )


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1 (upright) where there is none, or where EXIF alone is damaged."""
    with _header_lock, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\b")
        try:
            return int(image.getexif().get(EXIF_ORIENTATION, 1))
        except Exception:  # a parser of untrusted bytes may raise anything, and nothing depends on it
            return 1


def _to_rgb(image: Image.Image, name: str) -> np.ndarray:
    """Every mode that Pillow knows to 8-bit RGB."""
    mode = image.mode
    if mode.startswith("I;16") or mode == "I":
        return _repeat(_sixteen_to_eight(np.asarray(image).astype(np.int64), name))
    if mode == "F":
        return _repeat(_unit_to_bytes(np.asarray(image), name))
    if image.has_transparency_data:
        rgba = image.convert("LA") if mode == "La" else image
        rgba = rgba.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, rgba)
    try:
        return np.array(image.convert("RGB"))
    except ValueError as error:  # LAB, for one, needs a colour profile
        raise PictureError(
            f"{name} has the colour mode {mode}, which has no plain way to RGB; save it as RGB."
        ) from error


def _sixteen_to_eight(values: np.ndarray, name: str) -> np.ndarray:
    """Scales [0, 65535] to [0, 255], rounding to the nearest."""
    if values.min() < 0 or values.max() > 65535:
        raise PictureError(
            f"{name} holds 32-bit numbers outside [0, 65535], so its white is unknown; save it with 8 or 16 bits."
        )
    return ((values + 128) // 257).astype(np.uint8)


def _unit_to_bytes(values: np.ndarray, name: str) -> np.ndarray:
    """Scales [0, 1] to [0, 255], rounding to the nearest."""
    low, high = float(values.min()), float(values.max())
    if not (low >= 0.0 and high <= 1.0):  # written so that NaN is refused too
        raise PictureError(
            f"{name} holds floating point values from {low:g} to {high:g}, but [0, 1] is expected; "
            "divide it by the value that means white."
        )
    return np.rint(values.astype(np.float32) * 255).astype(np.uint8)


def _repeat(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, axis=2)


@contextmanager
def _pillow_warnings_as_errors() -> Generator[None, None, None]:
    """Raises what Pillow only warns of in damaged headers, inside this block."""
    with _header_lock, warnings.catch_warnings():
        warnings.filterwarnings("error", module=r"PIL\b")
        # Our own limit on the size decides, and damaged metadata does not make a picture
        # unreadable.
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", message="(Possibly )?[Cc]orrupt EXIF|Metadata Warning")
        yield


@contextmanager
def _one_sentence(name: str, max_pixels: int) -> Generator[None, None, None]:
    """Raises whatever a decoder raises on untrusted bytes as one `PictureError`."""
    try:
        yield
    except PictureError:
        raise
    except Image.DecompressionBombError as error:
        limit = min(max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or max_pixels))
        raise PictureError(f"{name} is too large (the limit is {limit:,} pixels); make it smaller first.") from error
    except Image.UnidentifiedImageError as error:
        raise PictureError(
            f"{name} is not a picture that can be read; give a JPEG, PNG, WebP, TIFF, BMP, GIF or HEIC."
        ) from error
    except MemoryError as error:
        raise PictureError(f"{name} does not fit into memory; make it smaller first.") from error
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, EOFError ...
        raise PictureError(f"{name} is damaged or cut off; copy or download the picture again.") from error

"""Labels on pictures: fonts with a fallback, and placement without overlap."""

import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Int32
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

GRID = 400  # longest side in cells of the grid on which labels are placed
INSIDE = 0.7  # least share of a label that lies on its own segment
COVER = 0.5  # largest share of its own segment that a label may cover
HIDDEN = 0.08  # largest share of any other thing that a label may cover
SYSTEM_FONTS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "NotoEmoji-Regular.ttf", "wqy-zenhei.ttc",
    "wqy-microhei.ttc", "Arial Unicode.ttf", "PingFang.ttc", "Hiragino Sans GB.ttc", "msyh.ttc", "malgun.ttf",
    "segoeui.ttf", "seguiemj.ttf",
)  # fmt: skip
"""Fonts with letters that Pillow's own lacks, used where they are installed; the plainest first."""
NO_LETTER = "\U0010ffff"
LONGEST_WORD = 64  # letters of a name that are drawn; the rest is cut without being measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A label to place."""

    segment_id: int
    sizes: tuple[tuple[int, int], ...]
    """Widths and heights in pixels of the label's forms, preferred first."""
    may_stand_outside: bool
    """Whether it may be placed beside its segment, where it covers little of other things."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The place of a label."""

    segment_id: int
    form: int
    """Index into the wish's sizes."""
    left: int
    top: int


def font_for(text: str, size: int) -> Font:
    """Returns the font that has most of the letters: Pillow's own scalable one, or one of the system with more."""
    return max(_faces(size), key=lambda face: sum(_has_all(face, letter) for letter in text))


def is_drawable(text: str) -> bool:
    """Whether a font has glyphs for all letters of a text."""
    line = _printable(text)
    return any(_has_all(face, line) for face in _faces(16))


@cache
def _faces(size: int) -> tuple[Font, ...]:
    found: list[Font] = [ImageFont.load_default(size)]
    for name in SYSTEM_FONTS:
        with suppress(OSError):
            found.append(ImageFont.truetype(name, size))
    return tuple(found)


def _has_all(face: Font, text: str) -> bool:
    return all(_has(face, letter) for letter in text if not letter.isspace())


@cache
def _has(face: Font, letter: str) -> bool:
    """Whether a font has a glyph for a letter, and not only its box for missing glyphs."""
    return _drawn(face, letter) != _drawn(face, NO_LETTER)


@cache
def _drawn(face: Font, letter: str) -> bytes:
    _, _, right, bottom = face.getbbox(letter)
    picture = Image.new("1", (int(right) + 2, int(bottom) + 2))
    ImageDraw.Draw(picture).text((0, 0), letter, fill=1, font=face)
    return picture.tobytes()


def _spelt(face: Font, letter: str) -> str:
    bare, *marks = unicodedata.normalize("NFD", letter)
    has_accents = bool(marks) and all(unicodedata.combining(mark) for mark in marks)
    return bare if has_accents and _has(face, bare) else f"<{ord(letter):X}>"


def text_size(text: str, size: int) -> tuple[int, int]:
    """Measures a line of text: its width, and a height that is the same for every line."""
    left, _, right, _ = font_for(text, size).getbbox(text)
    return int(np.ceil(right - min(0, left))), int(np.ceil(size * 1.15))


def shorten(text: str, size: int, width: int) -> str:
    """Makes one printable line of at most `width` pixels, with dots in place of what is cut.

    A letter without a glyph in the font loses its accents or, where that does not help, is written as its code point,
    as in <732B>.
    """
    line = _printable(text)
    face = font_for(line, size)
    line = "".join(c if _has_all(face, c) else _spelt(face, c) for c in line)
    cut = len(line) > LONGEST_WORD or len(text) > 4 * LONGEST_WORD
    line = line[:LONGEST_WORD]
    if not cut and text_size(line, size)[0] <= width:
        return line
    while len(line) > 1 and text_size(line + "...", size)[0] > width:
        line = line[:-1]
    return line.rstrip() + "..."


def _printable(text: str) -> str:
    line = unicodedata.normalize("NFC", text[: 4 * LONGEST_WORD].encode("utf-8", "replace").decode())
    # what picks between two looks of one emoji has no look of its own
    kept = (c for c in " ".join(line.split()) if c.isprintable() and not "\ufe00" <= c <= "\ufe0f")
    return "".join(kept) or "?"


def pill(width: int, height: int, radius: float) -> Image.Image:
    """An antialiased box with round corners as an opacity map: uint8 of width x height; radius in pixels."""
    large = Image.new("L", (width * 4, height * 4))
    box = (0, 0, width * 4 - 1, height * 4 - 1)
    ImageDraw.Draw(large).rounded_rectangle(box, radius=radius * 4, fill=255)
    return large.resize((width, height), Image.Resampling.BOX)


def place_labels(segmentation: Int32[np.ndarray, "H W"], wishes: list[Wish], thing_ids: set[int]) -> list[Place]:
    """Places labels greedily, each as deep inside its segment as possible.

    Args:
        segmentation: segment ids at the size of the drawing.
        wishes: the labels, by falling priority.
        thing_ids: segments of which other labels may cover only the share `HIDDEN`.

    Returns:
        The labels that were placed, inside the picture and without overlap.
    """
    step = max(1, -(-max(segmentation.shape) // GRID))
    ids = segmentation[step // 2 :: step, step // 2 :: step]
    if ids.size == 0:
        return []
    areas = np.bincount(ids.ravel())
    other_things = np.isin(np.arange(len(areas)), list(thing_ids))
    occupied = np.zeros(ids.shape, dtype=bool)
    places: list[Place] = []
    for wish in wishes:
        own = ids == wish.segment_id
        if not own.any():
            continue
        for form, (width, height) in enumerate(wish.sizes):
            if width > segmentation.shape[1] or height > segmentation.shape[0]:
                continue
            # One cell more on each axis: labels that touch on the grid cannot overlap in pixels.
            rows, columns = height // step + 1, width // step + 1
            if rows > ids.shape[0] or columns > ids.shape[1]:
                continue
            corner = None
            if rows * columns <= COVER * areas[wish.segment_id]:
                corner = _inside(own, occupied, rows, columns)
            if corner is None and wish.may_stand_outside:
                limits = np.where(other_things, HIDDEN * areas, np.inf)
                corner = _outside(ids, wish.segment_id, occupied, limits, (rows, columns))
            if corner is None:
                continue
            top, left = corner
            occupied[top : top + rows, left : left + columns] = True
            places.append(
                Place(
                    segment_id=wish.segment_id,
                    form=form,
                    left=min(left * step, segmentation.shape[1] - width),
                    top=min(top * step, segmentation.shape[0] - height),
                )
            )
            break
    return places


def _inside(
    own: Bool[np.ndarray, "H W"], occupied: Bool[np.ndarray, "H W"], rows: int, columns: int
) -> tuple[int, int] | None:
    """Returns the top left corner of the best place on the segment itself."""
    share = _window_sums(own, rows, columns) / (rows * columns)
    allowed = (share >= INSIDE) & (_window_sums(occupied, rows, columns) == 0)
    if not allowed.any():
        return None
    # The border counts as outside, so the depth is that of the segment and of the picture.
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(own, 1)))[1:-1, 1:-1]
    centre = depth[rows // 2 :, columns // 2 :][: share.shape[0], : share.shape[1]]
    worth = np.where(allowed, share + centre / depth.max(), -1.0)
    top, left = np.unravel_index(int(worth.argmax()), worth.shape)
    return int(top), int(left)


def _outside(
    ids: Int32[np.ndarray, "H W"],
    segment_id: int,
    occupied: Bool[np.ndarray, "H W"],
    limits: Float[np.ndarray, " N"],
    size: tuple[int, int],
) -> tuple[int, int] | None:
    """Returns a free place right above the segment, or else below, to the right, to the left.

    `limits` holds the largest number of cells of each segment that may be covered.
    """
    rows, columns = size
    own = ids == segment_id
    lines, sides = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
    left = int(sides[0] + sides[-1] + 1) // 2 - columns // 2
    left = min(max(0, left), ids.shape[1] - columns)
    top = int(lines[0] + lines[-1] + 1) // 2 - rows // 2
    corners = (
        (int(lines[0]) - rows, left),
        (int(lines[-1]) + 1, left),
        (top, int(sides[-1]) + 1),
        (top, int(sides[0]) - columns),
    )
    for top, left in corners:
        if not (0 <= top <= ids.shape[0] - rows and 0 <= left <= ids.shape[1] - columns):
            continue
        window = (slice(top, top + rows), slice(left, left + columns))
        hidden = np.bincount(ids[window].ravel(), minlength=len(limits))
        if not occupied[window].any() and (hidden <= limits).all():
            return top, left
    return None


def _window_sums(mask: Bool[np.ndarray, "H W"], rows: int, columns: int) -> np.ndarray:
    """Counts true pixels in every window of a size, by one table of running sums."""
    table = np.pad(mask, ((1, 0), (1, 0))).astype(np.int64).cumsum(0).cumsum(1)
    return table[rows:, columns:] - table[:-rows, columns:] - table[rows:, :-columns] + table[:-rows, :-columns]

"""Words on pictures: fonts that never fail, and places for labels that never overlap."""

import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Int32
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

GRID = 400  # labels are placed on a copy of at most so many pixels: fast on any picture
INSIDE = 0.7  # share of a label that must lie on its own segment; more hides the neighbours less
COVER = 0.5  # share of its own segment that a label may hide; a small thing is named from outside
HIDDEN = 0.08  # share of any other thing that a label may hide
SYSTEM_FONTS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "NotoEmoji-Regular.ttf", "wqy-zenhei.ttc",
    "wqy-microhei.ttc", "Arial Unicode.ttf", "PingFang.ttc", "Hiragino Sans GB.ttc", "msyh.ttc", "malgun.ttf",
    "segoeui.ttf", "seguiemj.ttf",
)  # fmt: skip
"""Where they are installed, fonts with the letters that Pillow's own lacks, the plainest first."""
NO_LETTER = "\U0010ffff"
LONGEST_WORD = 64  # letters that are measured at all; a word may have ten thousand


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A label that looks for a place."""

    segment_id: int
    sizes: tuple[tuple[int, int], ...]
    """Widths and heights in pixels of the label's forms, most wanted first."""
    may_stand_outside: bool
    """Whether it may stand beside its segment where it hides little of other things."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a label found room."""

    segment_id: int
    form: int
    """Index into the wish's sizes."""
    left: int
    top: int


def font_for(words: str, size: int) -> Font:
    """Returns the font that has most of the letters: Pillow's own scalable one, or one of the system that has more."""
    return max(_faces(size), key=lambda face: sum(_has_all(face, letter) for letter in words))


def is_drawable(words: str) -> bool:
    """Whether a font was found that has all letters of a word."""
    line = _printable(words)
    return _has_all(font_for(line, 16), line)


@cache
def _faces(size: int) -> tuple[Font, ...]:
    found: list[Font] = [ImageFont.load_default(size)]
    for name in SYSTEM_FONTS:
        with suppress(OSError):
            found.append(ImageFont.truetype(name, size))
    return tuple(found)


def _has_all(face: Font, words: str) -> bool:
    return all(_has(face, letter) for letter in words if not letter.isspace())


@cache
def _has(face: Font, letter: str) -> bool:
    """Whether a font has a letter of its own for it, and not the box that stands for all that it lacks."""
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


def text_size(words: str, size: int) -> tuple[int, int]:
    """Measures a line of text: its width, and a height that is the same for every line."""
    left, _, right, _ = font_for(words, size).getbbox(words)
    return int(np.ceil(right - min(0, left))), int(np.ceil(size * 1.15))


def shorten(words: str, size: int, width: int) -> str:
    """Makes one printable line of at most `width` pixels, with dots where letters are left out.

    A letter that the font of most of them lacks loses its accents or, where that does not help, becomes its number in
    Unicode, as in <732B>, so that words stay apart.
    """
    line = _printable(words)
    face = font_for(line, size)
    line = "".join(c if _has_all(face, c) else _spelt(face, c) for c in line)
    cut = len(line) > LONGEST_WORD or len(words) > 4 * LONGEST_WORD
    line = line[:LONGEST_WORD]
    if not cut and text_size(line, size)[0] <= width:
        return line
    while len(line) > 1 and text_size(line + "...", size)[0] > width:
        line = line[:-1]
    return line.rstrip() + "..."


def _printable(words: str) -> str:
    line = unicodedata.normalize("NFC", words[: 4 * LONGEST_WORD].encode("utf-8", "replace").decode())
    # what picks between two looks of one emoji has no look of its own
    kept = (c for c in " ".join(line.split()) if c.isprintable() and not "\ufe00" <= c <= "\ufe0f")
    return "".join(kept) or "?"


def pill(width: int, height: int, radius: float) -> Image.Image:
    """Draws a box with round corners as an opacity map, drawn large and reduced: smooth edges."""
    large = Image.new("L", (width * 4, height * 4))
    box = (0, 0, width * 4 - 1, height * 4 - 1)
    ImageDraw.Draw(large).rounded_rectangle(box, radius=radius * 4, fill=255)
    return large.resize((width, height), Image.Resampling.BOX)


def place_labels(segmentation: Int32[np.ndarray, "H W"], wishes: list[Wish], thing_ids: set[int]) -> list[Place]:
    """Finds places one label after the other, each as deep inside its segment as there is room.

    Args:
        segmentation: segment ids at the size of the drawing.
        wishes: labels, those with the first choice first.
        thing_ids: segments of which the label of another may hide but little.

    Returns:
        The labels that found room, none overlapping another or leaving the picture.
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

    `limits` says how many cells of each segment may be hidden.
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

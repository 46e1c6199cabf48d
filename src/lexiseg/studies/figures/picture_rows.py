"""Rows of pictures with notes beside them, laid out on a `Drawing`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from lexiseg.inference.labels import shorten, text_size
from lexiseg.inference.palette import RGB
from lexiseg.inference.visualize import FAINT_INK, INK, PAPER
from lexiseg.studies.figures.axes import Area
from lexiseg.studies.figures.charts import MARGIN, WIDTH, head_of, with_source
from lexiseg.studies.figures.drawing import SERIES, Box, Dot, Drawing, Mark, Photo, Text, paragraph, tint

BAR_ROW = 19  # pixels from one line of notes to the next


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of notes: a name, and a bar as long as its share."""

    words: str
    value: str = ""
    """Written to its right."""
    share: float | None = None
    """Length of the bar behind it, in [0, 1]; None draws none."""
    colour: RGB = FAINT_INK
    is_right: bool = False
    """Whether the truth says so: such a line has a dot."""
    depth: int = 0
    """How far the words are moved in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What is said of one segment: a heading with its number, and lines."""

    heading: str
    number: str = ""
    colour: RGB = INK
    aside: str = ""
    """Said in small letters at the end of the heading."""
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PictureRow:
    """Pictures side by side, and notes to their right."""

    pictures: tuple[UInt8[np.ndarray, "_ _ 3"], ...]
    captions: tuple[str, ...]
    notes: tuple[Note, ...]
    marked: tuple[tuple[int, float, float, str, RGB], ...] = ()
    """Numbers on pictures: which picture, across and down in [0, 1], the number and its colour."""


def picture_rows(
    title: str, rows: Sequence[PictureRow], *, says: str = "", source: str = "", width: int = WIDTH, side: int = 224
) -> Drawing:
    """Lays out rows of pictures with captions below, and notes beside.

    Args:
        title: of the whole.
        rows: from top to bottom.
        says: what to see in it.
        source: where it comes from, below.
        width: of the sheet, in pixels.
        side: width of a picture on the sheet, in pixels.
    """
    marks, top = head_of(title, says, width)
    for row in rows:
        left, below = float(MARGIN), top
        for place, (pixels, words) in enumerate(zip(row.pictures, row.captions, strict=True)):
            high = side * pixels.shape[0] / pixels.shape[1]
            marks.append(Photo(left=left, top=top, width=side, height=high, pixels=pixels))
            for which, x, y, name, colour in row.marked:
                if which == place:
                    marks += _badge(left + x * side, top + y * high, name, colour)
            lines, taken = paragraph(left, top + high + 5, words, 12, side, FAINT_INK)
            marks += lines
            below = max(below, top + high + 5 + taken)
            left += side + 14
        notes, ends = _notes(row.notes, Area(left=left + 4, top=top, width=width - MARGIN - left - 4, height=side))
        marks += notes
        top = max(below, ends) + 22
    return with_source(marks, top, width, source)


def _notes(notes: Sequence[Note], area: Area) -> tuple[list[Mark], float]:
    """Notes in two columns, each where less is written so far; and where the lower ends."""
    columns = 2 if len(notes) > 1 else 1
    wide = (area.width - (columns - 1) * 18) / columns
    ends = [area.top] * columns
    marks: list[Mark] = []
    for note in notes:
        column = ends.index(min(ends))
        left, top = area.left + column * (wide + 18), ends[column]
        if note.number:
            marks += _badge(left + 9, top + 9, note.number, note.colour)
        indent = 25 if note.number else 0
        taken = text_size(note.aside, 11)[0] + 6 if note.aside else 0
        heading = shorten(note.heading, 13, int(wide) - indent - taken)
        marks.append(Text(x=left + indent, y=top + 9, words=heading))
        marks.append(Text(x=left + wide, y=top + 9, words=note.aside, size=11, colour=FAINT_INK, anchor="end"))
        top += 24
        for line in note.lines:
            y = top + BAR_ROW / 2
            if line.share is not None:
                bar = Box(
                    left=left,
                    top=top + 1,
                    width=max(3.0, line.share * wide),
                    height=BAR_ROW - 3,
                    fill=tint(line.colour, 0.88),
                    radius=3,
                )
                marks.append(bar)
            value_width = text_size(line.value, 12)[0] if line.value else 0
            begin = 7 + 9 * line.depth
            words = shorten(line.words, 12, int(wide) - value_width - begin - 19)
            marks.append(Text(x=left + begin, y=y, words=words, size=12))
            if line.is_right:
                marks.append(Dot(x=left + begin + 8 + text_size(words, 12)[0], y=y, radius=3, fill=SERIES[2]))
            marks.append(Text(x=left + wide, y=y, words=line.value, size=12, colour=FAINT_INK, anchor="end"))
            top += BAR_ROW
        ends[column] = top + 12
    return marks, max(ends) - 12


def _badge(x: float, y: float, words: str, colour: RGB) -> list[Mark]:
    return [
        Dot(x=x, y=y, radius=9, fill=tint(colour, 0.42)),
        Text(x=x, y=y, words=words, size=12, colour=PAPER, anchor="middle"),
    ]

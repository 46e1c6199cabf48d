"""Marks on a sheet: one description becomes a PNG by Pillow and an SVG in which text stays text.

Lengths are pixels of a sheet that is read at its own size; text is measured with the font that Pillow carries. Colours
are told apart by colour-blind readers, too, and the same description gives the same bytes.
"""

import base64
import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from lexiseg.core.files import write_atomically
from lexiseg.inference.labels import font_for, text_size
from lexiseg.inference.palette import RGB, at_lightness
from lexiseg.inference.visualize import INK, LINE, PAPER

SERIES: tuple[RGB, ...] = ((0, 107, 171), (226, 142, 0), (0, 138, 104), (190, 98, 150), (82, 168, 222), (110, 108, 116))
"""Blue, orange, green, purple, sky and grey, after Okabe and Ito."""
SMOOTH = 2  # a PNG is drawn so many times as large, and averaged
FONTS = "Aileron, Inter, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A filled rectangle."""

    left: float
    top: float
    width: float
    height: float
    fill: RGB
    opacity: float = 1.0
    """In [0, 1]."""
    radius: float = 0.0
    """Of its corners."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stroke:
    """A line through points, and what it encloses where it is filled."""

    points: tuple[tuple[float, float], ...]
    colour: RGB = LINE
    width: float = 1.0
    is_dashed: bool = False
    fill_opacity: float = 0.0
    """Of its own colour inside, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A filled circle with a rim of paper, so that it stays visible on a line."""

    x: float
    y: float
    radius: float
    fill: RGB


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One line of text, centred on its height."""

    x: float
    y: float
    words: str
    size: int = 13
    colour: RGB = INK
    anchor: str = "start"
    """Where `x` lies: at its start, middle or end."""
    is_turned: bool = False
    """Whether it reads upwards."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Photo:
    """A picture, resized to its place."""

    left: float
    top: float
    width: float
    height: float
    pixels: UInt8[np.ndarray, "H W 3"]


Mark = Box | Stroke | Dot | Text | Photo


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A sheet with marks, painted in their order."""

    width: int
    height: int
    marks: tuple[Mark, ...]

    def picture(self) -> Image.Image:
        """The sheet as pixels, RGB."""
        sheet = Image.new("RGB", (self.width * SMOOTH, self.height * SMOOTH), PAPER)
        for mark in self.marks:
            _paint(sheet, mark)
        return sheet.resize((self.width, self.height), Image.Resampling.BOX)

    def svg(self) -> str:
        """The sheet as SVG: XML without scripts or links; pictures are inside."""
        size = f'width="{self.width}" height="{self.height}" viewBox="0 0 {self.width} {self.height}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{FONTS}">'
        paper = f'<rect width="100%" height="100%" fill="{_hex(PAPER)}"/>'
        return "\n".join([head, paper, *map(_element, self.marks), "</svg>", ""])

    def write(self, stem: Path) -> tuple[str, str]:
        """Writes STEM.png and STEM.svg, and returns their names.

        Raises:
            ValueError: if they can't be written.
        """
        stream = io.BytesIO()
        self.picture().save(stream, "PNG", optimize=True)
        names = f"{stem.name}.png", f"{stem.name}.svg"
        write_atomically(stem.with_name(names[0]), stream.getvalue())
        write_atomically(stem.with_name(names[1]), self.svg())
        return names


def tint(colour: RGB, lightness: float) -> RGB:
    """A colour at another lightness in [0, 1], as a backing for text or bars."""
    return at_lightness(colour, lightness, chroma=min(1.0, 2.2 * (1 - lightness)))


def ticks(low: float, high: float, most: int = 6) -> tuple[float, ...]:
    """Round numbers, at most `most` of them, from the first at or below `low` to the first at or above `high`.

    Args:
        low: least value that is shown.
        high: greatest; more than `low`, or a span of one is shown.
        most: three or more.
    """
    span = high - low if high > low else 1.0
    scale = 10.0 ** math.floor(math.log10(span / most))
    for step in (scale * factor for factor in (1, 2, 2.5, 5, 10, 20)):
        first, last = math.floor(low / step + 1e-9), math.ceil((low + span) / step - 1e-9)
        if last - first < most:
            return tuple(round(place * step, 10) + 0.0 for place in range(first, last + 1))
    raise AssertionError("a step of ten times the scale leaves at most two ticks")


def number(value: float, digits: int = 6) -> str:
    """A number as axes show it, with a real minus sign."""
    return f"{value:.{digits}g}".replace("-", "\u2212")


def wrapped(text: str, size: int, width: float) -> list[str]:
    """Breaks a text at spaces so that every line fits; a longer word has a line of its own."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_size(longer, size)[0] > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def paragraph(
    left: float, top: float, text: str, size: int, width: float, colour: RGB = INK
) -> tuple[list[Mark], float]:
    """The lines of a text from a corner on, and the height that they take."""
    lines = wrapped(text, size, width) if text else []
    step = round(size * 1.4)
    marks: list[Mark] = [
        Text(x=left, y=top + (place + 0.5) * step, words=line, size=size, colour=colour)
        for place, line in enumerate(lines)
    ]
    return marks, step * len(lines)


def legend(entries: Sequence[tuple[str, RGB]], left: float, top: float, width: float) -> tuple[list[Mark], float]:
    """Names of series with their colours in as many rows as they need, and the height that these take."""
    marks: list[Mark] = []
    x, y = left, top + 9
    for name, colour in entries:
        wide = 22 + text_size(name, 13)[0] + 22
        if x > left and x + wide > left + width:
            x, y = left, y + 20
        marks.append(Box(left=x, top=y - 6, width=14, height=12, fill=colour, radius=3))
        marks.append(Text(x=x + 21, y=y, words=name, colour=INK))
        x += wide
    return marks, y - top + 9 if entries else 0


def _paint(sheet: Image.Image, mark: Mark) -> None:
    """Paints one mark, `SMOOTH` times as large."""
    pen = ImageDraw.Draw(sheet, "RGBA")
    match mark:
        case Box():
            left, top = mark.left * SMOOTH, mark.top * SMOOTH
            right, bottom = left + mark.width * SMOOTH - 1, top + mark.height * SMOOTH - 1
            if right >= left and bottom >= top:
                fill = (*mark.fill, round(255 * mark.opacity))
                pen.rounded_rectangle((left, top, right, bottom), radius=mark.radius * SMOOTH, fill=fill)
        case Stroke():
            points = [(x * SMOOTH, y * SMOOTH) for x, y in mark.points]
            if mark.fill_opacity:
                pen.polygon(points, fill=(*mark.colour, round(255 * mark.fill_opacity)))
            for part in _dashes(points) if mark.is_dashed else [points]:
                pen.line(part, fill=mark.colour, width=max(1, round(mark.width * SMOOTH)), joint="curve")
        case Dot():
            for radius, colour in ((mark.radius + 1.5, PAPER), (mark.radius, mark.fill)):
                reach = radius * SMOOTH
                x, y = mark.x * SMOOTH, mark.y * SMOOTH
                pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)
        case Text():
            _write(sheet, mark)
        case Photo():
            size = max(1, round(mark.width * SMOOTH)), max(1, round(mark.height * SMOOTH))
            picture = Image.fromarray(np.ascontiguousarray(mark.pixels)).resize(size, Image.Resampling.BICUBIC)
            sheet.paste(picture, (round(mark.left * SMOOTH), round(mark.top * SMOOTH)))


def _write(sheet: Image.Image, mark: Text) -> None:
    words, size = _printable(mark.words), mark.size * SMOOTH
    anchor = {"start": "l", "middle": "m", "end": "r"}[mark.anchor]
    font = font_for(words, size)
    down = round(size * 0.34)  # half of a capital's height: the same baseline for words with and without long letters
    if not mark.is_turned:
        place = mark.x * SMOOTH, mark.y * SMOOTH + down
        ImageDraw.Draw(sheet).text(place, words, fill=mark.colour, font=font, anchor=f"{anchor}s")
        return
    width, height = text_size(words, size)
    strip = Image.new("L", (width + 4, 2 * height))
    ImageDraw.Draw(strip).text((2, height + down), words, fill=255, font=font, anchor="ls")
    strip = strip.transpose(Image.Transpose.ROTATE_90)
    back = {"start": strip.height, "middle": strip.height / 2, "end": 0}[mark.anchor]
    sheet.paste(mark.colour, (round(mark.x * SMOOTH - height), round(mark.y * SMOOTH - back)), strip)


def _dashes(points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Dashes of four pixels with gaps of three, along straight lines."""
    parts = []
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        for start in range(0, math.ceil(length), 7 * SMOOTH):
            ends = start / length, min(1.0, (start + 4 * SMOOTH) / length)
            parts.append([(x0 + share * (x1 - x0), y0 + share * (y1 - y0)) for share in ends])
    return parts


def _element(mark: Mark) -> str:
    """One mark as an element of SVG."""
    match mark:
        case Box():
            corner = f' rx="{_short(mark.radius)}"' if mark.radius else ""
            shade = f' fill-opacity="{_short(mark.opacity)}"' if mark.opacity < 1 else ""
            return f'<rect {_place(mark)} fill="{_hex(mark.fill)}"{corner}{shade}/>'
        case Stroke():
            points = " ".join(f"{_short(x)},{_short(y)}" for x, y in mark.points)
            dashes = ' stroke-dasharray="4 3"' if mark.is_dashed else ""
            line = f'stroke="{_hex(mark.colour)}" stroke-width="{_short(mark.width)}" stroke-linejoin="round"'
            inside = f'fill="{_hex(mark.colour)}" fill-opacity="{_short(mark.fill_opacity)}"'
            fill = inside if mark.fill_opacity else 'fill="none"'
            return f'<polyline points="{points}" {fill} {line}{dashes}/>'
        case Dot():
            rim = f'stroke="{_hex(PAPER)}" stroke-width="1.5"'
            x, y, radius = map(_short, (mark.x, mark.y, mark.radius + 0.75))
            return f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{_hex(mark.fill)}" {rim}/>'
        case Text():
            x, y = _short(mark.x), _short(mark.y)
            turn = f' transform="rotate(-90 {x} {y})"' if mark.is_turned else ""
            look = f'font-size="{mark.size}" fill="{_hex(mark.colour)}" text-anchor="{mark.anchor}"'
            return f'<text x="{x}" y="{y}" dy="0.34em" {look}{turn}>{escape(_printable(mark.words))}</text>'
        case Photo():
            stream = io.BytesIO()
            Image.fromarray(np.ascontiguousarray(mark.pixels)).save(stream, "PNG", optimize=True)
            data = "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
            return f'<image {_place(mark)} preserveAspectRatio="none" href={quoteattr(data)}/>'


def _place(mark: Box | Photo) -> str:
    left, top, width, height = map(_short, (mark.left, mark.top, mark.width, mark.height))
    return f'x="{left}" y="{top}" width="{width}" height="{height}"'


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _hex(colour: RGB) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _printable(words: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in words)

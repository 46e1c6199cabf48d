"""Pages to look at, from a file as well as from a server: one per picture that holds all it shows, and an index."""

from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from lexiseg.core.structures import Segment
from lexiseg.inference.formats.format import NamedResult, Run, data_address, encoded, hexadecimal
from lexiseg.inference.formats.outlines import outlines
from lexiseg.inference.palette import RGB, at_lightness, name_colours
from lexiseg.inference.visualize import found_words

HTML = "html"
LARGEST = 1600
"""Pixels of the longer side of a page's picture."""
THUMBNAIL = (480, 360)
"""Pixels of a picture on the index."""
POLICY = "default-src 'none'; img-src data: 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""What a page may load: nothing but itself, and the index its pictures."""


def page_files(named: NamedResult) -> dict[str, bytes]:
    """The page, and a small picture of it for the index."""
    small = named.result.overlay(legend=False)
    small.thumbnail(THUMBNAIL)
    place = f"{HTML}/pictures/{named.stem}"
    page = "".join(_page(named)).encode("utf-8", "replace")
    return {f"{place}.html": page, f"{place}.jpg": encoded(small, "JPEG", quality=85)}


def page_entry(named: NamedResult) -> dict[str, Any]:
    """What the index says of a picture."""
    return {"place": f"pictures/{named.stem}", "words": found_words(named.result.panoptic) or "nothing found"}


def index_document(run: Run) -> Iterator[str]:
    """The text of the index."""
    yield from _head("lexiseg: results")
    yield '<body>\n<header><h1>Results</h1></header>\n<main class="sheet">\n'
    for picture in run.pictures():
        card, name = picture.entries[HTML], escape(Path(picture.image["file_name"]).name)
        place = escape(quote(card["place"], errors="surrogateescape"))
        yield f'<a href="{place}.html"><img src="{place}.jpg" alt="" loading="lazy">'
        yield f"<p><b>{name}</b><br>{escape(card['words'])}</p></a>\n"
    yield "</main>\n</body>\n</html>\n"


def _page(named: NamedResult) -> Iterator[str]:
    result, name = named.result, Path(named.picture).name
    height, width = result.segmentation.shape
    void = 1 - sum(segment.area for segment in result.segments) / (height * width)
    yield from _head(f"{name}: lexiseg")
    yield f"<body>\n<header><h1>{escape(name)}</h1>\n"
    count = len(result.segments)
    yield f"<p>{width} × {height} pixels, {count} segment{'' if count == 1 else 's'}, {void:.1%} void</p></header>\n"
    colours = name_colours((segment.name for segment in result.segments), result.vocabulary.names)
    yield from _figure(named, colours)
    yield '<section aria-label="Segments">\n<div class="controls">\n'
    yield '<label>Opacity <input id="opacity" type="range" min="0" max="1" step="0.05" value="0.5"></label>\n'
    yield '<label><input id="outlines" type="checkbox" checked> Outlines</label>\n'
    yield '<label><input id="all" type="checkbox" checked> Show all</label>\n</div>\n'
    for title, is_thing in (("Things", True), ("Stuff", False)):
        if group := [segment for segment in result.segments if segment.is_thing == is_thing]:
            yield f"<h2>{title}</h2>\n<ol>\n"
            for segment in group:
                yield from _row(segment, colours, segment.area / (height * width))
            yield "</ol>\n"
    yield "" if result.segments else '<p class="none">Nothing found.</p>\n'
    yield f"</section>\n</main>\n<script>\n{_beside('page.js')}</script>\n</body>\n</html>\n"


def _head(title: str) -> Iterator[str]:
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
    yield f"<title>{escape(title)}</title>\n<style>\n{_beside('page.css')}</style>\n</head>\n"


def _figure(named: NamedResult, colours: dict[str, RGB]) -> Iterator[str]:
    """The picture and its segments' outlines; large ones stand over small ones nowhere, as no two share a pixel."""
    ids, picture = named.result.segmentation, named.result.picture
    step = -(-max(ids.shape) // LARGEST)
    ids = ids[::step, ::step]
    height, width = ids.shape
    shown = Image.fromarray(picture)
    shown = shown if step == 1 else shown.resize((width, height), Image.Resampling.LANCZOS)
    yield f'<main>\n<figure><svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
    yield f'aria-label="The picture with its segments">\n<image width="{width}" height="{height}" href="'
    yield data_address(shown, "JPEG", quality=90) + '"/>\n'
    for segment in named.result.segments:
        loops = outlines(ids == segment.id) or [_box(segment, step)]
        line = "".join(f"M{loop[0][0]} {loop[0][1]}{_sides(loop)}z" for loop in loops)
        yield f'<path class="{"thing" if segment.is_thing else "stuff"}" data-id="{segment.id}" '
        yield f'style="{_style(colours[segment.name])}" d="{line}">'
        yield f"<title>{escape(segment.name)} {segment.score:.2f}</title></path>\n"
    yield "</svg></figure>\n"


def _row(segment: Segment, colours: dict[str, RGB], share: float) -> Iterator[str]:
    """A segment in the list: its name, score and area, and what else is known of it when it is opened."""
    name = escape(segment.name)
    yield f'<li data-id="{segment.id}" style="{_style(colours[segment.name])}">'
    yield f'<button class="row" aria-expanded="false"><i></i><b>{name}</b>'
    yield f'<span title="score">{segment.score:.2f}</span><span title="area">{share:.1%}</span></button>'
    yield f'<input type="checkbox" checked aria-label="Show {name}">\n<div class="more" hidden>'
    for guess in segment.guesses:
        yield f'<div class="bar" style="--score: {min(max(guess.score, 0), 1):.4f}"><span>{escape(guess.name)}</span>'
        yield f"<i></i><small>{guess.score:.2f}</small></div>"
    steps = (f"{escape(step.name)} {step.score:.2f}" for step in segment.path)
    yield f'<p class="path">{" › ".join(steps)}</p>' if segment.path else ""
    x, y, width, height = segment.box
    yield f'<p class="path">{segment.area} pixels, {width} × {height} from {x}, {y}</p></div></li>\n'


def _sides(loop: Sequence[tuple[int, int]]) -> str:
    """The sides of a closed line after its first corner, the last one left out; they lie and stand in turn."""
    return "".join(f"v{b[1] - a[1]}" if n % 2 else f"h{b[0] - a[0]}" for n, (a, b) in enumerate(pairwise(loop)))


def _box(segment: Segment, step: int) -> list[tuple[int, int]]:
    """The outline of a segment that has lost its pixels where the picture was made smaller."""
    x, y, width, height = (-(-side // step) if place > 1 else side // step for place, side in enumerate(segment.box))
    return [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]


def _style(colour: RGB) -> str:
    return f"--colour: {hexadecimal(colour)}; --edge: {hexadecimal(at_lightness(colour, 0.42, chroma=1.1))}"


@cache
def _beside(name: str) -> str:
    """The text of a file beside this one."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")

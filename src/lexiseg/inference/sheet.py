"""A contact sheet: small drawings of several results side by side, with the names of their pictures."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from lexiseg.core.files import writing
from lexiseg.inference.labels import font_for, shorten
from lexiseg.inference.result import Result
from lexiseg.inference.visualize import FAINT_INK, GAP, INK, PAPER, found_words

SHEET = "lexiseg-sheet.jpg"
MOST_CELLS = 24
"""Results on a sheet."""
COLUMNS = 4
SIDE, LINE = 340, 20
"""Side of a drawing and height of a line of text, in pixels."""


def cell(result: Result, name: str) -> Image.Image:
    """One result on a sheet: its drawing, the picture's name, and what was found."""
    paper = Image.new("RGB", (SIDE, SIDE + 2 * LINE), PAPER)
    drawing = result.overlay(legend=False)
    drawing.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    paper.paste(drawing, ((SIDE - drawing.width) // 2, SIDE - drawing.height))
    pen = ImageDraw.Draw(paper)
    found = found_words(result.panoptic) or "nothing found"
    for line, (text, ink) in enumerate(((name, INK), (found, FAINT_INK))):
        size = 14 - line
        text = shorten(text, size, SIDE)
        pen.text((0, SIDE + (line + 1) * LINE - 4), text, fill=ink, font=font_for(text, size), anchor="ls")
    return paper


def save_sheet(cells: Sequence[Image.Image], folder: Path) -> Path:
    """Lays cells out in rows, and writes them into a folder as one picture.

    Args:
        cells: from `cell`, one at least.
        folder: that is there.

    Raises:
        ValueError: if it can't be written.
    """
    columns = min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    width, height = (side + GAP for side in cells[0].size)
    paper = Image.new("RGB", (columns * width + GAP, rows * height + GAP), PAPER)
    for place, one in enumerate(cells):
        row, column = divmod(place, columns)
        paper.paste(one, (GAP + column * width, GAP + row * height))
    with writing(folder / SHEET, ValueError):
        paper.save(folder / SHEET, quality=90)
    return folder / SHEET

"""Showing a picture on the screen, where there is one."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import typer
from PIL import Image

from lexiseg.cli.console import note
from lexiseg.core.files import writing
from lexiseg.inference.sheet import sheet

SHEET = "lexiseg-sheet.jpg"


def show_sheet(cells: Sequence[Image.Image], folder: Path) -> None:
    """Writes a contact sheet into a folder and opens it; where there is no screen, says where it lies.

    Raises:
        ValueError: if it can't be written.
    """
    path = folder / SHEET
    with writing(path, ValueError):
        sheet(cells).save(path, quality=90)
    if not has_screen() or typer.launch(str(path)):
        note(f"lexiseg: there is no screen here to show it; the sheet lies in {path}.")


def has_screen() -> bool:
    """Whether pictures can be shown here, as far as the system says so."""
    return sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))

"""Photographs docs/page.webp: the page of `lexiseg serve` in a browser, with an answer about a drawn scene.

Usage: python docs/page_picture.py [FILE]

Needs the package playwright and a chromium of the system.
"""

import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from lexiseg.storybook import draw_scene

SCENE = ("base", "val", 36)
SIZE, QUALITY = (1280, 900), 90
PATIENCE = 120_000  # milliseconds
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def png(picture: np.ndarray) -> bytes:
    """A picture as the bytes of a PNG."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


@contextmanager
def server() -> Iterator[str]:
    """The address of a server with the shipped model."""
    command = [sys.executable, "-m", "lexiseg", "serve", "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield re.findall(r"http://\S+", process.stdout.readline())[0]
        process.terminate()


def photograph(address: str, file: Path) -> None:
    """Opens the page, asks about a scene, pins a segment and keeps what is seen."""
    program = next(path for name in BROWSERS if (path := shutil.which(name)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme="light")
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        scene = draw_scene(*SCENE, size=(480, 640))
        page.locator("#file").set_input_files(
            {"name": "scene.png", "mimeType": "image/png", "buffer": png(scene.picture)}
        )
        page.locator("#add-words").fill(", ".join(dict.fromkeys(segment.name for segment in scene.segments)))
        page.locator("#add-words").press("Enter")
        page.locator("#found").wait_for()
        page.locator("#segments .row").first.click()
        page.wait_for_timeout(500)
        seen = page.screenshot()
        browser.close()
    with Image.open(io.BytesIO(seen)) as picture:
        picture.convert("RGB").save(file, quality=QUALITY, method=6)


if __name__ == "__main__":
    with server() as running:
        photograph(running, Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("page.webp"))

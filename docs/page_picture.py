"""Draws docs/page.png: the page in a browser, with a scene that no training has seen and what the shipped model found.

Needs the extra `serve`, playwright and Debian's chromium. Usage: python docs/page_picture.py [FILE]
"""

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from lexiseg.server.app import create_app
from lexiseg.server.run import address_of, listen, server_of
from lexiseg.server.settings import Settings
from lexiseg.storybook import draw_scene

CHROMIUM, ARGUMENTS = "/usr/bin/chromium", ["--no-sandbox", "--disable-gpu", "--no-first-run"]
SCENE, SIZE = ("base", "val", 36), (480, 640)
WORDS = "sky, sand, water, bus, carrot, car|automobile, ladybug, traffic light, castle, tree"
PINNED = "ladybug"
WIDTH, HEIGHT = 1280, 840
COLOURS, REFINED = 256, 6  # of the file's palette, and how often it is made better


@contextmanager
def served() -> Iterator[str]:
    """The address of a server with the shipped model."""
    settings = Settings(device="cpu")
    with listen(settings.host, 0) as listening:
        server = server_of(create_app(settings), settings.limits)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield address_of(listening)
        server.should_exit = True
        thread.join()


def screenshot(url: str) -> Image.Image:
    """The page with the scene's answer and one segment pinned."""
    scene = io.BytesIO()
    Image.fromarray(draw_scene(*SCENE, size=SIZE).picture).save(scene, "PNG")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, reduced_motion="reduce")
        page.goto(url)
        page.locator("#file").set_input_files(
            {"name": "scene.png", "mimeType": "image/png", "buffer": scene.getvalue()}
        )
        page.locator("#add-words").fill(WORDS)
        page.locator("#add-words").press("Enter")
        page.locator("#segments .row", has_text=PINNED).click()
        page.locator("#model", has_text="storybook").wait_for()
        with page.expect_response("**/v1/segment"):  # asked again, as fast as it usually is
            page.locator(".chip .remove").last.click()
        page.locator("#opacity").press("ArrowRight")  # a clearer fill
        page.locator("#opacity").evaluate("(slider) => slider.blur()")
        page.mouse.move(0, 0)
        page.wait_for_timeout(500)
        shot = page.screenshot()
        browser.close()
    return Image.open(io.BytesIO(shot)).convert("RGB")


def main() -> None:
    """Takes the screenshot."""
    with served() as url:
        shot = screenshot(url)
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("page.png")
    shot.quantize(COLOURS, kmeans=REFINED).save(file, optimize=True)


if __name__ == "__main__":
    main()

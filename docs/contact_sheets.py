"""Draws the contact sheets of docs/storybook: one per role, and every thing with its name.

Usage: python docs/contact_sheets.py [FOLDER]
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lexiseg.storybook.captions import caption, labels
from lexiseg.storybook.choices import ROLES, Role
from lexiseg.storybook.drawings.pen import random_look
from lexiseg.storybook.drawings.stuff import TEXTURES
from lexiseg.storybook.roles import CONCEPTS, ROLE_CONTENTS, STUFF, THINGS
from lexiseg.storybook.scene import Scene, draw_close_up, draw_scene, draw_small_scene, generator, sprite

PAPER = (252, 250, 244)
FONT = ImageFont.load_default(13)


def sheet(pictures: Sequence[np.ndarray], texts: Sequence[str], *, columns: int, lines: int) -> Image.Image:
    """Lays pictures of one size out in a grid, each with its text below."""
    height, width = pictures[0].shape[:2]
    step_x, step_y, rows = width + 12, height + 16 * lines + 12, -(-len(pictures) // columns)
    page = Image.new("RGB", (columns * step_x + 12, rows * step_y + 12), PAPER)
    draw = ImageDraw.Draw(page)
    for number, (picture, text) in enumerate(zip(pictures, texts, strict=True)):
        x, y = 12 + number % columns * step_x, 12 + number // columns * step_y
        page.paste(Image.fromarray(picture), (x, y))
        for line, words in enumerate(wrap(text, width)[:lines]):
            draw.text((x, y + height + 2 + 16 * line), words, fill=(60, 56, 64), font=FONT)
    return page


def wrap(text: str, width: int) -> list[str]:
    """Breaks a text at spaces so that every line fits."""
    out = [""]
    for word in text.split():
        longer = f"{out[-1]} {word}".strip()
        if FONT.getlength(longer) <= width:
            out[-1] = longer
        else:
            out.append(word)
    return out


def things_sheet() -> Image.Image:
    """Every thing four times, with its name and synonyms; then every stuff."""
    rng = np.random.default_rng(0)
    pictures, texts = [], []
    for name in THINGS:
        strip = np.full((84, 4 * 84, 3), PAPER, np.uint8)
        for place in range(4):
            drawn = sprite(rng, name, 76, random_look(rng))[:84, :84]
            top, left = (84 - drawn.shape[0]) // 2, place * 84 + (84 - drawn.shape[1]) // 2
            window = strip[top : top + drawn.shape[0], left : left + drawn.shape[1]]
            alpha = drawn[..., 3:] / 255
            window[:] = (window * (1 - alpha) + drawn[..., :3] * alpha).astype(np.uint8)
        pictures.append(strip)
        texts.append(" / ".join(CONCEPTS[name].names))
    for name in STUFF:
        tiles = [TEXTURES[name](rng, (84, 84), 160.0) for _ in range(4)]
        pictures.append(np.concatenate(tiles, 1))
        texts.append(" / ".join(CONCEPTS[name].names))
    return sheet(pictures, texts, columns=4, lines=1)


def role_sheet(role: Role) -> Image.Image:
    """Twelve pictures of a role, with what they hold or what is written under them."""
    rng = generator(role, "val", 1, 0)
    if role == "captions":
        scenes = [draw_small_scene(rng, 200) if n % 3 == 2 else draw_close_up(rng, (200, 200)) for n in range(12)]
        texts = [caption(rng, scene) for scene in scenes]
    else:
        scenes = [draw_scene(role, "val", n, size=(200, 240)) for n in range(12)]
        texts = [named(scene, role) for scene in scenes]
    return sheet([scene.picture for scene in scenes], texts, columns=4, lines=3)


def named(scene: Scene, role: Role) -> str:
    """The names in a scene, as the role says them."""
    return ", ".join(ROLE_CONTENTS[role].name_of(name) for name in labels(scene))


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "storybook"
    folder.mkdir(parents=True, exist_ok=True)
    things_sheet().save(folder / "things.jpg", quality=82)
    for one in ROLES:
        role_sheet(one).save(folder / f"{one}.jpg", quality=82)

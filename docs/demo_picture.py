"""Draws docs/demo.png: four scenes that no training has seen, and what the shipped model found in them.

Usage: python docs/demo_picture.py [FILE]
"""

import sys
from pathlib import Path

from PIL import Image

import lexiseg
from lexiseg.inference.visualize import PAPER, side_by_side
from lexiseg.storybook import draw_scene
from lexiseg.storybook.roles import ROLE_CONTENTS, Role

SCENES: tuple[tuple[Role, int], ...] = (("novel", 5), ("novel", 6), ("base", 7), ("base", 8))
"""Some of `lexiseg demo`'s: role, and number in its validation split."""
WIDTH, GAP, COLOURS = 1100, 12, 256


def panel(model: lexiseg.Model, role: Role, number: int) -> Image.Image:
    """A scene and its overlay, side by side."""
    picture = draw_scene(role, "val", number, size=(160, 160)).picture
    result = model.segment(picture, ROLE_CONTENTS[role].vocabulary)
    words = [name for cast in (ROLE_CONTENTS["base"], ROLE_CONTENTS["novel"]) for name in cast.vocabulary.names]
    return side_by_side(result.picture, result.panoptic, asked=words)


def main() -> None:
    """Lays the scenes out in two columns."""
    model = lexiseg.load(device="cpu")
    panels = [panel(model, role, number) for role, number in SCENES]
    width, height = (max(getattr(p, side) for p in panels) for side in ("width", "height"))
    page = Image.new("RGB", (2 * width + 3 * GAP, 2 * height + 3 * GAP), PAPER)
    for number, one in enumerate(panels):
        page.paste(one, (GAP + number % 2 * (width + GAP), GAP + number // 2 * (height + GAP)))
    page = page.resize((WIDTH, round(page.height * WIDTH / page.width)), Image.Resampling.LANCZOS)
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("demo.png")
    page.quantize(COLOURS, method=Image.Quantize.MEDIANCUT).save(file, optimize=True)


if __name__ == "__main__":
    main()

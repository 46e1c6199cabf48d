"""Drawn scenes to try the server with."""

import functools
import io
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from lexiseg.storybook.choices import Role
from lexiseg.storybook.scene import draw_scene

SIZE = (480, 640)
"""Height and width in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A scene of a role's split val, and the words of what it shows: known without drawing it."""

    role: Role
    index: int
    words: str


EXAMPLES: Mapping[str, Example] = {
    "ladybug": Example(role="base", index=36, words="sky, sand, water, bus, carrot, car, ladybug, traffic light"),
    "mushroom": Example(role="base", index=13, words="brick wall, wooden floor, mushroom, apple, cup"),
    "butterflies": Example(role="base", index=7, words="sky, brick wall, sand, road, butterfly, cat, boat, horse"),
    "windmill": Example(role="novel", index=40, words="wallpaper, tiles, curtain, windmill, frog, cup"),
    "bee": Example(role="novel", index=18, words="wallpaper, wooden floor, carpet, frog, chair, cactus, bee"),
    "buses": Example(role="dusk", index=5, words="sky, grass, tree, boat, bus, lamp"),
}
"""By names."""


@functools.cache
def example_png(name: str) -> bytes:
    """An example as a PNG; drawn once."""
    example, buffer = EXAMPLES[name], io.BytesIO()
    Image.fromarray(draw_scene(example.role, "val", example.index, size=SIZE).picture).save(buffer, "PNG")
    return buffer.getvalue()

"""Drawn scenes to try the server with."""

import functools
import io

from PIL import Image

from lexiseg.storybook.choices import Role
from lexiseg.storybook.scene import Scene, draw_scene

SIZE = (480, 640)
"""Height and width in pixels."""
EXAMPLES: dict[str, tuple[Role, int]] = {
    "base-0": ("base", 0),
    "base-1": ("base", 1),
    "novel-0": ("novel", 0),
    "novel-1": ("novel", 1),
    "novel-2": ("novel", 2),
    "dusk-0": ("dusk", 0),
}
"""Each example's scene: a role of the drawn world, and the number of a picture of its split val."""


def words_of_example(name: str) -> list[str]:
    """The words of what an example shows."""
    return list(dict.fromkeys(segment.name for segment in _scene(name).segments if not segment.is_distractor))


@functools.cache
def example_png(name: str) -> bytes:
    """An example as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(_scene(name).picture).save(buffer, "PNG")
    return buffer.getvalue()


@functools.cache
def _scene(name: str) -> Scene:
    role, index = EXAMPLES[name]
    return draw_scene(role, "val", index, size=SIZE)

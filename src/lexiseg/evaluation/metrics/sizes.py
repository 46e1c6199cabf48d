"""COCO's sizes of objects and segments."""

from collections.abc import Mapping
from typing import Literal

Size = Literal["small", "medium", "large"]
LIMITS = (32.0, 96.0)
"""Square roots of the areas, in pixels, from which on an object is medium and large."""
SIZES: Mapping[Size, str] = {"small": "below 32 x 32", "medium": "below 96 x 96", "large": "from 96 x 96"}
"""In pixels of the picture."""


def size_of(side: float, limits: tuple[float, float] = LIMITS) -> Size:
    """The size of what has the square root of its area, in pixels."""
    return "small" if side < limits[0] else "medium" if side < limits[1] else "large"

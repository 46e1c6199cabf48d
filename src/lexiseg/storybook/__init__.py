"""Synthetic data: drawn children's-book scenes with exact masks, captions and labels, from a seed."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lexiseg.storybook.scene import draw_scene

__all__ = ["draw_scene"]


def __getattr__(name: str) -> Any:
    """Imports `draw_scene` at its first use, so that the package itself is imported without the drawings."""
    if name != "draw_scene":
        raise AttributeError(f"module 'lexiseg.storybook' has no attribute {name!r}")
    from lexiseg.storybook.scene import draw_scene

    globals()[name] = draw_scene
    return draw_scene

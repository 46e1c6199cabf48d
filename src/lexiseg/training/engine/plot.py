"""A run's loss, and its main figure of validation, as a picture."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw

SIZE, MARGIN = (900, 420), (64, 32, 56, 36)  # left, top, right and bottom
PAPER, INK, GRID = (252, 251, 248), (90, 90, 98), (224, 222, 216)
LOSS, FAINT_LOSS, FIGURE = (42, 92, 170), (176, 196, 226), (196, 84, 40)
SMOOTHING = 0.9
Points = list[tuple[float, float]]
Range = tuple[float, float]
Colour = tuple[int, int, int]


def plot_losses(lines: Sequence[Mapping[str, Any]]) -> Image.Image:
    """Draws the loss, faint as it was and smoothed, and the first figure of every evaluation with an axis of its own.

    Args:
        lines: of the log.
    """
    losses = [(line["step"], line["loss"]) for line in lines if math.isfinite(line.get("loss", math.nan))]
    names = [name for line in lines for name in line if name.startswith("val_")]
    figures = [(line["step"], line[names[0]]) for line in lines if names and names[0] in line]
    picture = Image.new("RGB", SIZE, PAPER)
    if not losses:
        return picture
    pen = ImageDraw.Draw(picture)
    last_step = max(step for step, _ in (*losses, *figures))
    _draw_axis(pen, _range_of(losses), "loss", LOSS, is_left=True)
    _draw_line(pen, losses, last_step, _range_of(losses), FAINT_LOSS)
    _draw_line(pen, _smoothed(losses), last_step, _range_of(losses), LOSS)
    if figures:
        _draw_line(pen, figures, last_step, _range_of(figures), FIGURE)
        _draw_axis(pen, _range_of(figures), names[0].removeprefix("val_"), FIGURE, is_left=False)
    left, _, right, bottom = MARGIN
    pen.text((left, SIZE[1] - bottom + 10), "0", fill=INK)
    pen.text((SIZE[0] - right, SIZE[1] - bottom + 10), f"{last_step} steps", fill=INK, anchor="ra")
    return picture


def _smoothed(points: Points) -> Points:
    """An exponential average, without a pull towards its beginning."""
    total = weight = 0.0
    smooth: Points = []
    for step, value in points:
        total, weight = SMOOTHING * total + value, SMOOTHING * weight + 1
        smooth.append((step, total / weight))
    return smooth


def _range_of(points: Points) -> Range:
    values = [value for _, value in points]
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _place(share_across: float, share_up: float) -> tuple[float, float]:
    left, top, right, bottom = MARGIN
    width, height = SIZE[0] - left - right, SIZE[1] - top - bottom
    return left + share_across * width, top + (1 - share_up) * height


def _draw_line(pen: ImageDraw.ImageDraw, points: Points, last_step: float, values: Range, colour: Colour) -> None:
    low, high = values
    places = [_place(step / last_step, (value - low) / (high - low)) for step, value in points]
    if len(places) == 1:
        ((across, down),) = places
        pen.ellipse((across - 2, down - 2, across + 2, down + 2), fill=colour)
    pen.line(places, fill=colour, width=2)


def _draw_axis(pen: ImageDraw.ImageDraw, values: Range, name: str, colour: Colour, *, is_left: bool) -> None:
    low, high = values
    edge, anchor, away = (0.0, "rm", -6) if is_left else (1.0, "lm", 6)
    for share in (0, 0.25, 0.5, 0.75, 1):
        across, down = _place(edge, share)
        if is_left:
            pen.line([(across, down), _place(1, share)], fill=GRID)
        pen.text((across + away, down), f"{low + share * (high - low):.3g}", fill=colour, anchor=anchor)
    across, down = _place(edge, 1)
    pen.text((across, down - 8), name, fill=colour, anchor="lb" if is_left else "rb")

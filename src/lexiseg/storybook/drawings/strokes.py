"""Strokes and colours that several drawings share."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from lexiseg.storybook.drawings.pen import INK, PAPER, RGB, Pen, Point, shade, spline

ORANGE: RGB = (240, 150, 50)
RED: RGB = (208, 52, 52)
WOOD: RGB = (138, 94, 60)
WATER: RGB = (120, 180, 226)
FLAME: RGB = (250, 176, 48)
STEEL: RGB = (190, 190, 196)
GLASS: RGB = (178, 214, 232)
LAMP: RGB = (250, 230, 140)
PINK: RGB = (232, 140, 150)


def ink_or_paper(fill: RGB) -> RGB:
    """The one of ink and paper that shows on `fill`."""
    return INK if sum(fill) > 300 else PAPER


def mark(fill: RGB) -> RGB:
    """A softer colour that shows on `fill`: darker on light, lighter on dark."""
    return shade(fill, -0.65 if sum(fill) > 330 else 0.7)


def arc(cx: float, cy: float, rx: float, ry: float, start: float, end: float, steps: int = 14) -> list[Point]:
    """Points along an ellipse, angles in degrees clockwise on the page from the right."""
    return curve(cx, cy, rx, ry, [math.radians(start + (end - start) * i / steps) for i in range(steps + 1)])


def curve(cx: float, cy: float, rx: float, ry: float, angles: Iterable[float]) -> list[Point]:
    """Points of an ellipse at angles in radians, clockwise on the page from the right."""
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


def both_sides(half: Sequence[Point]) -> tuple[list[Point], list[Point]]:
    """The right and the left side of a symmetric outline, clockwise, from x beside the middle line and y downwards."""
    return [(0.5 + x, y) for x, y in half], [(0.5 - x, y) for x, y in reversed(half)]


def rod(pen: Pen, points: Sequence[Point], width: float, fill: RGB) -> None:
    """Draws a stroke with an inked edge, for handles and hoops that leave a hole."""
    pen.line(points, width + 0.035, shade(fill, -0.6))
    pen.line(points, width, fill)


def tube(pen: Pen, spine: Sequence[Point], start: float, end: float, fill: RGB) -> None:
    """Fills a smooth tapering tube along a spine, from the width `start` to the width `end`."""
    knots = np.asarray([spine[0], *spine, spine[-1]], dtype=float)
    path = np.concatenate([spline(knots[:-3], knots[1:-2], knots[2:-1], knots[3:]), knots[-1:]])
    along = np.gradient(path, axis=0)
    along /= np.maximum(np.hypot(along[:, :1], along[:, 1:]), 1e-9)
    side = np.stack([-along[:, 1], along[:, 0]], 1) * np.linspace(start, end, len(path))[:, None] / 2
    pen.polygon(np.concatenate([path + side, (path - side)[::-1]]), fill)


def limb(pen: Pen, start: Point, bend: Point, end: Point, width: float, fill: RGB, *, tip: float = 1.0) -> None:
    """Draws a curved limb that narrows from `width` to `tip` times that, round at its end."""
    t = np.linspace(0, 1, 7)[:, None]
    a, b, c = np.array(start), np.array(bend), np.array(end)
    spine = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
    along = (1 - t) * (b - a) + t * (c - b)
    along = along / np.maximum(np.hypot(along[:, :1], along[:, 1:]), 1e-6)
    across = along[:, ::-1] * (-1, 1) * width / 2 * (1 + (tip - 1) * t)
    cap = spine[-1:] + along[-1:] * width * tip / 2
    pen.polygon(np.concatenate([spine + across, cap, (spine - across)[::-1]]), fill)


def puffs(pen: Pen, circles: Sequence[tuple[float, float, float]], fill: RGB) -> None:
    """Draws overlapping circles (x, y, radius) that share one outline."""
    for x, y, r in circles:
        pen.circle(x, y, r, fill)
    for x, y, r in circles:
        pen.circle(x, y, r - 0.009, fill, outline=False)


def smile(pen: Pen, x: float, y: float, half: float) -> None:
    """Draws a smiling mouth."""
    pen.line(curve(x, y, half, half * 0.7, np.linspace(0.15, math.pi - 0.15, 6)), 0.022, INK)

"""Figures and textures at random, which have no name."""

import math

import numpy as np

from lexiseg.storybook.drawings.pen import INK, PAPER, RGB, Pen, Rng
from lexiseg.storybook.drawings.stuff import Texture, grid, mixed, noise


def figure(pen: Pen) -> None:
    """One to four parts of any shape around a body, often with limbs, sometimes the same on both sides."""
    colours = (pen.main, pen.main, pen.second, pen.dark, pen.light, INK, PAPER)
    width, height = pen.vary(0.12, 0.42), pen.vary(0.12, 0.42)
    is_even = pen.chance(0.4)
    places: list[tuple[float, float, float, float, RGB]] = []
    for _ in range(pen.count(0, 3)):
        angle, reach = pen.vary(0, 2 * math.pi), pen.vary(0.6, 1.1)
        place = (reach * width * math.cos(angle), reach * height * math.sin(angle))
        size = (pen.vary(0.05, 0.24), pen.vary(0.05, 0.24))
        places.append((*place, *size, colours[pen.count(0, len(colours) - 1)]))
    for _ in range(pen.count(0, 4) if pen.chance(0.5) else 0):
        angle, reach = pen.vary(0, 2 * math.pi), pen.vary(1.1, 1.7)
        x, y = reach * width * math.cos(angle), reach * height * math.sin(angle)
        for side in (1, -1) if is_even else (1,):
            pen.line([(0.5, 0.5), (0.5 + side * x, 0.5 + y)], pen.vary(0.03, 0.09), colours[pen.count(0, 4)])
    behind = pen.count(0, len(places))
    for place in places[:behind]:
        _parts(pen, *place, is_even=is_even)
    _part(pen, 0.5, 0.5, width, height, colours[pen.count(0, 2)])
    for place in places[behind:]:
        _parts(pen, *place, is_even=is_even)


def _parts(pen: Pen, x: float, y: float, rx: float, ry: float, fill: RGB, *, is_even: bool) -> None:
    for side in (1, -1) if is_even else (1,):
        _part(pen, 0.5 + side * x, 0.5 + y, rx, ry, fill)


def _part(pen: Pen, x: float, y: float, rx: float, ry: float, fill: RGB) -> None:
    """An ellipse, a box, a polygon or a blob about a point."""
    kind = pen.count(0, 3)
    if kind == 0:
        pen.ellipse(x, y, rx, ry, fill, angle=pen.vary(-0.8, 0.8))
    elif kind == 1:
        pen.box(x - rx, y - ry, x + rx, y + ry, fill, round_by=max(0.0, pen.vary(-0.1, 0.1)))
    else:
        count, turn = pen.count(3, 8), pen.vary(0, 2 * math.pi)
        angles = [turn + 2 * math.pi * i / count for i in range(count)]
        reaches = [pen.vary(0.45, 1.15) for _ in angles]
        points = [(x + r * rx * math.cos(a), y + r * ry * math.sin(a)) for a, r in zip(angles, reaches, strict=True)]
        (pen.polygon if kind == 2 else pen.blob)(points, fill)


def pattern(rng: Rng, size: tuple[int, int], unit: float) -> Texture:
    """Two colours in stripes, checks, spots, bumps or a gradient, at any angle and scale."""
    colours = rng.integers(20, 250, (2, 3)).astype(np.float32)
    if rng.random() < 0.5:
        colours[1] = np.clip(colours[0] + rng.integers(-50, 51, 3), 0, 255)
    y, x = grid(size)
    period, angle = unit * np.exp(rng.uniform(math.log(0.03), math.log(0.25))), rng.uniform(0, math.pi)
    bend = rng.uniform(0, 0.5) * noise(rng, size, 4)
    u = (x * math.cos(angle) + y * math.sin(angle)) / period + bend
    v = (y * math.cos(angle) - x * math.sin(angle)) / period * rng.uniform(0.4, 1.6)
    kinds = (
        np.mod(u, 1) < rng.uniform(0.15, 0.6),
        (np.mod(u, 1) < 0.5) ^ (np.mod(v, 1) < 0.5),
        (np.mod(u, 1) - 0.5) ** 2 + (np.mod(v, 1) - 0.5) ** 2 < rng.uniform(0.01, 0.15),
        (np.mod(u, 1) < 0.1) | (np.mod(v, 1) < 0.1),
        0.5 + 0.5 * np.sin(2 * math.pi * u),
        0.5 + 0.5 * noise(rng, size, min(size) / period),
        np.linspace(0, 1, size[0])[:, None] * np.ones(size),
    )
    where = kinds[rng.integers(len(kinds))].astype(np.float32)
    return mixed(colours[0], colours[1], np.clip(where + 0.15 * noise(rng, size, 6), -0.2, 1.2))

"""Drawings of animals."""

import math
from collections.abc import Sequence

import numpy as np

from lexiseg.data.storybook.pen import INK, PAPER, RGB, Pen, Point, shade

WING = (214, 234, 246)
NOSE = (232, 140, 150)


def _mark(pen: Pen) -> RGB:
    """The one of ink and paper that shows on the main colour."""
    return INK if sum(pen.main) > 300 else PAPER


def _tube(pen: Pen, spine: Sequence[Point], start: float, end: float, fill: RGB) -> None:
    """Fills a smooth tapering tube along a spine, from the width `start` to the width `end`."""
    knots = np.asarray([spine[0], *spine, spine[-1]], dtype=float)
    t = np.linspace(0, 1, 6, endpoint=False)[:, None, None]
    p0, p1, p2, p3 = knots[None, :-3], knots[None, 1:-2], knots[None, 2:-1], knots[None, 3:]
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    path = np.concatenate([curve.transpose(1, 0, 2).reshape(-1, 2), knots[-1:]])
    along = np.gradient(path, axis=0)
    along /= np.maximum(np.hypot(along[:, :1], along[:, 1:]), 1e-9)
    side = np.stack([-along[:, 1], along[:, 0]], 1) * np.linspace(start, end, len(path))[:, None] / 2
    pen.polygon(np.concatenate([path + side, (path - side)[::-1]]), fill)


def cat(pen: Pen) -> None:
    """A cat sits and looks at the reader: pointed ears, whiskers, a tail curled up beside it."""
    wide, ear, tip = pen.vary(0.2, 0.24), pen.vary(0.05, 0.09), pen.vary(0.36, 0.5)
    _tube(pen, [(0.6, 0.88), (0.82, 0.88), (0.9, 0.7), (0.82, 0.56), (0.88, tip)], 0.1, 0.07, pen.main)
    pen.blob(
        [(0.45, 0.4), (0.6, 0.52), (0.7, 0.8), (0.64, 0.94), (0.26, 0.94), (0.2, 0.8), (0.3, 0.52)],
        pen.main,
    )
    if pen.chance(0.5):
        pen.ellipse(0.45, 0.7, 0.09, 0.13, pen.light, outline=False)
    for x in (0.37, 0.53):
        pen.ellipse(x, 0.91, 0.075, 0.045, pen.main)
    for s in (-1, 1):
        pen.polygon(
            [(0.45 + s * wide, 0.3), (0.45 + s * (wide - 0.01), ear), (0.45 + s * 0.04, 0.17)],
            pen.main,
        )
        pen.polygon(
            [
                (0.45 + s * (wide - 0.03), 0.2),
                (0.45 + s * (wide - 0.03), ear + 0.05),
                (0.45 + s * 0.1, 0.17),
            ],
            pen.second,
            outline=False,
        )
    pen.ellipse(0.45, 0.32, wide, 0.165, pen.main)
    for s in (-1, 1):
        pen.eye(0.45 + s * 0.09, 0.29, 0.042)
        pen.line([(0.45 + s * 0.1, 0.365), (0.45 + s * 0.34, 0.33)], 0.014, INK)
        pen.line([(0.45 + s * 0.1, 0.385), (0.45 + s * 0.33, 0.42)], 0.014, INK)
    pen.polygon([(0.41, 0.35), (0.49, 0.35), (0.45, 0.4)], NOSE)


def dog(pen: Pen) -> None:
    """A dog stands: a hanging ear, a long muzzle with a black nose, a collar, a tail held up."""
    leg, ear, tail = pen.vary(0.64, 0.74), pen.vary(0.12, 0.17), pen.vary(0.02, 0.12)
    belly = leg + 0.04
    _tube(
        pen,
        [(0.2, leg - 0.16), (0.09, leg - 0.24), (0.04 + tail, leg - 0.42)],
        0.09,
        0.04,
        pen.main,
    )
    for x, fill in ((0.25, pen.dark), (0.53, pen.dark), (0.14, pen.main), (0.61, pen.main)):
        pen.box(x, leg - 0.08, x + 0.1, 0.95, fill, round_by=0.03)
    pen.blob(
        [
            (0.12, leg - 0.16),
            (0.3, leg - 0.21),
            (0.56, leg - 0.22),
            (0.74, leg - 0.2),
            (0.72, belly),
            (0.45, belly - 0.03),
            (0.17, belly),
        ],
        pen.main,
    )
    top = leg - 0.38
    pen.polygon([(0.56, leg - 0.18), (0.56, top), (0.76, top), (0.75, leg - 0.14)], pen.main)
    if pen.chance(0.5):
        pen.ellipse(0.83, top + 0.15, 0.035, 0.07, NOSE)
    pen.ellipse(0.82, top + 0.06, 0.13, 0.085, pen.main)
    pen.circle(0.68, top, 0.16, pen.main)
    pen.ellipse(0.8, top + 0.06, 0.12, 0.07, pen.main, outline=False)
    pen.polygon([(0.55, top + 0.15), (0.76, top + 0.15), (0.76, top + 0.21), (0.55, top + 0.21)], pen.second)
    pen.circle(0.92, top + 0.025, 0.045, INK)
    pen.eye(0.75, top - 0.05, 0.042)
    pen.ellipse(0.58, top + 0.03, 0.068, ear, pen.dark, angle=0.2)


def horse(pen: Pen) -> None:
    """A horse stands on long legs: a neck with a mane, a long face, a flowing tail, hooves."""
    thick, chest, low = pen.vary(0.14, 0.17), pen.vary(0.2, 0.25), pen.vary(0.7, 0.85)
    pen.blob(
        [(0.18, 0.44), (0.1, 0.46), (0.04, 0.6), (0.04, low), (0.12, low - 0.06), (0.15, 0.58)],
        pen.second,
    )
    for x, fill in ((0.26, pen.dark), (0.53, pen.dark), (0.17, pen.main), (0.61, pen.main)):
        pen.box(x, 0.5, x + 0.08, 0.95, fill)
        pen.box(x, 0.89, x + 0.085, 0.95, INK)
    pen.blob([(0.8, 0.06), (0.7, 0.07), (0.58, 0.2), (0.5, 0.42), (0.62, 0.42), (0.74, 0.2)], pen.second)
    pen.polygon([(0.72, 0.14), (0.74, 0.02), (0.8, 0.12)], pen.main)
    pen.polygon([(0.52, 0.5), (0.62, 0.26), (0.72, 0.1), (0.82, 0.24), (0.76, 0.34), (0.72, 0.55)], pen.main)
    pen.ellipse(0.43, 0.52, 0.29, thick, pen.main)
    pen.polygon(
        [(0.53, 0.49), (0.63, 0.29), (0.75, 0.29), (0.69, 0.54), (0.6, 0.6)],
        pen.main,
        outline=False,
    )
    pen.blob(
        [
            (0.71, 0.1),
            (0.82, 0.1),
            (0.91, chest + 0.02),
            (0.95, chest + 0.13),
            (0.88, chest + 0.16),
            (0.79, chest + 0.06),
            (0.72, 0.22),
        ],
        pen.main,
    )
    pen.circle(0.91, chest + 0.1, 0.014, _mark(pen), outline=False)
    pen.eye(0.8, 0.17, 0.035)
    if pen.chance(0.35):
        pen.box(0.3, 0.36, 0.5, 0.52, pen.second, round_by=0.05)


def elephant(pen: Pen) -> None:
    """An elephant: a huge body on pillar legs, a big ear, a long trunk, a tusk."""
    ear, belly, leg = pen.vary(0.13, 0.16), pen.vary(0.24, 0.28), pen.vary(0.13, 0.16)
    pen.line([(0.1, 0.45), (0.06, 0.56), (0.06, 0.68)], 0.025, shade(pen.main, -0.5))
    for x, fill in ((0.24, pen.dark), (0.46, pen.dark), (0.1, pen.main), (0.56, pen.main)):
        pen.box(x, 0.6, x + leg, 0.95, fill, round_by=0.03)
    pen.ellipse(0.39, 0.5, 0.32, belly, pen.main)
    if pen.chance(0.4):
        trunk = [(0.8, 0.42), (0.87, 0.54), (0.92, 0.46), (0.89, 0.3), (0.92, 0.12)]
    else:
        trunk = [(0.8, 0.42), (0.87, 0.55), (0.86, 0.74), (0.88, 0.87), (0.95, 0.85)]
    _tube(pen, trunk, 0.16, 0.06, pen.main)
    pen.polygon([(0.72, 0.52), (0.8, 0.52), (0.92, 0.64), (0.82, 0.63)], PAPER)
    pen.circle(0.7, 0.38, 0.18, pen.main)
    pen.ellipse(0.79, 0.43, 0.065, 0.06, pen.main, outline=False)
    pen.blob(
        [(0.62, 0.2), (0.5, 0.22), (0.6 - 1.5 * ear, 0.38), (0.5, 0.6), (0.6, 0.58), (0.66, 0.4)],
        pen.dark,
    )
    pen.eye(0.76, 0.32, 0.04)


def pig(pen: Pen) -> None:
    """A pig: a fat barrel on stub legs, a flat snout with two holes, a curly tail."""
    fat, snout, leg = pen.vary(0.24, 0.29), pen.vary(0.08, 0.105), pen.vary(0.09, 0.12)
    turn = np.linspace(0, 2.6 * math.pi, 18)
    curl = [(0.14 - 0.005 * a - 0.045 * math.sin(a) * 0.9, 0.5 - 0.055 * (1 - math.cos(a))) for a in turn]
    pen.line(curl, 0.025, shade(pen.main, -0.5))
    for x, fill in ((0.27, pen.dark), (0.56, pen.dark), (0.18, pen.main), (0.65, pen.main)):
        pen.box(x, 0.72, x + leg, 0.95, fill)
        pen.box(x, 0.9, x + leg, 0.95, INK)
    pen.ellipse(0.46, 0.59, 0.34, fat, pen.main)
    pen.polygon([(0.76, 0.32), (0.86, 0.2), (0.86, 0.38)], pen.dark)
    pen.circle(0.73, 0.5, 0.19, pen.main)
    pen.polygon([(0.57, 0.38), (0.6, 0.19), (0.74, 0.33)], pen.dark)
    pen.ellipse(0.87, 0.53, 0.08, snout, pen.light)
    for x in (0.845, 0.895):
        pen.ellipse(x, 0.53, 0.016, 0.034, INK, outline=False)
    pen.eye(0.74, 0.43, 0.038)
    pen.line([(0.7, 0.6), (0.76, 0.63), (0.82, 0.625)], 0.016, _mark(pen))


def rabbit(pen: Pen) -> None:
    """A rabbit sits: two very long ears, a round haunch, a fluffy tail, front teeth."""
    ear, lean, haunch = pen.vary(0.155, 0.185), pen.vary(-0.25, 0.0), pen.vary(0.15, 0.19)
    for x, turn in ((0.7, lean + 0.35), (0.6, lean)):
        cx, cy = x + ear * math.sin(turn), 0.4 - ear * math.cos(turn)
        pen.ellipse(cx, cy, 0.062, ear, pen.main, angle=turn)
        pen.ellipse(cx, cy, 0.025, ear * 0.7, NOSE, angle=turn, outline=False)
    pen.circle(0.16, 0.78, 0.095, PAPER)
    pen.ellipse(0.68, 0.9, 0.1, 0.045, pen.main)
    pen.blob(
        [
            (0.56, 0.48),
            (0.7, 0.62),
            (0.7, 0.86),
            (0.52, 0.95),
            (0.26, 0.93),
            (0.18, 0.76),
            (0.32, 0.58),
        ],
        pen.main,
    )
    pen.ellipse(0.4, 0.78, haunch, haunch - 0.02, pen.main)
    pen.ellipse(0.48, 0.91, 0.17, 0.04, pen.main)
    pen.box(0.775, 0.52, 0.825, 0.61, PAPER)
    pen.ellipse(0.67, 0.46, 0.18, 0.135, pen.main, angle=0.15)
    pen.circle(0.84, 0.46, 0.03, NOSE)
    pen.eye(0.72, 0.42, 0.042)
    if pen.chance(0.4):
        pen.blob([(0.52, 0.57), (0.68, 0.6), (0.7, 0.66), (0.52, 0.63)], pen.second)


def giraffe(pen: Pen) -> None:
    """A giraffe: a very long neck, two small horns, thin legs, big patches."""
    neck, thick, leg = pen.vary(0.66, 0.74), pen.vary(0.1, 0.13), pen.vary(0.06, 0.075)
    pen.line([(0.2, 0.6), (0.13, 0.68), (0.13, 0.78)], 0.02, shade(pen.main, -0.5))
    pen.circle(0.13, 0.8, 0.03, INK, outline=False)
    for x, fill in ((0.29, pen.dark), (0.48, pen.dark), (0.22, pen.main), (0.53, pen.main)):
        pen.box(x, 0.62, x + leg, 0.95, fill)
    for x in (neck, neck + 0.07):
        pen.line([(x, 0.16), (x - 0.01, 0.06)], 0.022, shade(pen.main, -0.5))
        pen.circle(x - 0.01, 0.06, 0.027, INK, outline=False)
    pen.blob([(0.19, 0.6), (0.36, 0.55), (0.58, 0.54), (0.62, 0.66), (0.5, 0.73), (0.26, 0.73)], pen.main)
    _tube(pen, [(0.53, 0.66), (0.58, 0.45), (neck + 0.02, 0.14)], 0.19, thick, pen.main)
    pen.ellipse(0.5, 0.65, 0.1, 0.06, pen.main, outline=False)
    pen.ellipse(neck - 0.07, 0.15, 0.06, 0.028, pen.main, angle=0.3)
    pen.ellipse(neck + 0.09, 0.17, 0.14, 0.065, pen.main, angle=0.3)
    for i in range(4):
        pen.ellipse(0.55 + (neck - 0.56) * i / 4, 0.54 - 0.09 * i, 0.035, 0.03, pen.second)
    for x, y in ((0.29, 0.61), (0.39, 0.66), (0.49, 0.63)):
        pen.ellipse(x, y, 0.042, 0.033, pen.second)
    pen.eye(neck + 0.06, 0.15, 0.032)


def sheep(pen: Pen) -> None:
    """A sheep: a cloud of wool on thin dark legs, a bare face with drooping ears."""
    bumps, high, leg = pen.count(10, 13), pen.vary(0.27, 0.32), pen.vary(0.055, 0.075)
    for x in (0.24, 0.34, 0.54, 0.64):
        pen.box(x, 0.7, x + leg, 0.95, INK)
    turn = np.linspace(0, 2 * math.pi, 8 * bumps, endpoint=False)
    reach = 0.85 + 0.16 * np.abs(np.sin(turn * bumps / 2))
    wool = np.stack([0.44 + 0.38 * reach * np.cos(turn), 0.52 + high * reach * np.sin(turn)], 1)
    pen.polygon(wool, pen.main)
    if pen.chance(0.5):
        for x, y in ((0.25, 0.46), (0.4, 0.6), (0.46, 0.38)):
            pen.line(
                [(x, y), (x + 0.03, y + 0.04), (x + 0.08, y + 0.03), (x + 0.09, y - 0.02)],
                0.016,
                pen.dark,
            )
    pen.ellipse(0.62, 0.39, 0.1, 0.042, pen.second, angle=-0.5)
    pen.ellipse(0.9, 0.39, 0.09, 0.042, pen.second, angle=0.6)
    pen.ellipse(0.77, 0.46, 0.105, 0.16, pen.second, angle=-0.15)
    for x, y in ((0.68, 0.32), (0.76, 0.28), (0.84, 0.32)):
        pen.circle(x, y, 0.06, pen.main)
    pen.eye(0.74, 0.43, 0.032)
    pen.eye(0.83, 0.43, 0.032)
    pen.line([(0.765, 0.56), (0.795, 0.575), (0.825, 0.56)], 0.016, INK)


def mouse(pen: Pen) -> None:
    """A mouse: a low drop of a body with a pointed nose, big round ears, a long thin tail."""
    ear, tail, back = pen.vary(0.13, 0.16), pen.vary(0.2, 0.4), pen.vary(0.42, 0.5)
    _tube(pen, [(0.3, 0.88), (0.12, 0.86), (0.07, 0.7), (0.15, 0.55), (0.08, tail)], 0.05, 0.02, NOSE)
    pen.circle(0.7, 0.47, ear * 0.9, pen.dark)
    for x in (0.34, 0.64):
        pen.ellipse(x, 0.92, 0.08, 0.03, NOSE)
    pen.blob(
        [
            (0.95, 0.77),
            (0.8, 0.62),
            (0.62, 0.53),
            (0.42, back),
            (0.24, 0.58),
            (0.19, 0.78),
            (0.28, 0.91),
            (0.55, 0.92),
            (0.82, 0.88),
        ],
        pen.main,
    )
    pen.circle(0.56, 0.48, ear, pen.main)
    pen.circle(0.56, 0.48, ear * 0.65, NOSE, outline=False)
    for y in (0.7, 0.8, 0.9):
        pen.line([(0.83, 0.8), (0.7, y + 0.03)], 0.012, _mark(pen))
    pen.circle(0.93, 0.775, 0.04, INK)
    pen.eye(0.76, 0.68, 0.042)


def turtle(pen: Pen) -> None:
    """A turtle: a domed shell with plates, stub legs, a head stretched out on a neck."""
    high, neck, flat = pen.vary(0.34, 0.44), pen.vary(0.42, 0.58), pen.vary(0.3, 0.5)
    pen.polygon([(0.14, 0.74), (0.04, 0.84), (0.16, 0.84)], pen.second)
    for x in (0.16, 0.54):
        pen.box(x, 0.74, x + 0.15, 0.95, pen.second, round_by=0.05)
    _tube(pen, [(0.66, 0.78), (0.79, 0.74), (0.85, neck)], 0.13, 0.1, pen.second)
    pen.ellipse(0.86, neck, 0.1, 0.085, pen.second)
    pen.eye(0.89, neck - 0.025, 0.033)
    turn = np.linspace(math.pi, 2 * math.pi, 20)
    pen.polygon(np.stack([0.43 + 0.35 * np.cos(turn), 0.8 + (high + 0.06) * np.sin(turn)], 1), pen.main)
    rim, top = 0.76, 0.78 - high * 0.75
    for s in (-1, 1):
        corner = (0.43 + s * 0.17, rim - flat * high)
        pen.line([(0.43 + s * 0.14, rim), corner, (0.43 + s * 0.08, top)], 0.018, _mark(pen))
        pen.line([corner, (0.43 + s * 0.29, rim - high * 0.5)], 0.018, _mark(pen))
    pen.line([(0.35, top), (0.51, top)], 0.018, _mark(pen))
    pen.box(0.07, 0.75, 0.79, 0.83, pen.dark, round_by=0.04)


def frog(pen: Pen) -> None:
    """A frog squats and faces the reader: eyes on top, a wide mouth, folded hind legs."""
    eye, wide, knee = pen.vary(0.1, 0.13), pen.vary(0.26, 0.31), pen.vary(0.52, 0.6)
    foot = [(0.2, 0.87), (0.36, 0.86), (0.46, 0.89), (0.41, 0.91), (0.45, 0.95), (0.34, 0.93)]
    for s in (-1, 1):
        pen.blob(
            [
                (0.5 + s * 0.2, 0.86),
                (0.5 + s * 0.25, knee + 0.06),
                (0.5 + s * 0.37, knee),
                (0.5 + s * 0.44, knee + 0.14),
                (0.5 + s * 0.36, 0.9),
            ],
            pen.main,
        )
        pen.polygon([(0.5 + s * x, y) for x, y in foot], pen.dark)
    pen.ellipse(0.5, 0.71, 0.25, 0.23, pen.main)
    pen.ellipse(0.5, 0.77, 0.15, 0.16, pen.light, outline=False)
    for s in (-1, 1):
        _tube(
            pen,
            [(0.5 + s * 0.17, 0.66), (0.5 + s * 0.16, 0.8), (0.5 + s * 0.12, 0.93)],
            0.08,
            0.07,
            pen.main,
        )
        pen.circle(0.5 + s * 0.17, 0.3, eye, pen.main)
    pen.ellipse(0.5, 0.46, wide, 0.18, pen.main)
    for s in (-1, 1):
        pen.circle(0.5 + s * 0.17, 0.31, eye * 0.86, pen.main, outline=False)
        pen.eye(0.5 + s * 0.17, 0.29, eye * 0.66)
    smile = ((-1, 0.47), (-0.5, 0.53), (0.5, 0.53), (1, 0.47))
    pen.line([(0.5 + s * (wide - 0.06), y) for s, y in smile], 0.024, _mark(pen))
    if pen.chance(0.3):
        pen.blob([(0.47, 0.53), (0.56, 0.53), (0.57, 0.66), (0.5, 0.68)], NOSE)


def snail(pen: Pen) -> None:
    """A snail: a coiled shell on a long flat foot, two stalks with eyes."""
    r, stalk, turns = pen.vary(0.28, 0.33), pen.vary(0.26, 0.42), pen.vary(2.0, 2.6)
    for x in (0.78, 0.9):
        pen.line([(0.83, 0.62), (x, stalk)], 0.03, shade(pen.second, -0.4))
        pen.eye(x, stalk, 0.045)
    pen.blob(
        [
            (0.03, 0.93),
            (0.2, 0.83),
            (0.5, 0.8),
            (0.68, 0.74),
            (0.76, 0.56),
            (0.88, 0.53),
            (0.94, 0.64),
            (0.88, 0.84),
            (0.74, 0.94),
            (0.4, 0.95),
        ],
        pen.second,
    )
    pen.circle(0.4, 0.87 - r, r, pen.main)
    turn, reach = np.linspace(0, 2 * math.pi * turns, 40), np.linspace(0.04, 0.98, 40) * r
    coil = np.stack([0.4 + reach * np.cos(turn), 0.87 - r + reach * np.sin(turn)], 1).tolist()
    pen.line(coil, 0.035, _mark(pen))
    pen.line([(0.84, 0.72), (0.88, 0.73), (0.91, 0.7)], 0.016, INK)


def snake(pen: Pen) -> None:
    """A snake: one long winding or coiled body without legs, a raised head, a forked tongue."""
    thick, x, red = pen.vary(0.125, 0.15), pen.vary(0.72, 0.77), (206, 50, 60)
    if pen.chance(0.4):
        y, wide = pen.vary(0.18, 0.26), pen.vary(0.34, 0.4)
        _tube(
            pen,
            [(0.46, 0.7), (0.38, 0.5), (0.46, 0.34), (0.58, y + 0.02), (x, y)],
            thick,
            thick,
            pen.main,
        )
        pen.polygon([(0.16, 0.82), (0.02, 0.7), (0.08, 0.92)], pen.main)
        for i in (2, 1, 0):
            half, low = wide - 0.08 * i, 0.95 - 0.15 * i
            pen.box(0.46 - half, low - 0.17, 0.46 + half, low, pen.main, round_by=0.085)
    else:
        y, wave = pen.vary(0.3, 0.4), pen.vary(0.2, 0.28)
        body = [
            (0.02, 0.7),
            (0.12, 0.86),
            (0.25, 0.86 - wave / 2),
            (0.37, 0.87 - wave),
            (0.47, 0.86 - wave / 2),
        ]
        neck = [(0.58, 0.86), (0.7, 0.78), (0.69, 0.6), (0.62, y + 0.14), (0.66, y + 0.02), (x, y)]
        _tube(pen, body + neck, 0.03, thick, pen.main)
    pen.line([(x + 0.08, y + 0.02), (x + 0.15, y + 0.03)], 0.022, red)
    pen.line([(x + 0.19, y - 0.02), (x + 0.14, y + 0.03), (x + 0.19, y + 0.08)], 0.022, red)
    pen.ellipse(x, y, 0.13, 0.1, pen.main, angle=0.1)
    pen.eye(x + 0.02, y - 0.03, 0.04)


def butterfly(pen: Pen) -> None:
    """A butterfly from above: four spread wings, a thin body, two curled feelers."""
    span, low, spot = pen.vary(0.41, 0.45), pen.vary(0.82, 0.9), pen.vary(0.05, 0.075)
    for s in (-1, 1):
        pen.blob(
            [
                (0.5, 0.5),
                (0.5 + s * 0.28, 0.55),
                (0.5 + s * 0.34, 0.7),
                (0.5 + s * 0.2, low),
                (0.5 + s * 0.06, 0.72),
            ],
            pen.main,
        )
        pen.blob(
            [
                (0.5, 0.5),
                (0.5 + s * 0.16, 0.22),
                (0.5 + s * (span - 0.04), 0.12),
                (0.5 + s * span, 0.32),
                (0.5 + s * 0.32, 0.53),
            ],
            pen.main,
        )
        pen.circle(0.5 + s * 0.29, 0.31, spot * 1.4, pen.second)
        pen.circle(0.5 + s * 0.19, 0.69, spot, pen.second)
        pen.line([(0.5, 0.33), (0.5 + s * 0.05, 0.18), (0.5 + s * 0.13, 0.1)], 0.018, INK)
        pen.circle(0.5 + s * 0.13, 0.1, 0.025, INK, outline=False)
    pen.ellipse(0.5, 0.56, 0.04, 0.22, INK)
    pen.circle(0.5, 0.33, 0.055, INK)


def ladybug(pen: Pen) -> None:
    """A ladybug from above: a round back split in two with spots, a dark head, six short legs."""
    long, wide, spot = pen.vary(0.34, 0.37), pen.vary(0.31, 0.36), pen.vary(0.05, 0.07)
    dots = ((0.13, 0.42), (0.2, 0.6), (0.11, 0.76))[: pen.count(2, 3)]
    for s in (-1, 1):
        for y, rise in ((0.42, -0.1), (0.58, 0.0), (0.74, 0.1)):
            pen.line(
                [
                    (0.5, y),
                    (0.5 + s * 0.38, y + rise * 0.6),
                    (0.5 + s * 0.45, y + rise * 1.3 + 0.03),
                ],
                0.04,
                INK,
            )
        pen.line([(0.5, 0.24), (0.5 + s * 0.1, 0.1), (0.5 + s * 0.18, 0.06)], 0.025, INK)
    pen.ellipse(0.5, 0.25, 0.18, 0.13, INK)
    pen.ellipse(0.5, 0.58, wide, long, pen.main)
    for s in (-1, 1):
        pen.circle(0.5 + s * 0.09, 0.21, 0.035, PAPER)
        for x, y in dots:
            pen.circle(0.5 + s * x, y, spot, _mark(pen), outline=False)
    pen.line([(0.5, 0.58 - long), (0.5, 0.58 + long)], 0.025, _mark(pen))


def bee(pen: Pen) -> None:
    """A bee flies: a plump body with broad bands and a sting, two clear wings, feelers."""
    fat, wing, lift = pen.vary(0.2, 0.25), pen.vary(0.17, 0.21), pen.vary(0.3, 0.6)
    pen.polygon([(0.14, 0.55), (0.03, 0.62), (0.14, 0.68)], INK)
    for x in (0.83, 0.89):
        pen.line([(0.78, 0.48), (x - 0.02, 0.36), (x + 0.04, 0.29)], 0.02, INK)
        pen.circle(x + 0.04, 0.29, 0.025, INK, outline=False)
    pen.ellipse(0.56, 0.3, 0.1, wing, WING, angle=lift)
    pen.ellipse(0.43, 0.62, 0.33, fat, pen.main)
    for x in (0.22, 0.39, 0.56):
        across = np.array([x, x + 0.04, x + 0.08, x + 0.08, x + 0.04, x])
        half = np.sqrt(1 - ((across - 0.43) / 0.33) ** 2) * fat * np.repeat([-0.97, 0.97], 3)
        pen.polygon(np.stack([across, 0.62 + half], 1), _mark(pen), outline=False)
    pen.ellipse(0.38, 0.29, 0.11, wing + 0.02, WING, angle=-lift)
    pen.circle(0.77, 0.59, 0.165, pen.main)
    pen.eye(0.83, 0.55, 0.045)
    pen.line([(0.78, 0.66), (0.83, 0.69), (0.88, 0.66)], 0.018, _mark(pen))


def spider(pen: Pen) -> None:
    """A spider: a round body with eyes and eight bent legs; at times it hangs from a thread."""
    r, knee, spread = pen.vary(0.2, 0.24), pen.vary(0.24, 0.32), pen.vary(0.36, 0.4)
    if pen.chance(0.5):
        pen.line([(0.5, 0.03), (0.5, 0.5)], 0.016, shade(INK, 0.3))
    for s in (-1, 1):
        for i in range(4):
            bend = (0.5 + s * (spread - 0.07 * max(0, i - 1)), knee + 0.13 * i)
            foot = (0.5 + s * (spread + 0.05 - 0.09 * max(0, i - 1)), 0.6 + 0.117 * i)
            pen.line([(0.5 + s * 0.1, 0.55 + 0.03 * i), bend, foot], 0.034, INK)
    pen.circle(0.5, 0.58, r, pen.main)
    for s in (-1, 1):
        pen.eye(0.5 + s * 0.075, 0.53, 0.06)
    pen.line([(0.42, 0.66), (0.47, 0.69), (0.53, 0.69), (0.58, 0.66)], 0.02, _mark(pen))

"""Drawings of what grows in a garden."""

import math

import numpy as np

from lexiseg.storybook.drawings.pen import PAPER, RGB, Pen
from lexiseg.storybook.drawings.strokes import WOOD, curve, limb, puffs

LEAF: RGB = (84, 150, 76)


def tree(pen: Pen) -> None:
    """A tree: a brown trunk under a leafy, perhaps fruiting crown, or a tiered conifer."""
    trunk, wide, deep = pen.vary(0.05, 0.08), pen.vary(0.28, 0.38), pen.vary(0.0, 0.05)
    if pen.chance(0.5):
        pen.box(0.5 - trunk, 0.75, 0.5 + trunk, 0.95, WOOD)
        for tier in range(2, -1, -1):
            half, y = wide * (0.55 + tier * 0.25), 0.36 + tier * 0.22 + deep
            pen.polygon([(0.5, y - 0.31 - deep), (0.5 + half, y), (0.5 - half, y)], pen.main)
        return
    foot = [(0.54 + trunk, 0.95), (0.46 - trunk, 0.95)]
    pen.polygon([(0.5 - trunk, 0.55), (0.5 + trunk, 0.55), *foot], WOOD)
    around = [(a * math.pi / 3 + deep * 10, 0.17) for a in range(6)]
    crown = [(0.5 + (wide - 0.1) * math.cos(a), 0.37 + 0.15 * math.sin(a), r) for a, r in around]
    puffs(pen, [*crown, (0.5, 0.36, 0.2)], pen.main)
    if pen.chance(0.5):
        for x, y in ((0.35, 0.3), (0.52, 0.2), (0.66, 0.33), (0.46, 0.43), (0.6, 0.5)):
            pen.circle(x, y, 0.04, pen.second)


def flower(pen: Pen) -> None:
    """A flower on a green stem with two leaves: round petals about a disc, or a tulip cup."""
    lean, leaf, tulip = pen.vary(-0.04, 0.04), pen.vary(0.7, 0.8), pen.chance(0.3)
    limb(pen, (0.5, 0.4), (0.5 + lean * 2, 0.7), (0.5, 0.93), 0.045, LEAF)
    for side in (-1, 1):
        pen.ellipse(0.5 + side * 0.15, leaf, 0.16, 0.06, LEAF, angle=-side * 0.5)
    if tulip:
        pen.polygon([(0.38, 0.4), (0.5, 0.06), (0.62, 0.4)], pen.second)
        left = [(0.3, 0.46), (0.24, 0.28), (0.26, 0.1), (0.4, 0.24)]
        right = [(1 - x, y) for x, y in left[::-1]]
        pen.blob([(0.5, 0.54), *left, (0.5, 0.16), *right], pen.main)
        return
    petals, far, start = pen.count(5, 8), pen.vary(0.17, 0.19), pen.vary(0.0, 1.0)
    for petal in range(petals):
        a = start + petal * 2 * math.pi / petals
        x, y = 0.5 + far * math.cos(a), 0.34 + far * math.sin(a)
        pen.ellipse(x, y, 0.12, 0.58 / petals, pen.main, angle=a)
    pen.circle(0.5, 0.34, pen.vary(0.09, 0.12), pen.second)


def mushroom(pen: Pen) -> None:
    """A mushroom: a pale stem under a spotted cap, perhaps with a small one beside it."""
    stem, cap, base = pen.vary(0.1, 0.15), pen.vary(0.38, 0.45), pen.vary(0.5, 0.58)
    top = pen.vary(0.05, 0.14)
    right = [(0.5 + stem, base - 0.1), (0.5 + stem, 0.75), (0.54 + stem, 0.93)]
    pen.blob([*right, *[(1 - x, y) for x, y in right[::-1]]], PAPER)
    if pen.chance(0.4):
        pen.box(0.76, 0.76, 0.83, 0.95, PAPER)
        pen.polygon(curve(0.8, 0.8, 0.14, 0.14, np.linspace(math.pi, 2 * math.pi, 9)), pen.main)
    dome = curve(0.5, base, cap, base - top, np.linspace(math.pi, 2 * math.pi, 13))
    rim = [(0.5 + cap * 0.6, base + 0.05), (0.5, base + 0.07), (0.5 - cap * 0.6, base + 0.05)]
    pen.polygon([*dome, *rim], pen.main)
    spots = [(-0.55, 0.28, 0.06), (0.0, 0.35, 0.08), (0.55, 0.3, 0.06), (-0.25, 0.7, 0.05)]
    for x, y, r in [*spots, (0.28, 0.7, 0.055)]:
        pen.ellipse(0.5 + x * cap, base - y * (base - top), r, r * 0.85, pen.second)

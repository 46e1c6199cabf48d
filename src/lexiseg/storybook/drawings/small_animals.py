"""Drawings of reptiles, frogs, insects and other small animals."""

import math

import numpy as np

from lexiseg.storybook.drawings.pen import INK, PAPER, RGB, Pen, shade
from lexiseg.storybook.drawings.strokes import PINK, ink_or_paper, tube

WING: RGB = (214, 234, 246)


def turtle(pen: Pen) -> None:
    """A turtle: a domed shell with plates, stub legs, a head stretched out on a neck."""
    high, neck, flat = pen.vary(0.34, 0.44), pen.vary(0.42, 0.58), pen.vary(0.3, 0.5)
    pen.polygon([(0.14, 0.74), (0.04, 0.84), (0.16, 0.84)], pen.second)
    for x in (0.16, 0.54):
        pen.box(x, 0.74, x + 0.15, 0.95, pen.second, round_by=0.05)
    tube(pen, [(0.66, 0.78), (0.79, 0.74), (0.85, neck)], 0.13, 0.1, pen.second)
    pen.ellipse(0.86, neck, 0.1, 0.085, pen.second)
    pen.eye(0.89, neck - 0.025, 0.033)
    turn = np.linspace(math.pi, 2 * math.pi, 20)
    pen.polygon(np.stack([0.43 + 0.35 * np.cos(turn), 0.8 + (high + 0.06) * np.sin(turn)], 1), pen.main)
    rim, top = 0.76, 0.78 - high * 0.75
    for s in (-1, 1):
        corner = (0.43 + s * 0.17, rim - flat * high)
        pen.line([(0.43 + s * 0.14, rim), corner, (0.43 + s * 0.08, top)], 0.018, ink_or_paper(pen.main))
        pen.line([corner, (0.43 + s * 0.29, rim - high * 0.5)], 0.018, ink_or_paper(pen.main))
    pen.line([(0.35, top), (0.51, top)], 0.018, ink_or_paper(pen.main))
    pen.box(0.07, 0.75, 0.79, 0.83, pen.dark, round_by=0.04)


def frog(pen: Pen) -> None:
    """A frog squats and faces the reader: eyes on top, a wide mouth, folded hind legs."""
    eye, wide, knee = pen.vary(0.1, 0.13), pen.vary(0.26, 0.31), pen.vary(0.52, 0.6)
    foot = [(0.2, 0.87), (0.36, 0.86), (0.46, 0.89), (0.41, 0.91), (0.45, 0.95), (0.34, 0.93)]
    for s in (-1, 1):
        thigh = [(0.2, 0.86), (0.25, knee + 0.06), (0.37, knee), (0.44, knee + 0.14), (0.36, 0.9)]
        pen.blob([(0.5 + s * x, y) for x, y in thigh], pen.main)
        pen.polygon([(0.5 + s * x, y) for x, y in foot], pen.dark)
    pen.ellipse(0.5, 0.71, 0.25, 0.23, pen.main)
    pen.ellipse(0.5, 0.77, 0.15, 0.16, pen.light, outline=False)
    for s in (-1, 1):
        tube(pen, [(0.5 + s * 0.17, 0.66), (0.5 + s * 0.16, 0.8), (0.5 + s * 0.12, 0.93)], 0.08, 0.07, pen.main)
        pen.circle(0.5 + s * 0.17, 0.3, eye, pen.main)
    pen.ellipse(0.5, 0.46, wide, 0.18, pen.main)
    for s in (-1, 1):
        pen.circle(0.5 + s * 0.17, 0.31, eye * 0.86, pen.main, outline=False)
        pen.eye(0.5 + s * 0.17, 0.29, eye * 0.66)
    mouth = ((-1, 0.47), (-0.5, 0.53), (0.5, 0.53), (1, 0.47))
    pen.line([(0.5 + s * (wide - 0.06), y) for s, y in mouth], 0.024, ink_or_paper(pen.main))
    if pen.chance(0.3):
        pen.blob([(0.47, 0.53), (0.56, 0.53), (0.57, 0.66), (0.5, 0.68)], PINK)


def snake(pen: Pen) -> None:
    """A snake: one long winding or coiled body without legs, a raised head, a forked tongue."""
    thick, x, red = pen.vary(0.125, 0.15), pen.vary(0.72, 0.77), (206, 50, 60)
    if pen.chance(0.4):
        y, wide = pen.vary(0.18, 0.26), pen.vary(0.34, 0.4)
        tube(pen, [(0.46, 0.7), (0.38, 0.5), (0.46, 0.34), (0.58, y + 0.02), (x, y)], thick, thick, pen.main)
        pen.polygon([(0.16, 0.82), (0.02, 0.7), (0.08, 0.92)], pen.main)
        for i in (2, 1, 0):
            half, low = wide - 0.08 * i, 0.95 - 0.15 * i
            pen.box(0.46 - half, low - 0.17, 0.46 + half, low, pen.main, round_by=0.085)
    else:
        y, wave = pen.vary(0.3, 0.4), pen.vary(0.2, 0.28)
        body = [(0.02, 0.7), (0.12, 0.86), (0.25, 0.86 - wave / 2), (0.37, 0.87 - wave), (0.47, 0.86 - wave / 2)]
        neck = [(0.58, 0.86), (0.7, 0.78), (0.69, 0.6), (0.62, y + 0.14), (0.66, y + 0.02), (x, y)]
        tube(pen, body + neck, 0.03, thick, pen.main)
    pen.line([(x + 0.08, y + 0.02), (x + 0.15, y + 0.03)], 0.022, red)
    pen.line([(x + 0.19, y - 0.02), (x + 0.14, y + 0.03), (x + 0.19, y + 0.08)], 0.022, red)
    pen.ellipse(x, y, 0.13, 0.1, pen.main, angle=0.1)
    pen.eye(x + 0.02, y - 0.03, 0.04)


def snail(pen: Pen) -> None:
    """A snail: a coiled shell on a long flat foot, two stalks with eyes."""
    r, stalk, turns = pen.vary(0.28, 0.33), pen.vary(0.26, 0.42), pen.vary(2.0, 2.6)
    for x in (0.78, 0.9):
        pen.line([(0.83, 0.62), (x, stalk)], 0.03, shade(pen.second, -0.4))
        pen.eye(x, stalk, 0.045)
    back = [(0.03, 0.93), (0.2, 0.83), (0.5, 0.8), (0.68, 0.74), (0.76, 0.56), (0.88, 0.53)]
    pen.blob([*back, (0.94, 0.64), (0.88, 0.84), (0.74, 0.94), (0.4, 0.95)], pen.second)
    pen.circle(0.4, 0.87 - r, r, pen.main)
    turn, reach = np.linspace(0, 2 * math.pi * turns, 40), np.linspace(0.04, 0.98, 40) * r
    coil = [(0.4 + far * math.cos(a), 0.87 - r + far * math.sin(a)) for a, far in zip(turn, reach, strict=True)]
    pen.line(coil, 0.035, ink_or_paper(pen.main))
    pen.line([(0.84, 0.72), (0.88, 0.73), (0.91, 0.7)], 0.016, INK)


def butterfly(pen: Pen) -> None:
    """A butterfly from above: four spread wings, a thin body, two curled feelers."""
    span, low, spot = pen.vary(0.41, 0.45), pen.vary(0.82, 0.9), pen.vary(0.05, 0.075)
    for s in (-1, 1):
        lower = [(0.0, 0.5), (0.28, 0.55), (0.34, 0.7), (0.2, low), (0.06, 0.72)]
        upper = [(0.0, 0.5), (0.16, 0.22), (span - 0.04, 0.12), (span, 0.32), (0.32, 0.53)]
        for wing in (lower, upper):
            pen.blob([(0.5 + s * x, y) for x, y in wing], pen.main)
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
            pen.line([(0.5, y), (0.5 + s * 0.38, y + rise * 0.6), (0.5 + s * 0.45, y + rise * 1.3 + 0.03)], 0.04, INK)
        pen.line([(0.5, 0.24), (0.5 + s * 0.1, 0.1), (0.5 + s * 0.18, 0.06)], 0.025, INK)
    pen.ellipse(0.5, 0.25, 0.18, 0.13, INK)
    pen.ellipse(0.5, 0.58, wide, long, pen.main)
    for s in (-1, 1):
        pen.circle(0.5 + s * 0.09, 0.21, 0.035, PAPER)
        for x, y in dots:
            pen.circle(0.5 + s * x, y, spot, ink_or_paper(pen.main), outline=False)
    pen.line([(0.5, 0.58 - long), (0.5, 0.58 + long)], 0.025, ink_or_paper(pen.main))


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
        pen.polygon(np.stack([across, 0.62 + half], 1), ink_or_paper(pen.main), outline=False)
    pen.ellipse(0.38, 0.29, 0.11, wing + 0.02, WING, angle=-lift)
    pen.circle(0.77, 0.59, 0.165, pen.main)
    pen.eye(0.83, 0.55, 0.045)
    pen.line([(0.78, 0.66), (0.83, 0.69), (0.88, 0.66)], 0.018, ink_or_paper(pen.main))


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
    pen.line([(0.42, 0.66), (0.47, 0.69), (0.53, 0.69), (0.58, 0.66)], 0.02, ink_or_paper(pen.main))

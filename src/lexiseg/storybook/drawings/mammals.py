"""Drawings of mammals that live on land."""

import math

import numpy as np

from lexiseg.storybook.drawings.pen import INK, PAPER, Pen, shade
from lexiseg.storybook.drawings.strokes import PINK, ink_or_paper, tube


def cat(pen: Pen) -> None:
    """A cat sits and looks at the reader: pointed ears, whiskers, a tail curled up beside it."""
    wide, ear, tip = pen.vary(0.2, 0.24), pen.vary(0.05, 0.09), pen.vary(0.36, 0.5)
    tube(pen, [(0.6, 0.88), (0.82, 0.88), (0.9, 0.7), (0.82, 0.56), (0.88, tip)], 0.1, 0.07, pen.main)
    pen.blob([(0.45, 0.4), (0.6, 0.52), (0.7, 0.8), (0.64, 0.94), (0.26, 0.94), (0.2, 0.8), (0.3, 0.52)], pen.main)
    if pen.chance(0.5):
        pen.ellipse(0.45, 0.7, 0.09, 0.13, pen.light, outline=False)
    for x in (0.37, 0.53):
        pen.ellipse(x, 0.91, 0.075, 0.045, pen.main)
    for s in (-1, 1):
        pen.polygon([(0.45 + s * wide, 0.3), (0.45 + s * (wide - 0.01), ear), (0.45 + s * 0.04, 0.17)], pen.main)
        x = 0.45 + s * (wide - 0.03)
        pen.polygon([(x, 0.2), (x, ear + 0.05), (0.45 + s * 0.1, 0.17)], pen.second, outline=False)
    pen.ellipse(0.45, 0.32, wide, 0.165, pen.main)
    for s in (-1, 1):
        pen.eye(0.45 + s * 0.09, 0.29, 0.042)
        pen.line([(0.45 + s * 0.1, 0.365), (0.45 + s * 0.34, 0.33)], 0.014, INK)
        pen.line([(0.45 + s * 0.1, 0.385), (0.45 + s * 0.33, 0.42)], 0.014, INK)
    pen.polygon([(0.41, 0.35), (0.49, 0.35), (0.45, 0.4)], PINK)


def dog(pen: Pen) -> None:
    """A dog stands: a hanging ear, a long muzzle with a black nose, a collar, a tail held up."""
    leg, ear, tail = pen.vary(0.64, 0.74), pen.vary(0.12, 0.17), pen.vary(0.02, 0.12)
    belly = leg + 0.04
    tube(pen, [(0.2, leg - 0.16), (0.09, leg - 0.24), (0.04 + tail, leg - 0.42)], 0.09, 0.04, pen.main)
    for x, fill in ((0.25, pen.dark), (0.53, pen.dark), (0.14, pen.main), (0.61, pen.main)):
        pen.box(x, leg - 0.08, x + 0.1, 0.95, fill, round_by=0.03)
    back = [(0.12, leg - 0.16), (0.3, leg - 0.21), (0.56, leg - 0.22), (0.74, leg - 0.2)]
    pen.blob([*back, (0.72, belly), (0.45, belly - 0.03), (0.17, belly)], pen.main)
    top = leg - 0.38
    pen.polygon([(0.56, leg - 0.18), (0.56, top), (0.76, top), (0.75, leg - 0.14)], pen.main)
    if pen.chance(0.5):
        pen.ellipse(0.83, top + 0.15, 0.035, 0.07, PINK)
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
    pen.blob([(0.18, 0.44), (0.1, 0.46), (0.04, 0.6), (0.04, low), (0.12, low - 0.06), (0.15, 0.58)], pen.second)
    for x, fill in ((0.26, pen.dark), (0.53, pen.dark), (0.17, pen.main), (0.61, pen.main)):
        pen.box(x, 0.5, x + 0.08, 0.95, fill)
        pen.box(x, 0.89, x + 0.085, 0.95, INK)
    pen.blob([(0.8, 0.06), (0.7, 0.07), (0.58, 0.2), (0.5, 0.42), (0.62, 0.42), (0.74, 0.2)], pen.second)
    pen.polygon([(0.72, 0.14), (0.74, 0.02), (0.8, 0.12)], pen.main)
    pen.polygon([(0.52, 0.5), (0.62, 0.26), (0.72, 0.1), (0.82, 0.24), (0.76, 0.34), (0.72, 0.55)], pen.main)
    pen.ellipse(0.43, 0.52, 0.29, thick, pen.main)
    pen.polygon([(0.53, 0.49), (0.63, 0.29), (0.75, 0.29), (0.69, 0.54), (0.6, 0.6)], pen.main, outline=False)
    nose = [(0.91, chest + 0.02), (0.95, chest + 0.13), (0.88, chest + 0.16), (0.79, chest + 0.06)]
    pen.blob([(0.71, 0.1), (0.82, 0.1), *nose, (0.72, 0.22)], pen.main)
    pen.circle(0.91, chest + 0.1, 0.014, ink_or_paper(pen.main), outline=False)
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
    tube(pen, trunk, 0.16, 0.06, pen.main)
    pen.polygon([(0.72, 0.52), (0.8, 0.52), (0.92, 0.64), (0.82, 0.63)], PAPER)
    pen.circle(0.7, 0.38, 0.18, pen.main)
    pen.ellipse(0.79, 0.43, 0.065, 0.06, pen.main, outline=False)
    pen.blob([(0.62, 0.2), (0.5, 0.22), (0.6 - 1.5 * ear, 0.38), (0.5, 0.6), (0.6, 0.58), (0.66, 0.4)], pen.dark)
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
    pen.line([(0.7, 0.6), (0.76, 0.63), (0.82, 0.625)], 0.016, ink_or_paper(pen.main))


def rabbit(pen: Pen) -> None:
    """A rabbit sits: two very long ears, a round haunch, a fluffy tail, front teeth."""
    ear, lean, haunch = pen.vary(0.155, 0.185), pen.vary(-0.25, 0.0), pen.vary(0.15, 0.19)
    for x, turn in ((0.7, lean + 0.35), (0.6, lean)):
        cx, cy = x + ear * math.sin(turn), 0.4 - ear * math.cos(turn)
        pen.ellipse(cx, cy, 0.062, ear, pen.main, angle=turn)
        pen.ellipse(cx, cy, 0.025, ear * 0.7, PINK, angle=turn, outline=False)
    pen.circle(0.16, 0.78, 0.095, PAPER)
    pen.ellipse(0.68, 0.9, 0.1, 0.045, pen.main)
    pen.blob([(0.56, 0.48), (0.7, 0.62), (0.7, 0.86), (0.52, 0.95), (0.26, 0.93), (0.18, 0.76), (0.32, 0.58)], pen.main)
    pen.ellipse(0.4, 0.78, haunch, haunch - 0.02, pen.main)
    pen.ellipse(0.48, 0.91, 0.17, 0.04, pen.main)
    pen.box(0.775, 0.52, 0.825, 0.61, PAPER)
    pen.ellipse(0.67, 0.46, 0.18, 0.135, pen.main, angle=0.15)
    pen.circle(0.84, 0.46, 0.03, PINK)
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
    tube(pen, [(0.53, 0.66), (0.58, 0.45), (neck + 0.02, 0.14)], 0.19, thick, pen.main)
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
            pen.line([(x, y), (x + 0.03, y + 0.04), (x + 0.08, y + 0.03), (x + 0.09, y - 0.02)], 0.016, pen.dark)
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
    tube(pen, [(0.3, 0.88), (0.12, 0.86), (0.07, 0.7), (0.15, 0.55), (0.08, tail)], 0.05, 0.02, PINK)
    pen.circle(0.7, 0.47, ear * 0.9, pen.dark)
    for x in (0.34, 0.64):
        pen.ellipse(x, 0.92, 0.08, 0.03, PINK)
    top = [(0.95, 0.77), (0.8, 0.62), (0.62, 0.53), (0.42, back), (0.24, 0.58), (0.19, 0.78)]
    pen.blob([*top, (0.28, 0.91), (0.55, 0.92), (0.82, 0.88)], pen.main)
    pen.circle(0.56, 0.48, ear, pen.main)
    pen.circle(0.56, 0.48, ear * 0.65, PINK, outline=False)
    for y in (0.7, 0.8, 0.9):
        pen.line([(0.83, 0.8), (0.7, y + 0.03)], 0.012, ink_or_paper(pen.main))
    pen.circle(0.93, 0.775, 0.04, INK)
    pen.eye(0.76, 0.68, 0.042)

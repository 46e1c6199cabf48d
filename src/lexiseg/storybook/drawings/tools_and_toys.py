"""Drawings of tools, toys and instruments."""

import math

import numpy as np

from lexiseg.storybook.drawings.pen import INK, PAPER, Pen, shade
from lexiseg.storybook.drawings.strokes import STEEL, arc, both_sides, curve, mark, rod


def hammer(pen: Pen) -> None:
    """A claw hammer: an upright handle, a head with a flat face and a curved claw."""
    thick, head = pen.vary(0.055, 0.075), pen.vary(0.1, 0.13)
    middle = 0.09 + head
    pen.box(0.5 - thick, middle, 0.5 + thick, 0.95, pen.second, round_by=0.04)
    if pen.chance(0.5):
        pen.box(0.5 - thick - 0.02, 0.68, 0.5 + thick + 0.02, 0.95, shade(pen.second, -0.4), round_by=0.05)
    above = [(0.2, -0.65), (0.32, -0.65), (0.38, -1.0), (0.6, -1.0), (0.78, -0.8), (0.9, -0.1)]
    below = [(0.95, 1.4), (0.87, 1.3), (0.78, 0.6), (0.64, 1.0), (0.38, 1.0), (0.32, 0.65), (0.2, 0.65)]
    pen.polygon([(x, middle + head * y) for x, y in (*above, *below)], pen.main)
    pen.box(0.06, middle - head * 1.2, 0.25, middle + head * 1.2, pen.main, round_by=0.03)
    pen.box(0.42, middle - head - 0.04, 0.58, middle + head + 0.03, pen.dark, round_by=0.02)


def bucket(pen: Pen) -> None:
    """A bucket: wider on top than below, with a hoop of a handle over the opening and a band."""
    rim, top = pen.vary(0.36, 0.41), pen.vary(0.4, 0.46)
    foot = pen.vary(0.22, 0.27)
    rod(pen, arc(0.5, top, rim - 0.01, top - 0.08, 180.0, 360.0), 0.03, STEEL)
    pen.box(0.42, 0.05, 0.58, 0.12, pen.second, round_by=0.03)
    pen.polygon([(0.5 - rim, top), (0.5 + rim, top), *arc(0.5, 0.9, foot, 0.05, 0.0, 180.0, 8)], pen.main)
    if pen.chance(0.6):
        upper = rim + (foot - rim) * 0.45
        lower = rim + (foot - rim) * 0.65
        y0, y1 = top + (0.9 - top) * 0.45, top + (0.9 - top) * 0.65
        curve = [*arc(0.5, y0, upper, 0.05, 180.0, 0.0, 8), *arc(0.5, y1, lower, 0.05, 0.0, 180.0, 8)]
        pen.polygon(curve, pen.second)
    pen.ellipse(0.5, top, rim + 0.02, 0.09, pen.light)
    pen.ellipse(0.5, top + 0.01, rim - 0.04, 0.06, shade(pen.main, -0.6))
    for side in (-1, 1):
        pen.circle(0.5 + side * rim, top + 0.03, 0.035, STEEL)


def scissors(pen: Pen) -> None:
    """Open scissors: two pointed blades that cross at a screw, two loops for the fingers below."""
    gape, loop = pen.vary(0.15, 0.24), pen.vary(0.11, 0.13)
    wide, pivot = pen.vary(0.065, 0.08), 0.56
    for side in (-1, 1):
        foot = 0.5 - side * (loop + 0.07)
        edge = [(gape, 0.05), (gape + wide * 0.9, 0.12), (wide * 1.2, pivot + 0.02)]
        handle = [(foot + side * 0.05, 0.74), (foot - side * 0.03, 0.7), (0.5 - side * wide, pivot)]
        pen.polygon([*((0.5 + side * x, y) for x, y in edge), *handle], pen.main)
        rod(pen, arc(foot, 0.93 - loop * 1.1, loop, loop * 1.1, 0.0, 380.0, 13), 0.042, pen.second)
    pen.circle(0.5, pivot, 0.035, INK)


def ladder(pen: Pen) -> None:
    """A ladder: two long rails, a little closer on top, with rungs between them."""
    foot, top = pen.vary(0.2, 0.26), pen.vary(0.14, 0.2)
    lean, thick = pen.vary(-0.1, 0.1), pen.vary(0.035, 0.045)
    rungs = pen.count(5, 7)
    for i in range(rungs):
        share = (i + 0.6) / (rungs + 0.2)
        y, x, reach = 0.95 - 0.9 * share, 0.5 + lean * share, foot + (top - foot) * share
        rod(pen, [(x - reach, y), (x + reach, y)], 0.045, pen.second)
    for side in (-1, 1):
        x0, x1 = 0.5 + side * foot, 0.5 + lean + side * top
        pen.polygon([(x1 - thick, 0.05), (x1 + thick, 0.05), (x0 + thick, 0.95), (x0 - thick, 0.95)], pen.main)


def hat(pen: Pen) -> None:
    """A hat with brim and band: a top hat, a round sun hat or a pointed wizard's hat."""
    brim, wide, base = pen.vary(0.4, 0.45), pen.vary(0.22, 0.27), 0.8
    kind = pen.count(0, 2)
    sides = (
        [(1.12, 0.16), (1.0, 0.16)],
        [(1.02, 0.58), (0.92, 0.44), (0.68, 0.34), (0.3, 0.3)],
        [(0.6, 0.45), (0.25, 0.16), (-0.6, 0.06)],
    )[kind]
    pen.ellipse(0.5, base, brim, pen.vary(0.08, 0.13), pen.main)
    front = curve(0.5, base - 0.03, wide, 0.05, np.linspace(0, math.pi, 9))
    left = [(0.5 - wide * x, y) for x, y in sides]
    right = [(0.5 + wide * max(x, 0.35), y + 0.08 * (x < 0)) for x, y in sides[::-1]]
    pen.polygon([*front, *left, *right], pen.main)
    rim = 0.84 if kind == 2 else 1.0
    upper = [(0.5 + (x - 0.5) * rim, y - 0.12) for x, y in front[::-1]]
    pen.polygon([*front, *upper], pen.second)
    if kind == 0:
        pen.ellipse(0.5, 0.16, wide * 1.12, 0.06, pen.dark)


def ball(pen: Pen) -> None:
    """A ball: a beach ball with wedges, a ball with a band and a star, or one with seams."""
    pen.circle(0.5, 0.5, 0.45, pen.main)
    kind, turn = pen.count(0, 2), pen.vary(0.0, 360.0)
    if kind == 0:
        centre = (0.5 + pen.vary(-0.1, 0.1), 0.5 + pen.vary(-0.18, -0.06))
        for start in (0.0, 120.0, 240.0):
            rim = arc(0.5, 0.5, 0.44, 0.44, turn + start, turn + start + 50, 6)
            pen.polygon([centre, *rim], pen.second)
        pen.circle(*centre, 0.06, PAPER)
    elif kind == 1:
        band = pen.vary(0.12, 0.16)
        angle = math.degrees(math.asin(band / 0.45))
        left = arc(0.5, 0.5, 0.44, 0.44, 180 - angle, 180 + angle, 4)
        pen.polygon([*left, *arc(0.5, 0.5, 0.44, 0.44, -angle, angle, 4)], pen.second)
        radii = [band * (0.85 if i % 2 == 0 else 0.36) for i in range(10)]
        star = [arc(0.5, 0.5, r, r, turn + 36 * i, 0.0, 1)[0] for i, r in enumerate(radii)]
        pen.polygon(star, PAPER)
    else:
        ink = mark(pen.main)
        for side in (0.0, 180.0):  # circles that cut the rim at right angles
            seam = arc(0.5 + 0.55 * math.cos(math.radians(side)), 0.5, 0.316, 0.316, side + 126, side + 234)
            pen.line(seam, 0.024, ink)
        pen.line([(0.5, 0.06), (0.5, 0.94)], 0.024, ink)
        pen.line([(0.06, 0.5), (0.94, 0.5)], 0.024, ink)
    pen.ellipse(0.32, 0.22, 0.07, 0.035, PAPER, angle=-0.7, outline=False)


def guitar(pen: Pen) -> None:
    """A guitar: a waisted body with a sound hole, a long neck with strings, a head with pegs."""
    low, waist, high = pen.vary(0.25, 0.29), pen.vary(0.13, 0.17), pen.vary(0.18, 0.22)
    half = [(high * 0.8, 0.46), (high, 0.54), (waist, 0.64), (low, 0.76), (low * 0.75, 0.91)]
    right, left = both_sides(half)
    pen.blob([(0.5, 0.44), *right, (0.5, 0.95), *left], pen.main)
    pen.circle(0.5, 0.63, pen.vary(0.075, 0.095), mark(pen.main), outline=False)
    pen.box(0.465, 0.16, 0.535, 0.58, pen.second)
    for y in (0.09, 0.16):
        pen.line([(0.4, y), (0.6, y)], 0.035, INK)
    pen.polygon([(0.44, 0.05), (0.56, 0.05), (0.54, 0.2), (0.46, 0.2)], pen.second)
    pen.box(0.4, 0.8, 0.6, 0.84, mark(pen.main), outline=False)
    for x in (0.487, 0.513):
        pen.line([(x, 0.2), (x, 0.81)], 0.01, PAPER)


def drum(pen: Pen) -> None:
    """A drum: a wide cylinder laced with a zigzag cord between two hoops, two sticks on top."""
    half, top = pen.vary(0.37, 0.41), pen.vary(0.4, 0.46)
    low = pen.vary(0.82, 0.86)
    left, right = 0.5 - half, 0.5 + half
    pen.polygon([(left, top), (right, top), *arc(0.5, low, half, 0.09, 0.0, 180.0, 10)], pen.main)
    laces = pen.count(3, 4)
    ys = (top + 0.09, low + 0.03)
    cord = [(left + half * i / laces, ys[i % 2]) for i in range(2 * laces + 1)]
    pen.line(cord, 0.028, mark(pen.main))
    rod(pen, arc(0.5, low - 0.01, half + 0.01, 0.09, 180.0, 0.0, 10), 0.045, pen.second)
    pen.ellipse(0.5, top + 0.05, half + 0.02, 0.1, pen.second)
    pen.ellipse(0.5, top, half + 0.02, 0.1, PAPER)
    spread = pen.vary(0.26, 0.34)
    for side in (-1, 1):
        rod(pen, [(0.5 + side * spread, 0.07), (0.5 - side * 0.1, top)], 0.03, (176, 128, 84))
        pen.circle(0.5 - side * 0.1, top, 0.045, (176, 128, 84))


def bell(pen: Pen) -> None:
    """A bell: a flared dome with a rim, a ring on top, a clapper below, sometimes a bow."""
    half, crown = pen.vary(0.38, 0.43), pen.vary(0.19, 0.24)
    rod(pen, arc(0.5, 0.14, 0.065, 0.065, 0.0, 380.0, 14), 0.035, pen.second)
    pen.circle(0.5, 0.86, pen.vary(0.075, 0.09), pen.second)
    right = [(0.1, 0.2), (crown, 0.29), (crown + 0.03, 0.5), (crown + 0.07, 0.66), (half, 0.8)]
    right, left = both_sides(right)
    pen.polygon([*right, *left], pen.main)
    pen.box(0.5 - half - 0.02, 0.77, 0.52 + half, 0.85, pen.dark, round_by=0.04)
    pen.line([(0.5 - crown + 0.07, 0.34), (0.5 - crown + 0.05, 0.52), (0.5 - crown, 0.68)], 0.035, pen.light)
    if pen.chance(0.4):
        for side in (-1, 1):
            pen.polygon([(0.5, 0.22), (0.5 + side * 0.2, 0.12), (0.5 + side * 0.2, 0.32)], pen.second)
        pen.circle(0.5, 0.22, 0.045, pen.second)

"""Drawings of food."""

import math

from lexiseg.storybook.drawings.pen import INK, PAPER, Pen, Point, shade
from lexiseg.storybook.drawings.strokes import FLAME, STEEL, arc, both_sides, mark, rod


def apple(pen: Pen) -> None:
    """An apple: a round body with a dip on top, a stem, a leaf, sometimes a bite."""
    wide, foot = pen.vary(0.38, 0.44), pen.vary(0.16, 0.22)
    left, right = 0.5 - wide, 0.5 + wide
    flank = [(right - 0.03, 0.4), (right, 0.56), (right - 0.05, 0.74)]
    if pen.chance(0.35):
        inner = right - 0.17
        flank = [(right - 0.06, 0.37), (inner, 0.45), (inner, 0.57), (right - 0.12, 0.66), (right - 0.05, 0.74)]
    top = [(0.5, 0.34), (0.62, 0.25), (0.76, 0.27)]
    bottom = [(0.5 + foot, 0.94), (0.5, 0.9), (0.5 - foot, 0.94)]
    back = [(left + 0.05, 0.74), (left, 0.54), (left + 0.04, 0.38), (0.24, 0.27), (0.38, 0.25)]
    pen.blob([*top, *flank, *bottom, *back], pen.main)
    pen.ellipse(left + 0.15, 0.46, 0.05, 0.1, pen.light, angle=0.4, outline=False)
    bend = pen.vary(-0.05, 0.03)
    rod(pen, [(0.5, 0.37), (0.5 + bend * 0.3, 0.22), (0.5 + bend, 0.06)], 0.035, (112, 76, 50))
    size = pen.vary(0.85, 1.1)
    pen.blob([(0.51, 0.24), (0.58, 0.24 - 0.15 * size), (0.5 + 0.3 * size, 0.09), (0.5 + 0.2 * size, 0.23)], pen.second)


def banana(pen: Pen) -> None:
    """A banana: a bent fruit with a stem, a dark tip and a ridge, sometimes two of them."""
    belly, inner = pen.vary(0.8, 0.86), pen.vary(0.5, 0.56)
    if pen.chance(0.4):
        behind = [(0.16, 0.2), (0.24, 0.16), (0.38, 0.34), (0.62, 0.42), (0.92, 0.36), (0.95, 0.42)]
        pen.blob([*behind, (0.7, 0.62), (0.3, 0.56)], pen.dark)
    pen.polygon([(0.1, 0.1), (0.2, 0.07), (0.25, 0.28), (0.11, 0.28)], shade(pen.main, -0.5))
    hollow = [(0.11, 0.2), (0.22, 0.19), (0.31, 0.4), (0.46, inner), (0.68, inner + 0.03), (0.9, 0.44), (0.95, 0.5)]
    bulge = [(0.86, belly - 0.12), (0.62, belly + 0.06), (0.34, belly), (0.13, 0.58), (0.07, 0.36)]
    pen.blob([*hollow, *bulge], pen.main)
    middle = (inner + belly) / 2
    pen.line([(0.18, 0.3), (0.24, 0.5), (0.4, middle), (0.62, middle + 0.04), (0.84, 0.6)], 0.022, mark(pen.main))
    pen.ellipse(0.92, 0.46, 0.05, 0.035, INK, angle=0.7)


def pineapple(pen: Pen) -> None:
    """A pineapple: an upright oval with a criss-cross skin under a crown of spikes."""
    half, top = pen.vary(0.23, 0.29), pen.vary(0.36, 0.41)
    for lean, tip in ((-0.3, 0.22), (0.3, 0.22), (-0.19, 0.1), (0.19, 0.1), (-0.08, 0.06), (0.09, 0.05)):
        root = 0.5 + lean * 0.35
        pen.polygon([(root - 0.07, top + 0.08), (0.5 + lean, tip), (root + 0.07, top + 0.08)], pen.second)
    middle, tall = (top + 0.95) / 2, (0.95 - top) / 2
    turn = [(math.cos(i * math.pi / 6), math.sin(i * math.pi / 6)) for i in range(12)]
    pen.blob([(0.5 + half * math.copysign(abs(x) ** 0.8, x), middle + tall * y) for x, y in turn], pen.main)
    ink, rows = mark(pen.main), pen.count(3, 4)
    for i in range(rows):
        across = (i + 0.5) / rows * 2 - 1
        for side in (-1, 1):
            # a chord of the unit circle at distance `across * 0.8`, on the diagonal
            d, reach = across * 0.85, math.sqrt(1 - (across * 0.85) ** 2) * 0.94
            ends = [(d * 0.707 + s * reach * 0.707, d * 0.707 - s * reach * 0.707) for s in (-1, 1)]
            pen.line([(0.5 + side * half * x, middle + tall * y) for x, y in ends], 0.02, ink)


def watermelon(pen: Pen) -> None:
    """A slice of watermelon: a half disc with the rind below and seeds, sometimes bitten."""
    deep, rind = pen.vary(0.42, 0.5), pen.vary(0.055, 0.08)
    top = 0.95 - deep - 0.02
    bite: list[Point] = []
    if pen.chance(0.5):
        x = pen.vary(0.38, 0.64)
        bite = [*arc(x - 0.07, top, 0.08, 0.11, 180.0, 20.0, 6), *arc(x + 0.08, top, 0.08, 0.11, 160.0, 0.0, 6)]
    pen.polygon([*arc(0.5, top, 0.45, deep, 0.0, 180.0), *bite], pen.second)
    pen.polygon([*arc(0.5, top, 0.45 - rind, deep - rind, 0.0, 180.0), *bite], PAPER, outline=False)
    pen.polygon([*arc(0.5, top, 0.42 - rind, deep - rind - 0.03, 0.0, 180.0), *bite], pen.main)
    seed = mark(pen.main)
    for angle, far in ((25.0, 0.7), (58.0, 0.62), (90.0, 0.72), (122.0, 0.62), (155.0, 0.7)):
        (x, y), *_ = arc(0.5, top, 0.38 * far, deep * 0.85 * far, angle, angle, 1)
        pen.ellipse(x, y, 0.02, 0.036, seed, angle=math.radians(90 - angle) * -0.6, outline=False)


def carrot(pen: Pen) -> None:
    """A carrot: a long root that ends in a point, with grooves and a tuft of leaves."""
    half, neck = pen.vary(0.15, 0.2), pen.vary(0.31, 0.36)
    spread = pen.vary(0.13, 0.19)
    for side in (-1, 1):
        pen.ellipse(0.5 + side * spread, neck - 0.13, 0.06, 0.18, pen.second, angle=side * 0.75)
    if pen.chance(0.6):
        for side in (-1, 1):
            pen.ellipse(0.5 + side * 0.07, neck - 0.17, 0.05, 0.18, pen.second, angle=side * 0.3)
    pen.ellipse(0.5, neck - 0.16, 0.055, neck - 0.2, pen.second)
    half_root = [(half * 0.8, neck - 0.01), (half, neck + 0.1), (half * 0.55, 0.68), (0.02, 0.93)]
    right, left = both_sides(half_root)
    pen.blob([(0.5, neck - 0.03), *right, *left], pen.main)
    for side, y in ((-1, neck + 0.12), (1, neck + 0.22), (-1, neck + 0.32)):
        edge = 0.5 + side * half * (0.98 - (y - neck) * 0.95)
        pen.line([(edge, y), (edge - side * half * 0.75, y + 0.015)], 0.024, mark(pen.main))


def cake(pen: Pen) -> None:
    """A birthday cake on a plate: one or two tiers, dripping icing, burning candles."""
    half, low = pen.vary(0.34, 0.4), pen.vary(0.52, 0.58)
    tiers = [(half, low, 0.9)] if pen.chance(0.4) else [(half, low + 0.07, 0.9), (half * 0.6, low - 0.16, low + 0.11)]
    pen.ellipse(0.5, 0.9, 0.45, 0.05, STEEL)
    for reach, top, bottom in tiers:
        left, right = 0.5 - reach, 0.5 + reach
        pen.box(left, top, right, bottom, pen.main, round_by=0.03)
        drips = 5 if reach > 0.3 else 3
        edge = [(left, top + 0.05)]
        for i in range(drips):
            x = left + (i + 0.5) * 2 * reach / drips
            edge += [(x - reach / drips * 0.5, top + 0.13), (x + reach / drips * 0.5, top + 0.13)]
            edge.append((left + (i + 1) * 2 * reach / drips, top + 0.06))
        rim = [(right, top), (right - 0.04, top - 0.03), (left + 0.04, top - 0.03), (left, top)]
        pen.polygon([*edge, *rim], pen.second)
    reach, top, _ = tiers[-1]
    candles = pen.count(1, 3)
    for i in range(candles):
        x = 0.5 + (i - (candles - 1) / 2) * reach * 0.6
        pen.box(x - 0.03, top - 0.17, x + 0.03, top - 0.02, pen.light)
        pen.blob([(x, top - 0.31), (x + 0.045, top - 0.22), (x, top - 0.17), (x - 0.045, top - 0.22)], FLAME)


def ice_cream(pen: Pen) -> None:
    """An ice cream: one to three scoops on a waffle cone, sometimes with a cherry."""
    scoops, half = pen.count(1, 3), pen.vary(0.18, 0.21)
    brim = (0.44, 0.49, 0.55)[scoops - 1] + pen.vary(-0.02, 0.02)
    half *= (1.25, 1.1, 0.95)[scoops - 1]
    pen.polygon([(0.5 - half, brim), (0.5 + half, brim), (0.5, 0.95)], pen.second)
    ink = mark(pen.second)
    for share in (0.3, 0.62):
        y, x = brim + share * (0.95 - brim), half * (1 - share)
        pen.line([(0.5 - x, y), (0.5 + half * (1 - 2 * share) * 0.5 + 0.04, brim)], 0.018, ink)
        pen.line([(0.5 + x, y), (0.5 - half * (1 - 2 * share) * 0.5 - 0.04, brim)], 0.018, ink)
    step = (brim - 0.08) / (scoops + 0.35)
    for i in range(scoops):
        r = step * 0.72 if scoops > 1 else step * 0.6
        wide = max(r, half * (1.2 - 0.13 * i))
        y = brim - 0.02 - step * 0.45 - i * step
        pen.ellipse(0.5, y, wide, r, pen.light if i == 1 else pen.main)
    for i in (-1, 0, 1):
        pen.circle(0.5 + i * half * 0.7, brim, half * 0.34, pen.main, outline=False)
    if pen.chance(0.5):
        pen.circle(0.5, 0.1, 0.055, (206, 44, 56))


def pizza(pen: Pen) -> None:
    """A slice of pizza: a triangle that points down, a thick crust on top, round toppings."""
    half, brim = pen.vary(0.36, 0.43), pen.vary(0.22, 0.27)
    left, right = 0.5 - half, 0.5 + half
    pen.polygon([(left + 0.02, brim), (right - 0.02, brim), (0.53, 0.93), (0.5, 0.95), (0.47, 0.93)], pen.main)
    spots = [(0.5 - half * 0.42, brim + 0.15), (0.5 + half * 0.36, brim + 0.19), (0.5 - half * 0.06, brim + 0.37)]
    r = pen.vary(0.065, 0.085)
    for x, y in spots:
        pen.circle(x, y, r, pen.second)
    if pen.chance(0.5):
        pen.circle(0.5 + half * 0.02, brim + 0.1, r * 0.6, INK)
        pen.circle(0.5 + half * 0.02, brim + 0.1, r * 0.25, pen.main, outline=False)
    crust = [(left - 0.02, brim), (left + 0.1, 0.13), (0.5, 0.07), (right - 0.1, 0.13), (right + 0.02, brim)]
    pen.blob([*crust, (0.5, brim - 0.02)], pen.dark)

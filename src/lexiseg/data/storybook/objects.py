"""Drawings of food and of things about the house."""

import math
from collections.abc import Sequence

from lexiseg.data.storybook.pen import INK, PAPER, RGB, Pen, Point, shade

FLAME: RGB = (250, 176, 48)
STEEL: RGB = (190, 190, 196)


def _arc(cx: float, cy: float, rx: float, ry: float, start: float, end: float, steps: int = 14) -> list[Point]:
    """Points along an ellipse, angles in degrees clockwise on the page from the right."""
    angles = [math.radians(start + (end - start) * i / steps) for i in range(steps + 1)]
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


def _rod(pen: Pen, points: Sequence[Point], width: float, fill: RGB) -> None:
    """A stroke with an inked edge, for handles and hoops that leave a hole."""
    pen.line(points, width + 0.035, shade(fill, -0.6))
    pen.line(points, width, fill)


def _mark(fill: RGB) -> RGB:
    """A colour that shows on `fill`: darker on light, lighter on dark."""
    return shade(fill, -0.65 if sum(fill) > 330 else 0.7)


def apple(pen: Pen) -> None:
    """An apple: a round body with a dip on top, a stem, a leaf, sometimes a bite."""
    wide, foot = pen.vary(0.38, 0.44), pen.vary(0.16, 0.22)
    left, right = 0.5 - wide, 0.5 + wide
    flank = [(right - 0.03, 0.4), (right, 0.56), (right - 0.05, 0.74)]
    if pen.chance(0.35):
        inner = right - 0.17
        flank = [
            (right - 0.06, 0.37),
            (inner, 0.45),
            (inner, 0.57),
            (right - 0.12, 0.66),
            (right - 0.05, 0.74),
        ]
    top = [(0.5, 0.34), (0.62, 0.25), (0.76, 0.27)]
    bottom = [(0.5 + foot, 0.94), (0.5, 0.9), (0.5 - foot, 0.94)]
    pen.blob(
        [
            *top,
            *flank,
            *bottom,
            (left + 0.05, 0.74),
            (left, 0.54),
            (left + 0.04, 0.38),
            (0.24, 0.27),
            (0.38, 0.25),
        ],
        pen.main,
    )
    pen.ellipse(left + 0.15, 0.46, 0.05, 0.1, pen.light, angle=0.4, outline=False)
    bend = pen.vary(-0.05, 0.03)
    _rod(pen, [(0.5, 0.37), (0.5 + bend * 0.3, 0.22), (0.5 + bend, 0.06)], 0.035, (112, 76, 50))
    size = pen.vary(0.85, 1.1)
    pen.blob(
        [
            (0.51, 0.24),
            (0.58, 0.24 - 0.15 * size),
            (0.5 + 0.3 * size, 0.09),
            (0.5 + 0.2 * size, 0.23),
        ],
        pen.second,
    )


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
    pen.blob(
        [
            (0.5, neck - 0.03),
            (0.5 + half * 0.8, neck - 0.01),
            (0.5 + half, neck + 0.1),
            (0.5 + half * 0.55, 0.68),
            (0.5 + 0.02, 0.93),
            (0.5 - 0.02, 0.93),
            (0.5 - half * 0.55, 0.68),
            (0.5 - half, neck + 0.1),
            (0.5 - half * 0.8, neck - 0.01),
        ],
        pen.main,
    )
    for side, y in ((-1, neck + 0.12), (1, neck + 0.22), (-1, neck + 0.32)):
        edge = 0.5 + side * half * (0.98 - (y - neck) * 0.95)
        pen.line([(edge, y), (edge - side * half * 0.75, y + 0.015)], 0.024, _mark(pen.main))


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
        pen.blob(
            [(x, top - 0.31), (x + 0.045, top - 0.22), (x, top - 0.17), (x - 0.045, top - 0.22)],
            FLAME,
        )


def pineapple(pen: Pen) -> None:
    """A pineapple: an upright oval with a criss-cross skin under a crown of spikes."""
    half, top = pen.vary(0.23, 0.29), pen.vary(0.36, 0.41)
    for lean, tip in (
        (-0.3, 0.22),
        (0.3, 0.22),
        (-0.19, 0.1),
        (0.19, 0.1),
        (-0.08, 0.06),
        (0.09, 0.05),
    ):
        root = 0.5 + lean * 0.35
        pen.polygon([(root - 0.07, top + 0.08), (0.5 + lean, tip), (root + 0.07, top + 0.08)], pen.second)
    middle, tall = (top + 0.95) / 2, (0.95 - top) / 2
    pen.blob(
        [
            (
                0.5 + half * math.copysign(abs(math.cos(a)) ** 0.8, math.cos(a)),
                middle + tall * math.sin(a),
            )
            for a in (i * math.pi / 6 for i in range(12))
        ],
        pen.main,
    )
    ink, rows = _mark(pen.main), pen.count(3, 4)
    for i in range(rows):
        across = (i + 0.5) / rows * 2 - 1
        for side in (-1, 1):
            # a chord of the unit circle at distance `across * 0.8`, on the diagonal
            d, reach = across * 0.85, math.sqrt(1 - (across * 0.85) ** 2) * 0.94
            ends = [(d * 0.707 + s * reach * 0.707, d * 0.707 - s * reach * 0.707) for s in (-1, 1)]
            pen.line([(0.5 + side * half * x, middle + tall * y) for x, y in ends], 0.02, ink)


def banana(pen: Pen) -> None:
    """A banana: a bent fruit with a stem, a dark tip and a ridge, sometimes two of them."""
    belly, inner = pen.vary(0.8, 0.86), pen.vary(0.5, 0.56)
    if pen.chance(0.4):
        pen.blob(
            [
                (0.16, 0.2),
                (0.24, 0.16),
                (0.38, 0.34),
                (0.62, 0.42),
                (0.92, 0.36),
                (0.95, 0.42),
                (0.7, 0.62),
                (0.3, 0.56),
            ],
            pen.dark,
        )
    pen.polygon([(0.1, 0.1), (0.2, 0.07), (0.25, 0.28), (0.11, 0.28)], shade(pen.main, -0.5))
    pen.blob(
        [
            (0.11, 0.2),
            (0.22, 0.19),
            (0.31, 0.4),
            (0.46, inner),
            (0.68, inner + 0.03),
            (0.9, 0.44),
            (0.95, 0.5),
            (0.86, belly - 0.12),
            (0.62, belly + 0.06),
            (0.34, belly),
            (0.13, 0.58),
            (0.07, 0.36),
        ],
        pen.main,
    )
    pen.line(
        [
            (0.18, 0.3),
            (0.24, 0.5),
            (0.4, (inner + belly) / 2),
            (0.62, (inner + belly) / 2 + 0.04),
            (0.84, 0.6),
        ],
        0.022,
        _mark(pen.main),
    )
    pen.ellipse(0.92, 0.46, 0.05, 0.035, INK, angle=0.7)


def ice_cream(pen: Pen) -> None:
    """An ice cream: one to three scoops on a waffle cone, sometimes with a cherry."""
    scoops, half = pen.count(1, 3), pen.vary(0.18, 0.21)
    brim = (0.44, 0.49, 0.55)[scoops - 1] + pen.vary(-0.02, 0.02)
    half *= (1.25, 1.1, 0.95)[scoops - 1]
    pen.polygon([(0.5 - half, brim), (0.5 + half, brim), (0.5, 0.95)], pen.second)
    ink = _mark(pen.second)
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
    pen.polygon(
        [(left + 0.02, brim), (right - 0.02, brim), (0.53, 0.93), (0.5, 0.95), (0.47, 0.93)],
        pen.main,
    )
    spots = [
        (0.5 - half * 0.42, brim + 0.15),
        (0.5 + half * 0.36, brim + 0.19),
        (0.5 - half * 0.06, brim + 0.37),
    ]
    r = pen.vary(0.065, 0.085)
    for x, y in spots:
        pen.circle(x, y, r, pen.second)
    if pen.chance(0.5):
        pen.circle(0.5 + half * 0.02, brim + 0.1, r * 0.6, INK)
        pen.circle(0.5 + half * 0.02, brim + 0.1, r * 0.25, pen.main, outline=False)
    crust = [
        (left - 0.02, brim),
        (left + 0.1, 0.13),
        (0.5, 0.07),
        (right - 0.1, 0.13),
        (right + 0.02, brim),
    ]
    pen.blob([*crust, (0.5, brim - 0.02)], pen.dark)


def watermelon(pen: Pen) -> None:
    """A slice of watermelon: a half disc with the rind below and seeds, sometimes bitten."""
    deep, rind = pen.vary(0.42, 0.5), pen.vary(0.055, 0.08)
    top = 0.95 - deep - 0.02
    bite: list[Point] = []
    if pen.chance(0.5):
        x = pen.vary(0.38, 0.64)
        bite = [
            *_arc(x - 0.07, top, 0.08, 0.11, 180, 20, 6),
            *_arc(x + 0.08, top, 0.08, 0.11, 160, 0, 6),
        ]
    pen.polygon([*_arc(0.5, top, 0.45, deep, 0, 180), *bite], pen.second)
    pen.polygon([*_arc(0.5, top, 0.45 - rind, deep - rind, 0, 180), *bite], PAPER, outline=False)
    pen.polygon([*_arc(0.5, top, 0.42 - rind, deep - rind - 0.03, 0, 180), *bite], pen.main)
    seed = _mark(pen.main)
    for angle, far in ((25, 0.7), (58, 0.62), (90, 0.72), (122, 0.62), (155, 0.7)):
        (x, y), *_ = _arc(0.5, top, 0.38 * far, deep * 0.85 * far, angle, angle, 1)
        pen.ellipse(x, y, 0.02, 0.036, seed, angle=math.radians(90 - angle) * -0.6, outline=False)


def umbrella(pen: Pen) -> None:
    """An open umbrella: a ribbed dome with a scalloped edge on a shaft with a hook."""
    edge, parts = pen.vary(0.46, 0.54), pen.count(3, 5)
    hook = pen.vary(0.06, 0.085)
    shaft = [(0.5, 0.08), (0.5, 0.93 - hook), *_arc(0.5 - hook, 0.93 - hook, hook, hook, 0, 190, 8)]
    _rod(pen, shaft, 0.03, pen.second)
    width = 0.9 / parts
    centres = [0.95 - (i + 0.5) * width for i in range(parts)]
    scallops = [p for x in centres for p in _arc(x, edge, width / 2, 0.07, 0, -180, 6)]
    dome = _arc(0.5, edge, 0.45, edge - 0.12, 180, 360)
    pen.polygon([*dome, *scallops], pen.main)
    for i in range(1, parts):
        x = 0.05 + i * width
        pen.line([(0.5, 0.12), (0.5 + (x - 0.5) * 0.72, edge * 0.5), (x, edge)], 0.018, _mark(pen.main))
    pen.box(0.485, 0.05, 0.515, 0.13, pen.second)


def chair(pen: Pen) -> None:
    """A chair at an angle: a tall back with bars or a panel, a seat, four legs."""
    seat, back = pen.vary(0.54, 0.6), pen.vary(0.2, 0.26)
    leg = pen.vary(0.06, 0.08)
    pen.box(0.3, seat, 0.3 + leg, 0.84, pen.dark)
    pen.box(0.82 - leg, seat, 0.82, 0.84, pen.dark)
    if pen.chance(0.5):
        pen.box(0.3, 0.05, 0.82, seat - 0.03, pen.main, round_by=pen.vary(0.03, 0.2))
        pen.box(0.3, seat - 0.15, 0.82, seat, pen.main, outline=False)
    else:
        for x in (0.44, 0.56, 0.68):
            pen.box(x - 0.025, 0.1, x + 0.025, seat, pen.second)
        pen.box(0.3, 0.05, 0.3 + leg, seat, pen.main)
        pen.box(0.82 - leg, 0.05, 0.82, seat, pen.main)
        pen.box(0.28, 0.06, 0.84, 0.06 + back * 0.6, pen.main, round_by=0.04)
    pen.box(0.16, seat + 0.1, 0.16 + leg, 0.95, pen.main)
    pen.box(0.74 - leg, seat + 0.1, 0.74, 0.95, pen.main)
    pen.polygon([(0.3, seat - 0.06), (0.84, seat - 0.06), (0.76, seat + 0.1), (0.14, seat + 0.1)], pen.main)
    pen.polygon([(0.14, seat + 0.1), (0.76, seat + 0.1), (0.76, seat + 0.15), (0.14, seat + 0.15)], pen.dark)


def table(pen: Pen) -> None:
    """A table: a wide top seen from above its edge, on four legs or, when round, on one foot."""
    top, leg = pen.vary(0.32, 0.4), pen.vary(0.05, 0.075)
    edge = top + pen.vary(0.16, 0.22)
    if pen.chance(0.3):
        pen.blob(
            [(0.2, 0.93), (0.42, 0.83), (0.5, 0.8), (0.58, 0.83), (0.8, 0.93), (0.5, 0.88)],
            pen.second,
        )
        pen.box(0.5 - leg, edge - 0.05, 0.5 + leg, 0.88, pen.second)
        pen.ellipse(0.5, (top + edge) / 2 + 0.06, 0.45, (edge - top) / 2, pen.dark)
        pen.ellipse(0.5, (top + edge) / 2, 0.45, (edge - top) / 2, pen.main)
        return
    for x in (0.2, 0.8 - leg):
        pen.box(x, edge, x + leg, 0.85, pen.dark)
    for x in (0.09, 0.91 - leg):
        pen.box(x, edge, x + leg, 0.95, pen.main)
    pen.box(0.09, edge, 0.91, edge + 0.12, pen.second)
    if pen.chance(0.5):
        pen.circle(0.5, edge + 0.08, 0.025, INK)
    pen.polygon([(0.18, top), (0.82, top), (0.95, edge), (0.05, edge)], pen.main)
    pen.box(0.05, edge, 0.95, edge + 0.045, pen.dark)


def clock(pen: Pen) -> None:
    """An alarm clock with two bells and feet, or a plain wall clock; hands and marks."""
    alarm = pen.chance(0.6)
    r, y = (pen.vary(0.34, 0.37), 0.54) if alarm else (0.45, 0.5)
    face = r * pen.vary(0.66, 0.71)
    if alarm:
        for side in (-1, 1):
            pen.line([(0.5, y), (0.5 + side * 0.26, 0.95)], 0.08, pen.dark)
            pen.ellipse(0.5 + side * 0.25, 0.19, 0.16, 0.1, pen.second, angle=side * 0.7)
        pen.line([(0.5, 0.2), (0.5, 0.08)], 0.035, INK)
        pen.box(0.44, 0.05, 0.56, 0.1, INK)
    pen.circle(0.5, y, r, pen.main)
    pen.circle(0.5, y, face, PAPER)
    ticks = 12 if pen.chance(0.5) else 4
    for i in range(ticks):
        dx, dy = _arc(0, 0, face, face, i * 360 / ticks, 0, 1)[0]
        pen.line([(0.5 + dx * 0.9, y + dy * 0.9), (0.5 + dx * 0.74, y + dy * 0.74)], 0.022, INK)
    hour, minute = 30 * pen.count(0, 11), 30 * pen.count(0, 11)
    hour += 90 if hour == minute else 0
    pen.line([(0.5, y), _arc(0.5, y, face * 0.5, face * 0.5, hour, hour, 1)[0]], 0.045, INK)
    pen.line([(0.5, y), _arc(0.5, y, face * 0.75, face * 0.75, minute, minute, 1)[0]], 0.03, INK)
    pen.circle(0.5, y, 0.035, pen.second)


def cup(pen: Pen) -> None:
    """A cup: a straight mug or a round teacup on a saucer, with a handle and sometimes steam."""
    top, right = pen.vary(0.3, 0.36), pen.vary(0.66, 0.72)
    middle, half = (right + 0.08) / 2, (right - 0.08) / 2
    if pen.chance(0.6):
        _rod(pen, _arc(right - 0.02, (top + 0.92) / 2, 0.21, 0.19, -90, 90), 0.07, pen.main)
        pen.polygon([(0.08, top), (right, top), *_arc(middle, 0.87, half - 0.03, 0.08, 0, 180, 8)], pen.main)
    else:
        pen.ellipse(middle + 0.03, 0.9, half + 0.06, 0.05, pen.second)
        _rod(pen, _arc(right - 0.02, top + 0.17, 0.2, 0.13, -90, 120), 0.06, pen.main)
        pen.blob(
            [
                (0.08, top),
                (0.1, 0.6),
                (0.24, 0.86),
                (middle, 0.91),
                (right - 0.16, 0.86),
                (right - 0.02, 0.6),
                (right, top),
            ],
            pen.main,
        )
    pen.ellipse(middle, top, half, 0.075, pen.light)
    pen.ellipse(middle, top + 0.015, half - 0.06, 0.045, (112, 76, 50))
    if pen.chance(0.6):
        for x in (middle - 0.11, middle + 0.09):
            pen.line([(x, 0.22), (x + 0.04, 0.17), (x - 0.02, 0.11), (x + 0.03, 0.05)], 0.03, STEEL)


def book(pen: Pen) -> None:
    """A book: lying open with lines of writing, or closed with a spine, page edges and a label."""
    if pen.chance(0.55):
        top, sag = pen.vary(0.24, 0.3), pen.vary(0.05, 0.09)
        pen.box(0.05, top + 0.05, 0.95, 0.86, pen.second)
        pen.box(0.46, 0.8, 0.54, 0.9, pen.second)
        for side in (-1, 1):
            xs = [0.5 + side * x for x in (0.0, 0.1, 0.24, 0.4)]
            upper = list(zip(xs, (top + sag, top, top - 0.02, top + 0.02), strict=True))
            lower = [(x, y + 0.79 - top) for x, y in reversed(upper)]
            pen.polygon([*upper, *lower], pen.main)
            for i in range(4):
                y = top + 0.12 + i * 0.12
                pen.line([(0.5 + side * 0.07, y + 0.02), (0.5 + side * 0.33, y)], 0.022, _mark(pen.main))
        return
    left, right = pen.vary(0.14, 0.2), pen.vary(0.72, 0.78)
    back = right + 0.12
    pen.polygon([(left, 0.12), (left + 0.12, 0.05), (back, 0.05), (back, 0.87), (right, 0.95)], pen.dark)
    pen.polygon([(left + 0.03, 0.12), (left + 0.13, 0.065), (right + 0.1, 0.065), (right, 0.12)], PAPER)
    pen.polygon([(right, 0.12), (right + 0.1, 0.065), (right + 0.1, 0.86), (right, 0.93)], PAPER)
    for share in (0.35, 0.7):
        x = right + 0.1 * share
        pen.line([(x, 0.12 - 0.055 * share), (x, 0.92 - 0.06 * share)], 0.012, STEEL)
    pen.box(left, 0.12, right, 0.95, pen.main)
    pen.box(left, 0.12, left + 0.1, 0.95, pen.second)
    pen.box(left + 0.19, 0.25, right - 0.09, 0.25 + pen.vary(0.16, 0.24), PAPER)
    pen.line([(left + 0.25, 0.33), (right - 0.15, 0.33)], 0.03, INK)


def hammer(pen: Pen) -> None:
    """A claw hammer: an upright handle, a head with a flat face and a curved claw."""
    thick, head = pen.vary(0.055, 0.075), pen.vary(0.1, 0.13)
    middle = 0.09 + head
    pen.box(0.5 - thick, middle, 0.5 + thick, 0.95, pen.second, round_by=0.04)
    if pen.chance(0.5):
        pen.box(
            0.5 - thick - 0.02,
            0.68,
            0.5 + thick + 0.02,
            0.95,
            shade(pen.second, -0.4),
            round_by=0.05,
        )
    pen.polygon(
        [
            (0.2, middle - head * 0.65),
            (0.32, middle - head * 0.65),
            (0.38, middle - head),
            (0.6, middle - head),
            (0.78, middle - head * 0.8),
            (0.9, middle - head * 0.1),
            (0.95, middle + head * 1.4),
            (0.87, middle + head * 1.3),
            (0.78, middle + head * 0.6),
            (0.64, middle + head),
            (0.38, middle + head),
            (0.32, middle + head * 0.65),
            (0.2, middle + head * 0.65),
        ],
        pen.main,
    )
    pen.box(0.06, middle - head * 1.2, 0.25, middle + head * 1.2, pen.main, round_by=0.03)
    pen.box(0.42, middle - head - 0.04, 0.58, middle + head + 0.03, pen.dark, round_by=0.02)


def bucket(pen: Pen) -> None:
    """A bucket: wider on top than below, with a hoop of a handle over the opening and a band."""
    rim, top = pen.vary(0.36, 0.41), pen.vary(0.4, 0.46)
    foot = pen.vary(0.22, 0.27)
    _rod(pen, _arc(0.5, top, rim - 0.01, top - 0.08, 180, 360), 0.03, STEEL)
    pen.box(0.42, 0.05, 0.58, 0.12, pen.second, round_by=0.03)
    pen.polygon([(0.5 - rim, top), (0.5 + rim, top), *_arc(0.5, 0.9, foot, 0.05, 0, 180, 8)], pen.main)
    if pen.chance(0.6):
        upper = rim + (foot - rim) * 0.45
        lower = rim + (foot - rim) * 0.65
        y0, y1 = top + (0.9 - top) * 0.45, top + (0.9 - top) * 0.65
        curve = [*_arc(0.5, y0, upper, 0.05, 180, 0, 8), *_arc(0.5, y1, lower, 0.05, 0, 180, 8)]
        pen.polygon(curve, pen.second)
    pen.ellipse(0.5, top, rim + 0.02, 0.09, pen.light)
    pen.ellipse(0.5, top + 0.01, rim - 0.04, 0.06, shade(pen.main, -0.6))
    for side in (-1, 1):
        pen.circle(0.5 + side * rim, top + 0.03, 0.035, STEEL)


def ball(pen: Pen) -> None:
    """A ball: a beach ball with wedges, a ball with a band and a star, or one with seams."""
    pen.circle(0.5, 0.5, 0.45, pen.main)
    kind, turn = pen.count(0, 2), pen.vary(0, 360)
    if kind == 0:
        centre = (0.5 + pen.vary(-0.1, 0.1), 0.5 + pen.vary(-0.18, -0.06))
        for start in (0, 120, 240):
            rim = _arc(0.5, 0.5, 0.44, 0.44, turn + start, turn + start + 50, 6)
            pen.polygon([centre, *rim], pen.second)
        pen.circle(*centre, 0.06, PAPER)
    elif kind == 1:
        band = pen.vary(0.12, 0.16)
        angle = math.degrees(math.asin(band / 0.45))
        left = _arc(0.5, 0.5, 0.44, 0.44, 180 - angle, 180 + angle, 4)
        pen.polygon([*left, *_arc(0.5, 0.5, 0.44, 0.44, -angle, angle, 4)], pen.second)
        radii = [band * (0.85 if i % 2 == 0 else 0.36) for i in range(10)]
        star = [_arc(0.5, 0.5, r, r, turn + 36 * i, 0, 1)[0] for i, r in enumerate(radii)]
        pen.polygon(star, PAPER)
    else:
        ink = _mark(pen.main)
        for side in (0, 180):  # circles that cut the rim at right angles
            seam = _arc(0.5 + 0.55 * math.cos(math.radians(side)), 0.5, 0.316, 0.316, side + 126, side + 234)
            pen.line(seam, 0.024, ink)
        pen.line([(0.5, 0.06), (0.5, 0.94)], 0.024, ink)
        pen.line([(0.06, 0.5), (0.94, 0.5)], 0.024, ink)
    pen.ellipse(0.32, 0.22, 0.07, 0.035, PAPER, angle=-0.7, outline=False)


def guitar(pen: Pen) -> None:
    """A guitar: a waisted body with a sound hole, a long neck with strings, a head with pegs."""
    low, waist, high = pen.vary(0.25, 0.29), pen.vary(0.13, 0.17), pen.vary(0.18, 0.22)
    pen.blob(
        [
            (0.5, 0.44),
            (0.5 + high * 0.8, 0.46),
            (0.5 + high, 0.54),
            (0.5 + waist, 0.64),
            (0.5 + low, 0.76),
            (0.5 + low * 0.75, 0.91),
            (0.5, 0.95),
            (0.5 - low * 0.75, 0.91),
            (0.5 - low, 0.76),
            (0.5 - waist, 0.64),
            (0.5 - high, 0.54),
            (0.5 - high * 0.8, 0.46),
        ],
        pen.main,
    )
    pen.circle(0.5, 0.63, pen.vary(0.075, 0.095), _mark(pen.main), outline=False)
    pen.box(0.465, 0.16, 0.535, 0.58, pen.second)
    for y in (0.09, 0.16):
        pen.line([(0.4, y), (0.6, y)], 0.035, INK)
    pen.polygon([(0.44, 0.05), (0.56, 0.05), (0.54, 0.2), (0.46, 0.2)], pen.second)
    pen.box(0.4, 0.8, 0.6, 0.84, _mark(pen.main), outline=False)
    for x in (0.487, 0.513):
        pen.line([(x, 0.2), (x, 0.81)], 0.01, PAPER)


def lamp(pen: Pen) -> None:
    """A lamp: a shade wider below than on top, a stand or a jug, sometimes a pull cord."""
    upper, lower = pen.vary(0.13, 0.2), pen.vary(0.36, 0.42)
    brim = pen.vary(0.46, 0.54)
    pen.box(0.47, brim - 0.05, 0.53, 0.92, pen.second)
    if pen.chance(0.5):
        pen.ellipse(0.5, 0.76, 0.14, 0.13, pen.second)
    pen.polygon([*_arc(0.5, 0.95, 0.24, 0.1, 180, 360, 8)], pen.second)
    if pen.chance(0.5):
        pen.line([(0.67, brim), (0.67, brim + 0.16)], 0.018, INK)
        pen.circle(0.67, brim + 0.18, 0.03, INK)
    pen.ellipse(0.5, brim - 0.01, 0.1, 0.09, (255, 236, 150))
    pen.polygon(
        [(0.5 - upper, 0.07), (0.5 + upper, 0.07), (0.5 + lower, brim), (0.5 - lower, brim)],
        pen.main,
    )
    inset = (lower - upper) / (brim - 0.07) * 0.07
    hem = [(0.5 - lower + inset, brim - 0.07), (0.5 + lower - inset, brim - 0.07)]
    pen.polygon([*hem, (0.5 + lower, brim), (0.5 - lower, brim)], pen.light)


def key(pen: Pen) -> None:
    """A key: a ring or three small rings to hold, a straight shaft, teeth at its end."""
    r, thick = pen.vary(0.15, 0.18), pen.vary(0.085, 0.1)
    teeth, length = pen.count(2, 3), pen.vary(0.15, 0.2)
    for i in range(teeth):
        x = 0.82 - i * 0.12
        pen.box(x, 0.5, x + 0.075, 0.54 + length * (1 if i != 1 else 0.7), pen.main)
    pen.box(0.36, 0.5 - thick * 0.6, 0.95, 0.5 + thick * 0.6, pen.main, round_by=0.03)
    if pen.chance(0.4):
        for x, y in ((0.17, 0.5), (0.32, 0.34), (0.32, 0.66)):
            _rod(pen, _arc(x, y, 0.095, 0.095, 0, 390, 10), 0.075, pen.main)
    else:
        _rod(pen, _arc(0.26, 0.5, r, r * pen.vary(0.95, 1.3), 0, 380, 15), thick, pen.main)
    pen.box(0.44, 0.5 - thick, 0.5, 0.5 + thick, pen.second, round_by=0.02)


def bottle(pen: Pen) -> None:
    """A bottle: a straight body, shoulders, a thin neck with a stopper, a label."""
    half, neck = pen.vary(0.17, 0.24), pen.vary(0.065, 0.085)
    shoulder, collar = pen.vary(0.42, 0.52), pen.vary(0.24, 0.3)
    pen.box(0.5 - neck * 0.8, 0.05, 0.5 + neck * 0.8, 0.15, (176, 128, 84), round_by=0.02)
    right = [(neck, 0.13), (neck, collar), (half * 0.8, shoulder - 0.08), (half, shoulder)]
    right += [(half, 0.9), (half - 0.05, 0.95)]
    outline = [(0.5 + x, y) for x, y in right] + [(0.5 - x, y) for x, y in reversed(right)]
    pen.polygon(outline, pen.main)
    pen.box(0.5 - neck - 0.02, 0.13, 0.5 + neck + 0.02, 0.18, pen.dark)
    label = pen.vary(0.14, 0.2)
    pen.box(0.5 - half, 0.62, 0.5 + half, 0.62 + label, pen.second)
    if pen.chance(0.5):
        pen.circle(0.5, 0.62 + label / 2, label * 0.3, PAPER)
    pen.line([(0.5 - half + 0.05, shoulder + 0.01), (0.5 - half + 0.05, 0.58)], 0.028, pen.light)


def scissors(pen: Pen) -> None:
    """Open scissors: two pointed blades that cross at a screw, two loops for the fingers below."""
    gape, loop = pen.vary(0.15, 0.24), pen.vary(0.11, 0.13)
    wide, pivot = pen.vary(0.065, 0.08), 0.56
    for side in (-1, 1):
        foot = 0.5 - side * (loop + 0.07)
        pen.polygon(
            [
                (0.5 + side * gape, 0.05),
                (0.5 + side * (gape + wide * 0.9), 0.12),
                (0.5 + side * (wide * 1.2), pivot + 0.02),
                (foot + side * 0.05, 0.74),
                (foot - side * 0.03, 0.7),
                (0.5 - side * wide, pivot),
            ],
            pen.main,
        )
        _rod(pen, _arc(foot, 0.93 - loop * 1.1, loop, loop * 1.1, 0, 380, 13), 0.042, pen.second)
    pen.circle(0.5, pivot, 0.035, INK)


def candle(pen: Pen) -> None:
    """A burning candle: a thick stick with drips and a flame, in a dish with a ring."""
    half, top = pen.vary(0.14, 0.18), pen.vary(0.32, 0.38)
    _rod(pen, _arc(0.84, 0.83, 0.09, 0.09, 0, 380, 11), 0.03, pen.second)
    pen.line([(0.5, top), (0.5, top - 0.07)], 0.025, INK)
    pen.blob([(0.5, 0.05), (0.6, top - 0.16), (0.5, top - 0.05), (0.4, top - 0.16)], FLAME)
    pen.ellipse(0.5, top - 0.12, 0.035, 0.06, (255, 236, 150), outline=False)
    pen.box(0.5 - half, top, 0.5 + half, 0.86, pen.main)
    drip = pen.vary(0.1, 0.17)
    pen.blob(
        [
            (0.5 - half - 0.01, top - 0.01),
            (0.5 + half + 0.01, top - 0.01),
            (0.5 + half + 0.02, top + drip),
            (0.5 + half * 0.6, top + drip),
            (0.5 + half * 0.3, top + 0.07),
            (0.5 - half * 0.3, top + 0.06),
            (0.5 - half * 0.7, top + drip * 0.7),
            (0.5 - half - 0.02, top + drip * 0.6),
        ],
        pen.light,
    )
    pen.polygon([(0.16, 0.82), (0.84, 0.82), (0.74, 0.95), (0.26, 0.95)], pen.second)


def drum(pen: Pen) -> None:
    """A drum: a wide cylinder laced with a zigzag cord between two hoops, two sticks on top."""
    half, top = pen.vary(0.37, 0.41), pen.vary(0.4, 0.46)
    low = pen.vary(0.82, 0.86)
    left, right = 0.5 - half, 0.5 + half
    pen.polygon([(left, top), (right, top), *_arc(0.5, low, half, 0.09, 0, 180, 10)], pen.main)
    laces = pen.count(3, 4)
    ys = (top + 0.09, low + 0.03)
    cord = [(left + half * i / laces, ys[i % 2]) for i in range(2 * laces + 1)]
    pen.line(cord, 0.028, _mark(pen.main))
    _rod(pen, _arc(0.5, low - 0.01, half + 0.01, 0.09, 180, 0, 10), 0.045, pen.second)
    pen.ellipse(0.5, top + 0.05, half + 0.02, 0.1, pen.second)
    pen.ellipse(0.5, top, half + 0.02, 0.1, PAPER)
    spread = pen.vary(0.26, 0.34)
    for side in (-1, 1):
        _rod(pen, [(0.5 + side * spread, 0.07), (0.5 - side * 0.1, top)], 0.03, (176, 128, 84))
        pen.circle(0.5 - side * 0.1, top, 0.045, (176, 128, 84))


def bell(pen: Pen) -> None:
    """A bell: a flared dome with a rim, a ring on top, a clapper below, sometimes a bow."""
    half, crown = pen.vary(0.38, 0.43), pen.vary(0.19, 0.24)
    _rod(pen, _arc(0.5, 0.14, 0.065, 0.065, 0, 380, 14), 0.035, pen.second)
    pen.circle(0.5, 0.86, pen.vary(0.075, 0.09), pen.second)
    right = [(0.1, 0.2), (crown, 0.29), (crown + 0.03, 0.5), (crown + 0.07, 0.66), (half, 0.8)]
    outline = [(0.5 + x, y) for x, y in right] + [(0.5 - x, y) for x, y in reversed(right)]
    pen.polygon(outline, pen.main)
    pen.box(0.5 - half - 0.02, 0.77, 0.52 + half, 0.85, pen.dark, round_by=0.04)
    pen.line(
        [(0.5 - crown + 0.07, 0.34), (0.5 - crown + 0.05, 0.52), (0.5 - crown, 0.68)],
        0.035,
        pen.light,
    )
    if pen.chance(0.4):
        for side in (-1, 1):
            pen.polygon([(0.5, 0.22), (0.5 + side * 0.2, 0.12), (0.5 + side * 0.2, 0.32)], pen.second)
        pen.circle(0.5, 0.22, 0.045, pen.second)


def ladder(pen: Pen) -> None:
    """A ladder: two long rails, a little closer on top, with rungs between them."""
    foot, top = pen.vary(0.2, 0.26), pen.vary(0.14, 0.2)
    lean, thick = pen.vary(-0.1, 0.1), pen.vary(0.035, 0.045)
    rungs = pen.count(5, 7)
    for i in range(rungs):
        share = (i + 0.6) / (rungs + 0.2)
        y, x, reach = 0.95 - 0.9 * share, 0.5 + lean * share, foot + (top - foot) * share
        _rod(pen, [(x - reach, y), (x + reach, y)], 0.045, pen.second)
    for side in (-1, 1):
        x0, x1 = 0.5 + side * foot, 0.5 + lean + side * top
        pen.polygon(
            [(x1 - thick, 0.05), (x1 + thick, 0.05), (x0 + thick, 0.95), (x0 - thick, 0.95)],
            pen.main,
        )

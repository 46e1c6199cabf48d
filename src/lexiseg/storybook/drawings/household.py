"""Drawings of furniture and of things about the house."""

from lexiseg.storybook.drawings.pen import INK, PAPER, Pen
from lexiseg.storybook.drawings.strokes import FLAME, STEEL, arc, both_sides, mark, rod


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
        pen.blob([(0.2, 0.93), (0.42, 0.83), (0.5, 0.8), (0.58, 0.83), (0.8, 0.93), (0.5, 0.88)], pen.second)
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


def lamp(pen: Pen) -> None:
    """A lamp: a shade wider below than on top, a stand or a jug, sometimes a pull cord."""
    upper, lower = pen.vary(0.13, 0.2), pen.vary(0.36, 0.42)
    brim = pen.vary(0.46, 0.54)
    pen.box(0.47, brim - 0.05, 0.53, 0.92, pen.second)
    if pen.chance(0.5):
        pen.ellipse(0.5, 0.76, 0.14, 0.13, pen.second)
    pen.polygon([*arc(0.5, 0.95, 0.24, 0.1, 180.0, 360.0, 8)], pen.second)
    if pen.chance(0.5):
        pen.line([(0.67, brim), (0.67, brim + 0.16)], 0.018, INK)
        pen.circle(0.67, brim + 0.18, 0.03, INK)
    pen.ellipse(0.5, brim - 0.01, 0.1, 0.09, (255, 236, 150))
    pen.polygon([(0.5 - upper, 0.07), (0.5 + upper, 0.07), (0.5 + lower, brim), (0.5 - lower, brim)], pen.main)
    inset = (lower - upper) / (brim - 0.07) * 0.07
    hem = [(0.5 - lower + inset, brim - 0.07), (0.5 + lower - inset, brim - 0.07)]
    pen.polygon([*hem, (0.5 + lower, brim), (0.5 - lower, brim)], pen.light)


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
        dx, dy = arc(0.0, 0.0, face, face, i * 360 / ticks, 0.0, 1)[0]
        pen.line([(0.5 + dx * 0.9, y + dy * 0.9), (0.5 + dx * 0.74, y + dy * 0.74)], 0.022, INK)
    hour, minute = 30.0 * pen.count(0, 11), 30.0 * pen.count(0, 11)
    hour += 90.0 if hour == minute else 0.0
    pen.line([(0.5, y), arc(0.5, y, face * 0.5, face * 0.5, hour, hour, 1)[0]], 0.045, INK)
    pen.line([(0.5, y), arc(0.5, y, face * 0.75, face * 0.75, minute, minute, 1)[0]], 0.03, INK)
    pen.circle(0.5, y, 0.035, pen.second)


def cup(pen: Pen) -> None:
    """A cup: a straight mug or a round teacup on a saucer, with a handle and sometimes steam."""
    top, right = pen.vary(0.3, 0.36), pen.vary(0.66, 0.72)
    middle, half = (right + 0.08) / 2, (right - 0.08) / 2
    if pen.chance(0.6):
        rod(pen, arc(right - 0.02, (top + 0.92) / 2, 0.21, 0.19, -90.0, 90.0), 0.07, pen.main)
        pen.polygon([(0.08, top), (right, top), *arc(middle, 0.87, half - 0.03, 0.08, 0.0, 180.0, 8)], pen.main)
    else:
        pen.ellipse(middle + 0.03, 0.9, half + 0.06, 0.05, pen.second)
        rod(pen, arc(right - 0.02, top + 0.17, 0.2, 0.13, -90.0, 120.0), 0.06, pen.main)
        bowl = [(0.08, top), (0.1, 0.6), (0.24, 0.86), (middle, 0.91), (right - 0.16, 0.86), (right - 0.02, 0.6)]
        pen.blob([*bowl, (right, top)], pen.main)
    pen.ellipse(middle, top, half, 0.075, pen.light)
    pen.ellipse(middle, top + 0.015, half - 0.06, 0.045, (112, 76, 50))
    if pen.chance(0.6):
        for x in (middle - 0.11, middle + 0.09):
            pen.line([(x, 0.22), (x + 0.04, 0.17), (x - 0.02, 0.11), (x + 0.03, 0.05)], 0.03, STEEL)


def bottle(pen: Pen) -> None:
    """A bottle: a straight body, shoulders, a thin neck with a stopper, a label."""
    half, neck = pen.vary(0.17, 0.24), pen.vary(0.065, 0.085)
    shoulder, collar = pen.vary(0.42, 0.52), pen.vary(0.24, 0.3)
    pen.box(0.5 - neck * 0.8, 0.05, 0.5 + neck * 0.8, 0.15, (176, 128, 84), round_by=0.02)
    right = [(neck, 0.13), (neck, collar), (half * 0.8, shoulder - 0.08), (half, shoulder)]
    right += [(half, 0.9), (half - 0.05, 0.95)]
    right, left = both_sides(right)
    pen.polygon([*right, *left], pen.main)
    pen.box(0.5 - neck - 0.02, 0.13, 0.5 + neck + 0.02, 0.18, pen.dark)
    label = pen.vary(0.14, 0.2)
    pen.box(0.5 - half, 0.62, 0.5 + half, 0.62 + label, pen.second)
    if pen.chance(0.5):
        pen.circle(0.5, 0.62 + label / 2, label * 0.3, PAPER)
    pen.line([(0.5 - half + 0.05, shoulder + 0.01), (0.5 - half + 0.05, 0.58)], 0.028, pen.light)


def candle(pen: Pen) -> None:
    """A burning candle: a thick stick with drips and a flame, in a dish with a ring."""
    half, top = pen.vary(0.14, 0.18), pen.vary(0.32, 0.38)
    rod(pen, arc(0.84, 0.83, 0.09, 0.09, 0.0, 380.0, 11), 0.03, pen.second)
    pen.line([(0.5, top), (0.5, top - 0.07)], 0.025, INK)
    pen.blob([(0.5, 0.05), (0.6, top - 0.16), (0.5, top - 0.05), (0.4, top - 0.16)], FLAME)
    pen.ellipse(0.5, top - 0.12, 0.035, 0.06, (255, 236, 150), outline=False)
    pen.box(0.5 - half, top, 0.5 + half, 0.86, pen.main)
    drip = pen.vary(0.1, 0.17)
    edge = [(0.5 - half - 0.01, top - 0.01), (0.5 + half + 0.01, top - 0.01)]
    right = [(0.5 + half + 0.02, top + drip), (0.5 + half * 0.6, top + drip), (0.5 + half * 0.3, top + 0.07)]
    left = [(0.5 - half * 0.3, top + 0.06), (0.5 - half * 0.7, top + drip * 0.7), (0.5 - half - 0.02, top + drip * 0.6)]
    pen.blob([*edge, *right, *left], pen.light)
    pen.polygon([(0.16, 0.82), (0.84, 0.82), (0.74, 0.95), (0.26, 0.95)], pen.second)


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
                pen.line([(0.5 + side * 0.07, y + 0.02), (0.5 + side * 0.33, y)], 0.022, mark(pen.main))
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
            rod(pen, arc(x, y, 0.095, 0.095, 0.0, 390.0, 10), 0.075, pen.main)
    else:
        rod(pen, arc(0.26, 0.5, r, r * pen.vary(0.95, 1.3), 0.0, 380.0, 15), thick, pen.main)
    pen.box(0.44, 0.5 - thick, 0.5, 0.5 + thick, pen.second, round_by=0.02)


def umbrella(pen: Pen) -> None:
    """An open umbrella: a ribbed dome with a scalloped edge on a shaft with a hook."""
    edge, parts = pen.vary(0.46, 0.54), pen.count(3, 5)
    hook = pen.vary(0.06, 0.085)
    shaft = [(0.5, 0.08), (0.5, 0.93 - hook), *arc(0.5 - hook, 0.93 - hook, hook, hook, 0.0, 190.0, 8)]
    rod(pen, shaft, 0.03, pen.second)
    width = 0.9 / parts
    centres = [0.95 - (i + 0.5) * width for i in range(parts)]
    scallops = [p for x in centres for p in arc(x, edge, width / 2, 0.07, 0.0, -180.0, 6)]
    dome = arc(0.5, edge, 0.45, edge - 0.12, 180.0, 360.0)
    pen.polygon([*dome, *scallops], pen.main)
    for i in range(1, parts):
        x = 0.05 + i * width
        pen.line([(0.5, 0.12), (0.5 + (x - 0.5) * 0.72, edge * 0.5), (x, edge)], 0.018, mark(pen.main))
    pen.box(0.485, 0.05, 0.515, 0.13, pen.second)

"""Drawings of buildings and of large things that stand outdoors."""

import math
from itertools import pairwise

from lexiseg.storybook.drawings.pen import INK, PAPER, RGB, Pen
from lexiseg.storybook.drawings.strokes import GLASS, LAMP, curve

TIMBER: RGB = (128, 92, 62)
STONE: RGB = (160, 158, 162)


def _arch(pen: Pen, x: float, half: float, top: float, bottom: float, fill: RGB) -> None:
    """An upright opening with a round top, `half` wide to either side of x."""
    round_top = curve(x, top + half, half, -half, [math.pi * i / 8 for i in range(9)])
    pen.polygon([(x + half, bottom), *round_top, (x - half, bottom)], fill)


def house(pen: Pen) -> None:
    """A house: a wall with a door and windows, a pitched roof, a chimney."""
    eaves, side, door = pen.vary(0.43, 0.5), pen.vary(0.12, 0.18), pen.vary(0.3, 0.7)
    chimney = pen.vary(0.66, 0.74)
    pen.box(chimney, pen.vary(0.05, 0.1), chimney + 0.11, eaves - 0.05, STONE)
    pen.box(side, eaves - 0.02, 1 - side, 0.95, pen.main)
    if pen.chance(0.6):
        roof = [(0.05, eaves), (0.5, 0.06), (0.95, eaves)]
    else:
        roof = [(0.05, eaves), (0.22, 0.18), (0.78, 0.18), (0.95, eaves)]
    pen.polygon(roof, pen.second)
    pen.box(door - 0.08, 0.66, door + 0.08, 0.95, TIMBER)
    pen.circle(door + 0.045, 0.81, 0.015, LAMP, outline=False)
    for x in (0.3, 0.5, 0.7):
        if abs(x - door) > 0.17:
            pen.box(x - 0.075, 0.58, x + 0.075, 0.74, GLASS)
            pen.line([(x, 0.58), (x, 0.74)], 0.015, INK)
            pen.line([(x - 0.075, 0.66), (x + 0.075, 0.66)], 0.015, INK)


def tent(pen: Pen) -> None:
    """A ridge tent seen from its corner: an open triangular front, a long side, ropes with pegs."""
    top, apex, left = pen.vary(0.26, 0.34), pen.vary(0.3, 0.35), pen.vary(0.1, 0.14)
    right, ridge = pen.vary(0.5, 0.55), pen.vary(0.68, 0.75)
    pen.line([(apex, top), (0.05, 0.9)], 0.018, TIMBER)
    pen.line([(ridge, top + 0.02), (0.95, 0.85)], 0.018, TIMBER)
    pen.line([(apex - 0.025, top - 0.06), (apex + 0.01, top + 0.04)], 0.03, TIMBER)
    pen.line([(apex + 0.025, top - 0.06), (apex - 0.01, top + 0.04)], 0.03, TIMBER)
    pen.polygon([(apex, top), (ridge, top + 0.02), (0.9, 0.85), (right, 0.95)], pen.main)
    pen.polygon([(apex, top), (right, 0.95), (left, 0.95)], pen.light)
    pen.polygon([(apex, top + 0.13), (right - 0.09, 0.95), (left + 0.09, 0.95)], INK)
    pen.polygon([(apex, top + 0.13), (right - 0.09, 0.95), (right - 0.17, 0.77)], pen.second)
    if pen.chance(0.6):
        pen.polygon([(apex, top + 0.13), (left + 0.09, 0.95), (left + 0.17, 0.77)], pen.second)


def lighthouse(pen: Pen) -> None:
    """A lighthouse on a rock: a tall narrowing tower with bands, a lamp room, two beams."""
    foot, head = pen.vary(0.15, 0.18), pen.vary(0.085, 0.1)
    bands, beam = pen.count(2, 3), pen.vary(0.05, 0.075)
    for end in (0.05, 0.95):
        pen.polygon([(0.5, 0.2), (end, 0.2 - beam), (end, 0.2 + beam)], LAMP)
    pen.blob([(0.2, 0.94), (0.3, 0.85), (0.5, 0.83), (0.72, 0.86), (0.8, 0.94), (0.5, 0.95)], STONE)
    pen.polygon([(0.5 - head, 0.28), (0.5 + head, 0.28), (0.5 + foot, 0.88), (0.5 - foot, 0.88)], pen.main)
    for i in range(bands):
        y = 0.4 + i * 0.34 / bands
        a, b = (head + (foot - head) * (t - 0.28) / 0.6 for t in (y, y + 0.075))
        pen.polygon([(0.5 - a, y), (0.5 + a, y), (0.5 + b, y + 0.075), (0.5 - b, y + 0.075)], pen.second)
    _arch(pen, 0.5, 0.04, 0.76, 0.88, INK)
    pen.box(0.5 - head * 0.75, 0.15, 0.5 + head * 0.75, 0.27, LAMP)
    pen.line([(0.5, 0.15), (0.5, 0.27)], 0.02, INK)
    pen.box(0.46 - head, 0.25, 0.54 + head, 0.29, pen.dark)
    pen.polygon([(0.48 - head, 0.15), (0.5, 0.05), (0.52 + head, 0.15)], pen.second)


def castle(pen: Pen) -> None:
    """A castle: two towers with battlements or pointed roofs, a wall, an arched gate, flags."""
    tower, wall, half = pen.vary(0.3, 0.38), pen.vary(0.5, 0.58), pen.vary(0.1, 0.125)
    pointed, keep = pen.chance(0.5), pen.chance(0.6)
    if keep:
        pen.box(0.4, tower - 0.04, 0.6, wall + 0.05, pen.main)
        pen.polygon([(0.36, tower - 0.03), (0.5, 0.1), (0.64, tower - 0.03)], pen.second)
    for x in (0.335, 0.465, 0.595):
        pen.box(x, wall - 0.07, x + 0.07, wall + 0.03, pen.main)
    pen.box(0.15, wall, 0.85, 0.95, pen.main)
    for x in (0.07 + half, 0.93 - half):
        pen.box(x - half, tower, x + half, 0.95, pen.main)
        if pointed:
            pen.line([(x, 0.05), (x, 0.15)], 0.02, INK)
            pen.polygon([(x, 0.05), (x + 0.1, 0.085), (x, 0.12)], pen.second)
            pen.polygon([(x - half - 0.02, tower), (x, 0.12), (x + half + 0.02, tower)], pen.second)
        else:
            for i in (-1, 0, 1):
                left = x + i * half * 0.82 - half * 0.26
                pen.box(left, tower - 0.1, left + half * 0.52, tower + 0.02, pen.main)
        _arch(pen, x, 0.03, tower + 0.12, tower + 0.25, INK)
    _arch(pen, 0.5, 0.11, 0.66, 0.95, TIMBER)


def windmill(pen: Pen) -> None:
    """A windmill: a tapering tower with a cap and four large lattice sails."""
    foot, head, turn = pen.vary(0.2, 0.25), pen.vary(0.11, 0.14), pen.vary(0.45, 1.1)
    reach, wide = pen.vary(0.34, 0.37), pen.vary(0.1, 0.13)
    pen.polygon([(0.5 - head, 0.38), (0.5 + head, 0.38), (0.5 + foot, 0.95), (0.5 - foot, 0.95)], pen.main)
    cap = [(0.48 - head, 0.4), (0.5 - head * 0.8, 0.29), (0.5, 0.24), (0.5 + head * 0.8, 0.29), (0.52 + head, 0.4)]
    pen.blob(cap, pen.dark)
    _arch(pen, 0.5, 0.06, 0.77, 0.95, TIMBER)
    pen.box(0.46, 0.6, 0.54, 0.69, GLASS)
    for i in range(4):
        a = turn + i * math.pi / 2
        ux, uy, vx, vy = math.cos(a), math.sin(a), -math.sin(a), math.cos(a)
        corners = ((0.1, 0), (reach, 0), (reach, wide), (0.1, wide))
        vane = [(0.5 + ux * d + vx * w, 0.38 + uy * d + vy * w) for d, w in corners]
        pen.polygon(vane, pen.second)
        for d in (0.45, 0.75):
            x, y = 0.5 + ux * reach * d, 0.38 + uy * reach * d
            pen.line([(x, y), (x + vx * wide, y + vy * wide)], 0.014, INK)
        pen.line([(0.5, 0.38), vane[1]], 0.03, INK)
    pen.circle(0.5, 0.38, 0.04, INK)


def church(pen: Pen) -> None:
    """A church: a nave with a pitched roof and arched windows, a tower with a spire and a cross."""
    eaves, half, spire = pen.vary(0.58, 0.64), pen.vary(0.11, 0.14), pen.vary(0.38, 0.44)
    mid, ridge = 0.08 + half, pen.vary(0.42, 0.48)
    pen.box(mid, eaves, 0.92, 0.95, pen.main)
    pen.polygon([(mid, eaves), (mid, ridge), (0.84, ridge), (0.95, eaves)], pen.second)
    windows = pen.count(2, 3)
    for i in range(windows):
        x = 0.14 + 2 * half + (0.76 - 2 * half) * (i + 0.5) / windows
        _arch(pen, x, 0.045, eaves + 0.08, 0.86, GLASS)
    pen.line([(mid, 0.05), (mid, 0.2)], 0.03, INK)
    pen.line([(mid - 0.05, 0.095), (mid + 0.05, 0.095)], 0.03, INK)
    pen.box(mid - half, spire, mid + half, 0.95, pen.main)
    pen.polygon([(mid - half - 0.02, spire), (mid, 0.17), (mid + half + 0.02, spire)], pen.second)
    if pen.chance(0.5):
        pen.circle(mid, spire + 0.13, 0.065, PAPER)
        pen.line([(mid, spire + 0.08), (mid, spire + 0.13), (mid + 0.04, spire + 0.13)], 0.018, INK)
    else:
        _arch(pen, mid, 0.045, spire + 0.06, spire + 0.2, INK)
    _arch(pen, mid, 0.065, 0.73, 0.95, TIMBER)


def traffic_light(pen: Pen) -> None:
    """A traffic light: three round lamps above one another in a tall case on a pole."""
    half, bottom, lamp = pen.vary(0.15, 0.18), pen.vary(0.66, 0.72), pen.vary(0.072, 0.085)
    lit = pen.count(0, 2)
    pen.box(0.46, bottom - 0.02, 0.54, 0.93, STONE)
    pen.box(0.36, 0.9, 0.64, 0.95, STONE)
    step = (bottom - 0.05) / 3
    if pen.chance(0.5):
        for side in (-1, 1):
            for i in range(3):
                x, y = 0.5 + side * half, 0.08 + step * i
                pen.polygon([(x, y), (x + side * 0.11, y), (x, y + 0.15)], pen.dark)
    pen.box(0.5 - half, 0.05, 0.5 + half, bottom, pen.main, round_by=0.06)
    for i, fill in enumerate(((228, 60, 50), (246, 196, 60), (80, 186, 96))):
        y = 0.05 + step * (i + 0.5)
        pen.circle(0.5, y - 0.012, lamp + 0.022, INK)
        pen.circle(0.5, y, lamp, fill)
        if i == lit:
            pen.circle(0.48, y - 0.02, lamp * 0.45, PAPER, outline=False)


def mailbox(pen: Pen) -> None:
    """A mailbox on a post: a round-topped box seen from its corner, a flag, perhaps a letter."""
    r, length, bottom = pen.vary(0.15, 0.18), pen.vary(0.44, 0.5), pen.vary(0.52, 0.56)
    x, post = 0.1 + r, pen.vary(0.045, 0.06)
    end, top = x + length, bottom - 0.2 - r
    pen.box(0.5 - post, bottom - 0.03, 0.5 + post, 0.95, TIMBER)
    _arch(pen, end, r, top, bottom, pen.main)
    pen.box(x, top, end, bottom, pen.main)
    pen.box(x, top + 0.015, end + 0.02, bottom - 0.012, pen.main, outline=False)
    _arch(pen, x, r, top, bottom, pen.light)
    if pen.chance(0.6):
        pen.box(x - 0.03, bottom - 0.21, x + 0.03, bottom - 0.18, INK)
        letter = [(0.05, bottom - 0.25), (x - 0.01, bottom - 0.28), (x + 0.03, bottom - 0.14), (0.08, bottom - 0.1)]
        pen.polygon(letter, PAPER)
    else:
        pen.box(x - 0.09, top + r + 0.01, x + 0.09, top + r + 0.05, INK)
    flag = end - pen.vary(0.06, 0.14)
    pen.line([(flag, bottom - 0.14), (flag, 0.06)], 0.035, INK)
    pen.polygon([(flag, 0.05), (flag + 0.17, 0.05), (flag + 0.17, 0.15), (flag, 0.15)], pen.second)


def palm(pen: Pen) -> None:
    """A palm tree: a thin bent trunk with rings, a crown of long drooping leaves, coconuts."""
    foot, crown, droop = pen.vary(0.3, 0.42), pen.vary(0.5, 0.56), pen.vary(0.2, 0.28)
    thick, top = pen.vary(0.045, 0.06), pen.vary(0.3, 0.34)
    trunk = [(foot, 0.95), ((foot + crown) / 2 + 0.06, 0.66), (crown, top)]
    left = [(x - thick * w, y) for (x, y), w in zip(trunk, (1.3, 1, 0.7), strict=True)]
    right = [(x + thick * w, y) for (x, y), w in zip(trunk, (1.3, 1, 0.7), strict=True)]
    pen.polygon([*left, *reversed(right)], pen.second)
    for (x0, y0), (x1, y1) in pairwise(trunk):
        for t in (0.25, 0.5, 0.75):
            x, y = x0 + (x1 - x0) * t, y0 + (y1 - y0) * t
            pen.line([(x - thick, y), (x + thick, y)], 0.018, INK)
    leaves = ((0.2, -0.2), (0.42, -0.02), (0.3, 0.2))
    for dx, dy in [(side * dx, dy) for dx, dy in leaves for side in (-1, 1)]:
        x, y, tip = crown + dx * 0.5, top + dy * 0.5 - droop * 0.5, top + dy + droop * 0.35
        pen.blob([(crown, top + 0.02), (x, y), (crown + dx, tip), (x, y + 0.11)], pen.main)
    for i in range(pen.count(2, 3)):
        pen.circle(crown - 0.06 + 0.07 * i, top + 0.06, 0.045, TIMBER)


def cactus(pen: Pen) -> None:
    """A cactus: a thick round-topped column with two bent arms, ribs and spines, perhaps a pot."""
    half, low, high = pen.vary(0.1, 0.13), pen.vary(0.5, 0.6), pen.vary(0.4, 0.5)
    rise, top, potted = pen.vary(0.2, 0.28), pen.vary(0.05, 0.12), pen.chance(0.4)
    for side, y, up in ((-1, low, rise), (1, high + 0.08, rise * 0.8)):
        elbow, hand = [(0, 0.08), (0.27, 0.08), (0.33, 0.06), (0.36, 0)], [(0.36, -up), (0.345, -up - 0.04)]
        arm = [*elbow, *hand, (0.3, -up - 0.06), (0.255, -up - 0.04), (0.24, -up), (0.24, -0.05), (0, -0.05)]
        pen.polygon([(0.5 + side * dx, y + dy) for dx, dy in arm], pen.main)
    pen.box(0.5 - half, top, 0.5 + half, 0.93, pen.main, round_by=half)
    pen.box(0.5 - half, 0.7, 0.5 + half, 0.95, pen.main)
    pen.box(0.49 - half + 0.03, 0.62, 0.51 + half - 0.03, 0.75, pen.main, outline=False)
    for x in (0.46, 0.54):
        pen.line([(x, top + 0.1), (x, 0.9)], 0.014, pen.dark)
    for i in range(5):
        for x in (0.5 - half, 0.5 + half):
            pen.line([(x - 0.025, 0.17 + i * 0.15), (x + 0.025, 0.15 + i * 0.15)], 0.014, INK)
    if pen.chance(0.5):
        pen.circle(0.5, top + 0.01, 0.05, pen.second)
    if potted:
        pen.polygon([(0.3, 0.78), (0.7, 0.78), (0.64, 0.95), (0.36, 0.95)], pen.second)
        pen.box(0.27, 0.74, 0.73, 0.81, pen.second)

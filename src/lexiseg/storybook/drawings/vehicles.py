"""Drawings of vehicles."""

import math

from lexiseg.storybook.drawings.pen import INK, PAPER, RGB, Pen, shade
from lexiseg.storybook.drawings.strokes import GLASS, LAMP, STEEL, both_sides, curve

FIRE: RGB = (246, 150, 50)


def car(pen: Pen) -> None:
    """A car from the side: two wheels, a cabin with windows, lights."""
    roof, cabin, rear = pen.vary(0.32, 0.42), pen.vary(0.2, 0.27), pen.vary(0.8, 0.84)
    body, radius = pen.vary(0.56, 0.61), pen.vary(0.11, 0.14)
    pen.polygon([(cabin, body), (cabin + 0.1, roof), (0.66, roof), (rear, body)], pen.main)
    top = roof + 0.05
    pen.polygon([(cabin + 0.06, body), (cabin + 0.13, top), (0.46, top), (0.46, body)], GLASS)
    pen.polygon([(0.51, body), (0.51, top), (0.64, top), (rear - 0.07, body)], GLASS)
    pen.box(0.05, body, 0.95, 0.85, pen.main, round_by=0.09)
    pen.box(0.86, body + 0.06, 0.95, body + 0.13, LAMP)
    pen.line([(0.485, body + 0.02), (0.485, 0.82)], 0.015, shade(pen.main, -0.5))
    pen.line([(0.53, body + 0.08), (0.6, body + 0.08)], 0.02, shade(pen.main, -0.5))
    pen.wheel(0.25, 0.95 - radius, radius)
    pen.wheel(0.75, 0.95 - radius, radius)


def bus(pen: Pen) -> None:
    """A bus from the side: a long box with one or two rows of windows, a door, two wheels."""
    double, windows = pen.chance(0.35), pen.count(3, 4)
    roof, sill = (0.08 if double else pen.vary(0.26, 0.34)), pen.vary(0.56, 0.6)
    radius = pen.vary(0.085, 0.105)
    pen.box(0.05, roof, 0.95, 0.88, pen.main, round_by=0.07)
    rows = [(sill - 0.2, sill)] + ([(roof + 0.07, roof + 0.22)] if double else [])
    step = 0.66 / windows
    for top, bottom in rows:
        for left in (0.1 + step * i for i in range(windows)):
            pen.box(left, top, left + step - 0.035, bottom, GLASS)
    if double:
        pen.box(0.76, roof + 0.07, 0.95, roof + 0.22, GLASS)
    pen.box(0.77, sill - 0.2, 0.91, 0.85, GLASS)
    pen.line([(0.84, sill - 0.2), (0.84, 0.85)], 0.015, INK)
    pen.box(0.05, sill + 0.06, 0.74, sill + 0.12, pen.second)
    pen.wheel(0.23, 0.95 - radius, radius)
    pen.wheel(0.65, 0.95 - radius, radius)


def train(pen: Pen) -> None:
    """A steam engine: a cab, a round boiler with a chimney and smoke, a cowcatcher, wheels."""
    boiler, chimney = pen.vary(0.44, 0.49), pen.vary(0.22, 0.28)
    cab, big = pen.vary(0.34, 0.39), pen.vary(0.125, 0.15)
    for i in range(pen.count(2, 3)):
        pen.circle(0.74 - 0.15 * i, 0.15 - 0.012 * i, 0.085 - 0.012 * i, (226, 224, 222))
    pen.polygon([(0.78, 0.75), (0.86, 0.75), (0.95, 0.95), (0.78, 0.95)], pen.second)
    pen.polygon([(0.71, boiler), (0.7, 0.33), (0.65, chimney), (0.85, chimney), (0.8, 0.33), (0.79, boiler)], pen.dark)
    pen.ellipse(0.53, boiler, 0.07, 0.09, pen.second)
    pen.box(0.3, boiler, 0.86, 0.78, pen.main, round_by=0.06)
    pen.box(0.82, boiler - 0.02, 0.88, 0.76, pen.dark, round_by=0.03)
    pen.line([(0.63, boiler + 0.02), (0.63, 0.76)], 0.025, pen.second)
    pen.box(0.08, 0.3, cab, 0.8, pen.main)
    pen.box(0.14, 0.38, cab - 0.06, 0.55, GLASS)
    pen.box(0.05, 0.24, cab + 0.04, 0.31, pen.second)
    pen.box(0.08, 0.74, 0.82, 0.81, pen.dark)
    pen.wheel(0.23, 0.95 - big, big)
    for x in (0.49, 0.69):
        pen.wheel(x, 0.86, 0.09)
    pen.line([(0.23, 0.86), (0.69, 0.86)], 0.03, STEEL)


def boat(pen: Pen) -> None:
    """A sailing boat: a hull, a mast with a flag, one large and one small triangular sail."""
    deck, mast, boom = pen.vary(0.7, 0.75), pen.vary(0.42, 0.5), pen.vary(0.6, 0.65)
    peak = pen.vary(0.12, 0.2)
    pen.box(mast - 0.015, 0.06, mast + 0.015, deck + 0.02, (128, 92, 62))
    if pen.chance(0.6):
        pen.polygon([(mast, 0.05), (mast - 0.16, 0.095), (mast, 0.14)], pen.second)
    pen.polygon([(mast + 0.04, peak), (0.9, boom), (mast + 0.04, boom)], pen.main)
    if pen.chance(0.8):
        pen.polygon([(mast - 0.04, peak + 0.05), (mast - 0.04, boom), (0.12, boom)], pen.light)
    pen.polygon([(0.05, deck), (0.95, deck), (0.8, 0.95), (0.2, 0.95)], pen.main)
    pen.polygon([(0.05, deck), (0.95, deck), (0.91, deck + 0.07), (0.09, deck + 0.07)], pen.second)
    for i in range(pen.count(0, 3)):
        pen.circle(0.36 + 0.14 * i, deck + 0.13, 0.028, GLASS)


def airplane(pen: Pen) -> None:
    """An aeroplane from the side: a long body with a nose, swept wings, a tail fin, windows."""
    fat, sweep, fin = pen.vary(0.095, 0.125), pen.vary(0.28, 0.4), pen.vary(0.18, 0.26)
    pen.polygon([(0.62, 0.46), (0.5, 0.46), (sweep, 0.2), (sweep + 0.09, 0.2)], pen.dark)
    pen.polygon([(0.1, 0.47), (0.05, fin), (0.15, fin), (0.3, 0.45)], pen.second)
    top = [(0.06, 0.46), (0.3, 0.5 - fat), (0.7, 0.5 - fat), (0.88, 0.46), (0.95, 0.52), (0.87, 0.57)]
    pen.blob([*top, (0.6, 0.5 + fat), (0.3, 0.5 + fat * 0.8)], pen.main)
    pen.polygon([(0.77, 0.43), (0.84, 0.435), (0.9, 0.48), (0.78, 0.49)], GLASS)
    for i in range(pen.count(4, 6)):
        pen.circle(0.7 - 0.075 * i, 0.47, 0.022, GLASS)
    pen.polygon([(0.2, 0.5), (0.1, 0.5), (0.05, 0.59), (0.12, 0.59)], pen.second)
    tip = pen.vary(0.78, 0.85)
    if pen.chance(0.7):
        pen.box(sweep + 0.09, 0.66, sweep + 0.26, 0.75, pen.second, round_by=0.04)
    pen.polygon([(0.65, 0.53), (0.45, 0.53), (sweep - 0.1, tip), (sweep + 0.02, tip)], pen.dark)


def rocket(pen: Pen) -> None:
    """A rocket standing on its flame: a pointed body, a nose cone, round windows, fins."""
    half, fin, shoulder = pen.vary(0.14, 0.18), pen.vary(0.13, 0.18), pen.vary(0.28, 0.34)
    flame = pen.vary(0.9, 0.95)
    pen.polygon([(0.4, 0.76), (0.35, 0.86), (0.43, 0.85), (0.5, flame), (0.57, 0.85), (0.65, 0.86), (0.6, 0.76)], FIRE)
    pen.polygon([(0.45, 0.78), (0.5, 0.88), (0.55, 0.78)], LAMP, outline=False)
    for side in (-1, 1):
        x, tip = 0.5 + side * half * 0.85, 0.5 + side * (half * 0.85 + fin)
        pen.polygon([(x, 0.55), (tip, 0.72), (tip, 0.86), (x, 0.76)], pen.dark)
    body = [(0.5 - half * 0.75, shoulder), (0.5 - half, 0.5), (0.5 - half * 0.7, 0.78)]
    pen.blob([*body, *[(1 - x, y) for x, y in reversed(body)]], pen.main)
    right, left = both_sides([(half * 0.5, 0.17), (half * 0.86, shoulder + 0.03)])
    pen.blob([(0.5, 0.05), *right, *left], pen.second)
    for i in range(pen.count(1, 2)):
        pen.circle(0.5, 0.45 + 0.17 * i, 0.075, PAPER)
        pen.circle(0.5, 0.45 + 0.17 * i, 0.05, GLASS)
    pen.box(0.485, 0.72, 0.515, 0.86, pen.dark)


def bicycle(pen: Pen) -> None:
    """A bicycle: two spoked wheels, a diamond frame, a saddle, handlebars, pedals."""
    r, seat, bars = pen.vary(0.19, 0.205), pen.vary(0.48, 0.56), pen.vary(0.4, 0.48)
    ground = 0.925 - r
    rear, front, crank = (0.26, ground), (0.74, ground), (0.47, ground + 0.02)
    saddle, head = (0.38, seat + 0.04), (0.66, bars + 0.12)
    spokes = pen.count(3, 4)
    for x, y in (rear, front):
        pen.line(curve(x, y, r, r, [i * math.pi / 12 for i in range(26)]), 0.035, INK)
        for a in (i * math.pi / spokes for i in range(spokes)):
            dx, dy = 0.95 * r * math.cos(a), 0.95 * r * math.sin(a)
            pen.line([(x - dx, y - dy), (x + dx, y + dy)], 0.008, STEEL)
    for path in ([rear, saddle, crank, rear], [saddle, head, crank], [(0.64, bars), head, front]):
        pen.line(path, 0.065, pen.main)
    pen.line([(0.57, bars - 0.03), (0.64, bars), (0.74, bars - 0.02)], 0.04, INK)
    pen.ellipse(0.37, seat, 0.09, 0.03, pen.second)
    pen.circle(*crank, 0.05, pen.second)


def helicopter(pen: Pen) -> None:
    """A helicopter: a round cabin with glass, a thin tail with a rotor, a large rotor, skids."""
    rx, ry, reach = pen.vary(0.22, 0.26), pen.vary(0.17, 0.2), pen.vary(0.28, 0.32)
    boom = pen.vary(0.46, 0.52)
    for x in (0.54, 0.7):
        pen.line([(x, 0.65), (x - 0.03, 0.8)], 0.025, INK)
    pen.line([(0.36, 0.8), (0.86, 0.8), (0.91, 0.76)], 0.035, INK)
    pen.polygon([(0.08, boom - 0.03), (0.55, boom - 0.06), (0.55, 0.62), (0.08, boom + 0.03)], pen.main)
    pen.polygon([(0.05, boom - 0.15), (0.11, boom - 0.15), (0.18, boom + 0.04), (0.08, boom + 0.04)], pen.second)
    pen.line([(0.6, 0.42), (0.6, 0.22)], 0.04, INK)
    pen.box(0.6 - reach, 0.19, 0.6 + reach, 0.235, pen.dark)
    pen.ellipse(0.62, 0.52, rx, ry, pen.main)
    pen.blob([(0.65, 0.54), (0.66, 0.39), (0.74, 0.4), (0.8, 0.45), (0.58 + rx, 0.54)], GLASS)
    if pen.chance(0.6):
        pen.box(0.45, 0.43, 0.58, 0.55, GLASS, round_by=0.03)
    for a in (pen.vary(0.0, 3.1), pen.vary(0.0, 3.1)):
        dx, dy = 0.1 * math.cos(a), 0.1 * math.sin(a)
        pen.line([(0.11 - dx, boom - dy), (0.11 + dx, boom + dy)], 0.025, INK)


def tractor(pen: Pen) -> None:
    """A tractor: a very large rear wheel, a small front wheel, a bonnet, a cab, an exhaust pipe."""
    big, small = pen.vary(0.22, 0.26), pen.vary(0.11, 0.13)
    bonnet, roof, pipe = pen.vary(0.48, 0.53), pen.vary(0.14, 0.2), pen.vary(0.24, 0.32)
    pen.box(0.72, pipe, 0.77, bonnet + 0.03, STEEL)
    pen.box(0.16, roof, 0.52, 0.62, pen.main)
    pen.box(0.21, roof + 0.06, 0.47, 0.5, GLASS)
    pen.box(0.11, roof - 0.04, 0.57, roof + 0.04, pen.second, round_by=0.03)
    pen.box(0.42, bonnet, 0.93, 0.8, pen.main, round_by=0.06)
    for i in range(pen.count(2, 3)):
        slot = bonnet + 0.07 + 0.06 * i
        pen.line([(0.66, slot), (0.86, slot)], 0.02, pen.dark)
    x, y = 0.05 + big, 0.95 - big
    pen.circle(x, y, big, INK)
    for a in (i * math.pi / 5 for i in range(10)):
        tread = [(x + big * f * math.cos(a), y + big * f * math.sin(a)) for f in (0.7, 0.98)]
        pen.line(tread, 0.025, (96, 92, 100))
    pen.circle(x, y, big * 0.58, pen.main)
    pen.circle(x, y, big * 0.15, INK)
    pen.wheel(0.81, 0.95 - small, small)


def submarine(pen: Pen) -> None:
    """A submarine: a cigar-shaped hull, a tower with a periscope, portholes, a propeller."""
    ry, tower, mid = pen.vary(0.16, 0.21), pen.vary(0.44, 0.56), pen.vary(0.58, 0.62)
    high, top = pen.vary(0.1, 0.15), mid - ry
    for dy in (-0.085, 0.085):
        pen.ellipse(0.08, mid + dy, 0.032, 0.08, STEEL)
    scope, fin = top - high, ry * 0.9
    stern = [(0.09, mid - fin), (0.19, mid - fin), (0.3, mid), (0.19, mid + fin), (0.09, mid + fin)]
    pen.polygon(stern, pen.second)
    pen.line([(tower, scope), (tower, scope - 0.13), (tower + 0.12, scope - 0.13)], 0.045, INK)
    deck = top + 0.06
    pen.polygon([(tower - 0.13, deck), (tower - 0.1, scope), (tower + 0.1, scope), (tower + 0.15, deck)], pen.second)
    pen.ellipse(0.53, mid, 0.42, ry, pen.main)
    for i in range(pen.count(3, 4)):
        pen.circle(0.76 - 0.155 * i, mid - 0.01, 0.055, PAPER)
        pen.circle(0.76 - 0.155 * i, mid - 0.01, 0.036, GLASS)


def truck(pen: Pen) -> None:
    """A lorry: a large load box (or a tipper tray with a heap) behind a separate lower cab."""
    load, cab, split = pen.vary(0.2, 0.28), pen.vary(0.4, 0.46), pen.vary(0.6, 0.64)
    r = pen.vary(0.095, 0.115)
    pen.box(0.07, 0.76, 0.9, 0.85, INK)
    if pen.chance(0.6):
        pen.box(0.05, load, split, 0.79, pen.main)
        pen.box(0.05, 0.64, split, 0.7, pen.second)
    else:
        pen.ellipse(0.33, 0.44, 0.24, 0.14, (150, 118, 84))
        pen.polygon([(0.05, 0.4), (split, 0.4), (split - 0.05, 0.79), (0.12, 0.79)], pen.main)
        for x in (0.22, 0.33, 0.44):
            pen.line([(x, 0.43), (x, 0.77)], 0.025, pen.dark)
    back = split + 0.04
    pen.polygon([(back, 0.86), (back, cab), (0.83, cab), (0.89, 0.61), (0.95, 0.65), (0.95, 0.86)], pen.second)
    pen.polygon([(0.72, 0.61), (0.72, cab + 0.05), (0.81, cab + 0.05), (0.855, 0.61)], GLASS)
    pen.box(0.89, 0.69, 0.95, 0.75, LAMP)
    for x in (0.17, 0.4, 0.8):
        pen.wheel(x, 0.95 - r, r)

"""Drawings of birds, sea animals, people, the sky and a garden."""

import math
from collections.abc import Sequence

import numpy as np

from lexiseg.data.storybook.pen import INK, PAPER, RGB, Pen, Point, shade

ORANGE: RGB = (240, 150, 50)
RED: RGB = (208, 52, 52)
WOOD: RGB = (138, 94, 60)
WATER: RGB = (120, 180, 226)
LEAF: RGB = (84, 150, 76)
SKINS: tuple[RGB, ...] = ((246, 212, 182), (222, 172, 128), (170, 116, 78), (112, 76, 54))
HAIRS: tuple[RGB, ...] = ((52, 40, 38), (108, 68, 40), (226, 178, 84), (190, 92, 44))


def _limb(pen: Pen, start: Point, bend: Point, end: Point, width: float, fill: RGB, *, tip: float = 1.0) -> None:
    """Draws a curved limb that narrows from `width` to `tip` times that, round at its end."""
    t = np.linspace(0, 1, 7)[:, None]
    a, b, c = np.array(start), np.array(bend), np.array(end)
    spine = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
    along = (1 - t) * (b - a) + t * (c - b)
    along = along / np.maximum(np.hypot(along[:, :1], along[:, 1:]), 1e-6)
    across = along[:, ::-1] * (-1, 1) * width / 2 * (1 + (tip - 1) * t)
    cap = spine[-1:] + along[-1:] * width * tip / 2
    pen.polygon(np.concatenate([spine + across, cap, (spine - across)[::-1]]), fill)


def _puffs(pen: Pen, circles: Sequence[tuple[float, float, float]], fill: RGB) -> None:
    """Draws overlapping circles (x, y, radius) that share one outline."""
    for x, y, r in circles:
        pen.circle(x, y, r, fill)
    for x, y, r in circles:
        pen.circle(x, y, r - 0.009, fill, outline=False)


def _smile(pen: Pen, x: float, y: float, half: float) -> None:
    """Draws a smiling mouth."""
    turn = np.linspace(0.15, math.pi - 0.15, 6)
    pen.line([(x + half * math.cos(a), y + half * 0.7 * math.sin(a)) for a in turn], 0.022, INK)


def duck(pen: Pen) -> None:
    """Draws a duck from the side: round head, flat bill, raised tail, on webbed feet or water."""
    head, chest, tail = pen.vary(-0.03, 0.05), pen.vary(0.76, 0.83), pen.vary(0.4, 0.5)
    swims = pen.chance(0.4)
    if not swims:
        for x in (0.4, 0.54):
            pen.line([(x, 0.84), (x, 0.93)], 0.03, ORANGE)
            pen.polygon([(x - 0.03, 0.91), (x + 0.11, 0.95), (x - 0.05, 0.95)], ORANGE)
    bill = [(0.72, 0.21), (0.84, 0.25), (0.95, 0.26), (0.95, 0.34), (0.72, 0.36)]
    pen.polygon([(x, head + y) for x, y in bill], ORANGE)
    pen.line([(0.74, head + 0.3), (0.93, head + 0.31)], 0.018, shade(ORANGE, -0.6))
    neck = [(0.55, 0.45), (0.5, head + 0.26), (0.56, head + 0.14), (0.66, head + 0.1)]
    face = [(0.77, head + 0.17), (0.78, head + 0.32), (0.72, 0.47), (chest, 0.62), (0.73, 0.82)]
    rear = [(0.45, 0.88), (0.2, 0.8), (0.08, 0.64), (0.04, tail), (0.17, 0.53), (0.4, 0.56)]
    pen.blob([*neck, *face, *rear], pen.main)
    pen.blob([(0.22, 0.62), (0.44, 0.58), (0.61, 0.68), (0.42, 0.78), (0.27, 0.74)], pen.second)
    pen.eye(0.67, head + 0.22, 0.036)
    if swims:
        waves = [(0.03, 0.84), (0.2, 0.8), (0.5, 0.84), (0.75, 0.8), (0.96, 0.84)]
        pen.blob([*waves, (0.8, 0.94), (0.2, 0.94)], WATER)


def penguin(pen: Pen) -> None:
    """Draws a standing penguin: upright body with white belly, two flippers, beak and flat feet."""
    wide, lift, belly = pen.vary(0.22, 0.28), pen.vary(0.58, 0.76), pen.vary(0.14, 0.17)
    pen.ellipse(0.38, 0.91, 0.12, 0.045, ORANGE)
    pen.ellipse(0.64, 0.91, 0.12, 0.045, ORANGE)
    pen.polygon([(0.61, 0.17), (0.82, 0.23), (0.61, 0.28)], ORANGE)
    for side in (-1, 1):
        shoulder, elbow = (0.5 + side * 0.17, 0.42), (0.5 + side * 0.36, 0.46)
        _limb(pen, shoulder, elbow, (0.5 + side * 0.39, lift), 0.13, pen.main, tip=0.35)
    right = [(0.62, 0.1), (0.67, 0.23), (0.64, 0.34), (0.5 + wide, 0.58), (0.48 + wide, 0.8)]
    left = [(0.52 - wide, 0.8), (0.5 - wide, 0.58), (0.36, 0.34), (0.34, 0.2), (0.4, 0.09)]
    pen.blob([(0.5, 0.05), *right, (0.5, 0.92), *left], pen.main)
    pen.ellipse(0.51, 0.64, belly, 0.24, PAPER)
    pen.ellipse(0.56, 0.23, 0.08, 0.07, PAPER, outline=False)
    pen.circle(0.57, 0.2, 0.026, INK, outline=False)
    if pen.chance(0.4):
        pen.box(0.33, 0.35, 0.68, 0.42, pen.second, round_by=0.03)
        pen.box(0.36, 0.4, 0.45, 0.6, pen.second)


def owl(pen: Pen) -> None:
    """Draws an owl from the front on a branch: ear tufts, huge round eyes, hooked beak, wings."""
    wide, eye, tuft = pen.vary(0.32, 0.38), pen.vary(0.12, 0.15), pen.vary(0.05, 0.1)
    pen.polygon([(0.05, 0.85), (0.95, 0.83), (0.95, 0.9), (0.05, 0.93)], WOOD)
    pen.polygon([(0.41, 0.8), (0.59, 0.8), (0.56, 0.96), (0.44, 0.96)], pen.dark)
    for side in (-1, 1):
        x = 0.5 + side * wide
        pen.polygon([(0.5 + side * 0.05, 0.2), (x, tuft), (x, 0.34)], pen.main)
    right = [(0.5 + wide * 0.85, 0.24), (0.5 + wide, 0.5), (0.5 + wide * 0.8, 0.78)]
    pen.blob([(0.5, 0.15), *right, (0.5, 0.88), *[(1 - x, y) for x, y in right[::-1]]], pen.main)
    for side in (-1, 1):
        x = 0.5 + side * wide
        pen.ellipse(x, 0.62, 0.06, 0.2, pen.second, angle=side * 0.15)
        pen.circle(0.5 + side * eye, 0.34, eye, PAPER)
        pen.circle(0.5 + side * eye * 0.9, 0.34, eye * 0.5, INK, outline=False)
        for toe in (0.06, 0.11, 0.16):
            pen.ellipse(0.5 + side * toe, 0.87, 0.025, 0.05, ORANGE)
    pen.polygon([(0.45, 0.41), (0.55, 0.41), (0.5, 0.54)], ORANGE)
    for x, y in ((0.42, 0.6), (0.58, 0.6), (0.5, 0.68), (0.42, 0.76), (0.58, 0.76)):
        pen.line([(x - 0.04, y), (x, y + 0.04), (x + 0.04, y)], 0.02, shade(pen.main, -0.55))


def chicken(pen: Pen) -> None:
    """Draws a hen from the side: comb, wattle, pointed beak, fanned tail and two thin legs."""
    head, belly, leg = pen.vary(0.17, 0.22), pen.vary(0.7, 0.77), pen.vary(0.4, 0.46)
    for x in (leg, leg + 0.16):
        pen.line([(x, belly - 0.04), (x, 0.93)], 0.03, ORANGE)
        pen.line([(x - 0.07, 0.94), (x, 0.88), (x + 0.1, 0.94)], 0.028, ORANGE)
    for angle in (-2.0, -2.45, -2.9)[: pen.count(2, 3)]:
        x, y = 0.34 + 0.14 * math.cos(angle), 0.44 + 0.2 * math.sin(angle)
        pen.ellipse(x, y, 0.18, 0.07, pen.second, angle=angle)
    _puffs(
        pen,
        [(0.64, head - 0.03, 0.05), (0.71, head - 0.06, 0.055), (0.78, head - 0.02, 0.045)],
        RED,
    )
    pen.ellipse(0.81, head + 0.17, 0.035, 0.065, RED)
    pen.polygon([(0.78, head + 0.03), (0.95, head + 0.1), (0.78, head + 0.13)], ORANGE)
    front = [(0.71, head - 0.02), (0.81, head + 0.08), (0.79, 0.36), (0.83, 0.52), (0.73, 0.68)]
    rear = [(0.5, belly), (0.26, 0.68), (0.12, 0.5), (0.13, 0.33), (0.3, 0.42), (0.48, 0.42)]
    pen.blob([*front, *rear, (0.59, 0.3), (0.61, head + 0.04)], pen.main)
    pen.blob([(0.3, 0.5), (0.5, 0.47), (0.62, 0.55), (0.47, 0.63), (0.35, 0.62)], pen.light)
    pen.circle(0.72, head + 0.07, 0.03, INK, outline=False)


def fish(pen: Pen) -> None:
    """Draws a fish from the side: oval body, forked tail fin, fins above and below, scales."""
    tall, tail, fork = pen.vary(0.2, 0.29), pen.vary(0.18, 0.26), pen.vary(0.12, 0.2)
    pen.polygon([(0.38, 0.5), (0.06, 0.5 - tail), (fork, 0.5), (0.06, 0.5 + tail)], pen.second)
    top, low = 0.5 - tall, 0.5 + tall
    fin = [(0.4, top + 0.1), (0.38, top - 0.12), (0.6, top - 0.07), (0.74, top + 0.1)]
    pen.polygon(fin, pen.second)
    fin = [(0.5, low - 0.06), (0.44, low + 0.11), (0.62, low + 0.03), (0.68, low - 0.07)]
    pen.polygon(fin, pen.second)
    back = [(0.42, top + 0.04), (0.62, top), (0.83, top + 0.1)]
    pen.blob([(0.26, 0.5), *back, (0.95, 0.5), *[(x, 1 - y) for x, y in back[::-1]]], pen.main)
    turn = np.linspace(-1.0, 1.0, 6)
    gill = [(0.61 + 0.08 * math.cos(a), 0.5 + tall * 0.75 * math.sin(a)) for a in turn]
    pen.line(gill, 0.022, shade(pen.main, -0.55))
    pen.polygon([(0.58, 0.51), (0.42, 0.47), (0.42, 0.61)], pen.dark)
    pen.eye(0.8, 0.44, 0.05)
    pen.line([(0.94, 0.53), (0.85, 0.57)], 0.022, INK)
    if pen.chance(0.4):
        pen.circle(0.91, 0.22, 0.035, WATER)
        pen.circle(0.84, 0.12, 0.025, WATER)


def crab(pen: Pen) -> None:
    """Draws a crab from the front: broad shell, two raised pincers, six legs, eyes on stalks."""
    wide, claw, stalk = pen.vary(0.26, 0.32), pen.vary(0.12, 0.15), pen.vary(0.3, 0.36)
    gape = np.linspace(0.55, 2 * math.pi - 0.45, 16)
    for side in (-1, 1):
        for leg in range(3):
            knee = (0.5 + side * (0.5 - leg * 0.06), 0.6 + leg * 0.09)
            foot = (0.5 + side * (0.43 - leg * 0.09), 0.85 + leg * 0.04)
            _limb(pen, (0.5 + side * 0.14, 0.68), knee, foot, 0.07, pen.main, tip=0.4)
        elbow, wrist = (0.5 + side * 0.46, 0.56), (0.5 + side * 0.35, 0.34)
        _limb(pen, (0.5 + side * 0.2, 0.6), elbow, wrist, 0.08, pen.main)
        x, y = 0.5 + side * (0.44 - claw * 0.9), 0.28
        around = [(x + claw * math.sin(a) * side, y - claw * 1.25 * math.cos(a)) for a in gape]
        pen.polygon([*around, (x - side * 0.01, y)], pen.main)
        pen.line([(0.5 + side * 0.1, 0.5), (0.5 + side * 0.11, stalk + 0.02)], 0.035, pen.dark)
        pen.eye(0.5 + side * 0.11, stalk, 0.055)
    pen.ellipse(0.5, 0.65, wide, 0.2, pen.main)
    _smile(pen, 0.5, 0.68, 0.1)


def whale(pen: Pen) -> None:
    """Draws a whale from the side: huge blunt head, pale belly, raised tail flukes, water spout."""
    hump, fluke, spout = pen.vary(0.33, 0.4), pen.vary(0.24, 0.32), pen.vary(0.1, 0.15)
    for side in (-1, 1):
        peak, drop = (0.3 + side * 0.02, 0.02), (0.3 + side * spout, 0.22)
        _limb(pen, (0.3, hump + 0.05), peak, drop, 0.05, WATER, tip=0.8)
    for side in (-1, 1):
        rim = (0.85 + side * 0.08, fluke + 0.08)
        tip = (0.84 + side * 0.12, fluke - 0.07 - side * 0.02)
        pen.blob([(0.85, fluke + 0.13), rim, tip, (0.86, fluke + 0.01)], pen.main)
    top = [(0.06, 0.6), (0.1, hump + 0.1), (0.26, hump), (0.45, hump + 0.03), (0.64, 0.53)]
    tail = [(0.78, 0.52), (0.82, fluke + 0.08), (0.9, fluke + 0.08), (0.9, 0.6), (0.8, 0.77)]
    pen.blob([*top, *tail, (0.6, 0.87), (0.3, 0.89), (0.1, 0.8)], pen.main)
    belly = [(0.07, 0.71), (0.25, 0.73), (0.5, 0.74), (0.62, 0.85), (0.3, 0.89), (0.12, 0.82)]
    pen.blob(belly, PAPER)
    for y in (0.78, 0.83):
        pen.line([(0.15, y), (0.35, y + 0.01), (0.52, y)], 0.016, shade(PAPER, -0.4))
    _limb(pen, (0.46, 0.72), (0.5, 0.84), (0.6, 0.91), 0.13, pen.second, tip=0.4)
    pen.eye(0.22, 0.61, 0.04)


def octopus(pen: Pen) -> None:
    """Draws an octopus: a bulb of a head with two big eyes over eight spreading, curling arms."""
    wide, tall, curl = pen.vary(0.22, 0.29), pen.vary(0.24, 0.29), pen.vary(0.1, 0.24)
    for place in (-0.95, 0.95, -0.65, 0.65, -0.38, 0.38, -0.13, 0.13):
        far = abs(place)
        end = (0.5 + place * 0.46, 0.92 - curl * far * far)
        bend = (0.5 + place * 0.34, 0.75 + 0.3 * far)
        _limb(pen, (0.5 + place * wide * 0.75, 0.5), bend, end, 0.12, pen.main, tip=0.35)
    half = [(0.8, 0.05 + tall * 0.4), (1.0, 0.05 + tall), (0.8, 0.5), (0.7, 0.6)]
    right, left = ([(0.5 + side * wide * x, y) for x, y in half] for side in (1, -1))
    pen.blob([(0.5, 0.05), *right, (0.5, 0.63), *left[::-1]], pen.main)
    pen.eye(0.4, 0.38, 0.07)
    pen.eye(0.6, 0.38, 0.07)
    _smile(pen, 0.5, 0.5, 0.08)
    if pen.chance(0.5):
        for x, y, r in ((0.42, 0.17, 0.035), (0.53, 0.14, 0.025), (0.56, 0.23, 0.03)):
            pen.circle(x, y, r, pen.second, outline=False)


def person(pen: Pen) -> None:
    """Draws a standing person: head with hair, two arms (one may wave), trousers or a dress."""
    head, half, hip = pen.vary(0.11, 0.15), pen.vary(0.13, 0.17), pen.vary(0.6, 0.66)
    skin, hair = SKINS[pen.count(0, len(SKINS) - 1)], HAIRS[pen.count(0, len(HAIRS) - 1)]
    style, face, dress = pen.count(0, 2), 0.07 + head, pen.chance(0.45)
    neck = face + head * 0.95
    for side in (-1, 1):
        legs, foot = (skin if dress else pen.second), 0.5 + side * half * 0.6
        pen.box(foot - half * 0.4, hip - 0.05, foot + half * 0.4, 0.93, legs)
        pen.ellipse(foot + side * 0.03, 0.92, half * 0.6, 0.035, INK)
        hand = (0.5 + side * 0.36, neck - 0.07 if side > 0 and pen.chance(0.5) else hip - 0.02)
        pen.circle(*hand, 0.045, skin)
        elbow = (0.5 + side * 0.3, (neck + hand[1]) / 2 + 0.06)
        _limb(pen, (0.5 + side * half * 0.6, neck + 0.07), elbow, hand, 0.11, pen.main, tip=0.7)
    if style == 1:
        pen.box(0.5 - head * 1.2, face - head, 0.5 + head * 1.2, neck + 0.1, hair, round_by=0.08)
    hem, low = (half * 1.7, hip + 0.15) if dress else (half, hip + 0.03)
    shoulders = [(0.5 - half * 0.8, neck), (0.5 + half * 0.8, neck)]
    pen.polygon([*shoulders, (0.5 + hem, low), (0.5 - hem, low)], pen.main)
    if style == 2:
        curls = [(-0.95, -0.1), (-0.75, -0.7), (0.0, -0.95), (0.75, -0.7), (0.95, -0.1)]
        _puffs(pen, [(0.5 + x * head, face + y * head, head * 0.5) for x, y in curls], hair)
    pen.circle(0.5, face, head, skin)
    if style < 2:
        turn = np.linspace(math.pi, 2 * math.pi, 9)
        cap = [(0.5 + head * 1.12 * math.cos(a), face + head * 1.12 * math.sin(a)) for a in turn]
        pen.polygon([*cap, (0.5 + head * 0.3, face - head * 0.45)], hair)
    for side in (-1, 1):
        pen.circle(0.5 + side * head * 0.4, face + head * 0.1, 0.018, INK, outline=False)
    _smile(pen, 0.5, face + head * 0.35, head * 0.4)


def snowman(pen: Pen) -> None:
    """Draws a snowman: stacked balls, carrot nose, coal buttons, stick arms, scarf and a hat."""
    low, head, lift = pen.vary(0.23, 0.27), pen.vary(0.12, 0.14), pen.vary(0.3, 0.5)
    face = 0.2 + head * 0.75
    middle = (face + 0.97 - low) / 2
    for side in (-1, 1):
        hand = (0.5 + side * 0.42, lift)
        pen.line([(0.5 + side * 0.1, middle - 0.05), hand], 0.03, WOOD)
        pen.line([(0.5 + side * 0.34, lift - 0.08), (0.5 + side * 0.34, lift + 0.05)], 0.025, WOOD)
    pen.circle(0.5, 0.95 - low, low, pen.main)
    pen.circle(0.5, middle, low * 0.72, pen.main)
    pen.circle(0.5, face, head, pen.main)
    chin = face + head * 0.72
    pen.box(0.5 - head, chin, 0.5 + head, chin + head * 0.48, pen.second, round_by=0.03)
    pen.box(0.54, chin + head * 0.18, 0.62, chin + head * 1.28, pen.second)
    pen.box(0.5 - head * 0.75, 0.05, 0.5 + head * 0.75, 0.19, INK)
    pen.box(0.5 - head * 1.25, 0.17, 0.5 + head * 1.25, 0.215, INK)
    for side in (-1, 1):
        pen.circle(0.5 + side * head * 0.42, face - 0.015, 0.022, INK, outline=False)
    carrot = [(0.49, face + 0.01), (0.49, face + 0.065), (0.5 + head * 1.4, face + 0.05)]
    pen.polygon(carrot, ORANGE)
    for button in range(pen.count(2, 3)):
        pen.circle(0.48, middle + 0.06 + button * 0.12, 0.026, INK, outline=False)


def robot(pen: Pen) -> None:
    """Draws a robot: box head with antenna and lamp eyes, box body with dials, claws."""
    head, body, chin = pen.vary(0.16, 0.22), pen.vary(0.2, 0.26), pen.vary(0.36, 0.42)
    lamp = (252, 232, 120)
    pen.line([(0.5, 0.16), (0.5, 0.08)], 0.03, INK)
    pen.circle(0.5, 0.08, 0.04, RED)
    for side in (-1, 1):
        pen.box(0.46 + side * 0.12, 0.7, 0.54 + side * 0.12, 0.9, pen.main)
        pen.box(0.4 + side * 0.13, 0.87, 0.6 + side * 0.13, 0.95, pen.dark)
        elbow, hand = (0.5 + side * 0.42, 0.47), (0.5 + side * 0.38, pen.vary(0.58, 0.68))
        _limb(pen, (0.5 + side * body * 0.9, 0.5), elbow, hand, 0.08, pen.main)
        x, y = 0.5 + side * 0.38, hand[1] - 0.02
        claw = [(-0.04, 0), (0.04, 0), (0.07, 0.12), (0.02, 0.12), (0, 0.05), (-0.02, 0.12)]
        pen.polygon([(x + dx, y + dy) for dx, dy in [*claw, (-0.07, 0.12)]], pen.second)
        pen.box(0.47 + side * head, 0.22, 0.53 + side * head, 0.3, pen.second)
    pen.box(0.44, chin - 0.03, 0.56, 0.46, pen.dark)
    pen.box(0.5 - head, 0.14, 0.5 + head, chin, pen.main)
    pen.box(0.5 - body, 0.43, 0.5 + body, 0.75, pen.main)
    for side in (-1, 1):
        pen.circle(0.5 + side * head * 0.45, 0.22, 0.045, lamp)
    pen.box(0.5 - head * 0.55, chin - 0.09, 0.5 + head * 0.55, chin - 0.045, INK)
    pen.box(0.5 - body * 0.55, 0.51, 0.5 + body * 0.55, 0.65, pen.second)
    pen.circle(0.45, 0.58, 0.035, RED)
    pen.circle(0.55, 0.58, 0.035, lamp)


def sun(pen: Pen) -> None:
    """Draws a sun: a disc inside a ring of pointed or drop-shaped rays, sometimes with a face."""
    rays, disc, start = pen.count(9, 12), pen.vary(0.25, 0.29), pen.vary(0, 1)
    turn = [start + ray * 2 * math.pi / rays for ray in range(rays)]
    if pen.chance(0.6):
        step = math.pi / rays
        teeth = [(a + s * step, r) for a in turn for s, r in ((0, 0.45), (1, disc * 1.02))]
        pen.polygon([(0.5 + r * math.cos(a), 0.5 + r * math.sin(a)) for a, r in teeth], pen.second)
    else:
        for a in turn:
            x, y = 0.5 + 0.39 * math.cos(a), 0.5 + 0.39 * math.sin(a)
            pen.ellipse(x, y, 0.07, 0.033, pen.main, angle=a)
    pen.circle(0.5, 0.5, disc, pen.main)
    if pen.chance(0.85):
        pen.circle(0.41, 0.46, 0.03, INK, outline=False)
        pen.circle(0.59, 0.46, 0.03, INK, outline=False)
        _smile(pen, 0.5, 0.53, 0.12)


def moon(pen: Pen) -> None:
    """Draws a crescent moon, sometimes with a sleeping face or a hanging star."""
    horn, bite, x = pen.vary(0.75, 1.0), pen.vary(0.4, 0.46), 0.5
    outer = np.linspace(horn, 2 * math.pi - horn, 22)
    inner = np.linspace(-math.pi / 2, math.pi / 2, 14)[1:-1]
    tips = x + 0.45 * math.cos(horn)
    edge = [(x + 0.45 * math.cos(a), 0.5 + 0.45 * math.sin(a)) for a in outer]
    hollow = [(tips - bite * math.cos(a), 0.5 + 0.45 * math.sin(horn) * math.sin(a)) for a in inner]
    pen.polygon([*edge, *hollow], pen.main)
    if pen.chance(0.5):
        pen.line([(0.19, 0.44), (0.23, 0.47), (0.28, 0.44)], 0.025, INK)
        _smile(pen, 0.26, 0.58, 0.06)
    if pen.chance(0.5):
        pen.line([(tips - 0.04, 0.2), (tips - 0.04, 0.42)], 0.015, INK)
        spikes = [(a * math.pi / 5, 0.1 if a % 2 else 0.045) for a in range(10)]
        pendant = [(tips - 0.04 + r * math.sin(a), 0.48 + r * math.cos(a)) for a, r in spikes]
        pen.polygon(pendant, pen.second)


def star(pen: Pen) -> None:
    """Draws a five-pointed star, sometimes with a smaller star inside it or a face."""
    waist, turned = pen.vary(0.4, 0.52), pen.vary(-0.15, 0.15)
    turn = [turned + step * math.pi / 5 for step in range(10)]
    for size, fill in ((0.47, pen.main), (0.2, pen.second))[: pen.count(1, 2)]:
        radii = [size * (1.0 if step % 2 == 0 else waist) for step in range(10)]
        ring = zip(turn, radii, strict=True)
        pen.polygon([(0.5 + r * math.sin(a), 0.52 - r * math.cos(a)) for a, r in ring], fill)
    if pen.chance(0.5):
        pen.circle(0.43, 0.48, 0.03, INK, outline=False)
        pen.circle(0.57, 0.48, 0.03, INK, outline=False)
        _smile(pen, 0.5, 0.56, 0.07)


def cloud(pen: Pen) -> None:
    """Draws a cloud: a row of puffs on a flat base, sometimes with falling rain."""
    left, middle, right = pen.vary(0.14, 0.18), pen.vary(0.2, 0.25), pen.vary(0.15, 0.19)
    rain = pen.chance(0.35)
    base = 0.62 if rain else 0.72
    if rain:
        for x, drop in ((0.25, 0.8), (0.42, 0.88), (0.59, 0.8), (0.76, 0.88)):
            pen.ellipse(x, drop, 0.032, 0.06, WATER, angle=0.25)
    puffs = [(0.36, base - 0.24, middle * 0.9), (0.6, base - 0.25, middle)]
    puffs += [(0.05 + left, base - left, left), (0.95 - right, base - right, right)]
    puffs += [(x, base - 0.13, 0.13) for x in (0.3, 0.45, 0.6, 0.7)]
    _puffs(pen, puffs, pen.main)
    pen.line([(0.3, base - 0.1), (0.38, base - 0.06), (0.46, base - 0.1)], 0.022, pen.dark)
    pen.line([(0.58, base - 0.2), (0.66, base - 0.16), (0.74, base - 0.2)], 0.022, pen.dark)


def kite(pen: Pen) -> None:
    """Draws a flying kite: a slanted diamond with crossed spars and a winding tail with bows."""
    half, cross, sway = pen.vary(0.25, 0.32), pen.vary(0.3, 0.42), pen.vary(-0.03, 0.03)
    top, foot = (0.72, 0.05), (0.42, 0.66)
    middle = (top[0] + (foot[0] - top[0]) * cross, top[1] + (foot[1] - top[1]) * cross)
    left = (middle[0] - 0.9 * half, middle[1] - 0.44 * half)
    right = (middle[0] + 0.9 * half, middle[1] + 0.44 * half)
    tail = [foot, (0.34, 0.74), (0.37, 0.84), (0.27 + sway, 0.88), (0.19 + sway, 0.82), (0.12, 0.9)]
    pen.line(tail, 0.026, INK)
    for x, y in (tail[1], tail[3], tail[5])[: pen.count(2, 3)]:
        bow = [(-0.06, -0.06), (0, 0), (0.06, -0.05), (0.07, 0.05), (0, 0), (-0.05, 0.05)]
        pen.polygon([(x + dx, y + dy) for dx, dy in bow], pen.second)
    pen.polygon([top, right, foot, left], pen.main)
    pen.polygon([top, middle, right] if pen.chance(0.5) else [left, middle, top], pen.second)
    pen.line([top, foot], 0.02, shade(pen.main, -0.6))
    pen.line([left, right], 0.02, shade(pen.main, -0.6))


def flag(pen: Pen) -> None:
    """Draws a flag on a pole with a knob: a waving cloth or a pennant, with a band or a disc."""
    low, wave, phase = pen.vary(0.48, 0.58), pen.vary(0.025, 0.05), pen.vary(-0.6, 0.6)
    pennant = pen.chance(0.3)
    x = np.linspace(0.16, 0.95, 11)
    ripple = wave * np.sin((x - 0.16) * 8 + phase)
    narrow = (x - 0.16) / 0.79 * (0.45 if pennant else 0.0)

    def strip(above: float, below: float) -> np.ndarray:
        high = np.stack([x, 0.13 + (low - 0.13) * (above + (1 - 2 * above) * narrow) + ripple], 1)
        deep = np.stack([x, 0.13 + (low - 0.13) * (below + (1 - 2 * below) * narrow) + ripple], 1)
        return np.concatenate([high, deep[::-1]])

    pen.box(0.1, 0.09, 0.16, 0.95, WOOD)
    pen.circle(0.13, 0.09, 0.045, (244, 205, 70))
    pen.polygon(strip(0, 1), pen.main)
    if pen.chance(0.5):
        pen.polygon(strip(0.35, 0.65), pen.second)
    else:
        pen.circle(0.5 if not pennant else 0.35, (0.13 + low) / 2 + ripple[4], 0.1, pen.second)


def hat(pen: Pen) -> None:
    """Draws a hat with brim and band: a top hat, a round sun hat or a pointed wizard's hat."""
    brim, wide, base = pen.vary(0.4, 0.45), pen.vary(0.22, 0.27), 0.8
    kind = pen.count(0, 2)
    sides = (
        [(1.12, 0.16), (1.0, 0.16)],
        [(1.02, 0.58), (0.92, 0.44), (0.68, 0.34), (0.3, 0.3)],
        [(0.6, 0.45), (0.25, 0.16), (-0.6, 0.06)],
    )[kind]
    pen.ellipse(0.5, base, brim, pen.vary(0.08, 0.13), pen.main)
    turn = np.linspace(0, math.pi, 9)
    front = [(0.5 + wide * math.cos(a), base - 0.03 + 0.05 * math.sin(a)) for a in turn]
    left = [(0.5 - wide * x, y) for x, y in sides]
    right = [(0.5 + wide * max(x, 0.35), y + 0.08 * (x < 0)) for x, y in sides[::-1]]
    pen.polygon([*front, *left, *right], pen.main)
    rim = 0.84 if kind == 2 else 1.0
    upper = [(0.5 + (x - 0.5) * rim, y - 0.12) for x, y in front[::-1]]
    pen.polygon([*front, *upper], pen.second)
    if kind == 0:
        pen.ellipse(0.5, 0.16, wide * 1.12, 0.06, pen.dark)


def balloon(pen: Pen) -> None:
    """Draws a hot-air balloon: a huge bulb narrowing to a mouth, ropes and a wicker basket."""
    r, basket, gore = pen.vary(0.3, 0.36), pen.vary(0.09, 0.12), pen.vary(0.08, 0.12)
    middle = 0.05 + r
    for x in (-1, 0, 1):
        pen.line([(0.5 + x * 0.1, 0.7), (0.5 + x * basket, 0.86)], 0.016, INK)
    turn = np.linspace(math.pi - 0.5, 2 * math.pi + 0.5, 20)
    bulb = [(0.5 + r * math.cos(a), middle + r * math.sin(a)) for a in turn]
    pen.polygon([*bulb, (0.6, 0.74), (0.4, 0.74)], pen.main)
    pen.ellipse(0.5, 0.395, gore, 0.34, pen.second)
    for side in (-1, 1):
        seam = np.linspace(-1.3, 1.15, 8)
        bow = [(0.5 + side * r * 0.72 * math.cos(a), middle + r * math.sin(a)) for a in seam]
        pen.line(bow, 0.018, shade(pen.main, -0.5))
    pen.box(0.39, 0.71, 0.61, 0.75, pen.dark)
    pen.box(0.5 - basket, 0.84, 0.5 + basket, 0.95, (186, 134, 80), round_by=0.02)
    pen.box(0.49 - basket, 0.83, 0.51 + basket, 0.865, WOOD)


def tree(pen: Pen) -> None:
    """Draws a tree: a brown trunk under a leafy, perhaps fruiting crown, or a tiered conifer."""
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
    puffs = [(0.5 + (wide - 0.1) * math.cos(a), 0.37 + 0.15 * math.sin(a), r) for a, r in around]
    _puffs(pen, [*puffs, (0.5, 0.36, 0.2)], pen.main)
    if pen.chance(0.5):
        for x, y in ((0.35, 0.3), (0.52, 0.2), (0.66, 0.33), (0.46, 0.43), (0.6, 0.5)):
            pen.circle(x, y, 0.04, pen.second)


def flower(pen: Pen) -> None:
    """Draws a flower on a green stem with two leaves: round petals about a disc, or a tulip cup."""
    lean, leaf, tulip = pen.vary(-0.04, 0.04), pen.vary(0.7, 0.8), pen.chance(0.3)
    _limb(pen, (0.5, 0.4), (0.5 + lean * 2, 0.7), (0.5, 0.93), 0.045, LEAF)
    for side in (-1, 1):
        pen.ellipse(0.5 + side * 0.15, leaf, 0.16, 0.06, LEAF, angle=-side * 0.5)
    if tulip:
        pen.polygon([(0.38, 0.4), (0.5, 0.06), (0.62, 0.4)], pen.second)
        left = [(0.3, 0.46), (0.24, 0.28), (0.26, 0.1), (0.4, 0.24)]
        right = [(1 - x, y) for x, y in left[::-1]]
        pen.blob([(0.5, 0.54), *left, (0.5, 0.16), *right], pen.main)
        return
    petals, far, start = pen.count(5, 8), pen.vary(0.17, 0.19), pen.vary(0, 1)
    for petal in range(petals):
        a = start + petal * 2 * math.pi / petals
        x, y = 0.5 + far * math.cos(a), 0.34 + far * math.sin(a)
        pen.ellipse(x, y, 0.12, 0.58 / petals, pen.main, angle=a)
    pen.circle(0.5, 0.34, pen.vary(0.09, 0.12), pen.second)


def mushroom(pen: Pen) -> None:
    """Draws a mushroom: a pale stem under a spotted cap, perhaps with a small one beside it."""
    stem, cap, base = pen.vary(0.1, 0.15), pen.vary(0.38, 0.45), pen.vary(0.5, 0.58)
    top = pen.vary(0.05, 0.14)
    right = [(0.5 + stem, base - 0.1), (0.5 + stem, 0.75), (0.54 + stem, 0.93)]
    pen.blob([*right, *[(1 - x, y) for x, y in right[::-1]]], PAPER)
    if pen.chance(0.4):
        pen.box(0.76, 0.76, 0.83, 0.95, PAPER)
        small = np.linspace(math.pi, 2 * math.pi, 9)
        pen.polygon([(0.8 + 0.14 * math.cos(a), 0.8 + 0.14 * math.sin(a)) for a in small], pen.main)
    turn = np.linspace(math.pi, 2 * math.pi, 13)
    dome = [(0.5 + cap * math.cos(a), base + (base - top) * math.sin(a)) for a in turn]
    rim = [(0.5 + cap * 0.6, base + 0.05), (0.5, base + 0.07), (0.5 - cap * 0.6, base + 0.05)]
    pen.polygon([*dome, *rim], pen.main)
    spots = [(-0.55, 0.28, 0.06), (0.0, 0.35, 0.08), (0.55, 0.3, 0.06), (-0.25, 0.7, 0.05)]
    for x, y, r in [*spots, (0.28, 0.7, 0.055)]:
        pen.ellipse(0.5 + x * cap, base - y * (base - top), r, r * 0.85, pen.second)

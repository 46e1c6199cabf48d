"""Drawings of people and figures, of the sky, and of what flies in the wind."""

import math

import numpy as np

from lexiseg.storybook.drawings.pen import INK, RGB, Pen, shade
from lexiseg.storybook.drawings.strokes import ORANGE, RED, WATER, WOOD, curve, limb, puffs, smile

SKINS: tuple[RGB, ...] = ((246, 212, 182), (222, 172, 128), (170, 116, 78), (112, 76, 54))
HAIRS: tuple[RGB, ...] = ((52, 40, 38), (108, 68, 40), (226, 178, 84), (190, 92, 44))


def person(pen: Pen) -> None:
    """A standing person: head with hair, two arms (one may wave), trousers or a dress."""
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
        limb(pen, (0.5 + side * half * 0.6, neck + 0.07), elbow, hand, 0.11, pen.main, tip=0.7)
    if style == 1:
        pen.box(0.5 - head * 1.2, face - head, 0.5 + head * 1.2, neck + 0.1, hair, round_by=0.08)
    hem, low = (half * 1.7, hip + 0.15) if dress else (half, hip + 0.03)
    shoulders = [(0.5 - half * 0.8, neck), (0.5 + half * 0.8, neck)]
    pen.polygon([*shoulders, (0.5 + hem, low), (0.5 - hem, low)], pen.main)
    if style == 2:
        curls = [(-0.95, -0.1), (-0.75, -0.7), (0.0, -0.95), (0.75, -0.7), (0.95, -0.1)]
        puffs(pen, [(0.5 + x * head, face + y * head, head * 0.5) for x, y in curls], hair)
    pen.circle(0.5, face, head, skin)
    if style < 2:
        cap = curve(0.5, face, head * 1.12, head * 1.12, np.linspace(math.pi, 2 * math.pi, 9))
        pen.polygon([*cap, (0.5 + head * 0.3, face - head * 0.45)], hair)
    for side in (-1, 1):
        pen.circle(0.5 + side * head * 0.4, face + head * 0.1, 0.018, INK, outline=False)
    smile(pen, 0.5, face + head * 0.35, head * 0.4)


def snowman(pen: Pen) -> None:
    """A snowman: stacked balls, carrot nose, coal buttons, stick arms, scarf and a hat."""
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
    """A robot: box head with antenna and lamp eyes, box body with dials, claws."""
    head, body, chin = pen.vary(0.16, 0.22), pen.vary(0.2, 0.26), pen.vary(0.36, 0.42)
    lamp = (252, 232, 120)
    pen.line([(0.5, 0.16), (0.5, 0.08)], 0.03, INK)
    pen.circle(0.5, 0.08, 0.04, RED)
    for side in (-1, 1):
        pen.box(0.46 + side * 0.12, 0.7, 0.54 + side * 0.12, 0.9, pen.main)
        pen.box(0.4 + side * 0.13, 0.87, 0.6 + side * 0.13, 0.95, pen.dark)
        elbow, hand = (0.5 + side * 0.42, 0.47), (0.5 + side * 0.38, pen.vary(0.58, 0.68))
        limb(pen, (0.5 + side * body * 0.9, 0.5), elbow, hand, 0.08, pen.main)
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
    """A sun: a disc inside a ring of pointed or drop-shaped rays, sometimes with a face."""
    rays, disc, start = pen.count(9, 12), pen.vary(0.25, 0.29), pen.vary(0.0, 1.0)
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
        smile(pen, 0.5, 0.53, 0.12)


def moon(pen: Pen) -> None:
    """A crescent moon, sometimes with a sleeping face or a hanging star."""
    horn, bite, x = pen.vary(0.75, 1.0), pen.vary(0.4, 0.46), 0.5
    inner = np.linspace(-math.pi / 2, math.pi / 2, 14)[1:-1]
    tips = x + 0.45 * math.cos(horn)
    edge = curve(x, 0.5, 0.45, 0.45, np.linspace(horn, 2 * math.pi - horn, 22))
    hollow = [(tips - bite * math.cos(a), 0.5 + 0.45 * math.sin(horn) * math.sin(a)) for a in inner]
    pen.polygon([*edge, *hollow], pen.main)
    if pen.chance(0.5):
        pen.line([(0.19, 0.44), (0.23, 0.47), (0.28, 0.44)], 0.025, INK)
        smile(pen, 0.26, 0.58, 0.06)
    if pen.chance(0.5):
        pen.line([(tips - 0.04, 0.2), (tips - 0.04, 0.42)], 0.015, INK)
        spikes = [(a * math.pi / 5, 0.1 if a % 2 else 0.045) for a in range(10)]
        pendant = [(tips - 0.04 + r * math.sin(a), 0.48 + r * math.cos(a)) for a, r in spikes]
        pen.polygon(pendant, pen.second)


def star(pen: Pen) -> None:
    """A five-pointed star, sometimes with a smaller star inside it or a face."""
    waist, turned = pen.vary(0.4, 0.52), pen.vary(-0.15, 0.15)
    turn = [turned + step * math.pi / 5 for step in range(10)]
    for size, fill in ((0.47, pen.main), (0.2, pen.second))[: pen.count(1, 2)]:
        radii = [size * (1.0 if step % 2 == 0 else waist) for step in range(10)]
        ring = zip(turn, radii, strict=True)
        pen.polygon([(0.5 + r * math.sin(a), 0.52 - r * math.cos(a)) for a, r in ring], fill)
    if pen.chance(0.5):
        pen.circle(0.43, 0.48, 0.03, INK, outline=False)
        pen.circle(0.57, 0.48, 0.03, INK, outline=False)
        smile(pen, 0.5, 0.56, 0.07)


def cloud(pen: Pen) -> None:
    """A cloud: a row of puffs on a flat base, sometimes with falling rain."""
    left, middle, right = pen.vary(0.14, 0.18), pen.vary(0.2, 0.25), pen.vary(0.15, 0.19)
    rain = pen.chance(0.35)
    base = 0.62 if rain else 0.72
    if rain:
        for x, drop in ((0.25, 0.8), (0.42, 0.88), (0.59, 0.8), (0.76, 0.88)):
            pen.ellipse(x, drop, 0.032, 0.06, WATER, angle=0.25)
    parts = [(0.36, base - 0.24, middle * 0.9), (0.6, base - 0.25, middle)]
    parts += [(0.05 + left, base - left, left), (0.95 - right, base - right, right)]
    parts += [(x, base - 0.13, 0.13) for x in (0.3, 0.45, 0.6, 0.7)]
    puffs(pen, parts, pen.main)
    pen.line([(0.3, base - 0.1), (0.38, base - 0.06), (0.46, base - 0.1)], 0.022, pen.dark)
    pen.line([(0.58, base - 0.2), (0.66, base - 0.16), (0.74, base - 0.2)], 0.022, pen.dark)


def kite(pen: Pen) -> None:
    """A flying kite: a slanted diamond with crossed spars and a winding tail with bows."""
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
    """A flag on a pole with a knob: a waving cloth or a pennant, with a band or a disc."""
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
    pen.polygon(strip(0.0, 1.0), pen.main)
    if pen.chance(0.5):
        pen.polygon(strip(0.35, 0.65), pen.second)
    else:
        pen.circle(0.5 if not pennant else 0.35, (0.13 + low) / 2 + ripple[4], 0.1, pen.second)


def balloon(pen: Pen) -> None:
    """A hot-air balloon: a huge bulb narrowing to a mouth, ropes and a wicker basket."""
    r, basket, gore = pen.vary(0.3, 0.36), pen.vary(0.09, 0.12), pen.vary(0.08, 0.12)
    middle = 0.05 + r
    for x in (-1, 0, 1):
        pen.line([(0.5 + x * 0.1, 0.7), (0.5 + x * basket, 0.86)], 0.016, INK)
    bulb = curve(0.5, middle, r, r, np.linspace(math.pi - 0.5, 2 * math.pi + 0.5, 20))
    pen.polygon([*bulb, (0.6, 0.74), (0.4, 0.74)], pen.main)
    pen.ellipse(0.5, 0.395, gore, 0.34, pen.second)
    for side in (-1, 1):
        bow = curve(0.5, middle, side * r * 0.72, r, np.linspace(-1.3, 1.15, 8))
        pen.line(bow, 0.018, shade(pen.main, -0.5))
    pen.box(0.39, 0.71, 0.61, 0.75, pen.dark)
    pen.box(0.5 - basket, 0.84, 0.5 + basket, 0.95, (186, 134, 80), round_by=0.02)
    pen.box(0.49 - basket, 0.83, 0.51 + basket, 0.865, WOOD)

"""Drawings of birds and of animals of the sea."""

import math

import numpy as np

from lexiseg.storybook.drawings.pen import INK, PAPER, Pen, shade
from lexiseg.storybook.drawings.strokes import ORANGE, RED, WATER, WOOD, both_sides, curve, limb, puffs, smile


def duck(pen: Pen) -> None:
    """A duck from the side: round head, flat bill, raised tail, on webbed feet or water."""
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
    """A standing penguin: upright body with white belly, two flippers, beak and flat feet."""
    wide, lift, belly = pen.vary(0.22, 0.28), pen.vary(0.58, 0.76), pen.vary(0.14, 0.17)
    pen.ellipse(0.38, 0.91, 0.12, 0.045, ORANGE)
    pen.ellipse(0.64, 0.91, 0.12, 0.045, ORANGE)
    pen.polygon([(0.61, 0.17), (0.82, 0.23), (0.61, 0.28)], ORANGE)
    for side in (-1, 1):
        shoulder, elbow = (0.5 + side * 0.17, 0.42), (0.5 + side * 0.36, 0.46)
        limb(pen, shoulder, elbow, (0.5 + side * 0.39, lift), 0.13, pen.main, tip=0.35)
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
    """An owl from the front on a branch: ear tufts, huge round eyes, hooked beak, wings."""
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
    """A hen from the side: comb, wattle, pointed beak, fanned tail and two thin legs."""
    head, belly, leg = pen.vary(0.17, 0.22), pen.vary(0.7, 0.77), pen.vary(0.4, 0.46)
    for x in (leg, leg + 0.16):
        pen.line([(x, belly - 0.04), (x, 0.93)], 0.03, ORANGE)
        pen.line([(x - 0.07, 0.94), (x, 0.88), (x + 0.1, 0.94)], 0.028, ORANGE)
    for angle in (-2.0, -2.45, -2.9)[: pen.count(2, 3)]:
        x, y = 0.34 + 0.14 * math.cos(angle), 0.44 + 0.2 * math.sin(angle)
        pen.ellipse(x, y, 0.18, 0.07, pen.second, angle=angle)
    puffs(pen, [(0.64, head - 0.03, 0.05), (0.71, head - 0.06, 0.055), (0.78, head - 0.02, 0.045)], RED)
    pen.ellipse(0.81, head + 0.17, 0.035, 0.065, RED)
    pen.polygon([(0.78, head + 0.03), (0.95, head + 0.1), (0.78, head + 0.13)], ORANGE)
    front = [(0.71, head - 0.02), (0.81, head + 0.08), (0.79, 0.36), (0.83, 0.52), (0.73, 0.68)]
    rear = [(0.5, belly), (0.26, 0.68), (0.12, 0.5), (0.13, 0.33), (0.3, 0.42), (0.48, 0.42)]
    pen.blob([*front, *rear, (0.59, 0.3), (0.61, head + 0.04)], pen.main)
    pen.blob([(0.3, 0.5), (0.5, 0.47), (0.62, 0.55), (0.47, 0.63), (0.35, 0.62)], pen.light)
    pen.circle(0.72, head + 0.07, 0.03, INK, outline=False)


def fish(pen: Pen) -> None:
    """A fish from the side: oval body, forked tail fin, fins above and below, scales."""
    tall, tail, fork = pen.vary(0.2, 0.29), pen.vary(0.18, 0.26), pen.vary(0.12, 0.2)
    pen.polygon([(0.38, 0.5), (0.06, 0.5 - tail), (fork, 0.5), (0.06, 0.5 + tail)], pen.second)
    top, low = 0.5 - tall, 0.5 + tall
    pen.polygon([(0.4, top + 0.1), (0.38, top - 0.12), (0.6, top - 0.07), (0.74, top + 0.1)], pen.second)
    pen.polygon([(0.5, low - 0.06), (0.44, low + 0.11), (0.62, low + 0.03), (0.68, low - 0.07)], pen.second)
    back = [(0.42, top + 0.04), (0.62, top), (0.83, top + 0.1)]
    pen.blob([(0.26, 0.5), *back, (0.95, 0.5), *[(x, 1 - y) for x, y in back[::-1]]], pen.main)
    pen.line(curve(0.61, 0.5, 0.08, tall * 0.75, np.linspace(-1.0, 1.0, 6)), 0.022, shade(pen.main, -0.55))
    pen.polygon([(0.58, 0.51), (0.42, 0.47), (0.42, 0.61)], pen.dark)
    pen.eye(0.8, 0.44, 0.05)
    pen.line([(0.94, 0.53), (0.85, 0.57)], 0.022, INK)
    if pen.chance(0.4):
        pen.circle(0.91, 0.22, 0.035, WATER)
        pen.circle(0.84, 0.12, 0.025, WATER)


def crab(pen: Pen) -> None:
    """A crab from the front: broad shell, two raised pincers, six legs, eyes on stalks."""
    wide, claw, stalk = pen.vary(0.26, 0.32), pen.vary(0.12, 0.15), pen.vary(0.3, 0.36)
    gape = np.linspace(0.55, 2 * math.pi - 0.45, 16)
    for side in (-1, 1):
        for leg in range(3):
            knee = (0.5 + side * (0.5 - leg * 0.06), 0.6 + leg * 0.09)
            foot = (0.5 + side * (0.43 - leg * 0.09), 0.85 + leg * 0.04)
            limb(pen, (0.5 + side * 0.14, 0.68), knee, foot, 0.07, pen.main, tip=0.4)
        elbow, wrist = (0.5 + side * 0.46, 0.56), (0.5 + side * 0.35, 0.34)
        limb(pen, (0.5 + side * 0.2, 0.6), elbow, wrist, 0.08, pen.main)
        x, y = 0.5 + side * (0.44 - claw * 0.9), 0.28
        around = [(x + claw * math.sin(a) * side, y - claw * 1.25 * math.cos(a)) for a in gape]
        pen.polygon([*around, (x - side * 0.01, y)], pen.main)
        pen.line([(0.5 + side * 0.1, 0.5), (0.5 + side * 0.11, stalk + 0.02)], 0.035, pen.dark)
        pen.eye(0.5 + side * 0.11, stalk, 0.055)
    pen.ellipse(0.5, 0.65, wide, 0.2, pen.main)
    smile(pen, 0.5, 0.68, 0.1)


def whale(pen: Pen) -> None:
    """A whale from the side: huge blunt head, pale belly, raised tail flukes, water spout."""
    hump, fluke, spout = pen.vary(0.33, 0.4), pen.vary(0.24, 0.32), pen.vary(0.1, 0.15)
    for side in (-1, 1):
        peak, drop = (0.3 + side * 0.02, 0.02), (0.3 + side * spout, 0.22)
        limb(pen, (0.3, hump + 0.05), peak, drop, 0.05, WATER, tip=0.8)
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
    limb(pen, (0.46, 0.72), (0.5, 0.84), (0.6, 0.91), 0.13, pen.second, tip=0.4)
    pen.eye(0.22, 0.61, 0.04)


def octopus(pen: Pen) -> None:
    """An octopus: a bulb of a head with two big eyes over eight spreading, curling arms."""
    wide, tall, curl = pen.vary(0.22, 0.29), pen.vary(0.24, 0.29), pen.vary(0.1, 0.24)
    for place in (-0.95, 0.95, -0.65, 0.65, -0.38, 0.38, -0.13, 0.13):
        far = abs(place)
        end = (0.5 + place * 0.46, 0.92 - curl * far * far)
        bend = (0.5 + place * 0.34, 0.75 + 0.3 * far)
        limb(pen, (0.5 + place * wide * 0.75, 0.5), bend, end, 0.12, pen.main, tip=0.35)
    half = [(0.8, 0.05 + tall * 0.4), (1.0, 0.05 + tall), (0.8, 0.5), (0.7, 0.6)]
    right, left = both_sides([(wide * x, y) for x, y in half])
    pen.blob([(0.5, 0.05), *right, (0.5, 0.63), *left], pen.main)
    pen.eye(0.4, 0.38, 0.07)
    pen.eye(0.6, 0.38, 0.07)
    smile(pen, 0.5, 0.5, 0.08)
    if pen.chance(0.5):
        for x, y, r in ((0.42, 0.17, 0.035), (0.53, 0.14, 0.025), (0.56, 0.23, 0.03)):
            pen.circle(x, y, r, pen.second, outline=False)

"""Outlines of masks along the edges of their pixels: filled by the even-odd rule, they give each pixel back."""

import numpy as np
from jaxtyping import Bool, Int

Loop = list[tuple[int, int]]
"""Corners x, y of a closed line, in order; every second side is horizontal, the others are vertical."""


def outlines(mask: Bool[np.ndarray, "H W"]) -> list[Loop]:
    """The closed lines around a mask's parts and holes, in the order of their first corners, row by row.

    A corner is a point with an odd number of the mask's pixels among the four around it; where two of them touch by
    their corners alone, it counts twice. In every row of points, corners are joined two by two, and so they are in
    every column: those are the sides.
    """
    padded = np.pad(mask, 1)
    four = padded[:-1, :-1].astype(np.uint8) + padded[:-1, 1:] + padded[1:, :-1] + padded[1:, 1:]
    touch = (four == 2) & (padded[:-1, :-1] == padded[1:, 1:])
    ys, xs = np.nonzero((four % 2 == 1) | touch)
    twice = 1 + touch[ys, xs]
    ys, xs = ys.repeat(twice), xs.repeat(twice)  # sorted by rows, as `nonzero` is
    across = _partners(np.arange(len(ys)))
    down = _partners(np.lexsort((ys, xs)))
    corners = list(zip(xs.tolist(), ys.tolist(), strict=True))
    is_left = np.ones(len(corners), bool)
    loops: list[Loop] = []
    for first in range(len(corners)):
        if not is_left[first]:
            continue
        loop: Loop = []
        place = first
        while is_left[place]:
            is_left[place] = is_left[across[place]] = False
            loop += [corners[place], corners[across[place]]]
            place = down[across[place]]
        loops.append(loop)
    return loops


def one_line(loops: list[Loop]) -> Loop:
    """One closed line in place of several: from the first corner of each it goes on to the next one's, and back.

    What it passes twice in opposite directions changes nothing by the even-odd rule, so parts and holes stay what they
    are.
    """
    there = [corner for loop in loops for corner in [*loop, loop[0]]]
    return [*there, *(loop[0] for loop in reversed(loops[1:-1]))] if len(loops) > 1 else there[:-1]


def _partners(order: Int[np.ndarray, " N"]) -> list[int]:
    """For each corner the other end of its side, where those that are next to each other in an order are joined."""
    partners = np.empty_like(order)
    partners[order[::2]], partners[order[1::2]] = order[1::2], order[::2]
    return partners.tolist()

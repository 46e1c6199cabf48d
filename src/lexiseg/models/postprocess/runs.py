"""Pixels and boxes of all values of a map in one pass, by its runs: equal neighbours in a row."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int32, Integer

BAND = 2**18
"""Pixels that are looked at together: a map of no two equal neighbours takes some 20 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extents:
    """How many pixels each value of a map has, and where they lie."""

    pixels: Int[np.ndarray, " values"]
    first: Int[np.ndarray, "2 values"]
    """The first row and column; past all of the map's for a value that it doesn't have."""
    end: Int[np.ndarray, "2 values"]
    """The row and column behind the last; 0 for a value that it doesn't have."""

    @staticmethod
    def of(values: Integer[np.ndarray, "H W"], count: int) -> "Extents":
        """Of a map of the values 0 to count - 1."""
        height, width = values.shape
        pixels = np.zeros(count, np.int64)
        first, end = np.full((2, count), max(height, width)), np.zeros((2, count), np.int64)
        rows = max(1, BAND // width)
        for top in range(0, height, rows):
            band = values[top : top + rows]
            is_start = np.ones(band.shape, bool)
            np.not_equal(band[:, 1:], band[:, :-1], out=is_start[:, 1:])
            starts = np.flatnonzero(is_start)
            lengths = np.diff(starts, append=band.size)
            value = band.ravel()[starts]
            row, column = np.divmod(starts, width)
            np.add.at(pixels, value, lengths)
            np.minimum.at(first[0], value, row + top)
            np.minimum.at(first[1], value, column)
            np.maximum.at(end[0], value, row + top + 1)
            np.maximum.at(end[1], value, column + lengths)
        return Extents(pixels=pixels, first=first, end=end)

    def joined(self, ids: Int32[np.ndarray, " values"], count: int) -> "Extents":
        """Of the map in which each value became one of the ids 0 to count - 1."""
        pixels = np.zeros(count, np.int64)
        first, end = np.full((2, count), self.first.max()), np.zeros((2, count), np.int64)
        np.add.at(pixels, ids, self.pixels)
        for axis in (0, 1):
            np.minimum.at(first[axis], ids, self.first[axis])
            np.maximum.at(end[axis], ids, self.end[axis])
        return Extents(pixels=pixels, first=first, end=end)

    def box(self, value: int) -> tuple[int, int, int, int]:
        """x, y, width and height of a value that the map has."""
        (y, x), (bottom, right) = self.first[:, value].tolist(), self.end[:, value].tolist()
        return x, y, right - x, bottom - y


def recoded(values: Integer[np.ndarray, "H W"], ids: Int32[np.ndarray, " values"]) -> Int32[np.ndarray, "H W"]:
    """The map with each value replaced."""
    found = np.empty(values.shape, np.int32)
    rows = max(1, BAND // values.shape[1])
    for top in range(0, len(values), rows):
        np.take(ids, values[top : top + rows], out=found[top : top + rows], mode="clip")  # "raise" would copy
    return found

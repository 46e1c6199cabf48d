"""Mask maps at the picture's size, a tile at a time: what `Frame.leave` gives, of those tiles only that matter.

A pixel is a mean of a few cells of its mask, so the largest and the smallest cell that a tile reads bound all pixels of
the tile: most tiles of most masks are settled by their bounds and never brought to the picture's size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lexiseg.core.frames import Frame

SIDE = 128
"""Tiles have about so many rows and columns: a map's 64 KiB stay near the processor."""
READ = 2**17
"""Numbers of all masks that are read together, in any step: they stay there too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taps:
    """One axis of a bilinear resizing: output i is near[i] x input[first[i]] + far[i] x input[second[i]]."""

    first: Int[Tensor, " n"]
    second: Int[Tensor, " n"]
    near: Float[Tensor, " n"]
    far: Float[Tensor, " n"]

    @staticmethod
    def of(size: int, resized: int) -> "Taps":
        """As torch places and weights them: to the last bit where the processor has fused multiply-adds."""
        scale = torch.tensor(size, dtype=torch.float32) / resized
        centres = torch.arange(resized, dtype=torch.float64) + 0.5
        places = (scale.double() * centres - 0.5).float().clamp_(min=0)  # rounded once, as a fused multiply-add does
        first = places.long().clamp_(max=size - 1)
        far = (places - first).clamp_(0, 1)
        return Taps(first=first, second=(first + 1).clamp_(max=size - 1), near=1 - far, far=far)

    def reads(self, outputs: slice) -> slice:
        """The inputs that some outputs read."""
        return slice(int(self.first[outputs.start]), int(self.second[outputs.stop - 1]) + 1)

    def only(self, outputs: slice) -> "Taps":
        """Of some outputs, with inputs numbered from the first that they read."""
        first, second = self.first[outputs], self.second[outputs]
        return Taps(first=first - first[0], second=second - first[0], near=self.near[outputs], far=self.far[outputs])

    def rows(self, maps: Float[Tensor, "M a b"]) -> Float[Tensor, "M n b"]:
        """Resizes the rows."""
        far = maps.index_select(1, self.second).mul_(self.far[:, None])
        return torch.addcmul(far, maps.index_select(1, self.first), self.near[:, None])

    def columns(self, maps: Float[Tensor, "M a b"]) -> Float[Tensor, "M a n"]:
        """Resizes the columns."""
        far = maps.index_select(2, self.second).mul_(self.far)
        return torch.addcmul(far, maps.index_select(2, self.first), self.near)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The rows of a tile, or its columns."""

    pixels: slice
    """Of the picture."""
    cells: slice
    """Of the masks: all that these pixels are means of."""
    steps: tuple[Taps, ...]
    """To the canvas, and on to the picture; a step that changes no size is left out."""

    widest: int
    """The most numbers that a step takes or gives."""

    @property
    def length(self) -> int:
        """Pixels."""
        return self.pixels.stop - self.pixels.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One tile of a tiling."""

    place: tuple[int, int]
    """Its row and column among the tiles."""
    rows: Span
    columns: Span

    pixels: tuple[slice, slice]
    """Where it lies in the picture."""
    size: tuple[int, int]
    at_once: int
    """How many masks to read together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """A picture cut into tiles."""

    size: tuple[int, int]
    """Of the picture."""
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]
    reach: tuple[int, int]
    """Rows and columns of cells of which any one pixel is a mean."""

    @staticmethod
    def of(cells: tuple[int, int], frame: Frame) -> "Tiling":
        """For masks of so many rows and columns of cells on the frame's canvas."""
        sizes = [(cells, frame.padded), (frame.resized, frame.original)]
        sizes = [(before, after) for before, after in sizes if before != after]
        (rows, high), (columns, wide) = (
            _spans([(before[axis], after[axis]) for before, after in sizes], frame.original[axis]) for axis in (0, 1)
        )
        return Tiling(size=frame.original, rows=rows, columns=columns, reach=(high, wide))

    def tiles(self) -> Iterator[Tile]:
        """All tiles, row by row."""
        for row, rows in enumerate(self.rows):
            for column, columns in enumerate(self.columns):
                yield Tile(
                    place=(row, column),
                    rows=rows,
                    columns=columns,
                    pixels=(rows.pixels, columns.pixels),
                    size=(rows.length, columns.length),
                    at_once=max(1, READ // (rows.widest * columns.widest)),
                )

    def sizes(self) -> Int[Tensor, "rows columns"]:
        """Pixels of every tile."""
        high, wide = (torch.tensor([span.length for span in spans]) for spans in (self.rows, self.columns))
        return high[:, None] * wide

    def read(
        self, mask_logits: Float[Tensor, "Q h w"], queries: Int[Tensor, " N"], tile: Tile
    ) -> Float[Tensor, "N n m"]:
        """Some masks at the tile's pixels."""
        maps = mask_logits[:, tile.rows.cells, tile.columns.cells].index_select(0, queries).float()
        for rows, columns in zip(tile.rows.steps, tile.columns.steps, strict=True):
            maps = rows.rows(columns.columns(maps))
        return maps

    def highest(self, cells: Float[Tensor, "M h w"]) -> Float[Tensor, "M rows columns"]:
        """The largest of the cells that each tile reads."""
        rows = torch.stack([cells[:, span.cells].amax(1) for span in self.rows], 1)
        return torch.stack([rows[:, :, span.cells].amax(2) for span in self.columns], 2)

    def lowest(self, cells: Float[Tensor, "M h w"]) -> Float[Tensor, "M rows columns"]:
        """The smallest of the cells that each tile reads."""
        rows = torch.stack([cells[:, span.cells].amin(1) for span in self.rows], 1)
        return torch.stack([rows[:, :, span.cells].amin(2) for span in self.columns], 2)

    def least_around(self, cells: Float[Tensor, "M h w"]) -> Float[Tensor, "M h w"]:
        """For each cell the smallest of those of which a pixel is a mean that reads none before it."""
        least = cells.clone()
        for step in range(1, self.reach[0]):
            torch.minimum(least[:, :-step], cells[:, step:], out=least[:, :-step])
        rows = least.clone()
        for step in range(1, self.reach[1]):
            torch.minimum(least[:, :, :-step], rows[:, :, step:], out=least[:, :, :-step])
        return least


def _spans(sizes: list[tuple[int, int]], length: int) -> tuple[tuple[Span, ...], int]:
    """Cuts one axis into about equal parts; and the most cells of which one pixel is a mean."""
    taps = [Taps.of(before, after) for before, after in sizes]
    parts = max(1, round(length / SIDE))
    edges = [length * part // parts for part in range(parts + 1)]
    spans: list[Span] = []
    for start, stop in pairwise(edges):
        steps: list[Taps] = []
        cells, widest = slice(start, stop), stop - start
        for step in reversed(taps):
            steps.insert(0, step.only(cells))
            cells = step.reads(cells)
            widest = max(widest, cells.stop - cells.start)
        spans.append(Span(pixels=slice(start, stop), cells=cells, steps=tuple(steps), widest=widest))
    first = last = torch.arange(length)
    for step in reversed(taps):
        first, last = step.first[first], step.second[last]
    return tuple(spans), 1 + int((last - first).max())

"""Weighted sums of bilinear samples, for a CPU: lookups in a table forward, and the same lookups reversed backward."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What every head of every token reads of a table: L bags of P points, each between four cells.

    A row of the table is what one head reads in one cell. Every map has a border of zeros, onto which points outside
    are moved, so that nothing has to be masked.
    """

    table: Float[Tensor, "R c"]
    corner: Int[Tensor, "L P"]
    """The row of the upper left cell; those of the others are `column` and `row` further."""
    column: int
    row: Int[Tensor, " P"]
    beside: Float[Tensor, "L P"]
    """How far a point lies from the left cells to the right ones, in [0, 1]."""
    below: Float[Tensor, "L P"]
    """Likewise from the upper cells to the lower ones."""
    weights: Float[Tensor, "L P"]

    @staticmethod
    def of(
        values: Float[Tensor, "B S C"],
        x: Float[Tensor, "B S X"],
        y: Float[Tensor, "B S X"],
        weights: Float[Tensor, "B S X"],
        sizes: Sequence[tuple[int, int]],
        num_heads: int,
    ) -> "Lookup":
        """The arguments are those of `gathered_from_table`."""
        maps, starts, num_cells = [], [], 0
        for (height, width), cells in zip(sizes, _by_map(values, sizes), strict=True):
            # two rows below: a point on the border has corners beyond it, whose weight is zero
            maps.append(F.pad(cells, (0, 0, 1, 1, 1, 2)).flatten(1, 2))
            starts.append(num_cells + width + 3)  # the map's first cell
            num_cells += (height + 3) * (width + 2)
        table = F.pad(torch.cat(maps, 1), (0, 0, 0, 1)).view(-1, values.shape[-1] // num_heads)  # and one cell beyond

        x, y, weights = (part.unflatten(-1, (num_heads, -1)) for part in (x, y, weights))
        num_points = x.shape[-1]
        heights, widths = (for_points(side, num_points, x) for side in zip(*sizes, strict=True))
        x, y = torch.minimum(x.clamp(min=-1), widths), torch.minimum(y.clamp(min=-1), heights)
        left, top = x.floor(), y.floor()
        row = for_points([width + 2 for _, width in sizes], num_points, left.int()) * num_heads
        heads = torch.arange(num_heads, dtype=torch.int32, device=x.device)[:, None]
        pictures = torch.arange(len(values), dtype=torch.int32, device=x.device) * (len(table) // len(values))
        first = for_points(starts, num_points, left.int()) * num_heads + heads + pictures[:, None, None, None]
        corner = top.int() * row + left.int() * num_heads + first
        corner = corner.clamp(0, len(table) - 1 - num_heads * (sizes[-1][1] + 3))  # of what is no number
        corner, beside, below, weights = (part.flatten(0, 2) for part in (corner, x - left, y - top, weights))
        return Lookup(
            table=table, corner=corner, column=num_heads, row=row, beside=beside, below=below, weights=weights
        )

    def sums(self) -> Float[Tensor, "L c"]:
        """What the bags hold."""
        return F.embedding_bag(self.cells(), self.table, mode="sum", per_sample_weights=self.shares().flatten(1))

    def cells(self) -> Int[Tensor, "L _"]:
        """Rows of the upper left cells, then of those to their right, below them, and below and to the right."""
        right = self.corner + self.column
        return torch.cat([self.corner, right, self.corner + self.row, right + self.row], 1)

    def shares(self) -> Float[Tensor, "L 4 P"]:
        """How much of each cell enters a sum, in the same order."""
        lower = self.weights * self.below
        upper = self.weights - lower
        lower_right, upper_right = lower * self.beside, upper * self.beside
        return torch.stack([upper - upper_right, upper_right, lower - lower_right, lower_right], 1)

    def products(self, gradient: Float[Tensor, "L c"]) -> Float[Tensor, "4 L P"]:
        """The product of each bag's gradient with each of its cells."""
        cells = self.cells()
        starts = torch.arange(0, cells.numel() + 1, cells.shape[1], dtype=cells.dtype, device=cells.device)
        with warnings.catch_warnings():  # sparse matrices are in beta, says torch
            warnings.simplefilter("ignore", UserWarning)
            pattern = torch.sparse_csr_tensor(
                starts,
                cells.flatten(),
                gradient.new_zeros(cells.numel()),
                (len(cells), len(self.table)),
                check_invariants=False,
            )
        found = torch.sparse.sampled_addmm(pattern, gradient, self.table.T, beta=0.0).values()
        return found.view(len(cells), 4, -1).transpose(0, 1)

    def reversed_sums(self, gradient: Float[Tensor, "L c"]) -> list[Float[Tensor, "R c"]]:
        """What the four cells of all points get of the bags' gradients, at the rows of the upper left ones.

        All four are summed in one order, so that a fourth of the numbers is sorted.
        """
        corner, order = self.corner.flatten().sort()
        counts = torch.bincount(corner, minlength=len(self.table))
        bags = torch.div(order, self.corner.shape[1], rounding_mode="floor").int()
        shares = self.shares().transpose(1, 2).reshape(-1, 4).index_select(0, order)
        ends = counts.cumsum(0)
        return [
            F.embedding_bag(bags, gradient, (ends - counts).int(), mode="sum", per_sample_weights=share.contiguous())
            for share in shares.unbind(1)
        ]


class TableSums(torch.autograd.Function):
    """`Lookup.sums` with a gradient: it keeps points instead of cells and shares, and has no scattered additions."""

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        x: Tensor,
        y: Tensor,
        weights: Tensor,
        sizes: Sequence[tuple[int, int]],
        num_heads: int,
    ) -> Tensor:
        """The sums of a lookup in `values`."""
        ctx.save_for_backward(values, x, y, weights)
        ctx.sizes, ctx.num_heads = sizes, num_heads
        return Lookup.of(values, x, y, weights, sizes, num_heads).sums().view_as(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Gradients of values, places and weights."""
        values, x, y, weights = ctx.saved_tensors
        lookup = Lookup.of(values, x, y, weights, ctx.sizes, ctx.num_heads)
        gradient = gradients[0].reshape(len(lookup.corner), -1)

        one, right, under, last = lookup.products(gradient)
        across_upper, across_lower = right - one, last - under
        upper = torch.addcmul(one, across_upper, lookup.beside)
        down = torch.addcmul(under, across_lower, lookup.beside) - upper
        of_weights = torch.addcmul(upper, down, lookup.below)
        of_y = lookup.weights * down
        of_x = lookup.weights * torch.lerp(across_upper, across_lower, lookup.below)
        heights, widths = (
            for_points(side, lookup.corner.shape[1], x).repeat(ctx.num_heads) for side in zip(*ctx.sizes, strict=True)
        )
        of_x, of_y = (
            found.view_as(x) * ((place >= -1) & (place <= most))  # what was moved onto the border stays there
            for found, place, most in ((of_x, x, widths), (of_y, y, heights))
        )

        of_values, start = [], 0
        corners = [found.view(len(values), -1, values.shape[-1]) for found in lookup.reversed_sums(gradient)]
        for height, width in ctx.sizes:
            end = start + (height + 3) * (width + 2)
            here, left, above, both = (found[:, start:end].unflatten(1, (height + 3, width + 2)) for found in corners)
            found = here[:, 1:-2, 1:-1] + left[:, 1:-2, :-2] + above[:, :-3, 1:-1] + both[:, :-3, :-2]
            of_values.append(found.flatten(1, 2))
            start = end
        return torch.cat(of_values, 1), of_x, of_y, of_weights.view_as(x), None, None


def for_points(per_map: Sequence[int], num_points: int, like: Tensor) -> Float[Tensor, " P"] | Int[Tensor, " P"]:
    """A number of every map for each of a head's points, which stand map by map; of another tensor's type."""
    return torch.tensor(per_map, dtype=like.dtype, device=like.device).repeat_interleave(num_points // len(per_map))


def _by_map(values: Float[Tensor, "B S C"], sizes: Sequence[tuple[int, int]]) -> list[Float[Tensor, "B _ _ C"]]:
    parts = values.split([height * width for height, width in sizes], 1)
    return [part.unflatten(1, size) for part, size in zip(parts, sizes, strict=True)]

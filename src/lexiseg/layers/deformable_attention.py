"""Multi-scale deformable attention (Zhu et al., 2021), in PyTorch's own operations."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lexiseg.layers.table_sums import Lookup, TableSums, for_points

NUM_LEVELS, NUM_POINTS = 3, 4
"""Feature maps, and points in each of them, that a token looks at; every published Mask2Former has these."""
Size = tuple[int, int]
"""Height and width of a feature map."""


class DeformableAttention(nn.Module):
    """Every token looks at a few points around its own place, in each of three maps; names of weights as published."""

    def __init__(self, dim: int, num_heads: int) -> None:
        """Starts with points on a ray for each head, at distances of one to four cells, all of one weight."""
        super().__init__()
        self.num_heads = num_heads
        self.sampling_offsets = nn.Linear(dim, num_heads * NUM_LEVELS * NUM_POINTS * 2)
        self.attention_weights = nn.Linear(dim, num_heads * NUM_LEVELS * NUM_POINTS)
        self.value_proj = nn.Linear(dim, dim)
        self.output_proj = nn.Linear(dim, dim)
        for projection in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)
        for projection in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(projection.weight)
            nn.init.zeros_(projection.bias)
        angles = torch.arange(num_heads) * (2 * math.pi / num_heads)
        rays = torch.stack([angles.cos(), angles.sin()], -1)
        rays = rays / rays.abs().amax(-1, keepdim=True)
        distances = torch.arange(1, NUM_POINTS + 1)[:, None]
        with torch.no_grad():
            offsets = self.sampling_offsets.bias.view(num_heads, NUM_LEVELS, NUM_POINTS, 2)
            offsets.copy_((rays[:, None, None] * distances).expand_as(offsets))

    def forward(
        self,
        query: Float[Tensor, "B S C"],
        tokens: Float[Tensor, "B S C"],
        places: Float[Tensor, "S 2"],
        sizes: Sequence[Size],
    ) -> Float[Tensor, "B S C"]:
        """Gathers what every token looks at.

        Places, weights and sums are computed in float32 at least, whatever the projections are computed in.

        Args:
            query: tokens with their positions, which decide where to look and what counts.
            tokens: the cells of all maps, map by map and row by row.
            places: x and y of every token in the picture, from `cell_places`.
            sizes: of the maps.
        """
        exact, device = torch.promote_types(query.dtype, torch.float32), query.device
        num_points = NUM_LEVELS * NUM_POINTS
        heights, widths = (
            for_points(side, num_points, places).repeat(self.num_heads) for side in zip(*sizes, strict=True)
        )
        steps_x, steps_y = self.sampling_offsets(query).to(exact).unflatten(-1, (-1, 2)).unbind(-1)
        x = torch.addcmul(steps_x, places[:, :1], widths) - 0.5
        y = torch.addcmul(steps_y, places[:, 1:], heights) - 0.5
        logits = self.attention_weights(query).to(exact).unflatten(-1, (self.num_heads, -1))
        # over an axis that is not the last, a softmax of twelve numbers takes a quarter of the time
        weights = logits.transpose(-1, -2).contiguous().softmax(-2).transpose(-1, -2).flatten(-2)
        values = self.value_proj(tokens).to(exact)
        gather = gathered_from_table if device.type == "cpu" else gathered_by_grid
        with torch.autocast(device.type, enabled=False):
            gathered = gather(values, x, y, weights, sizes, self.num_heads)
        return self.output_proj(gathered.to(query.dtype))


def gathered_from_table(
    values: Float[Tensor, "B S C"],
    x: Float[Tensor, "B S X"],
    y: Float[Tensor, "B S X"],
    weights: Float[Tensor, "B S X"],
    sizes: Sequence[Size],
    num_heads: int,
) -> Float[Tensor, "B S C"]:
    """Weighted sums of bilinear samples as one `embedding_bag`: on a CPU, in a seventh of the time of `grid_sample`.

    Args:
        values: of the cells, map by map and row by row; each head has its share of the channels.
        x: in cells, 0 at the centre of a map's first one; the X points of a token stand head by head and map by map.
        y: likewise.
        weights: of the points.
        sizes: of the maps.
        num_heads: X is a multiple of it.
    """
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        return TableSums.apply(values, x, y, weights, sizes, num_heads)
    return Lookup.of(values, x, y, weights, sizes, num_heads).sums().view_as(values)


def gathered_by_grid(
    values: Float[Tensor, "B S C"],
    x: Float[Tensor, "B S X"],
    y: Float[Tensor, "B S X"],
    weights: Float[Tensor, "B S X"],
    sizes: Sequence[Size],
    num_heads: int,
) -> Float[Tensor, "B S C"]:
    """The same by `grid_sample`, map by map, where that is fast: on a GPU."""
    batch, num_tokens, dim = values.shape

    def by_map(points: Tensor) -> tuple[Tensor, ...]:
        """(B heads) S points of every map: heads are pictures to `grid_sample`."""
        points = points.unflatten(-1, (num_heads, len(sizes), -1)).movedim(2, 1).flatten(0, 1)
        return points.unbind(2)

    maps = values.split([height * width for height, width in sizes], 1)
    gathered = values.new_zeros(())
    for (height, width), cells, *points in zip(sizes, maps, by_map(x), by_map(y), by_map(weights), strict=True):
        across, down, shares = points
        grid = torch.stack([(2 * across + 1) / width - 1, (2 * down + 1) / height - 1], -1)
        pictures = cells.transpose(1, 2).reshape(batch * num_heads, -1, height, width)
        samples = F.grid_sample(pictures, grid, align_corners=False)  # zeros outside
        gathered = gathered + (samples * shares[:, None]).sum(-1)
    return gathered.reshape(batch, dim, num_tokens).transpose(1, 2)


def cell_places(sizes: Sequence[Size], like: Tensor) -> Float[Tensor, "S 2"]:
    """X and y of the centre of every cell, in [0, 1] from the upper left of the picture, map by map and row by row."""
    places = []
    for height, width in sizes:
        y = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5) / height
        x = (torch.arange(width, device=like.device, dtype=like.dtype) + 0.5) / width
        places.append(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1))
    return torch.cat(places)

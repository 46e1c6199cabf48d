"""Multi-scale deformable attention (Zhu et al., 2021), in PyTorch's own operations."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

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

        Args:
            query: tokens with their positions, which decide where to look and what counts.
            tokens: the cells of all maps, map by map and row by row.
            places: x and y of every token in the picture, from `cell_places`.
            sizes: of the maps.
        """
        batch = len(query)
        shape = (self.num_heads, NUM_LEVELS, NUM_POINTS)
        offsets = self.sampling_offsets(query).unflatten(-1, (*shape, 2))  # B S heads levels points 2
        weights = self.attention_weights(query).unflatten(-1, (self.num_heads, -1)).softmax(-1).unflatten(-1, shape[1:])
        values = self.value_proj(tokens).split([height * width for height, width in sizes], dim=1)
        gathered = 0.0
        for level, ((height, width), value) in enumerate(zip(sizes, values, strict=True)):
            maps = value.transpose(1, 2).reshape(batch * self.num_heads, -1, height, width)
            steps = offsets[:, :, :, level] / offsets.new_tensor([width, height])
            grid = 2 * (places[:, None, None] + steps) - 1
            found = F.grid_sample(maps, _by_head(grid), align_corners=False)  # (B heads) c S points; zeros outside
            gathered = gathered + (found * _by_head(weights[:, :, :, level])[:, None]).sum(-1)
        assert isinstance(gathered, Tensor)
        return self.output_proj(gathered.reshape(batch, -1, query.shape[1]).transpose(1, 2))


def _by_head(values: Tensor) -> Tensor:
    """B S heads ... to (B heads) S ...: heads are pictures to `grid_sample`."""
    return values.transpose(1, 2).flatten(0, 1)


def cell_places(sizes: Sequence[Size], like: Tensor) -> Float[Tensor, "S 2"]:
    """X and y of the centre of every cell, in [0, 1] from the upper left of the picture, map by map and row by row."""
    places = []
    for height, width in sizes:
        y = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5) / height
        x = (torch.arange(width, device=like.device, dtype=like.dtype) + 0.5) / width
        places.append(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1))
    return torch.cat(places)

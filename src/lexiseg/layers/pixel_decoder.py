"""Mask2Former's pixel decoder (Cheng et al., 2022, section 3.2.2), and the sizes of both its decoders.

Weights have the names of transformers' Mask2Former, whose numbers it computes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lexiseg.core.checks import check_multiples
from lexiseg.layers.deformable_attention import NUM_LEVELS, DeformableAttention, cell_places

Stages = tuple[Float[Tensor, "B _ _ _"], ...]
"""Features of a backbone's four stages, at strides 4, 8, 16 and 32."""
GROUPS = 32
"""Of every group norm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig:
    """Sizes of Mask2Former's two decoders; the defaults are FC-CLIP's.

    Raises ValueError if a width is no multiple of its parts.
    """

    hidden_dim: int = 256
    """Of the queries."""
    mask_dim: int = 256
    """Of the pixel decoder; where it is another than theirs, maps are projected before the queries read them."""
    encoder_layers: int = 6
    """Layers of deformable attention in the pixel decoder."""
    encoder_feedforward_dim: int = 1024
    decoder_layers: int = 9
    """Layers of the query decoder; the prediction from the learned queries comes before the first."""
    feedforward_dim: int = 2048
    num_heads: int = 8
    num_queries: int = 250

    def __post_init__(self) -> None:
        check_multiples(self, hidden_dim=GROUPS, mask_dim=GROUPS)
        check_multiples(self, hidden_dim="num_heads", mask_dim="num_heads")


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelFeatures:
    """What the query decoder reads."""

    mask_features: Float[Tensor, "B E h w"]
    """At stride 4; their products with the queries' mask embeddings are the mask logits."""
    memory: tuple[Float[Tensor, "B E _ _"], ...]
    """Three maps, coarsest first: strides 32, 16, 8."""


class EncoderLayer(nn.Module):
    """Deformable attention and a feed-forward block, each with residual and norm behind it."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        dim = config.mask_dim
        self.self_attn = DeformableAttention(dim, config.num_heads)
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, config.encoder_feedforward_dim)
        self.fc2 = nn.Linear(config.encoder_feedforward_dim, dim)
        self.final_layer_norm = nn.LayerNorm(dim)
        for linear in (self.fc1, self.fc2):
            nn.init.xavier_uniform_(linear.weight)

    def forward(
        self,
        tokens: Float[Tensor, "B S E"],
        positions: Float[Tensor, "S E"],
        places: Float[Tensor, "S 2"],
        sizes: list[tuple[int, int]],
    ) -> Float[Tensor, "B S E"]:
        """The tokens after this layer."""
        tokens = self.self_attn_layer_norm(tokens + self.self_attn(tokens + positions, tokens, places, sizes))
        return self.final_layer_norm(tokens + self.fc2(self.fc1(tokens).relu()))


class PixelDecoder(nn.Module):
    """Three maps that know of each other, and mask features at stride 4."""

    def __init__(self, channels: tuple[int, int, int, int], config: DecoderConfig) -> None:
        """Builds it with the authors' initial weights.

        Args:
            channels: of the backbone's stages.
            config: the sizes.
        """
        super().__init__()
        dim = config.mask_dim
        self.level_embed = nn.Parameter(torch.empty(NUM_LEVELS, dim))
        self.input_projections = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, dim, 1), nn.GroupNorm(GROUPS, dim)) for width in channels[:0:-1]
        )
        self.encoder = nn.Module()  # its only use is a part of the published names
        self.encoder.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.mask_projection = nn.Conv2d(dim, dim, 1)
        self.adapter_1 = nn.Sequential(nn.Conv2d(channels[0], dim, 1, bias=False), nn.GroupNorm(GROUPS, dim))
        self.layer_1 = nn.Sequential(
            nn.Conv2d(dim, dim, 3, padding=1, bias=False), nn.GroupNorm(GROUPS, dim), nn.ReLU()
        )
        nn.init.normal_(self.level_embed)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_uniform_(part.weight, a=1)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
        for projection in self.input_projections:
            nn.init.xavier_uniform_(projection.get_parameter("0.weight"))

    def forward(self, stages: Stages) -> PixelFeatures:
        """Decodes the features of the four stages."""
        levels = self.levels(stages)
        tokens = torch.cat([level.flatten(2).transpose(1, 2) for level in levels], 1)
        *_, memory = tokens, *self.encoded(tokens, sizes_of(levels))
        return self.finish(stages[0], self.cut(memory, sizes_of(levels)))

    def levels(self, stages: Stages) -> list[Float[Tensor, "B E _ _"]]:
        """The three coarser stages in the decoder's width, coarsest first."""
        return [project(stage) for project, stage in zip(self.input_projections, stages[:0:-1], strict=True)]

    def encoded(
        self, tokens: Float[Tensor, "B S E"], sizes: list[tuple[int, int]], *, start: int = 0
    ) -> Iterator[Float[Tensor, "B S E"]]:
        """The cells of all levels after every encoder layer, from `start` on."""
        places = cell_places(sizes, tokens)
        positions = torch.cat(
            [
                sine_positions(size, tokens.shape[-1], tokens).T + level
                for size, level in zip(sizes, self.level_embed, strict=True)
            ]
        )
        layers: Any = self.encoder.layers
        for layer in layers[start:]:
            tokens = layer(tokens, positions, places, sizes)
            yield tokens

    def cut(self, tokens: Float[Tensor, "B S E"], sizes: list[tuple[int, int]]) -> tuple[Float[Tensor, "B E _ _"], ...]:
        """Tokens as maps again."""
        parts = tokens.transpose(1, 2).split([height * width for height, width in sizes], dim=-1)
        return tuple(part.unflatten(-1, size) for part, size in zip(parts, sizes, strict=True))

    def finish(self, finest: Float[Tensor, "B _ h w"], memory: tuple[Float[Tensor, "B E _ _"], ...]) -> PixelFeatures:
        """One step of a feature pyramid, from stride 8 to the backbone's finest stage."""
        upper = F.interpolate(memory[-1], finest.shape[-2:], mode="bilinear", align_corners=False)
        mask_features = self.mask_projection(self.layer_1(self.adapter_1(finest) + upper))
        return PixelFeatures(mask_features=mask_features, memory=memory)


def sizes_of(maps: "list[Tensor] | tuple[Tensor, ...]") -> list[tuple[int, int]]:
    """Height and width of every map."""
    return [(one.shape[-2], one.shape[-1]) for one in maps]


def sine_positions(size: tuple[int, int], dim: int, like: Tensor) -> Float[Tensor, "C cells"]:
    """Sine position code of every cell, row by row: half of the channels for y, half for x.

    Args:
        size: height and width of the map.
        dim: C, a multiple of 4.
        like: a tensor of the wanted type and device.
    """
    half, exact = dim // 2, torch.promote_types(like.dtype, torch.float32)
    exponents = 2 * torch.arange(half, device=like.device).div(2, rounding_mode="floor").to(exact) / half
    codes = []
    for length in size:
        steps = torch.arange(1, length + 1, device=like.device, dtype=exact)
        angles = (steps / (length + 1e-6) * 2 * math.pi)[:, None] / 10000**exponents
        codes.append(torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], -1).flatten(1).T.to(like.dtype))
    rows, columns = codes
    height, width = size
    code = torch.cat([rows[:, :, None].expand(-1, -1, width), columns[:, None].expand(-1, height, -1)])
    return code.flatten(1)

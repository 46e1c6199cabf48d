"""Mask2Former's query decoder: masked attention to three maps in turn (Cheng et al., 2022, section 3.2).

Weights have the names of transformers' Mask2Former, whose numbers it computes.
"""

import itertools
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from lexiseg.core.structures import MaskFactors, MaskProposals
from lexiseg.layers.deformable_attention import NUM_LEVELS
from lexiseg.layers.pixel_decoder import DecoderConfig, PixelFeatures, sine_positions


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One of the three maps as the queries see it."""

    cells: Float[Tensor, "B S C"]
    keys: Float[Tensor, "B S C"]
    """The cells with their positions."""
    mask_features: Float[Tensor, "B E S"]
    """Resized to the map."""


class CrossAttention(nn.Module):
    """Queries attend to the cells of a map; the three input projections lie in one matrix, as published."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(
        self,
        query: Float[Tensor, "B Q C"],
        key: Float[Tensor, "B S C"],
        value: Float[Tensor, "B S C"],
        blocked: Bool[Tensor, "B Q S"],
    ) -> Float[Tensor, "B Q C"]:
        """What each query gathers from the cells that are not blocked."""
        q, k, v = (
            F.linear(given, weight, bias)
            for given, weight, bias in zip(
                (query, key, value), self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3), strict=True
            )
        )
        return self.out_proj(_attend(q, k, v, self.num_heads, ~blocked[:, None]))


class SelfAttention(nn.Module):
    """Queries attend to each other."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        # in transformers' order, by which optimisers number their states in checkpoints
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, query: Float[Tensor, "B Q C"], value: Float[Tensor, "B Q C"]) -> Float[Tensor, "B Q C"]:
        """What each query gathers; the query is its own key."""
        projected = self.q_proj(query), self.k_proj(query), self.v_proj(value)
        return self.out_proj(_attend(*projected, self.num_heads, None))


def _attend(query: Tensor, key: Tensor, value: Tensor, num_heads: int, allowed: Tensor | None) -> Tensor:
    """Attention of several heads, before the output projection."""
    q, k, v = (given.unflatten(-1, (num_heads, -1)).transpose(1, 2) for given in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=allowed).transpose(1, 2).flatten(2)


class DecoderLayer(nn.Module):
    """Cross attention, self attention and a feed-forward block, each with residual and norm behind it."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.self_attn = SelfAttention(dim, config.num_heads)
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.cross_attn = CrossAttention(dim, config.num_heads)
        self.cross_attn_layer_norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, config.feedforward_dim)
        self.fc2 = nn.Linear(config.feedforward_dim, dim)
        self.final_layer_norm = nn.LayerNorm(dim)
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)

    def forward(
        self,
        query: Float[Tensor, "B Q C"],
        place: Float[Tensor, "Q C"],
        level: Level,
        blocked: Bool[Tensor, "B Q S"],
    ) -> Float[Tensor, "B Q C"]:
        """The queries after this layer: its three parts in turn."""
        return self.think(self.compare(self.look(query, place, level, blocked), place))

    def look(
        self,
        query: Float[Tensor, "B Q C"],
        place: Float[Tensor, "Q C"],
        level: Level,
        blocked: Bool[Tensor, "B Q S"],
    ) -> Float[Tensor, "B Q C"]:
        """The queries after they looked at the cells that are not blocked."""
        seen = self.cross_attn(query + place, level.keys, level.cells, blocked)
        return self.cross_attn_layer_norm(query + seen)

    def compare(self, query: Float[Tensor, "B Q C"], place: Float[Tensor, "Q C"]) -> Float[Tensor, "B Q C"]:
        """The queries after they looked at each other."""
        return self.self_attn_layer_norm(query + self.self_attn(query + place, query))

    def think(self, query: Float[Tensor, "B Q C"]) -> Float[Tensor, "B Q C"]:
        """The queries after the feed-forward block."""
        return self.final_layer_norm(query + self.fc2(self.fc1(query).relu()))


class Perceptron(nn.Sequential):
    """Linear layers with ReLUs between them; weights are called "0.0.weight", "1.0.weight" and so on."""

    def __init__(self, *widths: int) -> None:
        *hidden, (width, out) = itertools.pairwise(widths)
        layers = [nn.Sequential(nn.Linear(before, after), nn.ReLU()) for before, after in hidden]
        super().__init__(*layers, nn.Sequential(nn.Linear(width, out)))


class MaskPredictor(nn.Module):
    """The mask embedding of a query."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.mask_embedder = Perceptron(dim, dim, dim, config.mask_dim)


class _Layers(nn.Module):
    """The layers and what predicts masks behind each of them, under one name as published."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.layernorm = nn.LayerNorm(config.hidden_dim)
        self.mask_predictor = MaskPredictor(config)


class QueryDecoder(nn.Module):
    """Learned queries become masks and what they stand for."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.queries_embedder = nn.Embedding(config.num_queries, dim)
        self.queries_features = nn.Embedding(config.num_queries, dim)
        self.input_projections = nn.ModuleList(
            nn.Identity() if config.mask_dim == dim else nn.Conv2d(config.mask_dim, dim, 1) for _ in range(NUM_LEVELS)
        )
        self.decoder = _Layers(config)
        self.level_embed = nn.Embedding(NUM_LEVELS, dim)
        for projection in self.input_projections:
            if isinstance(projection, nn.Conv2d):
                nn.init.xavier_uniform_(projection.weight)
                nn.init.zeros_(projection.get_parameter("bias"))

    def forward(self, features: PixelFeatures, *, every_layer: bool = False) -> MaskProposals:
        """Proposes masks.

        Args:
            features: from the pixel decoder.
            every_layer: also those before the first and after every earlier layer, in `aux`, for deep supervision, and
                the factors of all.

        Returns:
            Mask logits at stride 4, and queries after the last norm.
        """
        levels = [self.level(features, number) for number in range(NUM_LEVELS)]
        batch = len(features.mask_features)
        query = self.queries_features.weight.repeat(batch, 1, 1)  # copied: FLOP counters fail on a view of a weight
        pictures = features.mask_features.unbind() if every_layer else None
        normed, mask_embed = self.predict(query)
        found = []
        for number in range(len(self.decoder.layers)):
            if every_layer:
                found.append(proposals_of(normed, mask_embed, features, pictures))
            level = levels[number % NUM_LEVELS]
            query = self.step(number, query, level, self.blocked(mask_embed, level))
            normed, mask_embed = self.predict(query)
        last = proposals_of(normed, mask_embed, features, pictures)
        return replace(last, aux=tuple(found))

    def level(self, features: PixelFeatures, number: int) -> Level:
        """One of the maps, coarsest first; layers read them in turn.

        The mask at a map's size is the product with mask features of that size: resizing and the product, both linear,
        may change places.
        """
        memory = features.memory[number]
        size = memory.shape[-2], memory.shape[-1]
        cells = self.input_projections[number](memory).flatten(2).transpose(1, 2) + self.level_embed.weight[number]
        with torch.no_grad():  # they decide only what is blocked
            small = F.interpolate(features.mask_features, size, mode="bilinear", align_corners=False)
        return Level(
            cells=cells,
            keys=cells + sine_positions(size, cells.shape[-1], cells).T,
            mask_features=small.flatten(2),
        )

    def step(
        self, number: int, query: Float[Tensor, "B Q C"], level: Level, blocked: Bool[Tensor, "B Q S"]
    ) -> Float[Tensor, "B Q C"]:
        """One layer: the queries before its norm for prediction."""
        place = self.queries_embedder.weight.clone()  # FLOP counters fail on a weight that a module is given
        return self.decoder.layers[number](query, place, level, blocked)

    def predict(self, query: Float[Tensor, "B Q C"]) -> tuple[Float[Tensor, "B Q C"], Float[Tensor, "B Q E"]]:
        """Queries after the norm, and their mask embeddings."""
        normed = self.decoder.layernorm(query)
        return normed, self.decoder.mask_predictor.mask_embedder(normed)

    @torch.no_grad()
    def blocked(self, mask_embed: Float[Tensor, "B Q E"], level: Level) -> Bool[Tensor, "B Q S"]:
        """The cells outside each query's own mask, to which it may not attend; a query without cells sees all."""
        outside = mask_embed @ level.mask_features < 0
        return outside & ~outside.all(-1, keepdim=True)


def proposals_of(
    normed: Float[Tensor, "B Q C"],
    mask_embed: Float[Tensor, "B Q E"],
    features: PixelFeatures,
    pictures: tuple[Float[Tensor, "E h w"], ...] | None = None,
) -> MaskProposals:
    """The masks of what `predict` gives, at stride 4; with factors, and without a gradient, if these have pictures."""

    def mask_logits() -> Float[Tensor, "B Q h w"]:
        return (mask_embed @ features.mask_features.flatten(2)).unflatten(-1, features.mask_features.shape[-2:])

    if pictures is None:
        return MaskProposals(mask_logits=mask_logits(), query_embed=normed)
    with torch.no_grad():
        found = mask_logits()
    factors = MaskFactors(mask_embed=mask_embed, mask_features=pictures)
    return MaskProposals(mask_logits=found, query_embed=normed, factors=factors)

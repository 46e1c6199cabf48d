"""Mask2Former's query decoder: masked attention to three maps in turn (Cheng et al., 2022, section 3.2).

Weights have the names of transformers' Mask2Former, whose numbers it computes.
"""

import itertools

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from lexiseg.core.structures import MaskProposals
from lexiseg.layers.deformable_attention import NUM_LEVELS
from lexiseg.layers.pixel_decoder import DecoderConfig, PixelFeatures, sine_positions


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
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(dim, dim) for _ in range(4))

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

    def look(
        self,
        query: Float[Tensor, "B Q C"],
        place: Float[Tensor, "Q C"],
        cells: Float[Tensor, "B S C"],
        positions: Float[Tensor, "S C"],
        blocked: Bool[Tensor, "B Q S"],
    ) -> Float[Tensor, "B Q C"]:
        """The queries after they looked at the cells that are not blocked."""
        seen = self.cross_attn(query + place, cells + positions, cells, blocked)
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
        self.queries_embedder = nn.Embedding(config.num_queries, config.hidden_dim)
        self.queries_features = nn.Embedding(config.num_queries, config.hidden_dim)
        self.decoder = _Layers(config)
        self.level_embed = nn.Embedding(NUM_LEVELS, config.hidden_dim)

    def forward(self, features: PixelFeatures, *, every_layer: bool = False) -> MaskProposals:
        """Proposes masks.

        Args:
            features: from the pixel decoder.
            every_layer: also those before the first and after every earlier layer, in `aux`, for deep supervision.

        Returns:
            Mask logits at stride 4, and queries after the last norm.
        """
        query = self.queries_features.weight.expand(len(features.mask_features), -1, -1)
        normed = self.decoder.layernorm(query)
        found = []
        for number in range(len(self.decoder.layers)):
            if every_layer:
                found.append(self.propose(normed, features))
            query = self.step(number, query, features, self.blocked(normed, features, number))
            normed = self.decoder.layernorm(query)
        last = self.propose(normed, features)
        return MaskProposals(mask_logits=last.mask_logits, query_embed=normed, aux=tuple(found))

    def step(
        self,
        number: int,
        query: Float[Tensor, "B Q C"],
        features: PixelFeatures,
        blocked: Bool[Tensor, "B Q S"],
    ) -> Float[Tensor, "B Q C"]:
        """One layer: the queries before its norm for prediction."""
        layer, place = self.decoder.layers[number], self.queries_embedder.weight
        assert isinstance(layer, DecoderLayer)
        cells, positions = self.cells(number, features)
        return layer.think(layer.compare(layer.look(query, place, cells, positions, blocked), place))

    def cells(self, number: int, features: PixelFeatures) -> tuple[Float[Tensor, "B S C"], Float[Tensor, "S C"]]:
        """The cells that a layer reads, coarsest map first and then in turn, and their positions."""
        level = number % NUM_LEVELS
        memory = features.memory[level]
        cells = memory.flatten(2).transpose(1, 2) + self.level_embed.weight[level]
        return cells, sine_positions((memory.shape[-2], memory.shape[-1]), memory.shape[1], memory).T

    @torch.no_grad()
    def blocked(self, normed: Float[Tensor, "B Q C"], features: PixelFeatures, number: int) -> Bool[Tensor, "B Q S"]:
        """The cells outside each query's own mask, to which it may not attend; a query without cells sees all.

        The mask at the cells' size is the product with mask features of that size: resizing and the product, both
        linear, may change places.
        """
        memory = features.memory[number % NUM_LEVELS]
        small = F.interpolate(features.mask_features, memory.shape[-2:], mode="bilinear", align_corners=False)
        outside = self.decoder.mask_predictor.mask_embedder(normed) @ small.flatten(2) < 0
        return outside & ~outside.all(-1, keepdim=True)

    def propose(self, normed: Float[Tensor, "B Q C"], features: PixelFeatures) -> MaskProposals:
        """The masks of queries after the norm."""
        mask_embed = self.decoder.mask_predictor.mask_embedder(normed)
        mask_logits = torch.einsum("bqm,bmhw->bqhw", mask_embed, features.mask_features)
        return MaskProposals(mask_logits=mask_logits, query_embed=normed)

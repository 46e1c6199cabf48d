"""Heads on the segmenter's queries: class embedding, no-object, and mask quality."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lexiseg.core.structures import VocabularyEmbeddings
from lexiseg.layers.modulation import class_cosines
from lexiseg.layers.pooling import by_queries, pool_inside


class ProjectionHead(nn.Module):
    """A projection of queries to the joint space, and one learned no-object embedding.

    It is linear in OPSNet (section 3.1) and ZegFormer, has one hidden layer in OVSeg (section 3.1) and two in FC-CLIP.
    """

    def __init__(
        self,
        query_dim: int,
        embed_dim: int,
        *,
        hidden_dim: int | None = None,
        num_hidden: int = 1,
        has_unit_void: bool = True,
    ) -> None:
        """Builds the projection.

        Args:
            query_dim: C, the width of a query.
            embed_dim: D, the width of the joint space.
            hidden_dim: width of a hidden layer, with a ReLU behind it; None is a linear map.
            num_hidden: hidden layers, where there are any.
            has_unit_void: normalises the no-object embedding; ZegFormer's code does not.
        """
        super().__init__()
        widths = (query_dim,) if hidden_dim is None else (query_dim, *(hidden_dim for _ in range(num_hidden)))
        hidden = [part for pair in pairwise(widths) for part in (nn.Linear(*pair), nn.ReLU())]
        last = nn.Linear(widths[-1], embed_dim)
        self.project = last if hidden_dim is None else nn.Sequential(*hidden, last)
        self.has_unit_void = has_unit_void
        self.void_embed = nn.Parameter(torch.empty(embed_dim))
        nn.init.normal_(self.void_embed, std=embed_dim**-0.5)

    def forward(self, query_embed: Float[Tensor, "B Q C"]) -> Float[Tensor, "B Q D"]:
        """E_q, the class embedding, of unit length."""
        return F.normalize(self.project(query_embed).float(), dim=-1)

    def void_cosines(self, class_embed: Float[Tensor, "B Q D"]) -> Float[Tensor, "B Q 1"]:
        """Cosine to the no-object embedding: the last column of the softmax in training, never debiased."""
        void_embed = self.void_embed.float()
        with torch.autocast(class_embed.device.type, enabled=False):
            return class_embed.float() @ (F.normalize(void_embed, dim=0) if self.has_unit_void else void_embed)[:, None]

    def class_logits(
        self, class_embed: Float[Tensor, "B Q D"], words: VocabularyEmbeddings, logit_scale: float | Float[Tensor, ""]
    ) -> Float[Tensor, "B Q K1"]:
        """Cosines to every concept and, last, to no-object, times the logit scale: the logits of training."""
        return torch.cat([class_cosines(class_embed, words), self.void_cosines(class_embed)], -1) * logit_scale


class PooledHead(ProjectionHead):
    """FC-CLIP's head: the query, and the mask features under its mask, become one class embedding (section 3.3).

    The logit scale is learned.
    """

    def __init__(self, query_dim: int, embed_dim: int) -> None:
        super().__init__(query_dim, embed_dim, hidden_dim=query_dim, num_hidden=2)
        self.pool = nn.Sequential(nn.LayerNorm(query_dim), nn.Linear(query_dim, query_dim))
        self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    @property
    def scale(self) -> Float[Tensor, ""]:
        """1 / tau of the cosines, at most 100."""
        return bounded_scale(self.logit_scale)

    def joined(
        self,
        query_embed: Float[Tensor, "B Q C"],
        mask_features: Float[Tensor, "B C h w"],
        mask_logits: Float[Tensor, "B Q h w"],
    ) -> Float[Tensor, "B Q C"]:
        """The query plus the mean of the mask features inside its mask, projected."""
        return query_embed + self.pool(pool_inside(mask_features, mask_logits > 0))


def bounded_scale(logit_scale: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """1 / tau from its logarithm, at most 100, as CLIP is trained."""
    return logit_scale.float().exp().clamp(max=100)


class AssembledHead(nn.Module):
    """A published closed-set class head as an embedding head, without training.

    Its class probabilities weight the text embeddings of the training names; its no-object probability is void.
    """

    def __init__(self, query_dim: int, embed_dim: int, num_classes: int) -> None:
        super().__init__()
        self.classify = nn.Linear(query_dim, num_classes + 1)
        self.class_text = nn.Parameter(torch.zeros(num_classes, embed_dim), requires_grad=False)

    def probs(self, query_embed: Float[Tensor, "B Q C"]) -> Float[Tensor, "B Q S1"]:
        """Closed-set probabilities; the last column is no-object."""
        return self.classify(query_embed).float().softmax(-1)

    def forward(self, query_embed: Float[Tensor, "B Q C"]) -> Float[Tensor, "B Q D"]:
        """The probability-weighted mean of the training names' embeddings, of unit length."""
        return F.normalize(self.class_probs(query_embed) @ self.class_text.float(), dim=-1)

    def class_probs(self, query_embed: Float[Tensor, "B Q C"]) -> Float[Tensor, "B Q S"]:
        """Probabilities of the training names, without no-object."""
        return self.classify(query_embed).float()[..., :-1].softmax(-1)

    def void_probs(self, query_embed: Float[Tensor, "B Q C"]) -> Float[Tensor, "B Q"]:
        """The no-object probability."""
        return self.probs(query_embed)[..., -1]


def mean_inside(mask_logits: Float[Tensor, "B Q h w"]) -> Float[Tensor, "B Q"]:
    """The mean mask probability inside each binary mask, Mask2Former's own mask score; 0 for an empty mask."""

    def mean(some: Float[Tensor, "B q h w"]) -> Float[Tensor, "B q"]:
        inside = (some > 0).flatten(2).to(torch.float32)
        return (some.float().sigmoid().flatten(2) * inside).sum(-1) / inside.sum(-1).clamp(min=1)

    return by_queries(mean, mask_logits)

"""Heads on the segmenter's queries: class embedding, no-object, and mask quality."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lexiseg.core.structures import VocabularyEmbeddings
from lexiseg.layers.modulation import class_cosines


class ProjectionHead(nn.Module):
    """A projection of queries to the joint space, and one learned no-object embedding.

    It is linear in OPSNet (section 3.1) and ZegFormer, and has one hidden layer in OVSeg (section 3.1).
    """

    def __init__(
        self, query_dim: int, embed_dim: int, *, hidden_dim: int | None = None, has_unit_void: bool = True
    ) -> None:
        """Builds the projection.

        Args:
            query_dim: C, the width of a query.
            embed_dim: D, the width of the joint space.
            hidden_dim: width of a hidden layer, with a ReLU behind it; None is a linear map.
            has_unit_void: normalises the no-object embedding; ZegFormer's code does not.
        """
        super().__init__()
        self.project = (
            nn.Linear(query_dim, embed_dim)
            if hidden_dim is None
            else nn.Sequential(nn.Linear(query_dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, embed_dim))
        )
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
        self, class_embed: Float[Tensor, "B Q D"], words: VocabularyEmbeddings, logit_scale: float
    ) -> Float[Tensor, "B Q K1"]:
        """Cosines to every concept and, last, to no-object, times the logit scale: the logits of training."""
        return torch.cat([class_cosines(class_embed, words), self.void_cosines(class_embed)], -1) * logit_scale


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
    inside = (mask_logits > 0).flatten(2)
    probs = mask_logits.float().sigmoid().flatten(2)
    return (probs * inside).sum(-1) / inside.sum(-1).clamp(min=1)

"""Bipartite matching of queries and truth (DETR; Mask2Former's costs)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.structures import Targets
from lexiseg.training.losses import sample_points


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """Weights of the loss terms; the first three are the costs of matching too (Mask2Former: 2, 5, 5)."""

    classes: float = 2.0
    bce: float = 5.0
    dice: float = 5.0
    iou: float = 1.0
    void: float = 0.1
    """Weight of no-object in the cross-entropy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The queries of one image that were given a true segment, and which."""

    queries: Int[Tensor, " N"]
    segments: Int[Tensor, " N"]


def matching_costs(
    class_probs: Float[Tensor, "Q K1"],
    point_logits: Float[Tensor, "Q P"],
    class_ids: Int[Tensor, " N"],
    point_targets: Float[Tensor, "N P"],
    weights: LossWeights,
) -> Float[Tensor, "Q N"]:
    """The cost of giving query q segment n: -p(class), binary cross-entropy and dice at the same points."""
    num_points = point_logits.shape[-1]
    bce = F.softplus(point_logits).sum(-1, keepdim=True) - point_logits @ point_targets.T
    probs = point_logits.sigmoid()
    overlap = 2 * probs @ point_targets.T
    dice = 1 - (overlap + 1) / (probs.sum(-1, keepdim=True) + point_targets.sum(-1) + 1)
    return weights.bce * bce / num_points + weights.dice * dice - weights.classes * class_probs[:, class_ids]


@torch.no_grad()
def match(
    class_logits: Float[Tensor, "B Q K1"],
    mask_logits: Float[Tensor, "B Q h w"],
    targets: tuple[Targets, ...],
    weights: LossWeights,
    *,
    num_points: int,
    generator: torch.Generator,
) -> tuple[Match, ...]:
    """Gives every true segment the query that is cheapest for all together.

    Args:
        class_logits: the last column is no-object.
        mask_logits: at the stride of the targets' masks.
        targets: one per image; at most Q segments each are matched.
        weights: of the three costs.
        num_points: points at which masks are compared; one set per image for all its masks.
        generator: source of the points.
    """
    probs = class_logits.float().softmax(-1)
    matches = []
    for image, target in enumerate(targets):
        points = torch.rand(1, num_points, 2, generator=generator).to(mask_logits.device)
        count = len(target.class_ids)
        point_targets = sample_points(target.masks.float(), points.expand(count, -1, -1))
        point_logits = sample_points(mask_logits[image].float(), points.expand(mask_logits.shape[1], -1, -1))
        costs = matching_costs(probs[image], point_logits, target.class_ids, point_targets, weights)
        queries, segments = linear_sum_assignment(costs.cpu().numpy())
        device = mask_logits.device
        matches.append(
            Match(queries=torch.as_tensor(queries, device=device), segments=torch.as_tensor(segments, device=device))
        )
    return tuple(matches)

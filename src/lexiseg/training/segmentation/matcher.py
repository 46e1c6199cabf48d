"""Bipartite matching of queries and truth (DETR; the costs of Mask2Former and MaskFormer)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.structures import NAMELESS, Targets
from lexiseg.training.engine.microbatches import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """Weights of the loss terms; those of classes and masks are the costs of matching too.

    The defaults are Mask2Former's; MaskFormer has classes 1, focal 20, dice 1 and no cross-entropy of masks.
    """

    classes: float = 2.0
    bce: float = 5.0
    focal: float = 0.0
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
    """The cost of giving query q segment n: -p(class), or p(no object) - 1, and the mask losses at the same points."""
    right = class_probs[:, class_ids]
    if (is_nameless := class_ids == NAMELESS).any():
        right = torch.where(is_nameless, 1 - class_probs[:, -1:], right)
    costs = weights.dice * dice_costs(point_logits, point_targets) - weights.classes * right
    if weights.bce:
        costs = costs + weights.bce * bce_costs(point_logits, point_targets)
    if weights.focal:
        costs = costs + weights.focal * focal_costs(point_logits, point_targets)
    return costs


def bce_costs(point_logits: Float[Tensor, "Q P"], point_targets: Float[Tensor, "N P"]) -> Float[Tensor, "Q N"]:
    """`losses.mask_bce_loss` of every query with every segment."""
    sums = F.softplus(point_logits).sum(-1, keepdim=True) - point_logits @ point_targets.T
    return sums / point_logits.shape[-1]


def focal_costs(
    point_logits: Float[Tensor, "Q P"], point_targets: Float[Tensor, "N P"], *, alpha: float = 0.25, gamma: float = 2.0
) -> Float[Tensor, "Q N"]:
    """`losses.focal_loss` of every query with every segment."""
    probs = point_logits.sigmoid()
    on_mask = alpha * (1 - probs) ** gamma * F.softplus(-point_logits)
    beside = (1 - alpha) * probs**gamma * F.softplus(point_logits)
    return ((on_mask - beside) @ point_targets.T + beside.sum(-1, keepdim=True)) / point_logits.shape[-1]


def dice_costs(point_logits: Float[Tensor, "Q P"], point_targets: Float[Tensor, "N P"]) -> Float[Tensor, "Q N"]:
    """`losses.dice_loss` of every query with every segment."""
    probs = point_logits.sigmoid()
    overlap = 2 * (probs @ point_targets.T)
    return 1 - (overlap + 1) / (probs.sum(-1, keepdim=True) + point_targets.sum(-1) + 1)


@torch.no_grad()
def match(
    class_logits: Float[Tensor, "B Q K1"],
    mask_logits: Float[Tensor, "B Q h w"],
    targets: tuple[Targets, ...],
    weights: LossWeights,
    *,
    num_points: int | None,
    generator: torch.Generator,
    rows: Rows | None = None,
) -> tuple[Match, ...]:
    """Gives every true segment the query that is cheapest for all together.

    Args:
        class_logits: the last column is no-object.
        mask_logits: at the stride of the targets' masks.
        targets: one per image; at most Q segments each are matched.
        weights: of the costs.
        num_points: points at which masks are compared, one set per image for all its masks; None: all pixels.
        generator: source of the points.
        rows: places of the images in a whole batch, of which these are a part.
    """
    rows = rows or Rows(own=tuple(range(len(targets))), total=len(targets))
    probs = class_logits.float().softmax(-1)
    all_points = None if num_points is None else rows.random(num_points, 2, generator=generator).to(probs.device)
    matches = []
    for image, target in enumerate(targets):
        predicted, true = mask_logits[image].float(), target.masks.float()
        if all_points is None:
            point_logits, point_targets = predicted.flatten(1), true.flatten(1)
        else:
            point_logits = _at_points(predicted, all_points[image])
            point_targets = _at_points(true, all_points[image])
        costs = matching_costs(probs[image], point_logits, target.class_ids, point_targets, weights)
        queries, segments = linear_sum_assignment(costs.cpu().numpy())
        device = mask_logits.device
        matches.append(
            Match(queries=torch.as_tensor(queries, device=device), segments=torch.as_tensor(segments, device=device))
        )
    return tuple(matches)


def _at_points(maps: Float[Tensor, "M h w"], points: Float[Tensor, "P 2"]) -> Float[Tensor, "M P"]:
    """`losses.sample_points` where all maps are read at the same points: where those lie is computed once."""
    return F.grid_sample(maps[None], 2 * points[None, :, None] - 1, align_corners=False)[0, :, :, 0]


MASKFORMER_LOSSES = LossWeights(classes=1.0, bce=0.0, focal=20.0, dice=1.0)
"""MaskFormer's, OVSeg's too; they are taken over whole masks, not at points."""

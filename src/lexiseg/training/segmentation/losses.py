"""Losses as pure functions: Mask2Former's, MaskFormer's, OPSNet's on predicted IoU, OPSNet+'s on labels."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.structures import NAMELESS
from lexiseg.training.engine.microbatches import Rows, Shares


def mask_bce_loss(point_logits: Float[Tensor, "M P"], point_targets: Float[Tensor, "M P"]) -> Float[Tensor, " M"]:
    """Binary cross-entropy of each mask, the mean over its points."""
    return F.binary_cross_entropy_with_logits(point_logits, point_targets, reduction="none").mean(-1)


def focal_loss(
    point_logits: Float[Tensor, "M P"], point_targets: Float[Tensor, "M P"], *, alpha: float = 0.25, gamma: float = 2.0
) -> Float[Tensor, " M"]:
    """Sigmoid focal loss of each mask, the mean over its points (Lin et al., 2017; MaskFormer's alpha and gamma)."""
    probs = point_logits.sigmoid()
    bce = F.binary_cross_entropy_with_logits(point_logits, point_targets, reduction="none")
    error = probs + point_targets - 2 * probs * point_targets  # 1 - p on the mask, p beside it
    balance = 1 - alpha + (2 * alpha - 1) * point_targets  # alpha on the mask, 1 - alpha beside it
    return (balance * error**gamma * bce).mean(-1)


def dice_loss(point_logits: Float[Tensor, "M P"], point_targets: Float[Tensor, "M P"]) -> Float[Tensor, " M"]:
    """One minus the soft Dice coefficient of each mask (Milletari et al., 2016)."""
    probs = point_logits.sigmoid()
    overlap = 2 * (probs * point_targets).sum(-1)
    return 1 - (overlap + 1) / (probs.sum(-1) + point_targets.sum(-1) + 1)


def class_loss(
    class_logits: Float[Tensor, "B Q K1"],
    class_ids: Int[Tensor, "B Q"],
    has_target: Bool[Tensor, "B Q"],
    *,
    void_weight: float,
) -> Float[Tensor, ""]:
    """Cross-entropy in which no-object, the last class, has a small weight; queries that do not count are left out.

    Of what is nameless it is -log(1 - p(no object)), of which only no-object learns: it is drawn to no word.
    """
    if not has_target.any():
        return class_logits.sum() * 0  # the mean over nothing is not a number
    weights = class_logits.new_ones(class_logits.shape[-1])
    weights[-1] = void_weight
    logits, ids = class_logits[has_target], class_ids[has_target]
    if not (is_nameless := ids == NAMELESS).any():
        return F.cross_entropy(logits, ids, weight=weights)
    ids = ids.clamp(min=0)
    named = F.cross_entropy(logits, ids, weight=weights, reduction="none")
    some_word = logits[:, :-1].detach().logsumexp(-1)
    terms = torch.where(is_nameless, F.softplus(logits[:, -1] - some_word), named)
    return terms.sum() / torch.where(is_nameless, 1.0, weights[ids]).sum()


def iou_loss(
    iou_scores: Float[Tensor, "B Q"],
    targets: Float[Tensor, "B Q"],
    is_matched: Bool[Tensor, "B Q"],
    has_target: Bool[Tensor, "B Q"],
    shares: Shares | None = None,
) -> Float[Tensor, ""]:
    """Squared error of the predicted IoU (OPSNet, section 3.4).

    Matched queries are few and the zeros of the rest are many: the mean over each kind enters with one half, so that
    the zeros do not outweigh the differences between good masks.

    Args:
        iou_scores: predicted, in [0, 1].
        targets: true, likewise; 0 where nothing is matched.
        is_matched: queries with a true segment.
        has_target: queries that have a target.
        shares: of a microbatch in both means, where the batch is not in one piece.
    """
    error = (iou_scores - targets) ** 2
    zero = error.sum() * 0
    halves = [error[which].mean() if which.any() else zero for which in (is_matched, has_target & ~is_matched)]
    if shares is not None:
        halves = [halves[0] * shares.masks, halves[1] * shares.unmatched]
    return 0.5 * (halves[0] + halves[1])


def match_loss(
    class_logits: Float[Tensor, "B Q K"], is_valid: Bool[Tensor, "B Q"], labels: Bool[Tensor, "B K"]
) -> Float[Tensor, ""]:
    """One minus the probability of the surest prediction of each label, the mean over labels (OPSNet+, equation 1).

    The softmax is over classes and the maximum over predictions, so that predictions do not compete: more masks of a
    class, and objects without a label, cost nothing. Where no prediction of a picture is valid its labels cost 1 each,
    without a gradient.

    Args:
        class_logits: cosines to the names of the source that the labels come from, over the temperature 0.01.
        is_valid: the predictions that are asked, those with a good predicted IoU.
        labels: which classes a picture is said to show. A picture without any counts for nothing.

    Returns:
        The mean over the pictures that have labels, in [0, 1]; 0 if none has.
    """
    surest = (class_logits.softmax(-1) * is_valid[..., None]).amax(1)
    num_labels = labels.sum(-1)
    missed = 1 - (surest * labels).sum(-1) / num_labels.clamp(min=1)
    has_labels = num_labels > 0
    return (missed * has_labels).sum() / has_labels.sum().clamp(min=1)


def sum_loss(mask_logits: Float[Tensor, "B Q h w"], inside: Bool[Tensor, "B h w"]) -> Float[Tensor, ""]:
    """How far all masks of a picture together are from covering every pixel once (OPSNet+, equation 2).

    The paper's L2 norm grows with the picture. Here it is the root of the mean square over pixels, at the masks' own
    stride, so that one weight serves every size; then the mean over pictures.

    Args:
        mask_logits: of all queries, valid or not.
        inside: pixels that belong to the picture and not to its padding; at least one in each.
    """
    gaps = (1 - mask_logits.sigmoid().sum(1)) * inside
    # vector_norm, unlike a root of squares, has the gradient 0 where it is 0
    norms = torch.linalg.vector_norm(gaps.flatten(1), dim=-1)
    return (norms / inside.flatten(1).sum(-1).sqrt()).mean()


def mask_iou(masks: Bool[Tensor, "M h w"], others: Bool[Tensor, "M h w"]) -> Float[Tensor, " M"]:
    """Intersection over union, pair by pair; 0 where both are empty."""
    overlap = (masks & others).flatten(1).sum(-1).float()
    union = (masks | others).flatten(1).sum(-1).float()
    return overlap / union.clamp(min=1)


def sample_points(maps: Float[Tensor, "M h w"], points: Float[Tensor, "M P 2"]) -> Float[Tensor, "M P"]:
    """Reads each map at its points (bilinear); points are x, y in the unit square."""
    return F.grid_sample(maps[:, None], 2 * points[:, :, None] - 1, align_corners=False)[:, 0, :, 0]


@torch.no_grad()
def uncertain_points(
    mask_logits: Float[Tensor, "M h w"],
    num_points: int,
    *,
    oversample: float = 3.0,
    importance: float = 0.75,
    generator: torch.Generator,
    rows: Rows | None = None,
) -> Float[Tensor, "M P 2"]:
    """Points where each mask is least certain, and some anywhere (PointRend; Mask2Former's 3 and 0.75).

    Args:
        mask_logits: the masks.
        num_points: points per mask.
        oversample: candidates per point.
        importance: share of the points that are the least certain candidates.
        generator: source of the points.
        rows: places of the masks among those of a whole batch, of which these are a part.
    """
    rows = rows or Rows(own=tuple(range(len(mask_logits))), total=len(mask_logits))
    num_important = int(importance * num_points)
    candidates = rows.random(int(num_points * oversample), 2, generator=generator).to(mask_logits)
    anywhere = rows.random(num_points - num_important, 2, generator=generator).to(mask_logits)
    if not len(mask_logits):
        return mask_logits.new_zeros(0, num_points, 2)
    certainty = sample_points(mask_logits, candidates).abs()
    chosen = certainty.topk(num_important, dim=1, largest=False, sorted=False).indices
    important = candidates.gather(1, chosen[..., None].expand(-1, -1, 2))
    return torch.cat([important, anywhere], 1)

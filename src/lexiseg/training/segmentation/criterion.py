"""The criterion: losses of masks, classes and predicted IoU after every decoder layer (deep supervision)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lexiseg.core.structures import LayerPrediction, Targets
from lexiseg.training.engine.microbatches import Microbatch, Shares
from lexiseg.training.segmentation.losses import (
    class_loss,
    dice_loss,
    focal_loss,
    iou_loss,
    mask_bce_loss,
    mask_iou,
    sample_points,
    uncertain_points,
)
from lexiseg.training.segmentation.matcher import LossWeights, Match, match


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionConfig:
    """The criterion's numbers."""

    weights: LossWeights = field(default_factory=LossWeights)
    num_points: int | None = 12544
    """Sampled points per mask (Mask2Former); None: all pixels (MaskFormer)."""
    unknown_share: float | None = 0.5
    """A query without a segment whose mask lies on unannotated pixels by more than this share has no target: an
    annotation that names only some things cannot call the others no-object. None makes it no-object all the same."""


def segmentation_losses(
    layers: Sequence[LayerPrediction],
    targets: tuple[Targets, ...],
    config: CriterionConfig,
    *,
    generator: torch.Generator,
    microbatch: Microbatch | None = None,
) -> dict[str, Float[Tensor, ""]]:
    """The weighted terms, each summed over layers (deep supervision); matching is done anew for every layer.

    Of a microbatch it is what it adds to the terms of the batch.

    Args:
        layers: predictions after each decoder layer, first to last.
        targets: the truth, its masks at the stride of the predicted ones.
        config: weights and points.
        generator: source of all sampled points; every microbatch needs one in the same state.
        microbatch: where the pictures stand in their batch; they are all of it if not given.
    """
    microbatch = microbatch or Microbatch.whole(len(target.class_ids) for target in targets)
    weights = config.weights
    terms: dict[str, Tensor] = {}
    for layer in layers:
        matches = match(
            layer.class_logits,
            layer.mask_logits,
            targets,
            weights,
            num_points=config.num_points,
            generator=generator,
            rows=microbatch.picture_rows(),
        )
        truth = _Truth.of(layer, targets, matches, config.unknown_share)
        shares = Shares.of(microbatch, layer.class_logits.shape[1], (~truth.has_target).sum(), weights.void)
        class_term = class_loss(layer.class_logits.float(), truth.class_ids, truth.has_target, void_weight=weights.void)
        found = {"classes": weights.classes * class_term * shares.class_weight}
        mask_terms = _mask_terms(layer, targets, matches, config, generator, microbatch)
        found |= {name: term * shares.masks for name, term in mask_terms.items()}
        if layer.iou_scores is not None:
            iou_term = iou_loss(layer.iou_scores, truth.ious, truth.is_matched, truth.has_target, shares)
            found["iou"] = weights.iou * iou_term
        for name, value in found.items():
            terms[name] = terms[name] + value if name in terms else value
    return terms


@dataclass(frozen=True, slots=True, kw_only=True)
class _Truth:
    """The truth of every query under one matching."""

    class_ids: Int[Tensor, "B Q"]
    ious: Float[Tensor, "B Q"]
    """Of matched queries, where the layer predicts them; else 0."""
    is_matched: Bool[Tensor, "B Q"]
    has_target: Bool[Tensor, "B Q"]

    @staticmethod
    def of(
        layer: LayerPrediction, targets: tuple[Targets, ...], matches: tuple[Match, ...], unknown_share: float | None
    ) -> "_Truth":
        batch, num_queries, num_columns = layer.class_logits.shape
        device = layer.class_logits.device
        class_ids = torch.full((batch, num_queries), num_columns - 1, device=device)
        ious = torch.zeros(batch, num_queries, device=device)
        is_matched = torch.zeros(batch, num_queries, dtype=torch.bool, device=device)
        has_target = torch.ones(batch, num_queries, dtype=torch.bool, device=device)
        mask_logits = layer.mask_logits.detach()
        for image, (target, pairs) in enumerate(zip(targets, matches, strict=True)):
            if unknown_share is not None and target.ignored.any():
                masks = (mask_logits[image] > 0).flatten(1).float()
                has_target[image] = masks @ target.ignored.flatten().float() <= unknown_share * masks.sum(-1)
            is_matched[image, pairs.queries] = True
            class_ids[image, pairs.queries] = target.class_ids[pairs.segments]
            if layer.iou_scores is not None:
                masks = mask_logits[image, pairs.queries] > 0
                ious[image, pairs.queries] = mask_iou(masks, target.masks[pairs.segments])
        return _Truth(class_ids=class_ids, ious=ious, is_matched=is_matched, has_target=has_target | is_matched)


def _mask_terms(
    layer: LayerPrediction,
    targets: tuple[Targets, ...],
    matches: tuple[Match, ...],
    config: CriterionConfig,
    generator: torch.Generator,
    microbatch: Microbatch,
) -> dict[str, Float[Tensor, ""]]:
    """The losses of the matched masks, averaged over the masks of the microbatch.

    A pixel of which nothing is known is no part of any true mask, as in the official code of both models.
    """
    weights = config.weights
    losses = (
        ("bce", weights.bce, mask_bce_loss),
        ("focal", weights.focal, focal_loss),
        ("dice", weights.dice, dice_loss),
    )
    used = [(name, weight, loss) for name, weight, loss in losses if weight]
    predicted = torch.cat([layer.maps_of(image, pairs.queries) for image, pairs in enumerate(matches)]).float()
    true = torch.cat([t.masks[pairs.segments] for t, pairs in zip(targets, matches, strict=True)]).float()
    points = None
    if config.num_points is not None:  # also without masks: other microbatches draw from the same stream
        rows = microbatch.mask_rows(layer.class_logits.shape[1])
        points = uncertain_points(predicted, config.num_points, generator=generator, rows=rows)
    if not len(predicted):
        return {name: predicted.sum() * 0 for name, _, _ in used}
    if points is None:
        logits, truth = predicted.flatten(1), true.flatten(1)
    else:
        logits, truth = sample_points(predicted, points), sample_points(true, points)
    return {name: weight * loss(logits, truth).mean() for name, weight, loss in used}

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss
from transformers import Mask2FormerConfig
from transformers.models.mask2former import modeling_mask2former as theirs
from transformers.models.maskformer.modeling_maskformer import MaskFormerHungarianMatcher, MaskFormerLoss

from lexiseg.core.structures import NAMELESS, LayerPrediction, MaskFactors, Targets
from lexiseg.training.segmentation.criterion import CriterionConfig, segmentation_losses
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
from lexiseg.training.segmentation.matcher import LossWeights

NUM_CLASSES = 4
MASKFORMER_LOSSES = LossWeights(classes=1.0, bce=0.0, focal=20.0, dice=1.0)


def target(num_segments: int, seed: int, *, ignored: bool = False) -> Targets:
    rng = torch.Generator().manual_seed(seed)
    owners = torch.randint(0, num_segments + 1, (4, 6), generator=rng)
    owners = owners.repeat_interleave(4, 0).repeat_interleave(4, 1)
    masks = torch.stack([owners == number for number in range(num_segments)]) if num_segments else owners[None][:0] > 0
    return Targets(
        masks=masks,
        class_ids=torch.randint(0, NUM_CLASSES, (num_segments,), generator=rng),
        ignored=torch.full((16, 24), ignored),
    )


def layer(seed: int, *, iou: bool = False, batch: int = 2) -> LayerPrediction:
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.randn(batch, 6, 4, 6, generator=rng) * 4
    return LayerPrediction(
        mask_logits=torch.nn.functional.interpolate(coarse, (16, 24), mode="bilinear"),
        class_logits=torch.randn(batch, 6, NUM_CLASSES + 1, generator=rng),
        iou_scores=torch.rand(batch, 6, generator=rng) if iou else None,
    )


def losses(
    layers: list[LayerPrediction], targets: tuple[Targets, ...], seed: int = 7, **changes: object
) -> dict[str, Tensor]:
    config = CriterionConfig(**{"num_points": 112, **changes})
    return segmentation_losses(layers, targets, config, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(4))
def test_terms_are_those_of_transformers_mask2former_loss_at_the_same_points(seed: int) -> None:
    config = Mask2FormerConfig(num_labels=NUM_CLASSES, train_num_points=112)
    reference = theirs.Mask2FormerLoss(config, weight_dict={})
    predicted, targets = layer(seed), (target(3, seed), target(2, seed + 50))
    with torch.random.fork_rng(devices=()):
        torch.random.default_generator.manual_seed(7)  # the stream that our own generator gives
        expected = reference(
            predicted.mask_logits,
            predicted.class_logits,
            [t.masks.float() for t in targets],
            [t.class_ids for t in targets],
        )

    found = losses([predicted], targets)

    torch.testing.assert_close(found["classes"], 2 * expected["loss_cross_entropy"])
    torch.testing.assert_close(found["bce"], 5 * expected["loss_mask"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found["dice"], 5 * expected["loss_dice"], atol=1e-5, rtol=1e-5)
    assert "iou" not in found


def test_a_nameless_segment_costs_what_no_object_has_and_is_drawn_to_no_word(rng: torch.Generator) -> None:
    logits = torch.randn(1, 3, 4, generator=rng, requires_grad=True)
    ids, counts = torch.tensor([[NAMELESS, 1, 3]]), torch.ones(1, 3, dtype=torch.bool)

    found = class_loss(logits, ids, counts, void_weight=0.1)
    found.backward()

    probs = logits.detach().softmax(-1)[0]
    expected = -((1 - probs[0, 3]).log() + probs[1, 1].log() + 0.1 * probs[2, 3].log()) / 2.1
    torch.testing.assert_close(found.detach(), expected)
    assert logits.grad is not None
    assert logits.grad[0, 0].tolist() == pytest.approx([0, 0, 0, float(probs[0, 3]) / 2.1])


def test_a_nameless_segment_teaches_its_mask_and_its_quality_as_a_named_one_does() -> None:
    predicted, truth = layer(0, iou=True, batch=1), target(2, 3)
    strangers = replace(truth, class_ids=torch.full((2,), NAMELESS))
    same = LossWeights(classes=0.0)  # so that both are matched by their masks alone

    named, nameless = (losses([predicted], (one,), weights=same) for one in (truth, strangers))

    assert nameless == named
    assert losses([predicted], (strangers,))["classes"] > 0


@pytest.mark.parametrize("seed", range(4))
def test_terms_over_whole_masks_are_those_of_transformers_maskformer_loss(seed: int) -> None:
    matcher = MaskFormerHungarianMatcher(cost_class=1.0, cost_mask=20.0, cost_dice=1.0)
    reference = MaskFormerLoss(NUM_CLASSES, matcher, weight_dict={}, eos_coef=0.1)
    predicted, targets = layer(seed), (target(3, seed), target(2, seed + 50))
    expected = reference(
        predicted.mask_logits,
        predicted.class_logits,
        [t.masks.float() for t in targets],
        [t.class_ids for t in targets],
    )

    found = losses([predicted], targets, num_points=None, weights=MASKFORMER_LOSSES)

    torch.testing.assert_close(found["classes"], expected["loss_cross_entropy"])
    torch.testing.assert_close(found["focal"], 20 * expected["loss_mask"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found["dice"], expected["loss_dice"], atol=1e-5, rtol=1e-5)
    assert found.keys() == {"classes", "focal", "dice"}


def test_terms_over_whole_masks_draw_no_points() -> None:
    generator = torch.Generator().manual_seed(7)
    before = generator.get_state()
    config = CriterionConfig(num_points=None, weights=MASKFORMER_LOSSES)

    segmentation_losses([layer(0)], (target(3, 0), target(2, 50)), config, generator=generator)

    assert torch.equal(before, generator.get_state())


def test_the_focal_loss_is_torchvisions() -> None:
    rng = torch.Generator().manual_seed(0)
    logits, truth = torch.randn(5, 40, generator=rng) * 6, (torch.rand(5, 40, generator=rng) > 0.5).float()

    for alpha, gamma in ((0.25, 2.0), (0.5, 0.0), (0.9, 3.0)):
        expected = sigmoid_focal_loss(logits, truth, alpha=alpha, gamma=gamma).mean(-1)
        torch.testing.assert_close(focal_loss(logits, truth, alpha=alpha, gamma=gamma), expected)


def test_the_pure_losses_are_transformers_own() -> None:
    rng = torch.Generator().manual_seed(0)
    logits, truth = torch.randn(5, 40, generator=rng), (torch.rand(5, 40, generator=rng) > 0.5).float()
    torch.testing.assert_close(dice_loss(logits, truth).sum(), theirs.dice_loss(logits, truth, 1))
    torch.testing.assert_close(mask_bce_loss(logits, truth).sum(), theirs.sigmoid_cross_entropy_loss(logits, truth, 1))


@pytest.mark.parametrize("counts", [(3, 2), (0, 2), (0, 0)])
def test_maps_made_of_their_factors_give_the_same_losses_and_gradients(counts: tuple[int, int]) -> None:
    rng = torch.Generator().manual_seed(1)
    factors = [torch.randn(2, 6, 5, generator=rng), torch.randn(2, 5, 16, 24, generator=rng)]
    targets = tuple(target(count, seed) for seed, count in enumerate(counts))
    results = []
    for has_factors in (False, True):
        embed, features = (value.clone().requires_grad_() for value in factors)
        made = MaskFactors(mask_embed=embed, mask_features=features.unbind())
        logits = torch.einsum("bqe,behw->bqhw", embed, features)
        logits = logits.detach() if has_factors else logits
        predicted = replace(layer(0, iou=True), mask_logits=logits, factors=made if has_factors else None)
        terms = losses([predicted], targets)
        sum(terms.values()).backward()
        results.append((terms, embed.grad, features.grad))
    torch.testing.assert_close(*results)


def test_every_layer_is_supervised() -> None:
    targets = (target(3, 0), target(2, 1))
    alone = [losses([layer(seed)], targets, seed=7)["classes"] for seed in (3, 4)]
    both = losses([layer(3), layer(4, iou=True)], targets, seed=7)
    # the second layer is matched at other points than alone; classes differ only if its matching does
    assert both["classes"] > max(alone)
    assert both["iou"] > 0


def test_pictures_without_segments_cost_their_classes_alone() -> None:
    empty = (target(0, 0), target(0, 1))
    predicted = layer(0, iou=True)
    predicted.mask_logits.requires_grad_()
    found = losses([predicted], empty)
    assert found["bce"].detach() == found["dice"].detach() == 0
    assert found["classes"] > 0
    sum(found.values()).backward()


def test_pictures_of_which_nothing_is_known_teach_nothing() -> None:
    unknown = (target(0, 0, ignored=True), target(0, 1, ignored=True))
    predicted = layer(0, iou=True)
    predicted.mask_logits[..., :4, :4] = 5.0  # no mask is empty
    predicted.class_logits.requires_grad_()
    found = losses([predicted], unknown)
    assert all(float(value.detach()) == 0 for value in found.values())
    sum(found.values()).backward()
    assert not predicted.class_logits.grad.any()


def test_a_query_on_unannotated_pixels_is_told_no_object_only_where_the_annotation_is_whole() -> None:
    predicted, truth = layer(0, batch=1), target(2, 3)
    hidden = Targets(masks=truth.masks, class_ids=truth.class_ids, ignored=~truth.masks.any(0))
    assert losses([predicted], (hidden,), unknown_share=None)["classes"] == losses([predicted], (truth,))["classes"]
    assert losses([predicted], (hidden,), unknown_share=0.0)["classes"] != losses([predicted], (truth,))["classes"]


def test_a_perfect_mask_has_iou_one_and_an_unmatched_query_should_predict_zero() -> None:
    truth = target(3, 0)
    assert torch.equal(mask_iou(truth.masks, truth.masks), torch.ones(3))
    assert torch.equal(mask_iou(truth.masks[:1], truth.masks[1:2]), torch.zeros(1))
    nothing = torch.zeros(1, 4, 4, dtype=torch.bool)
    assert torch.equal(mask_iou(nothing, nothing), torch.zeros(1))
    perfect = LayerPrediction(
        mask_logits=(torch.cat([truth.masks, ~truth.masks]).float() * 40 - 20)[None],
        class_logits=torch.nn.functional.one_hot(
            torch.cat([truth.class_ids, torch.full((3,), NUM_CLASSES)]), NUM_CLASSES + 1
        )[None].float()
        * 40,
        iou_scores=torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]]),
    )
    found = losses([perfect], (truth,))
    assert found["iou"] == 0
    assert found["classes"] < 1e-6


def test_the_iou_loss_weighs_matched_and_unmatched_queries_alike() -> None:
    scores, targets = torch.tensor([[0.5, 0.2, 0.2, 0.9]]), torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    matched = torch.tensor([[True, False, False, False]])
    counts = torch.tensor([[True, True, True, False]])
    torch.testing.assert_close(iou_loss(scores, targets, matched, counts), torch.tensor(0.5 * (0.25 + 0.04)))


def test_no_object_weighs_less(rng: torch.Generator) -> None:
    logits, ids = torch.randn(1, 2, 3, generator=rng), torch.tensor([[0, 2]])
    counts = torch.ones(1, 2, dtype=torch.bool)
    cost = -logits.log_softmax(-1)[0, torch.arange(2), ids[0]]
    expected = (cost[0] + 0.1 * cost[1]) / 1.1
    torch.testing.assert_close(class_loss(logits, ids, counts, void_weight=0.1), expected)
    only = class_loss(logits, ids, torch.tensor([[True, False]]), void_weight=0.1)
    torch.testing.assert_close(only, cost[0])


@given(column=st.integers(0, 5), row=st.integers(0, 3))
def test_a_point_in_the_middle_of_a_pixel_reads_that_pixel(column: int, row: int) -> None:
    maps = torch.arange(24.0).view(1, 4, 6)
    point = torch.tensor([[[(column + 0.5) / 6, (row + 0.5) / 4]]])
    torch.testing.assert_close(sample_points(maps, point)[0, 0], maps[0, row, column])


def test_most_points_lie_where_a_mask_is_uncertain(rng: torch.Generator) -> None:
    across = torch.linspace(-8, 8, 48).expand(2, 48, 48).contiguous()
    points = uncertain_points(across, 400, generator=rng)
    assert points.shape == (2, 400, 2)
    assert 0 <= points.min() <= points.max() <= 1
    from_edge = (points[..., 0] - 0.5).abs()
    assert from_edge[:, :300].max() < 0.2
    assert from_edge[:, 300:].max() > 0.4

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerHungarianMatcher,
    pair_wise_dice_loss,
    pair_wise_sigmoid_cross_entropy_loss,
)

from lexiseg.core.structures import NAMELESS, Targets
from lexiseg.training.segmentation.losses import dice_loss, focal_loss, mask_bce_loss
from lexiseg.training.segmentation.matcher import LossWeights, bce_costs, dice_costs, focal_costs, match, matching_costs


def case(seed: int, counts: tuple[int, ...] = (3, 5)) -> tuple[Tensor, Tensor, tuple[Targets, ...]]:
    rng = torch.Generator().manual_seed(seed)
    batch = len(counts)
    class_logits = torch.randn(batch, 6, 5, generator=rng)
    mask_logits = torch.randn(batch, 6, 8, 12, generator=rng) * 3
    targets = tuple(
        Targets(
            masks=torch.rand(count, 8, 12, generator=rng) > 0.6,
            class_ids=torch.randint(0, 4, (count,), generator=rng),
            ignored=torch.zeros(8, 12, dtype=torch.bool),
        )
        for count in counts
    )
    return class_logits, mask_logits, targets


def found(class_logits: Tensor, mask_logits: Tensor, targets: tuple[Targets, ...]) -> list[tuple[list[int], list[int]]]:
    generator = torch.Generator().manual_seed(11)
    matches = match(class_logits, mask_logits, targets, LossWeights(), num_points=96, generator=generator)
    return [(pairs.queries.tolist(), pairs.segments.tolist()) for pairs in matches]


def test_a_nameless_segment_prefers_the_query_that_no_object_suits_least() -> None:
    class_logits, mask_logits, targets = case(0)
    probs, truth = class_logits[0].softmax(-1), targets[0].masks.flatten(1).float()
    class_ids = torch.tensor([NAMELESS, 2, NAMELESS])

    costs = matching_costs(probs, mask_logits[0].flatten(1), class_ids, truth, LossWeights(bce=0.0, dice=0.0))

    torch.testing.assert_close(costs, 2 * torch.stack([probs[:, 4] - 1, -probs[:, 2], probs[:, 4] - 1], 1))


@pytest.mark.parametrize("seed", range(6))
def test_matches_are_transformers_own_at_the_same_points(seed: int) -> None:
    class_logits, mask_logits, targets = case(seed)
    reference = Mask2FormerHungarianMatcher(cost_class=2.0, cost_mask=5.0, cost_dice=5.0, num_points=96)
    with torch.random.fork_rng(devices=()):
        torch.random.default_generator.manual_seed(11)
        expected = reference(
            mask_logits, class_logits, [t.masks.float() for t in targets], [t.class_ids for t in targets]
        )
    assert found(class_logits, mask_logits, targets) == [(q.tolist(), s.tolist()) for q, s in expected]


def test_costs_are_the_sum_of_transformers_three() -> None:
    class_logits, mask_logits, targets = case(0)
    probs, logits = class_logits[0].softmax(-1), mask_logits[0].flatten(1)
    truth, class_ids = targets[0].masks.flatten(1).float(), targets[0].class_ids
    expected = (
        5 * pair_wise_sigmoid_cross_entropy_loss(logits, truth)
        + 5 * pair_wise_dice_loss(logits, truth)
        - 2 * probs[:, class_ids]
    )
    costs = matching_costs(probs, logits, class_ids, truth, LossWeights())
    torch.testing.assert_close(costs, expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(
    ("costs", "loss"), [(bce_costs, mask_bce_loss), (focal_costs, focal_loss), (dice_costs, dice_loss)]
)
def test_the_cost_of_a_query_and_a_segment_is_the_loss_of_the_pair(
    costs: Callable[[Tensor, Tensor], Tensor], loss: Callable[[Tensor, Tensor], Tensor]
) -> None:
    _, mask_logits, targets = case(0)
    logits, truth = mask_logits[0].flatten(1), targets[0].masks.flatten(1).float()

    table = costs(logits, truth)

    for segment, mask in enumerate(truth):
        torch.testing.assert_close(table[:, segment], loss(logits, mask.expand_as(logits)))


def test_with_maskformers_weights_the_costs_are_focal_and_dice() -> None:
    class_logits, mask_logits, targets = case(0)
    probs, logits = class_logits[0].softmax(-1), mask_logits[0].flatten(1)
    truth, class_ids = targets[0].masks.flatten(1).float(), targets[0].class_ids
    weights = LossWeights(classes=1.0, bce=0.0, focal=20.0, dice=1.0)

    expected = 20 * focal_costs(logits, truth) + dice_costs(logits, truth) - probs[:, class_ids]

    torch.testing.assert_close(matching_costs(probs, logits, class_ids, truth, weights), expected)


def test_a_picture_is_matched_alike_alone_and_in_a_batch() -> None:
    class_logits, mask_logits, targets = case(1)
    assert found(class_logits, mask_logits, targets)[0] == found(class_logits[:1], mask_logits[:1], targets[:1])[0]


def test_the_right_queries_win_whatever_their_order() -> None:
    class_logits, mask_logits, targets = case(2, (4,))
    order = torch.tensor([5, 0, 3, 1])
    mask_logits[0, order] = targets[0].masks.float() * 20 - 10
    queries, segments = found(class_logits, mask_logits, targets)[0]
    assert dict(zip(segments, queries, strict=True)) == dict(enumerate(order.tolist()))


def test_more_segments_than_queries_leave_some_segments_alone() -> None:
    class_logits, mask_logits, targets = case(3, (9,))
    queries, segments = found(class_logits, mask_logits, targets)[0]
    assert sorted(queries) == list(range(6))
    assert len(set(segments)) == 6


def test_a_picture_without_segments_is_matched_to_nothing() -> None:
    assert found(*case(4, (0, 2)))[0] == ([], [])

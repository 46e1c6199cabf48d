"""The two losses of OPSNet+ against the loops anybody would write first, and what section 3.4 of OPSNet promises."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lexiseg.training.segmentation.losses import match_loss, sum_loss

SURE = 200.0  # a logit whose softmax is exactly 1 in float32


def logits_for(*classes: int, num_classes: int = 4) -> Tensor:
    """One picture whose predictions are sure of these classes."""
    return SURE * torch.eye(num_classes)[list(classes)][None]


def labelled(*classes: int, num_classes: int = 4) -> Tensor:
    return torch.eye(num_classes, dtype=torch.bool)[list(classes)].any(0)[None]


def all_valid(class_logits: Tensor) -> Tensor:
    return torch.ones(class_logits.shape[:2], dtype=torch.bool)


def slow_match_loss(class_logits: Tensor, is_valid: Tensor, labels: Tensor) -> float:
    costs = []
    for picture, valid, shown in zip(class_logits.tolist(), is_valid.tolist(), labels.tolist(), strict=True):
        wanted = [category for category, is_shown in enumerate(shown) if is_shown]
        if not wanted:
            continue
        found = 0.0
        for category in wanted:
            surest = 0.0
            for row, counts in zip(picture, valid, strict=True):
                if counts:
                    surest = max(surest, math.exp(row[category]) / sum(math.exp(value) for value in row))
            found += surest
        costs.append(1 - found / len(wanted))
    return sum(costs) / len(costs) if costs else 0.0


def slow_sum_loss(mask_logits: Tensor, inside: Tensor) -> float:
    norms = []
    for masks, cells in zip(mask_logits.tolist(), inside.tolist(), strict=True):
        squares = []
        for row, cell_row in enumerate(cells):
            for column, is_inside in enumerate(cell_row):
                if is_inside:
                    covered = sum(1 / (1 + math.exp(-mask[row][column])) for mask in masks)
                    squares.append((1 - covered) ** 2)
        norms.append(math.sqrt(sum(squares) / len(squares)))
    return sum(norms) / len(norms)


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3, 0.8]))
def test_the_match_loss_is_that_of_its_slow_twin(seed: int, share: float) -> None:
    rng = torch.Generator().manual_seed(seed)
    class_logits = torch.randn(3, 5, 6, generator=rng, dtype=torch.float64) * 4
    is_valid = torch.rand(3, 5, generator=rng) < share
    labels = torch.rand(3, 6, generator=rng) < 0.3  # some pictures have none

    assert float(match_loss(class_logits, is_valid, labels)) == pytest.approx(
        slow_match_loss(class_logits, is_valid, labels)
    )


@given(st.integers(0, 10_000))
def test_the_sum_loss_is_that_of_its_slow_twin(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    mask_logits = torch.randn(2, 5, 4, 6, generator=rng, dtype=torch.float64) * 4
    inside = torch.rand(2, 4, 6, generator=rng) < 0.7
    inside[:, 0, 0] = True

    assert float(sum_loss(mask_logits, inside)) == pytest.approx(slow_sum_loss(mask_logits, inside))


def test_the_match_loss_is_zero_where_each_label_has_a_sure_prediction_and_only_there() -> None:
    found = logits_for(2, 0)

    assert match_loss(found, all_valid(found), labelled(0, 2)) == 0
    assert match_loss(found, all_valid(found), labelled(0)) == 0  # what has no label costs nothing
    assert match_loss(found, all_valid(found), labelled(0, 1, 2)) == pytest.approx(1 / 3)
    unsure = found.clone()
    unsure[0, 0] /= SURE
    assert match_loss(unsure, all_valid(unsure), labelled(0, 2)) > 0


def test_more_masks_of_a_class_change_nothing_of_the_match_loss(rng: torch.Generator) -> None:
    few = torch.randn(1, 3, 4, generator=rng)
    many = torch.cat([few, few[:, 1:2], few[:, 1:2]], 1)

    assert torch.equal(
        match_loss(few, all_valid(few), labelled(1, 3)), match_loss(many, all_valid(many), labelled(1, 3))
    )


def test_a_picture_without_a_valid_prediction_costs_one_and_teaches_nothing() -> None:
    class_logits = logits_for(1, 2).requires_grad_()

    loss = match_loss(class_logits, torch.zeros(1, 2, dtype=torch.bool), labelled(1))
    loss.backward()

    assert loss == 1
    assert class_logits.grad is not None
    assert not class_logits.grad.any()


def test_a_picture_without_labels_counts_for_nothing(rng: torch.Generator) -> None:
    class_logits = torch.randn(2, 3, 4, generator=rng, requires_grad=True)
    labels = torch.cat([labelled(1), labelled()])

    alone = match_loss(class_logits[:1], all_valid(class_logits)[:1], labels[:1])
    assert torch.equal(match_loss(class_logits, all_valid(class_logits), labels), alone)

    nothing = match_loss(class_logits, all_valid(class_logits), torch.zeros(2, 4, dtype=torch.bool))
    nothing.backward()
    assert nothing == 0
    assert class_logits.grad is not None
    assert not class_logits.grad.any()


def test_only_the_surest_valid_prediction_of_a_label_learns(rng: torch.Generator) -> None:
    class_logits = torch.randn(1, 4, 5, generator=rng)
    class_logits[0, 3, 2] = 9.0  # the surest, but not valid
    class_logits[0, 1, 2] = 5.0
    class_logits.requires_grad_()

    match_loss(class_logits, torch.tensor([[True, True, True, False]]), labelled(2, num_classes=5)).backward()

    assert class_logits.grad is not None
    assert class_logits.grad[0].any(-1).tolist() == [False, True, False, False]


def test_the_sum_loss_is_zero_where_masks_part_the_picture_and_only_there() -> None:
    owner = torch.tensor([[0, 0, 1], [2, 1, 1]])
    masks = torch.stack([owner == number for number in range(3)])[None].float()
    parted = (2 * masks - 1) * SURE
    inside = torch.ones(1, 2, 3, dtype=torch.bool)

    assert sum_loss(parted, inside) == 0
    twice = torch.cat([parted, parted[:, :1]], 1)
    assert sum_loss(twice, inside) == pytest.approx(math.sqrt(2 / 6))  # the root of the mean over pixels
    assert sum_loss(parted[:, :2], inside) == pytest.approx(math.sqrt(1 / 6))


def test_a_perfect_partition_has_no_gradient_and_not_one_that_is_no_number() -> None:
    parted = torch.tensor([[[[SURE, -SURE]], [[-SURE, SURE]]]], requires_grad=True)

    sum_loss(parted, torch.ones(1, 1, 2, dtype=torch.bool)).backward()

    assert parted.grad is not None
    assert not parted.grad.any()


def test_padding_and_the_size_of_the_picture_do_not_change_the_sum_loss(rng: torch.Generator) -> None:
    mask_logits = torch.randn(1, 3, 4, 4, generator=rng)
    inside = torch.ones(1, 4, 4, dtype=torch.bool)
    loss = sum_loss(mask_logits, inside)

    padded = torch.nn.functional.pad(mask_logits, (0, 4, 0, 4), value=7.0)
    torch.testing.assert_close(sum_loss(padded, torch.nn.functional.pad(inside, (0, 4, 0, 4))), loss)
    larger = mask_logits.repeat_interleave(3, -1).repeat_interleave(3, -2)
    torch.testing.assert_close(sum_loss(larger, torch.ones(1, 12, 12, dtype=torch.bool)), loss)

"""Matching and point sampling against the loops that anybody would write first."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lexiseg.core.structures import Targets
from lexiseg.training.segmentation.losses import sample_points
from lexiseg.training.segmentation.matcher import LossWeights, match

WEIGHTS = LossWeights(classes=2.0, bce=5.0, focal=20.0, dice=5.0)


def slow_cost(class_logits: list[float], logits: list[float], class_id: int, mask: list[bool]) -> float:
    probability = math.exp(class_logits[class_id]) / sum(math.exp(value) for value in class_logits)
    bce = focal = overlap = area = 0.0
    for logit, is_true in zip(logits, mask, strict=True):
        p = 1 / (1 + math.exp(-logit))
        right = p if is_true else 1 - p
        bce -= math.log(right)
        focal -= (0.25 if is_true else 0.75) * (1 - right) ** 2 * math.log(right)
        overlap += p * is_true
        area += p + is_true
    dice = 1 - (2 * overlap + 1) / (area + 1)
    return 5 * bce / len(mask) + 20 * focal / len(mask) + 5 * dice - 2 * probability


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_no_other_matching_is_cheaper(seed: int, num_segments: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    class_logits, mask_logits = torch.randn(1, 4, 4, generator=rng), torch.randn(1, 4, 3, 4, generator=rng) * 2
    target = Targets(
        masks=torch.rand(num_segments, 3, 4, generator=rng) > 0.6,
        class_ids=torch.randint(0, 3, (num_segments,), generator=rng),
        ignored=torch.zeros(3, 4, dtype=torch.bool),
    )

    (found,) = match(class_logits, mask_logits, (target,), WEIGHTS, num_points=None, generator=rng)

    costs = [
        [
            slow_cost(query.tolist(), logits.flatten().tolist(), int(class_id), mask.flatten().tolist())
            for class_id, mask in zip(target.class_ids, target.masks, strict=True)
        ]
        for query, logits in zip(class_logits[0], mask_logits[0], strict=True)
    ]
    cheapest = min(
        sum(costs[query][segment] for segment, query in enumerate(queries))
        for queries in itertools.permutations(range(4), num_segments)
    )
    pairs = list(zip(found.queries.tolist(), found.segments.tolist(), strict=True))
    assert sorted(segment for _, segment in pairs) == list(range(num_segments))
    assert sum(costs[query][segment] for query, segment in pairs) == pytest.approx(cheapest, abs=1e-4)


def slow_sample(values: Tensor, x: float, y: float) -> float:
    """Bilinear between the centres of pixels; what lies outside is 0."""
    height, width = values.shape
    column, row = x * width - 0.5, y * height - 0.5
    total = 0.0
    for i in range(height):
        for j in range(width):
            total += max(0.0, 1 - abs(row - i)) * max(0.0, 1 - abs(column - j)) * float(values[i, j])
    return total


@given(st.integers(0, 10_000))
def test_a_point_reads_the_four_pixels_around_it(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    maps, points = torch.randn(2, 3, 5, generator=rng), torch.rand(2, 6, 2, generator=rng)

    found = sample_points(maps, points)

    for values, own_points, own in zip(maps, points.tolist(), found.tolist(), strict=True):
        assert own == pytest.approx([slow_sample(values, x, y) for x, y in own_points], abs=1e-5)

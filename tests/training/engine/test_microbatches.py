"""The losses of all parts add up to those of the batch in one piece."""

import pytest
import torch
from torch import Tensor

from lexiseg.core.frames import Frame
from lexiseg.core.structures import ImageBatch, LayerPrediction, Targets
from lexiseg.training.engine.microbatches import BatchSplit, Microbatch, Rows, Shares
from lexiseg.training.segmentation.batches import split_batches
from lexiseg.training.segmentation.criterion import CriterionConfig, segmentation_losses

Q, K, SIDE = 6, 5, 8


def layer(pictures: int, rng: torch.Generator) -> LayerPrediction:
    """Random predictions that want gradients."""
    return LayerPrediction(
        mask_logits=torch.randn(pictures, Q, SIDE, SIDE, generator=rng).requires_grad_(),
        class_logits=torch.randn(pictures, Q, K + 1, generator=rng).requires_grad_(),
        iou_scores=torch.rand(pictures, Q, generator=rng).requires_grad_(),
    )


def target(num_segments: int, rng: torch.Generator, *, is_void: bool = False) -> Targets:
    """Random masks; more of them than queries, none, or all void beside them."""
    return Targets(
        masks=torch.rand(num_segments, SIDE, SIDE, generator=rng) > 0.6,
        class_ids=torch.randint(K, (num_segments,), generator=rng),
        ignored=torch.full((SIDE, SIDE), is_void),
    )


def some(outputs: LayerPrediction, places: tuple[int, ...]) -> LayerPrediction:
    rows = list(places)
    assert outputs.iou_scores is not None
    return LayerPrediction(
        mask_logits=outputs.mask_logits[rows],
        class_logits=outputs.class_logits[rows],
        iou_scores=outputs.iou_scores[rows],
    )


@pytest.mark.parametrize("num_points", [16, None])
def test_slices_add_up_to_the_batch(num_points: int | None, rng: torch.Generator) -> None:
    counts = (3, 0, Q + 2, 1)  # the second slice of two has no mask in its first picture
    layers = [layer(4, rng), layer(4, rng)]
    targets = tuple(target(count, rng) for count in counts)
    leaves = [leaf for out in layers for leaf in (out.mask_logits, out.class_logits, out.iou_scores)]
    config = CriterionConfig(num_points=num_points)

    def losses(microbatch: Microbatch | None, places: tuple[int, ...]) -> tuple[dict[str, float], tuple[Tensor, ...]]:
        terms = segmentation_losses(
            [some(out, places) for out in layers],
            tuple(targets[place] for place in places),
            config,
            generator=torch.Generator().manual_seed(5),
            microbatch=microbatch,
        )
        return {name: float(term.detach()) for name, term in terms.items()}, torch.autograd.grad(
            sum(terms.values()), leaves
        )

    whole, gradients = losses(None, (0, 1, 2, 3))
    parts = [losses(Microbatch(places=p, num_segments=counts, num_slices=3), p) for p in ((0, 2), (1,), (3,))]

    for name, value in whole.items():
        assert sum(terms[name] for terms, _ in parts) == pytest.approx(value, rel=1e-5)
    for expected, *found in zip(gradients, *(slopes for _, slopes in parts), strict=True):
        torch.testing.assert_close(sum(found), expected)


def test_queries_that_are_told_nothing_are_counted_over_slices_that_are_alike(rng: torch.Generator) -> None:
    targets = (target(2, rng, is_void=True),) * 2
    outputs = layer(1, rng)
    twice = LayerPrediction(
        **{name: torch.cat([getattr(outputs, name)] * 2) for name in ("mask_logits", "class_logits", "iou_scores")}
    )
    config = CriterionConfig(num_points=None)
    whole = segmentation_losses([twice], targets, config, generator=rng)

    slices = [
        segmentation_losses(
            [outputs],
            targets[:1],
            config,
            generator=rng,
            microbatch=Microbatch(places=(place,), num_segments=(2, 2), num_slices=2),
        )
        for place in (0, 1)
    ]

    for name, value in whole.items():
        torch.testing.assert_close(sum(terms[name] for terms in slices), value)


def test_a_batch_in_one_piece_has_every_share_to_the_last_digit() -> None:
    microbatch = Microbatch.whole((3, 0, 9))
    shares = Shares.of(microbatch, Q, torch.tensor(4), 0.1)
    assert [float(s) for s in (shares.masks, shares.unmatched, shares.class_weight)] == [1.0, 1.0, 1.0]


def test_rows_are_those_that_one_process_would_draw() -> None:
    def draw(*own: int) -> Tensor:
        return Rows(own=own, total=4).random(3, 2, generator=torch.Generator().manual_seed(1))

    whole = draw(0, 1, 2, 3)
    assert torch.equal(draw(1, 3), whole[[1, 3]])
    assert draw().shape == (0, 3, 2)


def test_parts_share_the_places_of_a_batch() -> None:
    splits = [BatchSplit(rank=rank, num_processes=2, num_slices=2) for rank in (0, 1)]
    size = splits[0].microbatch_size(12)
    places = [split.places(number, size) for split in splits for number in (0, 1)]
    assert size == 3
    assert sorted(place for some_places in places for place in some_places) == list(range(12))


def test_a_batch_that_cannot_be_split_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="a batch of 16 can't be split evenly among 3 processes with 2 slices each"):
        BatchSplit(num_processes=3, num_slices=2).microbatch_size(16)


def test_slices_are_padded_to_the_canvas_of_their_batch(rng: torch.Generator) -> None:
    def pictures(height: int, width: int) -> tuple[ImageBatch, tuple[Targets, ...]]:
        cells = torch.ones(height // 4, width // 4, dtype=torch.bool)
        truth = Targets(masks=cells.expand(2, -1, -1), class_ids=torch.tensor([0, 1]), ignored=cells)
        frame = Frame.fit((height, width), longest=max(height, width))
        return ImageBatch(pixel_values=torch.ones(1, 3, height, width), frames=(frame,)), (truth,)

    slices = iter([pictures(32, 64), pictures(64, 32)])
    wide, tall = split_batches(slices, BatchSplit(num_slices=2))

    for batch, (height, width) in ((wide, (32, 64)), (tall, (64, 32))):
        (truth,) = batch.targets
        assert batch.images.pixel_values.shape == (1, 3, 64, 64)
        assert batch.images.frames[0].padded == (64, 64)
        assert truth.masks.shape == (2, 16, 16)
        assert truth.ignored.sum() == truth.masks[0].sum() == height // 4 * (width // 4)
        assert batch.images.pixel_values.sum() == 3 * height * width
    assert (wide.microbatch.places, tall.microbatch.places) == ((0,), (1,))
    assert wide.microbatch.num_segments == tall.microbatch.num_segments == (2, 2)

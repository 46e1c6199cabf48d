import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from lexiseg.layers.pooling import cell_shares, mask_pool

GRIDS = {"tiles": (4, 6), "overlapping": (5, 7)}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def naive_pool(features: Tensor, mask_logits: Tensor) -> Tensor:
    """One mask, cell and pixel at a time."""
    batch, _, rows, columns = features.shape
    height = mask_logits.shape[-2]
    overlaps = height % rows != 0
    step = height // (rows - 1) if overlaps else height // rows
    found = []
    for image in range(batch):
        for logits in mask_logits[image]:
            weights = (logits > 0).float() if bool((logits > 0).any()) else logits.clamp(min=-30).sigmoid()
            total, mass = torch.zeros(features.shape[1]), 0.0
            for row in range(rows):
                for column in range(columns):
                    top, left = (row - 1) * step if overlaps else row * step, (column - 1) * step
                    left = left if overlaps else column * step
                    size = 2 * step if overlaps else step
                    inside = weights[max(0, top) : top + size, max(0, left) : left + size]
                    share = inside.mean().item()
                    total, mass = total + share * features[image, :, row, column], mass + share
            found.append(F.normalize(total / mass, dim=-1))
    return torch.stack(found).unflatten(0, (batch, -1))


@pytest.mark.parametrize("kind", GRIDS)
def test_pooling_is_what_the_loops_give(kind: str) -> None:
    features, logits = draw(2, 3, *GRIDS[kind]), draw(2, 4, 16, 24, seed=1)
    logits[0, 0] = -5 + logits[0, 0]  # few pixels or none
    logits[1, 1] = -1000
    torch.testing.assert_close(mask_pool(features, logits), naive_pool(features, logits), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", GRIDS)
@given(seed=st.integers(0, 1000), lowest=st.floats(-1e6, 5))
def test_every_answer_is_of_unit_length_even_for_empty_masks(kind: str, seed: int, lowest: float) -> None:
    pooled = mask_pool(draw(1, 8, *GRIDS[kind], seed=seed), draw(1, 3, 16, 24, seed=seed + 1) + lowest)
    torch.testing.assert_close(pooled.norm(dim=-1), torch.ones(1, 3))


@pytest.mark.parametrize("kind", GRIDS)
def test_under_a_constant_map_every_mask_gets_the_constant(kind: str) -> None:
    constant = F.normalize(draw(8), dim=0)
    features = constant[None, :, None, None].expand(1, 8, *GRIDS[kind])
    pooled = mask_pool(features, draw(1, 5, 16, 24) - 1)
    torch.testing.assert_close(pooled, constant.expand(1, 5, 8))


@pytest.mark.parametrize("kind", GRIDS)
def test_the_whole_picture_pools_to_the_mean_of_all_cells(kind: str) -> None:
    features = draw(1, 8, *GRIDS[kind])
    pooled = mask_pool(features, torch.ones(1, 1, 16, 24))
    torch.testing.assert_close(pooled[0, 0], F.normalize(features.mean((0, 2, 3)), dim=0))


def test_a_mask_within_one_cell_gets_that_cell_alone() -> None:
    features, logits = draw(1, 8, 4, 6), torch.full((1, 1, 16, 24), -1.0)
    logits[0, 0, 6, 9] = 1.0  # a single pixel
    torch.testing.assert_close(mask_pool(features, logits)[0, 0], F.normalize(features[0, :, 1, 2], dim=0))


def test_an_empty_mask_leans_to_its_likeliest_place() -> None:
    features, logits = draw(1, 8, 4, 6), torch.full((1, 1, 16, 24), -20.0)
    logits[0, 0, 4:8, 8:12] = -1.0
    torch.testing.assert_close(
        mask_pool(features, logits)[0, 0], F.normalize(features[0, :, 1, 2], dim=0), atol=1e-4, rtol=1e-4
    )


def test_masks_do_not_disturb_one_another() -> None:
    features, logits = draw(1, 8, 4, 6), draw(1, 4, 16, 24)
    together = mask_pool(features, logits)
    alone = torch.cat([mask_pool(features, logits[:, [q]]) for q in range(4)], 1)
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("kind", GRIDS)
def test_shares_are_shares(kind: str) -> None:
    masks = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    shares = cell_shares(masks, GRIDS[kind])
    assert shares.shape == (1, 3, *GRIDS[kind])
    assert 0 <= shares.min() <= shares.max() <= 1
    assert torch.equal(cell_shares(torch.ones(1, 1, 16, 24), GRIDS[kind]), torch.ones(1, 1, *GRIDS[kind]))


def test_a_grid_of_no_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="do not lie on a CLIP grid of 3 x 5 cells"):
        cell_shares(torch.ones(1, 1, 16, 24), (3, 5))

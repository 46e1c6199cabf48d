import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lexiseg.layers.pooling import mask_pool
from lexiseg.layers.spatial_adapter import SpatialAdapter


@pytest.fixture
def projections(rng: torch.Generator) -> tuple[nn.Linear, nn.Linear]:
    v_proj, c_proj = nn.Linear(12, 12), nn.Linear(12, 6)
    with torch.no_grad():
        for value in (*v_proj.parameters(), *c_proj.parameters()):
            value.copy_(torch.randn(value.shape, generator=rng))
    return v_proj, c_proj


@torch.no_grad()
def test_every_cell_is_the_pools_two_linear_maps(
    projections: tuple[nn.Linear, nn.Linear], rng: torch.Generator
) -> None:
    v_proj, c_proj = projections
    cells = torch.randn(2, 12, 3, 5, generator=rng)
    adapter = SpatialAdapter(12, 6)

    adapter.fold(v_proj, c_proj)

    expected = c_proj(v_proj(cells.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
    torch.testing.assert_close(adapter(cells), expected, atol=1e-4, rtol=1e-5)
    assert not any(parameter.requires_grad for parameter in adapter.parameters())


@torch.no_grad()
def test_the_whole_picture_pools_as_attention_that_looks_everywhere_alike(
    projections: tuple[nn.Linear, nn.Linear], rng: torch.Generator
) -> None:
    v_proj, c_proj = projections
    cells = torch.randn(1, 12, 2, 3, generator=rng)
    adapter = SpatialAdapter(12, 6)
    adapter.fold(v_proj, c_proj)

    pooled = mask_pool(adapter(cells), torch.ones(1, 1, 16, 24))

    tokens = cells.flatten(2)[0].T  # 6 cells, each with weight 1/6
    uniform = c_proj(torch.full((1, 6), 1 / 6) @ v_proj(tokens))
    torch.testing.assert_close(pooled[0], F.normalize(uniform, dim=-1), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_positions_are_added_before_the_map(projections: tuple[nn.Linear, nn.Linear], rng: torch.Generator) -> None:
    adapter, plain = SpatialAdapter(12, 6, positions="resize"), SpatialAdapter(12, 6)
    adapter.fold(*projections)
    plain.fold(*projections)
    cells, positions = torch.randn(1, 12, 2, 3, generator=rng), torch.randn(12, 2, 3, generator=rng)
    assert torch.equal(adapter(cells, positions), plain(cells + positions))
    assert torch.equal(plain(cells, positions), plain(cells))

"""Figure 4: cosines of classes, and what a softmax layer learns."""

import pytest
import torch
from torch.nn import functional as F

from lexiseg.studies.figures.prototypes import (
    LAYER,
    PROBE,
    SPREAD,
    TEXT,
    alikeness,
    cosines,
    draw,
    figures_of,
    fit_probe,
)


def test_every_pair_of_classes_is_compared_once() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])

    assert sorted(cosines(rows).tolist()) == pytest.approx([0, 0.5**0.5, 0.5**0.5])


def test_classes_at_right_angles_are_not_alike_and_equal_ones_wholly() -> None:
    apart, equal = alikeness(torch.eye(4)), alikeness(torch.ones(4, 3))

    assert (apart["mean cosine"], apart["deviation"], apart["above 0.5"], apart["nearest"]) == (0, 0, 0, 0)
    assert apart["nearest, centred"] == pytest.approx(-100 / 3)
    assert equal["mean cosine"] == equal["nearest"] == pytest.approx(100)
    assert equal["above 0.5"] == 100


def test_what_all_classes_share_makes_them_alike_until_it_is_taken_off() -> None:
    rows = F.normalize(torch.randn(12, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    shared = rows + torch.full((8,), 2.0)

    assert alikeness(shared)["mean cosine"] > alikeness(rows)["mean cosine"] + 50
    assert alikeness(shared)["nearest, centred"] == pytest.approx(alikeness(rows)["nearest, centred"], abs=1e-3)


def test_a_probe_learns_classes_and_its_rows_sum_to_zero() -> None:
    rng = torch.Generator().manual_seed(1)
    centres = F.normalize(torch.randn(5, 16, generator=rng), dim=-1)
    classes = torch.arange(5).repeat(20)
    features = F.normalize(centres[classes] + 0.05 * torch.randn(100, 16, generator=rng), dim=-1)

    rows = fit_probe(features, classes, 6)

    assert ((features @ rows.T).argmax(1) == classes).double().mean() > 0.95
    assert rows.sum(0).abs().max() < 1e-3 * rows.abs().max()
    assert torch.equal(rows, fit_probe(features, classes, 6))


def test_figures_come_with_blocks_of_classes_and_the_range_over_the_vocabularies() -> None:
    rng = torch.Generator().manual_seed(2)
    rows = {"COCO": torch.randn(25, 8, generator=rng), "ADE20K": torch.randn(7, 8, generator=rng) + 1}

    found = figures_of(rows)

    assert len(found["COCO mean cosine"]["blocks"]) == 20
    without = torch.cat([rows["COCO"][1:20], rows["COCO"][21:]])
    assert found["COCO nearest"]["blocks"][0] == pytest.approx(alikeness(without)["nearest"])
    gap = found["ADE20K mean cosine"]["value"] - found["COCO mean cosine"]["value"]
    assert found[SPREAD]["value"] == pytest.approx(gap)
    assert SPREAD not in figures_of({"COCO": rows["COCO"]})
    assert figures_of({"COCO": rows["COCO"][:2]}) == {}


def test_the_figure_has_a_panel_for_each_vocabulary_and_the_class_layer_where_there_is_one() -> None:
    rows = torch.randn(9, 4, generator=torch.Generator().manual_seed(3))
    both = {"COCO": rows, "ADE20K": rows[:5]}

    svg = draw({TEXT: both, PROBE: both, LAYER: {"COCO": rows}}).svg()

    for words in ("COCO: 9 names", "ADE20K: 5 names", "text embeddings of the names", "class layer"):
        assert words in svg

"""Levels of the taxonomy that segments get right, on drawn scenes."""

from dataclasses import replace

import pytest

import tiny
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Dataset
from lexiseg.evaluation.hierarchy import HierarchyAccuracy, _levels, hierarchy_accuracy
from lexiseg.models.opsnet import OPSNet, OPSNetConfig
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import NOVEL

WORDS = Vocabulary.of(NOVEL, ("a photo of a {}.",))


@pytest.fixture(scope="module")
def model() -> OPSNet:
    segmenter = replace(tiny.RESNET, num_queries=5)
    return tiny.seeded(
        OPSNet(OPSNetConfig(segmenter=segmenter, clip=tiny.CLIP, training_vocabulary=WORDS, longest_side=96))
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("novel")
    return write_storybook(StorybookSpec(role="novel", split="val", count=3, size=(96, 96)), root / "data")


@pytest.fixture(scope="module")
def figures(model: OPSNet, dataset: Dataset) -> HierarchyAccuracy:
    return hierarchy_accuracy(model, dataset, WORDS)


def test_every_true_segment_is_counted_once_for_each_way(figures: HierarchyAccuracy, dataset: Dataset) -> None:
    number = sum(len(sample.segments or ()) for sample in dataset.samples)

    assert figures.num_pictures == 3
    assert figures.num_segments == number
    for way in ("names", "means", "sums", "best"):
        one = [figures.of("true", way, level) for level in (1, 2, 3, None)]
        assert [level.count for level in one] == [number] * 4
        assert sorted((level.correct for level in one[:3]), reverse=True) == [level.correct for level in one[:3]]
        assert one[-1].correct == figures.of("true", way, 4).correct <= number


def test_of_predicted_masks_those_are_counted_that_match(figures: HierarchyAccuracy) -> None:
    counts = {figures.of("predicted", way, 1).count for way in ("names", "means", "sums", "best")}

    assert len(counts) == 1
    assert counts.pop() < figures.num_segments


def test_the_table_has_a_row_for_each_way_and_json_the_shares(figures: HierarchyAccuracy) -> None:
    heading, *rows = figures.table()

    assert heading == ("masks", "way", "level 1", "level 2", "level 3", "level 4", "concept", "segments")
    assert [row[:2] for row in rows] == [
        (m, w) for m in ("true", "predicted") for w in ("names", "means", "sums", "best")
    ]
    shares = [one["accuracy"] for one in figures.to_jsonable()["levels"] if one["masks"] == "true"]
    assert all(0 <= share <= 1 for share in shares)
    with pytest.raises(KeyError, match="no path has a level 9"):
        figures.of("true", "sums", 9)


def test_levels_are_right_as_far_as_two_paths_agree() -> None:
    true = ("thing", "animal", "cat")

    assert _levels(("thing", "animal", "dog"), true) == [(1, True), (2, True), (3, False), (None, False)]
    assert _levels(("stuff", "animal", "cat"), true) == [(1, False), (2, False), (3, False), (None, False)]
    assert _levels(("thing", "animal", "cat", "tabby"), true)[-1] == (None, False)
    assert _levels(true, true)[-1] == (None, True)


def test_a_word_without_a_place_is_refused(model: OPSNet, dataset: Dataset) -> None:
    with pytest.raises(ValueError, match="every concept needs a place in the taxonomy, but 'cat' has no path"):
        hierarchy_accuracy(model, dataset, Vocabulary.of("cat, dog"))

import json
from fractions import Fraction
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexiseg.data.dataset import Dataset, SegmentInfo, describe_segments
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.data.id_maps import load_ids
from lexiseg.evaluation.metrics.panoptic_quality import (
    ClassTally,
    PanopticTally,
    mask_overlaps,
    overlaps,
    summarise,
    tally_pair,
)
from pq_twin import (
    CATEGORIES,
    Side,
    added,
    disagreeing,
    moved,
    random_scene,
    scene,
    slow_counts,
    slow_figures,
    write_pairs,
)


def as_counts(tally: PanopticTally) -> dict[int, tuple[Fraction, int, int, int]]:
    return {key: (Fraction(c.iou_units, 2**53), c.tp, c.fp, c.fn) for key, c in tally.classes.items()}


def tally(truth: Side, predicted: Side) -> PanopticTally:
    return tally_pair(*truth, *predicted, CATEGORIES)


@pytest.fixture
def golden(shared: Path) -> tuple[Dataset, Dataset, dict]:
    folder = shared / "golden" / "pq"
    truth = read_panoptic(folder, annotations=folder / "gt.json")
    predicted = read_panoptic(folder, annotations=folder / "pred.json", categories=truth.categories)
    return truth, predicted, json.loads((folder / "expected.json").read_text())


def golden_tallies(truth: Dataset, predicted: Dataset) -> list[PanopticTally]:
    answers = {sample.image_id: sample for sample in predicted.samples}
    return [
        tally_pair(
            load_ids(sample.mask_path),
            sample.segments,
            load_ids(answers[sample.image_id].mask_path),
            answers[sample.image_id].segments,
            truth.categories,
        )
        for sample in truth.samples
    ]


def test_the_slow_twin_is_reproduced_from_files(tmp_path: Path):
    """What `test_the_official_evaluator_is_reproduced` holds against recorded figures, without the shared data."""
    expected = slow_figures(added(write_pairs(tmp_path)))
    truth = read_panoptic(tmp_path / "gt")
    predicted = read_panoptic(tmp_path / "pred", categories=truth.categories)
    tallies = golden_tallies(truth, predicted)

    report = summarise(reduce(add, tallies), truth.categories)

    assert summarise(reduce(add, tallies[::-1]), truth.categories) == report
    for group, name in ((report.all, "all"), (report.things, "things"), (report.stuff, "stuff")):
        assert {"pq": group.pq, "sq": group.sq, "rq": group.rq, "n": group.n} == pytest.approx(expected[name], abs=1e-9)
        assert 0 < group.pq < 1
    assert len(report.per_class) == 3
    for one in report.per_class:
        found = {"pq": one.pq, "sq": one.sq, "rq": one.rq}
        assert found == pytest.approx(expected[str(one.category.id)], abs=1e-9)


def test_the_official_evaluator_is_reproduced(golden):
    truth, predicted, expected = golden

    report = summarise(reduce(add, golden_tallies(truth, predicted)), truth.categories)

    for group, name in ((report.all, "All"), (report.things, "Things"), (report.stuff, "Stuff")):
        assert group.n == expected[name]["n"]
        for figure in ("pq", "sq", "rq"):
            assert getattr(group, figure) == pytest.approx(expected[name][figure], abs=1e-9)
    assert len(report.per_class) == len(expected["per_class"])
    for one in report.per_class:
        official = expected["per_class"][str(one.category.id)]
        for figure in ("pq", "sq", "rq"):
            assert getattr(one, figure) == pytest.approx(official[figure], abs=1e-9)


def test_the_order_of_adding_never_changes_a_digit(golden):
    truth, predicted, _ = golden
    tallies = golden_tallies(truth, predicted)
    forward = reduce(add, tallies)

    assert reduce(add, tallies[::-1]) == forward
    assert sum(tallies[::2], PanopticTally()) + sum(tallies[1::2], PanopticTally()) == forward


def test_the_golden_truth_agrees_perfectly_with_itself(golden):
    truth, _, _ = golden

    report = summarise(reduce(add, golden_tallies(truth, truth)), truth.categories)

    # A crowd region listed as a prediction lies wholly on its own crowd and is forgiven.
    assert (report.all.pq, report.all.sq, report.all.rq) == (1.0, 1.0, 1.0)
    assert report.all.n == report.things.n + report.stuff.n > 0


def test_a_true_coco_sample_agrees_perfectly_with_itself(coco_sample: Path):
    data = read_panoptic(coco_sample)
    total = PanopticTally()
    for sample in data.samples:
        ids = data.annotation(sample, strict=True).to_segmentation(()).ids
        total += tally_pair(ids, sample.segments, ids, sample.segments, data.categories)

    report = summarise(total, data.categories)

    assert (report.all.pq, report.things.pq, report.stuff.pq) == (1.0, 1.0, 1.0)
    kinds = {segment.category_id for sample in data.samples for segment in sample.segments if not segment.is_crowd}
    things = kinds & {category.id for category in data.categories if category.is_thing}
    assert (report.things.n, report.stuff.n) == (len(things), len(kinds - things)) == (4, len(kinds - things))
    assert coco_sample.name != "coco_panoptic" or report.stuff.n == 4


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_random_pairs_equal_the_slow_twin(seed: int, resembles: bool):
    rng = np.random.default_rng(seed)
    truth = random_scene(rng, with_crowd=True)
    predicted = moved(rng, truth) if resembles else random_scene(rng, with_crowd=False)

    assert as_counts(tally(truth, predicted)) == slow_counts(truth, predicted)


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1))
def test_lists_that_disagree_with_their_maps_equal_the_slow_twin(seed: int):
    rng = np.random.default_rng(seed)
    truth = disagreeing(rng, random_scene(rng, with_crowd=True))
    predicted = disagreeing(rng, moved(rng, (truth[0], truth[1])))

    assert as_counts(tally(truth, predicted)) == slow_counts(truth, predicted)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_swapping_roles_swaps_misses_and_false_alarms(seed: int):
    rng = np.random.default_rng(seed)
    ids, _ = random_scene(rng, with_crowd=False)
    # Without void and crowd, which only the truth may forgive with.
    truth = np.where(ids == 0, 77, ids), {**{int(i): 1 for i in np.unique(ids)}, 77: 9}
    there = truth[0], describe_segments(truth[0], truth[1])
    back = moved(rng, there)

    forth, reverse = tally(there, back), tally(back, there)

    assert forth.classes.keys() == reverse.classes.keys()
    for key in forth.classes:
        assert (forth[key].fp, forth[key].fn) == (reverse[key].fn, reverse[key].fp)
        assert (forth[key].tp, forth[key].iou_units) == (reverse[key].tp, reverse[key].iou_units)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_any_truth_agrees_perfectly_with_itself(seed: int):
    truth = random_scene(np.random.default_rng(seed), with_crowd=False)

    report = summarise(tally(truth, truth), CATEGORIES)

    assert report.all.n == len({segment.category_id for segment in truth[1]})
    assert report.all.pq == (1.0 if truth[1] else 0.0)


def test_an_overlap_of_exactly_one_half_is_no_match():
    truth = scene([[1, 1, 1, 2]], {1: 1, 2: 9})
    predicted = scene([[5, 5, 6, 6]], {5: 9, 6: 9})

    counts = tally(truth, predicted)

    assert counts[1] == ClassTally(fn=1)
    assert counts[9] == ClassTally(fp=2, fn=1)  # 1 of 2 pixels: IoU is 1/2, not above


def test_true_void_under_a_prediction_is_taken_off_the_union():
    truth = scene([[1, 1, 0, 0]], {1: 1})
    predicted = scene([[5, 5, 5, 5]], {5: 1})

    assert tally(truth, predicted)[1] == ClassTally(iou_units=2**53, tp=1)


def test_predicted_void_over_a_segment_forgives_nothing():
    truth = scene([[1] * 10], {1: 9})
    predicted = scene([[5] + [0] * 9], {5: 9})

    assert tally(truth, predicted)[9] == ClassTally(fp=1, fn=1)


def test_only_crowd_of_the_same_category_forgives():
    truth = scene([[1, 1, 1, 1]], {1: 1}, crowd=[1])
    predicted = scene([[5, 5, 6, 6]], {5: 1, 6: 4})

    assert tally(truth, predicted).classes == {4: ClassTally(fp=1)}


def test_exactly_half_on_void_is_not_forgiven():
    truth = scene([[1, 0, 0, 2]], {1: 4, 2: 4})

    assert tally(truth, scene([[5, 5, 0, 0]], {5: 1}))[1] == ClassTally(fp=1)
    assert tally(truth, scene([[5, 5, 5, 0]], {5: 1}))[1] == ClassTally()


def test_classes_that_never_occur_stay_out_of_the_means():
    truth = scene([[1, 1, 2, 2]], {1: 1, 2: 9})
    predicted = scene([[5, 5, 0, 0]], {5: 1})

    report = summarise(tally(truth, predicted), CATEGORIES)

    assert (report.all.pq, report.all.n) == (0.5, 2)
    assert (report.things.pq, report.things.n) == (1.0, 1)
    assert (report.stuff.pq, report.stuff.sq, report.stuff.n) == (0.0, 0.0, 1)
    assert [one.category.name for one in report.per_class] == ["cat", "owl", "sky"]


def test_nothing_at_all_is_zero_and_no_division():
    report = summarise(PanopticTally(), CATEGORIES)

    assert (report.all.pq, report.all.n, report.per_class[0].pq) == (0.0, 0, 0.0)


@pytest.mark.parametrize(
    ("ids", "segments", "said"),
    [
        ([[5, 6]], {5: 1}, "segment 6 is in the map but not in the list"),
        ([[5, 0]], {5: 1, 6: 1}, "segment 6 is in the list but not in the map"),
        ([[5, 0]], {5: 2}, "category 2"),
        ([[5, 0]], {5: 1, 0: 1}, "positive and fit"),
        ([[5, 0, 0]], {5: 1}, "the truth is 2 x 1 pixels, the prediction 3 x 1: "),
    ],
)
def test_a_prediction_that_contradicts_itself_is_refused(ids: list[list[int]], segments: dict[int, int], said: str):
    truth = scene([[1, 1]], {1: 1})
    listed = [SegmentInfo(id=i, category_id=c, area=0, box=(0, 0, 0, 0)) for i, c in segments.items()]

    with pytest.raises(ValueError, match=said):
        tally_pair(*truth, np.array(ids), listed, CATEGORIES)


def test_a_true_segment_without_a_pixel_is_missed():
    truth = np.array([[5, 5]], np.int32)
    listed = [SegmentInfo(id=i, category_id=1, area=2, box=(0, 0, 0, 0)) for i in (5, 6)]

    tally = tally_pair(truth, listed, *scene([[5, 5]], {5: 1}), CATEGORIES)

    assert (tally[1].tp, tally[1].fn) == (1, 1)


def test_pixels_of_an_unlisted_true_segment_are_neither_void_nor_anybodys():
    truth = np.array([[5, 7, 7]], np.int32)
    listed = [SegmentInfo(id=5, category_id=1, area=1, box=(0, 0, 0, 0))]

    tally = tally_pair(truth, listed, *scene([[2, 2, 3]], {2: 1, 3: 4}), CATEGORIES)

    assert tally[1] == ClassTally(fp=1, fn=1)  # IoU is exactly 1/2: were the 7 void, it would be 1
    assert tally[4] == ClassTally(fp=1)


@given(st.integers(0, 2**32 - 1))
def test_masks_match_as_the_segments_of_a_map_do_and_their_ious_are_those_of_sets_of_pixels(seed: int):
    rng = np.random.default_rng(seed)
    ids, segments = random_scene(rng, with_crowd=True)
    listed = segments[1:]  # the pixels of the first are neither void nor anybody's
    found_ids, found = moved(rng, (ids, segments))
    masks = [found_ids == one.id for one in found]

    pairs = mask_overlaps(ids, listed, masks)

    assert np.array_equal(pairs.matches()[1:, 1:], overlaps(ids, listed, found_ids, found).matches()[1:, 1:])
    for column, mask in enumerate(masks, start=1):
        for row, segment in enumerate(listed, start=1):
            true, pixels = {*np.flatnonzero(ids == segment.id)}, {*np.flatnonzero(mask & (ids != 0))}
            assert pairs.iou()[row, column] == len(true & pixels) / max(1, len(true | pixels))
        match = pairs.matched()[column - 1]
        over_half = [i for i, s in enumerate(listed) if pairs.iou()[i + 1, column] > 0.5 and not s.is_crowd]
        assert over_half == ([] if match is None else [match])

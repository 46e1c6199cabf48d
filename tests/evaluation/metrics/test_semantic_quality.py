import json
import math
from fractions import Fraction
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexiseg.core.structures import PanopticMap, Segment
from lexiseg.data.dataset import Category
from lexiseg.evaluation.metrics.semantic_quality import (
    SemanticTally,
    harmonic_mean,
    over_classes,
    summarise_semantic,
    tally_labels,
)
from lexiseg.models.postprocess.semantic import semantic_map

CATEGORIES = tuple(
    Category(id=10 + i, name=name, is_thing=i < 2) for i, name in enumerate(("cat", "owl", "sky", "sea"))
)


def labels(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.int32)


def random_labels(seed: int, num_classes: int, *, blocky: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 9, 2)
    pair = [rng.integers(-1, num_classes, shape).astype(np.int32) for _ in range(2)]
    return tuple(np.kron(one, np.ones((1, 5), np.int32)) if blocky else one for one in pair)


def slow_figures(truth: np.ndarray, predicted: np.ndarray, num_classes: int) -> dict[str, float]:
    """The definitions as one would first write them: boolean masks, one class at a time, in fractions."""
    valid = truth >= 0
    ious, accuracies, weighted, occurring = [], [], [], 0
    for k in range(num_classes):
        true, found = (truth == k) & valid, (predicted == k) & valid
        both, either = int((true & found).sum()), int((true | found).sum())
        occurring += either > 0
        if true.any():
            ious.append(Fraction(both, either))
            accuracies.append(Fraction(both, int(true.sum())))
            weighted.append(Fraction(both, either) * int(true.sum()))
    pixels = int(valid.sum())
    return {
        "miou": float(sum(ious) / occurring) if occurring else 0.0,
        "fwiou": float(sum(weighted) / pixels) if pixels else 0.0,
        "pixel_accuracy": int(((truth == predicted) & valid).sum()) / pixels if pixels else 0.0,
        "mean_accuracy": float(sum(accuracies) / len(accuracies)) if accuracies else 0.0,
    }


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 4, 300]), st.booleans())
def test_random_pairs_equal_the_slow_twin(seed: int, num_classes: int, blocky: bool):
    truth, predicted = random_labels(seed, num_classes, blocky=blocky)
    categories = [Category(id=i, name=str(i), is_thing=False) for i in range(num_classes)]

    quality = summarise_semantic(tally_labels(truth, predicted, num_classes), categories)

    for name, value in slow_figures(truth, predicted, num_classes).items():
        assert getattr(quality, name) == pytest.approx(value, abs=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_every_cell_of_the_matrix_counts_its_pixels(seed: int):
    truth, predicted = random_labels(seed, 4, blocky=False)

    confusion = tally_labels(truth, predicted, 4).confusion

    for true in range(4):
        assert [int(((truth == true) & (predicted == k)).sum()) for k in (0, 1, 2, 3, -1)] == confusion[true].tolist()
    assert confusion.dtype == np.int64


def test_other_types_of_whole_numbers_count_the_same():
    truth, predicted = labels([0, 1, 1, 3], [2, 2, 0, 0]), labels([0, 1, 2, 3], [2, 0, 0, 0])

    small = tally_labels(truth.astype(np.uint8), predicted.astype(np.int16), 4)

    assert (small.confusion == tally_labels(truth, predicted, 4).confusion).all()


def test_void_in_the_prediction_is_a_miss_and_never_ignored():
    full = summarise_semantic(tally_labels(labels([0, 0, 0, 2]), labels([0, 0, -1, 2]), 4), CATEGORIES)

    assert full.per_class[0].iou == full.per_class[0].accuracy == 2 / 3
    assert full.pixel_accuracy == 3 / 4
    assert full.miou == (2 / 3 + 1) / 2


def test_ignored_truth_forgives_whatever_is_predicted_there():
    quality = summarise_semantic(tally_labels(labels([0, 0, -1, -1]), labels([0, 0, 0, 3]), 4), CATEGORIES)

    assert (quality.miou, quality.pixel_accuracy) == (1.0, 1.0)
    assert quality.per_class[0].predicted_pixels == 2
    assert not quality.per_class[3].occurs


def test_a_class_that_is_only_predicted_pulls_the_mean_down():
    """Where OVSeg's mIoU differs from the plain mean over the true classes, which would be 3/4."""
    quality = summarise_semantic(tally_labels(labels([0, 0, 2, 2]), labels([0, 3, 2, 2]), 4), CATEGORIES)

    assert [one.iou for one in quality.per_class] == [0.5, 0.0, 1.0, 0.0]
    assert quality.miou == 1.5 / 3
    assert quality.mean_accuracy == 0.75  # over the two true classes


def test_a_split_gives_the_mean_of_either_side_and_their_harmonic_mean():
    tally = tally_labels(labels([0, 0, 2, 2, 3, 3]), labels([0, 0, 2, 3, 3, 3]), 4)

    quality = summarise_semantic(tally, CATEGORIES, frozenset({"sky", "sea"}))

    assert quality.miou_seen == 1.0
    assert quality.miou_unseen == (1 / 2 + 2 / 3) / 2
    assert quality.hiou == pytest.approx(2 * (7 / 12) / (1 + 7 / 12), abs=1e-15)
    assert summarise_semantic(tally, CATEGORIES).hiou is None


def test_the_harmonic_mean_is_symmetric_and_zero_if_either_side_is():
    assert harmonic_mean(0.2, 0.6) == harmonic_mean(0.6, 0.2) == pytest.approx(0.3)
    assert harmonic_mean(0.0, 0.6) == harmonic_mean(0.6, 0.0) == harmonic_mean(0.0, 0.0) == 0.0


@given(st.integers(0, 2**32 - 1))
def test_the_order_of_pictures_and_of_classes_never_changes_a_digit(seed: int):
    rng = np.random.default_rng(seed)
    pairs = [(rng.integers(-1, 9, (7, 11)), rng.integers(-1, 9, (7, 11))) for _ in range(6)]
    categories = [Category(id=i, name=str(i), is_thing=False) for i in range(9)]
    tallies = [tally_labels(*pair, 9) for pair in pairs]
    together = summarise_semantic(reduce(add, tallies), categories)
    order = rng.permutation(9)
    place = np.append(np.argsort(order), -1)  # -1 stays -1

    backwards = sum(tallies[:2], SemanticTally.zero(9)) + sum(tallies[:1:-1], SemanticTally.zero(9))
    renamed = sum((tally_labels(place[t], place[p], 9) for t, p in pairs), SemanticTally.zero(9))
    shuffled = summarise_semantic(renamed, [categories[i] for i in order])

    assert summarise_semantic(backwards, categories) == together
    assert (shuffled.miou, shuffled.fwiou, shuffled.mean_accuracy) == (
        together.miou,
        together.fwiou,
        together.mean_accuracy,
    )


def test_a_group_of_classes_has_the_figures_of_its_own_rows():
    tally = tally_labels(labels([0, 0, 2, 2, 3, 3]), labels([0, 0, 2, 3, 3, 3]), 4)
    quality = summarise_semantic(tally, CATEGORIES, frozenset({"sky", "sea"}))

    group = over_classes(quality, CATEGORIES[2:])

    assert group.miou == quality.miou_unseen
    assert group.pixel_accuracy == 3 / 4
    assert [one.category.name for one in group.per_class] == ["sky", "sea"]


def test_a_tally_goes_through_json_and_comes_back_whole():
    tally = tally_labels(labels([0, 3, -1, 2]), labels([0, -1, 1, 3]), 4)

    back = SemanticTally.from_jsonable(json.loads(json.dumps(tally.to_jsonable())))

    assert (back.confusion == tally.confusion).all()
    assert back.confusion.dtype == tally.confusion.dtype
    assert len(tally.to_jsonable()["counts"]) == 3


def test_the_report_is_plain_data_and_has_a_split_only_if_there_is_one():
    tally = tally_labels(labels([0, 0, 2, 2]), labels([0, 3, 2, 2]), 4)

    plain = json.loads(json.dumps(summarise_semantic(tally, CATEGORIES).to_jsonable()))
    split = summarise_semantic(tally, CATEGORIES, frozenset({"sea"})).to_jsonable()

    assert plain["miou"] == 0.5
    assert plain["per_class"][0] == {
        "name": "cat",
        "category_id": 10,
        "iou": 0.5,
        "accuracy": 0.5,
        "hits": 1,
        "true_pixels": 2,
        "predicted_pixels": 1,
    }
    assert "hiou" not in plain
    assert split["hiou"] == 0.0


def test_nothing_at_all_is_zero_and_no_division():
    quality = summarise_semantic(SemanticTally.zero(4), CATEGORIES, frozenset({"cat"}))

    assert (quality.miou, quality.fwiou, quality.pixel_accuracy, quality.mean_accuracy) == (0.0, 0.0, 0.0, 0.0)
    assert quality.hiou == 0.0
    assert not math.isnan(quality.per_class[0].iou)
    assert tally_labels(np.zeros((0, 5), np.int32), np.zeros((0, 5), np.int32), 4).confusion.sum() == 0


def test_segments_of_a_panoptic_map_count_by_their_category():
    ids = np.array([[1, 1, 2, 3, 0]], np.int32)
    segments = [
        Segment(id=i, class_id=c, name="", score=1.0, is_thing=True, area=1, box=(0, 0, 1, 1))
        for i, c in ((1, 0), (2, 0), (3, 2))
    ]
    predicted = semantic_map(PanopticMap(segmentation=ids, segments=tuple(segments)), 4)

    quality = summarise_semantic(tally_labels(labels([0, 0, 0, 2, 2]), predicted, 4), CATEGORIES)

    assert [one.iou for one in quality.per_class] == [1.0, 0.0, 0.5, 0.0]


@pytest.mark.parametrize(
    ("truth", "predicted", "said"),
    [
        ([[0, 4]], [[0, 0]], "truth: class ids must lie in 0 to 3, or be -1 for none, got 4"),
        ([[0, 1]], [[-2, 0]], "prediction: class ids must lie in 0 to 3, or be -1 for none, got -2"),
        ([[0, 1]], [[0, 1, 1]], "the truth is 2 x 1 pixels, the prediction 3 x 1: "),
    ],
)
def test_what_is_no_class_id_is_refused(truth: list[list[int]], predicted: list[list[int]], said: str):
    with pytest.raises(ValueError, match=said):
        tally_labels(np.array(truth, np.int32), np.array(predicted, np.int32), 4)


def test_counts_categories_and_held_out_names_must_fit_one_another():
    with pytest.raises(ValueError, match="4 classes, but there are 3 categories"):
        summarise_semantic(SemanticTally.zero(4), CATEGORIES[:3])
    with pytest.raises(ValueError, match="'zebra' is held out, but no category"):
        summarise_semantic(SemanticTally.zero(4), CATEGORIES, frozenset({"zebra"}))
    with pytest.raises(ValueError, match="over 4 and over 3 classes do not add up"):
        SemanticTally.zero(4) + SemanticTally.zero(3)

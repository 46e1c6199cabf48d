"""Oracles on hand-made predictions, where what each costs is known, and the whole diagnosis on drawn scenes."""

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from lexiseg.core.frames import Frame
from lexiseg.core.structures import MaskPrediction, MaskProposals
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Category, Dataset, Segmentation, describe_segments
from lexiseg.evaluation.diagnosis import (
    DiagnosisTally,
    diagnose,
    summarise_diagnosis,
    tally_image,
    tally_segments,
)
from lexiseg.evaluation.evaluator import evaluate_dataset
from lexiseg.evaluation.loading import AnnotatedBatch, batched, open_all
from lexiseg.evaluation.measure import Answer
from lexiseg.evaluation.metrics.panoptic_quality import PanopticTally, summarise, tally_pair
from lexiseg.evaluation.metrics.sizes import size_of
from lexiseg.evaluation.oracles import ALONE, LADDER, MatchedImage, answer, match_proposals, true_proposals
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.models.opsnet import OPSNet, OPSNetConfig
from lexiseg.models.postprocess.panoptic import MergeConfig
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import NOVEL
from lexiseg.studies.opsnet.ablations import ORACLE, study

WORDS = Vocabulary.of("cat, dog, sky:stuff, sea:stuff")
CAT, DOG, SKY, SEA, NEGATIVE = range(5)
IDS = (7, 3, 9, 5)
CATEGORIES = tuple(Category(id=i, name=c.name, is_thing=c.is_thing) for i, c in zip(IDS, WORDS.concepts, strict=True))
SIDE = 16
HALVES = ((0, 0, 8, 16), (8, 0, 16, 16))
"""A picture in two parts, left and right: x, y, right end, bottom."""


def box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top:bottom, left:right] = True
    return mask


def truth_of(parts: Sequence[tuple[np.ndarray, int]], *, crowd: Sequence[int] = ()) -> Segmentation:
    """Segments 11, 12 ... with their masks and class ids."""
    ids = np.zeros((SIDE, SIDE), np.int32)
    for number, (mask, _) in enumerate(parts, start=11):
        ids[mask] = number
    category_ids = {number: IDS[class_id] for number, (_, class_id) in enumerate(parts, start=11)}
    return Segmentation(ids=ids, segments=describe_segments(ids, category_ids, crowd=crowd))


def predicted(parts: Sequence[tuple[np.ndarray, int, float]], *, strength: float = 8.0) -> MaskPrediction:
    """Masks, class ids (one negative beside the four words) and predicted IoUs, which then are the scores."""
    masks = torch.from_numpy(np.stack([mask for mask, _, _ in parts])).float()
    class_logits = torch.zeros(1, len(parts), 5)
    class_logits[0, torch.arange(len(parts)), torch.tensor([c for _, c, _ in parts])] = 60.0
    return MaskPrediction(
        mask_logits=((2 * masks - 1) * strength)[None],
        class_logits=class_logits,
        void_probs=torch.zeros(1, len(parts)),
        iou_scores=torch.tensor([[score for _, _, score in parts]]),
        num_concepts=4,
    )


def scene_of(prediction: MaskPrediction, truth: Segmentation, merge: MergeConfig | None = None) -> MatchedImage:
    frame = Frame(original=(SIDE, SIDE), resized=(SIDE, SIDE), padded=(SIDE, SIDE))
    return match_proposals(
        Answer(
            prediction=prediction,
            index=0,
            frame=frame,
            vocabulary=WORDS,
            category_ids=IDS,
            merge=merge or MergeConfig(),
            semantic_rule="merged",
        ),
        truth,
    )


def pq(scene: MatchedImage, *oracles: str, names: Sequence[int] = ()) -> float:
    ids, segments = answer(scene, oracles, names)  # pyright: ignore[reportArgumentType]
    tally = tally_pair(scene.truth.ids, scene.truth.segments, ids, segments, CATEGORIES)
    return summarise(tally, CATEGORIES).all.pq


def random_scene(seed: int, *, merge: MergeConfig | None = None) -> MatchedImage:
    """Boxes over one sky, void and perhaps a crowd; proposals that are these, shifted, or nothing of the kind."""
    rng = np.random.default_rng(seed)

    def some_box() -> np.ndarray:
        x, y, w, h = (int(v) for v in rng.integers((0, 0, 3, 3), (12, 12, 12, 12)))
        return box(x, y, min(SIDE, x + w), min(SIDE, y + h))

    parts = [(some_box(), SKY), *((some_box(), int(rng.choice([CAT, DOG]))) for _ in range(rng.integers(0, 5)))]
    crowd = [12] if len(parts) > 1 and rng.random() < 0.3 else []
    visible = truth_of(parts, crowd=crowd)
    kept = {s.id for s in visible.segments}
    proposals = []
    for number, (_, class_id) in enumerate(parts, start=11):
        for _ in range(int(rng.integers(0, 3)) if number in kept else 0):
            shift = rng.integers(-2, 3, 2)
            mask = np.roll(visible.ids == number, shift, (0, 1)) | (some_box() if rng.random() < 0.3 else False)
            name = class_id if rng.random() < 0.6 else int(rng.integers(0, 5))
            proposals.append((mask, name, float(rng.random())))
    proposals += [(some_box(), int(rng.integers(0, 5)), float(rng.random())) for _ in range(2)]
    prediction = predicted(proposals)
    noise = torch.from_numpy(rng.normal(0, 3, tuple(prediction.mask_logits.shape))).float()
    return scene_of(replace(prediction, mask_logits=prediction.mask_logits + noise), visible, merge)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 0.5, 0.7]), st.sampled_from([0.0, 0.8, 1.0]))
def test_the_ladder_ends_at_exactly_one_and_true_merging_never_lowers_a_class(seed: int, cut: float, overlap: float):
    scene = random_scene(seed, merge=MergeConfig(mask_threshold=cut, overlap_threshold=overlap))
    names = [int(c) for c in np.random.default_rng(seed).integers(0, 4, len(scene.segments))]

    tally = tally_image(scene, names, CATEGORIES)

    rungs = [summarise(tally.quality[oracles], CATEGORIES) for oracles in LADDER]
    assert rungs[-1].all.pq == (1.0 if scene.segments else 0.0)
    for before, after in zip(rungs[2].per_class, rungs[3].per_class, strict=True):
        assert after.pq >= before.pq
    assert rungs[3].all.pq >= rungs[2].all.pq
    assert rungs[2].all.n == rungs[3].all.n == rungs[4].all.n  # no false name is left
    assert set(tally.quality) == {*LADDER, *ALONE}


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_without_an_oracle_it_is_the_model(seed: int):
    scene = random_scene(seed)
    found = scene.answer.merged

    ids, segments = answer(scene, (), ())

    assert (ids == found.segmentation).all()
    assert [(s.id, s.category_id) for s in segments] == [(s.id, IDS[s.class_id]) for s in found.segments]


@given(st.integers(0, 2**32 - 1))
def test_sizes_add_up_to_the_model_and_every_true_segment_is_in_the_confusions(seed: int):
    rng = np.random.default_rng(seed)
    scale = int(rng.choice([1, 7, 12]))  # 16 pixels become up to 192: all three sizes occur

    def enlarged(ids: np.ndarray) -> np.ndarray:
        return np.kron(ids, np.ones((scale, scale), np.int32))

    scene = random_scene(seed)
    found_ids, found_segments = answer(scene, (), ())
    ids = enlarged(scene.truth.ids)
    segments = [replace(segment, area=segment.area * scale**2) for segment in scene.truth.segments]

    sizes, confusions = tally_segments(ids, segments, enlarged(found_ids), found_segments)

    whole = tally_pair(ids, segments, enlarged(found_ids), found_segments, CATEGORIES)
    assert sum(sizes.values(), PanopticTally()) == whole
    assert sum(confusions.values()) == len(scene.segments)
    right = sum(count for (true, given), count in confusions.items() if true == given)
    assert right == sum(c.tp for tally in sizes.values() for c in tally.classes.values())


def test_a_true_filter_keeps_what_matches_and_drops_what_does_not():
    left, right = (box(*half) for half in HALVES)
    truth = truth_of([(left, CAT), (right, DOG)])
    # Junk wins the contest; a cat is below the threshold; a dog is doubled; the dog's void is an asked name in doubt.
    scene = scene_of(
        predicted([(box(0, 0, 16, 5), DOG, 0.9), (left, CAT, 0.1), (right, DOG, 0.6), (right, CAT, 0.7)]), truth
    )

    assert pq(scene) < 0.5
    assert pq(scene, "filter") == 1.0


def test_a_true_filter_prefers_the_right_name_then_the_better_mask():
    left = box(*HALVES[0])
    almost = box(0, 0, 8, 12)
    wrong, coarse, rough = (left, DOG, 0.9), (box(0, 0, 8, 10), CAT, 0.8), (almost, CAT, 0.3)

    scene = scene_of(predicted([wrong, coarse, rough]), truth_of([(left, CAT)]))

    assert pq(scene, "filter") == 12 / 16
    assert pq(scene, "filter", "classes") == 1.0  # with true names the best mask is best


def test_a_negative_name_is_overruled_by_a_true_filter_and_by_nothing_else_but_true_names():
    left = box(*HALVES[0])
    prediction = predicted([(left, NEGATIVE, 0.9)])
    prediction.class_logits[0, 0, CAT] = 50.0  # the best asked name
    scene = scene_of(prediction, truth_of([(left, CAT)]))

    assert (pq(scene), pq(scene, "merge")) == (0.0, 0.0)
    assert (pq(scene, "filter"), pq(scene, "classes")) == (1.0, 1.0)


def test_true_classes_cost_what_wrong_names_cost():
    left, right = (box(*half) for half in HALVES)
    scene = scene_of(predicted([(left, DOG, 0.9), (right, SEA, 0.8)]), truth_of([(left, CAT), (right, SKY)]))

    assert (pq(scene), pq(scene, "filter"), pq(scene, "merge")) == (0.0, 0.0, 0.0)
    assert pq(scene, "classes") == 1.0


def test_true_classes_leave_the_models_own_filter_in_place():
    left, right = (box(*half) for half in HALVES)
    truth = truth_of([(left, CAT), (right, DOG)])

    scene = scene_of(predicted([(left, DOG, 0.1), (right, CAT, 0.8)]), truth)

    assert pq(scene, "classes") == 0.5  # the cat stays below the score threshold
    assert pq(scene, "filter", "classes") == 1.0


def test_true_merging_gives_pixels_back_to_those_who_lost_them():
    """The left mask reaches over the right segment and wins there, so the overlap rule drops the right one."""
    left, right = (box(*half) for half in HALVES)
    truth = truth_of([(left, CAT), (right, DOG)])

    scene = scene_of(predicted([(box(0, 0, 11, 16), CAT, 0.9), (right, DOG, 0.8)]), truth)

    assert pq(scene) == pytest.approx((8 / 11 + 0) / 2)
    assert pq(scene, "merge") == 1.0


def test_true_merging_leaves_pixels_that_nobody_else_has_and_names_as_they_are():
    left = box(*HALVES[0])
    truth = truth_of([(left, CAT), (box(*HALVES[1]), DOG)])

    scene = scene_of(predicted([(box(0, 0, 11, 16), CAT, 0.9)]), truth)

    assert pq(scene, "merge") == pq(scene) == pytest.approx((8 / 11) / 2)  # a fault of the mask, not of the merge


def test_true_merging_gives_a_mask_no_pixel_that_it_does_not_cover():
    scene = scene_of(predicted([(box(0, 0, 8, 12), CAT, 0.9)]), truth_of([(box(*HALVES[0]), CAT)]))

    assert pq(scene, "merge") == pq(scene, "filter", "classes", "merge") == 12 / 16


def test_a_negative_name_is_given_no_pixels_by_true_merging():
    left = box(*HALVES[0])
    scene = scene_of(predicted([(left, NEGATIVE, 0.9), (box(0, 0, 8, 12), DOG, 0.8)]), truth_of([(left, CAT)]))

    assert answer(scene, (), ())[1] == []
    assert [(s.category_id, s.area) for s in answer(scene, ("merge",), ())[1]] == [(IDS[DOG], 8 * 12)]


def test_no_score_threshold_can_shut_out_what_the_truth_lets_in():
    left = box(*HALVES[0])
    scene = scene_of(predicted([(left, CAT, 0.9)]), truth_of([(left, CAT)]), MergeConfig(score_threshold=1.0))

    assert (pq(scene), pq(scene, "filter"), pq(scene, "filter", "classes")) == (0.0, 1.0, 1.0)


def test_a_double_stays_dropped_when_pixels_are_given_by_truth():
    left = box(*HALVES[0])
    scene = scene_of(predicted([(left, CAT, 0.9), (box(0, 0, 8, 15), CAT, 0.8)]), truth_of([(left, CAT)]))

    _, segments = answer(scene, ("merge",), ())

    assert len(segments) == 1
    assert pq(scene, "merge") == 1.0


def test_true_masks_leave_only_the_names_to_go_wrong():
    left, right = (box(*half) for half in HALVES)
    scene = scene_of(predicted([(box(3, 3, 9, 9), CAT, 0.9)]), truth_of([(left, CAT), (right, SKY)]))

    assert pq(scene, "masks", names=[CAT, SKY]) == 1.0
    assert pq(scene, "masks", names=[CAT, SEA]) == pytest.approx(1 / 3)  # a sky missed and a sea that is none
    assert pq(scene, "filter", "classes", "merge", "masks") == 1.0


def test_crowds_are_neither_matched_nor_proposed():
    left, right = (box(*half) for half in HALVES)
    truth = truth_of([(left, CAT), (right, DOG)], crowd=[12])
    scene = scene_of(predicted([(right, DOG, 0.9), (left, CAT, 0.8)]), truth)

    assert scene.matched == (None, 0)
    ids, segments = answer(scene, ("masks",), [CAT])
    assert [s.category_id for s in segments] == [IDS[CAT]]
    assert set(np.unique(ids)) == {0, 11}
    assert pq(scene, "filter") == 1.0


def test_void_under_a_mask_is_taken_off_the_union_and_crowd_is_not():
    left, right = (box(*half) for half in HALVES)
    whole = predicted([(left | right, CAT, 0.9)])

    over_void = scene_of(whole, truth_of([(left, CAT)]))
    over_crowd = scene_of(whole, truth_of([(left, CAT), (right, DOG)], crowd=[12]))

    assert (over_void.matched, over_void.iou.tolist()) == ((0,), [[1.0]])
    assert (over_crowd.matched, over_crowd.iou.tolist()) == ((None,), [[0.5]])  # one half is not above one half


def test_the_confusions_name_what_was_taken_for_what():
    left, right = (box(*half) for half in HALVES)
    truth = truth_of([(left, CAT), (right & box(0, 0, 16, 12), DOG), (box(8, 12, 16, 16), SKY)])
    scene = scene_of(predicted([(left, SEA, 0.9), (right & box(0, 0, 16, 12), DOG, 0.8)]), truth)

    one = tally_image(scene, [CAT, DOG, SKY], CATEGORIES)
    done = summarise_diagnosis(one + one, CATEGORIES, num_pictures=2)

    assert [(c.true, c.given, c.count, c.share) for c in done.confusions] == [
        ("cat", "sea", 2, 1.0),
        ("dog", "dog", 2, 1.0),
        ("sky", None, 2, 1.0),
    ]
    assert done.confusion_table() == (
        ("true", "taken for", "segments", "% of the name"),
        ("cat", "sea", "2", "100"),
    )
    assert done.missed_table() == (("true", "segments", "% of the name"), ("sky", "2", "100"))
    assert len(done.confusion_table(limit=0)) == len(done.missed_table(limit=0)) == 1


def test_a_match_counts_in_the_size_of_its_truth_and_a_false_alarm_in_its_own():
    truth = np.zeros((200, 200), np.int32)
    truth[:, :31], truth[:, 100:], truth[:33, 60:91] = 1, 2, 3  # 6200, 20000 and 1023 pixels
    found = np.zeros_like(truth)
    found[:, :49], found[:, 100:120], found[:33, 60:91] = 5, 6, 7  # 9800 (over void), 4000 and 1023
    true_segments = describe_segments(truth, {1: 7, 2: 7, 3: 3})
    segments = describe_segments(found, {5: 7, 6: 7, 7: 9})

    sizes, _ = tally_segments(truth, true_segments, found, segments)

    assert sizes["medium"][7].tp == 1  # though its prediction is large
    assert (sizes["large"][7].fn, sizes["medium"][7].fp) == (1, 1)  # missed: large; the false alarm: medium
    assert (sizes["small"][3].fn, sizes["small"][9].fp) == (1, 1)
    assert [size_of(area**0.5) for area in (1023, 1024, 9215, 9216)] == ["small", "medium", "medium", "large"]


@settings(max_examples=6)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_adding_never_changes_a_digit(seed: int):
    tallies = [tally_image(s, [CAT] * len(s.segments), CATEGORIES) for s in map(random_scene, range(seed, seed + 3))]

    forward, back = reduce(add, tallies), sum(tallies[:0:-1], DiagnosisTally()) + tallies[0]

    assert DiagnosisTally.from_jsonable(json.loads(json.dumps(forward.to_jsonable()))) == forward
    assert forward.quality == back.quality
    assert forward.confusions == back.confusions
    one, other = (summarise_diagnosis(t, CATEGORIES, num_pictures=3) for t in (forward, back))
    assert one == other


def test_true_masks_go_with_the_query_that_overlaps_them_most():
    left, right = (box(*half) for half in HALVES)
    truth = truth_of([(left, CAT), (right, DOG)])
    scene = scene_of(predicted([(right, DOG, 0.9), (box(0, 0, 4, 4), CAT, 0.8), (left, CAT, 0.7)]), truth)
    query_embed = torch.arange(3.0)[:, None]

    masks = true_proposals(scene, query_embed)

    assert masks is not None
    assert masks.query_embed.flatten().tolist() == [2.0, 0.0]
    assert masks.mask_logits.shape == (1, 2, 4, 4)
    assert (masks.mask_logits[0, 0] > 0).tolist() == [[True, True, False, False]] * 4
    assert true_proposals(replace(scene, segments=()), query_embed) is None


# The whole way, on drawn scenes.

ONE_TEMPLATE = ("a photo of a {}.",)
DRAWN = Vocabulary.of(NOVEL, ONE_TEMPLATE)
LOOSE = MergeConfig(score_threshold=0.0, overlap_threshold=0.1)
"""Random weights are sure of nothing: without a score filter there is something to count."""


@pytest.fixture(scope="module")
def model() -> OPSNet:
    config = OPSNetConfig(
        segmenter=replace(tiny.RESNET, num_queries=5),
        clip=tiny.CLIP,
        training_vocabulary=Vocabulary.of("storybook", ONE_TEMPLATE),
        longest_side=96,
    )
    return tiny.seeded(OPSNet(config))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("novel")
    return write_storybook(StorybookSpec(role="novel", split="val", count=3, size=(96, 96)), root / "data")


class Knowing(torch.nn.Module):
    """Proposes the true masks, one after the other, in the order in which the pictures are read."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__()
        opened = open_all(dataset.load, dataset.samples)
        read = batched(opened, longest=96, batch_size=4)
        self._batches = iter([part for part in read if isinstance(part, AnnotatedBatch)])

    def forward(self, pixel_values: torch.Tensor, *, every_layer: bool = False) -> MaskProposals:
        truths = next(self._batches).annotations
        mask_logits = torch.full((len(truths), 16, *pixel_values.shape[-2:]), -20.0)
        for index, truth in enumerate(truths):
            for query, segment in enumerate(truth.panoptic.segments[:16]):
                mask_logits[index, query][torch.from_numpy(truth.panoptic.ids == segment.id)] = 20.0
        return MaskProposals(mask_logits=mask_logits, query_embed=torch.zeros(len(truths), 16, 32))


def test_a_diagnosis_starts_at_the_evaluation_passes_oracle_naming_and_ends_at_100(
    model: OPSNet, dataset: Dataset
) -> None:
    progress: list[tuple[int, int]] = []
    how = EvaluationSettings(merge=LOOSE, batch_size=2)

    done = diagnose(model, dataset, DRAWN, how, report=lambda part, total: progress.append((part, total)))

    assert done.quality[()] == evaluate_dataset(model, dataset, DRAWN, how).quality
    oracle = study(model, dataset, DRAWN, (replace(ORACLE, merge=LOOSE),), EvaluationSettings(batch_size=2))
    assert done.quality["classes",] == oracle.results[0].quality
    assert done.quality["classes",].all.pq >= 0
    assert done.quality[LADDER[-1]].all.pq == 1.0
    assert done.num_pictures == 3
    assert progress == [(2, 3), (3, 3)]
    segments = [s for sample in dataset.samples for s in sample.segments if not s.is_crowd]
    assert sum(c.count for c in done.confusions) == len(segments)
    # With true masks nothing but names is wrong: every class has a precision of 1 in its masks.
    assert all(c.sq == 1.0 for c in done.quality["masks",].per_class if c.tally.tp)
    assert sum(c.tally.tp + c.tally.fn for c in done.quality["masks",].per_class) == len(segments)


def test_perfect_masks_lose_nothing_to_masks_and_merge(
    model: OPSNet, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    knowing = copy.deepcopy(model)
    monkeypatch.setattr(knowing, "segmenter", Knowing(dataset))

    done = diagnose(knowing, dataset, DRAWN)

    ladder = [done.quality[oracles].all.pq for oracles in LADDER]
    assert ladder[2:] == [1.0, 1.0, 1.0]
    assert ladder[1] < 0.5  # random names for perfect masks
    assert done.sizes["medium"].all.n > 0


def test_a_diagnosis_is_told_in_tables_and_as_plain_data(model: OPSNet, dataset: Dataset) -> None:
    done = diagnose(model, dataset, DRAWN, EvaluationSettings(merge=LOOSE, limit=2))

    plain = json.loads(json.dumps(done.to_jsonable()))
    ladder, alone, sizes = done.ladder_table(), done.alone_table(), done.size_table()

    assert [row[0] for row in ladder] == [
        "",
        "model",
        "+ true filter",
        "+ true classes",
        "+ true merge",
        "+ true masks",
    ]
    assert ladder[-1][1] == "100.0"
    assert [rung["oracles"] for rung in plain["ladder"]] == [list(oracles) for oracles in LADDER]
    gains = sum(rung["gain"] for rung in plain["ladder"])
    assert plain["ladder"][0]["all"]["pq"] + gains == pytest.approx(1.0)
    assert list(plain["alone"]) == ["filter", "classes", "merge", "masks"]
    assert [row[0] for row in alone[1:]] == [f"true {name} alone" for name in plain["alone"]]
    assert [row[0].split()[0] for row in sizes[1:]] == list(plain["sizes"]) == ["small", "medium", "large"]
    assert len({len(row) for row in (*ladder, *alone)}) == len({len(row) for row in sizes}) == 1
    assert plain["num_pictures"] == 2


def test_an_unreadable_picture_is_named_and_the_rest_is_diagnosed(
    model: OPSNet, dataset: Dataset, tmp_path: Path
) -> None:
    lost = replace(dataset.samples[0], image_path=tmp_path / "lost.png")

    done = diagnose(model, replace(dataset, samples=(lost, dataset.samples[1])), DRAWN)

    assert [skipped.name for skipped in done.unreadable] == [lost.file_name]
    assert done.num_pictures == 1


def test_a_diagnosis_leaves_the_model_as_it_was(model: OPSNet, dataset: Dataset) -> None:
    before, modes = tiny.state(model), [part.training for part in model.modules()]

    diagnose(model, dataset, DRAWN, EvaluationSettings(limit=1))

    assert tiny.same(tiny.state(model), before)
    assert [part.training for part in model.modules()] == modes

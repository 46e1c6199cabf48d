"""OPSNet's ablations in one pass: rows equal evaluations of their own, and true masks with true names are perfect."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from lexiseg.core.structures import ImageBatch, MaskProposals, PanopticMap, RegionEmbeddings, VocabularyEmbeddings
from lexiseg.data.dataset import Dataset
from lexiseg.encoders.clip.resnet import Clip
from lexiseg.evaluation import measure
from lexiseg.evaluation.evaluator import evaluate_dataset
from lexiseg.evaluation.plan import inference, plan_evaluation
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.evaluation.upper_bounds import score_perfectly, true_overlaps
from lexiseg.layers.modulation import CLIP_ONLY, QUERY_ONLY
from lexiseg.layers.pooling import mask_pool
from lexiseg.models.crops import crop_embed
from lexiseg.models.opsnet import OPSNet
from lexiseg.models.postprocess.panoptic import MergeConfig, panoptic_map
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.studies.opsnet.ablations import (
    COARSE,
    ORACLE,
    TABLE_1,
    TABLE_4,
    TABLE_5,
    TABLE_6,
    TABLE_7,
    TABLES,
    TRUE_MASKS,
    Counts,
    StudyRow,
    at_thresholds,
    name_true_masks,
    study,
)
from random_opsnet import (
    GROUPS,
    LOOSE,
    WORDS,
    Knowing,
    batches_of,
    figures,
    tallies,
)


def test_perfect_masks_with_perfect_names_reach_a_pq_of_one(
    untrained: OPSNet, scenes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way round: truth in, merge, count. A mistake in any index or frame would cost something."""
    knowing = copy.deepcopy(untrained)
    monkeypatch.setattr(knowing, "segmenter", Knowing(batches_of(scenes)))
    monkeypatch.setattr(knowing, "iou_scores", lambda proposals: torch.full(proposals.mask_logits.shape[:2], 0.9))

    done = study(knowing, scenes, WORDS, (ORACLE, StudyRow(name="model")), groups=GROUPS)

    oracle = done.results[0]
    assert figures(oracle.quality) == (1.0,) * 9
    assert oracle.groups["unseen"].all.pq == 1.0
    assert done.results[1].quality.all.pq < 0.5  # random names for perfect masks


def test_every_row_of_a_study_equals_an_evaluation_of_its_own(untrained: OPSNet, scenes: Dataset) -> None:
    rows = at_thresholds((*TABLE_4[:2], TABLE_4[4], TABLE_7[1], TABLE_4[8], *TABLE_5), LOOSE)
    few = replace(scenes, samples=scenes.samples[:1])

    done = study(untrained, few, WORDS, rows, groups=GROUPS)

    counted = {result.row.name: tallies(result.quality) for result in done.results}
    semantic = {result.row.name: result.figures()["mIoU"] for result in done.results}
    assert [result.row for result in done.results] == list(rows)
    for row in rows[2:5]:
        alone = evaluate_dataset(untrained, few, WORDS, EvaluationSettings(fusion=row.modulation, merge=row.merge))
        assert counted[row.name] == tallies(alone.quality)
        settings = EvaluationSettings(fusion=row.modulation, merge=row.merge, task="semantic")
        assert semantic[row.name] == 100 * evaluate_dataset(untrained, few, WORDS, settings).quality.miou
    assert len(set(counted.values())) >= 3  # the rows are no copies of one another
    assert counted["mask pooling"] == counted["CLIP-only"]


def test_cropping_keeps_the_background_and_masking_removes_it(
    untrained: OPSNet, scenes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def recorded(clip: Clip, images: ImageBatch, mask_logits: torch.Tensor, *, keep_background: bool) -> torch.Tensor:
        asked.append(keep_background)
        return crop_embed(clip, images, mask_logits, keep_background=keep_background)

    monkeypatch.setattr("lexiseg.studies.opsnet.ablations.crop_embed", recorded)

    for row, expected in zip(TABLE_5, ([], [True], [False]), strict=True):
        asked.clear()
        study(untrained, scenes, WORDS, (row,), EvaluationSettings(limit=1))
        assert asked == expected


def test_rows_that_differ_only_in_their_name_are_counted_once(
    untrained: OPSNet, scenes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[MergeConfig] = []
    real = measure.panoptic_map

    def counted(*args: Any) -> PanopticMap:
        calls.append(args[4])
        return real(*args)

    monkeypatch.setattr(measure, "panoptic_map", counted)
    rows = (*TABLE_4, *TABLE_5[:1], *TABLE_7[:1], *TABLE_1[2:4])

    done = study(untrained, scenes, WORDS, rows, EvaluationSettings(limit=1))

    assert len(done.results) == 13
    assert len(calls) == 10  # nine of table 4, and the query ranked by class


def test_on_the_training_vocabulary_modulation_equals_query_only_in_every_digit(
    untrained: OPSNet, tmp_path: Path
) -> None:
    base = write_storybook(StorybookSpec(role="base", split="val", count=1, size=(64, 64)), tmp_path / "base")
    rows = at_thresholds((*TABLE_4[:2], *TABLE_4[7:], *TABLE_6[::4]), LOOSE)

    done = study(untrained, base, untrained.config.training_vocabulary, rows)

    query, clip, *grid = [tallies(result.quality) for result in done.results]
    assert done.domain_similarity == 1.0
    assert grid == [query] * 7
    assert clip != query


def test_the_tables_hold_every_row_of_the_paper_once() -> None:
    sizes = {name: len(rows) for name, rows in TABLES.items()}

    assert sizes == {"1": 5, "4": 9, "5": 3, "6": 20, "7": 12, "experiments": 13, "oracle": 2}
    for rows in TABLES.values():
        assert len({row.name for row in rows}) == len(rows)
        assert len({replace(row, name="") for row in rows}) == len(rows)
    assert {(r.modulation.alpha, r.modulation.beta) for r in TABLE_6} == {
        (alpha, beta) for alpha in (0, 5, 10, 15) for beta in (0, 0.25, 0.5, 0.75, 1)
    }
    assert {row.merge.rank_by for row in TABLE_7} == {"class", "iou", "product"}
    assert TABLE_1[0].modulation == CLIP_ONLY
    assert TABLE_4[0].modulation == QUERY_ONLY


def test_counts_of_parts_are_kept_as_plain_data_and_add_up_to_the_whole(untrained: OPSNet, scenes: Dataset) -> None:
    rows = at_thresholds(TABLE_1[:2], LOOSE)
    whole = study(untrained, scenes, WORDS, rows, groups=GROUPS).results[0]

    parts = [study(untrained, replace(scenes, samples=(s,)), WORDS, rows).results[0].counts for s in scenes.samples]

    again = [Counts.from_jsonable(json.loads(json.dumps(part.to_jsonable()))) for part in parts]
    found = whole.counting.figures(again[0] + again[1] + again[2])
    assert found == whole.figures()
    assert set(found) == {"PQ", "SQ", "RQ", "PQ things", "PQ stuff", "mIoU"} | {
        f"{figure} {group}" for figure in ("PQ", "mIoU") for group in GROUPS
    }
    assert found["PQ"] == 100 * whole.quality.all.pq
    assert found["PQ unseen"] == 100 * whole.groups["unseen"].all.pq
    with pytest.raises(ValueError, match="leave both out"):
        study(untrained, scenes, WORDS, TABLE_1, EvaluationSettings(merge=LOOSE))


def test_a_coarse_clip_sees_a_smaller_picture_and_leaves_the_query_alone(
    untrained: OPSNet, scenes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    scales: list[float] = []
    real = OPSNet.clip_map

    def recorded(self: OPSNet, images: ImageBatch) -> torch.Tensor:
        scales.append(self.config.clip_scale)
        return real(self, images)

    monkeypatch.setattr(OPSNet, "clip_map", recorded)
    coarse = replace(TABLE_4[0], name="query beside a coarse CLIP", clip_size=COARSE)
    rows = at_thresholds((TABLE_4[0], coarse), LOOSE)

    fine, beside = study(untrained, scenes, WORDS, rows, EvaluationSettings(limit=1)).results

    assert scales == [1.0, COARSE]
    assert untrained.config.clip_scale == 1.0
    assert tallies(beside.quality) == tallies(fine.quality)


def test_true_masks_are_named_by_what_clip_sees_under_them(
    untrained: OPSNet, scenes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CLIP map that holds, in every cell, the code of what is there must name nearly everything."""
    (batch,) = batches_of(scenes)
    name_of = {category.id: category.name for category in scenes.categories}
    codes = torch.eye(len(WORDS))

    def map_of_names(images: ImageBatch) -> torch.Tensor:
        size = (side // 4 for side in images.pixel_values.shape[-2:])
        found = torch.zeros(len(batch.annotations), len(WORDS), *size)
        for index, annotation in enumerate(batch.annotations):
            truth = annotation.to_segmentation(scenes.categories)
            for segment in truth.segments:
                inside = torch.from_numpy(truth.ids == segment.id)[None, None].float()
                code = codes[WORDS.names.index(name_of[segment.category_id])]
                found[index] += code[:, None, None] * F.avg_pool2d(inside, 4)[0, 0]
        return found

    def embed(proposals: MaskProposals, clip_map: torch.Tensor) -> RegionEmbeddings:
        pooled = mask_pool(clip_map, proposals.mask_logits)
        return RegionEmbeddings(class_embed=pooled, clip_embed=pooled)

    def words(*args: object, **kwargs: object) -> VocabularyEmbeddings:
        return VocabularyEmbeddings(
            text_embed=codes,
            concept_index=torch.arange(len(WORDS)),
            num_concepts=len(WORDS),
            similarity=torch.ones(len(WORDS)),
            domain_similarity=1.0,
        )

    knowing = copy.deepcopy(untrained)
    monkeypatch.setattr(knowing, "clip_map", map_of_names)
    monkeypatch.setattr(knowing, "embed", embed)
    monkeypatch.setattr(knowing, "embed_vocabulary", words)

    (found,) = study(knowing, scenes, WORDS, (TRUE_MASKS,)).results

    segments = [s for sample in scenes.samples for s in sample.segments or () if not s.is_crowd]
    counts = [tally.tp + tally.fn for tally in tallies(found.quality)]
    assert sum(counts) == len(segments)
    assert found.quality.all.rq == 1.0  # at the stride of proposals masks lose a little: SQ is below 1


def test_a_clip_that_knows_nothing_names_few_true_masks(untrained: OPSNet, scenes: Dataset) -> None:
    (found,) = study(untrained, scenes, WORDS, (TRUE_MASKS,), EvaluationSettings(limit=2, negatives=True)).results

    assert sum(tally.tp + tally.fp for tally in tallies(found.quality)) > 0
    assert found.quality.all.rq < 0.6


def test_a_picture_without_a_true_segment_has_no_true_mask(untrained: OPSNet, scenes: Dataset) -> None:
    (batch,) = batches_of(scenes)
    whole = [truth.to_segmentation(scenes.categories) for truth in batch.annotations]
    bare = [replace(one, ids=0 * one.ids, segments=()) for one in whole]
    empty = [replace(truth, panoptic=one) for truth, one in zip(batch.annotations, bare, strict=True)]
    plan = plan_evaluation(untrained, scenes, WORDS, EvaluationSettings())
    with inference(untrained):
        some = name_true_masks(untrained, replace(batch, annotations=(empty[0], *batch.annotations[1:])), plan)
        none = name_true_masks(untrained, replace(batch, annotations=tuple(empty)), plan)

    assert not some.iou_scores[0].any()
    assert some.iou_scores[1].any()
    assert not none.iou_scores.any()
    assert not panoptic_map(none, 0, batch.images.frames[0], plan.vocabulary).segments


def test_the_true_iou_of_a_true_mask_is_one_and_of_an_empty_one_zero(
    untrained: OPSNet, scenes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = batches_of(scenes)
    knowing = copy.deepcopy(untrained)
    monkeypatch.setattr(knowing, "segmenter", Knowing(batches))
    plan = plan_evaluation(untrained, scenes, WORDS, EvaluationSettings())
    with inference(knowing):
        for batch in batches:
            encoded = knowing.encode(batch.images)
            found = true_overlaps(encoded, batch, plan, mask_threshold=0.5)
            answer = score_perfectly(knowing.predict(encoded, plan.words, CLIP_ONLY), found)
            for scores, truth in zip(answer.iou_scores, batch.annotations, strict=True):
                number = len(truth.to_segmentation(scenes.categories).segments)
                torch.testing.assert_close(scores[:number], torch.ones(number))
                assert not scores[number:].any()

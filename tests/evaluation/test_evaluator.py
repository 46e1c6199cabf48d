"""The evaluator on drawn scenes, with a tiny model of random weights and with a model that knows the truth."""

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import tiny
from lexiseg.core.frames import Frame
from lexiseg.core.structures import ImageBatch, MaskProposals, PanopticMap, RegionEmbeddings, VocabularyEmbeddings
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import match_vocabulary
from lexiseg.data.dataset import Category, Dataset
from lexiseg.encoders.clip.resnet import Clip
from lexiseg.evaluation import measure
from lexiseg.evaluation.evaluator import evaluate_dataset
from lexiseg.evaluation.loading import AnnotatedBatch, Skipped, batched, open_all
from lexiseg.evaluation.metrics.panoptic_quality import ClassTally, PanopticQuality
from lexiseg.evaluation.report import EvaluationSettings, write_report
from lexiseg.layers.modulation import CLIP_ONLY, QUERY_ONLY
from lexiseg.layers.pooling import mask_pool
from lexiseg.models.crops import crop_embed
from lexiseg.models.opsnet import OPSNet, OPSNetConfig
from lexiseg.models.postprocess.panoptic import MergeConfig
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import NOVEL, SHARED, UNSEEN
from lexiseg.studies.opsnet.ablations import (
    ORACLE,
    TABLE_1,
    TABLE_4,
    TABLE_5,
    TABLE_6,
    TABLE_7,
    TABLES,
    StudyRow,
    at_thresholds,
    study,
)
from lexiseg.studies.opsnet.true_masks import true_mask_top1

ONE_TEMPLATE = ("a photo of a {}.",)
WORDS = Vocabulary.of(NOVEL, ONE_TEMPLATE)
GROUPS = {"shared": SHARED, "unseen": UNSEEN}
LOOSE = MergeConfig(score_threshold=0.0, overlap_threshold=0.1)
"""Random weights are sure of nothing: without a score filter there is something to count."""


@pytest.fixture(scope="module")
def model() -> OPSNet:
    torch.random.default_generator.manual_seed(0)
    config = OPSNetConfig(
        segmenter=replace(tiny.RESNET, num_queries=5),
        clip=tiny.CLIP,
        training_vocabulary=Vocabulary.of("storybook", ONE_TEMPLATE),
        longest_side=96,
    )
    made = OPSNet(config)
    with torch.no_grad():  # initial weights see and say the same of everything; these differ
        for parameter in (made.adapter.weight, made.adapter.bias, made.clip.clip.token_embedding.weight):
            parameter.normal_()
        for norm in made.clip.visual.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.weight.uniform_(0.5, 2.0)
                norm.bias.normal_()
    return made


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("novel")
    return write_storybook(StorybookSpec(role="novel", split="val", count=3, size=(96, 96)), root / "data")


class Knowing(torch.nn.Module):
    """Proposes the true masks, one after the other, in the order in which the evaluator reads the pictures."""

    def __init__(self, batches: Sequence[AnnotatedBatch]) -> None:
        super().__init__()
        self._batches = iter(batches)

    def forward(self, pixel_values: torch.Tensor, *, every_layer: bool = False) -> MaskProposals:
        batch = next(self._batches)
        assert len(batch.annotations) == len(pixel_values)
        canvas = pixel_values.shape[-2:]
        mask_logits = torch.full((len(pixel_values), 16, *canvas), -20.0)
        for index, truth in enumerate(batch.annotations):
            for query, segment in enumerate(truth.panoptic.segments[:16]):
                height, width = truth.panoptic.ids.shape
                inside = torch.from_numpy(truth.panoptic.ids == segment.id)
                mask_logits[index, query, :height, :width] = torch.where(inside, 20.0, -20.0)
        return MaskProposals(mask_logits=mask_logits, query_embed=torch.zeros(len(pixel_values), 16, 32))


def read(dataset: Dataset, *, batch_size: int = 4) -> list[AnnotatedBatch | Skipped]:
    opened = open_all(dataset.load, dataset.samples)
    return list(batched(opened, longest=96, batch_size=batch_size))


def batches_of(dataset: Dataset) -> list[AnnotatedBatch]:
    return [part for part in read(dataset) if isinstance(part, AnnotatedBatch)]


def figures(quality: PanopticQuality) -> tuple[float, ...]:
    parts = (quality.all, quality.things, quality.stuff)
    return tuple(value for part in parts for value in (part.pq, part.sq, part.rq))


def tallies(quality: PanopticQuality) -> tuple[ClassTally, ...]:
    """What figures are made of; tells two answers apart even where both are wrong."""
    return tuple(c.tally for c in quality.per_class)


def test_figures_do_not_depend_on_the_batch_size_and_progress_counts_every_sample(
    model: OPSNet, dataset: Dataset
) -> None:
    progress: list[tuple[int, int]] = []
    one = evaluate_dataset(model, dataset, WORDS, EvaluationSettings(batch_size=1, merge=LOOSE))
    many = evaluate_dataset(
        model,
        dataset,
        WORDS,
        EvaluationSettings(batch_size=2, merge=LOOSE),
        report=lambda done, total: progress.append((done, total)),
    )

    assert [t.fp + t.tp for t in tallies(one.quality)] == [t.fp + t.tp for t in tallies(many.quality)]
    assert sum(c.tally.fp + c.tally.tp for c in one.quality.per_class) > 0  # it did predict something
    assert figures(one.quality) == pytest.approx(figures(many.quality), abs=1e-6)
    assert progress == [(2, 3), (3, 3)]


def test_the_report_is_json_with_fractions_at_its_top_level(model: OPSNet, dataset: Dataset, tmp_path: Path) -> None:
    report = evaluate_dataset(model, dataset, WORDS, EvaluationSettings(limit=1, merge=LOOSE), groups=GROUPS)

    path = write_report(report, tmp_path / "a folder" / "deep")
    document = json.loads(path.read_text(encoding="utf-8"))

    assert (document["pq"], document["sq"], document["rq"]) == tuple(
        getattr(report.quality.all, key) for key in ("pq", "sq", "rq")
    )
    assert 0 <= document["pq"] <= 1
    assert document["num_pictures"] == 1
    assert set(document["groups"]) == {"shared", "unseen"}
    assert document["groups"]["unseen"]["all"]["n"] + document["groups"]["shared"]["all"]["n"] == document["all"]["n"]
    assert document["settings"]["merge"]["score_threshold"] == 0.0
    assert document["settings"]["fusion"]["alpha"] == 10.0
    assert document["settings"]["negatives"] is False
    assert document["device"] == "cpu"
    assert document["dtype"] == "float32"
    assert len(document["weights"]) == 16
    assert document["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert sorted(item.name for item in path.parent.iterdir()) == ["report.json"]
    assert report.table()[1][0] == "all"
    assert report.table()[1][1] == f"{100 * document['pq']:.1f}"


def test_a_report_that_cannot_be_written_ends_in_one_sentence(model: OPSNet, dataset: Dataset, tmp_path: Path) -> None:
    report = evaluate_dataset(model, dataset, WORDS, EvaluationSettings(limit=1))
    (tmp_path / "taken").write_text("a file")

    with pytest.raises(ValueError, match=r"can't be written .*; choose a folder that can"):
        write_report(report, tmp_path / "taken" / "inside")


def test_evaluation_leaves_the_model_as_it_was(model: OPSNet, dataset: Dataset) -> None:
    model.train()
    model.segmenter.mask2former.pixel_level_module.encoder.eval()
    modes = [part.training for part in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}

    evaluate_dataset(model, dataset, WORDS, EvaluationSettings(limit=1))

    assert [part.training for part in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model.eval()


def test_an_unreadable_picture_is_named_and_the_rest_is_counted(
    model: OPSNet, dataset: Dataset, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(dataset.samples[1].image_path.read_bytes()[:200])
    lost = tmp_path / "lost.png"
    samples = list(dataset.samples)
    samples[0] = replace(samples[0], image_path=broken)
    samples[1] = replace(samples[1], image_path=lost)
    progress: list[tuple[int, int]] = []

    report = evaluate_dataset(
        model,
        replace(dataset, samples=tuple(samples)),
        WORDS,
        report=lambda done, total: progress.append((done, total)),
    )

    assert [skipped.name for skipped in report.unreadable] == [samples[0].file_name, samples[1].file_name]
    assert all(skipped.reason for skipped in report.unreadable)
    assert report.num_pictures == 1
    assert progress[-1] == (3, 3)
    with pytest.raises(ValueError, match="none of the 1 pictures can be read"):
        evaluate_dataset(model, replace(dataset, samples=(samples[0],)), WORDS)


def test_words_and_categories_must_fit_and_the_message_names_what_is_near(dataset: Dataset) -> None:
    first = dataset.categories[0]
    misspelt = (replace(first, name=first.name + "x"), *dataset.categories[1:])

    with pytest.raises(ValueError, match=f"'{first.name}x' is not among the words.*near: '{first.name}'"):
        match_vocabulary(misspelt, WORDS)
    with pytest.raises(ValueError, match=f"'{first.name}' is no category"):
        match_vocabulary(dataset.categories[1:], WORDS)
    with pytest.raises(ValueError, match="are both the word"):
        match_vocabulary((*dataset.categories, replace(first, id=999, name=first.name.upper())), WORDS)


def test_a_synonym_matches_and_the_data_set_decides_what_is_a_thing() -> None:
    categories = (Category(id=7, name="Kitten", is_thing=False), Category(id=3, name="sky", is_thing=False))

    matched, category_ids = match_vocabulary(categories, Vocabulary.of("sky:stuff, cat|kitten"))

    assert category_ids == (3, 7)
    assert [concept.is_thing for concept in matched.concepts] == [False, False]
    assert matched.names == ("sky", "cat")


def test_a_group_with_an_unknown_name_is_refused(model: OPSNet, dataset: Dataset) -> None:
    with pytest.raises(ValueError, match="'zebroid' of group 'odd' is no category"):
        evaluate_dataset(model, dataset, WORDS, groups={"odd": ("zebroid",)})


def test_pictures_of_other_shapes_are_batched_apart(tmp_path: Path) -> None:
    wide = write_storybook(StorybookSpec(role="base", split="val", count=2, size=(40, 96)), tmp_path / "wide")
    tall = write_storybook(StorybookSpec(role="base", split="val", count=2, size=(96, 40)), tmp_path / "tall")
    mixed = [sample for pair in zip(wide.samples, tall.samples, strict=True) for sample in pair]

    batches = batches_of(replace(wide, samples=tuple(mixed)))

    shapes = [tuple(batch.images.pixel_values.shape) for batch in batches]
    assert shapes == [(2, 3, 64, 96), (2, 3, 96, 64)]
    with pytest.raises(ValueError, match="positive"):
        EvaluationSettings(batch_size=0)


def test_perfect_masks_with_perfect_names_reach_a_pq_of_one(
    model: OPSNet, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way round: truth in, merge, count. A mistake in any index or frame would cost something."""
    knowing = copy.deepcopy(model)
    monkeypatch.setattr(knowing, "segmenter", Knowing(batches_of(dataset)))
    monkeypatch.setattr(knowing, "iou_scores", lambda proposals: torch.full(proposals.mask_logits.shape[:2], 0.9))

    done = study(knowing, dataset, WORDS, (ORACLE, StudyRow(name="model")), groups=GROUPS)

    oracle = done.results[0]
    assert figures(oracle.quality) == (1.0,) * 9
    assert oracle.groups["unseen"].all.pq == 1.0
    assert done.results[1].quality.all.pq < 0.5  # random names for perfect masks


def test_every_row_of_a_study_equals_an_evaluation_of_its_own(model: OPSNet, dataset: Dataset) -> None:
    rows = at_thresholds((*TABLE_4[:2], TABLE_4[4], TABLE_7[1], TABLE_4[8], *TABLE_5), LOOSE)
    few = replace(dataset, samples=dataset.samples[:1])

    done = study(model, few, WORDS, rows, groups=GROUPS)

    counted = {result.row.name: tallies(result.quality) for result in done.results}
    assert [result.row for result in done.results] == list(rows)
    for row in rows[2:5]:
        alone = evaluate_dataset(model, few, WORDS, EvaluationSettings(fusion=row.modulation, merge=row.merge))
        assert counted[row.name] == tallies(alone.quality)
    assert len(set(counted.values())) >= 3  # the rows are no copies of one another
    assert counted["mask pooling"] == counted["CLIP-only"]


def test_cropping_keeps_the_background_and_masking_removes_it(
    model: OPSNet, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def recorded(clip: Clip, images: ImageBatch, mask_logits: torch.Tensor, *, keep_background: bool) -> torch.Tensor:
        asked.append(keep_background)
        return crop_embed(clip, images, mask_logits, keep_background=keep_background)

    monkeypatch.setattr("lexiseg.studies.opsnet.ablations.crop_embed", recorded)

    for row, expected in zip(TABLE_5, ([], [True], [False]), strict=True):
        asked.clear()
        study(model, dataset, WORDS, (row,), EvaluationSettings(limit=1))
        assert asked == expected


def test_rows_that_differ_only_in_their_name_are_counted_once(
    model: OPSNet, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[MergeConfig] = []
    real = measure.panoptic_map

    def counted(*args: Any) -> PanopticMap:
        calls.append(args[4])
        return real(*args)

    monkeypatch.setattr(measure, "panoptic_map", counted)
    rows = (*TABLE_4, *TABLE_5[:1], *TABLE_7[:1], *TABLE_1[2:4])

    done = study(model, dataset, WORDS, rows, EvaluationSettings(limit=1))

    assert len(done.results) == 13
    assert len(calls) == 10  # nine of table 4, and the query ranked by class


def test_on_the_training_vocabulary_modulation_equals_query_only_in_every_digit(model: OPSNet, tmp_path: Path) -> None:
    base = write_storybook(StorybookSpec(role="base", split="val", count=1, size=(64, 64)), tmp_path / "base")
    rows = at_thresholds((*TABLE_4[:2], *TABLE_4[7:], *TABLE_6[::4]), LOOSE)

    done = study(model, base, model.config.training_vocabulary, rows)

    query, clip, *grid = [tallies(result.quality) for result in done.results]
    assert done.domain_similarity == 1.0
    assert grid == [query] * 7
    assert clip != query


def test_the_tables_hold_every_row_of_the_paper_once() -> None:
    sizes = {name: len(rows) for name, rows in TABLES.items()}

    assert sizes == {"1": 5, "4": 9, "5": 3, "6": 20, "7": 12, "oracle": 1}
    for rows in TABLES.values():
        assert len({row.name for row in rows}) == len(rows)
        assert len({replace(row, name="") for row in rows}) == len(rows)
    assert {(r.modulation.alpha, r.modulation.beta) for r in TABLE_6} == {
        (alpha, beta) for alpha in (0, 5, 10, 15) for beta in (0, 0.25, 0.5, 0.75, 1)
    }
    assert {row.merge.rank_by for row in TABLE_7} == {"class", "iou", "product"}
    assert TABLE_1[0].modulation == CLIP_ONLY
    assert TABLE_4[0].modulation == QUERY_ONLY


def test_a_study_gives_plain_rows(model: OPSNet, dataset: Dataset) -> None:
    done = study(model, dataset, WORDS, TABLE_1[:2], EvaluationSettings(limit=1), groups=GROUPS)

    plain = json.loads(json.dumps([result.to_jsonable() for result in done.results]))

    assert plain[0]["name"] == "CLIP-only, Cls"
    assert plain[0]["modulation"]["clip_only"] is True
    assert set(plain[0]["groups"]) == {"shared", "unseen"}
    assert set(plain[1]["things"]) == {"pq", "sq", "rq", "n"}
    assert [len(row) for row in done.table()] == [8, 8, 8]
    with pytest.raises(ValueError, match="leave both out"):
        study(model, dataset, WORDS, TABLE_1, EvaluationSettings(merge=LOOSE))


def test_true_masks_are_named_by_what_clip_sees_under_them(
    model: OPSNet, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CLIP map that holds, in every cell, the code of what is there must name nearly everything."""
    batches = iter(batches_of(dataset))
    name_of = {category.id: category.name for category in dataset.categories}
    codes = torch.eye(len(WORDS))

    def map_of_names(images: ImageBatch) -> torch.Tensor:
        truths = next(batches).annotations
        found = torch.zeros(len(truths), len(WORDS), *(side // 4 for side in images.pixel_values.shape[-2:]))
        for index, truth in enumerate(truths):
            for segment in truth.panoptic.segments:
                inside = torch.from_numpy(truth.panoptic.ids == segment.id)[None, None].float()
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

    knowing = copy.deepcopy(model)
    monkeypatch.setattr(knowing, "clip_map", map_of_names)
    monkeypatch.setattr(knowing, "embed", embed)
    monkeypatch.setattr(knowing, "embed_vocabulary", words)

    rows = true_mask_top1(knowing, dataset, WORDS, groups=GROUPS, sizes=(16.0, 32.0))

    found = {(row.group, row.is_thing, row.size): row for row in rows}
    assert found["all", True, "all"].accuracy > 0.95
    assert found["all", False, "all"].accuracy > 0.95
    segments = [s for sample in dataset.samples for s in sample.segments if not s.is_crowd]
    assert found["all", True, "all"].count + found["all", False, "all"].count == len(segments)
    for group in ("all", "shared", "unseen"):
        sizes = [found[group, True, size].count for size in ("small", "medium", "large")]
        assert sum(sizes) == found[group, True, "all"].count
    assert found["shared", True, "all"].count + found["unseen", True, "all"].count == found["all", True, "all"].count


def test_a_clip_that_knows_nothing_names_few_true_masks(model: OPSNet, dataset: Dataset) -> None:
    rows = true_mask_top1(model, dataset, WORDS, EvaluationSettings(limit=2, negatives=True))

    assert len(rows) == 8
    assert sum(row.count for row in rows if row.size == "all") > 10
    assert all(row.accuracy < 0.6 for row in rows if row.size == "all")


def test_a_crop_of_the_whole_picture_is_the_picture_and_an_empty_mask_falls_back_on_it(model: OPSNet) -> None:
    frame = Frame.fit((64, 64), longest=64)
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    images = ImageBatch(pixel_values=pixels, frames=(frame,))
    mask_logits = torch.full((1, 3, 16, 16), -5.0)
    mask_logits[:, 0] = 5.0
    mask_logits[:, 2, 4:12, 6:10] = 5.0

    kept = crop_embed(model.clip, images, mask_logits, keep_background=True)
    removed = crop_embed(model.clip, images, mask_logits, keep_background=False)

    whole = F.normalize(model.clip.encode_image(pixels), dim=-1)[0]
    assert torch.allclose(kept[0, 0], whole, atol=1e-5)
    assert torch.allclose(kept[0, 1], whole, atol=1e-5)
    tight = F.interpolate(pixels[:, :, 16:48, 24:40], (64, 64), mode="bicubic", antialias=True).clamp(0, 1)
    assert torch.allclose(kept[0, 2], F.normalize(model.clip.encode_image(tight), dim=-1)[0], atol=1e-6)
    assert (kept[0, 2] - whole).abs().max() > 1e-5
    assert torch.allclose(kept.norm(dim=-1), torch.ones(1, 3), atol=1e-5)
    assert torch.allclose(removed[0, 0], whole, atol=1e-5)


def test_masking_hides_what_is_outside_the_mask_and_cropping_does_not(model: OPSNet) -> None:
    frame = Frame.fit((64, 64), longest=64)
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    mask_logits = torch.full((1, 1, 64, 64), -5.0)
    mask_logits[0, 0].fill_diagonal_(5.0)  # its box is the whole picture
    outside = torch.where(mask_logits[0] > 0, pixels[0], 1 - pixels[0])[None]

    def both(picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        images = ImageBatch(pixel_values=picture, frames=(frame,))
        return (
            crop_embed(model.clip, images, mask_logits, keep_background=True),
            crop_embed(model.clip, images, mask_logits, keep_background=False),
        )

    cropped, masked = both(pixels)
    cropped_other, masked_other = both(outside)

    assert torch.equal(masked, masked_other)
    assert (cropped - cropped_other).abs().max() > 1e-4


def test_padding_is_no_part_of_a_crop(model: OPSNet) -> None:
    frame = Frame.fit((48, 64), longest=64)
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    noisy = pixels.clone()
    noisy[:, :, 48:] = 0.5
    mask_logits = torch.full((1, 1, 16, 16), 5.0)  # also over the padding

    first = crop_embed(model.clip, ImageBatch(pixel_values=pixels, frames=(frame,)), mask_logits, keep_background=True)
    second = crop_embed(model.clip, ImageBatch(pixel_values=noisy, frames=(frame,)), mask_logits, keep_background=True)

    assert torch.equal(first, second)


def test_a_missing_segmentation_is_told_and_the_next_picture_is_read(dataset: Dataset, tmp_path: Path) -> None:
    first, second = dataset.samples[:2]
    bad = replace(dataset, samples=(replace(first, mask_path=tmp_path / "lost.png"), second))

    skipped, batch = read(bad, batch_size=2)

    assert isinstance(skipped, Skipped)
    assert skipped.name == first.file_name
    assert "lost.png" in skipped.reason
    assert isinstance(batch, AnnotatedBatch)
    assert batch.annotations[0].sample == second

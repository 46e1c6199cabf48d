"""The study of OVSeg: figures are the evaluator's, arms see as many samples as they should, and one command does it."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from lexiseg.core.errors import UsageError
from lexiseg.core.structures import MaskProposals
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.catalogue import open_dataset
from lexiseg.data.dataset import Dataset
from lexiseg.data.id_maps import load_ids
from lexiseg.evaluation.evaluator import evaluate_dataset
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.io.models import save_model
from lexiseg.layers.ensemble import EnsembleConfig
from lexiseg.models.crops import RegionConfig
from lexiseg.models.ovseg import OVSeg
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import ALL, BASE
from lexiseg.studies.ovseg import claims, measure, paper, plan, rows, work
from lexiseg.studies.reproduce import prepare
from lexiseg.studies.tables import NOT_TRIED
from lexiseg.studies.units import Unit
from lexiseg.studies.verdicts import Measured, find, with_blocks
from lexiseg.studies.worlds import FULL, NOT_IN_QUICK, QUICK, World
from miniatures import put_palette, put_picture, put_text
from miniatures import rows as bands

FOUR_BLOCKS = replace(tiny.VIT, layers=4, prompts=None)
"""A CLIP with the blocks that the plan's prompts need."""


@pytest.fixture(scope="module")
def model() -> OVSeg:
    return tiny.ovseg(clip=FOUR_BLOCKS)


@pytest.fixture
def pictures(tmp_path: Path) -> Dataset:
    return write_storybook(
        StorybookSpec(role="semantic-only", split="val", count=2, size=(64, 64)), tmp_path / "pictures"
    )


@pytest.fixture(scope="module")
def full() -> plan.Plan:
    return plan.plan_ovseg(World(model="storybook"), FULL)


@pytest.fixture(scope="module")
def quick() -> plan.Plan:
    return plan.plan_ovseg(World(model="storybook"), QUICK)


def test_every_arm_of_tables_and_claims_is_in_the_full_plan_and_most_in_the_quick_one(
    full: plan.Plan, quick: plan.Plan
) -> None:
    wanted = frozenset[str]().union(*(one.arms for one in (*paper.TABLES, *claims.CLAIMS)))

    assert {arm for arm in wanted - full.arms.keys() if not arm.startswith(NOT_TRIED)} == set()
    assert all(len(seeds) in (1, 3) for seeds in full.arms.values())
    assert {"original", "mpt", "ft", "ft-mpt", "ft-labels", "ft-true-masks", "vpt", "ft-mixture"} < quick.arms.keys()
    assert quick.arms.keys() < full.arms.keys()


def test_no_unit_takes_more_than_an_hour_and_the_quick_ones_a_quarter_of_one(full: plan.Plan, quick: plan.Plan) -> None:
    assert max(unit.minutes for unit in full.units.values()) <= 60
    assert sum(unit.minutes for unit in quick.units.values()) <= 15


def test_arms_begin_at_what_they_name_and_seeds_share_nothing_but_the_models(full: plan.Plan) -> None:
    def needed(name: str) -> set[str]:
        return {name}.union(*(needed(need) for need in full.units[name].needs))

    assert {"ovseg/whole/adapt/ft-0", "ovseg/whole/pairs/caption-0"} < needed("ovseg/whole/runs/ft-mpt-0")
    shared = needed("ovseg/whole/runs/ft-mpt-0") & needed("ovseg/whole/runs/ft-mpt-1")
    assert shared == {"ovseg/original"}
    names = ("ft-0", "ft-mpt-0", "ft-1", "ft-mpt-1")
    assert len({full.units[f"ovseg/whole/adapt/{name}"].settings["recipe"]["seed"] for name in names}) == 4


def test_two_steps_and_their_controls_see_as_many_samples(full: plan.Plan) -> None:
    def samples(unit: Unit) -> int:
        recipe, start = unit.settings["recipe"], unit.settings["start"]
        return recipe["steps"] * recipe["batch_size"] + (samples(full.units[start]) if start else 0)

    seen = {arm.name: samples(full.units[f"ovseg/whole/adapt/{arm.name}-0"]) for arm in plan.ARMS}

    assert seen["ft-mpt"] == seen["ft-ft"] == seen["mpt-ft"] == seen["joint"] == 2 * seen["ft"]
    assert seen["ft-labels"] == seen["ft-true-masks"] == seen["ft-mixture"] == seen["ft-captions-5"] == seen["ft"]


def test_every_control_says_what_it_would_explain() -> None:
    controls = [one for claim in claims.CLAIMS for one in claim.contrasts if one.kind == "control"]
    assert controls
    assert all(one.says.endswith(".") for one in controls)


def test_the_papers_own_numbers_bear_out_every_contrast() -> None:
    figures: dict[str, dict[str, Measured]] = {}
    for table in paper.TABLES:
        for row in table.rows if table.paper != "SimBaseline" else ():  # its tables are of two CLIPs
            told = {name: Measured(seeds=(number,) * 3) for name, number in row.figures.items() if number is not None}
            figures.setdefault(row.arm, {}).update(told)
    found = {
        (claim.name, one.says): find(one, figures).gains[0] + one.margin
        for claim in claims.CLAIMS
        for one in claim.contrasts
        if one.kind == "above" and find(one, figures).gains
    }
    assert len(found) > 40
    assert min(found.values()) > 0, [says for says, gain in found.items() if gain <= 0]


@pytest.mark.parametrize(
    ("claim", "figure", "higher", "lower", "gain"),
    [
        ("V6", claims.SEEN, "ft", "ft-mpt", 1.5),
        ("V7", claims.UNSEEN, "joint", "ft-mpt", 0.5),
        ("V8", claims.MIOU, "mpt-depth-2", "mpt-depth-1", 1.5),
        ("V8", claims.MIOU, "mpt-depth-1", "mpt-depth-2", 1.5),
        ("V9", claims.COST, "cost: VPT", "cost: no prompts", 20.0),
        ("V10", claims.UNSEEN, "part ft-mpt", "ft-mpt", 0.5),
        ("Z1", "COCO-Stuff mIoU seen", "original, ZegFormer, no image branch", "original, ZegFormer, crop and mask", 4),
    ],
)
def test_what_a_claim_denies_does_not_hold(claim: str, figure: str, higher: str, lower: str, gain: float) -> None:
    (told,) = (one for one in claims.CLAIMS if one.name == claim)
    sides = {higher: 100 + gain, lower: 100.0}
    figures = {arm: {figure: Measured(seeds=(value,) * 3)} for arm, value in sides.items()}
    assert "does not hold" in [find(one, figures).verdict for one in told.contrasts if one.kind != "control"]


def test_figures_are_those_of_the_evaluator(model: OVSeg, pictures: Dataset) -> None:
    ensemble, regions = EnsembleConfig(clip_weight=0.35), RegionConfig(mask_threshold=0.4)
    answering = measure.Answering(masks="proposed", regions=regions, ensemble=ensemble, clip_logit_scale=100.0)
    found = measure.tally_rows(model, pictures, ALL, [answering], blocks=2)
    figures = with_blocks(
        found.pixels[answering], lambda counts: measure.iou_figures(counts, measure.groups_of(found.is_seen))
    )

    own = tiny.ovseg(clip=FOUR_BLOCKS, regions=regions, clip_logit_scale=100.0)
    settings = EvaluationSettings(task="semantic", semantic_rule="soft", fusion=ensemble)
    seen = {name for name in ALL.names if name in tiny.TRAINING.names}
    unseen = {"unseen": [name for name in ALL.names if name not in seen]}
    report = evaluate_dataset(own, pictures, ALL, settings, groups=unseen)
    assert {name for name, is_seen in zip(found.names, found.is_seen, strict=True) if is_seen} == seen
    assert figures["mIoU"]["value"] == pytest.approx(100 * report.quality.miou)
    assert figures["mIoU seen"]["value"] == pytest.approx(100 * report.quality.miou_seen)
    assert figures["mIoU unseen"]["value"] == pytest.approx(100 * report.quality.miou_unseen)
    assert figures["hIoU"]["value"] == pytest.approx(100 * report.quality.hiou)
    for block, other in ((0, 1), (1, 0)):
        alone = evaluate_dataset(own, replace(pictures, samples=(pictures.samples[other],)), ALL, settings)
        assert figures["mIoU"]["blocks"][block] == pytest.approx(100 * alone.quality.miou)


class Truthful(torch.nn.Module):
    """Proposes the segments of one picture."""

    def __init__(self, masks: torch.Tensor) -> None:
        super().__init__()
        self.masks = masks

    def forward(self, pixel_values: torch.Tensor, *, every_layer: bool = False) -> MaskProposals:
        logits = torch.where(self.masks, 9.0, -9.0)[None]
        return MaskProposals(mask_logits=logits, query_embed=torch.zeros(1, len(self.masks), 32))


def test_with_true_masks_the_oracle_is_perfect_and_noisy_is_clean(pictures: Dataset) -> None:
    sample = pictures.samples[0]
    assert sample.mask_path is not None
    ids, segments = torch.from_numpy(load_ids(sample.mask_path)), sample.segments or ()
    model = tiny.ovseg(longest_side=64)
    model.segmenter = Truthful(torch.stack([ids == segment.id for segment in segments]))
    one = replace(pictures, samples=(sample,))
    (oracle,) = rows.ORACLE_NAMES.candidates()

    found = measure.tally_rows(model, one, ALL, [oracle], rows.VIEWS_OF_ORIGINAL)

    assert measure.iou_figures(found.pixels[oracle][0], {})["mIoU"] == pytest.approx(100)
    assert np.array_equal(found.named["clean, mask"][0], found.named["noisy, mask"][0])
    assert found.named["clean, mask"][0][1].sum() == len(segments)


def test_figures_of_groups_that_stand_for_data_sets_have_their_names() -> None:
    groups = {"seen": np.array([True, False]), "PC-59": np.array([False, True])}
    named = measure.naming_figures(np.array([[1, 0], [2, 3]]), groups)

    found = measure.under_names(named, ("A-150", "COCO-Stuff"), ("PC-59",))

    assert found == {
        "A-150 named": 20.0,
        "COCO-Stuff named": 20.0,
        "A-150 named seen": 50.0,
        "COCO-Stuff named seen": 50.0,
        "PC-59 named": 0.0,
    }


def test_a_row_takes_what_is_best_on_val(model: OVSeg, pictures: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def figures(counts: Any, groups: Any) -> Mapping[str, float]:
        return {"mIoU": float(counts[0, 0]), "hIoU": float(counts[1, 0])}

    def tally(_: Any, __: Any, ___: Any, answerings: Any) -> measure.Counted:
        parts = {one: (one.ensemble.clip_weight, one.regions.mask_threshold, 0) for one in answerings}
        told = {one: (np.array([[round(100 * part)] for part in found]),) for one, found in parts.items()}
        return measure.Counted(names=("cat",), is_seen=np.ones(1, bool), pixels=told, named={})

    monkeypatch.setattr(measure, "iou_figures", figures)
    monkeypatch.setattr(measure, "tally_rows", tally)
    by_hiou = replace(rows.ENSEMBLE, name="other", chosen_by="hIoU")
    chosen = measure.choose(model, pictures, ALL, [rows.ENSEMBLE, by_hiou, rows.TRUE_MASKS])
    assert chosen[rows.ENSEMBLE.name].ensemble.clip_weight == max(rows.LAMBDAS)
    assert chosen["other"].regions.mask_threshold == 0.5
    assert chosen["true masks"].masks == "true"


def test_mask_prompts_cost_nothing_and_visual_prompts_something(tmp_path: Path) -> None:
    prompts = {
        name: None if one is None else {"kind": one.kind, "depth": one.depth, "num_tokens": one.num_tokens}
        for name, one in plan.COSTS.items()
    }
    arms = work.count_cost(tmp_path, tmp_path, clip="ViT-B-16-quickgelu", prompts=prompts)["arms"]
    plain, masked, visual, more = (arms[name]["GMAC per crop"]["value"] for name in plan.COSTS)
    assert plain == masked == pytest.approx(17.5, abs=0.5)  # as everybody counts ViT-B/16
    assert 1.1 * plain < visual < 1.5 * plain < more


def tiny_sizes() -> plan.Sizes:
    clip = plan.SIZES["quick"].clip
    phases = tuple(replace(phase, steps=1, batch_size=4) for phase in clip.phases)
    return replace(plan.SIZES["quick"], pictures=4, val=1, test=2, steps=1, clip=replace(clip, phases=phases))


@pytest.mark.slow
def test_one_command_adapts_measures_and_goes_on_after_an_interruption(
    model: OVSeg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = save_model(model, tmp_path / "ovseg"), tmp_path / "out"
    monkeypatch.setitem(plan.SIZES, "quick", tiny_sizes())
    few = (*rows.ROWS[:1], rows.QUERY_ALONE, rows.CLIP_ALONE)
    monkeypatch.setattr(rows, "ROWS_OF_ORIGINAL", few)
    monkeypatch.setattr(
        plan, "ARMS", tuple(replace(arm, rows=few) for arm in plan.ARMS if arm.name in ("ft", "ft-mpt"))
    )
    asked = ("OVSeg A.3", "OVSeg Table 3", "V3")
    with monkeypatch.context() as broken:
        broken.setattr(work, "mine_pairs", _interrupt)
        with pytest.raises(ValueError, match="as asked for"):
            prepare(asked, World(model=str(folder)), QUICK, out).run(jobs=1)
    done = {path: path.read_bytes() for path in (out / "units/ovseg").rglob("*.json")}
    assert (out / "units/ovseg/original.json") in done

    page = prepare(asked, World(model=str(folder)), QUICK, out).run(jobs=1)

    assert all(path.read_bytes() == content for path, content in done.items())
    text = page.read_text()
    assert "stand for PC-59" in text
    assert NOT_IN_QUICK in text
    results = json.loads((out / "results.json").read_text())
    (table,) = (one for one in results["tables"] if one["name"] == "OVSeg A.3")
    assert {"A-150 mIoU", "A-150 mIoU seen"} < table["rows"][0]["ours"].keys()
    contrasts = results["claims"][0]["contrasts"]
    assert [one["verdict"] for one in contrasts[:4]] == ["too close to call"] * 4 or all(
        one["spread_of"] == "pictures" for one in contrasts[:4]
    )


def _interrupt(*_: Any, **__: Any) -> None:
    raise ValueError("as asked for")


def put_voc(root: Path) -> None:
    """Pascal VOC of two pictures, as it is published."""
    home = root / "VOCdevkit/VOC2012"
    for name in ("2007_000033", "2007_000042"):
        put_picture(home / f"JPEGImages/{name}.jpg", height=48, width=64)
        put_palette(home / f"SegmentationClass/{name}.png", bands(0, 8, 12, 255, height=48, width=64))
    put_text(home / "ImageSets/Segmentation/val.txt", "2007_000033\n2007_000042\n")


def test_a_model_on_real_data_fills_the_rows_that_need_no_training(model: OVSeg, tmp_path: Path) -> None:
    put_voc(tmp_path / "data")
    folder = save_model(model, tmp_path / "ovseg")
    asked = ("OVSeg Table 1", "OVSeg Table 2", "OVSeg A.3", "V2", "V3")

    world = World(model=str(folder), root=tmp_path / "data")
    prepare(asked, world, QUICK, tmp_path / "out").run(jobs=1)

    results = json.loads((tmp_path / "out" / "results.json").read_text())
    counted, record = (
        json.loads((tmp_path / f"out/units/ovseg/real/pascal-voc{end}.json").read_text()) for end in ("-0", "")
    )
    choice = counted["result"]["choices"]["ensemble"]
    assert choice["clip_weight"] == 0.45  # the authors' for Pascal VOC
    (ours,) = (row["ours"] for row in results["tables"][0]["rows"] if row["arm"] == "original, SimBaseline")
    assert ours["PAS-20 mIoU"]["mean"] == record["result"]["arms"]["original, SimBaseline"]["PAS-20 mIoU"]["value"]
    settings = EvaluationSettings(task="semantic", semantic_rule="soft", fusion=EnsembleConfig(clip_weight=0.45))
    dataset = open_dataset("pascal-voc", tmp_path / "data")
    report = evaluate_dataset(model, dataset, Vocabulary.of("pascal-voc"), settings)
    found = record["result"]["arms"]["original"]["PAS-20 mIoU"]
    assert found["value"] == pytest.approx(100 * report.quality.miou)
    assert len(found["blocks"]) == 2
    assert record["result"]["arms"]["original"].keys() >= {"PAS-20 mIoU seen", "PAS-20 mIoU unseen"}
    assert {"PAS-20 named"} <= record["result"]["arms"]["original, clean, background kept"].keys()
    notes = " ".join(results["notes"])
    assert "A-150 is left out. ade20k: the pictures are missing" in notes
    assert "PAS-20" not in notes
    assert "What the paper of OPSNet shows is left out" in notes
    assert all(note in (tmp_path / "out" / "RESULTS.md").read_text() for note in results["notes"])


def test_an_ovseg_with_mask_prompts_gives_the_parts_that_do_not_ask_its_clip_to_the_original(tmp_path: Path) -> None:
    put_voc(tmp_path)
    folder = save_model(tiny.ovseg(), tmp_path / "ovseg")

    real = plan.plan_ovseg(World(model=str(folder), root=tmp_path), QUICK)

    free = {"query alone", "oracle names", "ZegFormer, no image branch"}
    assert {arm for arm in real.arms if arm.startswith("original")} == {f"original, {row}" for row in free}
    assert {"ft-mpt", "ft-mpt, CLIP alone", "ft-mpt, true masks", "ft-mpt, clean, mask"} <= real.arms.keys()
    (table,) = (one for one in paper.TABLES if one.name == "OVSeg Table 1")
    beside = {row.name: row.figures["A-150 mIoU"] for row in table.rows if row.arm in real.arms}
    assert beside["OVSeg Swin-B, COCO-Stuff-171"] == 29.6
    assert "OVSeg R101c, COCO-Stuff-171" not in beside


def test_half_prepared_data_are_not_passed_over_in_silence(model: OVSeg, tmp_path: Path) -> None:
    put_voc(tmp_path / "data")
    shutil.rmtree(tmp_path / "data/VOCdevkit/VOC2012/SegmentationClass")
    world = World(model=str(save_model(model, tmp_path / "ovseg")), root=tmp_path / "data")

    with pytest.raises(UsageError, match=r"PAS-20 is left out\. pascal-voc: the labels are missing"):
        prepare(["OVSeg Table 1"], world, QUICK, tmp_path / "out")


def test_a_large_model_on_many_real_pictures_is_counted_in_units_of_an_hour_at_most(
    model: OVSeg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_voc(tmp_path)
    monkeypatch.setattr(plan, "SECONDS_PER_MULTIPLY_ADD", 1e-5)
    folder = save_model(model, tmp_path / "ovseg")
    units = plan.plan_ovseg(World(model=str(folder), root=tmp_path), FULL).units
    assert len(units) == 3  # one for each picture, and their sum
    assert 30 < max(unit.minutes for unit in units.values()) <= 60


def test_real_data_need_an_ovseg(tmp_path: Path) -> None:
    put_voc(tmp_path)
    assert plan.plan_ovseg(World(model="storybook", root=tmp_path), QUICK).units == {}


def test_training_pictures_show_everything_and_are_annotated_with_training_names(tmp_path: Path) -> None:
    work.draw(tmp_path, tmp_path / "train", count=1, seed=0, role="captions", vocabulary="storybook")
    document = json.loads((tmp_path / "train" / "panoptic.json").read_text())
    assert {category["name"] for category in document["categories"]} == set(BASE.names)

"""The plan of the trainings: what is compared differs in one thing, and every figure of a table is measured."""

from pathlib import Path
from typing import Any

import pytest

from lexiseg.io.models import load_model
from lexiseg.io.shipped import shipped_folder
from lexiseg.studies.opsnet import paper_trainings, trainings
from lexiseg.studies.opsnet.trainings import plan_trainings
from lexiseg.studies.ovseg.plan import plan_ovseg
from lexiseg.studies.units import Plan
from lexiseg.studies.worlds import FULL, PRESETS, QUICK, World

WORLD = World(model="storybook")
SHORT = {
    *(trainings.OPSNET, trainings.QUERY, trainings.PLAIN_CLASS, trainings.PLAIN, trainings.PLAIN_MODULATED),
    *(trainings.CLOSED, trainings.MASKCLIP, trainings.LSEG, trainings.DEEP, trainings.SWIN),
    *trainings.STARTS.values(),
}
"""The arms of short trainings, which the preset quick has not the time for."""


def recipe(plan: Plan, unit: str) -> dict[str, Any]:
    return dict(plan.units[unit].settings["recipe"])


@pytest.mark.parametrize("preset", PRESETS.values(), ids=str)
def test_every_arm_that_a_table_or_claim_names_is_planned_for_every_seed(preset: Any) -> None:
    plan = plan_trainings(WORLD, preset)

    asked = {arm for one in (*paper_trainings.TABLES, *paper_trainings.CLAIMS) for arm in one.arms}
    asked |= {row.arm for row in paper_trainings.TABLE_1_SHORT}
    absent = {arm for arm in asked - plan.arms.keys() if not arm.startswith("not tried: ")}
    assert absent == (SHORT if preset is QUICK else set())
    assert all(unit in plan.units for seeds in plan.arms.values() for units in seeds for unit in units)
    assert all(need in plan.units for unit in plan.units.values() for need in unit.needs)
    assert len(plan.arms[trainings.BOTH]) == len(preset.seeds)
    assert max(unit.minutes for unit in plan.units.values()) <= 60


def test_the_arms_of_table_9_differ_in_the_model_alone() -> None:
    plan = plan_trainings(WORLD, FULL)

    opsnet, closed, plain, lseg = (f"trainings/{name}-1" for name in ("opsnet", "closed", "plain", "lseg"))
    same = ("steps", "batch_size", "seed", "num_pictures", "framing", "optim", "criterion", "segmenter")
    for other in (closed, plain, lseg):
        assert all(recipe(plan, other)[name] == recipe(plan, opsnet)[name] for name in same)
        for setting in ("start", "pictures"):
            assert plan.units[other].settings[setting] == plan.units[opsnet].settings[setting]
    assert (recipe(plan, opsnet)["has_enhancer"], recipe(plan, plain)["has_enhancer"]) == (True, False)
    assert recipe(plan, opsnet)["steps"] == 500
    assert recipe(plan, "starts/resnet-0")["steps"] == 500


def test_rows_of_table_3_differ_in_what_learns_from_labels_alone() -> None:
    plan = plan_trainings(WORLD, QUICK)

    recipes = [recipe(plan, f"trainings/plus-{row}-0") for row in range(4)]
    weights = [(one.pop("match_weight"), one.pop("sum_weight")) for one in recipes]
    assert weights == [(0.0, 0.0), (1.0, 0.0), (1.0, 0.4), (1.0, 0.1)]
    assert all(one == recipes[0] for one in recipes)
    assert recipes[0]["batch_size"] + recipes[0]["labelled_batch_size"] == 8


def test_backbones_differ_in_the_backbone_alone_and_begin_from_closed_sets_of_their_own() -> None:
    full = plan_trainings(WORLD, FULL)

    names = ("opsnet-0", "backbone-deep-0", "backbone-swin-0")
    recipes = [recipe(full, f"trainings/{name}") for name in names]
    segmenters = [dict(one.pop("segmenter")) for one in recipes]
    assert recipes[0] == recipes[1] == recipes[2]
    backbones = [(one.pop("resnet"), one.pop("swin")) for one in segmenters]
    assert segmenters[0] == segmenters[1] == segmenters[2]
    assert len({str(one) for one in backbones}) == 3
    starts = [full.units[f"trainings/{name}"].settings["start"] for name in names]
    assert starts == [f"starts/{kind}-0" for kind in ("resnet", "deep", "swin")]


def test_masks_are_named_by_the_original_clip_that_ovsegs_tables_measure() -> None:
    plans = (plan_trainings(WORLD, FULL), plan_ovseg(WORLD, FULL))

    units = [plan.units["ovseg/original"] for plan in plans]
    assert units[0] == units[1]
    for name in ("figures/simbaseline", "figures/maskclip-0"):
        assert units[0].name in plans[0].units[name].needs


def test_pictures_to_learn_from_are_of_no_other_split() -> None:
    plan = plan_trainings(WORLD, QUICK)

    learned = {
        str(unit.settings[name])
        for unit in plan.units.values()
        for name in ("pictures", "labels")
        if unit.name.startswith("trainings/") and name in unit.settings
    }
    measured = {need for unit in plan.units.values() if unit.name.startswith("figures/") for need in unit.needs}
    assert learned
    assert not learned & measured
    assert all(plan.units[name].settings["split"] == "train" for name in learned)


def test_real_data_are_measured_with_the_given_model_alone(tmp_path: Path) -> None:
    plan = plan_trainings(World(model="storybook", root=tmp_path), QUICK)

    assert plan.units == plan.arms == {}
    assert "tried on drawn pictures" in plan.notes[0]


def test_the_given_model_is_an_opsnet_of_the_sizes_that_the_recipes_have() -> None:
    network = load_model(shipped_folder())

    assert network.config.segmenter == trainings.opsnet_tiny_short().segmenter
    assert network.config.longest_side == trainings.SIDE

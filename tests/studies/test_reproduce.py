"""`reproduce` on small drawn worlds and on miniatures of published layouts: names, results, refusals, going on."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from lexiseg.core.errors import UsageError
from lexiseg.io.config_json import to_jsonable
from lexiseg.io.models import save_model
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.studies import reproduce
from lexiseg.studies.figures.plan import PROTOTYPES
from lexiseg.studies.opsnet.plan import ARMS, add_up, count, plan_ablations
from lexiseg.studies.report import cell
from lexiseg.studies.reproduce import EVERYTHING, FIGURES, known_names, prepare
from lexiseg.studies.units import Plan
from lexiseg.studies.verdicts import Measured
from lexiseg.studies.worlds import FULL, MOST_BLOCKS, PRESETS, QUICK, Pictures, Preset, World, split
from random_opsnet import random_opsnet

TINY = Preset(name="quick", seeds=(0,), test=2, val=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(random_opsnet(), tmp_path_factory.mktemp("model") / "opsnet")


@pytest.mark.slow
def test_a_table_and_a_claim_become_pages_and_a_second_call_changes_no_byte(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduce, "PLANS", (plan_ablations,))
    world = World(model=str(folder))

    work = prepare(["table 4", "O7"], world, TINY, tmp_path / "out")
    page = work.run(jobs=1)

    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [table["name"] for table in results["tables"]] == ["Table 4"]
    assert [claim["name"] for claim in results["claims"]] == ["O7"]
    row = next(row for row in results["tables"][0]["rows"] if row["name"] == "EF + LD")
    assert row["paper"]["ADE20K PQ"] == 17.7
    assert 0 <= row["ours"]["ADE20K PQ"]["mean"] <= 100
    assert row["ours"]["Pascal Context mIoU"]["mean"] >= 0
    equal = [c for c in results["claims"][0]["contrasts"] if c["kind"] == "equal"]
    assert [contrast["verdict"] for contrast in equal] == ["holds", "holds"]  # by construction, in every digit
    assert results["rule"] in page.read_text()
    first = page.read_bytes(), (tmp_path / "out" / "results.json").read_bytes()
    again = prepare(["table 4", "O7"], world, TINY, tmp_path / "out")
    assert again.hours == 0
    again.run(jobs=1)
    assert (page.read_bytes(), (tmp_path / "out" / "results.json").read_bytes()) == first


def test_what_a_folder_holds_is_not_mixed_with_something_else(folder: Path, tmp_path: Path) -> None:
    prepare(["Table 6"], World(model=str(folder)), TINY, tmp_path / "out")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")

    with pytest.raises(ValueError, match="another preset, model or root"):
        prepare(["Table 6"], World(model="storybook"), TINY, tmp_path / "out")
    with pytest.raises(ValueError, match="something else"):
        prepare(["Table 6"], World(model=str(folder)), TINY, tmp_path / "other")
    with pytest.raises(ValueError, match="is a file"):
        prepare(["Table 6"], World(model=str(folder)), TINY, tmp_path / "other" / "letter.txt")


def test_a_changed_setting_makes_another_model(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    changed = shutil.copytree(folder, tmp_path / "changed")

    (changed / "config.json").write_text(json.dumps({**config, "clip_scale": 0.5}))

    assert World(model=str(changed)).model_settings["weights"] != World(model=str(folder)).model_settings["weights"]


@pytest.mark.parametrize(
    ("name", "hint"), [("Tabel 4", "did you mean Table 4"), ("O77", "did you mean O7"), ("zzz", "--list")]
)
def test_an_unknown_name_is_answered_with_what_is_near(name: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=hint):
        prepare([name], World(model="storybook"), TINY, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_real_data_without_what_is_asked_for_are_told_and_nothing_is_made(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()

    with pytest.raises(UsageError, match="below --root"):
        prepare(["Table 4"], World(model=str(folder), root=tmp_path / "data"), TINY, tmp_path / "out")
    with pytest.raises(UsageError, match="which is none"):
        prepare(["Table 4"], World(model=str(folder), root=tmp_path / "nowhere"), TINY, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_reason_that_is_told_is_the_one_that_is_true(folder: Path, tmp_path: Path) -> None:
    work = prepare(["Table 4", "Table 9", "O14"], World(model=str(folder)), FULL, tmp_path / "out")

    assert work.missing == ("O14",)
    (note,) = work.plan.notes
    assert note.endswith(f"beside '{folder}': its segmenter is not that of the recipes.")
    assert work.asked.about["notes"][:2] == [note, "Not tried here: O14."]


def test_nothing_is_told_to_be_left_out_where_all_is_there(tmp_path: Path) -> None:
    work = prepare(["Table 4", "O5"], World(model="storybook"), QUICK, tmp_path / "out")

    assert (work.missing, work.plan.notes, work.asked.about["notes"]) == ((), (), [])


@pytest.mark.parametrize("preset", PRESETS.values(), ids=str)
def test_the_pages_say_of_how_many_pictures_they_are(preset: Preset, tmp_path: Path) -> None:
    work = prepare(["Table 4"], World(model="storybook"), preset, tmp_path / "out")

    drawn = [unit for unit in work.plan.units.values() if unit.name.startswith("pictures/")]
    looked_at = {unit.settings["count"] for unit in drawn if unit.settings["split"] != "train"}
    looked_at |= {work.plan.units[need].settings["count"] for need in work.plan.units[PROTOTYPES].needs[:4]}
    told = set(map(int, re.findall(r"\b\d{2,}\b", work.asked.about["pictures"])))
    assert told == looked_at


@pytest.mark.slow
def test_blocks_and_figures_are_the_same_of_however_many_parts(tmp_path: Path) -> None:
    row, number = "Table 4: EF + LD", MOST_BLOCKS + 2
    pictures = Pictures(data="COCO", split="val", count=number)
    spec = StorybookSpec(role="base", split="val", count=number, size=(64, 64))
    write_storybook(spec, tmp_path / pictures.unit.name)
    about: Any = {"model": World(model="storybook").model_settings, "pictures": pictures.settings}
    about["rows"] = {row: to_jsonable(ARMS[row][0])}

    count(tmp_path, tmp_path / "blocks", **about, blocks=range(MOST_BLOCKS), of=MOST_BLOCKS)
    count(tmp_path, tmp_path / "more", **about, blocks=range(number), of=number)

    in_blocks, in_more = (
        add_up(tmp_path, tmp_path, **about, parts=[name])["arms"][row]["COCO PQ"] for name in ("blocks", "more")
    )
    assert len(set(in_blocks["blocks"])) > MOST_BLOCKS / 2
    assert in_more["value"] == pytest.approx(in_blocks["value"])
    assert in_more["blocks"] == pytest.approx(in_blocks["blocks"])


@pytest.mark.parametrize(
    ("minutes", "number", "units", "parts"),
    [(5, 200, 1, 20), (900, 3000, 20, 20), (1500, 5000, 30, 30), (200, 2, 2, 2)],
)
def test_many_pictures_are_split_among_units_of_an_hour_at_most(
    minutes: float, number: int, units: int, parts: int
) -> None:
    shares = split(minutes, number)

    assert len(shares) == units
    assert [part for share in shares for part in share] == list(range(parts))
    assert minutes / units <= 50 or units == number


def test_every_arm_of_a_table_figure_or_claim_is_measured_by_some_unit() -> None:
    """A misspelt arm would be a row of dashes, or a claim that is never run."""
    for preset in (QUICK, FULL):
        plan = Plan()
        for make in reproduce.PLANS:
            plan |= make(World(model="storybook"), preset)
        assert all(need in plan.units for unit in plan.units.values() for need in unit.needs)
        assert all(name in plan.units for seeds in plan.arms.values() for units in seeds for name in units)
        assert all(unit.minutes <= 60 for unit in plan.units.values())
        if preset is FULL:
            asked = {arm for one in EVERYTHING for arm in one.arms}
            assert {arm for arm in asked if not arm.startswith("not tried: ")} - plan.arms.keys() == set()
            assert {figure.unit for figure in FIGURES} <= plan.units.keys()


def test_names_are_told_once_and_settings_are_plain_data() -> None:
    names = [name for name, *_ in known_names()]

    assert len(names) == len({"".join(name.casefold().split()) for name in names})
    assert "all" not in names
    assert set(PRESETS) == {"quick", "full"}
    plan = plan_ablations(World(model="storybook"), QUICK)
    assert all(json.loads(json.dumps(unit.settings)) == unit.settings for unit in plan.units.values())
    assert set(plan.arms) == set(ARMS)


@pytest.mark.parametrize(
    ("measured", "paper", "text"),
    [
        (None, None, "-"),
        (None, 52.4, "- (52.4)"),
        (Measured(seeds=(50.04,)), 52.4, "50.0 (52.4)"),
        (Measured(seeds=(50.0, 51.0, 52.0)), None, "51.0 ± 1.0"),
        (Measured(seeds=(50.0,), blocks=(49.0, 51.0)), None, "50.0 *± 1.0*"),
        (Measured(seeds=(0.023,), blocks=(0.022, 0.024)), 0.2, "0.023 *± 0.001* (0.2)"),
        (Measured(seeds=(-0.5,)), None, "-0.50"),
        (Measured(seeds=(0.02, 0.0, -0.02)), 0.1, "0.000 ± 0.020 (0.1)"),
        (Measured(seeds=(0.013,), blocks=(-1.4, 1.4)), None, "0.0 *± 1.4*"),
        (Measured(seeds=(0.0,)), None, "0.0"),
    ],
)
def test_a_cell_has_ours_its_spread_and_the_papers(measured: Any, paper: float | None, text: str) -> None:
    assert cell(measured, paper) == text


@pytest.mark.slow
def test_the_same_tables_are_made_of_real_layouts_and_what_is_not_there_is_left_out(
    folder: Path, coco_sample: Path, tmp_path: Path
) -> None:
    root, home = tmp_path / "data", tmp_path / "data" / "coco"
    (home / "annotations").mkdir(parents=True)
    (home / "val2017").symlink_to(coco_sample / "input_images")
    (home / "panoptic_val2017").symlink_to(coco_sample / "panoptic_examples")
    (home / "annotations" / "panoptic_val2017.json").symlink_to(coco_sample / "panoptic_examples.json")

    work = prepare(
        ["Table 1", "Table 2", "O5", "O10", "O12"], World(model=str(folder), root=root), TINY, tmp_path / "out"
    )
    work.run(jobs=1)

    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(work.missing) >= {"O12"}  # other backbones need a training
    table, backbones = results["tables"]
    given = {row["name"]: row["ours"] for row in backbones["rows"]}["the given OPSNet"]
    assert "COCO PQ" in given
    row = table["rows"][-1]
    assert row["paper"]["COCO PQ"] == 52.4
    assert "COCO PQ" in row["ours"]
    assert "ADE20K PQ" not in row["ours"]  # it does not lie below this root
    assert {c["name"]: c["verdict"] for c in results["claims"]}["O5"] == "run in part"

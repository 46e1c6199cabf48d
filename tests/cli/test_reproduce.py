"""`lexiseg reproduce` on units that only say their figures: names, refusals, pages, and going on."""

import json
from pathlib import Path
from typing import Any

import pytest

import tiny
from command_runs import Ran, Run, one_sentence, refused
from lexiseg.io.models import save_model
from lexiseg.studies import reproduce as studies
from lexiseg.studies.opsnet import costs
from lexiseg.studies.units import Plan, Unit
from lexiseg.studies.worlds import Preset, World

STOPS: list[BaseException] = []
"""What the second unit runs into, once each."""
SIZES = {costs.SEGMENTER: {"GMAC": 400.0, "M parameters": 200.0}, costs.WHOLE: {"GMAC": 480.0, "M parameters": 220.0}}
PASSES = {costs.POOLED: {"passes of CLIP": 1.0}, costs.CROPPED: {"passes of CLIP": 9.0}}


def say(files: Path, out: Path, *, arms: dict[str, dict[str, float]]) -> Any:
    return {
        "arms": {
            arm: {name: {"value": value, "blocks": [value] * 2} for name, value in figures.items()}
            for arm, figures in arms.items()
        },
        "choices": {"row": {"clip_weight": 0.65}},
    }


def say_or_stop(files: Path, out: Path, *, arms: dict[str, dict[str, float]]) -> Any:
    if STOPS:
        raise STOPS.pop()
    return say(files, out, arms=arms)


def plan(world: World, preset: Preset) -> Plan:
    """The costs alone, already counted."""
    units = (
        Unit(name="costs/sizes", act=say, settings={"arms": SIZES}),
        Unit(name="costs/passes", act=say_or_stop, settings={"arms": PASSES}, minutes=90),
    )
    return Plan(
        units={unit.name: unit for unit in units},
        arms={arm: ((unit.name,),) for unit in units for arm in unit.settings["arms"]},
        notes=("All but the costs is left out: nobody counts it.",),
    )


def plan_of_seeds(world: World, preset: Preset) -> Plan:
    """The costs, counted once for each seed."""
    units = [
        Unit(
            name=f"costs/sizes-{seed}",
            act=say_or_stop if seed == 2 else say,
            settings={"arms": {costs.WHOLE: {"GMAC": 480.0 + seed}}},
        )
        for seed in preset.seeds
    ]
    return Plan(units={unit.name: unit for unit in units}, arms={costs.WHOLE: tuple((unit.name,) for unit in units)})


@pytest.fixture
def reproduce(run: Run, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command on units of no work."""
    monkeypatch.setattr(studies, "PLANS", (plan,))

    def _reproduce(*names: object, out: Path = tmp_path / "out") -> Ran:
        return run("reproduce", *names, "--out", out, "--model", tiny_folder, "--jobs", 1)

    return _reproduce


def verdicts(out: Path) -> dict[str, str]:
    return {claim["name"]: claim["verdict"] for claim in json.loads((out / "results.json").read_text())["claims"]}


def test_the_list_has_every_table_figure_and_claim(run: Run) -> None:
    ran = run("reproduce", "--list")

    assert (ran.code, ran.err) == (0, "")
    told = [line.split("  ")[0] for line in ran.out.splitlines() if line and not line.startswith(" ")]
    assert told[2:] == [one.name for one in studies.EVERYTHING]
    papers = {name: paper for name, paper, _ in studies.known_names()}
    asked = ("Table 9", "Costs", "Figure 3", "O4", "V12", "OVSeg A.9", "SimBaseline fill")
    assert [papers[name] for name in asked] == [*["OPSNet"] * 4, *["OVSeg"] * 2, "SimBaseline"]


def test_names_come_in_the_order_of_the_papers() -> None:
    names = [one.name for one in studies.EVERYTHING]

    opsnet = [*(f"Table {number}" for number in range(1, 10)), "Costs", "Experiments"]
    assert names[: len(opsnet) + 1] == [*opsnet, "OVSeg introduction"]
    claims = [*(f"O{number}" for number in range(1, 18)), *(f"V{number}" for number in range(1, 13)), "Z1", "Z2", "Z3"]
    assert names[-len(claims) :] == claims


def test_an_unknown_name_is_wrong_usage_and_what_is_near_is_told(reproduce: Run, tmp_path: Path) -> None:
    ran = reproduce("Tabel 4")

    assert (ran.code, ran.out) == (2, "")
    (sentence,) = ran.err.splitlines()
    assert sentence.startswith("lexiseg: neither paper has a table, figure or claim 'Tabel 4': did you mean Table 4 ")
    assert not (tmp_path / "out").exists()


def test_without_a_folder_for_the_results_nothing_begins(run: Run) -> None:
    one_sentence(run("reproduce", "O15"), 2, "--out DIR", "--list")


def test_what_quick_leaves_out_is_in_the_preset_full(run: Run, tmp_path: Path) -> None:
    ran = run("reproduce", "O14", "V7", "V8", "--out", tmp_path / "out")

    one_sentence(ran, 2, "O14, V7, V8 can't be had", "The preset quick", "--preset full")
    assert "--root" not in ran.err


def test_a_model_of_no_system_of_the_papers_is_refused(run: Run, tmp_path: Path) -> None:
    folder = save_model(tiny.fcclip(), tmp_path / "fcclip")

    ran = run("reproduce", "O15", "--out", tmp_path / "out", "--model", folder)

    one_sentence(ran, 2, "expected an OPSNet or an OVSeg as --model, got FCCLIP", "fcclip", "leave --model out")
    assert not (tmp_path / "out").exists()


def test_results_are_written_and_their_place_is_told(reproduce: Run, tmp_path: Path) -> None:
    ran = reproduce("o15", "Table 4")

    page = tmp_path / "out" / "RESULTS.md"
    assert (ran.code, ran.out) == (0, f"Results: {page}.\n")
    left_out, why, told, *units = ran.err.splitlines()
    assert left_out == "lexiseg: left out: Table 4."
    assert why == "lexiseg: All but the costs is left out: nobody counts it."
    assert told.startswith("lexiseg: 2 pieces of work, about 1.5 hours on one core")
    assert units == ["lexiseg: costs/sizes (0 s), 1 left", "lexiseg: costs/passes (0 s), 0 left"]
    assert verdicts(tmp_path / "out") == {"O15": "holds"}
    assert "lexiseg reproduce o15 'Table 4' --preset quick" in page.read_text()
    text = page.read_text()
    assert "| O15 | holds | 4 of 4 |" in text
    assert "Of 1, holds: 1. " in text
    assert "nobody counts it.\n\nNot tried here: Table 4.\n" in text


def test_costs_stand_beside_the_papers(reproduce: Run, tmp_path: Path) -> None:
    reproduce("costs")

    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["choices"]["costs/sizes"] == {"row": {"clip_weight": 0.65}}
    assert results["measured"][costs.CROPPED]["passes of CLIP"] == {"mean": 9.0, "spread": 0.0, "seeds": [9.0]}
    text = (tmp_path / "out" / "RESULTS.md").read_text()
    assert "## OPSNet, Costs\n" in text
    assert "| OPSNet, Swin-L | 480.0 *± 0.0* (485) | 220.0 *± 0.0* (242) | - |" in text
    assert "| cropping | - | - | 9.0 *± 0.0* |" in text


def test_a_second_call_finds_all_done(reproduce: Run, tmp_path: Path) -> None:
    first = reproduce("O15")
    records = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "units").rglob("*.json")}

    again = reproduce("O15")

    assert (again.code, again.out, again.err) == (0, first.out, "")
    assert {path: path.stat().st_mtime_ns for path in records} == records


def test_more_seeds_go_on_from_fewer_and_stay(reproduce: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "PLANS", (plan_of_seeds,))
    page = tmp_path / "out" / "RESULTS.md"

    reproduce("Costs")
    one = page.read_text()
    ran = reproduce("Costs", "--seeds", 3)
    three = page.read_text()
    again = reproduce("Costs")

    assert "**Seeds.** One, " in one
    assert "| OPSNet, Swin-L | 480.0 *± 0.0* (485) |" in one
    assert ran.err.splitlines()[-2:] == [
        "lexiseg: costs/sizes-1 (0 s), 1 left",
        "lexiseg: costs/sizes-2 (0 s), 0 left",
    ]
    assert "--preset quick --seeds 3 --model" in three
    assert "**Seeds.** 3 of what is trained.\n" in three
    assert "| OPSNet, Swin-L | 481.0 ± 1.0 (485) |" in three
    assert (again.code, again.err, page.read_text()) == (0, "", three)


def test_seeds_that_are_finished_are_told_where_one_is_not(
    reproduce: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies, "PLANS", (plan_of_seeds,))
    monkeypatch.setattr(f"{__name__}.STOPS", [KeyboardInterrupt()])

    assert reproduce("Costs", "--seeds", 3).code == 130

    text = (tmp_path / "out" / "RESULTS.md").read_text()
    assert "**Seeds.** 3 of what is trained, 2 of which are finished and stand below.\n" in text
    assert "| OPSNet, Swin-L | 480.5 *± 0.0* (485) |" in text


@pytest.mark.parametrize(
    ("stop", "code", "told"),
    [(KeyboardInterrupt(), 130, "lexiseg: interrupted."), (ValueError("no room."), 1, "passes: no room.")],
)
def test_a_call_that_was_stopped_keeps_what_is_done_and_the_next_goes_on(
    reproduce: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException, code: int, told: str
) -> None:
    monkeypatch.setattr(f"{__name__}.STOPS", [stop])

    stopped = reproduce("O15")

    assert (stopped.code, stopped.out) == (code, "")
    assert told in stopped.err.splitlines()[-1]
    assert verdicts(tmp_path / "out") == {"O15": "run in part"}
    assert "| O15 | run in part | 2 of 4, 2 not run |" in (tmp_path / "out" / "RESULTS.md").read_text()
    went_on = reproduce("O15")
    assert went_on.code == 0
    assert went_on.err.splitlines()[1:] == ["lexiseg: costs/passes (0 s), 0 left"]
    assert verdicts(tmp_path / "out") == {"O15": "holds"}


def test_a_folder_of_something_else_is_left_as_it_is(reproduce: Run, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter.txt").write_text("dear")

    refused(reproduce("O15", out=tmp_path / "letters"), "letters", "something else", "--out")

    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["letter.txt"]

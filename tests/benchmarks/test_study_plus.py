"""The study of OPSNet+: every arm sees the same pictures, figures are the evaluator's, and the command goes on."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tiny
from lexiseg.data.dataset import Dataset
from lexiseg.evaluation.evaluator import evaluate_dataset
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.io.models import save_model
from lexiseg.storybook.choices import Role
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import ALL, NOVEL, SEEN

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import study_plus
from plus_study import plan, work
from study.runner import in_order

sys.path.pop(0)

START = {"start": "opsnet", "weights": "hash"}


def drawn(folder: Path, role: Role) -> Dataset:
    return write_storybook(StorybookSpec(role=role, split="val", count=2, size=(64, 64)), folder)


def test_the_arms_differ_in_what_learns_from_labels_alone() -> None:
    jobs, runs = plan.jobs_of([0, 1], plan.Sizes(steps=7), [START], "cpu")

    assert runs == [f"runs/{arm}-{seed}" for arm in ("start", "base", "classes", "both") for seed in (0, 1)]
    recipes = [dict(jobs[f"train/{arm}-1"].settings["recipe"]) for arm in plan.ARMS]
    weights = [(recipe.pop("match_weight"), recipe.pop("sum_weight")) for recipe in recipes]
    assert weights == [(0.0, 0.0), (1.0, 0.0), (1.0, 0.4)]
    assert recipes[0] == recipes[1] == recipes[2]
    assert (recipes[0]["seed"], recipes[0]["steps"]) == (1, 7)


def test_seeds_take_starts_in_turn_and_share_all_pictures() -> None:
    other = {"start": "other", "weights": "another"}
    jobs, runs = plan.jobs_of([0, 1, 2], plan.Sizes(), [START, other], "cpu")

    assert [jobs[f"train/both-{seed}"].settings["start"] for seed in range(3)] == ["opsnet", "other", "opsnet"]
    names = [job.name for job in in_order(jobs, runs)]
    assert sum(name.startswith("pictures/") for name in names) == 3 + len(plan.TESTS)
    assert names.index("pictures/labels") < names.index("train/both-0") < names.index("runs/both-0")


def test_pictures_with_labels_are_of_no_other_role_or_split() -> None:
    jobs, _ = plan.jobs_of([0], plan.Sizes(), [START], "cpu")
    pictures = [(j.settings["role"], j.settings["split"]) for j in jobs.values() if j.name.startswith("pictures/")]

    assert len(set(pictures)) == len(pictures)
    assert ("image-level", "train") in pictures


def test_figures_are_those_of_the_evaluator(tmp_path: Path) -> None:
    model = tiny.model()
    merge = replace(model.config.merge, score_threshold=0.01)
    novel, semantic = drawn(tmp_path / "novel", "novel"), drawn(tmp_path / "semantic", "semantic-only")

    found = work.figures_of(model, "novel", novel, merge) | work.figures_of(model, "semantic-only", semantic, merge)

    unseen = [name for name in NOVEL.names if name not in SEEN]
    settings = EvaluationSettings(task="panoptic", merge=merge)
    panoptic = evaluate_dataset(model, novel, NOVEL, settings, groups={"unseen": unseen})
    miou = evaluate_dataset(model, semantic, ALL, replace(settings, task="semantic")).quality.miou
    assert found["novel PQ"] == 100 * panoptic.quality.all.pq
    assert found["novel PQ unseen"] == 100 * panoptic.groups["unseen"].all.pq
    assert found["semantic-only mIoU"] == 100 * miou
    assert found.keys() == {"novel PQ", "novel PQ unseen", "semantic-only mIoU", "semantic-only mIoU unseen"}


def test_every_claim_and_column_is_a_figure_that_a_run_gives() -> None:
    given = {"novel PQ", "novel PQ unseen", "dusk PQ", "base PQ", "semantic-only mIoU", "semantic-only mIoU unseen"}

    asked = {figure for claim in plan.CLAIMS for c in claim.comparisons for _, figure in (c.higher, c.lower)}
    assert asked | set(plan.SUMMARY) <= given


def test_the_threshold_is_the_best_on_val(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, pictures = tiny.model(), drawn(tmp_path / "val", "base")
    monkeypatch.setattr(work, "THRESHOLDS", (0.001, 0.9))

    chosen = work.choose(model, pictures)

    assert chosen.rank_by == model.config.merge.rank_by
    assert chosen.score_threshold == 0.001  # above 0.9 an untrained model finds nothing


def test_the_command_goes_on_after_an_interruption_and_writes_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gains = {"base": 0.0, "classes": 1.0, "both": 2.0}

    def train(root: Path, out: Path, **settings: Any) -> Any:
        if out.name == "both-1":
            raise KeyboardInterrupt
        return {}

    def measure(root: Path, out: Path, *, model: str, **settings: Any) -> Any:
        gain = next((gain for arm, gain in gains.items() if f"{arm}-" in model), -1.0)
        return {"figures": dict.fromkeys(plan.SUMMARY, 40.0 + gain)}

    monkeypatch.setattr(work, "draw", lambda root, out, **settings: {})
    monkeypatch.setattr(work, "measure", measure)
    out = tmp_path / "study"
    start = save_model(tiny.model(), tmp_path / "opsnet")
    command = ["--out", str(out), "--start", str(start), "--seeds", "0,1", "--jobs", "1"]
    with monkeypatch.context() as broken:
        broken.setattr(work, "train", train)
        with pytest.raises(KeyboardInterrupt):
            study_plus.main(command)
    done = {path: path.read_bytes() for path in (out / "runs").glob("*.json")}
    assert "both-1.json" not in {path.name for path in done}
    with pytest.raises(SystemExit):
        study_plus.main(command)
    assert "pass --resume" in capsys.readouterr().err

    monkeypatch.setattr(work, "train", lambda root, out, **settings: {})
    study_plus.main([*command, "--resume"])

    assert all(path.read_bytes() == content for path, content in done.items())
    assert "| both | 42.0 ± 0.0 |" in (out / "study.md").read_text()
    other, training, semantic = json.loads((out / "study.json").read_text())["claims"]
    assert {found["verdict"] for found in other["comparisons"]} == {"holds", "higher"}
    assert [found["verdict"] for found in training["comparisons"]] == ["holds", "reversed"]
    assert [found["mean"] for found in semantic["comparisons"]] == [2.0, 2.0]

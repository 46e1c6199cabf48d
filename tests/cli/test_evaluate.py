"""`lexiseg evaluate`: what a person sees, and what lies in the folder afterwards."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

import lexiseg
from command_runs import Run
from lexiseg.cli import evaluate as commands_evaluate
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.evaluation import evaluator
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.io.finding import find_model
from lexiseg.io.models import load_model
from lexiseg.storybook.export import StorybookSpec, write_storybook


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of novel."""
    root = tmp_path_factory.mktemp("a data set") / "data"
    write_storybook(StorybookSpec(role="novel", split="val", count=3, size=(48, 48)), root)
    return root


@pytest.fixture
def evaluate(run: Run, tiny_folder: Path, tmp_path: Path) -> Run:
    """Evaluates the tiny model, so that every mask that it proposes is taken."""

    def _evaluate(*arguments: object) -> object:
        common = ("--model", tiny_folder, "--device", "cpu", "--out", tmp_path / "out", "--workers", 0)
        return run("evaluate", *common, "--score-threshold", 0, *arguments)

    return _evaluate


def report_in(folder: Path) -> dict[str, object]:
    return json.loads((folder / "report.json").read_text())


def test_a_drawn_data_set_is_drawn_measured_and_reported(evaluate: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"

    ran = evaluate("--data", "storybook-novel", "--split", "val", "--count", 2)

    assert ran.code == 0, ran.err
    report = report_in(out)
    assert 0 <= report["pq"] <= 1
    assert {"seen", "unseen"} == set(report["groups"])
    assert report["num_pictures"] == 2
    assert report["settings"]["negatives"] is False
    assert report["settings"]["task"] == "panoptic"
    assert report["weights"] in ran.out
    assert "cpu" in ran.out
    assert {path.name for path in out.iterdir()} == {"data", "report.json", "report.md", "report-pictures"}
    # the drawn pictures are an ordinary data set: read as a folder they give the same figures
    evaluate("--data", out / "data")
    assert report_in(out)["per_class"] == report["per_class"]


def test_a_data_set_that_no_evaluation_has_drawn_is_never_replaced(run: Run, evaluate: Run, tmp_path: Path) -> None:
    own = tmp_path / "out" / "data"
    assert run("storybook", "--count", 1, "--role", "dusk", "--out", own).code == 0
    before = {path: path.read_bytes() for path in own.rglob("*") if path.is_file()}

    assert (
        evaluate("--data", own, "--vocabulary", "storybook-dusk").code == 0
    )  # a report beside it makes it no less own
    ran = evaluate("--data", "storybook", "--count", 1)

    assert ran.code == 2
    assert "holds what no evaluation has drawn" in ran.err
    assert {path: path.read_bytes() for path in own.rglob("*") if path.is_file()} == before


def test_an_evaluation_may_be_repeated_in_its_own_folder(evaluate: Run, tmp_path: Path) -> None:
    assert evaluate("--data", "storybook", "--count", 2).code == 0
    assert evaluate("--data", "storybook", "--count", 1).code == 0
    assert len(read_panoptic(tmp_path / "out" / "data").samples) == 1


def test_nothing_is_drawn_for_a_model_or_a_switch_that_is_refused(run: Run, tiny_folder: Path, tmp_path: Path) -> None:
    drawn, out = ("evaluate", "--data", "storybook", "--count", 1), tmp_path / "new"
    refused = (
        (("--model", tmp_path / "nowhere"), 1),
        (("--model", tiny_folder, "--region-threshold", 0.3), 2),
        (("--model", tiny_folder, "--alpha", "inf"), 2),
        (("--model", tiny_folder, "--task", "instance", "--diagnose"), 2),
        (("--model", tiny_folder, "--semantic-rule", "soft"), 2),
        (("--model", tiny_folder, "--vocabulary", "cat, spaceship of old"), 1),
    )
    for options, code in refused:
        ran = run(*drawn, *options, "--out", out)
        assert ran.code == code, ran.err
        assert not out.exists()


def test_the_page_shows_the_worst_and_the_best_pictures(evaluate: Run, drawn: Path, tmp_path: Path) -> None:
    assert evaluate("--data", drawn).code == 0

    page = (tmp_path / "out" / "report.md").read_text()
    named = [line.partition("](")[2].rstrip(")") for line in page.splitlines() if line.startswith("![")]
    assert len(named) == 3  # of three pictures none is among the worst and the best
    for name in named:
        with Image.open(tmp_path / "out" / name) as picture:
            assert picture.width > 2 * picture.height  # picture, truth and prediction
    scores = [scene["score"] for scene in report_in(tmp_path / "out")["scenes"]]
    assert f"{100 * min(scores):.1f}. Picture, truth, prediction." in page


def test_switches_reach_the_model(evaluate: Run, drawn: Path, tmp_path: Path) -> None:
    assert evaluate("--data", drawn, "--clip-only", "--negatives").code == 0

    settings = report_in(tmp_path / "out")["settings"]
    assert settings["fusion"]["clip_only"] is True
    assert settings["fusion"]["beta"] == 0
    assert settings["negatives"] is True


def test_an_unreadable_picture_is_named_counted_and_makes_the_status_3(
    evaluate: Run, drawn: Path, tmp_path: Path
) -> None:
    picture = sorted((drawn / "images").iterdir())[1]
    whole = picture.read_bytes()
    picture.write_bytes(whole[:90])

    ran = evaluate("--data", drawn)
    picture.write_bytes(whole)

    assert ran.code == 3
    assert picture.name in ran.err
    report = report_in(tmp_path / "out")
    assert report["num_pictures"] == 2
    assert [entry["name"] for entry in report["unreadable"]] == [picture.name]
    assert picture.name in (tmp_path / "out" / "report.md").read_text()


def test_of_many_unreadable_pictures_the_first_are_named(
    evaluate: Run, drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands_evaluate, "SHOWN_SKIPPED", 1)
    kept = {path: path.read_bytes() for path in sorted((drawn / "images").iterdir())[:2]}
    for path in kept:
        path.unlink()

    ran = evaluate("--data", drawn)
    for path, content in kept.items():
        path.write_bytes(content)

    assert ran.code == 3
    lines = [line for line in ran.err.splitlines() if "left out" in line]
    assert len(lines) == 2
    assert "1 more, which report.md names" in lines[1]


@pytest.mark.parametrize(("data", "task", "figure"), [("storybook-semantic", None, "miou"), (None, "instance", "ap")])
def test_other_tasks_have_their_own_figures(
    evaluate: Run, drawn: Path, tmp_path: Path, data: str | None, task: str | None, figure: str
) -> None:
    asked = ("--data", data, "--count", 2) if data else ("--data", drawn)

    ran = evaluate(*asked, *(("--task", task) if task else ()))

    assert ran.code == 0, ran.err
    report = report_in(tmp_path / "out")
    assert 0 <= report[figure] <= 1
    assert report["settings"]["task"] in ran.out


def test_a_diagnosis_leads_from_the_model_to_100(evaluate: Run, drawn: Path, tmp_path: Path) -> None:
    ran = evaluate("--data", drawn, "--diagnose")

    assert ran.code == 0, ran.err
    report = report_in(tmp_path / "out")
    ladder = report["diagnosis"]["ladder"]
    assert ladder[0]["all"]["pq"] == report["pq"]
    assert ladder[-1]["all"]["pq"] == 1.0
    assert "+ true masks" in ran.out
    assert "Most frequent confusions" in (tmp_path / "out" / "report.md").read_text()
    assert not list((tmp_path / "out").glob(".*"))


def test_a_diagnosis_of_miou_tells_what_masks_and_names_cost(evaluate: Run, drawn: Path, tmp_path: Path) -> None:
    ran = evaluate("--data", drawn, "--task", "semantic", "--diagnose")

    assert ran.code == 0, ran.err
    report = report_in(tmp_path / "out")
    ways = report["diagnosis"]["ways"]
    assert ways["model"]["miou"] == report["miou"]
    assert ways["true names"]["miou"] == pytest.approx(report["miou"] + ways["true names"]["gain"])
    assert "true masks, CLIP's names" in (tmp_path / "out" / "report.md").read_text()
    assert "Masks or names replaced by truth" in ran.out


def test_a_diagnosis_of_another_task_is_refused(evaluate: Run, drawn: Path) -> None:
    ran = evaluate("--data", drawn, "--task", "instance", "--diagnose")

    assert ran.code == 2
    assert "leave --diagnose out" in ran.err


def test_the_soft_rule_without_the_semantic_task_is_refused(evaluate: Run, drawn: Path) -> None:
    assert "add --task semantic" in evaluate("--data", drawn, "--semantic-rule", "soft").err
    assert evaluate("--data", drawn, "--semantic-rule", "soft", "--task", "semantic").code == 0


def test_words_under_other_names_are_matched_and_told(evaluate: Run, drawn: Path, tmp_path: Path) -> None:
    content = json.loads((drawn / "panoptic.json").read_text())
    names = [c["name"] for c in content["categories"]]
    words = ["puss|cat", *names[1:]]

    ran = evaluate("--data", drawn, "--vocabulary", ", ".join(words))

    assert names[0] == "cat"
    assert ran.code == 0, ran.err
    assert "cat as puss" in ran.out


def test_a_word_that_is_no_category_is_refused_with_what_is_near(evaluate: Run, drawn: Path) -> None:
    names = [c["name"] for c in json.loads((drawn / "panoptic.json").read_text())["categories"]]

    ran = evaluate("--data", drawn, "--vocabulary", ", ".join(["catt", *names[1:]]))

    assert ran.code == 1
    assert "the word 'catt' is no category of the data set (near: " in ran.err


def test_an_interrupted_evaluation_says_how_to_go_on(
    evaluate: Run, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluator, "evaluate_dataset", interrupted)

    ran = evaluate("--data", drawn)

    assert ran.code == 130
    assert "--resume" in ran.err


def test_resume_with_nothing_begun_begins(evaluate: Run, drawn: Path, tmp_path: Path) -> None:
    assert evaluate("--data", drawn, "--resume").code == 0
    assert report_in(tmp_path / "out")["num_pictures"] == 3


def test_the_report_says_what_was_measured(evaluate: Run, drawn: Path, tmp_path: Path, tiny_folder: Path) -> None:
    assert evaluate("--data", drawn, "--limit", 2).code == 0

    report = report_in(tmp_path / "out")
    assert report["data"] == {"name": str(drawn), "limit": 2, "root": None, "split": None}
    assert report["model"] == str(tiny_folder)
    assert report["words"]["cat"] == "cat"
    assert len(report["words"]) == 50
    page = (tmp_path / "out" / "report.md").read_text()
    assert f"| data | {drawn}, limit 2 |" in page


def test_pictures_are_as_large_as_asked_and_the_report_says_so(evaluate: Run, drawn: Path, tmp_path: Path) -> None:
    assert evaluate("--data", drawn, "--limit", 1, "--shortest-side", 96, "--longest-side", 128).code == 0
    wrong = evaluate("--data", drawn, "--limit", 1, "--shortest-side", 128, "--longest-side", 96)

    assert report_in(tmp_path / "out")["pictures"] == {"shortest_side": 96, "longest_side": 128}
    assert wrong.code == 2
    assert "the longest not below the shortest, got 96 and 128" in wrong.err


@pytest.mark.parametrize(("model", "data"), [(None, "storybook-novel"), ("tiny-ovseg", None)])
def test_the_library_writes_the_report_of_the_command(
    run: Run, drawn: Path, tiny_folder: Path, tmp_path: Path, model: str | None, data: str | None
) -> None:
    typed, called = tmp_path / "typed", tmp_path / "called"
    name, source = model or tiny_folder, data or drawn

    ran = run(
        *("evaluate", "--model", name, "--data", source, "--device", "cpu", "--out", typed),
        *("--count", 3, "--seed", 4, "--limit", 2, "--score-threshold", 0, "--workers", 0),
    )
    merge = replace(load_model(find_model(name)).config.merge, score_threshold=0.0)
    settings = EvaluationSettings(merge=merge, limit=2)
    lexiseg.evaluate(name, source, settings=settings, count=3, seed=4, device="cpu", out=called)

    assert ran.code == 0, ran.err
    by_command, by_library = report_in(typed), report_in(called)
    assert by_library == by_command | {"images_per_second": by_library["images_per_second"]}  # that is by the clock
    assert ("crops" in by_library, by_library["num_pictures"]) == (model == "tiny-ovseg", 2)


def test_a_split_that_a_folder_lacks_is_refused(evaluate: Run, drawn: Path) -> None:
    ran = evaluate("--data", drawn, "--split", "nosuchsplit")

    assert ran.code == 1
    assert "has no such split" in ran.err


@pytest.mark.slow
def test_under_torchrun_an_unreadable_picture_does_not_lose_the_report(
    drawn: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    picture = sorted((drawn / "images").iterdir())[1]
    whole = picture.read_bytes()
    picture.write_bytes(whole[:90])
    ending = ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", "-m", "lexiseg"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", *ending]
    options = ["--data", drawn, "--model", tiny_folder, "--device", "cpu", "--out", tmp_path / "out"]

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*torchrun, "evaluate", *map(str, options)], env=environment, timeout=200, check=False)
    picture.write_bytes(whole)

    assert [entry["name"] for entry in report_in(tmp_path / "out")["unreadable"]] == [picture.name]
    assert report_in(tmp_path / "out")["num_pictures"] == 2


def test_a_split_that_the_drawn_world_lacks_is_refused(evaluate: Run) -> None:
    ran = evaluate("--data", "storybook", "--split", "minival")

    assert ran.code == 2
    assert "train, val, test" in ran.err

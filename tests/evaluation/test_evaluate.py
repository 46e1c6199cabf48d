"""`lexiseg.evaluate`: a model and a data set by name or by value."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import lexiseg
import tiny
from lexiseg.core.errors import UsageError
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.formats.coco_panoptic import read_lists, read_panoptic
from lexiseg.evaluation import evaluator, predictions
from lexiseg.evaluation.evaluator import evaluate, evaluate_dataset
from lexiseg.evaluation.metrics.panoptic_quality import summarise
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.evaluation.scoring import score_panoptic, translated
from lexiseg.io.models import save_model
from lexiseg.models.opsnet import OPSNet, OPSNetConfig
from lexiseg.models.postprocess.panoptic import MergeConfig
from lexiseg.storybook.datasets import DRAWN, draw_dataset
from lexiseg.storybook.roles import NOVEL

ONE_TEMPLATE = ("a photo of a {}.",)
LOOSE = EvaluationSettings(merge=MergeConfig(score_threshold=0.0, overlap_threshold=0.1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights."""
    folder = tmp_path_factory.mktemp("model")
    config = OPSNetConfig(
        segmenter=replace(tiny.RESNET, num_queries=5),
        clip=tiny.CLIP,
        training_vocabulary=Vocabulary.of("storybook", ONE_TEMPLATE),
        longest_side=64,
    )
    with torch.random.fork_rng(devices=()):
        torch.random.default_generator.manual_seed(0)
        save_model(OPSNet(config), folder)
    return folder


def test_a_drawn_data_set_is_measured_by_name_and_leaves_its_report(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    report = evaluate(folder, "storybook-novel", settings=LOOSE, count=2, seed=5, out=out, device="cpu")

    document = json.loads((out / "report.json").read_text())
    assert document["pq"] == report.quality.all.pq
    assert document["data"] == {"name": "storybook-novel", "limit": None, "split": "test", "count": 2, "seed": 5}
    assert document["model"] == str(folder)
    assert set(document["words"]) == set(NOVEL.names)
    assert set(report.groups) == {"seen", "unseen"}
    assert sorted(path.name for path in out.iterdir()) == ["data", "report.json"]
    network = lexiseg.load_model(folder)
    dataset = read_panoptic(out / "data")
    groups = {"seen": tuple(n for n in NOVEL.names if n in lexiseg.Vocabulary.of("storybook").row_names())}
    again = evaluate_dataset(network, dataset, DRAWN["storybook-novel"].vocabulary, LOOSE, groups=groups)
    assert (again.quality, again.groups["seen"]) == (report.quality, report.groups["seen"])
    assert len(dataset.samples) == 2


def test_a_model_and_a_data_set_may_be_values(folder: Path, tmp_path: Path) -> None:
    dataset = draw_dataset("storybook-novel", tmp_path, count=2)
    model = lexiseg.load(folder, device="cpu")
    told: list[tuple[int, int]] = []

    by_model = evaluate(
        model, dataset, settings=LOOSE, out=tmp_path / "out", report=lambda done, total: told.append((done, total))
    )
    by_network = evaluate(model.network, str(tmp_path), NOVEL, settings=LOOSE, task="semantic")

    assert by_model.settings.task == "panoptic"
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (document["data"], document["model"]) == ({"name": None, "limit": None}, str(folder))
    assert told[-1] == (2, 2)
    assert by_network.settings.task == "semantic"
    assert by_network.quality.per_class


def test_a_drawn_data_set_is_measured_by_the_task_that_it_is_made_for(folder: Path) -> None:
    assert evaluate(folder, "storybook-semantic", settings=LOOSE, count=1, device="cpu").settings.task == "semantic"


def test_what_is_no_model_or_no_data_set_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a model, its folder or its name, got int"):
        evaluate(3, "storybook")
    with pytest.raises(ValueError, match="there is no data set 'storyboard'"):
        evaluate(folder, "storyboard", device="cpu")
    with pytest.raises(ValueError, match="the word 'dragon' is no category"):
        evaluate(folder, "storybook", "cat, dragon", out=tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()  # refused before anything is drawn


def test_drawn_pictures_replace_drawn_ones_alone(tmp_path: Path) -> None:
    own, drawn = tmp_path / "own", tmp_path / "drawn"
    own.mkdir()
    (own / "letter.txt").write_text("mine")
    draw_dataset("storybook", drawn, count=2)

    assert len(draw_dataset("storybook-dusk", drawn, count=1).samples) == 1
    with pytest.raises(UsageError, match="holds what no evaluation has drawn"):
        draw_dataset("storybook", own, count=1)
    with pytest.raises(UsageError, match="splits train, val, test, not 'dev'"):
        draw_dataset("storybook", tmp_path / "new", split="dev")
    assert [path.name for path in own.iterdir()] == ["letter.txt"]


def test_predictions_that_are_saved_score_what_the_report_says(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    how = {"settings": LOOSE, "count": 3, "device": "cpu", "out": out, "save_predictions": True}

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(folder, "storybook-novel", report=stop, **how)
    assert not (out / "predictions.json").exists()
    report = evaluate(folder, "storybook-novel", resume=True, **how)
    report = evaluate(folder, "storybook-novel", **how)  # and again, in the place of the first

    truth = read_panoptic(out / "data")
    predicted = read_panoptic(out / "predictions.json", categories=truth.categories)
    tally = score_panoptic(truth, translated(predicted, truth, *read_lists(out / "predictions.json")))
    assert summarise(tally, truth.categories) == report.quality
    assert sorted(p.name for p in out.iterdir()) == ["data", "predictions", "predictions.json", "report.json"]
    assert "score" in json.loads((out / "predictions.json").read_text())["annotations"][0]["segments_info"][0]


def test_predictions_go_on_after_a_stop_before_the_report(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    how = {"settings": LOOSE, "count": 3, "device": "cpu", "out": out, "save_predictions": True}

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for place, name in ((evaluator, "write_report"), (predictions, "write_atomically")):  # the second: as if killed
        with monkeypatch.context() as stopped:
            stopped.setattr(evaluator, "write_report", stop)
            with pytest.raises(KeyboardInterrupt):
                evaluate(folder, "storybook-novel", resume=(out / "data").exists(), **how)
            before = (out / "predictions.json").read_bytes()
            stopped.setattr(place, name, stop)
            with pytest.raises(KeyboardInterrupt):
                evaluate(folder, "storybook-novel", resume=True, **how)
    evaluate(folder, "storybook-novel", resume=True, **how)

    assert (out / "predictions.json").read_bytes() == before
    assert len(list((out / "predictions").iterdir())) == 3
    assert sorted(p.name for p in out.iterdir()) == ["data", "predictions", "predictions.json", "report.json"]


def test_predictions_that_somebody_has_removed_are_not_passed_over(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = {"settings": LOOSE, "count": 3, "device": "cpu", "out": tmp_path, "save_predictions": True}

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr(evaluator, "write_report", stop)
        with pytest.raises(KeyboardInterrupt):
            evaluate(folder, "storybook-novel", **how)
    next((tmp_path / "predictions").iterdir()).unlink()

    with pytest.raises(ValueError, match=r"the predictions lack .* leave --resume out"):
        evaluate(folder, "storybook-novel", resume=True, **how)
    assert evaluate(folder, "storybook-novel", **how)


def test_a_folder_that_holds_no_predictions_is_not_replaced_by_them(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "predictions").mkdir()

    with pytest.raises(ValueError, match="holds no predictions; choose another --out"):
        evaluate(folder, "storybook", settings=LOOSE, count=1, device="cpu", out=tmp_path, save_predictions=True)

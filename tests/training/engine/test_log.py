"""What a run tells of itself, and which of its weights it shows."""

import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from lexiseg.core.structures import PanopticMap
from lexiseg.evaluation.evaluator import Comparison
from lexiseg.io.checkpoint import load_training
from lexiseg.training.engine.log import TrainingProgress
from lexiseg.training.engine.plot import FIGURE, LOSS, plot_losses
from lexiseg.training.engine.task import Evaluation
from lexiseg.training.engine.trainer import EngineConfig, run
from toy import Shared, Toy


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_the_average_of_the_weights_is_what_is_shown(tmp_path: Path) -> None:
    weights = [Shared(6).module.state_dict()["2.weight"]]
    for _ in range(6):
        task = Shared(6)
        run(task, tmp_path / "steps", stop_after=1, resume=True)
        weights.append(task.module.state_dict()["2.weight"].clone())
    expected = weights[0]
    for step, weight in enumerate(weights[1:]):
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight

    task = Shared(6)
    run(task, tmp_path / "first", config=EngineConfig(ema_decay=0.3), stop_after=4)
    resumed = Shared(6)
    run(resumed, tmp_path / "first", config=EngineConfig(ema_decay=0.3), resume=True)

    torch.testing.assert_close(resumed.module.state_dict()["2.weight"], expected)
    assert (expected - weights[-1]).abs().max() > 1e-3


def test_accumulation_clips_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    whole, slices = Shared(), Shared()
    one = run(whole, tmp_path / "whole")
    four = run(slices, tmp_path / "slices", config=EngineConfig(accumulate=4))

    assert four == pytest.approx(one, rel=1e-5)
    assert lines_of(tmp_path / "whole")[0]["gradient_norm"] > 1.0  # more than the toy's clip norm
    norms = [[line["gradient_norm"] for line in lines_of(tmp_path / name)] for name in ("whole", "slices")]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_evaluations_are_logged_and_the_best_is_kept(tmp_path: Path) -> None:
    config = EngineConfig(evaluate_every=10)

    run(Shared(30, figures=[0.2, 0.4]), tmp_path, config=config, stop_after=20)
    best = (tmp_path / "best.pt").read_bytes()
    run(Shared(30, figures=[0.3]), tmp_path, config=config, resume=True)

    assert [(line["step"], line["val_pq"]) for line in lines_of(tmp_path) if "val_pq" in line] == [
        (10, 0.2),
        (20, 0.4),
        (30, 0.3),
    ]
    assert (tmp_path / "best.pt").read_bytes() == best
    saved = load_training(tmp_path / "best.pt")
    assert saved["step"] == 20
    assert saved["best"] == {"step": 20, "name": "pq", "figure": 0.4}


def test_scenes_of_an_evaluation_are_drawn(tmp_path: Path) -> None:
    empty = PanopticMap(segmentation=np.zeros((2, 2), np.int32))
    comparison = Comparison(picture=np.zeros((2, 2, 3), np.uint8), truth=empty, prediction=empty)
    task = Shared(4)
    task.evaluate = lambda: Evaluation(figures={"pq": 0.5}, comparisons=(comparison, comparison))
    drawn: list[tuple[Comparison, Path]] = []

    run(task, tmp_path, config=EngineConfig(evaluate_every=4), draw=lambda shown, path: drawn.append((shown, path)))

    assert [path.relative_to(tmp_path).as_posix() for _, path in drawn] == [
        "predictions/1-step-0000004.png",
        "predictions/2-step-0000004.png",
    ]
    assert all(shown is comparison and path.parent.is_dir() for shown, path in drawn)


def test_progress_says_how_fast_it_is_and_what_it_takes(tmp_path: Path) -> None:
    told: list[TrainingProgress] = []

    run(Toy(20), tmp_path, report=told.append)

    (now,) = told
    assert now.images_per_second > 0
    assert 0 <= now.waiting <= 1
    assert now.peak_memory > 10_000_000
    assert now.gradient_norm > 0


def test_steps_that_are_run_again_are_not_logged_twice(tmp_path: Path) -> None:
    run(Toy(60), tmp_path, stop_after=30)
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"step": 40, "loss": 1.0}\n{"step": 4')  # of a run that was killed after its last checkpoint

    run(Toy(60), tmp_path, resume=True)

    assert [line["step"] for line in lines_of(tmp_path)] == [20, 30, 40, 60]


def test_a_finished_run_leaves_its_curve(tmp_path: Path) -> None:
    run(Toy(40), tmp_path)
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_the_curve_shows_loss_and_figure() -> None:
    lines: list[Mapping[str, Any]] = [{"step": 20 * n, "loss": 10.0 / n} for n in range(1, 30)]
    lines += [{"step": 300, "val_pq": 0.1}, {"step": 600, "val_pq": 0.3}]

    with_figure, without, empty = (plot_losses(shown).convert("RGB") for shown in (lines, lines[:-2], []))

    colours = [{colour for _, colour in picture.getcolors(1 << 20)} for picture in (with_figure, without, empty)]
    assert [(LOSS in seen, FIGURE in seen) for seen in colours] == [(True, True), (True, False), (False, False)]


def test_tensorboard_gets_the_same_figures_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scalars: dict[tuple[str, int], float] = {}

    class Writer:
        def __init__(self, folder: Path, purge_step: int) -> None:
            assert (folder, purge_step) == (tmp_path / "tensorboard", 0)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            scalars[name, step] = value

        def flush(self) -> None:
            pass

    fake = ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: fake)

    run(Toy(20), tmp_path)

    (line,) = lines_of(tmp_path)
    assert scalars == {(name, 20): value for name, value in line.items() if name != "step"}

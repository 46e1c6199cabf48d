"""Runs that are killed, damaged, lonely or led astray."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

import toy
from lexiseg.core.errors import ModelError
from lexiseg.io import checkpoint
from lexiseg.training.engine import trainer
from lexiseg.training.engine.run_settings import LOCK_FILE, Reporters, TrainSettings, run_task
from lexiseg.training.engine.trainer import EngineConfig, run

PATIENCE = 200.0


def script(*arguments: object, **environment: str) -> "subprocess.Popen[str]":
    """Runs `tests/toy.py` in a process of its own."""
    paths = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, toy.__file__, *map(str, arguments)]
    return subprocess.Popen(command, env={**os.environ, **paths, **environment}, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def reaped() -> Iterator[list["subprocess.Popen[str]"]]:
    """Processes that end with the test."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_losses_of_an_unharmed_one_to_the_last_digit(
    tmp_path: Path, reaped: list["subprocess.Popen[str]"]
) -> None:
    whole = run(toy.Toy(40), tmp_path / "whole")

    reaped.append(script("killed", tmp_path / "run"))
    waited_until = time.monotonic() + PATIENCE
    while not (tmp_path / "run" / "training.1.pt").exists() and time.monotonic() < waited_until:
        time.sleep(0.02)
    reaped[0].send_signal(signal.SIGKILL)
    assert reaped[0].wait() == -signal.SIGKILL
    rest = run(toy.Toy(40), tmp_path / "run", resume=True)

    assert 0 < len(rest) < 40
    assert rest == whole[-len(rest) :]
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [20, 40]


@pytest.mark.slow
def test_when_a_process_dies_the_others_stop_with_a_sentence(
    tmp_path: Path, reaped: list["subprocess.Popen[str]"]
) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    group = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    reaped += [script("deserted", tmp_path / "run", RANK=str(rank), **group) for rank in (0, 1)]

    _, told = reaped[0].communicate(timeout=PATIENCE)

    assert reaped[1].wait() == -signal.SIGKILL
    assert reaped[0].returncode == 1
    assert "ConnectionError: process 0 of 2 stops, as another one has ended or does not answer" in told
    assert len(run(toy.Shared(), tmp_path / "run", resume=True)) == 30 - toy.DESERTED_AT


def test_of_a_damaged_checkpoint_the_one_before_is_taken_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = run(toy.Toy(), tmp_path / "whole")
    run(toy.Toy(), tmp_path / "run", stop_after=5)
    run(toy.Toy(), tmp_path / "run", stop_after=5, resume=True)
    newest = tmp_path / "run" / "training.pt"
    damaged = bytearray(newest.read_bytes())
    weights = torch.load(newest)["content"]["module"]["2.weight"].numpy().tobytes()
    damaged[damaged.index(weights)] ^= 1  # one bit of one weight
    newest.write_bytes(damaged)

    rest = run(toy.Toy(), tmp_path / "run", resume=True)

    assert rest == whole[5:]
    (warning,) = caplog.messages
    assert "training.pt' is damaged" in warning
    assert "training.1.pt of step 5" in warning


def test_where_every_checkpoint_is_damaged_nothing_is_trained(tmp_path: Path) -> None:
    run(toy.Toy(), tmp_path, stop_after=5)
    (tmp_path / "training.pt").write_bytes(b"PK\x03\x04 nonsense")

    with pytest.raises(ModelError, match=r"training\.pt' is damaged") as caught:
        run(toy.Toy(), tmp_path, resume=True)

    assert "\n" not in str(caught.value)


def test_as_many_checkpoints_are_kept_as_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "SAVE_EVERY_SECONDS", 0.0)

    run(toy.Toy(6), tmp_path, config=EngineConfig(checkpoints_kept=3))

    steps = {path.name: checkpoint.load_training(path)["step"] for path in tmp_path.glob("*.pt")}
    assert steps == {"training.pt": 6, "training.1.pt": 5, "training.2.pt": 4}


def test_a_full_disk_is_told_in_a_sentence_and_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(toy.Toy(), tmp_path, stop_after=5)
    before = (tmp_path / "training.pt").read_bytes()

    def full(obj: object, file: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint.torch, "save", full)
        with pytest.raises(ModelError, match=r"can't be written \(No space left") as caught:
            run(toy.Toy(), tmp_path, resume=True)

    assert "\n" not in str(caught.value)
    assert (tmp_path / "training.pt").read_bytes() == before
    assert len(run(toy.Toy(), tmp_path, resume=True)) == 25


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_stops_the_run_before_it_changes_a_weight(what: str, tmp_path: Path) -> None:
    run(toy.Shared(), tmp_path, stop_after=3)
    before = (tmp_path / "training.pt").read_bytes()
    task = toy.Shared(spoils_at=5, spoils=what)

    with pytest.raises(ValueError, match=f"the {what} is nan at step 5: lower the learning rate") as caught:
        run(task, tmp_path, resume=True)

    assert "\n" not in str(caught.value)
    assert (tmp_path / "training.pt").read_bytes() == before
    told = json.loads((tmp_path / "not-finite.json").read_text())
    assert (told["step"], told["pictures"]) == (5, ["picture-5.jpg"])
    assert all(p.isfinite().all() for p in task.module.parameters())


def test_a_training_in_one_piece_refuses_to_be_split(tmp_path: Path) -> None:
    for config in (EngineConfig(accumulate=2), EngineConfig(ema_decay=0.9)):
        with pytest.raises(ValueError, match="compares all pictures of a batch with one another"):
            run(toy.Toy(), tmp_path, config=config)


def test_batch_norms_that_learn_refuse_slices(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has batch norms, which must see the whole batch at once: begin from"):
        run(toy.Shared(has_batch_norm=True), tmp_path, config=EngineConfig(accumulate=2))


@pytest.mark.parametrize("wrong", [{"accumulate": 0}, {"checkpoints_kept": 0}, {"ema_decay": 1.0}])
def test_a_config_that_means_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}.*got"):
        EngineConfig(**wrong)


HOLDER = """
import sys, time
from pathlib import Path
from lexiseg.core.files import lock
print(lock(Path(sys.argv[1])) is not None, flush=True)
time.sleep(600)
"""


def test_of_two_trainings_in_a_folder_the_second_is_refused_until_the_first_has_ended_or_was_killed(
    tmp_path: Path, reaped: list["subprocess.Popen[str]"]
) -> None:
    settings = TrainSettings(out=tmp_path)
    (tmp_path / LOCK_FILE).write_text("4711")
    command = [sys.executable, "-c", HOLDER, str(tmp_path / LOCK_FILE)]
    reaped.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    assert reaped[0].stdout is not None
    assert reaped[0].stdout.readline() == "True\n"

    with pytest.raises(ValueError, match=r"another training runs in .* \(process 4711\): wait for its end") as caught:
        run_task(toy.Toy(2), settings, Reporters(), {})
    unreadable = patch.object(Path, "read_text", side_effect=PermissionError)
    with unreadable, pytest.raises(ValueError, match=r"\(process unknown\)"):
        run_task(toy.Toy(2), settings, Reporters(), {})
    assert not (tmp_path / "recipe.json").exists()
    reaped[0].kill()
    reaped[0].wait()
    run_task(toy.Toy(2), settings, Reporters(), {})

    assert "\n" not in str(caught.value)
    assert (tmp_path / LOCK_FILE).read_text() == str(os.getpid())
    run_task(toy.Toy(2), replace(settings, resume=True), Reporters(), {})

"""Two processes are one: the same losses, the same weights, the same checkpoints."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import shared_runs
import tiny
from lexiseg.data.dataset import Dataset
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.training.engine.trainer import EngineConfig, run
from shared_runs import AVERAGED, PAUSE, STEPS, opsnet_task, partly_known

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("two processes, started once")]
CLOSE = {"rel": 1e-5, "abs": 0.0}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def data(root: Path) -> Dataset:
    """Ten drawn pictures."""
    return write_storybook(StorybookSpec(role="base", split="train", count=10, size=(64, 64)), root / "data")


@pytest.fixture(scope="module")
def one(data: Dataset, root: Path) -> list[float]:
    """The losses of one process."""
    return run(opsnet_task(data), root / "whole")


@pytest.fixture(scope="module")
def two(data: Dataset, root: Path) -> dict[str, list[float]]:
    """The losses of all that two processes do; they must agree on them."""
    run(opsnet_task(data), root / "one", config=AVERAGED, stop_after=PAUSE)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(
        [*torchrun, "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", shared_runs.__file__, str(root)],
        env=environment,
        timeout=580,
        check=True,
    )
    first, second = (json.loads((root / f"losses-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    return first


@pytest.mark.parametrize("sharding", ["ddp", "fsdp2"])
def test_two_processes_give_the_losses_and_weights_of_one(
    sharding: str, data: Dataset, two: dict[str, list[float]], root: Path, tmp_path: Path
) -> None:
    task = opsnet_task(partly_known(data))
    losses = run(task, tmp_path)

    assert len(losses) == STEPS
    assert two[sharding] == pytest.approx(losses, **CLOSE)
    theirs = torch.load(root / sharding / "weights.pt")
    for name, weight in tiny.state(task.model).items():
        torch.testing.assert_close(theirs[name], weight, rtol=0, atol=2e-4, msg=name)


def test_slices_of_two_processes_give_the_losses_of_one(one: list[float], two: dict[str, list[float]]) -> None:
    assert two["slices"] == pytest.approx(one[:PAUSE], **CLOSE)


def test_accumulation_gives_the_losses_of_a_batch_in_one_piece(one: list[float], data: Dataset, tmp_path: Path) -> None:
    assert run(opsnet_task(data), tmp_path, config=EngineConfig(accumulate=2)) == pytest.approx(one, **CLOSE)


def test_checkpointed_activations_change_no_loss(one: list[float], data: Dataset, tmp_path: Path) -> None:
    config = EngineConfig(activation_checkpointing=True)

    assert run(opsnet_task(data), tmp_path, config=config, stop_after=3) == one[:3]


@pytest.mark.parametrize(("paused", "config"), [("paused-ddp", EngineConfig()), ("paused-fsdp2", AVERAGED)])
def test_a_checkpoint_of_two_processes_goes_on_in_one(
    paused: str, config: EngineConfig, one: list[float], two: dict[str, list[float]], data: Dataset, root: Path
) -> None:
    rest = run(opsnet_task(data), root / paused, config=config, resume=True, stop_after=PAUSE)

    assert two[paused] + rest == pytest.approx(one[: 2 * PAUSE], **CLOSE)


def test_a_checkpoint_of_one_process_goes_on_in_two(one: list[float], two: dict[str, list[float]]) -> None:
    assert two["from-one"] == pytest.approx(one[PAUSE : 2 * PAUSE], **CLOSE)


def test_sharded_processes_make_the_average_that_one_makes(
    two: dict[str, list[float]], data: Dataset, root: Path, tmp_path: Path
) -> None:
    task = opsnet_task(data)
    run(task, tmp_path, config=AVERAGED, stop_after=PAUSE)

    theirs = torch.load(root / "paused-fsdp2" / "weights.pt")
    plain = torch.load(root / "paused-ddp" / "weights.pt")
    name = "head.project.weight"
    torch.testing.assert_close(theirs[name], task.model.state_dict()[name], rtol=0, atol=1e-6)
    assert (plain[name] - theirs[name]).abs().max() > 5e-6

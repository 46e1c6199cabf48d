"""A tiny model with random weights, the command line in this process, and a picture."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import tiny as tiny_models
from command_runs import Ran, Run
from lexiseg.cli.main import app
from lexiseg.inference.predictor import Model, load
from lexiseg.io.models import save_model
from lexiseg.models.opsnet import OPSNet, OPSNetConfig


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps remembered words out of the user's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEXISEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as people have them, with random weights."""
    config = OPSNetConfig(
        segmenter=tiny_models.RESNET,
        clip=tiny_models.CLIP,
        training_vocabulary=tiny_models.TRAINING,
        longest_side=64,
    )
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)  # a start that finds something in noise; not `tiny.model`, whose masks are all or nothing
        network = OPSNet(config)
    return save_model(network, tmp_path_factory.mktemp("models") / "tiny model")


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Model:
    """That model, loaded."""
    return load(tiny_folder, device="cpu")


@pytest.fixture
def run() -> Run:
    """Runs the command line in this process."""

    def _run(*arguments: object) -> Ran:
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception  # a traceback that a user would have seen
        return Ran(code=done.exit_code, out=done.stdout, err=done.stderr)

    return _run


@pytest.fixture
def ask(run: Run, tiny_folder: Path, tmp_path: Path) -> Run:
    """Segments with the tiny model, so that every mask that it proposes is taken."""

    def _ask(
        *arguments: object, vocabulary: object = "cat, dog, sky:stuff", model: object = tiny_folder, out: object = None
    ) -> Ran:
        options = ("--vocabulary", vocabulary, "--model", model, "--out", out or tmp_path / "out")
        return run("segment", *arguments, *options, "--device", "cpu", "--score-threshold", 0)

    return _ask


@pytest.fixture
def picture(tmp_path: Path, np_rng: np.random.Generator) -> Path:
    """A small picture on disk."""
    path = tmp_path / "a picture.png"
    Image.fromarray(np_rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(path)
    return path

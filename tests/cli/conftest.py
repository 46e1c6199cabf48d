"""The command line in this process."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from command_runs import Ran, Run
from lexiseg.cli.main import app


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

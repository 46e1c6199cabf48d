"""Options stand in one place, and say what the library says."""

from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import pytest
import typer
from typer.testing import CliRunner

from command_runs import Run
from lexiseg.cli.command import add_command
from lexiseg.cli.main import COMMANDS
from lexiseg.cli.options.evaluate import EvaluateOptions
from lexiseg.cli.options.mine import MineOptions
from lexiseg.cli.options.segment import SegmentOptions
from lexiseg.cli.options.train import TrainOptions
from lexiseg.cli.options.weights import AssembleOptions
from lexiseg.cli.train import settings_of
from lexiseg.core import devices
from lexiseg.data.captions.taggers import TAGGERS
from lexiseg.data.dataset import TaskName
from lexiseg.encoders.segmenters.preparation import Regime
from lexiseg.models.base import SemanticRule
from lexiseg.models.postprocess.panoptic import RankBy
from lexiseg.training.engine.run_settings import Precision, TrainSettings
from lexiseg.training.mining.pairing import PairSource


def choices(options: type, name: str) -> set[str]:
    """All that may be typed for an option."""
    kind = get_type_hints(options)[name]
    return {
        choice for part in get_args(kind) or () for choice in (get_args(part) or (part,)) if isinstance(choice, str)
    }


@pytest.mark.parametrize(
    ("options", "name", "library"),
    [
        (SegmentOptions, "rank_by", get_args(RankBy)),
        (EvaluateOptions, "task", get_args(TaskName)),
        (EvaluateOptions, "semantic_rule", get_args(SemanticRule)),
        (MineOptions, "source", get_args(PairSource)),
        (MineOptions, "tagger", (*TAGGERS, "none")),
        (TrainOptions, "precision", get_args(Precision)),
        (SegmentOptions, "precision", get_args(devices.Precision)),
        (AssembleOptions, "preparation", get_args(Regime)),
    ],
)
def test_choices_are_those_of_the_library(options: type, name: str, library: tuple[str, ...]) -> None:
    assert choices(options, name) == set(library)


def test_every_setting_of_a_training_but_two_is_an_option_of_the_same_name() -> None:
    settings, options = ({field.name for field in fields(of)} for of in (TrainSettings, TrainOptions))

    assert settings - options == {"drawn", "engine"}  # where recipes in a row draw; options of the engine's own


def test_options_of_a_training_reach_its_settings() -> None:
    typed: dict[str, Any] = {
        "out": Path("run"),
        "data": [Path("a"), Path("b")],
        "steps": 3,
        "lr": 0.5,
        "clip": "a/clip",
        "vocabulary": "cat, dog",
        "ema": 0.9,
        "fsdp": True,
    }

    settings = settings_of(TrainOptions(device="cpu", **typed))

    assert (settings.out, settings.data, settings.clip) == (Path("run"), (Path("a"), Path("b")), Path("a/clip"))
    assert (settings.steps, settings.lr, settings.batch_size, settings.seed) == (3, 0.5, None, 0)
    assert settings.vocabulary is not None
    assert settings.vocabulary.names == ("cat", "dog")
    assert (settings.engine.ema_decay, settings.engine.sharding) == (0.9, "fsdp2")


Side = Annotated[int, typer.Option("--side", min=1, help="Pixels.")]


@dataclass(frozen=True, kw_only=True)
class Shared:
    much: Annotated[int, typer.Option(min=1)] = 1
    """How much of it, in a docstring that goes on in
    another line."""


@dataclass(frozen=True, kw_only=True)
class Own(Shared):
    """Try it.

    What only a programmer asks.
    """

    pictures: Annotated[list[str], typer.Argument(metavar="PICTURE...")]
    """Files."""
    is_quick: Annotated[bool, typer.Option("-q")] = False
    """Without looking."""
    side: Side | None = None


def test_a_dataclass_makes_a_command() -> None:
    app = typer.Typer(rich_markup_mode=None)
    seen: list[Own] = []

    def attempt(options: Own) -> int:
        seen.append(options)
        return 7

    add_command(app, "try", Own, attempt)
    told = " ".join(CliRunner().invoke(app, ["--help"]).output.split())
    done = [
        CliRunner().invoke(app, typed).exit_code for typed in (["a", "b", "-q", "--much", "2"], ["a", "--side", "3"])
    ]
    refused = [CliRunner().invoke(app, ["a", option, "0"]).exit_code for option in ("--much", "--side")]

    assert seen == [Own(pictures=["a", "b"], is_quick=True, much=2), Own(pictures=["a"], side=3)]
    assert (done, refused) == ([7, 7], [2, 2])
    docstring = "How much of it, in a docstring that goes on in another line."
    for text in ("Try it.", "Files.", "Without looking.", "Pixels.", docstring):
        assert text in told
    assert "programmer" not in told
    assert told.index("--is-quick") < told.index("--much")


@pytest.mark.parametrize(("name", "options", "place"), COMMANDS)
def test_what_runs_a_command_takes_its_options(name: str, options: type, place: str) -> None:
    module, _, function = place.partition(".")
    hints = get_type_hints(getattr(import_module(f"lexiseg.cli.{module}"), function))

    assert hints.pop("return") in (int, type(None)), name
    assert list(hints.values()) == [options]


def test_the_help_of_finetune_is_about_fine_tuning_alone(run: Run) -> None:
    told = run("finetune", "--help").out

    for option in ("--model", "--data", "--old-data", "--keep", "--head", "--check"):
        assert option in told
    for foreign in ("--clip", "--prompt", "--labels", "--from-scratch", "--val", "--list", "OVSeg", "adaptation"):
        assert foreign not in told


def test_finetune_runs_the_recipes_of_fine_tuning(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("lexiseg.cli.train.run_train", lambda options: seen.append(options) or 0)

    common = ("--model", "storybook", "--data", tmp_path, "--out", tmp_path / "run", "--keep", 3)
    assert (run("finetune", *common).code, run("finetune", *common, "--head").code) == (0, 0)

    assert [options.name for options in seen] == ["finetune", "finetune-head"]
    assert (seen[0].start, seen[0].data, seen[0].keep) == ("storybook", [tmp_path], 3)

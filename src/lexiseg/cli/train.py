"""`lexiseg train`."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

from lexiseg.cli.command import typed_name
from lexiseg.cli.console import note, progress, say
from lexiseg.cli.evaluate import draw_comparison
from lexiseg.cli.options.shared import given, read_optional_vocabulary
from lexiseg.cli.options.train import FinetuneOptions, TrainOptions
from lexiseg.cli.recipe_tables import show_recipe, show_recipes, show_report
from lexiseg.core import processes
from lexiseg.core.devices import choose_device
from lexiseg.core.errors import UsageError
from lexiseg.io.finding import find_folder
from lexiseg.io.shipped import is_hub_name
from lexiseg.training.engine.log import TrainingProgress
from lexiseg.training.engine.task import Evaluation
from lexiseg.training.engine.trainer import EngineConfig
from lexiseg.training.launch import Reporters, TrainSettings, advice, check, recipe_names, refuse_unused
from lexiseg.training.launch import train as train_recipe
from lexiseg.training.recipes.own import is_own


def run_train(options: TrainOptions) -> int:
    """Runs a recipe, or lists them all, shows all of one, or checks what it is given.

    Returns:
        The exit code.

    Raises:
        ValueError: if the recipe is unknown, something that it needs is missing, or the folder is taken.
    """
    name = options.name
    if options.list_recipes:
        show_recipes()
        return 0
    if name is None or (name not in recipe_names() and not is_own(name)):
        got = "none was given" if name is None else f"got {name!r}"
        raise UsageError(f"train needs the name of a recipe, {got}: {advice(name)}")
    if options.show_only:
        show_recipe(name, seed=options.seed)
        return 0
    if options.out is None and not options.check_only:
        raise UsageError("train needs --out, the folder of the run.")
    settings = settings_of(options)
    refuse_unused(name, settings, typed_name)
    if options.check_only:
        return show_report(name, check(name, replace(settings, **_weights(options, _if_here))))
    settings = replace(settings, **_weights(options, find_folder))
    backend = "cpu:gloo,cuda:nccl" if settings.device.startswith("cuda") else "gloo"
    with processes.process_group(backend), progress("Drawing") as bar:
        model = train_recipe(
            name, settings, Reporters(progress=_tell, measured=_measured, drawn=bar, draw=draw_comparison, note=_note)
        )
        if processes.rank() == 0:
            say(f"The model is in {model}.")
    return 0


def run_finetune(options: FinetuneOptions) -> int:
    """Runs the recipe of fine-tuning, or checks what it is given.

    Returns:
        The exit code.

    Raises:
        ValueError: as `run_train` does.
    """
    shared = {field.name: getattr(options, field.name) for field in fields(options) if field.name != "head"}
    name = "finetune-head" if options.head else "finetune"
    return run_train(TrainOptions(name=name, **{**shared, "data": [options.data]}))


def settings_of(options: TrainOptions) -> TrainSettings:
    """The settings that were typed, by their names; models are not looked for yet."""
    names = {field.name for field in fields(TrainSettings)} & {field.name for field in fields(options)}
    typed = {name: getattr(options, name) for name in names}
    typed |= {
        "out": options.out or Path(),
        "device": str(choose_device(options.device)),
        "data": tuple(options.data or ()),
        "vocabulary": read_optional_vocabulary(options.vocabulary),
    } | _weights(options, Path)
    engine = EngineConfig(
        accumulate=options.accumulate,
        ema_decay=options.ema,
        sharding="fsdp2" if options.fsdp else "ddp",
        activation_checkpointing=options.checkpointing,
    )
    return TrainSettings(**typed, engine=engine)


def _weights(options: TrainOptions, find: Callable[[str], Path]) -> dict[str, Path]:
    """What was given to begin from, found by its name."""
    return {key: find(name) for key, name in given(options, "clip", "start").items()}


def _if_here(name: str) -> Path:
    """A model's folder; what only the hub has keeps its name, and is not fetched."""
    return Path(name) if is_hub_name(name) else find_folder(name)


def _note(sentence: str) -> None:
    """Tells it once, however many processes know it."""
    if processes.rank() == 0:
        note(sentence)


def _measured(step: int, evaluation: Evaluation) -> None:
    """Prints how good a model in training is."""
    say(f"step {step}: {evaluation}")


def _tell(now: TrainingProgress) -> None:
    """Prints where a training stands."""
    left = round(now.seconds_left)
    say(
        f"step {now.step}/{now.total_steps}  loss {now.loss:.4f}  {now.images_per_second:.1f} images/s  "
        f"{100 * now.waiting:.0f} % waiting for data  {now.peak_memory / 2**30:.1f} GiB  "
        f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} left"
    )

"""`lexiseg train` and `lexiseg.train`: from a recipe to a model folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from lexiseg.core.devices import choose_device
from lexiseg.core.errors import UsageError
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.io.finding import find_folder
from lexiseg.training.clip.adaptation import AdaptationRecipe
from lexiseg.training.clip.contrastive import ClipRecipe
from lexiseg.training.clip.grounding import GroundingRecipe
from lexiseg.training.clip.learned_prompt import LearnedPromptRecipe
from lexiseg.training.clip.run import train_adaptation, train_clip, train_grounding, train_prompt
from lexiseg.training.engine.run_settings import Recipe, Reporters, TrainSettings, consequences, overridden
from lexiseg.training.engine.trainer import EngineConfig
from lexiseg.training.recipes import SEQUENCES, WHOLE, WHOLE_STEPS, advice, describe, grouped_names, named
from lexiseg.training.recipes.own import is_own, load_own
from lexiseg.training.segmentation.closed_set import ClosedSetRecipe
from lexiseg.training.segmentation.data_check import DataReport
from lexiseg.training.segmentation.fcclip import FCCLIPRecipe, first_fcclip
from lexiseg.training.segmentation.finetune import FinetuneRecipe
from lexiseg.training.segmentation.finetune_run import check_finetune, train_finetune
from lexiseg.training.segmentation.initial_weights import first_opsnet, first_ovseg
from lexiseg.training.segmentation.opsnet import OPSNetRecipe
from lexiseg.training.segmentation.opsnet_plus import OPSNetPlusRecipe
from lexiseg.training.segmentation.ovseg import OVSegRecipe
from lexiseg.training.segmentation.run import check_run, train_closed_set, train_opsnet_plus, train_segmenter

__all__ = [
    "SEQUENCES",
    "WHOLE_STEPS",
    "Reporters",
    "TrainSettings",
    "advice",
    "check",
    "describe",
    "find_recipe",
    "recipe_names",
    "refuse_unused",
    "train",
    "unused",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """What runs the recipes of a type."""

    run: Callable[[Any, TrainSettings, Reporters], Path]
    options: tuple[str, ...] = ()
    """Settings that it has a use for, beside those that all have."""
    idle: Callable[[Any], tuple[str, ...]] = lambda recipe: ()
    """Those of them that a recipe, as its fields are, has no use for."""
    check: Callable[[Any, TrainSettings], DataReport] | None = None
    """What looks at data and weights without a step, if it learns from pictures with masks."""
    joins_data: bool = False
    """Whether it learns from several folders at once."""


RATES = ("steps", "batch_size", "lr")
SEGMENTER = ("data", "root", "crowds_as_things", *RATES, "precision")
"""Of all that learn from pictures with masks."""
AROUND_CLIP = (*SEGMENTER, "clip", "start", "from_scratch", "val")
"""Of those that train a new model around a frozen CLIP."""
RUNNERS: Mapping[type[Recipe], Runner] = {
    ClipRecipe: Runner(run=train_clip, options=("clip",), idle=lambda recipe: () if recipe.locks_text else ("clip",)),
    GroundingRecipe: Runner(run=train_grounding, options=("start",)),
    ClosedSetRecipe: Runner(run=train_closed_set, check=check_run, options=(*SEGMENTER, "from_scratch")),
    OPSNetRecipe: Runner(run=partial(train_segmenter, first_opsnet), check=check_run, options=AROUND_CLIP),
    OPSNetPlusRecipe: Runner(
        run=train_opsnet_plus,
        check=check_run,
        options=(*SEGMENTER, "labels", "start", "val"),
        idle=lambda recipe: () if recipe.learns_from_labels else ("labels",),
    ),
    OVSegRecipe: Runner(run=partial(train_segmenter, first_ovseg), check=check_run, options=(*AROUND_CLIP, "prompt")),
    FCCLIPRecipe: Runner(run=partial(train_segmenter, first_fcclip), check=check_run, options=AROUND_CLIP),
    FinetuneRecipe: Runner(
        run=train_finetune, check=check_finetune, options=(*SEGMENTER, "start", "vocabulary", "old_data", "keep")
    ),
    AdaptationRecipe: Runner(run=train_adaptation, options=("data", *RATES, "start"), joins_data=True),
    LearnedPromptRecipe: Runner(run=train_prompt, options=("data", *RATES, "start"), joins_data=True),
}
"""What runs a recipe, by its type."""
OPTIONAL = (*SEGMENTER, "labels", "clip", "start", "prompt", "from_scratch", "val", "vocabulary", "old_data", "keep")
"""Settings that not every recipe has a use for."""


def recipe_names() -> tuple[str, ...]:
    """Every name that `train` knows."""
    return tuple(name for names in grouped_names().values() for name in names)


def find_recipe(name: str, *, seed: int = 0) -> Recipe:
    """The recipe of a name, or of path/to/file.py:function.

    Raises:
        ValueError: if there is none, or the name stands for several in a row.
    """
    if steps := SEQUENCES.get(name, WHOLE_STEPS if name == WHOLE else ()):
        raise ValueError(f"{name} is several recipes in a row: take one of {', '.join(steps)}.")
    return load_own(name, RUNNERS.keys(), seed=seed) if is_own(name) else named(name)(seed=seed)


def unused(recipe: str | Recipe, settings: TrainSettings) -> tuple[str, ...]:
    """The settings that were given although this recipe has no use for them."""
    if isinstance(recipe, str):
        used = ("data", "steps") if recipe == WHOLE else _options(_first_of(recipe))
    else:
        used = _options(recipe)
    given = (
        key for key in OPTIONAL if (value := getattr(settings, key)) is not None and value is not False and value != ()
    )
    return tuple(key for key in given if key not in used)


def refuse_unused(recipe: str | Recipe, settings: TrainSettings, spell: Callable[[str], str] = str) -> None:
    """Refuses settings that this recipe has no use for.

    Args:
        recipe: its name, or itself.
        settings: all of them.
        spell: how the caller writes the name of a setting.

    Raises:
        UsageError: if there are any.
    """
    if idle := unused(recipe, settings):
        raise UsageError(f"{_title(recipe)} has no use for {' and '.join(map(spell, idle))}: leave it out.")


def _title(recipe: str | Recipe) -> str:
    return recipe if isinstance(recipe, str) else type(recipe).__name__


def _options(recipe: Recipe) -> tuple[str, ...]:
    runner = RUNNERS[type(recipe)]
    return tuple(option for option in runner.options if option not in runner.idle(recipe))


def _first_of(name: str, *, seed: int = 0) -> Recipe:
    """The recipe of a name, or the first of those in a row."""
    return find_recipe(SEQUENCES.get(name, (name,))[0], seed=seed)


def check(name: str, settings: TrainSettings) -> DataReport:
    """Looks at all that a training of a segmenter needs, and takes no step.

    Raises:
        ValueError: if the recipe learns from something else than a data set of pictures and masks.
    """
    recipe = find_recipe(name, seed=settings.seed)
    look = RUNNERS[type(recipe)].check
    if look is None:
        raise ValueError(f"{name} does not learn from pictures with masks: there is nothing for --check to look at.")
    return look(overridden(recipe, settings), settings)


def train(
    recipe: str | Recipe,
    out: str | Path | TrainSettings,
    reporters: Reporters | None = None,
    **settings: Any,
) -> Path:
    """Runs a recipe to its end, or resumes it, and returns the folder of the finished model.

    Usage:
        folder = lexiseg.train("finetune", "run", start="storybook", data="my-pictures", device="cuda")
        model = lexiseg.load(folder)

    Args:
        recipe: one of those that `lexiseg train --list` shows, path/to/file.py:function, or a recipe itself, whose own
            seed counts.
        out: folder of the run; or all settings.
        reporters: called with every step that is logged.
        **settings: fields of `TrainSettings`, such as data, start, clip, steps, device ("auto" if not given) and
            resume, and of `EngineConfig`, such as accumulate and ema_decay. Folders and names of models may be strings,
            a vocabulary whatever `Vocabulary.of` reads.

    Raises:
        UsageError: if the recipe has no use for a setting.
        DeviceError: if this machine lacks the device.
        ValueError: if the name is unknown, something that the recipe needs is missing, it can't join the data, or
            `out` is taken.
        TypeError: if there is no such setting.
    """
    given = replace(out, **settings) if isinstance(out, TrainSettings) else _settings(Path(out), settings)
    refuse_unused(recipe, given)
    return _train(recipe, given, reporters or Reporters())


def _train(recipe: str | Recipe, given: TrainSettings, reporters: Reporters) -> Path:
    name = _title(recipe)
    if isinstance(recipe, str):
        recipe = _first_of(WHOLE_STEPS[0] if recipe == WHOLE else recipe, seed=given.seed)
    if len(given.data) > 1 and not RUNNERS[type(recipe)].joins_data:
        raise ValueError(
            f"{name} learns from one data set, got {len(given.data)}: give --data once; adaptations alone join several."
        )
    if name == WHOLE:
        return _train_whole(given, reporters)
    if name in SEQUENCES:
        return _train_in_order(SEQUENCES[name], given, reporters)
    for sentence in consequences(recipe, given):
        reporters.note(sentence)
    return RUNNERS[type(recipe)].run(recipe, replace(given, name=name), reporters)


def _settings(out: Path, given: Mapping[str, Any]) -> TrainSettings:
    """Settings as a caller may write them: strings for folders, names for models, the engine's beside the others."""
    found = dict(given)
    for key in ("clip", "start", "labels", "old_data", "root", "prompt", "val"):
        if isinstance(found.get(key), str):
            found[key] = find_folder(found[key]) if key in ("clip", "start") else Path(found[key])
    if isinstance(data := found.get("data", ()), str | Path):
        data = (data,)
    found["data"] = tuple(map(Path, data))
    if (vocabulary := found.get("vocabulary")) is not None:
        found["vocabulary"] = Vocabulary.of(vocabulary)
    found["device"] = str(choose_device(found.get("device", "auto")))
    engine = {field.name: found.pop(field.name) for field in fields(EngineConfig) if field.name in found}
    if engine:
        found["engine"] = replace(found.get("engine", EngineConfig()), **engine)
    return TrainSettings(out=out, **found)


def _train_whole(settings: TrainSettings, reporters: Reporters) -> Path:
    """Runs the recipes that make an OPSNet of the drawn world; those that are finished are not run again."""
    out = settings.out
    part = replace(settings, drawn=out)
    clip = _train("clip-tiny", replace(part, out=out / "clip"), reporters)
    grounded = _train("clip-tiny-words", replace(part, out=out / "clip-words", start=clip), reporters)
    start = _train("mask2former-tiny", replace(part, out=out / "mask2former"), reporters)
    return _train("opsnet-tiny", replace(part, out=out / "opsnet", clip=grounded, start=start), reporters)


def _train_in_order(names: tuple[str, ...], settings: TrainSettings, reporters: Reporters) -> Path:
    """Runs recipes one after the other, each with a seed of its own, so that a second pass sees another order."""
    folder = settings.start
    for place, name in enumerate(names):
        out = settings.out / f"{place + 1}-{name}"
        changed = replace(settings, out=out, start=folder, seed=settings.seed + place)
        folder = _train(name, changed, reporters)
    assert folder is not None, "an order has a recipe"
    return folder

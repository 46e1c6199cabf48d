"""`lexiseg assemble` and `lexiseg train`."""

from dataclasses import replace
from pathlib import Path

from lexiseg.apps.asking import read_words
from lexiseg.apps.console import progress, say, show
from lexiseg.apps.errors import UsageError
from lexiseg.apps.predictor import choose_device
from lexiseg.apps.visualize import side_by_side
from lexiseg.core import processes
from lexiseg.core.images import printable
from lexiseg.evaluation.evaluator import SceneMaps
from lexiseg.io.models import find_model, save_model
from lexiseg.models.assemble import assemble
from lexiseg.training.commands import Reporters, TrainSettings, describe, recipe_names, unused
from lexiseg.training.commands import train as train_recipe
from lexiseg.training.journal import Progress
from lexiseg.training.trainer import EngineConfig


def run_assemble(
    folder: Path,
    clip: str,
    clip_weights: Path,
    out: Path,
    *,
    vocabulary: str | None,
    longest_side: int,
    overwrite: bool,
) -> None:
    """Joins a Mask2Former and a CLIP, and writes the model folder.

    Raises:
        ValueError: if a part is missing or damaged, the parts don't fit together, or the folder can't be written.
    """
    words = None if vocabulary is None else read_words(vocabulary)
    if out.exists() and not overwrite and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{printable(out)} is there already; choose another folder or pass --overwrite.")
    model = assemble(folder, clip, clip_weights, vocabulary=words, longest_side=longest_side)
    save_model(model, out, overwrite=overwrite)
    say(
        f"Assembled {folder} and {clip} to {out}, a model of {len(model.config.training_vocabulary)} trained and any "
        f'other names. Use it: lexiseg segment PICTURE --model {out} --vocabulary "..." --out DIR'
    )


def run_train(
    name: str | None,
    out: Path | None,
    *,
    resume: bool,
    data: tuple[Path, ...],
    labels: Path | None,
    root: Path | None,
    clip: str | None,
    start: str | None,
    prompt: Path | None,
    steps: int | None,
    device: str,
    seed: int,
    workers: int,
    val: Path | None,
    accumulate: int,
    ema: float | None,
    fsdp: bool,
    checkpointing: bool,
    list_recipes: bool,
) -> None:
    """Runs a recipe, or lists them all.

    Raises:
        ValueError: if the recipe is unknown, something that it needs is missing, or the folder is taken.
    """
    if list_recipes:
        show("", ("recipe", "what it makes"), [(known, describe(known)) for known in recipe_names()])
        return
    if name not in recipe_names():
        given = "none was given" if name is None else f"got {name!r}"
        raise UsageError(f"train needs the name of a recipe, {given}: take one of {', '.join(recipe_names())}.")
    if out is None:
        raise UsageError("train needs --out, the folder of the run.")
    settings = TrainSettings(
        out=out,
        resume=resume,
        device=str(choose_device(device)),
        seed=seed,
        workers=workers,
        steps=steps,
        data=data,
        labels=labels,
        root=root,
        clip=None if clip is None else Path(clip),
        start=None if start is None else Path(start),
        prompt=prompt,
        val=val,
        engine=EngineConfig(
            accumulate=accumulate,
            ema_decay=ema,
            sharding="fsdp2" if fsdp else "ddp",
            activation_checkpointing=checkpointing,
        ),
    )
    if idle := unused(name, settings):
        raise UsageError(f"{name} has no use for {' and '.join(f'--{key}' for key in idle)}: leave it out.")
    settings = replace(
        settings,
        clip=None if clip is None else find_model(clip),
        start=None if start is None else find_model(start),
    )
    backend = "cpu:gloo,cuda:nccl" if settings.device.startswith("cuda") else "gloo"
    with processes.joined(backend), progress("Drawing") as bar:
        model = train_recipe(name, settings, Reporters(progress=_tell, drawn=bar, draw=_draw, note=say))
        if processes.rank() == 0:
            say(f"The model is in {model}.")


def _tell(now: Progress) -> None:
    """Prints where a training stands."""
    left = round(now.seconds_left)
    say(
        f"step {now.step}/{now.total_steps}  loss {now.loss:.4f}  {now.images_per_second:.1f} images/s  "
        f"{100 * now.waiting:.0f} % waiting for data  {now.peak_memory / 2**30:.1f} GiB  "
        f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} left"
    )


def _draw(scene: SceneMaps, path: Path) -> None:
    """Shows a picture, its truth and what a model in training makes of it."""
    side_by_side(scene.picture, scene.truth, scene.prediction).save(path)

"""`lexiseg assemble` and `lexiseg train`."""

from dataclasses import replace
from pathlib import Path

from lexiseg.cli.console import note, progress, say
from lexiseg.cli.recipe_tables import show_recipe, show_recipes, show_report
from lexiseg.cli.words import read_words
from lexiseg.core import processes
from lexiseg.core.errors import UsageError
from lexiseg.core.messages import printable
from lexiseg.evaluation.evaluator import Comparison
from lexiseg.inference.predictor import choose_device
from lexiseg.inference.visualize import side_by_side
from lexiseg.io.models import find_model, is_hub_name, save_model
from lexiseg.models.assemble import assemble
from lexiseg.training.engine.log import TrainingProgress
from lexiseg.training.engine.run_settings import Precision
from lexiseg.training.engine.trainer import EngineConfig
from lexiseg.training.launch import Reporters, TrainSettings, advice, check, recipe_names, unused
from lexiseg.training.launch import train as train_recipe
from lexiseg.training.recipes.own import is_own


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
    vocabulary: str | None,
    old_data: Path | None,
    root: Path | None,
    clip: str | None,
    start: str | None,
    prompt: Path | None,
    from_scratch: bool,
    steps: int | None,
    batch_size: int | None,
    lr: float | None,
    precision: Precision | None,
    device: str,
    seed: int,
    workers: int,
    val: Path | None,
    accumulate: int,
    ema: float | None,
    fsdp: bool,
    checkpointing: bool,
    list_recipes: bool,
    show_only: bool,
    check_only: bool,
) -> int:
    """Runs a recipe, or lists them all, shows all of one, or checks what it is given.

    Returns:
        The exit code.

    Raises:
        ValueError: if the recipe is unknown, something that it needs is missing, or the folder is taken.
    """
    if list_recipes:
        show_recipes()
        return 0
    if name is None or (name not in recipe_names() and not is_own(name)):
        given = "none was given" if name is None else f"got {name!r}"
        raise UsageError(f"train needs the name of a recipe, {given}: {advice(name)}")
    if show_only:
        show_recipe(name, seed=seed)
        return 0
    if out is None and not check_only:
        raise UsageError("train needs --out, the folder of the run.")
    settings = TrainSettings(
        out=out or Path(),
        resume=resume,
        device=str(choose_device(device)),
        seed=seed,
        workers=workers,
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        precision=precision,
        data=data,
        labels=labels,
        vocabulary=None if vocabulary is None else read_words(vocabulary),
        old_data=old_data,
        root=root,
        clip=None if clip is None else Path(clip),
        start=None if start is None else Path(start),
        prompt=prompt,
        from_scratch=from_scratch,
        val=val,
        engine=EngineConfig(
            accumulate=accumulate,
            ema_decay=ema,
            sharding="fsdp2" if fsdp else "ddp",
            activation_checkpointing=checkpointing,
        ),
    )
    if idle := unused(name, settings):
        options = " and ".join(f"--{key.replace('_', '-')}" for key in idle)
        raise UsageError(f"{name} has no use for {options}: leave it out.")
    if check_only:
        here = replace(settings, clip=_if_here(clip), start=_if_here(start))
        return show_report(name, check(name, here))
    settings = replace(
        settings,
        clip=None if clip is None else find_model(clip),
        start=None if start is None else find_model(start),
    )
    backend = "cpu:gloo,cuda:nccl" if settings.device.startswith("cuda") else "gloo"
    with processes.process_group(backend), progress("Drawing") as bar:
        model = train_recipe(name, settings, Reporters(progress=_tell, drawn=bar, draw=_draw, note=_note))
        if processes.rank() == 0:
            say(f"The model is in {model}.")
    return 0


def _if_here(name: str | None) -> Path | None:
    """A model's folder; what only the hub has keeps its name, and is not fetched."""
    return None if name is None else Path(name) if is_hub_name(name) else find_model(name)


def _note(sentence: str) -> None:
    """Tells it once, however many processes know it."""
    if processes.rank() == 0:
        note(sentence)


def _tell(now: TrainingProgress) -> None:
    """Prints where a training stands."""
    left = round(now.seconds_left)
    say(
        f"step {now.step}/{now.total_steps}  loss {now.loss:.4f}  {now.images_per_second:.1f} images/s  "
        f"{100 * now.waiting:.0f} % waiting for data  {now.peak_memory / 2**30:.1f} GiB  "
        f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} left"
    )


def _draw(scene: Comparison, path: Path) -> None:
    """Shows a picture, its truth and what a model in training makes of it."""
    side_by_side(scene.picture, scene.truth, scene.prediction).save(path)

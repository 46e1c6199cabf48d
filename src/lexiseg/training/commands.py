"""`lexiseg train`: from a recipe's name to a model folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from lexiseg.data.panoptic_format import PanopticDataset, read_panoptic
from lexiseg.data.storybook.export import Order, write_storybook
from lexiseg.encoders.clip import Clip, ClipConfig
from lexiseg.encoders.mask2former_folder import read_mask2former, write_mask2former
from lexiseg.io.checkpoint import from_plain, load_folder, load_into, save_folder, to_plain, weights_hash
from lexiseg.io.models import holds_opsnet, load_model, save_model
from lexiseg.models.opsnet import OPSNet
from lexiseg.training import recipes
from lexiseg.training.clip import ClipRecipe, ClipTask
from lexiseg.training.segmentation import (
    ClosedSetTask,
    OPSNetTask,
    SegmentationRecipe,
    new_opsnet,
    opsnet_to_go_on_with,
)
from lexiseg.training.trainer import Progress, Task, run

CLIP_RECIPES: Mapping[str, Callable[..., ClipRecipe]] = {"clip-tiny": recipes.clip_tiny}
CLOSED_SET_RECIPES: Mapping[str, Callable[..., SegmentationRecipe]] = {"mask2former-tiny": recipes.mask2former_tiny}
OPSNET_RECIPES: Mapping[str, Callable[..., SegmentationRecipe]] = {
    "opsnet-tiny": recipes.opsnet_tiny,
    "opsnet-tiny-more": recipes.opsnet_tiny_more,
    "opsnet-tiny-short": recipes.opsnet_tiny_short,
    "opsnet-tiny-plain": recipes.opsnet_tiny_plain,
}
WHOLE = "storybook"
"""All four in a row: what the shipped model is made by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporters:
    """What a training tells while it works."""

    progress: Callable[[Progress], None] = lambda progress: None
    drawn: Callable[[int, int], None] = lambda done, total: None
    """Pictures drawn so far, and how many there will be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """The few things that a training may be told beside its recipe."""

    out: Path
    resume: bool = False
    device: str = "cpu"
    seed: int = 0
    workers: int = 1
    steps: int | None = None
    """Fewer (or more) steps than the recipe; for a segmenter."""
    data: Path | None = None
    """A panoptic data set; if not given, the recipe's pictures are drawn."""
    drawn: Path | None = None
    """The folder that holds what recipes draw, once for all of them; `out` if not given."""
    clip: Path | None = None
    """A CLIP folder from `clip-tiny`; OPSNet recipes that begin a model need it."""
    start: Path | None = None
    """A Mask2Former folder to begin from, or an OPSNet folder to go on from; OPSNet recipes may have it."""


def recipe_names() -> tuple[str, ...]:
    """Every name that `train` knows, the whole first."""
    return (WHOLE, *CLIP_RECIPES, *CLOSED_SET_RECIPES, *OPSNET_RECIPES)


def describe(name: str) -> str:
    """The first line of a recipe's docstring."""
    if name == WHOLE:
        return "clip-tiny, mask2former-tiny, opsnet-tiny and opsnet-tiny-more in a row: the shipped model."
    known = {**CLIP_RECIPES, **CLOSED_SET_RECIPES, **OPSNET_RECIPES}
    return (known[name].__doc__ or "").strip().splitlines()[0]


def unused(name: str, settings: TrainSettings) -> tuple[str, ...]:
    """The settings that were given although this recipe has no use for them."""
    used = {
        **dict.fromkeys(CLIP_RECIPES, ()),
        **dict.fromkeys(CLOSED_SET_RECIPES, ("data", "steps")),
        **dict.fromkeys(OPSNET_RECIPES, ("data", "steps", "clip", "start")),
        WHOLE: ("data", "steps"),
    }[name]
    optional = ("data", "steps", "clip", "start")
    return tuple(key for key in optional if key not in used and getattr(settings, key) is not None)


def train(name: str, settings: TrainSettings, reporters: Reporters | None = None) -> Path:
    """Runs a recipe to its end and returns the folder of the finished model.

    Args:
        name: one of `recipe_names()`.
        settings: where, and from what.
        reporters: told of every step that is logged.

    Raises:
        ValueError: if the name is unknown, something that the recipe needs is missing, or `out` is taken.
    """
    reporters = reporters or Reporters()
    if name == WHOLE:
        return _train_whole(settings, reporters)
    if name in CLIP_RECIPES:
        return _train_clip(CLIP_RECIPES[name](seed=settings.seed), settings, reporters)
    if name in CLOSED_SET_RECIPES:
        return _train_closed_set(CLOSED_SET_RECIPES[name](seed=settings.seed), settings, reporters)
    if name in OPSNET_RECIPES:
        return _train_opsnet(OPSNET_RECIPES[name](seed=settings.seed), settings, reporters)
    raise ValueError(f"there is no recipe {name!r}. Choose one of: {', '.join(recipe_names())}.")


def _train_whole(settings: TrainSettings, reporters: Reporters) -> Path:
    """Runs the four recipes of the shipped model; those that are finished are not run again."""
    out = settings.out
    part = replace(settings, drawn=out)
    clip = train("clip-tiny", replace(part, out=out / "clip"), reporters)
    start = train("mask2former-tiny", replace(part, out=out / "mask2former"), reporters)
    first = train("opsnet-tiny", replace(part, out=out / "opsnet", clip=clip, start=start), reporters)
    return train("opsnet-tiny-more", replace(part, out=out / "opsnet-more", start=first), reporters)


def _train_clip(recipe: ClipRecipe, settings: TrainSettings, reporters: Reporters) -> Path:
    task = ClipTask(recipe, device=settings.device, workers=settings.workers)
    _run(task, settings, reporters, {"recipe": to_plain(recipe)})
    return _finish(settings, lambda folder: save_folder(folder, recipe.model, task.clip.state_dict(), overwrite=True))


def _train_closed_set(recipe: SegmentationRecipe, settings: TrainSettings, reporters: Reporters) -> Path:
    recipe = _with_steps(recipe, settings)
    data = _data(recipe, settings, reporters)
    task = ClosedSetTask(recipe, data, device=settings.device, workers=settings.workers)
    _run(task, settings, reporters, {"recipe": to_plain(recipe)})
    model = task.model.cpu()

    def write(folder: Path) -> None:
        write_mask2former(
            folder,
            recipe.segmenter,
            model.segmenter.state_dict(),
            class_weight=model.classify.weight.detach(),
            class_bias=model.classify.bias.detach(),
            names=recipe.vocabulary.names,
        )

    return _finish(settings, write)


def _train_opsnet(recipe: SegmentationRecipe, settings: TrainSettings, reporters: Reporters) -> Path:
    recipe = _with_steps(recipe, settings)
    model, origin = _first_opsnet(recipe, settings)
    task = OPSNetTask(
        recipe,
        _data(recipe, settings, reporters),
        model,
        keeps_batch_norm=settings.start is not None,
        device=settings.device,
        workers=settings.workers,
    )
    _run(task, settings, reporters, {"recipe": to_plain(recipe), **origin})
    return _finish(settings, lambda folder: save_model(task.model.cpu().eval(), folder, overwrite=True))


def _first_opsnet(recipe: SegmentationRecipe, settings: TrainSettings) -> tuple[OPSNet, dict[str, str | None]]:
    """The model before its first step, and the hashes of the weights that it was made of."""
    if settings.start is not None and holds_opsnet(settings.start):
        if settings.clip is not None:
            raise ValueError("the OPSNet that --start names has its own frozen CLIP: leave --clip out.")
        model = opsnet_to_go_on_with(recipe, load_model(settings.start))
        return model, {"start": weights_hash(model.state_dict())}
    if settings.clip is None:
        raise ValueError(
            "this recipe needs a frozen CLIP: train one with 'lexiseg train clip-tiny', then pass --clip; "
            "or pass the folder of an OPSNet as --start."
        )
    config, clip_state = _read_clip(settings.clip)
    start = read_mask2former(settings.start).segmenter if settings.start is not None else None
    origin = {"clip": weights_hash(clip_state), "start": weights_hash(start) if start is not None else None}
    return new_opsnet(recipe, config, clip_state, start), origin


def _read_clip(folder: Path) -> tuple[ClipConfig, Mapping[str, torch.Tensor]]:
    """A CLIP folder: its sizes, and weights that were checked against them."""
    document, state = load_folder(folder)
    config = from_plain(ClipConfig, document, source=str(folder / "config.json"))
    load_into(Clip(config), state, folder)
    return config, state


def _with_steps(recipe: SegmentationRecipe, settings: TrainSettings) -> SegmentationRecipe:
    return recipe if settings.steps is None else replace(recipe, steps=settings.steps)


def _data(recipe: SegmentationRecipe, settings: TrainSettings, reporters: Reporters) -> PanopticDataset:
    """The training set: the given one, or drawn once into a folder that a resumed run finds again."""
    if settings.data is not None:
        return read_panoptic(settings.data)
    folder = (settings.drawn or settings.out) / f"data-{recipe.num_pictures}"
    if (folder / "panoptic.json").is_file():
        return read_panoptic(folder)
    size = recipe.framing.image_size
    order = Order(  # the same pictures for every seed of the training, as COCO is
        role="base",
        split="train",
        count=recipe.num_pictures,
        size=(size, size),
        vocabulary=recipe.vocabulary,
    )
    total = recipe.num_pictures
    return write_storybook(
        order, folder, workers=max(1, settings.workers), report=lambda done: reporters.drawn(done, total)
    )


def _run(task: Task, settings: TrainSettings, reporters: Reporters, origin: Mapping[str, object]) -> None:
    """Runs or resumes a task; `origin` is all that decides it."""
    run(task, settings.out, origin=origin, resume=settings.resume, report=reporters.progress)


def _finish(settings: TrainSettings, write: Callable[[Path], object]) -> Path:
    folder = settings.out / "model"
    write(folder)
    return folder

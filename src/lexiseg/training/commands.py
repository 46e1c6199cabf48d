"""`lexiseg train`: from a recipe's name to a model folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lexiseg.training import recipes, recipes_ovseg, recipes_plus
from lexiseg.training.clip_runs import train_adaptation, train_clip, train_prompt
from lexiseg.training.segmenter_runs import train_closed_set, train_opsnet, train_opsnet_plus, train_ovseg
from lexiseg.training.settings import Reporters, TrainSettings

__all__ = ["Reporters", "TrainSettings", "describe", "recipe_names", "train", "unused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Recipes that are run alike."""

    recipes: Mapping[str, Callable[..., Any]]
    """By name, functions of the seed."""
    train: Callable[[Any, TrainSettings, Reporters], Path]
    options: tuple[str, ...]
    """Settings that it has a use for, beside those that all have."""
    joins_data: bool = False
    """Whether it learns from several folders at once."""


FAMILIES = (
    Family(
        recipes={"clip-tiny": recipes.clip_tiny},
        train=train_clip,
        options=(),
    ),
    Family(
        recipes={"clip-vit-tiny": recipes.clip_vit_tiny},
        train=train_clip,
        options=("clip",),
    ),
    Family(
        recipes={"mask2former-tiny": recipes.mask2former_tiny},
        train=train_closed_set,
        options=("data", "steps"),
    ),
    Family(
        recipes={
            "opsnet-tiny": recipes.opsnet_tiny,
            "opsnet-tiny-more": recipes.opsnet_tiny_more,
            "opsnet-tiny-short": recipes.opsnet_tiny_short,
            "opsnet-tiny-plain": recipes.opsnet_tiny_plain,
        },
        train=train_opsnet,
        options=("data", "steps", "clip", "start", "val"),
    ),
    Family(
        recipes={
            "opsnet-plus-tiny": recipes_plus.opsnet_plus_tiny,
            "opsnet-plus-tiny-classes": recipes_plus.opsnet_plus_tiny_classes,
        },
        train=train_opsnet_plus,
        options=("data", "labels", "root", "steps", "start", "val"),
    ),
    Family(
        recipes={"opsnet-plus-tiny-control": recipes_plus.opsnet_plus_tiny_control},
        train=train_opsnet_plus,
        options=("data", "steps", "start", "val"),
    ),
    Family(
        recipes={
            "maskformer-tiny": recipes_ovseg.maskformer_tiny,
            "maskformer-tiny-part": recipes_ovseg.maskformer_tiny_part,
            "ovseg-swin-base": recipes_ovseg.ovseg_swin_base,
            "ovseg-r101": recipes_ovseg.ovseg_r101,
            "simbaseline": recipes_ovseg.simbaseline,
            "zegformer": recipes_ovseg.zegformer,
        },
        train=train_ovseg,
        options=("data", "root", "steps", "clip", "start", "prompt", "val"),
    ),
    Family(
        recipes={
            "adapt-tiny-ft": recipes_ovseg.adapt_tiny_ft,
            "adapt-tiny-mpt": recipes_ovseg.adapt_tiny_mpt,
            "adapt-tiny-joint": recipes_ovseg.adapt_tiny_joint,
            "adapt-ft": recipes_ovseg.adapt_ft,
            "adapt-mpt": recipes_ovseg.adapt_mpt,
            "adapt-joint": recipes_ovseg.adapt_joint,
        },
        train=train_adaptation,
        options=("data", "steps", "start"),
        joins_data=True,
    ),
    Family(
        recipes={
            "prompt-tiny": recipes_ovseg.prompt_tiny,
            "prompt-simbaseline": recipes_ovseg.prompt_simbaseline,
        },
        train=train_prompt,
        options=("data", "steps", "start"),
        joins_data=True,
    ),
)
ORDERS: Mapping[str, tuple[str, ...]] = {
    "adapt-tiny-ft-mpt": ("adapt-tiny-ft", "adapt-tiny-mpt"),
    "adapt-tiny-mpt-ft": ("adapt-tiny-mpt", "adapt-tiny-ft"),
    "adapt-tiny-ft-ft": ("adapt-tiny-ft", "adapt-tiny-ft"),
    "adapt-ft-mpt": ("adapt-ft", "adapt-mpt"),
    "adapt-mpt-ft": ("adapt-mpt", "adapt-ft"),
}
"""Adaptations in a row (OVSeg, A.5), and the control of the two-step ones, which see twice as many pairs."""
WHOLE = "storybook"
"""Four recipes in a row: what the shipped OPSNet is made by."""
OPTIONAL = ("data", "labels", "root", "steps", "clip", "start", "prompt", "val")
"""Settings that not every recipe has a use for."""


def recipe_names() -> tuple[str, ...]:
    """Every name that `train` knows, the whole first."""
    return (WHOLE, *(name for family in FAMILIES for name in family.recipes), *ORDERS)


def describe(name: str) -> str:
    """The first line of a recipe's docstring."""
    if name == WHOLE:
        return "clip-tiny, mask2former-tiny, opsnet-tiny and opsnet-tiny-more in a row: the shipped OPSNet."
    if name in ORDERS:
        return f"{', then '.join(ORDERS[name])}, each from what the one before has made."
    return (_family(name).recipes[name].__doc__ or "").strip().splitlines()[0]


def unused(name: str, settings: TrainSettings) -> tuple[str, ...]:
    """The settings that were given although this recipe has no use for them."""
    used = ("data", "steps") if name == WHOLE else _family_of(name).options
    return tuple(key for key in OPTIONAL if key not in used and getattr(settings, key) not in (None, ()))


def train(name: str, settings: TrainSettings, reporters: Reporters | None = None) -> Path:
    """Runs a recipe to its end and returns the folder of the finished model.

    Args:
        name: one of `recipe_names()`.
        settings: where, and from what.
        reporters: told of every step that is logged.

    Raises:
        ValueError: if the name is unknown, something that the recipe needs is missing, it can't join the data, or
            `out` is taken.
    """
    reporters = reporters or Reporters()
    if len(settings.data) > 1 and (name == WHOLE or not _family_of(name).joins_data):
        raise ValueError(
            f"{name} learns from one data set, got {len(settings.data)}: give --data once; adaptations alone join "
            "several."
        )
    if name == WHOLE:
        return _train_whole(settings, reporters)
    if name in ORDERS:
        return _train_in_order(ORDERS[name], settings, reporters)
    family = _family(name)
    return family.train(family.recipes[name](seed=settings.seed), settings, reporters)


def _family_of(name: str) -> Family:
    """A recipe's family, or that of the recipes of an order."""
    return _family(ORDERS.get(name, (name,))[0])


def _family(name: str) -> Family:
    for family in FAMILIES:
        if name in family.recipes:
            return family
    raise ValueError(f"there is no recipe {name!r}. Choose one of: {', '.join(recipe_names())}.")


def _train_whole(settings: TrainSettings, reporters: Reporters) -> Path:
    """Runs the four recipes of the shipped model; those that are finished are not run again."""
    out = settings.out
    part = replace(settings, drawn=out)
    clip = train("clip-tiny", replace(part, out=out / "clip"), reporters)
    start = train("mask2former-tiny", replace(part, out=out / "mask2former"), reporters)
    first = train("opsnet-tiny", replace(part, out=out / "opsnet", clip=clip, start=start), reporters)
    return train("opsnet-tiny-more", replace(part, out=out / "opsnet-more", start=first), reporters)


def _train_in_order(names: tuple[str, ...], settings: TrainSettings, reporters: Reporters) -> Path:
    """Runs recipes one after the other, each with a seed of its own, so that a second pass sees another order."""
    folder = settings.start
    for place, name in enumerate(names):
        out = settings.out / f"{place + 1}-{name}"
        folder = train(name, replace(settings, out=out, start=folder, seed=settings.seed + place), reporters)
    assert folder is not None, "an order has a recipe"
    return folder

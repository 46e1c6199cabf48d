"""`lexiseg train`: from a recipe's name to a model folder."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lexiseg.training.clip.adaptation import AdaptationRecipe
from lexiseg.training.clip.contrastive import ClipRecipe
from lexiseg.training.clip.grounding import GroundingRecipe
from lexiseg.training.clip.learned_prompt import LearnedPromptRecipe
from lexiseg.training.clip.run import train_adaptation, train_clip, train_grounding, train_prompt
from lexiseg.training.engine.run_settings import Reporters, TrainSettings, consequences
from lexiseg.training.recipes import finetuning, opsnet, opsnet_plus, ovseg, storybook
from lexiseg.training.recipes.own import AnyRecipe, is_own, load_own
from lexiseg.training.segmentation.data_check import DataReport
from lexiseg.training.segmentation.finetune import FinetuneRecipe
from lexiseg.training.segmentation.finetune_run import check_finetune, train_finetune
from lexiseg.training.segmentation.opsnet_plus import OPSNetPlusRecipe
from lexiseg.training.segmentation.ovseg import OVSegRecipe
from lexiseg.training.segmentation.run import check_run, train_closed_set, train_opsnet, train_opsnet_plus, train_ovseg
from lexiseg.training.segmentation.task import SegmentationRecipe

__all__ = [
    "Reporters",
    "TrainSettings",
    "advice",
    "check",
    "describe",
    "find_recipe",
    "recipe_names",
    "train",
    "unused",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Recipes that are run alike."""

    recipes: Mapping[str, Callable[..., Any]]
    """By name, functions of the seed."""
    takes: Callable[[AnyRecipe], bool]
    """Whether a recipe of the user's own belongs here."""
    train: Callable[[Any, TrainSettings, Reporters], Path]
    options: tuple[str, ...]
    """Settings that it has a use for, beside those that all have."""
    joins_data: bool = False
    """Whether it learns from several folders at once."""


RATES = ("steps", "batch_size", "lr")
SEGMENTER = ("data", "root", *RATES, "precision")
"""Of all that learn from pictures with masks."""
FAMILIES = (
    Family(
        recipes={"clip-tiny": storybook.clip_tiny},
        takes=lambda recipe: isinstance(recipe, ClipRecipe) and not recipe.locks_text,
        train=train_clip,
        options=(),
    ),
    Family(
        recipes={"clip-tiny-words": storybook.clip_tiny_words},
        takes=lambda recipe: isinstance(recipe, GroundingRecipe),
        train=train_grounding,
        options=("start",),
    ),
    Family(
        recipes={"clip-vit-tiny": storybook.clip_vit_tiny},
        takes=lambda recipe: isinstance(recipe, ClipRecipe) and recipe.locks_text,
        train=train_clip,
        options=("clip",),
    ),
    Family(
        recipes={"mask2former-tiny": storybook.mask2former_tiny},
        takes=lambda recipe: isinstance(recipe, SegmentationRecipe) and recipe.is_closed_set,
        train=train_closed_set,
        options=(*SEGMENTER, "from_scratch"),
    ),
    Family(
        recipes={
            "opsnet-tiny": storybook.opsnet_tiny,
            "opsnet-tiny-more": storybook.opsnet_tiny_more,
            "opsnet-tiny-short": storybook.opsnet_tiny_short,
            "opsnet-tiny-plain": storybook.opsnet_tiny_plain,
            "opsnet-r50": opsnet.opsnet_r50,
            "opsnet-r101": opsnet.opsnet_r101,
            "opsnet-swin-s": opsnet.opsnet_swin_s,
            "opsnet-swin-l": opsnet.opsnet_swin_l,
        },
        takes=lambda recipe: type(recipe) is SegmentationRecipe and not recipe.is_closed_set,
        train=train_opsnet,
        options=(*SEGMENTER, "clip", "start", "from_scratch", "val"),
    ),
    Family(
        recipes={
            "opsnet-plus-tiny": opsnet_plus.opsnet_plus_tiny,
            "opsnet-plus-tiny-classes": opsnet_plus.opsnet_plus_tiny_classes,
            "opsnet-plus-r50": opsnet_plus.opsnet_plus_r50,
            "opsnet-plus-r101": opsnet_plus.opsnet_plus_r101,
            "opsnet-plus-swin-s": opsnet_plus.opsnet_plus_swin_s,
            "opsnet-plus-swin-l": opsnet_plus.opsnet_plus_swin_l,
        },
        takes=lambda recipe: isinstance(recipe, OPSNetPlusRecipe) and recipe.learns_from_labels,
        train=train_opsnet_plus,
        options=(*SEGMENTER, "labels", "start", "val"),
    ),
    Family(
        recipes={"opsnet-plus-tiny-control": opsnet_plus.opsnet_plus_tiny_control},
        takes=lambda recipe: isinstance(recipe, OPSNetPlusRecipe) and not recipe.learns_from_labels,
        train=train_opsnet_plus,
        options=(*SEGMENTER, "start", "val"),
    ),
    Family(
        recipes={
            "maskformer-tiny": ovseg.maskformer_tiny,
            "maskformer-tiny-part": ovseg.maskformer_tiny_part,
            "ovseg-swin-base": ovseg.ovseg_swin_base,
            "ovseg-r101": ovseg.ovseg_r101,
            "simbaseline": ovseg.simbaseline,
            "simbaseline-cross": ovseg.simbaseline_cross,
            "zegformer": ovseg.zegformer,
        },
        takes=lambda recipe: isinstance(recipe, OVSegRecipe),
        train=train_ovseg,
        options=(*SEGMENTER, "clip", "start", "prompt", "from_scratch", "val"),
    ),
    Family(
        recipes={
            "adapt-tiny-ft": ovseg.adapt_tiny_ft,
            "adapt-tiny-mpt": ovseg.adapt_tiny_mpt,
            "adapt-tiny-joint": ovseg.adapt_tiny_joint,
            "adapt-tiny-vpt": ovseg.adapt_tiny_vpt,
            "adapt-tiny-pixel": ovseg.adapt_tiny_pixel,
            "adapt-tiny-token": ovseg.adapt_tiny_token,
            "adapt-ft": ovseg.adapt_ft,
            "adapt-mpt": ovseg.adapt_mpt,
            "adapt-vpt": ovseg.adapt_vpt,
            "adapt-joint": ovseg.adapt_joint,
        },
        takes=lambda recipe: isinstance(recipe, AdaptationRecipe),
        train=train_adaptation,
        options=("data", *RATES, "start"),
        joins_data=True,
    ),
    Family(
        recipes={"finetune": finetuning.finetune, "finetune-head": finetuning.finetune_head},
        takes=lambda recipe: isinstance(recipe, FinetuneRecipe),
        train=train_finetune,
        options=(*SEGMENTER, "start", "vocabulary", "old_data"),
    ),
    Family(
        recipes={
            "prompt-tiny": ovseg.prompt_tiny,
            "prompt-simbaseline": ovseg.prompt_simbaseline,
        },
        takes=lambda recipe: isinstance(recipe, LearnedPromptRecipe),
        train=train_prompt,
        options=("data", *RATES, "start"),
        joins_data=True,
    ),
)
SEQUENCES: Mapping[str, tuple[str, ...]] = {
    "adapt-tiny-ft-mpt": ("adapt-tiny-ft", "adapt-tiny-mpt"),
    "adapt-tiny-mpt-ft": ("adapt-tiny-mpt", "adapt-tiny-ft"),
    "adapt-tiny-ft-ft": ("adapt-tiny-ft", "adapt-tiny-ft"),
    "adapt-ft-mpt": ("adapt-ft", "adapt-mpt"),
    "adapt-mpt-ft": ("adapt-mpt", "adapt-ft"),
}
"""Adaptations in a row (OVSeg, A.5), and the control of the two-step ones, which see twice as many pairs."""
WHOLE = "storybook"
WHOLE_PARTS = ("clip-tiny", "clip-tiny-words", "mask2former-tiny", "opsnet-tiny")
"""Four recipes in a row, from nothing to an OPSNet of the drawn world."""
OPTIONAL = (
    "data",
    "labels",
    "root",
    *RATES,
    "precision",
    "clip",
    "start",
    "prompt",
    "from_scratch",
    "val",
    "vocabulary",
    "old_data",
)
"""Settings that not every recipe has a use for."""


def recipe_names() -> tuple[str, ...]:
    """Every name that `train` knows, the whole first."""
    return (WHOLE, *(name for family in FAMILIES for name in family.recipes), *SEQUENCES)


def advice(name: str | None) -> str:
    """Where to find the recipes, and those whose names are near."""
    near = difflib.get_close_matches(name or "", recipe_names(), n=3, cutoff=0.5) or ["opsnet-tiny"]
    return f"take one that 'lexiseg train --list' shows, such as {', '.join(near)}."


def describe(name: str) -> str:
    """The first line of a built-in recipe's docstring."""
    if name == WHOLE:
        return f"{', '.join(WHOLE_PARTS[:-1])} and {WHOLE_PARTS[-1]} in a row: an OPSNet from nothing."
    if name in SEQUENCES:
        return f"{', then '.join(SEQUENCES[name])}, each from what the one before has made."
    return (_family(name).recipes[name].__doc__ or "").strip().splitlines()[0]


def find_recipe(name: str, *, seed: int = 0) -> AnyRecipe:
    """The recipe of a name, or of path/to/file.py:function.

    Raises:
        ValueError: if there is none, or the name stands for several in a row.
    """
    if parts := SEQUENCES.get(name, WHOLE_PARTS if name == WHOLE else ()):
        raise ValueError(f"{name} is several recipes in a row: take one of {', '.join(parts)}.")
    return _found(name, seed)[1]


def unused(name: str, settings: TrainSettings) -> tuple[str, ...]:
    """The settings that were given although this recipe has no use for them."""
    used = ("data", "steps") if name == WHOLE else _family_of(name).options
    return tuple(key for key in OPTIONAL if key not in used and getattr(settings, key) not in (None, (), False))


def check(name: str, settings: TrainSettings) -> DataReport:
    """Looks at all that a training of a segmenter needs, and takes no step.

    Raises:
        ValueError: if the recipe learns from something else than a data set of pictures and masks.
    """
    recipe = find_recipe(name, seed=settings.seed)
    if isinstance(recipe, FinetuneRecipe):
        return check_finetune(settings)
    if not isinstance(recipe, SegmentationRecipe | OVSegRecipe):
        raise ValueError(
            f"{name} does not learn from pictures with masks: there is nothing that --check could look at."
        )
    return check_run(recipe, settings)


def train(name: str, settings: TrainSettings, reporters: Reporters | None = None) -> Path:
    """Runs a recipe to its end and returns the folder of the finished model.

    Args:
        name: one of `recipe_names()`, or path/to/file.py:function.
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
    if name in SEQUENCES:
        return _train_in_order(SEQUENCES[name], settings, reporters)
    family, recipe = _found(name, settings.seed)
    for sentence in consequences(recipe, settings):
        reporters.note(sentence)
    return family.train(recipe, settings, reporters)


def _found(name: str, seed: int) -> tuple[Family, AnyRecipe]:
    """A recipe and its family."""
    if not is_own(name):
        family = _family(name)
        return family, family.recipes[name](seed=seed)
    recipe = load_own(name, seed=seed)
    return next(family for family in FAMILIES if family.takes(recipe)), recipe


def _family_of(name: str) -> Family:
    """A recipe's family, or that of the recipes of an order."""
    return _found(SEQUENCES.get(name, (name,))[0], 0)[0]


def _family(name: str) -> Family:
    for family in FAMILIES:
        if name in family.recipes:
            return family
    raise ValueError(f"there is no recipe {name!r}: {advice(name)}")


def _train_whole(settings: TrainSettings, reporters: Reporters) -> Path:
    """Runs the recipes that make an OPSNet of the drawn world; those that are finished are not run again."""
    out = settings.out
    part = replace(settings, drawn=out)
    clip = train("clip-tiny", replace(part, out=out / "clip"), reporters)
    grounded = train("clip-tiny-words", replace(part, out=out / "clip-words", start=clip), reporters)
    start = train("mask2former-tiny", replace(part, out=out / "mask2former"), reporters)
    return train("opsnet-tiny", replace(part, out=out / "opsnet", clip=grounded, start=start), reporters)


def _train_in_order(names: tuple[str, ...], settings: TrainSettings, reporters: Reporters) -> Path:
    """Runs recipes one after the other, each with a seed of its own, so that a second pass sees another order."""
    folder = settings.start
    for place, name in enumerate(names):
        out = settings.out / f"{place + 1}-{name}"
        folder = train(name, replace(settings, out=out, start=folder, seed=settings.seed + place), reporters)
    assert folder is not None, "an order has a recipe"
    return folder

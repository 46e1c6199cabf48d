"""Recipes: functions that each return all that decides a training, as one frozen dataclass.

To add one: a function in a file here, and its name in the table `RECIPES`.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any

from lexiseg.training.recipes.fcclip import fcclip_tiny
from lexiseg.training.recipes.finetuning import finetune, finetune_head
from lexiseg.training.recipes.opsnet import opsnet_r50, opsnet_r101, opsnet_swin_l, opsnet_swin_s
from lexiseg.training.recipes.opsnet_plus import (
    opsnet_plus_r50,
    opsnet_plus_r101,
    opsnet_plus_swin_l,
    opsnet_plus_swin_s,
    opsnet_plus_tiny,
    opsnet_plus_tiny_classes,
    opsnet_plus_tiny_control,
)
from lexiseg.training.recipes.ovseg import (
    adapt_ft,
    adapt_joint,
    adapt_mpt,
    adapt_tiny_ft,
    adapt_tiny_joint,
    adapt_tiny_mpt,
    adapt_tiny_pixel,
    adapt_tiny_token,
    adapt_tiny_vpt,
    adapt_vpt,
    maskformer_tiny,
    maskformer_tiny_part,
    ovseg_r101,
    ovseg_swin_base,
    prompt_simbaseline,
    prompt_tiny,
    simbaseline,
    simbaseline_cross,
    zegformer,
)
from lexiseg.training.recipes.storybook import (
    clip_tiny,
    clip_tiny_words,
    clip_vit_tiny,
    mask2former_tiny,
    mask2former_tiny_short,
    opsnet_tiny,
    opsnet_tiny_deep,
    opsnet_tiny_more,
    opsnet_tiny_plain,
    opsnet_tiny_short,
    opsnet_tiny_strangers,
    opsnet_tiny_swin,
)

RecipeFunction = Callable[..., Any]
"""A function of the seed."""
RECIPES: Mapping[str, Mapping[str, RecipeFunction]] = {
    group: {recipe.__name__.replace("_", "-"): recipe for recipe in recipes}
    for group, recipes in {
        "Your own pictures": (finetune, finetune_head),
        "The papers' sizes": (
            *(opsnet_r50, opsnet_r101, opsnet_swin_s, opsnet_swin_l),
            *(opsnet_plus_r50, opsnet_plus_r101, opsnet_plus_swin_s, opsnet_plus_swin_l),
            *(ovseg_swin_base, ovseg_r101, simbaseline, simbaseline_cross, zegformer),
            *(adapt_ft, adapt_mpt, adapt_vpt, adapt_joint, prompt_simbaseline),
        ),
        "The drawn world": (
            *(clip_tiny, clip_tiny_words, clip_vit_tiny),
            *(mask2former_tiny, mask2former_tiny_short, opsnet_tiny, opsnet_tiny_more, opsnet_tiny_strangers),
            *(opsnet_tiny_short, opsnet_tiny_plain, opsnet_tiny_deep, opsnet_tiny_swin),
            *(opsnet_plus_tiny, opsnet_plus_tiny_classes, opsnet_plus_tiny_control),
            fcclip_tiny,
            *(maskformer_tiny, maskformer_tiny_part),
            *(adapt_tiny_ft, adapt_tiny_mpt, adapt_tiny_joint, adapt_tiny_vpt, adapt_tiny_pixel, adapt_tiny_token),
            prompt_tiny,
        ),
    }.items()
}
"""Every built-in recipe by the name that is typed, its function's with hyphens, grouped by what people want."""
__all__ = sorted(recipe.__name__ for recipes in RECIPES.values() for recipe in recipes.values())  # pyright: ignore[reportUnsupportedDunderAll]
SEQUENCES: Mapping[str, tuple[str, ...]] = {
    "adapt-tiny-ft-mpt": ("adapt-tiny-ft", "adapt-tiny-mpt"),
    "adapt-tiny-mpt-ft": ("adapt-tiny-mpt", "adapt-tiny-ft"),
    "adapt-tiny-ft-ft": ("adapt-tiny-ft", "adapt-tiny-ft"),
    "adapt-ft-mpt": ("adapt-ft", "adapt-mpt"),
    "adapt-mpt-ft": ("adapt-mpt", "adapt-ft"),
}
"""Adaptations in a row (OVSeg, appendix A.5), and the control of the two-step ones, which see twice as many pairs."""
WHOLE = "storybook"
WHOLE_STEPS = ("clip-tiny", "clip-tiny-words", "mask2former-tiny", "opsnet-tiny")
"""Four recipes in a row, from nothing to an OPSNet of the drawn world."""


def grouped_names() -> dict[str, tuple[str, ...]]:
    """Every name that `lexiseg train` knows, by group; recipes in a row stand in the group of their first."""
    rows = {WHOLE: WHOLE_STEPS, **SEQUENCES}
    return {
        group: (*(name for name, steps in rows.items() if steps[0] in recipes), *recipes)
        for group, recipes in RECIPES.items()
    }


def describe(name: str) -> str:
    """A built-in recipe in a line: the first of its docstring, where others have the names that `lexiseg train` takes.

    Raises:
        ValueError: if there is none.
    """
    if name == WHOLE:
        return f"{', '.join(WHOLE_STEPS[:-1])} and {WHOLE_STEPS[-1]} in a row: an OPSNet from nothing."
    if name in SEQUENCES:
        return f"{', then '.join(SEQUENCES[name])}, each from what the one before has made."
    first = (named(name).__doc__ or "").strip().splitlines()[0]
    return re.sub(r"`(\w+)`", lambda function: function[1].replace("_", "-"), first)


def named(name: str) -> RecipeFunction:
    """The built-in recipe of a name.

    Raises:
        ValueError: if there is none.
    """
    for recipes in RECIPES.values():
        if name in recipes:
            return recipes[name]
    raise ValueError(f"there is no recipe {name!r}: {advice(name)}")


def advice(name: str | None) -> str:
    """Where to find the recipes, and those whose names are near."""
    names = [name for group in grouped_names().values() for name in group]
    near = difflib.get_close_matches(name or "", names, n=3, cutoff=0.5) or ["opsnet-tiny"]
    return f"take one that 'lexiseg train --list' shows, such as {', '.join(near)}."

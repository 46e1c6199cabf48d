"""The plan: which CLIPs are made from which pairs, how each is asked, and what the paper's order would have."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from study.runner import Job

from lexiseg.encoders.clip.vit import PromptConfig
from lexiseg.io.config_json import to_jsonable
from lexiseg.layers.ensemble import MASKFORMER_ONLY, EnsembleConfig
from lexiseg.models.crops import RegionConfig
from lexiseg.models.presets import ZEGFORMER_VIEWS
from lexiseg.training.clip.adaptation import AdaptationRecipe
from lexiseg.training.mining.pairing import MiningConfig
from lexiseg.training.recipes.ovseg import (
    adapt_tiny_ft,
    adapt_tiny_joint,
    adapt_tiny_mpt,
    adapt_tiny_pixel,
    adapt_tiny_token,
    adapt_tiny_vpt,
)
from ovseg_study import work
from ovseg_study.measure import PAPER_SCALE, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What makes the study cheaper or surer."""

    pictures: int = 2400
    """To learn from; each seed has its own, as of val and test."""
    val: int = 48
    test: int = 150
    steps: int | None = None
    """Of an adaptation; the recipe's if not given."""
    batch_size: int | None = None


PAIRS: Mapping[str, MiningConfig] = {
    "labels": MiningConfig(source="labels"),
    "true-masks": MiningConfig(source="true-masks"),
    "caption": MiningConfig(captions=1),
    "captions-5": MiningConfig(captions=5),
}
"""The paper's four sources (Table 2). Masks and labels are of the seen names, captions speak of everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One adapted CLIP."""

    name: str
    recipe: Callable[..., AdaptationRecipe] = adapt_tiny_ft
    start: str | None = None
    """The arm that it goes on from; the original CLIP if not given."""
    pairs: tuple[str, ...] = ("caption",)
    rounds: int = 1
    """Times the recipe's steps: 2 gives as many samples as two steps in a row."""


def _mpt(depth: int) -> Callable[..., AdaptationRecipe]:
    return partial(adapt_tiny_mpt, prompts=PromptConfig(kind="mask", depth=depth))


ORIGINAL = "original"
FIXED = "-fixed"
"""Behind an arm's name: the same CLIP, asked with one setting for all."""
ARMS: tuple[Arm, ...] = (
    Arm(name="mpt", recipe=_mpt(3)),
    Arm(name="ft"),
    Arm(name="ft-mpt", start="ft", recipe=_mpt(3)),
    Arm(name="ft-ft", start="ft"),
    Arm(name="ft-labels", pairs=("labels",)),
    Arm(name="ft-true-masks", pairs=("true-masks",)),
    Arm(name="ft-captions-5", pairs=("captions-5",)),
    Arm(name="mpt-ft", start="mpt"),
    Arm(name="joint", recipe=partial(adapt_tiny_joint, prompts=PromptConfig(kind="mask", depth=3)), rounds=2),
    *(Arm(name=f"mpt-depth-{depth}", recipe=_mpt(depth)) for depth in (1, 2, 4)),
    *(Arm(name=f"ft-mpt-depth-{depth}", start="ft", recipe=_mpt(depth)) for depth in (1, 2, 4)),
    Arm(name="pixel", recipe=adapt_tiny_pixel, pairs=("labels",)),
    Arm(name="token", recipe=adapt_tiny_token, pairs=("labels",)),
    Arm(name="ft-mixture", pairs=("labels", "caption")),
    Arm(name="vpt", recipe=adapt_tiny_vpt),
)
"""Every adaptation, the most wanted first. Of four blocks, depth 1 is "one" and "a quarter"; 3 is the default."""

LAMBDAS = (0.2, 0.35, 0.5, 0.65, 0.8)
ENSEMBLE = Row(name="ensemble", ensembles=tuple(EnsembleConfig(clip_weight=weight) for weight in LAMBDAS))
ENSEMBLE_BY_VAL = replace(
    ENSEMBLE, name="ensemble, scale from val", thresholds=(0.5,), clip_logit_scales=(PAPER_SCALE, 50.0, 25.0, 12.5)
)
"""A scale of 100 makes a weak CLIP as sure as a strong one, and p^(1-lambda) p_hat^lambda believes it."""
ENSEMBLE_FIXED = Row(
    name="ensemble, one setting",
    ensembles=(EnsembleConfig(clip_weight=0.65),),
    thresholds=(0.4,),
    clip_logit_scales=(25.0,),
)
"""As tiny-ovseg is asked: what the choice on 48 pictures of val adds to the spread is not in it."""
CLIP_ALONE = Row(name="CLIP alone")
TRUE_MASKS = Row(name="true masks", masks="true", thresholds=(0.5,))
ROWS = (ENSEMBLE, ENSEMBLE_BY_VAL, CLIP_ALONE, TRUE_MASKS)
"""How every CLIP is asked; true masks are named by CLIP alone."""


def _zegformer(name: str, regions: RegionConfig, lambdas: Sequence[float]) -> Row:
    """ZegFormer's fusion over our MaskFormer, lambda and gamma from val."""
    ensembles = tuple(
        EnsembleConfig(
            clip_weight=weight,
            seen_clip_weight=1 - weight if weight else 0.0,
            averages_seen=True,
            borrows_void=True,
            calibration=gamma,
        )
        for weight in lambdas
        for gamma in (0.0, 0.1, 0.3)
    )
    return Row(
        name=f"ZegFormer, {name}",
        regions=regions,
        ensembles=ensembles,
        thresholds=(0.5,),
        clip_logit_scales=(None,),
        chosen_by="hIoU",
    )


ROWS_OF_ORIGINAL = (
    *ROWS,
    Row(name="query alone", ensembles=(MASKFORMER_ONLY,), thresholds=(0.5,)),
    Row(name="oracle names", masks="oracle", thresholds=(0.5,)),
    replace(TRUE_MASKS, name="true masks, background kept", regions=RegionConfig(fill="keep")),
    replace(CLIP_ALONE, name="CLIP alone, fill keep", regions=RegionConfig(fill="keep")),
    replace(CLIP_ALONE, name="CLIP alone, fill zero", regions=RegionConfig(fill="zero")),
    _zegformer("no image branch", RegionConfig(), (0.0,)),
    *(_zegformer(name, regions, (0.5, 2 / 3, 0.8)) for name, regions in ZEGFORMER_VIEWS.items()),
)
"""Rows that need no training, asked of the original CLIP."""
VIEWS = {"mask": RegionConfig()}
VIEWS_OF_ORIGINAL = {**VIEWS, "background kept": RegionConfig(fill="keep")}


def jobs_of(
    arms: Collection[str],
    seeds: Sequence[int],
    sizes: Sizes,
    folders: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Job], list[str]]:
    """All jobs by name, and the runs that the named arms end in: arm after arm, each with every seed.

    Args:
        arms: names out of `ARMS`, or "original"; with `FIXED` behind them or without.
        seeds: each draws its own pictures and begins its own adaptations.
        sizes: of everything.
        folders: what `work.join` takes of each given pair of CLIP and MaskFormer, which the seeds take in turn; with
            none, one pair is trained for all seeds.
    """
    jobs: dict[str, Job] = {}

    def add(name: str, act: Callable[..., Any], needs: Sequence[str | None] = (), **settings: Any) -> str:
        jobs[name] = Job(name=name, act=act, settings=settings, needs=tuple(n for n in needs if n is not None))
        return name

    if not folders:
        clip = add("parts/clip", work.train_part, recipe="clip-vit-tiny")
        maskformer = add("parts/maskformer", work.train_part, [clip], recipe="maskformer-tiny", clip=clip)
        models = [add("model-0", work.join, [maskformer], clip=None, maskformer=f"{maskformer}/model", weights=[])]
    else:
        models = [add(f"model-{place}", work.join, **given) for place, given in enumerate(folders)]
    wanted: dict[str, list[str]] = {}
    for seed in seeds:
        model = models[seed % len(models)]
        train = add(
            f"pictures/train-{seed}", work.draw, role="captions", split="train", count=sizes.pictures, seed=seed
        )
        held_out = {
            split: add(f"pictures/{split}-{seed}", work.draw, role="semantic-only", split=split, count=count, seed=seed)
            for split, count in (("val", sizes.val), ("test", sizes.test))
        }
        for source, config in PAIRS.items():
            add(
                f"pairs/{source}-{seed}",
                work.mine_pairs,
                [model, train],
                model=model,
                pictures=train,
                config=to_jsonable(config),
            )
        ask = partial(add, act=work.measure, model=model, **held_out)
        needs = [model, *held_out.values()]
        asked = {"rows": to_jsonable(ROWS_OF_ORIGINAL), "views": to_jsonable(VIEWS_OF_ORIGINAL)}
        wanted.setdefault(ORIGINAL, []).append(ask(f"runs/{ORIGINAL}-{seed}", needs=needs, clip=None, **asked))
        fixed = {"rows": to_jsonable((ENSEMBLE_FIXED,)), "views": {}}
        run = ask(f"runs/{ORIGINAL}{FIXED}-{seed}", needs=needs, clip=None, **fixed)
        wanted.setdefault(ORIGINAL + FIXED, []).append(run)
        for arm in ARMS:
            start = None if arm.start is None else f"adapt/{arm.start}-{seed}"
            pairs = [f"pairs/{source}-{seed}" for source in arm.pairs]
            recipe = to_jsonable(_recipe(arm, seed, sizes))
            name = f"adapt/{arm.name}-{seed}"
            add(name, work.adapt, [model, start, *pairs], model=model, start=start, pairs=pairs, recipe=recipe)
            asked = {"rows": to_jsonable(ROWS), "views": to_jsonable(VIEWS)}
            run = ask(f"runs/{arm.name}-{seed}", needs=[*needs, name], clip=name, **asked)
            wanted.setdefault(arm.name, []).append(run)
            run = ask(f"runs/{arm.name}{FIXED}-{seed}", needs=[*needs, name], clip=name, **fixed)
            wanted.setdefault(arm.name + FIXED, []).append(run)
    return jobs, [run for name, runs in wanted.items() if name in arms for run in runs]


def _recipe(arm: Arm, seed: int, sizes: Sizes) -> AdaptationRecipe:
    """The arm's recipe; a second step has a seed of its own, so that it sees another order."""
    recipe = arm.recipe(seed=2 * seed + (arm.start is not None))
    assert recipe.steps is not None, "the tiny recipes say how many"
    return replace(
        recipe, steps=arm.rounds * (sizes.steps or recipe.steps), batch_size=sizes.batch_size or recipe.batch_size
    )

"""Which CLIPs are made from which pairs, how each is asked, and in which units."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from lexiseg.data.catalogue import CATALOGUE, open_dataset
from lexiseg.encoders.clip.vit import PromptConfig
from lexiseg.io.config_json import to_jsonable
from lexiseg.io.finding import find_model
from lexiseg.io.models import load_model
from lexiseg.io.shipped import SHIPPED_OVSEG_NAME
from lexiseg.models.ovseg import OVSeg
from lexiseg.storybook.choices import Role
from lexiseg.studies.ovseg import rows, work
from lexiseg.studies.ovseg.measure import Row
from lexiseg.studies.units import Plan, Unit
from lexiseg.studies.worlds import NOT_IN_QUICK, Pictures, Preset, World, real_pictures, split
from lexiseg.training.clip.adaptation import AdaptationRecipe
from lexiseg.training.clip.contrastive import ClipRecipe
from lexiseg.training.mining.pairing import MiningConfig
from lexiseg.training.recipes.ovseg import (
    VISUAL_PROMPTS,
    adapt_tiny_ft,
    adapt_tiny_joint,
    adapt_tiny_mpt,
    adapt_tiny_pixel,
    adapt_tiny_token,
    adapt_tiny_vpt,
    maskformer_tiny_part,
)
from lexiseg.training.recipes.storybook import clip_vit_tiny

_STANDS_FOR = (
    "In the drawn world pictures of role semantic-only stand for A-150 and for COCO-Stuff, with all 103 names; of "
    "these, the names that MaskFormer's masks carried stand for PC-59, whose classes overlap with the training's, and "
    "the others for A-847. `storybook` (56 names) stands for COCO-Stuff-171, `storybook-part` (44) for COCO-Stuff-156."
)
"""What stands for what; nothing stands for PC-459 and PAS-20."""
_WORDS_OF_CONTRASTS = (
    "In OVSeg's contrasts `original` is the CLIP before adaptation, `mpt` after mask prompt tuning, `ft` after "
    "fine-tuning on proposals and captions, `ft-mpt` after one and then the other, `vpt` with visual prompts, and "
    "`ft-labels` and the like after fine-tuning on these pairs. Such a name alone is the ensemble, with lambda and "
    "thresholds from val. `named` is the share of masks that CLIP names rightly, in points: `clean` ones are true "
    "masks, `noisy` ones the best proposals for them. Where a paper gives ensembles alone, the same contrast of CLIP "
    "alone and of named masks is this project's reading of its claim."
)
DRAWN_DATA = ("A-150",)
DRAWN_DATA_OF_ORIGINAL = ("A-150", "COCO-Stuff")
OVERLAP, FEWER = "storybook", "storybook-part"
"""The vocabularies of training; the first has the names that stand for PC-59."""
REAL_DATA: Mapping[str, str] = {
    "A-847": "ade20k-full",
    "PC-459": "pascal-context-459",
    "A-150": "ade20k",
    "PC-59": "pascal-context-59",
    "PAS-20": "pascal-voc",
    "COCO-Stuff": "coco-stuff",
}
"""The catalogue's name of each data set of the papers."""
SECONDS_PER_MULTIPLY_ADD = 3e-11
"""Of a ViT on one core: docs/ovseg.md, "What it costs"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What makes the study cheaper or surer."""

    pictures: int
    """To mine pairs from; each seed has its own, as of val and test."""
    val: int
    test: int
    steps: int
    """Of an adaptation."""
    clip: ClipRecipe
    """The training of the original CLIP on plain pictures."""
    goes_on: bool
    """Whether that training begins as tiny-ovseg's CLIP without its prompts; if not, from nothing."""
    clip_minutes: float
    """Of that training on one core."""
    adapt_minutes: float
    """Of `steps` on one core."""
    answer_seconds: float = 0.03
    """Of a way of answering for a picture, on one core."""


def _short_clip(seed: int = 0) -> ClipRecipe:
    """`clip_vit_tiny` in 80 steps."""
    first, last = clip_vit_tiny(seed=seed).phases
    phases = replace(first, steps=50, lr=5e-4), replace(last, steps=30, lr=2.5e-4)
    return replace(clip_vit_tiny(seed=seed), phases=phases)


SIZES: Mapping[str, Sizes] = {
    "quick": Sizes(
        pictures=400, val=10, test=40, steps=60, clip=_short_clip(), goes_on=True, clip_minutes=1.5, adapt_minutes=0.5
    ),
    "full": Sizes(
        pictures=2400,
        val=48,
        test=150,
        steps=300,
        clip=clip_vit_tiny(),
        goes_on=False,
        clip_minutes=55,
        adapt_minutes=2.5,
    ),
}
"""By preset. 220 steps of `clip_vit_tiny` from nothing, three minutes and more of a core, leave a contrastive loss of
3.7, where 4.9 is chance: a CLIP that names hardly anything. So `quick` begins as the shipped CLIP, which was adapted to
crops, and lets it forget on plain pictures: its "original" knows more of crops than an original should, which makes the
gains of adapting smaller than they are."""

PAIRS: Mapping[str, MiningConfig] = {
    "labels": MiningConfig(source="labels"),
    "true-masks": MiningConfig(source="true-masks"),
    "caption": MiningConfig(captions=1),
    "captions-5": MiningConfig(captions=5),
}
"""The paper's four sources (Table 2). Masks and labels are of the training names, captions speak of everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One adapted CLIP."""

    name: str
    recipe: Callable[..., AdaptationRecipe] = adapt_tiny_ft
    start: str | None = None
    """The arm that it goes on from; the original CLIP if not given."""
    pairs: tuple[str, ...] = ("caption",)
    rounds: int = 1
    """Times the steps of one adaptation: 2 gives as many samples as two in a row."""
    rows: tuple[Row, ...] = field(default=rows.ROWS)
    is_quick: bool = False
    """Whether the preset `quick` has it."""


def _mpt(depth: int) -> Callable[..., AdaptationRecipe]:
    return partial(adapt_tiny_mpt, prompts=PromptConfig(kind="mask", depth=depth))


ORIGINAL, PART = "original", "part "
"""The CLIP that nothing was adapted of; what stands before the arms around the MaskFormer of fewer classes."""
ARMS: tuple[Arm, ...] = (
    Arm(name="mpt", recipe=_mpt(3), is_quick=True),
    Arm(name="ft", rows=rows.ROWS_OF_ADAPTED, is_quick=True),
    Arm(name="ft-mpt", start="ft", recipe=_mpt(3), rows=rows.ROWS_OF_OVSEG, is_quick=True),
    Arm(name="ft-labels", pairs=("labels",), is_quick=True),
    Arm(name="ft-true-masks", pairs=("true-masks",), is_quick=True),
    Arm(name="vpt", recipe=adapt_tiny_vpt, is_quick=True),
    Arm(name="ft-mixture", pairs=("labels", "caption"), is_quick=True),
    Arm(name="ft-ft", start="ft"),
    Arm(name="ft-captions-5", pairs=("captions-5",)),
    Arm(name="mpt-ft", start="mpt"),
    Arm(name="joint", recipe=partial(adapt_tiny_joint, prompts=PromptConfig(kind="mask", depth=3)), rounds=2),
    *(Arm(name=f"mpt-depth-{depth}", recipe=_mpt(depth)) for depth in (1, 2, 4)),
    *(Arm(name=f"ft-mpt-depth-{depth}", start="ft", recipe=_mpt(depth)) for depth in (1, 2, 4)),
    Arm(name="pixel", recipe=adapt_tiny_pixel, pairs=("labels",)),
    Arm(name="token", recipe=adapt_tiny_token, pairs=("labels",)),
    Arm(name="ft-labels-long", pairs=("labels",), rounds=4),
)
"""Every adaptation; 3 blocks of four have prompts by default."""
PART_ARMS = (Arm(name="ft"), Arm(name="ft-mpt", start="ft", recipe=_mpt(3)))
"""Around the MaskFormer of fewer classes."""
COSTS: Mapping[str, PromptConfig | None] = {
    "cost: no prompts": None,
    "cost: mask prompts": PromptConfig(kind="mask", depth=3),
    "cost: VPT": VISUAL_PROMPTS,
    "cost: VPT of 100 tokens": replace(VISUAL_PROMPTS, num_tokens=100),
}


def how_drawn(preset: Preset) -> tuple[str, ...]:
    """What readers of the drawn world's figures must know of them."""
    sizes = SIZES[preset.name]
    shared = (
        f"All seeds of OVSeg share one CLIP and one MaskFormer; each has its own pictures, pairs and adaptations, of "
        f"{sizes.steps} steps."
    )
    if sizes.goes_on:
        steps = sum(phase.steps for phase in sizes.clip.phases)
        shared += (
            f" What is called the original CLIP is the shipped one, which was adapted to crops, after {steps} more "
            "steps on plain pictures: it knows crops better than an original should, and gains less from adaptation."
        )
    return _STANDS_FOR, shared, _WORDS_OF_CONTRASTS


def plan_ovseg(world: World, preset: Preset) -> Plan:
    """All units, and the arms that they measure.

    Args:
        world: with a root, its OVSeg is measured on the real data sets that lie there; without, everything is drawn and
            trained, around the OVSeg that it names, or else around the shipped one.
        preset: how much is done.
    """
    # MaskFormer's training looks at CLIP's words alone, so that any CLIP with its text tower fits the shipped one.
    asked = world.of_system("ovseg", SHIPPED_OVSEG_NAME)
    if asked is None:
        return world.without("OVSeg")
    return _Drawn(asked, preset).plan() if asked.root is None else _real(asked, preset)


def _real(world: World, preset: Preset) -> Plan:
    """The model as it is published, and its parts, on every data set below the root."""
    assert world.root is not None
    network = load_model(find_model(world.model))
    assert isinstance(network, OVSeg)
    arm = ORIGINAL if network.config.clip.prompts is None else "ft-mpt"
    clip = network.config.clip
    tokens = (clip.image_size // clip.patch_size) ** 2 + 1
    multiply_adds = sum(parameter.numel() for parameter in network.clip.image_parameters) * tokens
    asked, views = rows.published_rows(network.config, None), rows.published_views(network.config)
    cuts = {(one.masks, one.regions) for row in asked if row.asks_clip for one in row.candidates()}
    seconds = multiply_adds * SECONDS_PER_MULTIPLY_ADD * network.config.segmenter.num_queries * len(cuts)
    arms = {row.name: work.arm_of(arm if row.asks_clip else ORIGINAL, row.name) for row in asked}
    arms |= {part: work.arm_of(arm, part) for part in _named(views)}
    units: dict[str, Unit] = {}
    sums: list[str] = []
    left_out: list[str] = []
    for data, name in REAL_DATA.items():
        try:
            dataset = open_dataset(name, world.root)
        except ValueError as error:
            left_out.append(f"{data} is left out. {error}")
            continue
        pictures = real_pictures(dataset, world.root, None if preset.name == "full" else preset.test)
        theirs = network.published_weight(CATALOGUE[name].vocabulary)
        rows_here = rows.published_rows(network.config, None if theirs is None else theirs[0])
        whole = f"ovseg/real/{name}"
        minutes = 0.2 + pictures["count"] * seconds / 60
        shares = split(minutes, pictures["count"])
        about = {"model": world.model_settings, "name": name, "pictures": pictures}
        about |= {"rows": to_jsonable(rows_here), "views": to_jsonable(views)}
        counting = [
            Unit(
                name=f"{whole}-{place}",
                act=work.count_real,
                settings={**about, "parts": parts, "of": sum(map(len, shares))},
                minutes=minutes / len(shares),
            )
            for place, parts in enumerate(shares)
        ]
        parts = [[unit.name, part] for unit, numbers in zip(counting, shares, strict=True) for part in numbers]
        total = Unit(
            name=whole,
            act=work.add_real,
            settings={"arms": arms, "data": data, "parts": parts},
            needs=tuple(unit.name for unit in counting),
            minutes=0.1,
        )
        units |= {unit.name: unit for unit in (*counting, total)}
        sums.append(whole)
    measured = dict.fromkeys(arms.values(), (tuple(sums),)) if sums else {}
    return Plan(units=units, arms=measured, notes=tuple(left_out))


def original_clip(world: World, preset: Preset) -> Unit:
    """What leaves an OVSeg whose CLIP was trained on plain pictures, and nothing was adapted of it; for all seeds."""
    sizes = SIZES[preset.name]
    return Unit(
        name="ovseg/original",
        act=work.train_clip,
        settings={"model": world.model_settings, "recipe": to_jsonable(sizes.clip), "goes_on": sizes.goes_on},
        minutes=sizes.clip_minutes,
    )


def _named(views: Iterable[str]) -> list[str]:
    """What a CLIP that names masks is told to name: clean and noisy ones, cut out in each way."""
    return [f"{kind}, {view}" for kind in ("clean", "noisy") for view in views]


class _Drawn:
    """The plan of the drawn world, as it grows."""

    def __init__(self, world: World, preset: Preset) -> None:
        self._world, self._preset, self._sizes = world, preset, SIZES[preset.name]
        self._units: dict[str, Unit] = {}
        self._arms: dict[str, list[tuple[str, ...]]] = {}

    def plan(self) -> Plan:
        """Trains one CLIP for all seeds, and what each seed adapts of it."""
        is_full = self._preset.name == "full"
        clip = original_clip(self._world, self._preset)
        self._units[clip.name] = clip
        original = clip.name
        models: dict[str, tuple[str, tuple[Arm, ...], tuple[Row, ...]]] = {"": (original, ARMS, rows.ROWS_OF_ORIGINAL)}
        if is_full:
            recipe = maskformer_tiny_part()
            shown = self._draw("part", recipe.num_pictures, 0, "base", FEWER)
            about = {"recipe": to_jsonable(recipe), "clip": original, "pictures": shown}
            part = self._add("ovseg/part", work.train_part, 60, (original, shown), **about)
            models[PART] = part, PART_ARMS, rows.ROWS_OF_PART
        for seed in self._preset.seeds:
            for prefix, (model, arms, asked) in models.items():
                self._seed(seed, prefix, model, tuple(arm for arm in arms if arm.is_quick or is_full), asked)
        test = self._pictures("test", 0)
        timed = self._add(
            "ovseg/seconds", work.take_time, 0.2, (original, test), model=original, pictures=test, count=20
        )
        cost = self._add("ovseg/cost", work.count_cost, 0.2, clip="ViT-L-14-quickgelu", prompts=to_jsonable(COSTS))
        alone = {"MaskFormer": timed, "CLIP on the crops": timed, **dict.fromkeys(COSTS, cost)}
        arms = {arm: tuple(seeds) for arm, seeds in self._arms.items()}
        arms |= {arm: ((unit,),) for arm, unit in alone.items()}
        return Plan(units=self._units, arms=arms, notes=() if is_full else (NOT_IN_QUICK,))

    def _seed(self, seed: int, prefix: str, model: str, arms: Sequence[Arm], asked: Sequence[Row]) -> None:
        """Pictures, pairs, adaptations and measurements of one seed, around one MaskFormer."""
        sizes, folder = self._sizes, f"ovseg/{prefix.strip() or 'whole'}"
        train = self._draw("train", sizes.pictures, seed, "captions", OVERLAP)
        held_out = {split: self._pictures(split, seed) for split in ("val", "test")}
        shared = {"model": model, **held_out, "overlap": OVERLAP}
        sources = {source for arm in arms for source in arm.pairs}
        pairs = {
            source: self._add(
                f"{folder}/pairs/{source}-{seed}",
                work.mine_pairs,
                sizes.pictures / 2400 * (6 if config.source == "proposals" else 2),
                (model, train),
                model=model,
                pictures=train,
                config=to_jsonable(config),
            )
            for source, config in PAIRS.items()
            if source in sources
        }

        def ask(name: str, clip: str | None, rows_: Sequence[Row], is_original: bool) -> None:
            views = rows.VIEWS_OF_ORIGINAL if is_original else rows.VIEWS
            arm = prefix + name
            ways = sizes.val * sum(len(row.candidates()) for row in rows_) + sizes.test * len(rows_)
            unit = self._add(
                f"{folder}/runs/{name}-{seed}",
                work.measure,
                0.1 + ways * sizes.answer_seconds / 60,
                (model, *held_out.values(), *([clip] if clip else [])),
                clip=clip,
                arm=arm,
                rows=to_jsonable(tuple(rows_)),
                views=to_jsonable(views),
                data=list(DRAWN_DATA_OF_ORIGINAL if is_original else DRAWN_DATA),
                **shared,
            )
            for part in (*(row.name for row in rows_), *_named(views)):
                self._arms.setdefault(work.arm_of(arm, part), []).append((unit,))

        ask(ORIGINAL, None, asked, True)
        for arm in arms:
            start = None if arm.start is None else f"{folder}/adapt/{arm.start}-{seed}"
            needed = [pairs[source] for source in arm.pairs]
            adapted = self._add(
                f"{folder}/adapt/{arm.name}-{seed}",
                work.adapt,
                arm.rounds * sizes.adapt_minutes,
                (model, *([start] if start else []), *needed),
                model=model,
                start=start,
                pairs=needed,
                recipe=to_jsonable(_recipe(arm, seed, sizes)),
            )
            ask(arm.name, adapted, arm.rows, False)

    def _pictures(self, split: Any, seed: int) -> str:
        """The unit that draws pictures to choose or to measure on."""
        count = self._sizes.test if split == "test" else self._sizes.val
        unit = Pictures(data="Pascal Context", split=split, count=count, seed=seed).unit
        self._units[unit.name] = unit
        return unit.name

    def _draw(self, name: str, count: int, seed: int, role: Role, vocabulary: str) -> str:
        """The unit that draws pictures to learn from."""
        about = {"count": count, "seed": seed, "role": role, "vocabulary": vocabulary}
        return self._add(f"ovseg/pictures/{name}-{seed}", work.draw, count * 5e-4, **about)

    def _add(
        self, name: str, act: Callable[..., Any], minutes: float, needs: Sequence[str] = (), **settings: Any
    ) -> str:
        self._units[name] = Unit(name=name, act=act, settings=settings, needs=tuple(needs), minutes=minutes)
        return name


def _recipe(arm: Arm, seed: int, sizes: Sizes) -> AdaptationRecipe:
    """The arm's recipe; a second step has a seed of its own, so that it sees another order."""
    recipe = arm.recipe(seed=2 * seed + (arm.start is not None))
    return replace(recipe, steps=arm.rounds * sizes.steps)

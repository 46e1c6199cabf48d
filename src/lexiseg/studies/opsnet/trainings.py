"""Units of the rows that need a training or another model: Tables 1 (without enhancer), 2, 3, 8 and 9, and the cost.

All short trainings begin from a closed-set Mask2Former of their backbone and seed (`mask2former-tiny-short`) and take
`opsnet-tiny-short`'s steps on the same pictures in the same order, with heads from nothing; OPSNet+ goes on from the
given model. The quick preset has no short trainings: the few steps for which it has the time teach heads next to
nothing, and whose heads begin nearer to words would look better than it is.

Real data are measured with the given model alone, and so are drawn ones if it has another segmenter than the recipes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from lexiseg.core.messages import printable
from lexiseg.io.config_json import to_jsonable
from lexiseg.io.shipped import SHIPPED_NAME, SHIPPED_OVSEG_NAME
from lexiseg.storybook.choices import Role, Split
from lexiseg.studies.opsnet import costs, training_figures, training_work
from lexiseg.studies.opsnet.ablations import StudyRow
from lexiseg.studies.opsnet.plan import counting_units
from lexiseg.studies.ovseg.measure import PAPER_SCALE
from lexiseg.studies.ovseg.plan import original_clip
from lexiseg.studies.units import Plan, Unit
from lexiseg.studies.worlds import (
    NOT_IN_QUICK,
    QUICK,
    SECONDS_OF_DRAWING,
    DataName,
    Pictures,
    Preset,
    World,
    draw,
    picture_units,
)
from lexiseg.training.recipes.opsnet_plus import opsnet_plus_tiny, opsnet_plus_tiny_classes, opsnet_plus_tiny_control
from lexiseg.training.recipes.storybook import (
    mask2former_tiny,
    mask2former_tiny_short,
    opsnet_tiny_deep,
    opsnet_tiny_plain,
    opsnet_tiny_short,
    opsnet_tiny_swin,
)
from lexiseg.training.segmentation.closed_set import ClosedSetRecipe
from lexiseg.training.segmentation.opsnet import OPSNetRecipe
from lexiseg.training.segmentation.opsnet_plus import OPSNetPlusRecipe

GIVEN, FURTHER = "given OPSNet", "given OPSNet, masks further"
CLASSES, BOTH, LESS = "given OPSNet + Cls Sup", "given OPSNet + Cls Sup + Mask Sup", "the same, weight of L_sum 0.1"
OPSNET, QUERY = "OPSNet", "OPSNet, query"
PLAIN_CLASS, PLAIN, PLAIN_MODULATED = (f"OPSNet without enhancer, {row}" for row in ("Cls", "Cls.IoU", "modulated"))
CLOSED, MASKCLIP, LSEG, SIMBASELINE = "Mask2Former", "MaskCLIP-like", "LSeg-like", "SimBaseline"
DEEP, SWIN = "OPSNet, deeper ResNet", "OPSNet, Swin"
STARTS = {"resnet": "start, ResNet", "deep": "start, deeper ResNet", "swin": "start, Swin"}
"""The closed sets that the backbones' OPSNets begin from."""
PLUS: Mapping[str, Callable[..., OPSNetPlusRecipe]] = {
    FURTHER: opsnet_plus_tiny_control,
    CLASSES: opsnet_plus_tiny_classes,
    BOTH: opsnet_plus_tiny,
    LESS: lambda seed: replace(opsnet_plus_tiny(seed=seed), sum_weight=0.1),
}
"""Rows of Table 3, and whether the weight of mask supervision is what it lacks."""
MODULATED = {"query only": False, "rank_by": "product"}
QUERY_PRODUCT = {"query only": True, "rank_by": "product"}
QUERY_CLASS = {"query only": True, "rank_by": "class"}
PANOPTIC: tuple[DataName, ...] = ("COCO", "ADE20K", "Cityscapes")
SEMANTIC: tuple[DataName, ...] = ("ADE20K", "Pascal Context", "COCO")
ALL: tuple[DataName, ...] = (*PANOPTIC, "Pascal Context")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What a preset spends on trainings."""

    pictures: int
    labelled: int
    coverage: int
    """Pictures with labels on which the coverage of masks is measured."""
    plus_steps: int
    plus_batch: int
    """Pictures of a step of OPSNet+, half of them with labels."""


SIZES: Mapping[str, Sizes] = {
    "quick": Sizes(pictures=480, labelled=240, coverage=40, plus_steps=60, plus_batch=8),
    "full": Sizes(pictures=8000, labelled=4000, coverage=200, plus_steps=500, plus_batch=16),
}
SECONDS = {"closed": 0.045, "opsnet": 0.06, "deep": 0.075, "swin": 0.085, "lseg": 0.03}
"""Of a training, for each picture of a step, on one core."""
SECONDS_OF_FIGURES = 0.09
"""Of a measurement, for each picture."""
SIMBASELINE_REGIONS = {"mask_threshold": 0.4, "clip_logit_scale": PAPER_SCALE}
"""SimBaseline's mask threshold across data sets, and the scale of CLIP's cosines."""
THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8)
"""Of scores, out of which val chooses: Mask2Former's is 0.8."""
SIDE = opsnet_tiny_short().framing.image_size
RecipeT = TypeVar("RecipeT", ClosedSetRecipe, OPSNetRecipe)


def plan_trainings(world: World, preset: Preset) -> Plan:
    """The units and arms of this world's OPSNet."""
    asked = world.of_system("opsnet", SHIPPED_NAME)
    if asked is None:
        return world.without("OPSNet")
    ovseg = world.of_system("ovseg", SHIPPED_OVSEG_NAME)
    if ovseg is None or not has_trainings(asked):
        return _given_alone(asked, preset)
    return _Trainings(asked, preset, original_clip(ovseg, preset)).plan()


def has_trainings(world: World) -> bool:
    """Whether models are trained beside this world's OPSNet: on drawn pictures, if its segmenter is the recipes'."""
    return world.root is None and world.network.config.segmenter == opsnet_tiny_short().segmenter


def _given_alone(world: World, preset: Preset) -> Plan:
    """The given model in a row of its own, and the costs."""
    if world.root is not None:
        reason = "on real data: it is tried on drawn pictures (leave --root out)"
    else:
        reason = f"beside {printable(world.model)}: its segmenter is not that of the recipes"
    notes = (f"What needs a training of OPSNet or of a rival is left out {reason}.",)
    if not (there := world.data(ALL)):
        return Plan(notes=notes)
    rows = {GIVEN: StudyRow(name=GIVEN, modulation=world.network.config.modulation)}
    tests = [world.pictures(data, "test", preset) for data in there]
    found = [counting_units("given", world, shown, rows) for shown in tests]
    units = picture_units(tests) | {unit.name: unit for parts in found for unit in parts}
    plan = Plan(units=units, arms=dict.fromkeys(rows, (tuple(parts[-1].name for parts in found),)), notes=notes)
    return plan | _costs(world, world.pictures(there[0], "test", QUICK))


def _costs(world: World, pictures: Pictures) -> Plan:
    full = Unit(name="costs/full-size", act=costs.count_full_size, settings={}, minutes=0.5)
    passes = Unit(
        name="costs/passes",
        act=costs.count_passes,
        settings={"model": world.model_settings, "pictures": pictures.settings},
        needs=pictures.needs,
        minutes=0.1,
    )
    arms = {costs.SEGMENTER: full, costs.WHOLE: full, costs.POOLED: passes, costs.CROPPED: passes}
    return Plan(
        units={full.name: full, passes.name: passes, **picture_units([pictures])},
        arms={arm: ((unit.name,),) for arm, unit in arms.items()},
    )


class _Trainings:
    """Collects the units and arms of a drawn world."""

    def __init__(self, world: World, preset: Preset, original: Unit) -> None:
        """Takes the unit that leaves an OVSeg with an original CLIP, which names masks for MaskCLIP and SimBaseline."""
        self.preset, self.sizes = preset, SIZES[preset.name]
        self.given = world.model_settings
        self.original = original.name
        self.val = world.pictures("COCO", "val", preset)
        self.choice = {"val": self.val.settings, "thresholds": list(THRESHOLDS)}
        self.costs = _costs(world, self.val)
        self.tests = {data: world.pictures(data, "test", preset) for data in ALL}
        self.units: dict[str, Unit] = {original.name: original, **picture_units([self.val, *self.tests.values()])}
        self.arms: dict[str, list[tuple[str, ...]]] = {}
        self.masks = self._drawn("base", "train", self.sizes.pictures)
        self.labels = self._drawn("image-level", "train", self.sizes.labelled)
        self.covered = self._drawn("image-level", "val", self.sizes.coverage)

    def plan(self) -> Plan:
        """All of them, seed by seed."""
        for seed in self.preset.seeds:
            if self.preset.name == "full":
                self._short(seed)
                self._backbones(seed)
            for arm, recipe in PLUS.items():
                self._plus(arm, recipe(seed=seed), seed)
        self._given("given", GIVEN, self.given)
        settings = {"unit": self.original, **SIMBASELINE_REGIONS, "arm": SIMBASELINE}
        measure = training_figures.measure_simbaseline
        self._figures("simbaseline", (SIMBASELINE,), measure, SEMANTIC, self.original, **settings)
        arms = {arm: tuple(seeds) for arm, seeds in self.arms.items()}
        notes = (NOT_IN_QUICK,) if self.preset.name == "quick" else ()
        return Plan(units=self.units, arms=arms, notes=notes) | self.costs

    def _short(self, seed: int) -> None:
        """What begins from one closed set and takes as many steps (Tables 1, 2, 8 and 9)."""
        short = opsnet_tiny_short(seed=seed)
        start = self._start("resnet", short)
        self._opsnet(f"opsnet-{seed}", short, start, {OPSNET: MODULATED, QUERY: QUERY_PRODUCT}, ALL)
        plain = {PLAIN_CLASS: QUERY_CLASS, PLAIN: QUERY_PRODUCT, PLAIN_MODULATED: MODULATED}
        self._opsnet(f"plain-{seed}", opsnet_tiny_plain(seed=seed), start, plain, ("COCO", "ADE20K"))
        recipe = replace(mask2former_tiny(seed=seed), steps=short.steps)
        closed = self._train(f"trainings/closed-{seed}", training_work.train_closed_set, recipe, start, "closed")
        self._closed_set(f"maskclip-{seed}", MASKCLIP, closed, "mask tokens", PANOPTIC)
        self._closed_set(f"closed-{seed}", CLOSED, closed, "class layer", PANOPTIC[:1])
        lseg = self._train(f"trainings/lseg-{seed}", training_work.train_lseg, short, start, "lseg", model=self.given)
        settings = {"unit": lseg, "recipe": to_jsonable(self._sized(short)), "model": self.given, "arm": LSEG}
        self._figures(f"lseg-{seed}", (LSEG,), training_figures.measure_lseg, SEMANTIC, lseg, **settings)

    def _backbones(self, seed: int) -> None:
        """The other backbones of Table 2."""
        recipes = {"deep": (DEEP, opsnet_tiny_deep(seed=seed)), "swin": (SWIN, opsnet_tiny_swin(seed=seed))}
        for name, (arm, recipe) in recipes.items():
            self._opsnet(f"backbone-{name}-{seed}", recipe, self._start(name, recipe), {arm: MODULATED}, PANOPTIC, name)

    def _plus(self, arm: str, recipe: OPSNetPlusRecipe, seed: int) -> None:
        """A row of Table 3."""
        half = self.sizes.plus_batch // 2
        recipe = replace(recipe, steps=self.sizes.plus_steps, batch_size=half, labelled_batch_size=half)
        name = f"plus-{tuple(PLUS).index(arm)}-{seed}"
        unit = self._add(
            f"trainings/{name}",
            training_work.train_plus,
            (self.masks, self.labels),
            SECONDS["opsnet"] * half * (1 + recipe.learns_from_labels) * recipe.steps,
            recipe=to_jsonable(recipe),
            model=self.given,
            pictures=self.masks,
            labels=self.labels,
        )
        self._given(name, arm, {"unit": unit}, unit)

    def _given(self, name: str, arm: str, model: Mapping[str, Any], *needs: str) -> None:
        """The given model, or what was made of it: all figures, and how its masks cover pictures with labels."""
        settings = {"model": model, "rows": {arm: MODULATED}, **self.choice}
        measured = self._figures(name, (), training_figures.measure_opsnet, ALL, *needs, **settings)
        covered = self._add(
            f"figures/{name}-coverage",
            training_figures.measure_coverage,
            (*needs, self.covered),
            SECONDS_OF_FIGURES * self.sizes.coverage,
            model=model,
            arm=arm,
            labels=self.covered,
            longest_side=SIDE,
        )
        self.arms.setdefault(arm, []).append((measured, covered))

    def _start(self, name: str, recipe: OPSNetRecipe) -> str:
        """The closed set that a recipe's segmenter begins from; each seed has its own, so that spreads have both."""
        closed = replace(mask2former_tiny_short(seed=recipe.seed), segmenter=recipe.segmenter)
        unit = self._train(f"starts/{name}-{recipe.seed}", training_work.train_closed_set, closed, None, "closed")
        self._closed_set(f"start-{name}-{recipe.seed}", STARTS[name], unit, "class layer", PANOPTIC[:1])
        return unit

    def _closed_set(self, name: str, arm: str, unit: str, names: str, data: Sequence[DataName]) -> None:
        """Figures of a trained closed set under some names."""
        settings = {"unit": unit, "names": names, "original": self.original, "longest_side": SIDE, "arm": arm}
        measure = training_figures.measure_closed_set
        self._figures(name, (arm,), measure, data, unit, self.original, **settings, **self.choice)

    def _opsnet(
        self,
        name: str,
        recipe: OPSNetRecipe,
        start: str,
        rows: Mapping[str, Mapping[str, Any]],
        data: Sequence[DataName],
        kind: str = "opsnet",
    ) -> None:
        """Trains one and measures its rows."""
        unit = self._train(f"trainings/{name}", training_work.train_opsnet, recipe, start, kind, model=self.given)
        asked = {"model": {"unit": unit}, "rows": rows, **self.choice}
        self._figures(name, tuple(rows), training_figures.measure_opsnet, data, unit, **asked)

    def _train(
        self,
        name: str,
        act: Callable[..., Any],
        recipe: RecipeT,
        start: str | None,
        kind: str,
        **settings: Any,
    ) -> str:
        sized = self._sized(recipe)
        needs = (self.masks, *([] if start is None else [start]))
        seconds = SECONDS[kind] * sized.steps * sized.batch_size
        plain = {"recipe": to_jsonable(sized), "start": start, "pictures": self.masks}
        return self._add(name, act, needs, seconds, **plain, **settings)

    def _sized(self, recipe: RecipeT) -> RecipeT:
        return replace(recipe, num_pictures=self.sizes.pictures)

    def _figures(
        self,
        name: str,
        arms: Sequence[str],
        act: Callable[..., Any],
        data: Sequence[DataName],
        *needs: str,
        **more: Any,
    ) -> str:
        """A measurement on test pictures; its arms have one unit for each seed."""
        tests = [self.tests[one] for one in data]
        shown = [*tests, *([self.val] if "val" in more else [])]
        drawn = [one for pictures in shown for one in pictures.needs]
        seconds = SECONDS_OF_FIGURES * sum(one.count or 0 for one in shown)
        unit = self._add(
            f"figures/{name}", act, (*needs, *drawn), seconds, tests=[one.settings for one in tests], **more
        )
        for arm in arms:
            self.arms.setdefault(arm, []).append((unit,))
        return unit

    def _drawn(self, role: Role, split: Split, count: int) -> str:
        settings = {"role": role, "split": split, "count": count, "seed": 0}
        return self._add(f"pictures/{role}-{split}-{count}-0", draw, (), SECONDS_OF_DRAWING * count, **settings)

    def _add(self, name: str, act: Callable[..., Any], needs: Sequence[str], seconds: float, **settings: Any) -> str:
        minutes = round(seconds / 60, 2)
        self.units[name] = Unit(name=name, act=act, settings=settings, needs=tuple(needs), minutes=minutes)
        return name

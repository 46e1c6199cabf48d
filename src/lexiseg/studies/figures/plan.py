"""Units of Figures 3, 4 and 5."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.catalogue import CATALOGUE
from lexiseg.io.shipped import SHIPPED_NAME
from lexiseg.storybook.choices import Split
from lexiseg.studies.figures import descent, many_words, prototypes
from lexiseg.studies.opsnet.trainings import has_trainings
from lexiseg.studies.units import Plan, Unit
from lexiseg.studies.worlds import DRAWN_ROLES, REAL_NAMES, DataName, Pictures, Preset, World, picture_units

MANY_WORDS, PROTOTYPES, DESCENT = "figures/many-words", "figures/prototypes", "figures/descent"
"""The units, whose pictures the figures show."""
TRAIN = {"quick": 100, "full": 400}
"""Pictures of train from which the probes of Figure 4 learn, of each drawn data set."""
CLOSED = "trainings/closed-0"
"""The unit of `plan_trainings` that trains a closed-set Mask2Former on COCO's pictures; Figure 4 shows its layer."""
MOST_REAL = 50
"""Real pictures of each data set, which large models take seconds for."""
ROWS: Mapping[DataName, int] = {"COCO": 2, "ADE20K": 1}
"""Pictures that Figures 3 and 5 show."""
_BOTH: tuple[DataName, ...] = ("COCO", "ADE20K")
_FOUR: tuple[DataName, ...] = (*_BOTH, "Cityscapes", "Pascal Context")


def plan_figures(world: World, preset: Preset) -> Plan:
    """One unit for each figure of this world's OPSNet; it measures all data sets and draws.

    In the preset full, Figure 4 needs a unit of `plan_trainings` as well.
    """
    asked = world.of_system("opsnet", SHIPPED_NAME)
    if asked is None:
        return world.without("OPSNet")
    test: dict[DataName, Pictures] = {data: _pictures(asked, data, "test", preset.test) for data in asked.data(_BOTH)}
    with_paths: dict[DataName, Pictures] = {data: one for data, one in test.items() if _has_paths(asked, data)}
    train: dict[DataName, Pictures] = {
        data: _pictures(asked, data, "train", TRAIN[preset.name]) for data in asked.data(_FOUR)
    }
    units = picture_units([*test.values(), *train.values()])
    arms: dict[str, tuple[tuple[str, ...], ...]] = {}

    def add(
        name: str,
        act: Callable[..., Any],
        pictures: Mapping[DataName, Pictures],
        found: Sequence[str],
        more_needs: Sequence[str] = (),
        **more: object,
    ) -> None:
        if not pictures:
            return
        settings = {"model": asked.model_settings, "pictures": {data: one.settings for data, one in pictures.items()}}
        needs = (*(need for one in pictures.values() for need in one.needs), *more_needs)
        minutes = sum(one.count or 0 for one in pictures.values()) / 200
        units[name] = Unit(name=name, act=act, settings={**settings, **more}, needs=needs, minutes=minutes)
        arms.update(dict.fromkeys(found, ((name,),)))

    scenes = {
        data: {"role": DRAWN_ROLES[data], "split": one.split, "seed": one.seed}
        for data, one in test.items()
        if asked.root is None
    }
    add(MANY_WORDS, many_words.measure, test, many_words.ARMS, scenes=scenes, rows=ROWS)
    closed = CLOSED if preset.name == "full" and has_trainings(asked) else None  # quick trainings learn no classes
    add(PROTOTYPES, prototypes.measure, train, prototypes.ARMS, [closed] if closed else [], closed=closed)
    add(DESCENT, descent.measure, with_paths, descent.ARMS, rows=ROWS)
    return Plan(units=units, arms=arms)


def _pictures(world: World, data: DataName, split: Split, count: int) -> Pictures:
    """Drawn pictures of a split; of real data, the first ones of the split that is annotated."""
    count = count if world.root is None else min(count, MOST_REAL)
    return Pictures(data=data, split=split, count=count, root=world.root)


def _has_paths(world: World, data: DataName) -> bool:
    """Whether the data set's words have places in a taxonomy, as those of the drawn world do."""
    return world.root is None or all(c.path for c in Vocabulary.of(CATALOGUE[REAL_NAMES[data]].vocabulary).concepts)

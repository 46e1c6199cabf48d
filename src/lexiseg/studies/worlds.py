"""Which data stand for the papers' data sets: drawn pictures, or real ones below a folder; and how many are taken."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from lexiseg.core.concepts import same_word
from lexiseg.core.messages import a, printable
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.catalogue import CATALOGUE, open_dataset
from lexiseg.data.categories import match_vocabulary
from lexiseg.data.dataset import Dataset
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.io.checkpoint import weights_hash
from lexiseg.io.config_json import to_jsonable
from lexiseg.io.finding import find_model
from lexiseg.io.models import load_model, system_of
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.storybook.choices import Role, Split
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import ROLE_CONTENTS
from lexiseg.studies.units import Plan, Unit

NetworkT = TypeVar("NetworkT", bound=OpenVocabularySegmenter)
DataName = Literal["COCO", "ADE20K", "Cityscapes", "Pascal Context"]
"""The papers' data sets, by whose names all figures are called."""

DRAWN_ROLES: Mapping[DataName, Role] = {
    "COCO": "base",
    "ADE20K": "novel",
    "Cityscapes": "dusk",
    "Pascal Context": "semantic-only",
}
"""The role of drawn pictures that stands for each."""
REAL_NAMES: Mapping[DataName, str] = {
    "COCO": "coco-panoptic",
    "ADE20K": "ade20k-panoptic",
    "Cityscapes": "cityscapes-panoptic",
    "Pascal Context": "pascal-context-59",
}
"""Each one's name in the catalogue."""
SECONDS_OF_DRAWING = 0.05
"""For each picture, on one core."""
MOST_BLOCKS = 20
"""Blocks of test pictures, over which the spread of a single training is taken."""
LONGEST = 50.0
"""Minutes of a unit that counts pictures; more are split among several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """How much is done."""

    name: Literal["quick", "full"]
    seeds: tuple[int, ...]
    """Of trainings."""
    test: int
    """Test pictures of each data set."""
    val: int
    """Pictures of val on which settings are chosen."""


QUICK = Preset(name="quick", seeds=(0,), test=60, val=30)
FULL = Preset(name="full", seeds=(0, 1, 2), test=200, val=100)
PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in (QUICK, FULL)}
NOT_IN_QUICK = "The preset quick leaves out what takes long: --preset full has it."
"""A plan's note."""


@dataclass(frozen=True, kw_only=True)
class World:
    """Data and the model that answers."""

    model: str
    """Its name or folder."""
    root: Path | None = None
    """Where real data sets lie; None: everything is drawn."""

    @cached_property
    def model_settings(self) -> dict[str, Any]:
        """Plain data for `load_network`: the name, and what tells it from others of that name."""
        name = str(Path(self.model).resolve()) if Path(self.model).exists() else self.model
        return {"model": name, "weights": identity(self.network)}

    @cached_property
    def network(self) -> OpenVocabularySegmenter:
        """The model."""
        return load_model(find_model(self.model))

    def of_system(self, system: str, shipped: str) -> "World | None":
        """This world, asked of one system.

        Args:
            system: as `io.models.system_of` names it, "opsnet" ...
            shipped: the model that answers on drawn pictures where this world's is another system's.

        Returns:
            None for real data and a model of another system.
        """
        if system_of(find_model(self.model)) == system:
            return self
        return World(model=shipped) if self.root is None else None

    @cached_property
    def absent(self) -> dict[DataName, str]:
        """The data sets that can't be opened, and why."""
        reasons: dict[DataName, str] = {}
        for data in DRAWN_ROLES if self.root is not None else ():
            try:
                _open_real(data, self.root)
            except ValueError as error:
                reasons[data] = str(error)
        return reasons

    def data(self, names: Sequence[DataName]) -> list[DataName]:
        """Those of the data sets that are there."""
        return [name for name in names if name not in self.absent]

    def pictures(self, data: DataName, split: Split, preset: Preset, *, seed: int = 0) -> "Pictures":
        """Test or validation pictures of a data set.

        Real data have one annotated split: the preset `quick` takes its first pictures, and `full` all.
        """
        count = preset.test if split == "test" else preset.val
        is_whole = self.root is not None and preset.name == "full"
        return Pictures(data=data, split=split, count=None if is_whole else count, seed=seed, root=self.root)

    def without(self, system: str) -> Plan:
        """The plan of what `of_system` has no model for: a note that says so.

        Args:
            system: what its paper calls it.
        """
        about = f"{printable(self.model)} is no {system}, and real data are measured with the given model alone"
        return Plan(notes=(f"What the paper of {system} shows is left out: {about}.",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Pictures of a data set, as a unit is told of them."""

    data: DataName
    split: Split
    count: int | None
    """How many; None: all of a real data set."""
    seed: int = 0
    root: Path | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """The unit that draws them, where they are drawn."""
        return () if self.root else (self.unit.name,)

    @property
    def unit(self) -> Unit:
        """Draws them; for a plan whose world is drawn."""
        role, settings = DRAWN_ROLES[self.data], {"split": self.split, "count": self.count, "seed": self.seed}
        name = f"pictures/{role}-{self.split}-{self.count}-{self.seed}"
        minutes = round((self.count or 0) * SECONDS_OF_DRAWING / 60, 2)
        return Unit(name=name, act=draw, settings={"role": role, **settings}, minutes=minutes)

    @property
    def settings(self) -> dict[str, Any]:
        """Plain data for `open_pictures`."""
        if self.root is None:
            return {"data": self.data, "drawn": self.unit.name}
        return {"data": self.data, **real_pictures(_open_real(self.data, self.root), self.root, self.count)}


def picture_units(pictures: Sequence[Pictures]) -> dict[str, Unit]:
    """The units that draw pictures; none of real ones."""
    return {one.unit.name: one.unit for one in pictures if one.root is None}


def split(minutes: float, number: int) -> list[list[int]]:
    """The parts of a data set that each of several units counts, so that none takes longer than `LONGEST`.

    Part p of n has every n-th picture from the p-th on, and belongs to block p modulo `MOST_BLOCKS`.

    Args:
        minutes: of all pictures.
        number: of pictures.
    """
    of = min(number, max(MOST_BLOCKS, math.ceil(minutes / LONGEST)))
    return [list(range(of))] if minutes <= LONGEST else [[part] for part in range(of)]


def blocks_of(counted: Sequence[Any]) -> list[Any]:
    """The blocks of what was counted of the parts of `split`, in their order; it adds up."""
    blocks = (counted[place::MOST_BLOCKS] for place in range(min(MOST_BLOCKS, len(counted))))
    return [sum(rest, first) for first, *rest in blocks]


def draw(files: Path, out: Path, *, role: Role, split: Split, count: int, seed: int) -> Any:
    """Draws pictures of a role with its own names: the act of a unit."""
    write_storybook(StorybookSpec(role=role, split=split, count=count, seed=seed), out, overwrite=True)
    return {"pictures": count}


def open_pictures(files: Path, settings: Mapping[str, Any]) -> tuple[Dataset, Vocabulary]:
    """The pictures of `Pictures.settings`, and their words."""
    if "drawn" in settings:
        vocabulary = ROLE_CONTENTS[DRAWN_ROLES[settings["data"]]].vocabulary
        return read_panoptic(files / settings["drawn"]), vocabulary
    dataset = _open_real(settings["data"], Path(settings["root"]))
    vocabulary = Vocabulary.of(CATALOGUE[REAL_NAMES[settings["data"]]].vocabulary)
    return replace(dataset, samples=dataset.samples[: settings["count"]]), vocabulary


@lru_cache(maxsize=len(REAL_NAMES))
def _open_real(data: DataName, root: Path) -> Dataset:
    """A real data set, whose list is read once for all plans."""
    return open_dataset(REAL_NAMES[data], root)


def real_pictures(dataset: Dataset, root: Path, count: int | None) -> dict[str, Any]:
    """What tells the first pictures of a real data set from others, as plain data; None: all."""
    samples = dataset.samples[:count]
    names = hashlib.sha256("\n".join(sample.file_name for sample in samples).encode()).hexdigest()[:16]
    return {"root": str(root.resolve()), "count": len(samples), "names": names}


def seen_and_unseen(dataset: Dataset, vocabulary: Vocabulary, training: Vocabulary) -> dict[str, tuple[str, ...]]:
    """Groups of a data set's categories, "seen" and "unseen", by whether a name of the concept was trained.

    Empty where all were, or none.
    """
    trained = set(map(same_word, training.row_names()))
    groups: dict[str, list[str]] = {"seen": [], "unseen": []}
    matched, category_ids = match_vocabulary(dataset.categories, vocabulary)
    name_of = {category.id: category.name for category in dataset.categories}
    for concept, category_id in zip(matched.concepts, category_ids, strict=True):
        is_seen = not trained.isdisjoint(map(same_word, concept.names))
        groups["seen" if is_seen else "unseen"].append(name_of[category_id])
    return {name: tuple(names) for name, names in groups.items()} if all(groups.values()) else {}


def load_network(files: Path, settings: Mapping[str, Any], kind: type[NetworkT]) -> NetworkT:
    """The model of `World.model_settings`, or one that a unit has trained: `{"unit": its name}`.

    Raises:
        ValueError: if it is another system's, or no longer what the settings were made of.
    """
    folder = folder_of(files, settings)
    network = load_model(folder)
    if not isinstance(network, kind):
        raise ValueError(f"expected {a(kind)}, got {a(type(network))} in {printable(folder)}.")
    if "weights" in settings and identity(network) != settings["weights"]:
        raise ValueError(f"{printable(folder)} was changed since this began: begin anew in another --out.")
    return network.eval()


def identity(network: OpenVocabularySegmenter) -> str:
    """A hash of a model's weights, and one of its configuration: thresholds and fusion decide figures too."""
    config = json.dumps(to_jsonable(network.config), sort_keys=True)
    return f"{weights_hash(network.state_dict())}-{hashlib.sha256(config.encode()).hexdigest()[:8]}"


def folder_of(files: Path, settings: Mapping[str, Any]) -> Path:
    """Where the model of `load_network` lies."""
    return files / settings["unit"] / "model" if "unit" in settings else find_model(settings["model"])

"""Where a model comes from: what made it, of which weights and data, under which licences, and its figures."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Something published, or somebody's own, that a model was made from."""

    part: str
    """What it gave, such as "segmenter", "CLIP", "whole model", "start" or "masks"."""
    name: str
    """A name of the hub or of a data set, or a file's name; never a path, which says more of a machine than of it."""
    licence: str | None = None
    """The hub's identifier of the licence, such as "mit" or "cc-by-nc-4.0"; None if it is not known."""
    revision: str | None = None
    """The commit, or a hash of the file."""

    @classmethod
    def of(cls, part: str, path: Path, licence: str | None = None) -> "Source":
        """A file or folder by its own name; what lies in the hub's cache by its name and commit there."""
        commit, repository = next(
            ((one.name, one.parent.parent.name) for one in (path, *path.parents) if one.parent.name == "snapshots"),
            (None, ""),
        )
        kind, _, name = repository.partition("--")
        if kind not in ("models", "datasets"):
            return cls(part=part, name=path.name, licence=licence)
        return cls(part=part, name=name.replace("--", "/", 1), licence=licence, revision=commit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The recipe that trained a model, and what decided its steps beside the recipe's own fields."""

    recipe: str
    seed: int
    steps: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    precision: str | None = None
    versions: dict[str, str] | None = None
    """Python and the packages by which it was trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What an evaluation found."""

    name: str
    """"pq", "miou" or "ap"."""
    value: float
    """A fraction."""
    data: str
    pictures: int
    weights: str
    """Their hash, as the evaluation's report has it."""
    command: str
    """What gives it again."""
    group: str | None = None
    """Such as "unseen"; None over all classes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """All that is known of where a model comes from; empty where nothing is."""

    made: str | None = None
    """How, as it follows "was": "trained", "assembled without training", "imported" ..."""
    sources: tuple[Source, ...] = ()
    trainings: tuple[Training, ...] = ()
    """The first to the last."""
    figures: tuple[Figure, ...] = ()
    """Those of the start of a training are none of its result."""

"""What `lexiseg storybook`, `lexiseg vocabulary` and `lexiseg data` take."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from lexiseg.cli.options.shared import WORDS, DataSplit, Overwrite, Role, Root, Seed, Workers


@dataclass(frozen=True, kw_only=True)
class StorybookOptions:
    """Of `lexiseg storybook`."""

    out: Annotated[Path, typer.Option("-o")]
    """A new or empty folder."""
    role: Role = "base"
    """Whose names appear."""
    split: Literal["train", "val", "test"] = "train"
    """No two share a picture."""
    count: Annotated[int, typer.Option(min=1)] = 200
    """Pictures."""
    seed: Seed = 0
    size: Annotated[str, typer.Option(metavar="SIDE|WIDTHxHEIGHT")] = "160"
    """Pixels."""
    vocabulary: Annotated[str | None, typer.Option("-v", metavar=WORDS)] = None
    """Names to annotate, such as storybook-part, which leaves a fifth of base out; all others are void. The role's own
    names if not given."""
    workers: Workers = 1
    overwrite: Overwrite = False


@dataclass(frozen=True, kw_only=True)
class VocabularyOptions:
    """Of `lexiseg vocabulary`."""

    text: Annotated[str, typer.Argument(metavar=WORDS)]
    """Such as "cat|kitten, dog, sky:stuff"."""


@dataclass(frozen=True, kw_only=True)
class DataListOptions:
    """Of `lexiseg data list`."""

    root: Path | None = None
    """Where data sets lie: says which are there."""


@dataclass(frozen=True, kw_only=True)
class DataCheckOptions:
    """Of `lexiseg data check`."""

    name: Annotated[str, typer.Argument(metavar="NAME|DIR")]
    """A name that 'list' shows, or your own folder."""
    root: Root = None
    split: DataSplit = None
    every: Annotated[bool, typer.Option("--all")] = False
    """Open every picture, not a few of them."""
    workers: Workers = 1


@dataclass(frozen=True, kw_only=True)
class DataPrepareOptions:
    """Of `lexiseg data prepare`."""

    name: Annotated[str, typer.Argument(metavar="NAME")]
    """A name that 'list' shows."""
    root: Root = None
    split: DataSplit = None
    workers: Workers = 1

"""What `lexiseg storybook`, `lexiseg vocabulary` and `lexiseg data` take."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from lexiseg.cli.options.shared import WORDS, DataSplit, Overwrite, Role, Root, Seed, Workers


@dataclass(frozen=True, kw_only=True)
class StorybookOptions:
    """Draw a data set in COCO panoptic format."""

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
    """Show how words are understood: names, synonyms, thing or stuff."""

    text: Annotated[str, typer.Argument(metavar=WORDS)]
    """Such as "cat|kitten, dog, sky:stuff"."""


@dataclass(frozen=True, kw_only=True)
class DataListOptions:
    """Show every data set, with its task, words and splits."""

    root: Path | None = None
    """Where data sets lie: says which are there."""


@dataclass(frozen=True, kw_only=True)
class DataCheckOptions:
    """Tell what is there, what is missing and where to get it, and the first broken files."""

    name: Annotated[str, typer.Argument(metavar="NAME|DIR")]
    """A name that 'list' shows, or your own folder."""
    root: Root = None
    split: DataSplit = None
    every: Annotated[bool, typer.Option("--all")] = False
    """Open every picture, not a few of them."""
    workers: Workers = 1


@dataclass(frozen=True, kw_only=True)
class DataPrepareOptions:
    """Make the files that a data set needs beside the published ones; a second call goes on where one stopped."""

    name: Annotated[str, typer.Argument(metavar="NAME")]
    """A name that 'list' shows."""
    root: Root = None
    split: DataSplit = None
    workers: Workers = 1

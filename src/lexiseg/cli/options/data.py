"""What `lexiseg storybook`, `lexiseg vocabulary` and `lexiseg data` take."""

from dataclasses import dataclass
from typing import Annotated

import typer

from lexiseg.cli.options import shared
from lexiseg.core.errors import UsageError
from lexiseg.storybook.choices import Split


@dataclass(frozen=True, kw_only=True)
class StorybookOptions:
    """Draw a data set in COCO panoptic format."""

    out: shared.Out
    """A new or empty folder."""
    role: shared.DrawnRole = "base"
    split: Split = "train"
    """No two share a picture."""
    count: shared.Count = 200
    seed: shared.Seed = 0
    size: Annotated[str, typer.Option(metavar="SIDE|WIDTHxHEIGHT")] = "160"
    """Pixels."""
    vocabulary: shared.VocabularyText | None = None
    """Names to annotate, such as storybook-part, which leaves a fifth of base out; all others are void. The role's own
    names if not given."""
    workers: shared.Workers = 1
    overwrite: shared.Overwrite = False


@dataclass(frozen=True, kw_only=True)
class VocabularyOptions:
    """Show how words are understood: names, synonyms, thing or stuff.

    Raises:
        UsageError: if there are no words, or words and --list.
    """

    text: Annotated[str | None, typer.Argument(metavar=shared.WORDS)] = None
    """Such as "cat|kitten, dog, sky:stuff"."""
    list_names: Annotated[bool, typer.Option("--list")] = False
    """Show the built-in lists."""
    wordnet: shared.WordNetFolder = None

    def __post_init__(self) -> None:
        if (self.text is None) != self.list_names:
            raise UsageError('give words such as "cat|kitten, dog, sky:stuff", a file or a name; or --list alone.')


@dataclass(frozen=True, kw_only=True)
class DataListOptions:
    """Show every data set, with its task, words and splits."""

    root: shared.Root = None
    """Where data sets lie: says which are there."""


@dataclass(frozen=True, kw_only=True)
class DataCheckOptions:
    """Tell what is there and missing, where to get it, what each class has, and the first broken files."""

    name: Annotated[str, typer.Argument(metavar="NAME|DIR")]
    """A name that 'list' shows, or your own folder."""
    root: shared.Root = None
    split: shared.DataSplit = None
    every: Annotated[bool, typer.Option("--all")] = False
    """Open every picture, not 16 of them, and read every header, not 2,000."""
    workers: shared.Workers = 1


@dataclass(frozen=True, kw_only=True)
class DataPrepareOptions:
    """Make the files that a data set needs beside the published ones; a second call goes on where one stopped."""

    name: Annotated[str, typer.Argument(metavar="NAME")]
    """A name that 'list' shows."""
    root: shared.Root = None
    split: shared.DataSplit = None
    workers: shared.Workers = 1

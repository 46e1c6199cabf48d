"""What `lexiseg mine` takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from lexiseg.cli.options.shared import (
    WORDS,
    CropOptions,
    Device,
    Limit,
    ModelName,
    Overwrite,
    ReadingWorkers,
    Role,
    Root,
    Seed,
)


@dataclass(frozen=True, kw_only=True)
class MiningData:
    """Which pictures pairs are mined from."""

    name: Annotated[str, typer.Option("--data", "-d", metavar="DIR|NAME")]
    """A folder with a data set; a name that 'lexiseg data list' shows, with --root; or storybook, which is drawn."""
    root: Root = None
    role: Role | None = None
    """Of drawn data: base if not given."""
    split: str | None = None
    """Of the data set: train if not given."""
    count: Annotated[int | None, typer.Option(min=1)] = None
    """Pictures of drawn data: 200 if not given."""
    seed: Seed = 0
    limit: Limit = None


@dataclass(frozen=True, kw_only=True)
class MineOptions(MiningData, CropOptions):
    """Mine pairs of masked crops and words from pictures with captions, to adapt a CLIP (OVSeg)."""

    model: ModelName
    out: Annotated[Path, typer.Option("-o")]
    """Folder for the pairs, and for drawn pictures."""
    captions: Annotated[Path | None, typer.Option(metavar="FILE")] = None
    """COCO's captions, a .tsv of file names and captions, or a .jsonl; the data set's own if not given."""
    source: Literal["labels", "true-masks", "proposals"] = "proposals"
    """True masks with their labels or with nouns, or proposed masks with nouns."""
    captions_per_picture: Annotated[int | None, typer.Option(min=1)] = None
    """How many are read, from the first on; 1 if not given."""
    words: Annotated[str | None, typer.Option(metavar=WORDS)] = None
    """Names to look for in captions, of several words too; the data set's own if not given."""
    tagger: Literal["textblob", "nltk", "spacy", "none"] | None = None
    """What finds the other nouns, textblob if not given; none: the words alone."""
    clip: Annotated[str | None, typer.Option(metavar="DIR|FILE")] = None
    """The CLIP that pairs, such as the original one of a model whose own is adapted; the model's own if not given."""
    workers: ReadingWorkers = 1
    resume: bool = False
    """Go on where an interrupted run stopped."""
    overwrite: Overwrite = False
    device: Device = "auto"

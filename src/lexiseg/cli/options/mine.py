"""What `lexiseg mine` takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from lexiseg.cli.options import shared


@dataclass(frozen=True, kw_only=True)
class MiningData:
    """Which pictures pairs are mined from."""

    name: shared.DataName
    root: shared.Root = None
    role: shared.DrawnRole | None = None
    """Of drawn data: base if not given."""
    split: shared.DataSplit = None
    """Of the data set: train if not given."""
    count: shared.Count | None = None
    """Pictures of drawn data: 200 if not given."""
    seed: shared.Seed = 0
    limit: shared.Limit = None


@dataclass(frozen=True, kw_only=True)
class MineOptions(MiningData, shared.CropOptions):
    """Mine pairs of masked crops and words from pictures with captions, to adapt a CLIP (OVSeg)."""

    model: shared.ModelName
    out: shared.Out
    """Folder for the pairs, and for drawn pictures."""
    captions: Annotated[Path | None, typer.Option(metavar="FILE")] = None
    """COCO's captions, a .tsv of file names and captions, or a .jsonl; the data set's own if not given."""
    source: Literal["labels", "true-masks", "proposals"] = "proposals"
    """True masks with their labels or with nouns, or proposed masks with nouns."""
    captions_per_picture: Annotated[int | None, typer.Option(min=1)] = None
    """How many are read, from the first on; 1 if not given."""
    words: Annotated[str | None, typer.Option(metavar=shared.WORDS)] = None
    """Names to look for in captions, of several words too; the data set's own if not given."""
    tagger: Literal["textblob", "nltk", "spacy", "none"] | None = None
    """What finds the other nouns, textblob if not given; none: the words alone."""
    clip: Annotated[str | None, typer.Option(metavar="DIR|FILE")] = None
    """The CLIP that pairs, such as the original one of a model whose own is adapted; the model's own if not given."""
    workers: shared.ReadingWorkers = 1
    resume: shared.Resume = False
    overwrite: shared.Overwrite = False
    device: shared.Device = "auto"

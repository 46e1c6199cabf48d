"""What `lexiseg demo` and `lexiseg segment` take."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from lexiseg.cli.command import typed_name
from lexiseg.cli.options import shared
from lexiseg.core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Draw six scenes, find the words in them, and show what was found. Needs no network."""

    out: shared.Out = Path("lexiseg-demo")
    """Folder for the pictures."""
    model: shared.ModelName = "storybook"
    device: shared.Device = "auto"
    negatives: shared.Negatives = True


@dataclass(frozen=True, kw_only=True)
class SegmentOptions(shared.InferenceOptions):
    """Find the words in pictures: an overlay, a COCO panoptic PNG and one JSON for all, or other formats.

    Raises:
        UsageError: if --best-only comes with what it has no use for.
    """

    pictures: Annotated[list[str], typer.Argument(metavar="SOURCE...")]
    """Pictures: files, folders, patterns, http(s) addresses, lists of these (.txt, one per line), videos, or - for one
    on the standard input."""
    vocabulary: shared.VocabularyText
    out: shared.Out
    """Folder for what is written."""
    format: Annotated[str, typer.Option(metavar="NAME,...")] = "overlay,panoptic"
    """What is written, names with commas between: overlay (a drawing); panoptic (COCO); semantic (a PNG of classes and
    its legend); instances (COCO); label-studio (brush masks); polygons (YOLO); cutouts (a transparent picture of each
    segment); json (lines of all that is known); html (pages to look at)."""
    show: bool = False
    """Open a sheet of what was found; where there is no screen, say where it lies."""
    recursive: bool = False
    """Search the folders inside of folders, too."""
    every: Annotated[int, typer.Option(min=1, metavar="N")] = 1
    """Of videos, take every N-th frame."""
    categories: Path | None = None
    """The JSON of a ground truth in COCO format: its ids of pictures and categories are taken, and what is a thing."""
    batch_size: shared.BatchSize = 1
    resume: shared.Resume = False
    best_only: Annotated[bool, shared.how()] = False
    """Just the region that fits each word best, by CLIP alone."""
    tree: bool = False
    """Tell each segment's path down the words' taxonomy, by the names of inner nodes, level by level; it may end at
    another word than the segment's name."""
    wordnet: shared.WordNetFolder = None
    as_json: shared.AsJson = False
    """One line of JSON per picture on stdout."""

    def __post_init__(self) -> None:
        super().__post_init__()
        others = map(typed_name, shared.given(self, "score_threshold", "beta", "rank_by", "tree"))
        if self.best_only and self.batch_size > 1:
            raise UsageError("--best-only takes pictures one by one: leave --batch-size out.")
        if self.best_only and (useless := [*self.weights_of_clip(), *others]):
            raise UsageError(
                f"--best-only takes the one best region of each word by CLIP alone, so {useless[0]} has no meaning: "
                "leave one of them out."
            )

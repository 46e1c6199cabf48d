"""What `lexiseg train` takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from lexiseg.cli.options import shared


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Train a model by a recipe; under torchrun, by several processes that share every batch.

    What `TrainSettings` has too is named alike.
    """

    name: Annotated[str | None, typer.Argument(metavar="NAME|FILE.py:FUNCTION")] = None
    """A recipe; --list shows them. Or one of your own."""
    out: shared.Out | None = None
    """Folder of the run."""
    resume: shared.Resume = False
    data: Annotated[list[Path] | None, typer.Option("-d", metavar="DIR|NAME")] = None
    """A data set instead of the recipe's pictures: a folder, or with --root a name that 'lexiseg data list' shows; for
    adaptations, pairs from 'lexiseg mine', several times to join them."""
    labels: Path | None = None
    """For an OPSNet+, pictures with labels and no masks, instead of the recipe's."""
    crowds_as_things: shared.CrowdsAsThings = False
    vocabulary: shared.VocabularyText | None = None
    """For finetune, words and synonyms for the data's categories; their own names if not given."""
    old_data: Annotated[Path | None, typer.Option(metavar="DIR|storybook")] = None
    """For finetune, pictures of what the model knows: they are mixed in so that it forgets nothing."""
    root: shared.Root = None
    clip: Annotated[str | None, typer.Option(metavar="DIR|FILE|NAME")] = None
    """A CLIP folder, ours or open_clip's, its weights, or a model that has one; recipes that begin an OPSNet or OVSeg
    need it, and an OPSNet given as --start takes over one that was grounded."""
    start: Annotated[str | None, typer.Option("--start", "--model", "-m", metavar="DIR|NAME")] = None
    """What to go on from: OPSNet, OVSeg, Mask2Former, or a backbone alone; for adaptations, a CLIP or an OVSeg; for
    clip-tiny-words, a CLIP or an OPSNet."""
    prompt: Path | None = None
    """The folder of a learned prompt; SimBaseline needs it."""
    from_scratch: bool = False
    """Random weights for what is not given, to try or time a training."""
    steps: Annotated[int | None, typer.Option(min=1)] = None
    """Other than the recipe's; not for a CLIP."""
    batch_size: Annotated[int | None, typer.Option(min=1)] = None
    """Other than the recipe's; rate and steps stay as they are."""
    lr: Annotated[float | None, typer.Option(min=0)] = None
    """Learning rate other than the recipe's."""
    precision: Literal["bf16", "float32"] | None = None
    """What a segmenter computes in, bf16 if not given; float32 where a machine has no bf16."""
    device: shared.Device = "auto"
    seed: shared.Seed = 0
    """Of initial weights, order and augmentation."""
    workers: shared.ReadingWorkers = 1
    """Processes that prepare batches."""
    val: Path | None = None
    """A data set on which the model is measured ten times; the best checkpoint is kept beside."""
    accumulate: Annotated[int, typer.Option(min=1)] = 1
    """Take every batch in so many slices, to need less memory."""
    ema: Annotated[float | None, typer.Option(metavar="DECAY")] = None
    """Make the model of averaged weights; 0.9999 for long runs."""
    fsdp: bool = False
    """Under torchrun, share weights, gradients and optimiser among processes."""
    checkpointing: bool = False
    """Compute activations twice: less memory for a third more time."""
    list_recipes: Annotated[bool, typer.Option("--list")] = False
    """Show the recipes."""
    show_only: Annotated[bool, typer.Option("--show")] = False
    """Show all of a recipe, its parameters and what memory it takes."""
    check_only: Annotated[bool, typer.Option("--check")] = False
    """Tell what is wrong with data and weights; train nothing."""

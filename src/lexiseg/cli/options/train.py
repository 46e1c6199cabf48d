"""What `lexiseg train` and `lexiseg finetune` take."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from lexiseg.cli.options import shared

Steps = Annotated[int, typer.Option("--steps", min=1)]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1)]
Rate = Annotated[float, typer.Option("--lr", min=0)]
PrecisionName = Annotated[Literal["bf16", "float32"], typer.Option("--precision")]
OldData = Annotated[Path, typer.Option("--old-data", metavar="DIR|storybook")]
Keep = Annotated[float, typer.Option("--keep", metavar="POINTS", min=0, max=100)]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How any training is run."""

    out: shared.Out | None = None
    """Folder of the run."""
    resume: shared.Resume = False
    root: shared.Root = None
    device: shared.Device = "auto"
    workers: shared.ReadingWorkers = 1
    """Processes that prepare batches."""
    accumulate: Annotated[int, typer.Option(min=1)] = 1
    """Take every batch in so many slices, to need less memory."""
    ema: Annotated[float | None, typer.Option(metavar="DECAY")] = None
    """Make the model of averaged weights; 0.9999 for long runs."""
    fsdp: bool = False
    """Under torchrun, share weights, gradients and optimiser among processes."""
    checkpointing: bool = False
    """Compute activations twice: less memory for a third more time."""
    check_only: Annotated[bool, typer.Option("--check")] = False
    """Tell what is wrong with data and weights; train nothing."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(RunOptions):
    """Train a model by a recipe (finetune has a help of its own); under torchrun, several processes share every batch.

    What `TrainSettings` has too is named alike.
    """

    name: Annotated[str | None, typer.Argument(metavar="NAME|FILE.py:FUNCTION")] = None
    """A recipe; --list shows them. Or one of your own."""
    data: Annotated[list[Path] | None, typer.Option("-d", metavar="DIR|NAME")] = None
    """A data set instead of the recipe's pictures: a folder, or with --root a name that 'lexiseg data list' shows; for
    adaptations, pairs from 'lexiseg mine', several times to join them."""
    labels: Path | None = None
    """For an OPSNet+, pictures with labels and no masks, instead of the recipe's."""
    crowds_as_things: shared.CrowdsAsThings = False
    vocabulary: shared.VocabularyText | None = None
    """For finetune, words and synonyms for the data's categories; their own names if not given."""
    old_data: OldData | None = None
    """For finetune, pictures of what the model knows: they are mixed in so that it forgets nothing."""
    keep: Keep | None = None
    """For finetune, what the old words may lose on the held-out old data, of 100; the recipe's 2 if not given."""
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
    val: Path | None = None
    """A data set on which the model is measured ten times; the best checkpoint is kept beside."""
    steps: Steps | None = None
    """Other than the recipe's; not for a CLIP."""
    batch_size: BatchSize | None = None
    """Other than the recipe's; rate and steps stay as they are."""
    lr: Rate | None = None
    """Learning rate other than the recipe's."""
    precision: PrecisionName | None = None
    """What a segmenter computes in, bf16 if not given; a CPU without units for that computes in float32."""
    seed: shared.Seed = 0
    """Of initial weights, order and augmentation."""
    list_recipes: Annotated[bool, typer.Option("--list")] = False
    """Show the recipes."""
    show_only: Annotated[bool, typer.Option("--show")] = False
    """Show all of a recipe, its parameters and what memory it takes."""


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(RunOptions):
    """Let a trained model learn the names and masks of your own pictures, and keep what it knew."""

    start: Annotated[str, typer.Option("--model", "-m", metavar="DIR|NAME")]
    """The model to go on from: a folder, or a shipped one: storybook or tiny-ovseg."""
    data: Annotated[Path, typer.Option("-d", metavar="DIR|NAME")]
    """Your pictures with masks: COCO, or images/ and labels/; or with --root a name that 'lexiseg data list' shows."""
    vocabulary: shared.VocabularyText | None = None
    """Words and synonyms for the data's categories; their own names if not given."""
    old_data: OldData | None = None
    """Pictures of what the model knows: they are mixed in, and what it forgets is measured and limited."""
    keep: Keep | None = None
    """What the old words may lose on the held-out old pictures, in points of 100, 2 if not given: if they lose more,
    the weights go back towards the start, and the new words lose too. 100: never back."""
    crowds_as_things: shared.CrowdsAsThings = False
    head: bool = False
    """Learn names alone, in 200 steps; the masks stay as they are."""
    steps: Steps | None = None
    """Steps of the optimiser, 500 if not given."""
    batch_size: BatchSize | None = None
    """Pictures of a step, 8 if not given; rate and steps stay as they are."""
    lr: Rate | None = None
    """Learning rate, 0.0003 if not given."""
    precision: PrecisionName | None = None
    """What it computes in, bf16 if not given; a CPU without units for that computes in float32."""
    seed: shared.Seed = 0
    """Of order, augmentation, and which pictures are held out."""

"""What `lexiseg assemble` and `lexiseg import` take."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from lexiseg.cli.options import shared


@dataclass(frozen=True, kw_only=True)
class AssembleOptions(shared.SideOptions):
    """Join a published Mask2Former and a CLIP to an open-vocabulary model, without training."""

    folder: Annotated[Path, typer.Argument(metavar="FOLDER")]
    """A Mask2Former in transformers' layout."""
    clip: Annotated[str, typer.Option(metavar="MODEL")]
    """open_clip's name, such as RN50-quickgelu."""
    clip_weights: Annotated[Path, typer.Option(metavar="FILE")]
    """An open_clip checkpoint."""
    out: shared.Out
    vocabulary: shared.VocabularyText | None = None
    """Names of the classes in order; the folder's own if not given."""
    preparation: Literal["official", "published"] = "official"
    """Pictures as the official program of the training set prepares them, or as the folder's preprocessor_config.json
    says, which for most Mask2Formers is a square of 384 pixels."""
    overwrite: shared.Overwrite = False


@dataclass(frozen=True, kw_only=True)
class ImportModelOptions:
    """Import an official OVSeg checkpoint."""

    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT")]
    """A .pth of OVSeg, or .safetensors."""
    out: shared.Out
    config: Annotated[Path | None, typer.Option(metavar="FILE")] = None
    """The official configuration as JSON; the published one for the checkpoint's backbone if not given."""
    vocabulary: shared.VocabularyText | None = None
    """Names of the classes that it was trained on; coco-stuff if not given."""
    reference: Annotated[Path | None, typer.Option("--verify", metavar="REFERENCE")] = None
    """A .safetensors of the official program's inputs and outputs to hold the model against."""
    overwrite: shared.Overwrite = False
    as_json: shared.AsJson = False
    """Print what was done as JSON."""


@dataclass(frozen=True, kw_only=True)
class ImportClipOptions:
    """Import a CLIP that was adapted to masked crops, or its mask prompts alone."""

    file: Annotated[Path, typer.Argument(metavar="FILE")]
    """An open_clip state dict of a ViT, or mask prompts."""
    out: shared.Out
    model: shared.ModelName | None = None
    """An OVSeg that is to get this CLIP; it is saved with it in the folder."""
    quick_gelu: Annotated[bool, typer.Option("--quick-gelu/--no-quick-gelu")] = True
    """How the weights were trained; OpenAI's with QuickGELU."""
    overwrite: shared.Overwrite = False

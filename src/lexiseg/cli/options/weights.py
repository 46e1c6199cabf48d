"""What `lexiseg assemble`, `lexiseg import` and `lexiseg push` take."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from lexiseg.cli.options import shared
from lexiseg.io.shipped import check_model


@dataclass(frozen=True, kw_only=True)
class AssembleOptions(shared.SideOptions):
    """Join a published segmenter and a CLIP to an open-vocabulary model, without training, in a whole folder."""

    segmenter: Annotated[str, typer.Argument(metavar="NAME|DIR")]
    """A name that 'lexiseg models' shows; owner/name on the Hugging Face hub; or a folder in transformers' layout."""
    clip: Annotated[str, typer.Option(metavar="NAME|FILE|DIR")] = "RN50"
    """open_clip's name of an architecture; or weights: a file, a folder, or owner/name on the Hugging Face hub."""
    clip_weights: Annotated[str | None, typer.Option(metavar="TAG|FILE|DIR")] = None
    """open_clip's name of the CLIP's training, openai if not given; or its weights, as --clip takes them."""
    out: shared.Out
    vocabulary: shared.VocabularyText | None = None
    """Names of the classes in order; the folder's own if not given."""
    preparation: Literal["official", "published"] = "official"
    """Pictures as the official program of the training set prepares them, or as the folder's preprocessor_config.json
    says, which for most Mask2Formers is a square of 384 pixels."""
    precision: shared.Precision | None = None
    overwrite: shared.Overwrite = False


@dataclass(frozen=True, kw_only=True)
class ImportModelOptions:
    """Import an official OVSeg checkpoint."""

    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT")]
    """A .pth of OVSeg, or .safetensors."""
    out: shared.Out
    config: shared.OfficialConfig | None = None
    vocabulary: shared.VocabularyText | None = None
    """Names of the classes that it was trained on; coco-stuff if not given."""
    reference: shared.Reference | None = None
    precision: shared.Precision | None = None
    overwrite: shared.Overwrite = False
    as_json: shared.AsJson = False
    """Print what was done as JSON."""


@dataclass(frozen=True, kw_only=True)
class ImportMask2FormerOptions:
    """Import an official Mask2Former checkpoint, as a folder for 'lexiseg assemble'."""

    checkpoint: Annotated[Path, typer.Argument(metavar="FILE")]
    """A .pth of detectron2, or a .pkl of its model zoo."""
    out: shared.Out
    config: shared.OfficialConfig | None = None
    vocabulary: shared.VocabularyText | None = None
    """Names of the classes in order; COCO's, ADE20K's or Cityscapes', by their number, if not given."""
    reference: shared.Reference | None = None
    overwrite: shared.Overwrite = False
    as_json: shared.AsJson = False
    """Print what was done as JSON."""


@dataclass(frozen=True, kw_only=True)
class ImportFCCLIPOptions:
    """Import an official FC-CLIP checkpoint."""

    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT")]
    """A .pth of FC-CLIP, or .safetensors, with or without its CLIP inside."""
    out: shared.Out
    clip: Annotated[Path | None, typer.Option(metavar="FILE")] = None
    """The CLIP that it was trained with, as open_clip publishes it; published checkpoints have none inside."""
    config: shared.OfficialConfig | None = None
    vocabulary: shared.VocabularyText | None = None
    """Names of the classes that it was trained on; the configuration's, or coco, if not given."""
    reference: shared.Reference | None = None
    precision: shared.Precision | None = None
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
    precision: shared.Precision | None = None
    overwrite: shared.Overwrite = False


@dataclass(frozen=True, kw_only=True)
class ModelsOptions:
    """Show which models are known by name: what they were trained on, their size, licence and published quality."""

    as_json: shared.AsJson = False


@dataclass(frozen=True, kw_only=True)
class ShowOptions:
    """Show a model: its words, sizes, where it comes from and how it answers; it is fetched if it is not here."""

    model: Annotated[str, typer.Argument(metavar="MODEL", callback=lambda name: name and shared.check_model(name))]
    """As --model of segment takes it."""
    as_json: shared.AsJson = False


@dataclass(frozen=True, kw_only=True)
class PushOptions:
    """Upload a model to the Hugging Face hub, whole and with a model card; 'hf auth login' comes first."""

    model: Annotated[str, typer.Argument(metavar="DIR|NAME", callback=check_model)]
    """A model folder, or what else --model takes."""
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME")]
    """It is made if it is not there."""
    private: bool = False
    """If it is made, its owner alone sees it."""
    precision: shared.Precision | None = None
    reports: Annotated[list[Path] | None, typer.Option("--report", metavar="FILE")] = None
    """A report.json of 'lexiseg evaluate' of this model: its figures and its command go onto the card."""

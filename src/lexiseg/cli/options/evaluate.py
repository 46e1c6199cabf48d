"""What `lexiseg evaluate` and `lexiseg score` take."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from lexiseg.cli.options import shared

TruthFolder = Annotated[Path, typer.Option("--ground-truth-folder")]
PredictionFolder = Annotated[Path, typer.Option("--prediction-folder")]


@dataclass(frozen=True, kw_only=True)
class EvaluationData:
    """Which pictures a model is measured on."""

    name: shared.DataName
    """A folder with a data set; a name that 'lexiseg data list' shows, with --root; or storybook, storybook-novel,
    storybook-dusk, storybook-semantic or storybook-part, which are drawn."""
    root: shared.Root = None
    split: shared.DataSplit = None
    count: shared.Count = 200
    seed: shared.Seed = 0
    limit: shared.Limit = None
    crowds_as_things: shared.CrowdsAsThings = False


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(EvaluationData, shared.InferenceOptions):
    """Measure a model on a data set by the official rules; under torchrun, by several processes."""

    out: shared.Out
    """Folder for the report, and for drawn pictures."""
    vocabulary: shared.VocabularyText | None = None
    """The data set's own words if not given; or some of them, to measure these classes alone."""
    task: Literal["panoptic", "semantic", "instance"] | None = None
    """What is measured; what the data are made for if not given."""
    semantic_rule: Literal["merged", "soft"] | None = None
    """Merge the panoptic map by class (OPSNet's own), or sum soft masks (OVSeg's own)."""
    diagnose: bool = False
    """Replace parts of the model by ground truth and say what each costs."""
    save_predictions: bool = False
    """Keep the panoptic maps as COCO has them: predictions.json and predictions/ in the folder."""
    batch_size: shared.BatchSize = 4
    workers: shared.ReadingWorkers = 1
    resume: shared.Resume = False
    negatives: shared.Negatives = False


@dataclass(frozen=True, kw_only=True)
class ScorePanopticOptions:
    """Panoptic quality, digit for digit that of COCO's official evaluator."""

    truth: Annotated[Path, typer.Option("--ground-truth")]
    """JSON of the ground truth, in COCO panoptic format."""
    predicted: Annotated[Path, typer.Option("--prediction")]
    """JSON of the predictions."""
    truth_folder: TruthFolder | None = None
    """Id PNGs; the JSON's name without .json if not given."""
    predicted_folder: PredictionFolder | None = None
    """Id PNGs of the predictions, likewise."""
    workers: shared.Workers = 1
    as_json: shared.AsJson = False


@dataclass(frozen=True, kw_only=True)
class ScoreSemanticOptions:
    """Mean IoU, frequency-weighted IoU, pixel accuracy; with --unseen also hIoU."""

    truth: TruthFolder
    """True label maps, one value per pixel."""
    predicted: PredictionFolder
    """Predicted ones, by the same names."""
    vocabulary: shared.VocabularyText
    unseen: Annotated[str | None, typer.Option(metavar=shared.WORDS)] = None
    """Classes that training has not seen, for hIoU."""
    first: Annotated[int, typer.Option(min=0)] = 0
    """Value of the first class; 1 for ADE20K."""
    ignored: Annotated[int, typer.Option("--ignore")] = 255
    """True pixels of this value do not count; predicted ones have no class."""
    workers: shared.Workers = 1
    as_json: shared.AsJson = False

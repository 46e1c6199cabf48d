"""The options that several commands share; nothing here imports more than typer and our own errors."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lexiseg.core.errors import UsageError


class Device(StrEnum):
    """Where the model runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Precision(StrEnum):
    """What a training computes in."""

    bf16 = "bf16"
    float32 = "float32"


class Rank(StrEnum):
    """Which score ranks the masks."""

    label = "class"
    iou = "iou"
    product = "product"


class TaskChoice(StrEnum):
    """What an evaluation measures."""

    panoptic = "panoptic"
    semantic = "semantic"
    instance = "instance"


class SemanticRuleChoice(StrEnum):
    """From masks to classes of pixels."""

    merged = "merged"
    soft = "soft"


class SourceChoice(StrEnum):
    """Where masks and words of pairs come from."""

    labels = "labels"
    true_masks = "true-masks"
    proposals = "proposals"


class TaggerChoice(StrEnum):
    """What finds nouns that are on no list."""

    textblob = "textblob"
    nltk = "nltk"
    spacy = "spacy"
    none = "none"


class RoleName(StrEnum):
    """Roles of the drawn world."""

    base = "base"
    novel = "novel"
    dusk = "dusk"
    semantic = "semantic-only"
    image_level = "image-level"
    captions = "captions"


class SplitName(StrEnum):
    """Parts of a role that never share a picture."""

    train = "train"
    val = "val"
    test = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class CropOptions:
    """How an OVSeg shows proposals to CLIP; None leaves the model's own value."""

    region_threshold: float | None = None
    min_object: float | None = None
    crops_per_pass: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """How a model is asked; None leaves the model's own value.

    Raises:
        UsageError: if two ways to weigh CLIP were asked for at once, or --best-only with what it has no use for.
    """

    model: str
    device: str
    negatives: bool
    score_threshold: float | None = None
    alpha: float | None = None
    beta: float | None = None
    clip_ratio: float | None = None
    clip_weight: float | None = None
    clip_only: bool = False
    rank_by: str | None = None
    best_only: bool = False
    """The best region of each word, by CLIP alone."""
    regions: CropOptions = field(default_factory=CropOptions)

    def __post_init__(self) -> None:
        ways = {
            "--alpha": self.alpha,
            "--clip-ratio": self.clip_ratio,
            "--clip-weight": self.clip_weight,
            "--clip-only": self.clip_only or None,
        }
        asked = [way for way, value in ways.items() if value is not None]
        if len(asked) > 1:
            raise UsageError(f"{' and '.join(asked)} each say how much CLIP counts: give one of them.")
        others = {"--score-threshold": self.score_threshold, "--beta": self.beta, "--rank-by": self.rank_by}
        useless = [*asked, *(option for option, value in others.items() if value is not None)]
        if self.best_only and useless:
            raise UsageError(
                f"--best-only takes the one best region of each word by CLIP alone, so {useless[0]} has no meaning: "
                "leave one of them out."
            )


_HOW = "How it answers"

VocabularyOption = Annotated[
    str,
    typer.Option(
        "--vocabulary",
        "-v",
        metavar="TEXT|FILE|NAME",
        help='The words: "cat|kitten, dog, sky:stuff"; or a .yaml or .json file; or a built-in list such as '
        "coco, ade20k, cityscapes, storybook or storybook-novel.",
    ),
]
ModelName = Annotated[
    str,
    typer.Option(
        "--model", "-m", metavar="DIR|NAME", help="A model folder; or a shipped one: storybook or tiny-ovseg."
    ),
]
DeviceName = Annotated[Device, typer.Option("--device", help="Where it runs.")]
ScoreThreshold = Annotated[
    float | None,
    typer.Option(
        "--score-threshold", min=0, max=1, help="Leave out segments with a lower score.", rich_help_panel=_HOW
    ),
]
Negatives = Annotated[
    bool,
    typer.Option(
        "--negatives/--no-negatives",
        help="Training words that were not asked for compete, and what they win is void.",
        rich_help_panel=_HOW,
    ),
]
Alpha = Annotated[
    float | None,
    typer.Option(
        "--alpha", min=0, help="OPSNet: weight of CLIP per distance of the words; 0: none.", rich_help_panel=_HOW
    ),
]
Beta = Annotated[
    float | None,
    typer.Option("--beta", min=0, help="OPSNet: exponent of logits debiasing; 0: none.", rich_help_panel=_HOW),
]
ClipRatio = Annotated[
    float | None,
    typer.Option(
        "--clip-ratio", min=0, help="OPSNet: a fixed weight of CLIP instead; 0: queries alone.", rich_help_panel=_HOW
    ),
]
ClipWeight = Annotated[
    float | None,
    typer.Option(
        "--clip-weight",
        min=0,
        max=1,
        help="OVSeg: lambda, CLIP's share in the ensemble; 0: queries alone.",
        rich_help_panel=_HOW,
    ),
]
RegionThreshold = Annotated[
    float | None,
    typer.Option(
        "--region-threshold",
        min=0,
        max=1,
        help="OVSeg: mask probability above which a pixel belongs to a crop; results are sensitive to it.",
        rich_help_panel=_HOW,
    ),
]
MinObject = Annotated[
    float | None,
    typer.Option(
        "--min-object",
        min=0,
        max=1,
        help="OVSeg: CLIP looks only at proposals that are an object with this probability; faster, not the same.",
        rich_help_panel=_HOW,
    ),
]
CropsPerPass = Annotated[
    int | None,
    typer.Option(
        "--crops-per-pass",
        min=1,
        help="OVSeg: crops that go through CLIP at once; more may be faster on a GPU, and need more memory.",
        rich_help_panel=_HOW,
    ),
]
ClipOnly = Annotated[bool, typer.Option("--clip-only", help="CLIP alone, without void.", rich_help_panel=_HOW)]
BestOnly = Annotated[
    bool,
    typer.Option("--best-only", help="Just the region that fits each word best, by CLIP alone.", rich_help_panel=_HOW),
]
RankBy = Annotated[Rank | None, typer.Option("--rank-by", help="Which score ranks the segments.", rich_help_panel=_HOW)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run wrote there.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same bytes.")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Processes that share the work.")]
Root = Annotated[
    Path | None, typer.Option("--root", help="Where the data set of that name lies: its folder or the one around it.")
]
DataSplit = Annotated[
    str | None, typer.Option("--split", help="Of the data set: val if not given; test of drawn data.")
]

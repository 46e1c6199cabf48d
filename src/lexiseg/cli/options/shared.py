"""The options that several commands share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lexiseg.cli.command import typed_name
from lexiseg.core.errors import UsageError
from lexiseg.core.files import file_mode
from lexiseg.core.vocabulary import Vocabulary, is_thing
from lexiseg.core.words.trees import with_places
from lexiseg.core.words.wordnet import WordNet, is_wordnet
from lexiseg.io.shipped import check_model
from lexiseg.storybook.choices import Role

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
# The library's own name of this choice lies beside torch, as those do that other options list; a test holds all equal.
RankBy = Literal["class", "iou", "product"]

PrecisionName = Literal["float32", "bf16", "fp16"]

WORDS = "TEXT|FILE|NAME"
"""What stands for a vocabulary."""
HOW = "How it answers"
"""Title of a group of options in the help."""

VocabularyText = Annotated[
    str,
    typer.Option(
        "--vocabulary",
        "-v",
        metavar=WORDS,
        help='The words: "cat|kitten, dog, sky:stuff", or one per line; or a .yaml, .json, .txt or .csv file; a '
        "WordNet folder; or a built-in list such as coco, which 'lexiseg vocabulary --list' shows.",
    ),
]
WordNetFolder = Annotated[
    Path | None,
    typer.Option(
        "--wordnet",
        help="A folder with WordNet's data.noun and index.noun: the words take their places in the taxonomy from it.",
    ),
]
ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|DIR|FILE",
        callback=lambda name: name and check_model(name),  # here, before torch is imported
        help="A name that 'lexiseg models' shows, such as storybook or swin-l-coco; a model folder, ours or in "
        "transformers' layout; a checkpoint of FC-CLIP, Mask2Former or OVSeg; or owner/name on the Hugging Face hub.",
    ),
]
Device = Annotated[DeviceName, typer.Option("--device", help="Where it runs.")]
Precision = Annotated[
    PrecisionName,
    typer.Option(
        "--precision",
        help="What is computed in, or what written weights are stored in: fp16 halves a folder, and is computed on a "
        "GPU only; bf16 also on a CPU. Cosines to words, and words themselves, are computed in float32 always.",
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile", help="Let torch.compile take the network: for many pictures, as the first waits for minutes."
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="The folder to make.")]
DataName = Annotated[
    str,
    typer.Option(
        "--data",
        "-d",
        metavar="DIR|NAME",
        help="A folder with a data set; a name that 'lexiseg data list' shows, with --root; or storybook, which is "
        "drawn.",
    ),
]
Count = Annotated[int, typer.Option("--count", min=1, help="Pictures of drawn data.")]
DrawnRole = Annotated[Role, typer.Option("--role", help="Of drawn data: whose names appear.")]
Negatives = Annotated[
    bool,
    typer.Option(
        "--negatives/--no-negatives",
        help="Training words, and those of the model's config.json, compete if they were not asked for and do not mean "
        "the same as one that was; what they win is void.",
        rich_help_panel=HOW,
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run wrote there.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same bytes.")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Processes that share the work.")]
ReadingWorkers = Annotated[int, typer.Option("--workers", min=0, help="Processes that read pictures ahead.")]
BatchSize = Annotated[
    int,
    typer.Option(
        "--batch-size",
        min=1,
        help="Pictures of one padded size that go through the network at once; on a CPU it pays for small models "
        "alone.",
    ),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first so many pictures.")]
Root = Annotated[
    Path | None, typer.Option("--root", help="Where the data set of that name lies: its folder or the one around it.")
]
DataSplit = Annotated[
    str | None, typer.Option("--split", help="Of the data set: val if not given; test of drawn data.")
]
CrowdsAsThings = Annotated[
    bool, typer.Option(help="Take listed crowds for things: some tools mark all that was drawn with a brush so.")
]
OfficialConfig = Annotated[
    Path,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The official configuration as JSON, held against the checkpoint; published settings if not given.",
    ),
]
Reference = Annotated[
    Path,
    typer.Option(
        "--verify",
        metavar="REFERENCE",
        help="A .safetensors of the official program's inputs and outputs to hold the model against.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON, figures as fractions.")]


def how(**about: Any) -> Any:
    """An option that stands under `HOW` in the help."""
    return typer.Option(rich_help_panel=HOW, **about)


@dataclass(frozen=True, kw_only=True)
class CropOptions:
    """How an OVSeg shows proposals to CLIP; None leaves the model's own value."""

    region_threshold: Annotated[float | None, how(min=0, max=1)] = None
    """OVSeg: mask probability above which a pixel belongs to a crop; results are sensitive to it. The model's own if
    not given: 0.4 as in the official evaluation, whose demo takes 0.35."""
    crops_per_pass: Annotated[int | None, how(min=1)] = None
    """OVSeg: crops that go through CLIP at once; more may be faster on a GPU, and need more memory."""


Side = Annotated[int, how(min=32, max=16_384)]


@dataclass(frozen=True, kw_only=True)
class SideOptions:
    """How large pictures are made; None leaves the model's own sides."""

    shortest_side: Side | None = None
    """Pixels of the shorter side of pictures; the model's own if not given."""
    longest_side: Side | None = None
    """Pixels of the longer side, or the most it may have beside --shortest-side; the model's own if not given."""


@dataclass(frozen=True, kw_only=True)
class InferenceOptions(CropOptions, SideOptions):
    """How a model is asked; None leaves the model's own value.

    Raises:
        UsageError: if two ways to weigh CLIP were asked for at once.
    """

    model: ModelName = "storybook"
    device: Device = "auto"
    precision: Precision = "float32"
    compile: Compile = False
    score_threshold: Annotated[float | None, how(min=0, max=1)] = None
    """Leave out segments with a lower score; the model's own if not given: for the shipped OPSNet 0.2 in segment, 0.05
    in evaluate."""
    negatives: Negatives = True
    alpha: Annotated[float | None, how(min=0)] = None
    """OPSNet, and FC-CLIP in the place of its ensemble: how much CLIP counts, times how far the words are from the
    training words; 0: not at all. The model's own if not given: 2.5 for the shipped one, which gave the best PQ on
    val; 10 in the paper."""
    beta: Annotated[float | None, how(min=0)] = None
    """OPSNet: how much the scores of words far from the training words are raised; 0: not at all. The model's own if
    not given: 0.25 for the shipped one, which gave the best PQ on val; 0.5 in the paper."""
    clip_ratio: Annotated[float | None, how(min=0)] = None
    """OPSNet: a fixed weight of CLIP instead of alpha's, without debiasing unless --beta is given; 0: queries alone."""
    clip_weight: Annotated[float | None, how(min=0, max=1)] = None
    """OVSeg: lambda, CLIP's share in the ensemble; 0: queries alone. FC-CLIP: its exponents of seen and unseen words.
    The model's own if not given."""
    clip_only: Annotated[bool, how()] = False
    """CLIP alone, without void."""
    rank_by: Annotated[RankBy | None, how()] = None
    """Which score ranks the segments; the model's own if not given."""
    min_object: Annotated[float | None, how(min=0, max=1)] = None
    """OVSeg: CLIP looks only at proposals that are an object with this probability; faster, not the same."""

    def __post_init__(self) -> None:
        if len(asked := self.weights_of_clip()) > 1:
            raise UsageError(f"{' and '.join(asked)} each say how much CLIP counts: give one of them.")

    def weights_of_clip(self) -> list[str]:
        """The options given that say how much CLIP counts."""
        return [typed_name(name) for name in given(self, "alpha", "clip_ratio", "clip_weight", "clip_only")]


def given(options: object, *names: str) -> dict[str, Any]:
    """The options of these names that the command has and that were given, by their fields."""
    values = {name: getattr(options, name, None) for name in names}
    return {name: value for name, value in values.items() if value is not None and value is not False}


def read_vocabulary(
    text: str, unmarked: Callable[[tuple[str, ...]], bool] = is_thing, wordnet: Path | None = None
) -> Vocabulary:
    """Reads what stands for a vocabulary: words, a file, or a built-in name.

    Args:
        text: as it was typed.
        unmarked: whether a word is a thing that does not say it; see `Vocabulary.of`.
        wordnet: the folder of a WordNet, from which the words take their places in a taxonomy.

    Raises:
        VocabularyError: if they make no vocabulary.
    """
    is_file = file_mode(Path(text)) != 0 and (Path(text).is_file() or is_wordnet(Path(text)))
    vocabulary = Vocabulary.of(Path(text) if is_file else text, unmarked=unmarked)
    return vocabulary if wordnet is None else with_places(vocabulary, WordNet.read(wordnet))


def read_optional_vocabulary(text: str | None) -> Vocabulary | None:
    """The same, where the option may be left out."""
    return None if text is None else read_vocabulary(text)

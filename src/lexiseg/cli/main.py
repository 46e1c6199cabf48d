"""The command line: what a person types. Bodies lie in `commands_*`, and are imported when they are called."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lexiseg import __version__
from lexiseg.cli import options as opt
from lexiseg.cli.console import fail, note, say
from lexiseg.cli.options import (
    CropOptions,
    Device,
    Inference,
    Precision,
    RoleName,
    SemanticRuleChoice,
    SourceChoice,
    SplitName,
    TaggerChoice,
    TaskChoice,
)
from lexiseg.core.errors import UsageError, VocabularyError

FAILURE, USAGE, INTERRUPTED = 1, 2, 130


class _OneSentence(TyperGroup):
    """Ends every command that fails for a reason with one sentence and an exit code, never with a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; typer's own errors pass through."""
        try:
            return super().invoke(ctx)
        except (VocabularyError, UsageError) as error:
            fail(error)
            raise typer.Exit(USAGE) from error
        except BrokenPipeError:
            raise  # typer ends quietly when the reader of a pipe has gone
        except (ValueError, OSError) as error:
            fail(error)
            raise typer.Exit(FAILURE) from error
        except KeyboardInterrupt as error:
            note("lexiseg: interrupted.")
            raise typer.Exit(INTERRUPTED) from error
        except (MemoryError, RuntimeError) as error:
            is_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
            if not is_memory and "can't allocate memory" not in str(error):  # what torch says on a CPU
                raise
            note("lexiseg: the memory does not suffice; take a smaller picture, fewer words, or --device cpu.")
            raise typer.Exit(FAILURE) from error


app = typer.Typer(
    cls=_OneSentence,
    name="lexiseg",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Segments everything that you can name: a picture and words in, a panoptic map out. "
    "Begin with [bold]lexiseg demo[/bold].",
)


def _show_version(wanted: bool) -> bool:
    """Prints the version and ends, if that was asked for."""
    if wanted:
        say(__version__)
        raise typer.Exit
    return wanted


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Takes the options that stand before any command."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pictures.")] = Path("lexiseg-demo"),
    model: opt.ModelName = "storybook",
    device: opt.DeviceName = Device.auto,
    negatives: opt.Negatives = True,
) -> None:
    """Draw six scenes, find the words in them, and show what was found. Needs no network."""
    from lexiseg.cli.demo import run_demo

    run_demo(out, model, device.value, negatives=negatives)


@app.command()
def segment(
    pictures: Annotated[list[str], typer.Argument(metavar="PICTURE...", help="Files, folders and patterns.")],
    vocabulary: opt.VocabularyOption,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for overlays, id PNGs and panoptic.json.")],
    model: opt.ModelName = "storybook",
    device: opt.DeviceName = Device.auto,
    score_threshold: opt.ScoreThreshold = None,
    negatives: opt.Negatives = True,
    alpha: opt.Alpha = None,
    beta: opt.Beta = None,
    clip_ratio: opt.ClipRatio = None,
    clip_weight: opt.ClipWeight = None,
    clip_only: opt.ClipOnly = False,
    rank_by: opt.RankBy = None,
    region_threshold: opt.RegionThreshold = None,
    min_object: opt.MinObject = None,
    crops_per_pass: opt.CropsPerPass = None,
    best_only: opt.BestOnly = False,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON per picture on stdout.")] = False,
) -> None:
    """Find the words in pictures: an overlay, a COCO panoptic PNG and one JSON for all."""
    from lexiseg.cli.segment import run_segment

    how = Inference(
        model=model,
        device=device.value,
        negatives=negatives,
        score_threshold=score_threshold,
        alpha=alpha,
        beta=beta,
        clip_ratio=clip_ratio,
        clip_weight=clip_weight,
        clip_only=clip_only,
        rank_by=rank_by.value if rank_by else None,
        regions=CropOptions(region_threshold=region_threshold, min_object=min_object, crops_per_pass=crops_per_pass),
        best_only=best_only,
    )
    raise typer.Exit(run_segment(pictures, vocabulary, how, out, as_json=as_json))


@app.command()
def evaluate(
    data: Annotated[
        str,
        typer.Option(
            "--data",
            "-d",
            metavar="DIR|NAME",
            help="A folder with a data set; a name that 'lexiseg data list' shows, with --root; or storybook, "
            "storybook-novel, storybook-dusk, storybook-semantic or storybook-part, which are drawn.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the report, and for drawn pictures.")],
    root: opt.Root = None,
    model: opt.ModelName = "storybook",
    vocabulary: Annotated[
        str | None,
        typer.Option("--vocabulary", "-v", metavar="TEXT|FILE|NAME", help="The data set's own words if not given."),
    ] = None,
    task: Annotated[
        TaskChoice | None, typer.Option("--task", help="What is measured; what the data are made for if not given.")
    ] = None,
    semantic_rule: Annotated[
        SemanticRuleChoice | None,
        typer.Option(
            "--semantic-rule", help="Merge the panoptic map by class (OPSNet's own), or sum soft masks (OVSeg's own)."
        ),
    ] = None,
    split: opt.DataSplit = None,
    count: Annotated[int, typer.Option("--count", min=1, help="Pictures of drawn data.")] = 200,
    seed: opt.Seed = 0,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first so many pictures.")] = None,
    diagnose: Annotated[
        bool, typer.Option("--diagnose", help="Replace parts of the model by truth and say what each costs.")
    ] = False,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Processes that read pictures ahead.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted evaluation stopped.")] = False,
    device: opt.DeviceName = Device.auto,
    score_threshold: opt.ScoreThreshold = None,
    negatives: opt.Negatives = False,
    alpha: opt.Alpha = None,
    beta: opt.Beta = None,
    clip_ratio: opt.ClipRatio = None,
    clip_weight: opt.ClipWeight = None,
    clip_only: opt.ClipOnly = False,
    rank_by: opt.RankBy = None,
    region_threshold: opt.RegionThreshold = None,
    min_object: opt.MinObject = None,
    crops_per_pass: opt.CropsPerPass = None,
) -> None:
    """Measure a model on a data set by the official rules; under torchrun, by several processes."""
    from lexiseg.cli.evaluate import Data, Measured, run_evaluate

    how = Inference(
        model=model,
        device=device.value,
        negatives=negatives,
        score_threshold=score_threshold,
        alpha=alpha,
        beta=beta,
        clip_ratio=clip_ratio,
        clip_weight=clip_weight,
        clip_only=clip_only,
        rank_by=rank_by.value if rank_by else None,
        regions=CropOptions(region_threshold=region_threshold, min_object=min_object, crops_per_pass=crops_per_pass),
    )
    pictures = Data(name=data, root=root, split=split, count=count, seed=seed, limit=limit)
    measured = Measured(
        task=task.value if task else None,
        semantic_rule=semantic_rule.value if semantic_rule else None,
        diagnose=diagnose,
    )
    raise typer.Exit(run_evaluate(pictures, vocabulary, how, measured, out, workers=workers, resume=resume))


@app.command()
def mine(
    data: Annotated[
        str,
        typer.Option(
            "--data",
            "-d",
            metavar="DIR|NAME",
            help="A folder with a data set; a name that 'lexiseg data list' shows, with --root; or storybook, which is "
            "drawn.",
        ),
    ],
    model: opt.ModelName,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pairs, and for drawn pictures.")],
    captions: Annotated[
        Path | None,
        typer.Option(
            "--captions",
            metavar="FILE",
            help="COCO's captions, a .tsv of file names and captions, or a .jsonl; the data set's own if not given.",
        ),
    ] = None,
    source: Annotated[
        SourceChoice,
        typer.Option("--source", help="True masks with their labels or with nouns, or proposed masks with nouns."),
    ] = SourceChoice.proposals,
    captions_per_picture: Annotated[
        int | None,
        typer.Option("--captions-per-picture", min=1, help="How many are read, from the first on; 1 if not given."),
    ] = None,
    words: Annotated[
        str | None,
        typer.Option(
            "--words",
            metavar="TEXT|FILE|NAME",
            help="Names to look for in captions, of several words too; the data set's own if not given.",
        ),
    ] = None,
    tagger: Annotated[
        TaggerChoice | None,
        typer.Option("--tagger", help="What finds the other nouns, textblob if not given; none: the words alone."),
    ] = None,
    root: opt.Root = None,
    role: Annotated[RoleName | None, typer.Option("--role", help="Of drawn data: base if not given.")] = None,
    split: Annotated[str | None, typer.Option("--split", help="Of the data set: train if not given.")] = None,
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="Pictures of drawn data: 200 if not given.")
    ] = None,
    seed: opt.Seed = 0,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first so many pictures.")] = None,
    clip: Annotated[
        str | None,
        typer.Option(
            "--clip",
            metavar="DIR|FILE",
            help="The CLIP that pairs, such as the original one of a model whose own is adapted; the model's own if "
            "not given.",
        ),
    ] = None,
    region_threshold: opt.RegionThreshold = None,
    crops_per_pass: opt.CropsPerPass = None,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Processes that read pictures ahead.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")] = False,
    overwrite: opt.Overwrite = False,
    device: opt.DeviceName = Device.auto,
) -> None:
    """Mine pairs of masked crops and words from pictures with captions, to adapt a CLIP (OVSeg)."""
    from lexiseg.cli.mine import Cutting, Finding, MiningData, run_mine

    cutting = Cutting(
        model=model,
        device=device.value,
        clip=clip,
        regions=CropOptions(region_threshold=region_threshold, crops_per_pass=crops_per_pass),
    )

    pictures = MiningData(
        name=data, root=root, split=split, limit=limit, role=role.value if role else None, count=count, seed=seed
    )
    finding = Finding(
        captions=captions,
        captions_per_picture=captions_per_picture,
        words=words,
        tagger=tagger.value if tagger else None,
    )
    raise typer.Exit(
        run_mine(
            cutting,
            pictures,
            finding,
            source.value,
            out,
            workers=workers,
            resume=resume,
            overwrite=overwrite,
        )
    )


@app.command()
def storybook(
    out: Annotated[Path, typer.Option("--out", "-o", help="A new or empty folder.")],
    role: Annotated[RoleName, typer.Option("--role", help="Whose names appear.")] = RoleName.base,
    split: Annotated[SplitName, typer.Option("--split", help="No two share a picture.")] = SplitName.train,
    count: Annotated[int, typer.Option("--count", min=1, help="Pictures.")] = 200,
    seed: opt.Seed = 0,
    size: Annotated[str, typer.Option("--size", metavar="SIDE|WIDTHxHEIGHT", help="Pixels.")] = "160",
    vocabulary: Annotated[
        str | None,
        typer.Option(
            "--vocabulary",
            "-v",
            metavar="TEXT|FILE|NAME",
            help="Names to annotate, such as storybook-part, which leaves a fifth of base out; all others are void. "
            "The role's own names if not given.",
        ),
    ] = None,
    workers: opt.Workers = 1,
    overwrite: opt.Overwrite = False,
) -> None:
    """Draw a data set in COCO panoptic format."""
    from lexiseg.cli.data import run_storybook

    run_storybook(
        out,
        role.value,
        split.value,
        count=count,
        seed=seed,
        size=size,
        vocabulary=vocabulary,
        workers=workers,
        overwrite=overwrite,
    )


@app.command()
def vocabulary(
    words: Annotated[str, typer.Argument(metavar="TEXT|FILE|NAME", help='Such as "cat|kitten, dog, sky:stuff".')],
) -> None:
    """Show how words are understood: names, synonyms, thing or stuff."""
    from lexiseg.cli.data import run_vocabulary

    run_vocabulary(words)


@app.command()
def assemble(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A Mask2Former in transformers' layout.")],
    clip: Annotated[str, typer.Option("--clip", metavar="MODEL", help="open_clip's name, such as RN50-quickgelu.")],
    clip_weights: Annotated[Path, typer.Option("--clip-weights", metavar="FILE", help="An open_clip checkpoint.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model folder to make.")],
    vocabulary: Annotated[
        str | None,
        typer.Option(
            "--vocabulary",
            "-v",
            metavar="TEXT|FILE|NAME",
            help="Names of the classes in order; the folder's own if not given.",
        ),
    ] = None,
    longest_side: Annotated[int, typer.Option("--longest-side", min=32, help="Pixels to resize pictures to.")] = 640,
    overwrite: opt.Overwrite = False,
) -> None:
    """Join a published Mask2Former and a CLIP to an open-vocabulary model, without training."""
    from lexiseg.cli.train import run_assemble

    run_assemble(folder, clip, clip_weights, out, vocabulary=vocabulary, longest_side=longest_side, overwrite=overwrite)


score = typer.Typer(no_args_is_help=True, help="Score finished predictions: files against files.")
app.add_typer(score, name="score")


@score.command("panoptic")
def score_panoptic(
    truth: Annotated[Path, typer.Option("--ground-truth", help="JSON of the truth, in COCO panoptic format.")],
    predicted: Annotated[Path, typer.Option("--prediction", help="JSON of the predictions.")],
    truth_folder: Annotated[
        Path | None, typer.Option("--ground-truth-folder", help="Id PNGs; the JSON's name without .json if not given.")
    ] = None,
    predicted_folder: Annotated[
        Path | None, typer.Option("--prediction-folder", help="Id PNGs of the predictions, likewise.")
    ] = None,
    workers: opt.Workers = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print fractions as JSON.")] = False,
) -> None:
    """Panoptic quality, digit for digit that of COCO's official evaluator."""
    from lexiseg.cli.score import run_score_panoptic

    run_score_panoptic(truth, predicted, truth_folder, predicted_folder, workers, as_json=as_json)


@score.command("semantic")
def score_semantic(
    truth: Annotated[Path, typer.Option("--ground-truth-folder", help="True label maps, one value per pixel.")],
    predicted: Annotated[Path, typer.Option("--prediction-folder", help="Predicted ones, by the same names.")],
    vocabulary: opt.VocabularyOption,
    unseen: Annotated[
        str | None,
        typer.Option("--unseen", metavar="TEXT|FILE|NAME", help="Classes that training has not seen, for hIoU."),
    ] = None,
    first: Annotated[int, typer.Option("--first", min=0, help="Value of the first class; 1 for ADE20K.")] = 0,
    ignored: Annotated[
        int, typer.Option("--ignore", help="True pixels of this value do not count; predicted ones have no class.")
    ] = 255,
    workers: opt.Workers = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print fractions as JSON.")] = False,
) -> None:
    """Mean IoU, frequency-weighted IoU, pixel accuracy; with --unseen also hIoU."""
    from lexiseg.cli.score import run_score_semantic
    from lexiseg.cli.words import read_words

    run_score_semantic(
        truth,
        predicted,
        read_words(vocabulary),
        None if unseen is None else read_words(unseen),
        first=first,
        ignored=ignored,
        workers=workers,
        as_json=as_json,
    )


import_app = typer.Typer(no_args_is_help=True, help="Turn published weights into model folders.")
app.add_typer(import_app, name="import")


@import_app.command("ovseg")
def import_ovseg(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A .pth of OVSeg, or .safetensors.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model folder to make.")],
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="The official configuration as JSON; the published one for the checkpoint's backbone if not given.",
        ),
    ] = None,
    vocabulary: Annotated[
        str | None,
        typer.Option(
            "--vocabulary",
            "-v",
            metavar="TEXT|FILE|NAME",
            help="Names of the classes that it was trained on; coco-stuff if not given.",
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            "--verify",
            metavar="REFERENCE",
            help="A .safetensors of the official program's inputs and outputs to hold the model against.",
        ),
    ] = None,
    overwrite: opt.Overwrite = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Import an official OVSeg checkpoint."""
    from lexiseg.cli.import_weights import run_import_ovseg

    raise typer.Exit(
        run_import_ovseg(
            checkpoint,
            out,
            config=config,
            vocabulary=vocabulary,
            reference=reference,
            overwrite=overwrite,
            as_json=as_json,
        )
    )


@import_app.command("clip")
def import_clip(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An open_clip state dict of a ViT, or mask prompts.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to make.")],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="DIR|NAME", help="An OVSeg that is to get this CLIP; the folder is its."),
    ] = None,
    quick_gelu: Annotated[
        bool,
        typer.Option("--quick-gelu/--no-quick-gelu", help="How the weights were trained; OpenAI's with QuickGELU."),
    ] = True,
    overwrite: opt.Overwrite = False,
) -> None:
    """Import a CLIP that was adapted to masked crops, or its mask prompts alone."""
    from lexiseg.cli.import_weights import run_import_clip

    run_import_clip(file, out, model=model, quick_gelu=quick_gelu, overwrite=overwrite)


data_app = typer.Typer(no_args_is_help=True, help="The data sets that are known by name.")
app.add_typer(data_app, name="data")


@data_app.command("list")
def data_list(
    root: Annotated[Path | None, typer.Option("--root", help="Where data sets lie: says which are there.")] = None,
) -> None:
    """Show every data set, with its task, words and splits."""
    from lexiseg.cli.data import run_list

    run_list(root)


@data_app.command("check")
def data_check(
    name: Annotated[str, typer.Argument(metavar="NAME|DIR", help="A name that 'list' shows, or your own folder.")],
    root: opt.Root = None,
    split: opt.DataSplit = None,
    every: Annotated[bool, typer.Option("--all", help="Open every picture, not a few of them.")] = False,
    workers: opt.Workers = 1,
) -> None:
    """Tell what is there, what is missing and where to get it, and the first broken files."""
    from lexiseg.cli.data import run_check

    raise typer.Exit(run_check(name, root, split=split, every=every, workers=workers))


@data_app.command("prepare")
def data_prepare(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that 'list' shows.")],
    root: opt.Root = None,
    split: opt.DataSplit = None,
    workers: opt.Workers = 1,
) -> None:
    """Make the files that a data set needs beside the published ones; a second call goes on where one stopped."""
    from lexiseg.cli.data import run_prepare

    run_prepare(name, root, split=split, workers=workers)


@app.command()
def train(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME|FILE.py:FUNCTION", help="A recipe; --list shows them. Or one of your own."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the run.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a run in this folder stopped.")] = False,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            "-d",
            metavar="DIR|NAME",
            help="A data set instead of the recipe's pictures: a folder, or with --root a name that 'lexiseg data "
            "list' shows; for adaptations, pairs from 'lexiseg mine', several times to join them.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="For an OPSNet+, pictures with labels and no masks, instead of the recipe's."),
    ] = None,
    vocabulary: Annotated[
        str | None,
        typer.Option(
            "--vocabulary",
            "-v",
            metavar="TEXT|FILE|NAME",
            help="For finetune, words and synonyms for the data's categories; their own names if not given.",
        ),
    ] = None,
    old_data: Annotated[
        Path | None,
        typer.Option(
            "--old-data",
            metavar="DIR|storybook",
            help="For finetune, pictures of what the model knows: they are mixed in so that it forgets nothing.",
        ),
    ] = None,
    root: opt.Root = None,
    clip: Annotated[
        str | None,
        typer.Option(
            "--clip",
            metavar="DIR|FILE|NAME",
            help="A CLIP folder, ours or open_clip's, its weights, or a model that has one; recipes that begin an "
            "OPSNet or OVSeg need it, and an OPSNet given as --start takes over one that was grounded.",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--start",
            "--model",
            "-m",
            metavar="DIR|NAME",
            help="What to go on from: OPSNet, OVSeg, Mask2Former, or a backbone alone; for adaptations, a CLIP or an "
            "OVSeg; for clip-tiny-words, a CLIP or an OPSNet.",
        ),
    ] = None,
    prompt: Annotated[
        Path | None, typer.Option("--prompt", help="The folder of a learned prompt; SimBaseline needs it.")
    ] = None,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Random weights for what is not given, to try or time a training.")
    ] = False,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Other than the recipe's; not for a CLIP.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", min=1, help="Other than the recipe's; rate and steps stay as they are."),
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", min=0, help="Learning rate other than the recipe's.")] = None,
    precision: Annotated[
        Precision | None,
        typer.Option("--precision", help="What a segmenter computes in, bf16 if not given; float32 where that lacks."),
    ] = None,
    device: opt.DeviceName = Device.auto,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of initial weights, order and augmentation.")] = 0,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Processes that prepare batches.")] = 1,
    val: Annotated[
        Path | None,
        typer.Option(
            "--val", help="A data set on which the model is measured ten times; the best checkpoint is kept beside."
        ),
    ] = None,
    accumulate: Annotated[
        int, typer.Option("--accumulate", min=1, help="Take every batch in so many slices, to need less memory.")
    ] = 1,
    ema: Annotated[
        float | None,
        typer.Option("--ema", metavar="DECAY", help="Make the model of averaged weights; 0.9999 for long runs."),
    ] = None,
    fsdp: Annotated[
        bool, typer.Option("--fsdp", help="Under torchrun, share weights, gradients and optimiser among processes.")
    ] = False,
    checkpointing: Annotated[
        bool,
        typer.Option("--checkpointing", help="Compute activations twice: less memory for a third more time."),
    ] = False,
    list_recipes: Annotated[bool, typer.Option("--list", help="Show the recipes.")] = False,
    show_only: Annotated[
        bool, typer.Option("--show", help="Show all of a recipe, its parameters and what memory it takes.")
    ] = False,
    check_only: Annotated[
        bool, typer.Option("--check", help="Tell what is wrong with data and weights; train nothing.")
    ] = False,
) -> None:
    """Train a model by a recipe; under torchrun, by several processes that share every batch."""
    from lexiseg.cli.train import run_train

    code = run_train(
        name,
        out,
        resume=resume,
        data=tuple(data or ()),
        labels=labels,
        vocabulary=vocabulary,
        old_data=old_data,
        root=root,
        clip=clip,
        start=start,
        prompt=prompt,
        from_scratch=from_scratch,
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        precision=None if precision is None else precision.value,
        device=device.value,
        seed=seed,
        workers=workers,
        val=val,
        accumulate=accumulate,
        ema=ema,
        fsdp=fsdp,
        checkpointing=checkpointing,
        list_recipes=list_recipes,
        show_only=show_only,
        check_only=check_only,
    )
    raise typer.Exit(code)


def main() -> None:
    """Runs the command line."""
    app()

"""The command line: every command, what it takes, and where its body lies, which is imported when it is called."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lexiseg import __version__
from lexiseg.cli.command import command
from lexiseg.cli.console import fail, note, say
from lexiseg.cli.options.data import (
    DataCheckOptions,
    DataListOptions,
    DataPrepareOptions,
    StorybookOptions,
    VocabularyOptions,
)
from lexiseg.cli.options.evaluate import EvaluateOptions, ScorePanopticOptions, ScoreSemanticOptions
from lexiseg.cli.options.mine import MineOptions
from lexiseg.cli.options.segment import DemoOptions, SegmentOptions
from lexiseg.cli.options.train import TrainOptions
from lexiseg.cli.options.weights import AssembleOptions, ImportClipOptions, ImportModelOptions
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


score = typer.Typer(no_args_is_help=True, help="Score finished predictions: files against files.")
imports = typer.Typer(no_args_is_help=True, help="Turn published weights into model folders.")
data = typer.Typer(no_args_is_help=True, help="The data sets that are known by name.")
for group, name in ((score, "score"), (imports, "import"), (data, "data")):
    app.add_typer(group, name=name)


@command(app)
def demo(options: DemoOptions) -> None:
    """Draw six scenes, find the words in them, and show what was found. Needs no network."""
    from lexiseg.cli.demo import run_demo

    run_demo(options)


@command(app)
def segment(options: SegmentOptions) -> int:
    """Find the words in pictures: an overlay, a COCO panoptic PNG and one JSON for all."""
    from lexiseg.cli.segment import run_segment

    return run_segment(options)


@command(app)
def evaluate(options: EvaluateOptions) -> int:
    """Measure a model on a data set by the official rules; under torchrun, by several processes."""
    from lexiseg.cli.evaluate import run_evaluate

    return run_evaluate(options)


@command(app)
def mine(options: MineOptions) -> int:
    """Mine pairs of masked crops and words from pictures with captions, to adapt a CLIP (OVSeg)."""
    from lexiseg.cli.mine import run_mine

    return run_mine(options)


@command(app)
def storybook(options: StorybookOptions) -> None:
    """Draw a data set in COCO panoptic format."""
    from lexiseg.cli.data import run_storybook

    run_storybook(options)


@command(app)
def vocabulary(options: VocabularyOptions) -> None:
    """Show how words are understood: names, synonyms, thing or stuff."""
    from lexiseg.cli.data import run_vocabulary

    run_vocabulary(options)


@command(app)
def assemble(options: AssembleOptions) -> None:
    """Join a published Mask2Former and a CLIP to an open-vocabulary model, without training."""
    from lexiseg.cli.assemble import run_assemble

    run_assemble(options)


@command(app)
def train(options: TrainOptions) -> int:
    """Train a model by a recipe; under torchrun, by several processes that share every batch."""
    from lexiseg.cli.train import run_train

    return run_train(options)


@command(score, "panoptic")
def score_panoptic(options: ScorePanopticOptions) -> None:
    """Panoptic quality, digit for digit that of COCO's official evaluator."""
    from lexiseg.cli.score import run_score_panoptic

    run_score_panoptic(options)


@command(score, "semantic")
def score_semantic(options: ScoreSemanticOptions) -> None:
    """Mean IoU, frequency-weighted IoU, pixel accuracy; with --unseen also hIoU."""
    from lexiseg.cli.score import run_score_semantic

    run_score_semantic(options)


@command(imports, "ovseg")
def import_ovseg(options: ImportModelOptions) -> int:
    """Import an official OVSeg checkpoint."""
    from lexiseg.cli.import_weights import run_import_ovseg

    return run_import_ovseg(options)


@command(imports, "clip")
def import_clip(options: ImportClipOptions) -> None:
    """Import a CLIP that was adapted to masked crops, or its mask prompts alone."""
    from lexiseg.cli.import_weights import run_import_clip

    run_import_clip(options)


@command(data, "list")
def data_list(options: DataListOptions) -> None:
    """Show every data set, with its task, words and splits."""
    from lexiseg.cli.data import run_list

    run_list(options)


@command(data, "check")
def data_check(options: DataCheckOptions) -> int:
    """Tell what is there, what is missing and where to get it, and the first broken files."""
    from lexiseg.cli.data import run_check

    return run_check(options)


@command(data, "prepare")
def data_prepare(options: DataPrepareOptions) -> None:
    """Make the files that a data set needs beside the published ones; a second call goes on where one stopped."""
    from lexiseg.cli.data import run_prepare

    run_prepare(options)


def main() -> None:
    """Runs the command line."""
    app()

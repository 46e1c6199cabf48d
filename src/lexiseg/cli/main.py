"""The command line: every command, what it takes, and where its body lies, which is imported when it is called.

To add one: a dataclass of its options in `options/`, a body in a file here, and a line in the table `COMMANDS`.
"""

import atexit
import gc
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lexiseg import __version__
from lexiseg.cli.command import add_command
from lexiseg.cli.console import FAILURE, INTERRUPTED, USAGE, LogNotes, fail, note, say
from lexiseg.cli.options import data, evaluate, mine, reproduce, segment, serve, train, weights
from lexiseg.core.errors import UsageError, VocabularyError
from lexiseg.core.messages import printable

GROUPS = {
    "score": "Score finished predictions: files against files.",
    "import": "Turn published weights into model folders.",
    "data": "The data sets that are known by name.",
}
"""What the commands of a first word are about."""
COMMANDS: tuple[tuple[str, type[Any], str], ...] = (
    ("demo", segment.DemoOptions, "demo.run_demo"),
    ("segment", segment.SegmentOptions, "segment.run_segment"),
    ("serve", serve.ServeOptions, "serve.run_serve"),
    ("evaluate", evaluate.EvaluateOptions, "evaluate.run_evaluate"),
    ("reproduce", reproduce.ReproduceOptions, "reproduce.run_reproduce"),
    ("mine", mine.MineOptions, "mine.run_mine"),
    ("storybook", data.StorybookOptions, "data.run_storybook"),
    ("vocabulary", data.VocabularyOptions, "data.run_vocabulary"),
    ("models", weights.ModelsOptions, "models.run_models"),
    ("show", weights.ShowOptions, "show.run_show"),
    ("assemble", weights.AssembleOptions, "assemble.run_assemble"),
    ("push", weights.PushOptions, "push.run_push"),
    ("train", train.TrainOptions, "train.run_train"),
    ("finetune", train.FinetuneOptions, "train.run_finetune"),
    ("score panoptic", evaluate.ScorePanopticOptions, "score.run_score_panoptic"),
    ("score semantic", evaluate.ScoreSemanticOptions, "score.run_score_semantic"),
    ("import ovseg", weights.ImportModelOptions, "import_weights.run_import_ovseg"),
    ("import fcclip", weights.ImportFCCLIPOptions, "import_weights.run_import_fcclip"),
    ("import mask2former", weights.ImportMask2FormerOptions, "import_weights.run_import_mask2former"),
    ("import clip", weights.ImportClipOptions, "import_weights.run_import_clip"),
    ("data list", data.DataListOptions, "data.run_list"),
    ("data check", data.DataCheckOptions, "data.run_check"),
    ("data prepare", data.DataPrepareOptions, "data.run_prepare"),
)
"""Every command: what is typed, what it takes, and the function in this folder that runs it."""


class _OneSentence(TyperGroup):
    """Ends every command that fails for a reason with one sentence and an exit code, never with a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; typer's own errors pass through."""
        logging.getLogger("lexiseg").handlers = [LogNotes()]
        try:
            return super().invoke(ctx)
        except (VocabularyError, UsageError) as error:
            fail(error)
            raise typer.Exit(USAGE) from error
        except BrokenPipeError:
            raise  # typer ends quietly when the reader of a pipe has gone
        except (ValueError, OSError) as error:
            fail(_told(error))
            raise typer.Exit(FAILURE) from error
        except KeyboardInterrupt as error:
            note(f"lexiseg: {str(error) or 'interrupted.'}")
            raise typer.Exit(INTERRUPTED) from error
        except (MemoryError, RuntimeError) as error:
            is_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
            if not is_memory and "can't allocate memory" not in str(error):  # what torch says on a CPU
                raise
            note(
                "lexiseg: the memory does not suffice; take smaller pictures or batches, fewer words, or --device cpu."
            )
            raise typer.Exit(FAILURE) from error


def _told(error: ValueError | OSError) -> Exception:
    """The error, in a sentence also where the system has raised it."""
    if not isinstance(error, OSError) or error.strerror is None:
        return error
    what = "something" if error.filename is None else printable(error.filename)
    return ValueError(f"{what} can't be read or written ({error.strerror}); free some space, or name another place.")


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


def _imported_when_run(place: str) -> Callable[[Any], int | None]:
    """A function of this folder by its module and name."""
    module, _, name = place.partition(".")

    def run(options: Any) -> int | None:
        function = getattr(import_module(f"lexiseg.cli.{module}"), name)
        if not gc.isenabled():  # `main` has switched it off
            gc.freeze()
            gc.enable()
        return function(options)

    return run


_groups = {name: typer.Typer(no_args_is_help=True, help=text) for name, text in GROUPS.items()}
for _name, _group in _groups.items():
    app.add_typer(_group, name=_name)
for _name, _options_type, _place in COMMANDS:
    _first, _, _last = _name.rpartition(" ")
    add_command(_groups.get(_first, app), _last, _options_type, _imported_when_run(_place))


def main() -> None:
    """Runs the command line, as all that the process does.

    Torch and its kin are half a million objects that all stay. No garbage is looked for among them while they are
    imported, which would take a fifth of the time; and they are not taken apart at the end, which would take a quarter
    of a second and touch 100 MB of their libraries.
    """
    status = 1

    def leave() -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # of a pipe that nobody reads any more
                stream.flush()
        os._exit(status)

    gc.disable()
    atexit.register(leave)  # the first to be registered is the last to be called
    try:
        app()
        status = 0
    except SystemExit as done:
        status = done.code if isinstance(done.code, int) else int(done.code is not None)
        raise

"""Settings of a run beside its recipe, its reports, and the steps that all trainings have in common."""

import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from torch import nn

from lexiseg.core import processes
from lexiseg.core.devices import has_bf16_units
from lexiseg.core.files import lock
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.training.engine.log import DrawComparison, ReportEvaluation, ReportProgress
from lexiseg.training.engine.task import Task
from lexiseg.training.engine.trainer import EngineConfig, run

Precision = Literal["bf16", "float32"]
"""What the network computes in while it is trained; weights, cosines and losses are float32 under both."""
LOCK_FILE = ".lock"
"""Locked while a training runs in the folder, with the number of its process."""


def computed_in(precision: Precision, device: str) -> Precision:
    """What a precision becomes on a device: a CPU without units for bf16 computes in float32, which is faster there."""
    return precision if has_bf16_units(device) else "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporters:
    """Functions that a training calls while it works."""

    progress: ReportProgress = lambda progress: None
    measured: ReportEvaluation = lambda step, evaluation: None
    """Called with every evaluation on the way."""
    draw: DrawComparison = lambda comparison, path: None
    """Draws what an evaluation shows."""
    drawn: Callable[[int, int], None] = lambda done, total: None
    """Pictures drawn so far, and how many there will be."""
    note: Callable[[str], None] = lambda sentence: None
    """What is worth knowing before the first step, but no reason to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """Settings of a run, beside its recipe."""

    out: Path
    name: str | None = None
    """What the recipe is called, for the model's card; `train` knows it."""
    resume: bool = False
    device: str = "cpu"
    seed: int = 0
    workers: int = 1
    steps: int | None = None
    """Fewer (or more) steps than the recipe; not where phases say how many."""
    batch_size: int | None = None
    """Another batch than the recipe's; nothing else changes with it, and `consequences` says what that means."""
    lr: float | None = None
    """Another learning rate than the recipe's; its schedule and the parts' shares of it stay."""
    precision: Precision | None = None
    """Another than the recipe's, which is bf16; a CPU without units for it computes in float32 by itself."""
    data: tuple[Path, ...] = ()
    """For a segmenter, one data set; if not given, the recipe's pictures are drawn. For an adaptation, one folder of
    pairs or several, which are joined."""
    crowds_as_things: bool = False
    """Takes the crowds of `data` and `val` for things: some tools mark all that was drawn with a brush so."""
    labels: Path | None = None
    """For an OPSNet+, the data set of pictures with labels; if not given, the recipe's are drawn."""
    vocabulary: Vocabulary | None = None
    """For a fine-tuning, the words for the data's categories; their own names if not given."""
    old_data: Path | None = None
    """For a fine-tuning, pictures of what the model knows, to be mixed in; "storybook" draws them."""
    keep: float | None = None
    """For a fine-tuning with old data, the points of 100 that the old words may lose, other than the recipe's."""
    root: Path | None = None
    """Where a data set lies that `data` or `labels` calls by its name in the catalogue."""
    drawn: Path | None = None
    """The folder that holds what recipes draw, once for all of them; `out` if not given."""
    clip: Path | None = None
    """A CLIP folder, ours or open_clip's, or a file of its weights; recipes that begin a whole model need it.
    With an OPSNet as `start`, the CLIP that it takes over: its own one, grounded."""
    start: Path | None = None
    """What a training goes on from: a whole model's folder; a Mask2Former's, of which an OVSeg takes the backbone; a
    backbone's; for an adaptation or a grounding, a CLIP's."""
    from_scratch: bool = False
    """Whatever is not given begins with random weights, a frozen CLIP too: to try or time a training."""
    prompt: Path | None = None
    """The folder of a learned prompt (SimBaseline), for recipes whose model has one."""
    val: Path | None = None
    """A data set on which an OPSNet or OVSeg is measured now and then."""
    engine: EngineConfig = field(default_factory=EngineConfig)
    """How the run is carried out."""


class Recipe:
    """What can be asked of every recipe, beside its fields: a frozen dataclass of all that decides a training."""

    __slots__ = ()

    def build(self) -> nn.Module | None:
        """Its model on torch's current device, such as "meta"; None if what it starts from decides its sizes."""
        return None

    def count_pictures(self) -> int | None:
        """Pictures or pairs that a whole training looks at, repeats included; None if the data decide."""
        own: Any = self
        return None if own.steps is None else own.steps * own.batch_size

    def answers(self) -> dict[str, Any]:
        """Configurations by which the trained model answers and that are no field of the recipe, by their names."""
        return {}


RecipeT = TypeVar("RecipeT", bound=Recipe)


def overridden(recipe: RecipeT, settings: TrainSettings) -> RecipeT:
    """The recipe with what the settings name instead of its own: steps, batch, rate, precision, where it has them."""
    own: Any = recipe
    given = {key: getattr(settings, key) for key in ("steps", "batch_size", "precision")}
    changes = {key: value for key, value in given.items() if value is not None and hasattr(recipe, key)}
    if settings.keep is not None:
        changes["old_tolerance"] = settings.keep / 100
    if settings.lr is not None:
        changes["optim"] = replace(own.optim, lr=settings.lr)
    return replace(own, **changes)


def consequences(recipe: Any, settings: TrainSettings) -> tuple[str, ...]:
    """What other steps and another batch mean, a sentence each: nothing is scaled along with them unasked."""
    now: Any = overridden(recipe, settings)
    sentences = []
    if now == recipe:
        return ()
    if now.batch_size != recipe.batch_size:
        ratio = now.batch_size / recipe.batch_size
        steps = "" if recipe.steps is None else f" --steps {round(recipe.steps / ratio)}"
        sentences.append(
            f"The batch is {now.batch_size} instead of {recipe.batch_size}, and nothing is scaled with it: the rate is "
            f"{now.optim.lr:g}. The linear rule would ask for --lr {recipe.optim.lr * ratio:g}{steps}."
        )
    if now.steps != recipe.steps:
        before = "what its epochs take" if recipe.steps is None else recipe.steps
        sentences.append(
            f"The run takes {now.steps} steps instead of {before}; warm-up and decay have the same shares of it."
        )
    return tuple(sentences)


def run_task(task: Task, settings: TrainSettings, reporters: Reporters, origin: Mapping[str, object]) -> None:
    """Runs or resumes a task; `origin` is all that decides it, but for an average of the weights.

    Raises:
        ValueError: if another training runs in the folder; and as `run` does.
    """
    average = {} if settings.engine.ema_decay is None else {"ema_decay": settings.engine.ema_decay}
    with processes.one_reason(), _alone_in(settings.out):
        run(
            task,
            settings.out,
            origin={**origin, **average},
            resume=settings.resume,
            config=settings.engine,
            report=reporters.progress,
            measured=reporters.measured,
            draw=reporters.draw,
        )


@contextmanager
def _alone_in(out: Path) -> Generator[None, None, None]:
    """Holds the folder of a run, in the first process; file systems without locks are trusted.

    Raises:
        ValueError: if another training holds it.
    """
    held, holder = None, None
    if processes.rank() == 0:
        with suppress(OSError):  # a folder that can't be written is told of by what is written into it
            out.mkdir(parents=True, exist_ok=True)
            held = lock(out / LOCK_FILE)
            if held is None:
                holder = "unknown"  # where the file can't be read
                holder = (out / LOCK_FILE).read_text()
            else:
                os.truncate(held, 0)
                os.write(held, str(os.getpid()).encode())
    try:
        if (pid := processes.gather(holder)[0]) is not None:
            raise ValueError(
                f"another training runs in {out} (process {pid}): wait for its end, stop it, or choose another --out."
            )
        yield
    finally:
        if held is not None:
            os.close(held)


def model_folder(settings: TrainSettings) -> Path:
    """Where a finished training leaves what it made."""
    return settings.out / "model"


def write_model(settings: TrainSettings, write: Callable[[Path], object]) -> Path:
    """Lets the first process write what was made, while the others wait; returns its folder."""
    folder = model_folder(settings)
    if processes.rank() == 0:
        write(folder)
    processes.gather(None)
    return folder

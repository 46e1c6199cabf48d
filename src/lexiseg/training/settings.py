"""What a training is told beside its recipe, what it tells while it works, and the steps that all have in common."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lexiseg.core import processes
from lexiseg.training.journal import Draw, Report
from lexiseg.training.tasks import Task
from lexiseg.training.trainer import EngineConfig, run


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporters:
    """What a training tells while it works."""

    progress: Report = lambda progress: None
    draw: Draw = lambda scene, path: None
    """Draws what an evaluation shows."""
    drawn: Callable[[int, int], None] = lambda done, total: None
    """Pictures drawn so far, and how many there will be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """The few things that a training may be told beside its recipe."""

    out: Path
    resume: bool = False
    device: str = "cpu"
    seed: int = 0
    workers: int = 1
    steps: int | None = None
    """Fewer (or more) steps than the recipe; not for a CLIP from nothing, whose phases say how many."""
    data: tuple[Path, ...] = ()
    """For a segmenter, one data set; if not given, the recipe's pictures are drawn. For an adaptation, one folder of
    pairs or several, which are joined."""
    root: Path | None = None
    """Where a data set lies that `data` calls by its name in the catalogue; an OVSeg may learn from those."""
    drawn: Path | None = None
    """The folder that holds what recipes draw, once for all of them; `out` if not given."""
    clip: Path | None = None
    """A CLIP folder; recipes that begin a whole model need it."""
    start: Path | None = None
    """What a training goes on from: a whole model's folder; a Mask2Former's, of which an OVSeg takes the backbone; for
    an adaptation, a CLIP's."""
    prompt: Path | None = None
    """The folder of a learned prompt (SimBaseline), for recipes whose model has one."""
    val: Path | None = None
    """A data set on which an OPSNet or OVSeg is measured now and then."""
    engine: EngineConfig = field(default_factory=EngineConfig)
    """How the run is carried out."""


def run_task(task: Task, settings: TrainSettings, reporters: Reporters, origin: Mapping[str, object]) -> None:
    """Runs or resumes a task; `origin` is all that decides it, but for an average of the weights."""
    average = {} if settings.engine.ema_decay is None else {"ema_decay": settings.engine.ema_decay}
    run(
        task,
        settings.out,
        origin={**origin, **average},
        resume=settings.resume,
        config=settings.engine,
        report=reporters.progress,
        draw=reporters.draw,
    )


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

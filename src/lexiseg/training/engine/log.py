"""The log of a run: lines of JSON, TensorBoard, pictures of evaluations, a curve of the loss; and its speed."""

import importlib.util
import json
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lexiseg.core import processes
from lexiseg.core.errors import ModelError
from lexiseg.core.files import replacing, write_atomically, writing
from lexiseg.evaluation.evaluator import Comparison
from lexiseg.training.engine.plot import plot_losses
from lexiseg.training.engine.task import Evaluation

LOG_EVERY = 20
LOG_FILE = "log.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """Where a run stands."""

    step: int
    total_steps: int
    loss: float
    terms: Mapping[str, float]
    lr: float
    gradient_norm: float
    """L2, before it is clipped."""
    images_per_second: float
    """Of all processes together."""
    waiting: float
    """Share of the time in which the first process waited for data."""
    peak_memory: int
    """Bytes that the first process held at most: on a GPU, of its memory."""
    seconds_left: float


ReportProgress = Callable[[TrainingProgress], None]
ReportEvaluation = Callable[[int, Evaluation], None]
"""Called with the step after which a model was measured, and what was found."""
DrawComparison = Callable[[Comparison, Path], None]
"""Draws a picture with truth and prediction to a file."""


class RunLog:
    """The log of one run, written by the first process alone."""

    def __init__(
        self,
        folder: Path,
        *,
        start: int,
        total_steps: int,
        device: str,
        report: ReportProgress,
        measured: ReportEvaluation,
        draw: DrawComparison,
    ) -> None:
        """Opens the log; lines of steps that are to be run again are taken out.

        Args:
            folder: of the run.
            start: step to go on from.
            total_steps: of the whole run.
            device: whose memory is watched.
            report: called with every progress.
            measured: called with every evaluation.
            draw: draws the comparisons of evaluations.

        Raises:
            ModelError: if the folder can't be written.
        """
        self._folder, self._total_steps, self._device = folder, total_steps, device
        self._report, self._measured, self._draw = report, measured, draw
        self._is_first = processes.rank() == 0
        self._window = _Window()
        self._tensorboard: Any = None
        if not self._is_first:
            return
        path = folder / LOG_FILE
        with writing(path):
            lines = path.read_text().splitlines(keepends=True) if path.exists() else []
            write_atomically(path, "".join(line for line in lines if _step_of(line) <= start), ModelError)
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._tensorboard = SummaryWriter(folder / "tensorboard", purge_step=start)

    @contextmanager
    def waiting(self) -> Generator[None, None, None]:
        """Counts what is done within as waiting for data."""
        began = time.monotonic()
        yield
        self._window.waited += time.monotonic() - began

    @contextmanager
    def pausing(self) -> Generator[None, None, None]:
        """Leaves what is done within, such as an evaluation, out of all rates."""
        began = time.monotonic()
        yield
        self._window.began += time.monotonic() - began

    def step(
        self, step: int, terms: Mapping[str, float], *, lr: float, gradient_norm: float, pictures: int, is_last: bool
    ) -> None:
        """Counts a finished step, and logs every twentieth and the last."""
        window = self._window
        window.pictures += pictures
        window.steps += 1
        if step % LOG_EVERY and not is_last:
            return
        elapsed = max(time.monotonic() - window.began, 1e-9)
        progress = TrainingProgress(
            step=step,
            total_steps=self._total_steps,
            loss=sum(terms.values()),
            terms=terms,
            lr=lr,
            gradient_norm=gradient_norm,
            images_per_second=window.pictures / elapsed,
            waiting=min(1.0, window.waited / elapsed),
            peak_memory=peak_memory(self._device),
            seconds_left=elapsed / window.steps * (self._total_steps - step),
        )
        self._window = _Window()
        if not self._is_first:
            return
        self._write(
            step,
            {
                "loss": round(progress.loss, 5),
                **{name: round(value, 5) for name, value in terms.items()},
                "lr": lr,
                "gradient_norm": round(gradient_norm, 5),
                "images_per_second": round(progress.images_per_second, 2),
                "waiting": round(progress.waiting, 3),
                "peak_memory_mb": round(progress.peak_memory / 2**20),
            },
        )
        self._report(progress)

    def evaluation(self, step: int, evaluation: Evaluation) -> None:
        """Logs an evaluation, and draws its comparisons."""
        if not self._is_first:
            return
        self._measured(step, evaluation)
        self._write(step, {f"val_{name}": round(value, 5) for name, value in evaluation.figures.items()})
        with writing(self._folder):
            folder = self._folder / "predictions"
            folder.mkdir(exist_ok=True)
            for number, comparison in enumerate(evaluation.comparisons, start=1):
                self._draw(comparison, folder / f"{number}-step-{step:07d}.png")

    def finish(self) -> None:
        """Draws the curve of the whole run."""
        if self._is_first:
            with replacing(self._folder / "loss.png") as hidden:
                lines = [json.loads(line) for line in (self._folder / LOG_FILE).read_text().splitlines()]
                plot_losses(lines).save(hidden, format="PNG")

    def _write(self, step: int, figures: Mapping[str, float]) -> None:
        with writing(self._folder / LOG_FILE), (self._folder / LOG_FILE).open("a") as log:
            log.write(json.dumps({"step": step, **figures}) + "\n")
        if self._tensorboard is not None:
            for name, value in figures.items():
                self._tensorboard.add_scalar(name, value, step)
            self._tensorboard.flush()


class _Window:
    """What happened since the last line."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.waited = 0.0
        self.pictures = self.steps = 0


def _step_of(line: str) -> float:
    """The step of a line of the log; of one that was cut off, none that was reached."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return float("inf")


def peak_memory(device: str) -> int:
    """Bytes that this process held at most, on a GPU or in the machine's memory; 0 where nobody counts them."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

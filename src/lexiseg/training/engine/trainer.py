"""The loop: one readable loop for every recipe, in one process or many; resumable, atomic, logged."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from torch import nn

from lexiseg.core import processes
from lexiseg.core.errors import ModelError
from lexiseg.core.files import write_atomically
from lexiseg.training.engine.checkpoints import Checkpoints, restore_optimizer, restore_weights, trained_state
from lexiseg.training.engine.ema import EMA
from lexiseg.training.engine.log import DrawComparison, ReportEvaluation, ReportProgress, RunLog
from lexiseg.training.engine.microbatches import BatchSplit
from lexiseg.training.engine.parallel import ParallelModule, Sharding, checkpoint_activations, share_batch_norms, whole
from lexiseg.training.engine.task import EvaluatedTask, SharedTask, Task

SAVE_EVERY_SECONDS = 240.0
EVALUATIONS = 10
"""Evaluations of a run, unless it says how often."""
NOT_FINITE_FILE = "not-finite.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """How a run is carried out. But for the average, none of it changes what is learned."""

    accumulate: int = 1
    """Slices in which each process takes its share of a batch, one after the other, to need less memory."""
    sharding: Sharding = "ddp"
    """What several processes share: "ddp" the work, "fsdp2" weights, gradients and optimiser as well."""
    activation_checkpointing: bool = False
    """Computes every block again in the backward pass: less memory for about a third more time."""
    ema_decay: float | None = None
    """The model that is made and evaluated is an average of the weights with this decay per step; None: the last."""
    checkpoints_kept: int = 2
    """Newest checkpoints that are kept, beside the best."""
    evaluate_every: int | None = None
    """Steps between evaluations, where the task has any; None: a tenth of the run."""
    patience: int | None = None
    """Evaluations in a row without a better one after which a run ends before its last step; None: never."""

    def __post_init__(self) -> None:
        counted = self.accumulate, self.checkpoints_kept, self.evaluate_every, self.patience
        counts = [count for count in counted if count is not None]
        if min(counts) < 1:
            raise ValueError(
                f"accumulate, checkpoints_kept, evaluate_every and patience must be 1 or more, got {counts}."
            )
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"ema_decay must lie between 0 and 1, such as 0.9999, got {self.ema_decay}.")
        if self.sharding not in ("ddp", "fsdp2"):
            raise ValueError(f"sharding must be ddp or fsdp2, got {self.sharding!r}.")


def run(
    task: Task,
    out: Path,
    *,
    origin: Mapping[str, object] | None = None,
    resume: bool = False,
    config: EngineConfig | None = None,
    report: ReportProgress = lambda progress: None,
    measured: ReportEvaluation = lambda step, evaluation: None,
    draw: DrawComparison = lambda comparison, path: None,
    stop_after: int | None = None,
) -> list[float]:
    """Trains a task to its last step; returns the loss of every step that this call ran.

    Under torchrun all processes call it together: they share every batch, and losses, checkpoints and model are those
    of one process within rounding. A checkpoint (`training.pt`) is replaced atomically every few minutes and at the
    end; `log.jsonl` gets one line per 20 steps. With `resume`, an existing checkpoint is continued, by any number of
    processes, with the losses that an uninterrupted run would show. At the end the task's module holds the trained
    weights, or their average if there is one.

    Args:
        task: what is trained.
        out: folder for the log and the checkpoints; made if it is missing.
        origin: plain data that say all that decides the run; written to `recipe.json`, and a checkpoint of another
            origin is not resumed.
        resume: continue from the folder's checkpoint if there is one.
        config: how it is carried out.
        report: called with every logged progress, in the first process.
        measured: called with every evaluation, in the first process.
        draw: draws what an evaluation shows.
        stop_after: stop (with a checkpoint) after so many steps of this call.

    Raises:
        ValueError: if the folder holds a checkpoint and `resume` is not set, or one that was begun otherwise; if the
            task can't be split as configured; or if a loss or gradient is not finite (`not-finite.json` says where).
        ModelError: if the folder can't be written, or no checkpoint in it is sound.
        ConnectionError: if another process has ended.
    """
    config = config or EngineConfig()
    recipe = json.dumps(origin, indent=1)
    checkpoints = Checkpoints(out, config.checkpoints_kept)
    if checkpoints.found() and not resume:
        raise ValueError(f"{out} already holds a training run: pass --resume to continue it or choose another --out.")
    saved = checkpoints.load() if checkpoints.found() else None
    start = 0 if saved is None else int(saved["step"])
    total_steps = task.optim_plan.total_steps
    last = total_steps if stop_after is None else min(total_steps, start + stop_after)
    if start > total_steps:
        raise ValueError(f"{out} stands at step {start}, behind the {total_steps} asked for: ask for more steps.")
    with processes.one_reason():
        training = _Training(task, config, saved, recipe)
        if processes.rank() == 0:
            write_atomically(out / "recipe.json", recipe + "\n", ModelError)
        device = next(task.module.parameters()).device.type
        run_log = RunLog(
            out, start=start, total_steps=total_steps, device=device, report=report, measured=measured, draw=draw
        )
        evaluate_every = config.evaluate_every or max(1, total_steps // EVALUATIONS)
        all_losses: list[float] = []
        saved_at = time.monotonic()
        microbatches = training.microbatches(start)
        stale_after = None if config.patience is None else config.patience * evaluate_every
        is_over = False
        for step in range(start, last):
            if is_over := stale_after is not None and training.steps_since_best(step) >= stale_after:
                checkpoints.save(training.content(step))
                break
            with run_log.waiting():
                own = list(islice(microbatches, config.accumulate))
            save_is_due = processes.rank() == 0 and time.monotonic() - saved_at > SAVE_EVERY_SECONDS
            result = training.step(own, step, save_is_due=save_is_due)
            if not result.is_finite:
                raise ValueError(_not_finite(task, out, step, result))
            all_losses.append(result.loss)
            is_last = step + 1 == last
            run_log.step(
                step + 1,
                result.terms,
                lr=task.optim_plan.lr_at(step),
                gradient_norm=result.gradient_norm,
                pictures=sum(map(task.pictures_in, own)) * processes.world_size(),
                is_last=is_last,
            )
            with run_log.pausing():
                if (step + 1) % evaluate_every == 0 or step + 1 == total_steps:
                    training.evaluate(step + 1, run_log, checkpoints)
                if result.save_is_due or is_last:
                    checkpoints.save(training.content(step + 1))
                    saved_at = time.monotonic()
        training.show()
        if is_over or last == total_steps:
            run_log.finish()
    return all_losses


@dataclass(frozen=True, slots=True, kw_only=True)
class _StepResult:
    """What a step gave, the same in all processes."""

    terms: Mapping[str, float]
    gradient_norm: float
    save_is_due: bool
    """Whether it is time for a checkpoint."""

    @property
    def loss(self) -> float:
        return sum(self.terms.values())

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.gradient_norm)


class _Training:
    """A task with its network, optimiser and average, in this process or shared by all."""

    def __init__(self, task: Task, config: EngineConfig, saved: Mapping[str, Any] | None, recipe: str) -> None:
        self._given, self._trained, self._recipe = task, task, recipe
        self._split = BatchSplit(
            rank=processes.rank(), num_processes=processes.world_size(), num_slices=config.accumulate
        )
        is_split = self._split.num_microbatches > 1 or config.activation_checkpointing
        is_simple = config.ema_decay is None and not is_split
        if isinstance(task, SharedTask):
            if config.ema_decay is not None or (config.sharding == "fsdp2" and processes.world_size() > 1):
                self._trained = task.with_own_weights()
        elif not is_simple:
            raise ValueError(
                "this training compares all pictures of a batch with one another, so that it runs in one process and "
                "in one piece: start it without torchrun, accumulation, average and checkpointed activations."
            )
        if saved is not None:
            restore_weights(self._trained.module, saved, recipe)
        if isinstance(self._trained, SharedTask) and not is_simple:
            share_batch_norms(self._trained.module, is_split=config.accumulate > 1 or config.activation_checkpointing)
            if config.activation_checkpointing:
                checkpoint_activations(self._trained.blocks)
        self._network = ParallelModule(self._trained, sharding=config.sharding)
        self._optimizer = task.optim_plan.optimizer(self._trained.parameter_groups())
        if saved is not None:
            restore_optimizer(self._optimizer, saved["optimizer"])
        self._ema = None
        if config.ema_decay is not None:
            weights = None if saved is None else saved.get("average")
            self._ema = EMA(self._trained.module, config.ema_decay, weights)
        self._best: Mapping[str, Any] | None = None if saved is None else saved.get("best")

    def microbatches(self, start: int) -> Iterator[Any]:
        """This process's microbatches from step `start` on."""
        task = self._trained
        return task.batches(start, self._split) if isinstance(task, SharedTask) else task.batches(start)

    def step(self, microbatches: Sequence[Any], step: int, *, save_is_due: bool) -> _StepResult:
        """One step of the optimiser; a loss or gradient that is not finite changes no weight."""
        plan, optimizer = self._trained.optim_plan, self._optimizer
        for group in optimizer.param_groups:
            group["lr"] = plan.lr_at(step) * group.get("lr_scale", 1.0)
        optimizer.zero_grad(set_to_none=True)
        own: dict[str, float] = {}
        for number, microbatch in enumerate(microbatches, start=1):
            terms = self._network.backward(microbatch, step, is_last=number == len(microbatches))
            own = {name: own.get(name, 0.0) + float(value) for name, value in terms.items()}
        *values, saves_due = processes.add_up([*own.values(), float(save_is_due)])
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        norm = whole(nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))
        result = _StepResult(
            terms=dict(zip(own, values, strict=True)), gradient_norm=float(norm), save_is_due=saves_due > 0
        )
        if result.is_finite:
            if plan.config.clip_norm is not None:
                nn.utils.clip_grads_with_norm_(parameters, plan.config.clip_norm, norm)
            optimizer.step()
            if self._ema is not None:
                self._ema.update(step)
        return result

    def show(self) -> None:
        """Puts the weights that are to be seen, or their average, into the module of the task that was given."""
        if self._given is self._trained:
            return
        state = trained_state(self._trained.module) | (self._ema.weights if self._ema is not None else {})
        shown = self._given.module.state_dict()
        for name, value in state.items():  # one at a time, so that no process holds all of them twice
            shown[name].copy_(whole(value))

    def evaluate(self, step: int, run_log: RunLog, checkpoints: Checkpoints) -> None:
        """Measures the weights that are to be seen, where the task can, and keeps them if they are the best."""
        if not isinstance(self._given, EvaluatedTask):
            return
        self.show()
        evaluation = self._given.evaluate()
        if evaluation is None:
            return
        run_log.evaluation(step, evaluation)
        name, figure = next(iter(evaluation.figures.items()))
        if self._best is None or figure > self._best["figure"]:
            self._best = {"step": step, "name": name, "figure": figure}
            checkpoints.save_best(self.content(step))

    def steps_since_best(self, step: int) -> int:
        """How long no evaluation has been better; 0 before the first."""
        return 0 if self._best is None else step - self._best["step"]

    def content(self, step: int) -> dict[str, Any]:
        """All that decides the losses from step `step` on; every process must ask for it, and the first gets it."""
        return {
            "step": step,
            "recipe": self._recipe,
            "module": whole(trained_state(self._trained.module), in_first=True),
            "optimizer": whole(self._optimizer.state_dict(), in_first=True),
            "average": None if self._ema is None else whole(self._ema.weights, in_first=True),
            "best": self._best,
        }


def _not_finite(task: Task, out: Path, step: int, result: _StepResult) -> str:
    """Writes down where it happened, and says so."""
    pictures = list(task.pictures_of(step)) if isinstance(task, SharedTask) else []
    terms = {name: str(value) for name, value in result.terms.items()}  # JSON has no word for what is not finite
    document = {"step": step, "terms": terms, "gradient_norm": str(result.gradient_norm), "pictures": pictures}
    if processes.rank() == 0:
        write_atomically(out / NOT_FINITE_FILE, json.dumps(document, indent=1) + "\n", ModelError)
    culprit, value = ("gradient", result.gradient_norm) if math.isfinite(result.loss) else ("loss", result.loss)
    return (
        f"the {culprit} is {value} at step {step}: lower the learning rate or look at the data; "
        f"{out / NOT_FINITE_FILE} names the pictures of the batch, and the last checkpoint is as it was."
    )

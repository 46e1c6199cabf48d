"""The loop: one readable loop for every recipe; resumable, atomic, logged."""

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from lexiseg.io.checkpoint import atomic_save, load_training

logger = logging.getLogger(__name__)

LOG_EVERY = 20
SAVE_EVERY_SECONDS = 240.0


POLY_POWER = 0.9  # DeepLab's; MaskFormer's too


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimConfig:
    """An optimiser's rate with warm-up and decay; AdamW's numbers where nothing else is said."""

    lr: float
    weight_decay: float
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    schedule: Literal["cosine", "poly"] = "cosine"
    """How the rate falls after the warm-up: half a cosine, or a straight line to the power 0.9."""
    warmup_share: float = 0.04
    """Share of the steps in which the rate climbs from 0."""
    warmup_limit: int | None = None
    """Most steps of the warm-up, however long the run; None: no limit."""
    final_share: float = 0.02
    """Share of the rate that is left at the last step."""
    clip_norm: float | None = 1.0
    """Largest L2 norm of the whole gradient; None: any."""


def scheduled_lr(config: OptimConfig, step: int, total_steps: int) -> float:
    """The learning rate of step `step` of `total_steps`."""
    warmup = max(1, round(config.warmup_share * total_steps))
    if config.warmup_limit is not None:
        warmup = min(warmup, config.warmup_limit)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    progress = (step - warmup) / max(1, total_steps - warmup)
    height = 0.5 * (1 + math.cos(math.pi * progress)) if config.schedule == "cosine" else (1 - progress) ** POLY_POWER
    low = config.lr * config.final_share
    return low + (config.lr - low) * height


def decay_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups: weight decay on matrices, none on vectors (norms, biases, single embeddings)."""
    trained = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


@runtime_checkable
class Task(Protocol):
    """What the loop needs to know of a training."""

    @property
    def module(self) -> nn.Module:
        """What is trained; frozen parts are not stored in checkpoints."""
        ...

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        ...

    def optimizer(self) -> torch.optim.Optimizer:
        """A fresh optimiser over the trained parameters."""
        ...

    def lr_at(self, step: int) -> float:
        """The learning rate of a step."""
        ...

    def batches(self, start: int) -> Iterator[Any]:
        """The batches from step `start` on: a function of the seed and the step alone."""
        ...

    def losses(self, batch: Any, step: int) -> Mapping[str, Tensor]:
        """The terms whose sum is minimised."""
        ...

    def pictures_in(self, batch: Any) -> int:
        """Size of a batch, for the log."""
        ...

    @property
    def clip_norm(self) -> float | None:
        """Largest L2 norm of the gradient; None: any."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run stands."""

    step: int
    total_steps: int
    loss: float
    terms: Mapping[str, float]
    lr: float
    images_per_second: float
    seconds_left: float


def trained_state(module: nn.Module) -> dict[str, Tensor]:
    """The state of a module without what is frozen: trained parameters and the buffers beside them."""
    frozen = {name for name, p in module.named_parameters() if not p.requires_grad}
    return {name: value for name, value in module.state_dict().items() if name not in frozen}


def run(
    task: Task,
    out: Path,
    *,
    origin: Mapping[str, object] | None = None,
    resume: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
    stop_after: int | None = None,
) -> list[float]:
    """Trains a task to its last step; returns the loss of every step that this call ran.

    A checkpoint (`training.pt`) is replaced atomically every few minutes and at the end; `log.jsonl` gets one line per
    20 steps. With `resume`, an existing checkpoint is continued with the losses that an uninterrupted run would show.

    Args:
        task: what is trained.
        out: folder for the log and the checkpoint; made if it is missing.
        origin: plain data that say all that decides the run; written to `recipe.json`, and a checkpoint of another
            origin is not resumed.
        resume: continue from the folder's checkpoint if there is one.
        report: called with every logged progress.
        stop_after: stop (with a checkpoint) after so many steps of this call.

    Raises:
        ValueError: if the folder holds a checkpoint and `resume` is not set, or one that was begun otherwise.
    """
    out.mkdir(parents=True, exist_ok=True)
    recipe = json.dumps(origin, indent=1)
    checkpoint = out / "training.pt"
    if checkpoint.exists() and not resume:
        raise ValueError(f"{out} already holds a training run: pass --resume to continue it or choose another --out.")
    optimizer, start = task.optimizer(), 0
    if checkpoint.exists():
        start = _restore(task.module, optimizer, load_training(checkpoint), recipe)
    last = task.total_steps if stop_after is None else min(task.total_steps, start + stop_after)
    if start > task.total_steps:
        raise ValueError(f"{out} stands at step {start}, behind the {task.total_steps} asked for: ask for more steps.")
    (out / "recipe.json").write_text(recipe + "\n")
    all_losses: list[float] = []
    seen, window_start, saved_at = 0, time.monotonic(), time.monotonic()
    with (out / "log.jsonl").open("a") as log:
        for step, batch in zip(range(start, last), task.batches(start), strict=False):
            lr = task.lr_at(step)
            terms = _step(task, optimizer, batch, step, lr)
            all_losses.append(sum(terms.values()))
            seen += task.pictures_in(batch)
            if (step + 1) % LOG_EVERY == 0 or step + 1 == last:
                elapsed = time.monotonic() - window_start
                progress = Progress(
                    step=step + 1,
                    total_steps=task.total_steps,
                    loss=all_losses[-1],
                    terms=terms,
                    lr=lr,
                    images_per_second=seen / max(elapsed, 1e-9),
                    seconds_left=elapsed / min(LOG_EVERY, len(all_losses)) * (task.total_steps - step - 1),
                )
                _log(log, progress)
                report(progress)
                seen, window_start = 0, time.monotonic()
            if time.monotonic() - saved_at > SAVE_EVERY_SECONDS:
                _save(task.module, optimizer, step + 1, recipe, checkpoint)
                saved_at = time.monotonic()
    _save(task.module, optimizer, last, recipe, checkpoint)
    return all_losses


def _step(task: Task, optimizer: torch.optim.Optimizer, batch: Any, step: int, lr: float) -> dict[str, float]:
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
    optimizer.zero_grad(set_to_none=True)
    terms = task.losses(batch, step)
    loss = torch.stack(list(terms.values())).sum()
    if not torch.isfinite(loss):
        raise ValueError(f"the loss is {loss.item()} at step {step}: lower the learning rate or look at the data.")
    loss.backward()
    if task.clip_norm is not None:
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(trained, task.clip_norm)
    optimizer.step()
    return {name: float(value.detach()) for name, value in terms.items()}


def _save(module: nn.Module, optimizer: torch.optim.Optimizer, step: int, recipe: str, path: Path) -> None:
    state = {"module": trained_state(module), "optimizer": optimizer.state_dict()}
    atomic_save({"step": step, "recipe": recipe, **state}, path)


def _restore(module: nn.Module, optimizer: torch.optim.Optimizer, saved: Mapping[str, Any], recipe: str) -> int:
    own, found = module.state_dict(), saved["module"]
    needed = [name for name in trained_state(module) if name not in found]
    foreign = [name for name, value in found.items() if name not in own or own[name].shape != value.shape]
    if needed or foreign:
        raise ValueError(
            f"the checkpoint belongs to another recipe (first differing weight: {[*needed, *foreign][0]}): "
            "choose another --out."
        )
    if saved.get("recipe", recipe) != recipe:
        raise ValueError(
            "the checkpoint was begun otherwise (recipe.json beside it says how: recipe, seed, steps, CLIP, start): "
            "resume it with what it was begun with, or choose another --out."
        )
    module.load_state_dict(found, strict=False)
    optimizer.load_state_dict(saved["optimizer"])
    return int(saved["step"])


def _log(log: Any, progress: Progress) -> None:
    line = {
        "step": progress.step,
        "loss": round(progress.loss, 5),
        **{name: round(value, 5) for name, value in progress.terms.items()},
        "lr": progress.lr,
        "images_per_second": round(progress.images_per_second, 2),
    }
    log.write(json.dumps(line) + "\n")
    log.flush()


class Steps(torch.utils.data.Sampler[list[int]]):
    """The picture numbers of every step from `start` on, given the size of each step's batch."""

    def __init__(self, batch_sizes: Sequence[int], start: int) -> None:
        self.batch_sizes = batch_sizes
        self.start = start

    def __iter__(self) -> Iterator[list[int]]:
        """Yields one list of picture numbers per step."""
        first = sum(self.batch_sizes[: self.start])
        for size in self.batch_sizes[self.start :]:
            yield list(range(first, first + size))
            first += size

    def __len__(self) -> int:
        """Steps that are left."""
        return len(self.batch_sizes) - self.start

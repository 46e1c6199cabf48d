"""Trainings of a line: all that the loop does, in milliseconds; as a script, in processes that come to harm."""

import copy
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lexiseg.core import processes
from lexiseg.core.random import fork_random
from lexiseg.training.engine import trainer
from lexiseg.training.engine.microbatches import BatchSplit
from lexiseg.training.engine.optim import OptimConfig, OptimPlan, Stage, decay_groups
from lexiseg.training.engine.task import Evaluation
from lexiseg.training.engine.trainer import run

OPTIM = OptimConfig(lr=0.05, weight_decay=0.1)
BATCH = 8
DESERTED_AT = 4


class Toy:
    """A line with a batch norm behind a frozen layer."""

    optim = OPTIM

    def __init__(self, total_steps: int = 30, width: int = 4, breaks_at: int | None = None) -> None:
        with fork_random(0):
            self._module = nn.Sequential(
                nn.Linear(3, width).requires_grad_(False), nn.BatchNorm1d(width), nn.Linear(width, 1)
            )
        self._total_steps = total_steps
        self._breaks_at = breaks_at

    @property
    def module(self) -> nn.Module:
        return self._module

    @property
    def optim_plan(self) -> OptimPlan:
        return OptimPlan(config=self.optim, stages=(Stage(steps=self._total_steps),))

    def parameter_groups(self) -> list[dict[str, Any]]:
        return decay_groups(self._module, OPTIM.weight_decay)

    def batches(self, start: int) -> Iterator[Tensor]:
        for step in range(start, self._total_steps):
            yield torch.randn(BATCH, 3, generator=torch.Generator().manual_seed(step))

    def losses(self, batch: Tensor, step: int) -> Mapping[str, Tensor]:
        if step == self._breaks_at:
            raise KeyboardInterrupt
        off = self._module(batch).squeeze(-1) - batch.sum(-1)
        return {"square": (off**2).mean(), "size": 0.1 * off.abs().mean()}

    def pictures_in(self, batch: Tensor) -> int:
        return len(batch)


class Shared(Toy):
    """A line whose batches can be split."""

    def __init__(
        self,
        total_steps: int = 30,
        *,
        has_batch_norm: bool = False,
        spoils_at: int | None = None,
        spoils: str = "loss",
        figures: Sequence[float] = (),
    ) -> None:
        super().__init__(total_steps)
        norm = nn.Sequential(nn.Unflatten(1, (4, 1, 1)), nn.BatchNorm2d(4), nn.Flatten())
        with fork_random(0):
            self._module = nn.Sequential(
                nn.Linear(3, 4).requires_grad_(False), norm if has_batch_norm else nn.Tanh(), nn.Linear(4, 1)
            )
        self._spoils_at, self._spoils = spoils_at, spoils
        self._figures = iter(figures)

    @property
    def blocks(self) -> list[nn.Module]:
        return [self._module[2]]

    def with_own_weights(self) -> "Shared":
        other = copy.copy(self)
        other._module = copy.deepcopy(self._module)
        return other

    def batches(self, start: int, split: BatchSplit | None = None) -> Iterator[Tensor]:
        split = split or BatchSplit()
        size = split.microbatch_size(BATCH)
        for batch in super().batches(start):
            for number in range(split.num_slices):
                yield batch[list(split.places(number, size))]

    def losses(self, batch: Tensor, step: int) -> Mapping[str, Tensor]:
        terms = {name: term * (len(batch) / BATCH) for name, term in super().losses(batch, step).items()}
        if step == self._spoils_at and self._spoils == "loss":
            terms["square"] = terms["square"] * float("nan")
        if step == self._spoils_at and self._spoils == "gradient":
            terms["root"] = (self._module[2].weight * 0).sum().sqrt()  # 0, but its slope is infinite times 0
        return terms

    def pictures_of(self, step: int) -> list[str]:
        return [f"picture-{step}.jpg"]

    def evaluate(self) -> Evaluation | None:
        figure = next(self._figures, None)
        return None if figure is None else Evaluation(figures={"pq": figure, "sq": 0.5})


class Slow(Toy):
    """Takes its time, so that it can be killed."""

    def losses(self, batch: Tensor, step: int) -> Mapping[str, Tensor]:
        time.sleep(0.05)
        return super().losses(batch, step)


class Deserted(Shared):
    """The second process dies."""

    def losses(self, batch: Tensor, step: int) -> Mapping[str, Tensor]:
        if step == DESERTED_AT and processes.rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().losses(batch, step)


def main(harm: str, out: Path) -> None:
    """Trains, with a checkpoint after every step, until harm comes."""
    torch.set_num_threads(1)
    trainer.SAVE_EVERY_SECONDS = 0.0
    with processes.process_group():
        run(Slow(40) if harm == "killed" else Deserted(), out)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

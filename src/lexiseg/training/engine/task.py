"""The contract between a training and the loop, and what further methods of a training make possible."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from lexiseg.evaluation.evaluator import Comparison
from lexiseg.training.engine.microbatches import BatchSplit
from lexiseg.training.engine.optim import OptimPlan

FIGURES = {"pq": "PQ", "miou": "mIoU", "ap": "AP"}
"""The main figure of each task, and how it is written."""


@runtime_checkable
class Task(Protocol):
    """What the loop needs to know of a training.

    Its losses must be a function of weights, batch and step alone: whatever is random begins anew with every step, so
    that a resumed run shows the losses of an uninterrupted one without any generator in its checkpoint.
    """

    @property
    def module(self) -> nn.Module:
        """What is trained; frozen parts are not stored in checkpoints."""
        ...

    @property
    def optim_plan(self) -> OptimPlan:
        """Optimiser, rate and clipping of the whole run, and its steps."""
        ...

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The trained parameters as `torch.optim` takes them; `lr_scale` scales the rate of a group."""
        ...

    def batches(self, start: int) -> Iterator[Any]:
        """The batches from step `start` on: a function of the seed and the step alone."""
        ...

    def losses(self, batch: Any, step: int) -> Mapping[str, Tensor]:
        """The terms whose sum is minimised; of a microbatch, what it adds to those of the batch."""
        ...

    def pictures_in(self, batch: Any) -> int:
        """Size of a batch, for the log."""
        ...


@runtime_checkable
class SharedTask(Task, Protocol):
    """A training whose batches can be split: among processes, and in slices one after the other."""

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The repeated parts of the network, none within another: what checkpointing and sharding go by."""
        ...

    def with_own_weights(self) -> "SharedTask":
        """The same training with trained weights of its own."""
        ...

    def batches(self, start: int, split: BatchSplit | None = None) -> Iterator[Any]:
        """The microbatches of this process, `split.num_slices` for every step."""
        ...

    def pictures_of(self, step: int) -> Sequence[str]:
        """File names of the whole batch of a step."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How good a model in training is."""

    figures: Mapping[str, float]
    """By name, the more the better; the first decides which model is the best."""
    comparisons: tuple[Comparison, ...] = ()
    """A few pictures with truth and prediction, in the first process alone."""

    def __str__(self) -> str:
        """The figure that is wanted, in percent, of the old data too."""
        name = next((key for key in self.figures if key in FIGURES), next(iter(self.figures)))
        told = f"{FIGURES.get(name, name)} {100 * self.figures[name]:.1f} on held-out pictures"
        old = self.figures.get(f"old {name}")
        return told if old is None else f"{told}, {100 * old:.1f} on those of the old data"

    def beside(self, old: "Evaluation") -> "Evaluation":
        """The figures of both; the mean of their first ones chooses the best model."""
        first = [next(iter(one.figures.values())) for one in (self, old)]
        named = {f"old {name}": value for name, value in old.figures.items()}
        return Evaluation(
            figures={"new and old": sum(first) / 2, **self.figures, **named}, comparisons=self.comparisons
        )


@runtime_checkable
class EvaluatedTask(Protocol):
    """A training that can measure what it makes."""

    def evaluate(self) -> Evaluation | None:
        """Figures of the module as it is, the same in all processes, which call this together; None: of nothing."""
        ...

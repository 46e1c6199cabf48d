"""Microbatches: what each process sees of a batch, one slice after the other, and what all of them hold together.

A loss that is a mean over the batch becomes, in each one, its mean times its share of what the mean is
taken over; random points are drawn for the whole batch, and each keeps its own. So the losses and gradients of all
microbatches add up to those of the batch in one piece, however many processes and slices there are.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, distributed

from lexiseg.core import processes


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSplit:
    """How the batch of every step is split."""

    rank: int = 0
    """Of this process."""
    num_processes: int = 1
    num_slices: int = 1
    """Slices that each process takes one after the other before a step of the optimiser: gradient accumulation."""

    @property
    def num_microbatches(self) -> int:
        """Slices of all processes."""
        return self.num_processes * self.num_slices

    def microbatch_size(self, batch_size: int) -> int:
        """Pictures of one slice of one process.

        Raises:
            ValueError: if the batch can't be split evenly.
        """
        if batch_size % self.num_microbatches:
            raise ValueError(
                f"a batch of {batch_size} can't be split evenly among {self.num_processes} processes with "
                f"{self.num_slices} slices each: choose numbers whose product divides {batch_size}."
            )
        return batch_size // self.num_microbatches

    def places(self, number: int, size: int) -> tuple[int, ...]:
        """Places in the batch of the `size` pictures of this process's slice `number`.

        The processes take pictures in turn, as `data.samples.segmentation.training_keys` deals them out.
        """
        first = number * size
        return tuple(place * self.num_processes + self.rank for place in range(first, first + size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Microbatch:
    """Pictures of a batch over which losses are taken at once."""

    places: tuple[int, ...]
    """Of its pictures in the batch, ascending."""
    num_segments: tuple[int, ...]
    """True segments of every picture of the batch."""
    num_slices: int = 1
    """Slices of each process, of which this is one."""

    @staticmethod
    def whole(num_segments: Iterable[int]) -> "Microbatch":
        """A batch in one piece."""
        counts = tuple(num_segments)
        return Microbatch(places=tuple(range(len(counts))), num_segments=counts)

    def picture_rows(self) -> "Rows":
        """The microbatch's rows in a tensor with a row per picture."""
        return Rows(own=self.places, total=len(self.num_segments))

    def mask_rows(self, num_queries: int) -> "Rows":
        """The microbatch's rows in a tensor with a row per matched mask; a picture has no more of them than queries."""
        counts = [min(num_queries, count) for count in self.num_segments]
        ends = torch.tensor(counts).cumsum(0).tolist()
        own = tuple(row for place in self.places for row in range(ends[place] - counts[place], ends[place]))
        return Rows(own=own, total=sum(counts))

    def of_all(self, count: Int[Tensor, ""]) -> Int[Tensor, ""]:
        """What all microbatches count together.

        It is exact over processes. The slices of a process that are still to come, or have gone, are taken to be like
        this one: use it for what depends on predictions, which nobody knows before the forward pass.
        """
        if processes.world_size() > 1:
            count = count.clone()
            distributed.all_reduce(count)
        return count * self.num_slices


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some rows of a tensor that stands for a whole batch."""

    own: tuple[int, ...]
    total: int

    def random(self, *shape: int, generator: torch.Generator) -> Float[Tensor, "rows ..."]:
        """Uniform numbers in [0, 1) for these rows: those that one process would draw for the whole tensor."""
        drawn = torch.rand(self.total, *shape, generator=generator, device=generator.device)
        return drawn if len(self.own) == self.total else drawn[list(self.own)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """What a microbatch holds of that which a mean over the batch is taken over; 1 for a batch in one piece."""

    masks: Float[Tensor, ""]
    """Of the matched masks."""
    unmatched: Float[Tensor, ""]
    """Of the queries whose target is no-object."""
    class_weight: Float[Tensor, ""]
    """Of the weight of all queries in the cross-entropy of classes."""

    @staticmethod
    def of(microbatch: Microbatch, num_queries: int, left_out: Int[Tensor, ""], void_weight: float) -> "Shares":
        """The shares under one matching.

        Args:
            microbatch: of a batch.
            num_queries: Q.
            left_out: its queries without a target.
            void_weight: of no-object in the cross-entropy.
        """
        matched = microbatch.mask_rows(num_queries)
        device = left_out.device
        own_masks = torch.tensor(float(len(matched.own)), device=device)
        all_masks = torch.tensor(float(matched.total), device=device)
        own_unmatched = num_queries * len(microbatch.places) - own_masks - left_out
        all_unmatched = num_queries * len(microbatch.num_segments) - all_masks - microbatch.of_all(left_out)
        return Shares(
            masks=_share(own_masks, all_masks),
            unmatched=_share(own_unmatched, all_unmatched),
            class_weight=_share(own_masks + void_weight * own_unmatched, all_masks + void_weight * all_unmatched),
        )


def _share(own: Float[Tensor, ""], total: Float[Tensor, ""]) -> Float[Tensor, ""]:
    return own / torch.where(total > 0, total, 1.0)  # of nothing, the share is none

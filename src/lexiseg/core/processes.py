"""Distributed processes: rank, world size and collectives, for one process or those that torchrun started."""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import distributed

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def rank() -> int:
    """The rank of this process, from 0; 0 without a process group."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """The number of processes; 1 without a process group."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def gather(value: Any) -> list[Any]:
    """All-gathers a picklable value: those of all processes, by rank, in every process."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    distributed.all_gather_object(values, value)
    return values


def share(items: Sequence[ItemT], act: Callable[[ItemT], ResultT]) -> list[ResultT]:
    """What a function makes of every item, each made by one process, in every process; plain Python values alone."""
    step = world_size()
    results: list[Any] = [None] * len(items)
    for first, made in enumerate(gather([act(item) for item in items[rank() :: step]])):
        results[first::step] = made
    return results


def add_up(values: Sequence[float]) -> list[float]:
    """All-reduces numbers: their sums over all processes, element by element, in every process."""
    if world_size() == 1:
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64)
    distributed.all_reduce(sums)
    return sums.tolist()


@contextmanager
def process_group(backend: str = "gloo") -> Generator[None, None, None]:
    """Joins torchrun's process group for the block; does nothing in a single process.

    Args:
        backend: torch's name; gloo suffices for counts, tensors on a GPU need "cpu:gloo,cuda:nccl".
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or distributed.is_initialized():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group(backend)
    try:
        yield
    finally:
        distributed.destroy_process_group()


@contextmanager
def one_reason() -> Generator[None, None, None]:
    """Reports that another process ended, which shows in this one as a broken connection or a timeout.

    Raises:
        ConnectionError: instead of what torch raises then.
    """
    try:
        yield
    except RuntimeError as error:
        is_broken = isinstance(error, distributed.DistError) or "gloo" in str(error) or "NCCL" in str(error)
        if world_size() == 1 or not is_broken:
            raise
        raise ConnectionError(
            f"process {rank()} of {world_size()} stops, as another one has ended or does not answer: the last words of "
            "that one are the reason; mend it and go on with --resume."
        ) from error

"""The processes that share a job: one, or those that torchrun started."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed


def rank() -> int:
    """Number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def gather(value: Any) -> list[Any]:
    """Everybody's value, in the order of the ranks, in every process; plain Python values alone."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    distributed.all_gather_object(values, value)
    return values


@contextmanager
def joined() -> Generator[None, None, None]:
    """Joins the processes that torchrun started, and leaves them at the end; alone, it does nothing.

    They speak over gloo: what they exchange are counts, not tensors on a device.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or distributed.is_initialized():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()

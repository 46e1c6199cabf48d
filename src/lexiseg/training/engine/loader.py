"""Batches, read by worker processes."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from lexiseg.core.pool import end_with_parent


def load_batches(
    dataset: Dataset[Any], collate: Callable[[Any], Any], *, workers: int, **sampling: Any
) -> Iterator[Any]:
    """Reads batches of a data set; torch's global generator stays as it was.

    Args:
        dataset: gives samples by whatever the sampler names.
        collate: makes a batch of a list of samples.
        workers: processes that read; 0 reads in this one.
        **sampling: which samples, as `DataLoader` takes them: batch_size with sampler, or batch_sampler.
    """
    own: dict[str, Any] = {"generator": torch.Generator(), "worker_init_fn": end_with_parent}
    return iter(DataLoader(dataset, num_workers=workers, collate_fn=collate, **own, **sampling))

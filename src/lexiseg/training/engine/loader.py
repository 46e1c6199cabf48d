"""Batches, read by worker processes."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from lexiseg.core.pool import end_with_parent

REASONS = (ValueError, OSError)
"""What is an answer to the user, not a fault of the program."""


def load_batches(
    dataset: Dataset[Any], collate: Callable[[Any], Any], *, workers: int, **sampling: Any
) -> Iterator[Any]:
    """Reads batches of a data set; torch's global generator stays as it was.

    What a worker process can't read or join is raised in this one, as the sentence that it is.

    Args:
        dataset: gives samples by whatever the sampler names.
        collate: makes a batch of a list of samples.
        workers: processes that read; 0 reads in this one.
        **sampling: which samples, as `DataLoader` takes them: batch_size with sampler, or batch_sampler.
    """
    own: dict[str, Any] = {"generator": torch.Generator(), "worker_init_fn": end_with_parent}
    join = partial(_join, collate=collate)
    return map(
        _raised, iter(DataLoader(_ErrorsReturned(dataset), num_workers=workers, collate_fn=join, **own, **sampling))
    )


class _ErrorsReturned(Dataset[Any]):
    """A data set that returns what goes wrong: torch would wrap it in a worker's traceback."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)  # type: ignore[arg-type]  # a sequence, where no sampler says which

    def __getitem__(self, key: Any) -> Any:
        try:
            return self._dataset[key]
        except REASONS as error:
            return error


def _join(samples: Sequence[Any], collate: Callable[[Any], Any]) -> Any:
    try:
        return next((sample for sample in samples if isinstance(sample, REASONS)), None) or collate(samples)
    except REASONS as error:
        return error


def _raised(batch: Any) -> Any:
    if isinstance(batch, REASONS):
        raise batch
    return batch

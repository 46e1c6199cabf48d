"""A data set as every evaluation reads it: batches of one canvas with their annotations."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from lexiseg.core.batches import to_image_batch
from lexiseg.core.errors import FormatError, PictureError
from lexiseg.core.frames import OWN_RESIZING, Frame, Resizing
from lexiseg.core.pool import end_with_parent
from lexiseg.core.structures import ImageBatch
from lexiseg.data.dataset import Annotation, Loaded, Sample

LoadedT = TypeVar("LoadedT")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnnotatedBatch:
    """Pictures of one canvas, with their annotations in the same order."""

    images: ImageBatch
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A sample that could not be read."""

    name: str
    reason: str


def open_all(
    open_one: Callable[[Sample], LoadedT], samples: Sequence[Sample], *, workers: int = 0
) -> Iterator[LoadedT | Skipped]:
    """Opens samples in their order; those that cannot be read are yielded by name, and the rest goes on.

    Args:
        open_one: such as `Dataset.load`; must be picklable if there are workers.
        samples: on disk.
        workers: processes that read ahead; 0 reads in this one.
    """
    own: dict[str, Any] = {"generator": torch.Generator()}  # torch's own stays as the caller left it
    own["worker_init_fn"] = end_with_parent
    yield from DataLoader(_Samples(open_one, samples), batch_size=None, num_workers=workers, **own)


def batched(
    opened: Iterable[Loaded | Skipped],
    *,
    longest: int,
    batch_size: int,
    shortest: int | None = None,
    resizing: Resizing = OWN_RESIZING,
) -> Iterator[AnnotatedBatch | Skipped]:
    """Yields batches whose pictures share one canvas; the sides are those of `core.batches.to_image_batch`.

    A picture is never padded for the sake of its neighbours, so figures do not depend on the batch size.
    """
    waiting: dict[tuple[int, int], list[Loaded]] = {}
    for one in opened:
        if isinstance(one, Skipped):
            yield one
            continue
        height, width = one.picture.shape[:2]
        canvas = Frame.fit((height, width), longest=longest, shortest=shortest, resizing=resizing).padded
        together = waiting.setdefault(canvas, [])
        together.append(one)
        if len(together) == batch_size:
            yield _to_batch(waiting.pop(canvas), longest, shortest, resizing)
    for together in waiting.values():
        yield _to_batch(together, longest, shortest, resizing)


class _Samples(Dataset[LoadedT | Skipped]):
    """Samples that are opened when they are asked for, in whichever process asks."""

    def __init__(self, open_one: Callable[[Sample], LoadedT], samples: Sequence[Sample]) -> None:
        self._open_one = open_one
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> LoadedT | Skipped:
        sample = self._samples[index]
        try:
            return self._open_one(sample)
        except (PictureError, FormatError) as error:
            return Skipped(name=sample.file_name, reason=str(error))


def _to_batch(together: list[Loaded], longest: int, shortest: int | None, resizing: Resizing) -> AnnotatedBatch:
    pictures = [one.picture for one in together]
    images = to_image_batch(pictures, longest=longest, shortest=shortest, resizing=resizing)
    return AnnotatedBatch(images=images, annotations=tuple(one.annotation for one in together))

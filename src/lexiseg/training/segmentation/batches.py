"""Batches of pictures with their segments, whole or split."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from torch.nn import functional as F

from lexiseg.core import processes
from lexiseg.core.structures import ImageBatch, Targets
from lexiseg.data.samples.labelled import LabelledBatch
from lexiseg.data.samples.transforms import MASK_STRIDE
from lexiseg.training.engine.microbatches import BatchSplit, Microbatch

Pictures = tuple[ImageBatch, tuple[Targets, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentBatch:
    """Pictures with their segments, and further ones with labels: a batch or a microbatch."""

    images: ImageBatch
    targets: tuple[Targets, ...]
    microbatch: Microbatch
    labelled: LabelledBatch | None = None
    """Pictures with labels alone, on a canvas and with a vocabulary of their own; None where none are learned from."""

    @property
    def num_pictures(self) -> int:
        """Pictures of both kinds."""
        return len(self.targets) + (0 if self.labelled is None else len(self.labelled.labels))

    def to(self, device: str) -> "SegmentBatch":
        """The same on another device."""
        if device == "cpu":
            return self
        targets = tuple(
            Targets(masks=t.masks.to(device), class_ids=t.class_ids.to(device), ignored=t.ignored.to(device))
            for t in self.targets
        )
        labelled = None if self.labelled is None else self.labelled.to(device)
        return replace(self, images=self.images.to(device), targets=targets, labelled=labelled)


def split_batches(slices: Iterator[Pictures], split: BatchSplit) -> Iterator[SegmentBatch]:
    """Adds to the slices of every step the segment counts of the whole batch, and pads them to its canvas.

    All processes must take their slices in step, as they exchange sizes and counts.
    """
    while own := list(islice(slices, split.num_slices)):
        sizes = [(images.pixel_values.shape[-2:], [len(t.class_ids) for t in targets]) for images, targets in own]
        everyone = processes.gather(sizes)
        size = len(own[0][1])
        num_segments = [0] * (size * split.num_microbatches)
        for rank, slices_of_rank in enumerate(everyone):
            for number, (_, counts) in enumerate(slices_of_rank):
                for place, count in zip(replace(split, rank=rank).places(number, size), counts, strict=True):
                    num_segments[place] = count
        height, width = (max(canvas[axis] for sizes in everyone for canvas, _ in sizes) for axis in (0, 1))
        for number, pictures in enumerate(own):
            images, targets = _padded(pictures, height, width)
            microbatch = Microbatch(
                places=split.places(number, size), num_segments=tuple(num_segments), num_slices=split.num_slices
            )
            yield SegmentBatch(images=images, targets=targets, microbatch=microbatch)


def _padded(pictures: Pictures, height: int, width: int) -> Pictures:
    """Adds zeros on the right and below."""
    images, targets = pictures
    below, beside = height - images.pixel_values.shape[-2], width - images.pixel_values.shape[-1]
    if not below and not beside:
        return pictures
    cells = (0, beside // MASK_STRIDE, 0, below // MASK_STRIDE)
    return ImageBatch(
        pixel_values=F.pad(images.pixel_values, (0, beside, 0, below)),
        frames=tuple(replace(frame, padded=(height, width)) for frame in images.frames),
    ), tuple(replace(t, masks=F.pad(t.masks, cells), ignored=F.pad(t.ignored, cells)) for t in targets)

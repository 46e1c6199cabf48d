"""Pairs of crop and word as batches for CLIP, cut anew each time, mask and crop alike; and what learns from them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.data import Dataset

from lexiseg.core.errors import FormatError
from lexiseg.core.messages import shown
from lexiseg.data.pairs.format import PairDataset
from lexiseg.data.samples.segmentation import example_generator, training_keys
from lexiseg.models.crops import RegionConfig, cut_region
from lexiseg.training.engine.loader import load_batches
from lexiseg.training.engine.optim import OptimPlan

AS_STORED = RegionConfig(fill="keep", extent="picture")
"""A stored crop is filled already, and is resized as at inference."""
MOST_UNLIKE = math.log(4 / 3)
"""Largest logarithm of a window's aspect ratio, up or down, as in the random resized crop of CLIP's trainers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairBatch:
    """Crops, masks and words in the same order."""

    crops: Float[Tensor, "B 3 S S"]
    """RGB about [0, 1], the background filled."""
    masks: Bool[Tensor, "B S S"]
    """True on the region."""
    word_ids: Int[Tensor, " B"]
    """Places in the pairs' `words`."""


class CroppedPairs(Dataset[tuple[Tensor, Tensor, int]]):
    """Pairs as one training sees them: each through a window drawn from (seed, epoch, number) and nothing else."""

    def __init__(
        self,
        pairs: PairDataset,
        size: int,
        *,
        scale_range: tuple[float, float],
        seed: int,
        kept: Sequence[int] | None = None,
    ) -> None:
        """Keeps what is needed; nothing is opened yet.

        Args:
            pairs: on disk.
            size: side of CLIP's square in pixels.
            scale_range: least and largest area of the window as a share of the crop's.
            seed: of the windows; not negative.
            kept: numbers of the pairs to use; all if not given.
        """
        self._pairs = pairs
        self._size = size
        self._scale_range = scale_range
        self._seed = seed
        self._kept = range(len(pairs)) if kept is None else kept

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Float[Tensor, "3 S S"], Bool[Tensor, "S S"], int]:
        """Reads pair `key[1]` for epoch `key[0]`: crop, mask and the place of its word.

        Raises:
            FormatError: if it is damaged, or its mask is empty.
        """
        epoch, place = key
        number = self._kept[place]
        pair = self._pairs[number]
        crop = torch.from_numpy(pair.crop).permute(2, 0, 1).float() / 255
        mask = torch.from_numpy(pair.mask)
        window = draw_window(mask.shape[0], self._scale_range, example_generator(self._seed, epoch, number))
        if not mask[window].any():
            window = slice(None), slice(None)
        cut = cut_region(crop[:, *window], mask[window].float(), AS_STORED, self._size)
        if cut is None:
            raise FormatError(
                f"pair {number} ({shown(pair.word)} of {shown(pair.picture)}) has an empty mask; make these pairs anew."
            )
        return *cut, int(self._pairs.word_ids[number])


def draw_window(side: int, scale_range: tuple[float, float], generator: torch.Generator) -> tuple[slice, slice]:
    """Rows and columns of a window of a square: its area from `scale_range`, its aspect ratio within 3:4 and 4:3.

    Args:
        side: of the square, in pixels.
        scale_range: of the area, as a share of the square's.
        generator: always gives four numbers.
    """
    scale_draw, ratio_draw, top_draw, left_draw = torch.rand(4, generator=generator).tolist()
    low, high = scale_range
    area = low + (high - low) * scale_draw
    most = min(MOST_UNLIKE, -math.log(area))  # a longer window would not fit
    stretch = math.exp(0.5 * most * (2 * ratio_draw - 1))
    height, width = (min(side, max(1, round(side * math.sqrt(area) * by))) for by in (1 / stretch, stretch))
    top, left = int(top_draw * (side - height + 1)), int(left_draw * (side - width + 1))
    return slice(top, top + height), slice(left, left + width)


def pair_batches(dataset: CroppedPairs, batch_size: int, *, seed: int, start: int, workers: int) -> Iterator[PairBatch]:
    """Batches without end from step `start` on, each epoch in an order of its own."""
    keys = training_keys(len(dataset), seed=seed, start=start * batch_size)
    return load_batches(dataset, _collate, workers=workers, batch_size=batch_size, sampler=keys)


def _collate(items: Sequence[tuple[Tensor, Tensor, int]]) -> PairBatch:
    crops, masks, word_ids = zip(*items, strict=True)
    return PairBatch(crops=torch.stack(crops), masks=torch.stack(masks), word_ids=torch.tensor(word_ids))


class PairTask:
    """What trainings on pairs have in common, for the loop."""

    def __init__(
        self,
        module: nn.Module,
        optim_plan: OptimPlan,
        pairs: CroppedPairs,
        *,
        batch_size: int,
        seed: int,
        device: str,
        workers: int,
    ) -> None:
        """Keeps what the loop asks for.

        Args:
            module: what is trained, on the device.
            optim_plan: optimiser and rate of the whole run.
            pairs: crops and words.
            batch_size: pairs of a step.
            seed: decides their order.
            device: where to train.
            workers: processes that read pairs.
        """
        self.module = module
        self.optim_plan = optim_plan
        self._pairs = pairs
        self._batch_size, self._seed = batch_size, seed
        self._device, self._workers = device, workers

    def batches(self, start: int) -> Iterator[PairBatch]:
        """Batches from step `start` on, read by worker processes."""
        return pair_batches(self._pairs, self._batch_size, seed=self._seed, start=start, workers=self._workers)

    def pictures_in(self, batch: PairBatch) -> int:
        """Crops of a batch."""
        return len(batch.crops)

"""From samples on disk to batches: each item depends on (seed, epoch, index) and nothing else."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset as TorchDataset

from lexiseg.core.frames import Frame
from lexiseg.core.structures import NAMELESS, ImageBatch, Targets
from lexiseg.data.dataset import Dataset
from lexiseg.data.id_maps import VOID, compact
from lexiseg.data.samples.colour_jitter import change_colours, draw_colours
from lexiseg.data.samples.copy_paste import AnnotatedImage, TrueSegment, paste_things
from lexiseg.data.samples.transforms import MASK_STRIDE, Framing, draw_view, view_ids, view_picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One picture with its truth, ready for a batch."""

    pixel_values: Float[Tensor, "3 H W"]
    """RGB in [0, 1]; padding is 0."""
    frame: Frame
    targets: Targets


@dataclass(frozen=True, eq=False)
class SegmentationDataset(TorchDataset[Example]):
    """A data set seen through a framing, with classes of a training vocabulary.

    Keys are `(epoch, index)`, or an index alone for epoch 0. The epoch is part of the key, not
    state to be set, so that workers can't disagree about it.
    """

    source: Dataset
    """Samples on disk."""
    class_ids: Mapping[int, int]
    """Category id to class id, or to `NAMELESS`. Categories that are not in it are ignored pixels."""
    framing: Framing
    """Size and augmentation."""
    _: KW_ONLY
    per_class: bool = False
    """Makes one mask of all things of a class too; see `to_targets`."""
    donors: "SegmentationDataset | None" = None
    """Pictures with the same class ids, whose things are pasted in."""
    paste_share: float = 0.0
    """How probably a donor's things are pasted into a sample, in [0, 1]. At 0 no random number is drawn for it."""
    seed: int = 0
    """Of the augmentation; not negative."""

    def __len__(self) -> int:
        return len(self.source.samples)

    def __getitem__(self, key: int | tuple[int, int]) -> Example:
        """Loads, checks and frames one sample.

        Raises:
            PictureError, FormatError: naming the picture, if its files can't be read or contradict each other.
        """
        epoch, index = key if isinstance(key, tuple) else (0, key)
        image, generator = self.annotated_image(index), example_generator(self.seed, epoch, index)
        if self.donors is not None and self.paste_share and torch.rand((), generator=generator) < self.paste_share:
            donor = self.donors.annotated_image(int(torch.randint(len(self.donors), (), generator=generator)))
            image = paste_things(image, donor, generator)
        view = draw_view(image.ids.shape, self.framing, generator)
        seen, inside = view_ids(image.ids, view)
        pixel_values = view_picture(image.picture, view)
        if self.framing.jitters_colour:
            height, width = view.frame.resized  # padding keeps its colour
            shown = pixel_values[:, :height, :width]
            shown.copy_(change_colours(shown, draw_colours(generator)))
        return Example(
            pixel_values=pixel_values,
            frame=view.frame,
            targets=to_targets(seen, inside, image.segments, per_class=self.per_class),
        )

    def annotated_image(self, index: int) -> AnnotatedImage:
        """Loads and checks one sample as it is.

        Raises:
            PictureError, FormatError: naming the picture, if its files can't be read or contradict each other.
        """
        loaded = self.source.load(self.source.samples[index], strict=True)
        segmentation = loaded.annotation.to_segmentation(self.source.categories)
        # of a label map each class is one segment, however many things it shows
        has_things = loaded.annotation.has_things
        things = {category.id for category in self.source.categories if category.is_thing and has_things}
        told = (
            TrueSegment(
                id=segment.id,
                class_id=self.class_ids.get(segment.category_id),
                is_thing=segment.category_id in things,
                is_crowd=segment.is_crowd,
            )
            for segment in segmentation.segments
        )
        return AnnotatedImage(picture=loaded.picture, ids=segmentation.ids, segments=tuple(told))


def to_targets(
    ids: Int32[np.ndarray, "h w"],
    inside: Bool[np.ndarray, "h w"],
    segments: Sequence[TrueSegment],
    *,
    per_class: bool = False,
) -> Targets:
    """Turns a map into masks: one per thing and one per class of stuff, or one per class of either.

    What has no name is a mask of its own each time, for nothing says what belongs together.

    Segments without a cell are left out. Void, crowd and segments without a class are ignored;
    what lies outside the picture is neither ignored nor in a mask.

    Args:
        ids: segment ids at the masks' stride.
        inside: cells that belong to the picture.
        segments: the picture's segments; all ids but void are among them.
        per_class: one binary mask per class that is present (semantic targets, OVSeg); a crowd is a part of its class.
    """
    places = compact(ids, [VOID, *(segment.id for segment in segments)])
    seen = np.unique(places[inside])
    mask_of = np.full(len(segments) + 1, -1)  # place of a segment to its mask
    owners: dict[tuple[bool, int], int] = {}  # a segment, or a class of stuff, to its mask
    classes: list[int] = []
    for place in seen[seen > 0].tolist():
        segment = segments[place - 1]
        if (segment.is_crowd and not per_class) or segment.class_id is None:
            continue
        is_alone = (segment.is_thing and not per_class) or segment.class_id == NAMELESS
        owner = (is_alone, segment.id if is_alone else segment.class_id)
        if owner not in owners:
            owners[owner] = len(classes)
            classes.append(segment.class_id)
        mask_of[place] = owners[owner]
    masks = np.where(inside, mask_of[places], -1)
    return Targets(
        masks=torch.from_numpy(masks[None] == np.arange(len(classes))[:, None, None]),
        class_ids=torch.tensor(classes, dtype=torch.int64),
        ignored=torch.from_numpy(inside & (masks < 0)),
    )


class MixedDataset(TorchDataset[Example]):
    """Several data sets as one, each with classes of its own; keys are (part, epoch, index)."""

    def __init__(self, parts: Sequence[SegmentationDataset]) -> None:
        self.parts = tuple(parts)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, key: tuple[int, int, int]) -> Example:
        """Loads a sample of one part."""
        part, epoch, index = key
        return self.parts[part][epoch, index]


def collate(examples: Sequence[Example]) -> tuple[ImageBatch, tuple[Targets, ...]]:
    """Joins examples to a batch: all are padded on the right and below to the largest canvas."""
    images, cells = join_images([(example.pixel_values, example.frame) for example in examples])
    targets = tuple(
        replace(e.targets, masks=pad(e.targets.masks, cells), ignored=pad(e.targets.ignored, cells)) for e in examples
    )
    return images, targets


def join_images(pictures: Sequence[tuple[Float[Tensor, "3 _ _"], Frame]]) -> tuple[ImageBatch, tuple[int, int]]:
    """Pads pictures on the right and below to the largest canvas; and its height and width at the masks' stride."""
    height = max(frame.padded[0] for _, frame in pictures)
    width = max(frame.padded[1] for _, frame in pictures)
    images = ImageBatch(
        pixel_values=torch.stack([pad(pixel_values, (height, width)) for pixel_values, _ in pictures]),
        frames=tuple(replace(frame, padded=(height, width)) for _, frame in pictures),
    )
    return images, (height // MASK_STRIDE, width // MASK_STRIDE)


def training_keys(
    num_samples: int, *, seed: int, start: int = 0, rank: int = 0, world_size: int = 1
) -> Iterator[tuple[int, int]]:
    """Yields keys without end, each epoch in an order of its own; a sampler for a data loader.

    A process takes every `world_size`-th position, so all of them together draw the sequence of a single process.

    Args:
        num_samples: length of the data set, positive.
        seed: of the orders.
        start: positions that all processes together have drawn before, for resuming.
        rank: this process.
        world_size: number of processes.
    """
    mixed = mixed_keys((num_samples,), 0.0, seed=seed, start=start, rank=rank, world_size=world_size)
    yield from ((epoch, index) for _, epoch, index in mixed)


def mixed_keys(
    num_samples: Sequence[int], old_share: float, *, seed: int, start: int = 0, rank: int = 0, world_size: int = 1
) -> Iterator[tuple[int, int, int]]:
    """Yields keys of a `MixedDataset` of a new and an old part, without end and evenly mixed.

    Args:
        num_samples: of the new part and, where there is one, of the old.
        old_share: share of the positions that are of the old part, in [0, 1].
        seed: of the orders.
        start: positions that all processes together have drawn before.
        rank: this process.
        world_size: number of processes.
    """
    new, *others = (_Endless(number, seed) for number in num_samples)
    position = start + rank
    while True:
        drawn_old = _old_among(position, old_share)
        if _old_among(position + 1, old_share) > drawn_old:
            yield (1, *others[0].key(drawn_old))
        else:
            yield (0, *new.key(position - drawn_old))
        position += world_size


def _old_among(positions: int, old_share: float) -> int:
    """How many of the first positions of a mixture are of the old part."""
    return math.floor(positions * old_share + 1e-9)  # 10 x 0.3 is a little below 3


class _Endless:
    """The endless sequence of a data set: position p lies in epoch p // num_samples, each in an order of its own."""

    def __init__(self, num_samples: int, seed: int) -> None:
        if num_samples < 1:
            raise ValueError("training needs at least one picture, got an empty data set.")
        self._num_samples, self._seed = num_samples, seed
        self._epoch, self._order = -1, []

    def key(self, position: int) -> tuple[int, int]:
        """Epoch and index of a position; quick where positions ascend."""
        epoch, place = divmod(position, self._num_samples)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = torch.randperm(self._num_samples, generator=example_generator(self._seed, epoch)).tolist()
        return epoch, self._order[place]


def example_generator(*key: int) -> torch.Generator:
    """A generator that is the same for the same numbers, in every process and release."""
    (state,) = np.random.SeedSequence(key).generate_state(1, np.uint64).tolist()
    return torch.Generator().manual_seed(state >> 1)


def pad(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Pads the last two axes with zeros on the right and below, to a height and width."""
    return F.pad(values, (0, size[1] - values.shape[-1], 0, size[0] - values.shape[-2]))

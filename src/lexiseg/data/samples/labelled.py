"""Pictures that have labels but no masks, as batches: each item depends on (seed, epoch, index) and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from lexiseg.core.errors import FormatError
from lexiseg.core.frames import Frame
from lexiseg.core.messages import shown
from lexiseg.core.structures import ImageBatch
from lexiseg.data.dataset import Dataset, Sample
from lexiseg.data.samples.segmentation import example_generator, join_images, pad
from lexiseg.data.samples.transforms import Framing, draw_view, view_ids, view_picture


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledExample:
    """One picture with its labels, ready for a batch."""

    pixel_values: Float[Tensor, "3 H W"]
    """RGB in [0, 1]; padding is 0."""
    frame: Frame
    inside: Bool[Tensor, "h w"]
    """Cells, at the masks' stride, that belong to the picture."""
    labels: Bool[Tensor, " K"]
    """Which categories of its source it is said to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledBatch:
    """Pictures of one padded size, with their labels in the same order."""

    images: ImageBatch
    inside: Bool[Tensor, "B h w"]
    labels: Bool[Tensor, "B K"]

    def to(self, device: torch.device | str) -> "LabelledBatch":
        """The same pictures on another device."""
        return LabelledBatch(
            images=self.images.to(device), inside=self.inside.to(device), labels=self.labels.to(device)
        )


class LabelledPictures(TorchDataset[LabelledExample]):
    """The pictures of a data set that have labels, seen whole: a crop might lose what a label speaks of.

    Keys are `(epoch, index)`. A class that a picture's labels name twice counts once.
    """

    def __init__(self, source: Dataset, framing: Framing, *, seed: int) -> None:
        """Keeps what is needed; nothing is opened yet.

        Args:
            source: samples on disk.
            framing: size and mirroring; jitter is left out.
            seed: of the augmentation; not negative.

        Raises:
            FormatError: if no picture has a label, or a label is no category of the source.
        """
        self.num_classes = len(source.categories)
        self.samples = tuple(sample for sample in source.samples if sample.labels)
        self.num_skipped = len(source.samples) - len(self.samples)
        """Pictures without a label."""
        self._framing = Framing(
            image_size=framing.image_size, stride=framing.stride, flip_probability=framing.flip_probability
        )
        self._source = replace(source, samples=())
        self._seed = seed
        if not self.samples:
            raise FormatError(f"none of the {len(source.samples)} pictures has a label: choose another data set.")
        for sample in self.samples:
            if not 0 <= min(sample.labels) <= max(sample.labels) < self.num_classes:
                raise FormatError(
                    f"{sample.file_name}: labels must be places among the {self.num_classes} categories, "
                    f"got {sample.labels}."
                )

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int]) -> LabelledExample:
        """Opens and frames one picture.

        Raises:
            PictureError: naming the picture, if it can't be read.
        """
        epoch, index = key
        sample = self.samples[index]
        picture = self._source.load(sample).picture
        size = picture.shape[0], picture.shape[1]
        view = draw_view(size, self._framing, example_generator(self._seed, epoch, index))
        _, inside = view_ids(np.zeros(size, np.int32), view)
        labels = torch.zeros(self.num_classes, dtype=torch.bool)
        labels[list(sample.labels)] = True
        return LabelledExample(
            pixel_values=view_picture(picture, view), frame=view.frame, inside=torch.from_numpy(inside), labels=labels
        )


def with_labels(pictures: Dataset) -> Dataset:
    """A data set with labels as it is; or the `labels`, lists of names, that each picture of a JSON may have.

    Drawn pictures have such lists. Masks are not opened.

    Raises:
        FormatError: if no picture has labels, or a label is no category.
    """
    if "labels" in pictures.kinds:
        return pictures
    place_of = {category.name: place for place, category in enumerate(pictures.categories)}
    samples = []
    for sample in pictures.samples:
        names = sample.extras.get("labels", ())
        if stranger := next((name for name in names if name not in place_of), None):
            raise FormatError(
                f"{sample.file_name} is labelled {shown(stranger)}, which is none of the {len(place_of)} categories: "
                "name it there, or leave the label out."
            )
        labels = tuple(place_of[name] for name in names)
        samples.append(Sample(file_name=sample.file_name, image_path=sample.image_path, labels=labels))
    if not any(sample.labels for sample in samples):
        raise FormatError('no picture has labels: give each entry of the JSON\'s images "labels", a list of names.')
    return Dataset(categories=pictures.categories, samples=tuple(samples), kinds=frozenset({"labels"}))


def collate_labelled(examples: Sequence[LabelledExample]) -> LabelledBatch:
    """Joins examples to a batch: all are padded on the right and below to the largest canvas."""
    images, cells = join_images([(example.pixel_values, example.frame) for example in examples])
    return LabelledBatch(
        images=images,
        inside=torch.stack([pad(e.inside, cells) for e in examples]),
        labels=torch.stack([e.labels for e in examples]),
    )

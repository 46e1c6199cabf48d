"""A data set as every evaluation reads it: batches of one canvas with their truth, and words matched to categories."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch.utils.data import DataLoader, Dataset

from lexiseg.core.batches import to_image_batch
from lexiseg.core.concepts import same_word
from lexiseg.core.errors import FormatError, PictureError
from lexiseg.core.frames import Frame
from lexiseg.core.images import open_picture
from lexiseg.core.messages import shown
from lexiseg.core.structures import ImageBatch
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.formats.coco_panoptic import Category, Sample, check_list
from lexiseg.data.formats.id_maps import load_ids


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """One picture's panoptic annotation, in memory."""

    sample: Sample
    ids: np.ndarray
    """int32 (H, W): segment ids at the picture's own size; 0 is void."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TruthBatch:
    """Pictures of one canvas, with their annotations in the same order."""

    images: ImageBatch
    truths: tuple[Any, ...]
    """A `Truth` each, or what another task holds an answer against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A sample that could not be read."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Opened:
    """A sample that could be read."""

    picture: UInt8[np.ndarray, "H W 3"]
    truth: Any


Open = Callable[[Any], Opened]
"""Reads one sample; raises PictureError or FormatError."""


def open_all(open_one: Open, samples: Sequence[Any], *, workers: int = 0) -> Iterator[Opened | Skipped]:
    """Opens samples in their order; those that cannot be read are yielded by name, and the rest goes on.

    Args:
        open_one: must be picklable if there are workers.
        samples: on disk, each with a `file_name`.
        workers: processes that read ahead; 0 reads in this one.
    """
    own = torch.Generator()  # not torch's own, which is the caller's
    loader: Any = DataLoader(_Samples(open_one, samples), batch_size=None, num_workers=workers, generator=own)
    yield from loader


def batched(
    opened: Iterable[Opened | Skipped], *, longest: int, batch_size: int, shortest: int | None = None
) -> Iterator[TruthBatch | Skipped]:
    """Yields batches whose pictures share one canvas; the sides are those of `core.batches.to_image_batch`.

    A picture is never padded for the sake of its neighbours, so figures do not depend on the batch size.
    """
    waiting: dict[tuple[int, int], list[Opened]] = {}
    for one in opened:
        if isinstance(one, Skipped):
            yield one
            continue
        height, width = one.picture.shape[:2]
        canvas = Frame.fit((height, width), longest=longest, shortest=shortest).padded
        together = waiting.setdefault(canvas, [])
        together.append(one)
        if len(together) == batch_size:
            yield _to_batch(waiting.pop(canvas), longest, shortest)
    for together in waiting.values():
        yield _to_batch(together, longest, shortest)


def open_panoptic(sample: Sample, categories: Sequence[Category]) -> Opened:
    """A picture and its panoptic truth.

    Map and list of a truth need not agree, as the official evaluator has it: what `panoptic_quality.tally_pair` makes
    of that stands there. (ADE20K's usual panoptic files list stuff that things cover wholly.)

    Raises:
        PictureError: if the picture cannot be read.
        FormatError: if the truth cannot be read, its list makes no sense, or it is of another size.
    """
    check_list(sample.file_name, sample.segments, categories)
    ids = load_ids(sample.segmentation_path)
    picture = open_picture(sample.image_path)
    check_size(sample.file_name, picture, ids)
    return Opened(picture=picture, truth=Truth(sample=sample, ids=ids))


def check_size(file_name: str, picture: np.ndarray, truth: np.ndarray) -> None:
    """Refuses a truth that is not of its picture's size."""
    if picture.shape[:2] != truth.shape:
        raise FormatError(
            f"{file_name}: the picture is {picture.shape[1]} x {picture.shape[0]} pixels, "
            f"its segmentation {truth.shape[1]} x {truth.shape[0]}."
        )


def match_words(categories: Sequence[Category], vocabulary: Vocabulary) -> tuple[Vocabulary, tuple[int, ...]]:
    """Pairs the words that are asked for with a data set's categories, by name or synonym.

    Args:
        categories: of the data set.
        vocabulary: the words, one concept per category in any order.

    Returns:
        The vocabulary, in its own order, where each concept is a thing or stuff as the data set has it; and the
        category id of each concept.

    Raises:
        ValueError: naming the first category without a word, word without a category, or word with two categories.
    """
    class_of = {same_word(name): index for index, c in enumerate(vocabulary.concepts) for name in c.names}
    category_of: dict[int, Category] = {}
    for category in categories:
        index = class_of.get(same_word(category.name))
        if index is None:
            raise ValueError(
                f"the data set's category {shown(category.name)} is not among the words"
                f"{_near(category.name, vocabulary.row_names())}: evaluate with a vocabulary that names every category."
            )
        if index in category_of:
            raise ValueError(
                f"the categories {shown(category_of[index].name)} and {shown(category.name)} are both the word "
                f"{shown(vocabulary.names[index])}: give each a concept of its own."
            )
        category_of[index] = category
    for index, name in enumerate(vocabulary.names):
        if index not in category_of:
            raise ValueError(
                f"the word {shown(name)} is no category of the data set{_near(name, [c.name for c in categories])}: "
                "evaluate with the data set's own words."
            )
    concepts = tuple(replace(c, is_thing=category_of[i].is_thing) for i, c in enumerate(vocabulary.concepts))
    return replace(vocabulary, concepts=concepts), tuple(category_of[i].id for i in range(len(concepts)))


def match_groups(
    groups: Mapping[str, Sequence[str]], categories: Sequence[Category]
) -> dict[str, tuple[Category, ...]]:
    """Finds the categories of each group, such as the names that training has not seen.

    Raises:
        ValueError: if a name of a group is no category.
    """
    known = {same_word(category.name): category for category in categories}
    found: dict[str, tuple[Category, ...]] = {}
    for group, names in groups.items():
        for name in names:
            if same_word(name) not in known:
                near = _near(name, [category.name for category in categories])
                raise ValueError(
                    f"{shown(name)} of group {shown(group)} is no category of the data set{near}: leave it out."
                )
        found[group] = tuple(known[same_word(name)] for name in names)
    return found


class _Samples(Dataset[Opened | Skipped]):
    """Samples that are opened when they are asked for, in whichever process asks."""

    def __init__(self, open_one: Open, samples: Sequence[Any]) -> None:
        self._open_one = open_one
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Opened | Skipped:
        sample = self._samples[index]
        try:
            return self._open_one(sample)
        except (PictureError, FormatError) as error:
            return Skipped(name=sample.file_name, reason=str(error))


def _to_batch(together: list[Opened], longest: int, shortest: int | None) -> TruthBatch:
    images = to_image_batch([one.picture for one in together], longest=longest, shortest=shortest)
    return TruthBatch(images=images, truths=tuple(one.truth for one in together))


def _near(name: str, others: Sequence[str]) -> str:
    """What may have been meant, as it stands in a message."""
    near = difflib.get_close_matches(name, others, n=3, cutoff=0.6)
    return f" (near: {', '.join(shown(other) for other in near)})" if near else ""

"""The data set of an evaluation, opened by its name, and the vocabulary for it."""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.catalogue import CATALOGUE, open_dataset
from lexiseg.data.categories import asked_categories, match_vocabulary, own_vocabulary, vocabulary_categories
from lexiseg.data.dataset import MASK_KINDS, AnnotationKind, Dataset, crowds_as_things, part_of
from lexiseg.storybook.datasets import DRAWN, draw_dataset

logger = logging.getLogger(__name__)


def open_data(
    data: Dataset | str | Path,
    root: Path | None,
    split: str | None,
    vocabulary: Vocabulary | None,
    *,
    drawn_in: Path,
    as_things: bool = False,
    **drawing: Any,
) -> tuple[Dataset, Vocabulary]:
    """Opens a data set with masks, and finds the vocabulary for it.

    Args:
        data: a folder, a name of the catalogue, a drawn data set such as "storybook-novel", or what is open already.
        root: where a data set of the catalogue lies.
        split: val, train ...; val if not given.
        vocabulary: a concept per category, or for some of them: the others are then left out, and a note says so; the
            data set's own if not given.
        drawn_in: folder for the pictures of a drawn data set.
        as_things: takes crowds of a data set that is opened here for things; see `crowds_as_things`.
        drawing: count, seed, workers and report of `storybook.datasets.draw_dataset`.

    Returns:
        The data set, and the vocabulary.

    Raises:
        ValueError: if there is no such data set, it can't be read, it has no masks, or the vocabulary does not fit
            what would be drawn.
    """
    if not isinstance(data, str | Path):
        return _asked_part(data, vocabulary or own_vocabulary(data.categories))
    name = str(data)
    if name in DRAWN:
        vocabulary = vocabulary or DRAWN[name].vocabulary
        drawn = vocabulary_categories(DRAWN[name].vocabulary)
        match_vocabulary(asked_categories(drawn, vocabulary), vocabulary)  # refused before anything is drawn
        return _asked_part(draw_dataset(name, drawn_in, split=split, **drawing), vocabulary)
    dataset = open_known(data, root, split, usual="val", needs=MASK_KINDS, drawn=f"one of {', '.join(DRAWN)}")
    dataset = crowds_as_things(dataset) if as_things else dataset
    return _asked_part(dataset, vocabulary or vocabulary_of(name, dataset))


def _asked_part(dataset: Dataset, vocabulary: Vocabulary) -> tuple[Dataset, Vocabulary]:
    """The data set under the categories that the vocabulary names."""
    asked = asked_categories(dataset.categories, vocabulary)
    if left := len(dataset.categories) - len(asked):
        logger.warning(
            "Note: of %d categories the words name %d; a segment found on one of the other %d is wrong, and "
            "--negatives lets words that are not asked compete.",
            len(dataset.categories),
            len(asked),
            left,
        )
    return part_of(dataset, asked), vocabulary


def open_known(
    data: str | Path,
    root: Path | None,
    split: str | None,
    *,
    usual: str | None = None,
    needs: Collection[AnnotationKind] = (),
    drawn: str,
) -> Dataset:
    """Opens a folder, or a data set of the catalogue.

    Args:
        data: the folder, or the name.
        root: where a data set of the catalogue lies.
        split: val, train ...; `usual` if not given.
        usual: as `open_dataset` has it.
        needs: what annotations are wanted for: one of these kinds, if any.
        drawn: what could have been named instead, for messages.

    Raises:
        ValueError: if there is no such data set, or it can't be read or lacks what it needs.
    """
    if str(data) not in CATALOGUE and not Path(data).exists():
        raise ValueError(
            f"there is no data set {str(data)!r}: give a folder, {drawn}, or a name that 'lexiseg data list' shows."
        )
    return open_dataset(data, root, split, usual=usual, needs=needs)


def vocabulary_of(name: str, dataset: Dataset) -> Vocabulary:
    """The vocabulary that the catalogue has for a data set, or its categories' own names."""
    listed = CATALOGUE[name].vocabulary if name in CATALOGUE else ""
    return Vocabulary.of(listed) if listed else own_vocabulary(dataset.categories)

"""What an evaluation is given by name: a data set with its own vocabulary, and the classes that training has seen."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.catalogue import CATALOGUE, open_dataset
from lexiseg.data.categories import match_words, own_vocabulary, vocabulary_categories
from lexiseg.data.dataset import MASK_KINDS, AnnotationKind, Dataset
from lexiseg.storybook.datasets import DRAWN, draw_dataset


def open_data(
    data: Dataset | str | Path,
    root: Path | None,
    split: str | None,
    asked: Vocabulary | None,
    *,
    drawn_in: Path,
    **drawing: Any,
) -> tuple[Dataset, Vocabulary]:
    """Opens a data set with masks, and says what it is asked for.

    Args:
        data: a folder, a name of the catalogue, a drawn data set such as "storybook-novel", or what is open already.
        root: where a data set of the catalogue lies.
        split: val, train ...; the data set's first if not given.
        asked: the words; the data set's own if not given.
        drawn_in: folder for the pictures of a drawn data set.
        drawing: count, seed, workers and report of `storybook.datasets.draw_dataset`.

    Returns:
        The data set, and the vocabulary.

    Raises:
        ValueError: if there is no such data set, it can't be read, it has no masks, or the words do not fit what would
            be drawn.
    """
    if not isinstance(data, str | Path):
        return data, asked or own_vocabulary(data.categories)
    name = str(data)
    if name in DRAWN:
        vocabulary = asked or DRAWN[name].vocabulary
        match_words(vocabulary_categories(DRAWN[name].vocabulary), vocabulary)  # refused before anything is drawn
        return draw_dataset(name, drawn_in, split=split, **drawing), vocabulary
    dataset = open_known(data, root, split, needs=MASK_KINDS, drawn=f"one of {', '.join(DRAWN)}")
    return dataset, asked or words_of(name, dataset)


def open_known(
    data: str | Path, root: Path | None, split: str | None, *, needs: Collection[AnnotationKind] = (), drawn: str
) -> Dataset:
    """Opens a folder, or a data set of the catalogue.

    Args:
        data: the folder, or the name.
        root: where a data set of the catalogue lies.
        split: val, train ...; the data set's first if not given.
        needs: what annotations are wanted for: one of these kinds, if any.
        drawn: what could have been named instead, for messages.

    Raises:
        ValueError: if there is no such data set, or it can't be read or lacks what it needs.
    """
    if str(data) not in CATALOGUE and not Path(data).exists():
        raise ValueError(
            f"there is no data set {str(data)!r}: give a folder, {drawn}, or a name that 'lexiseg data list' shows."
        )
    return open_dataset(data, root, split, needs=needs)


def words_of(name: str, dataset: Dataset) -> Vocabulary:
    """The vocabulary that the catalogue has for a data set, or its categories' own names."""
    listed = CATALOGUE[name].vocabulary if name in CATALOGUE else ""
    return Vocabulary.of(listed) if listed else own_vocabulary(dataset.categories)

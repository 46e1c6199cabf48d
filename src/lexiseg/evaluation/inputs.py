"""What an evaluation is given by name: a data set with its own vocabulary, and the classes that training has seen."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lexiseg.core.concepts import same_word
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.catalogue import CATALOGUE, open_dataset
from lexiseg.data.datasets.folders import own_words
from lexiseg.data.datasets.spec import AnnotatedDataset
from lexiseg.data.formats.coco_panoptic import Category
from lexiseg.evaluation.loading import match_words
from lexiseg.storybook.datasets import DRAWN, draw_dataset
from lexiseg.storybook.export import vocabulary_categories


def open_data(
    data: AnnotatedDataset | str | Path,
    root: Path | None,
    split: str | None,
    asked: Vocabulary | None,
    *,
    drawn_in: Path,
    **drawing: Any,
) -> tuple[AnnotatedDataset, Vocabulary]:
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
        return data, asked or own_words(data.categories)
    name = str(data)
    if name in DRAWN:
        vocabulary = asked or DRAWN[name].vocabulary
        match_words(vocabulary_categories(DRAWN[name].vocabulary), vocabulary)  # refused before anything is drawn
        return draw_dataset(name, drawn_in, split=split, **drawing), vocabulary
    if name not in CATALOGUE and not Path(name).exists():
        raise ValueError(
            f"there is no data set {name!r}: give a folder, one of {', '.join(DRAWN)}, "
            "or a name that 'lexiseg data list' shows."
        )
    dataset = open_dataset(data, root, split)
    if not isinstance(dataset, AnnotatedDataset):
        raise ValueError(f"{name} has no masks to measure a segmentation by: choose another data set.")
    listed = CATALOGUE[name].vocabulary if name in CATALOGUE else ""
    return dataset, asked or (Vocabulary.of(listed) if listed else own_words(dataset.categories))


def concept_names(categories: Iterable[Category], asked: Vocabulary) -> dict[str, str]:
    """The name of the concept that stands for each category, by the category's own."""
    name_of = {same_word(name): concept.name for concept in asked.concepts for name in concept.names}
    return {category.name: name_of[same_word(category.name)] for category in categories}


def renamed(categories: Iterable[Category], asked: Vocabulary) -> dict[str, str]:
    """The categories that are asked for by another name, with that name."""
    names = concept_names(categories, asked)
    return {category: name for category, name in names.items() if same_word(category) != same_word(name)}


def seen_and_unseen(
    categories: Iterable[Category], asked: Vocabulary, training: Vocabulary
) -> dict[str, tuple[str, ...]]:
    """Names of categories that training had masks of, and the others; nothing if all are of one kind."""
    trained = {same_word(name) for name in training.row_names()}
    names_of = {same_word(name): concept.names for concept in asked.concepts for name in concept.names}
    groups: dict[str, list[str]] = {"seen": [], "unseen": []}
    for category in categories:
        names = names_of.get(same_word(category.name), (category.name,))
        is_seen = any(same_word(name) in trained for name in names)
        groups["seen" if is_seen else "unseen"].append(category.name)
    return {key: tuple(names) for key, names in groups.items()} if all(groups.values()) else {}

"""Categories of data sets and concepts of vocabularies, matched by name or synonym."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lexiseg.core.concepts import Concept, same_word
from lexiseg.core.messages import shown
from lexiseg.core.vocabulary import Vocabulary, builtin_names, label_table
from lexiseg.data.dataset import Category


def builtin_categories(listed: str, ids: Sequence[int] | None = None) -> tuple[Category, ...]:
    """The categories of a built-in list, under the data set's own numbers.

    Args:
        listed: name of the list.
        ids: a number per concept; the list's own label values if not given.
    """
    return vocabulary_categories(Vocabulary.of(listed), label_table(listed).values if ids is None else ids)


def vocabulary_categories(vocabulary: Vocabulary, ids: Sequence[int] | None = None) -> tuple[Category, ...]:
    """The categories of a vocabulary in its order, numbered from 1 if no numbers are given."""
    numbers = range(1, len(vocabulary) + 1) if ids is None else ids
    return tuple(
        Category(id=number, name=name, is_thing=concept.is_thing)
        for number, name, concept in zip(numbers, vocabulary.names, vocabulary.concepts, strict=True)
    )


def places(categories: Sequence[Category]) -> dict[int, int]:
    """Category id to place in the list: the class map of label files that hold the data set's own numbers."""
    return {category.id: place for place, category in enumerate(categories)}


def own_vocabulary(categories: Sequence[Category]) -> Vocabulary:
    """The built-in list that names exactly these categories, which adds synonyms, or else their names; in their order.

    Raises:
        VocabularyError: if two categories have one name.
    """
    names = [same_word(category.name) for category in categories]
    for listed in builtin_names():
        known = Vocabulary.of(listed)
        concept_of = {same_word(concept.name): concept for concept in known.concepts}
        if concept_of.keys() == set(names):
            return Vocabulary(tuple(concept_of[name] for name in names), known.templates)
    return Vocabulary(_own_concepts(categories))


def vocabulary_for(
    categories: Sequence[Category], vocabulary: Vocabulary | None, templates: tuple[str, ...]
) -> Vocabulary:
    """The concepts of a data set's categories, one for each: of a vocabulary, or the categories' own names.

    Raises:
        ValueError: naming the first category that the vocabulary lacks, or that shares a concept with another.
    """
    own = {same_word(concept.name): concept for concept in _own_concepts(categories)}
    known = Vocabulary(tuple(own.values())) if vocabulary is None else vocabulary
    places = _numbers_of(known)
    found: dict[int, Concept] = {}
    for category in categories:
        place = places.get(same_word(category.name))
        if place is None or place in found:
            problem = "shares its word with another category" if place is not None else _unknown(category.name, known)
            raise ValueError(
                f"the data set's category {category.name!r} {problem}: each needs one of its own, in --vocabulary, or "
                "in what the model knows where it is old data."
            )
        found[place] = known.concepts[place]
    return Vocabulary(tuple(found.values()), templates)


def _own_concepts(categories: Sequence[Category]) -> tuple[Concept, ...]:
    return tuple(Concept(category.name, is_thing=category.is_thing) for category in categories)


def match_categories(categories: Sequence[Category], vocabulary: Vocabulary) -> dict[int, int]:
    """Category id to the number of its concept, found by name or synonym; others are left out."""
    numbers = _numbers_of(vocabulary)
    return {c.id: numbers[same_word(c.name)] for c in categories if same_word(c.name) in numbers}


def match_vocabulary(categories: Sequence[Category], vocabulary: Vocabulary) -> tuple[Vocabulary, tuple[int, ...]]:
    """Pairs the concepts that are asked for with a data set's categories, by name or synonym.

    Args:
        categories: of the data set.
        vocabulary: one concept per category, in any order.

    Returns:
        The vocabulary, in its own order, where each concept is a thing or stuff as the data set has it; and the
        category id of each concept.

    Raises:
        ValueError: naming the first category without a word, word without a category, or word with two categories.
    """
    numbers = _numbers_of(vocabulary)
    category_of: dict[int, Category] = {}
    for category in categories:
        index = numbers.get(same_word(category.name))
        if index is None:
            raise ValueError(
                f"the data set's category {shown(category.name)} {_unknown(category.name, vocabulary)}: evaluate with "
                "a vocabulary that names every category."
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


def asked_categories(categories: Sequence[Category], vocabulary: Vocabulary) -> tuple[Category, ...]:
    """The categories that a vocabulary names; all of them if it names none, which `match_vocabulary` refuses."""
    numbers = match_categories(categories, vocabulary)
    return tuple(category for category in categories if category.id in numbers) or tuple(categories)


def match_groups(
    groups: Mapping[str, Sequence[str]], categories: Sequence[Category]
) -> dict[str, tuple[Category, ...]]:
    """Finds the categories of each group, such as the names that training has not seen.

    Raises:
        ValueError: if a name of a group is no category.
    """
    known = {same_word(category.name): category for category in categories}
    for group, name in ((group, name) for group, names in groups.items() for name in names):
        if same_word(name) not in known:
            near = _near(name, [category.name for category in categories])
            raise ValueError(
                f"{shown(name)} of group {shown(group)} is no category of the data set{near}: leave it out."
            )
    return {group: tuple(known[same_word(name)] for name in names) for group, names in groups.items()}


def concept_names(categories: Sequence[Category], vocabulary: Vocabulary) -> dict[str, str]:
    """For each category's name that of the concept which stands for it; every category must have one."""
    numbers = _numbers_of(vocabulary)
    return {category.name: vocabulary.names[numbers[same_word(category.name)]] for category in categories}


def renamed(categories: Sequence[Category], vocabulary: Vocabulary) -> dict[str, str]:
    """The categories that are asked for by another name, with that name."""
    names = concept_names(categories, vocabulary).items()
    return {name: asked for name, asked in names if same_word(name) != same_word(asked)}


def seen_and_unseen(
    categories: Sequence[Category], asked: Vocabulary, training: Vocabulary
) -> dict[str, tuple[str, ...]]:
    """Names of categories that training had masks of, and the others; nothing if all are of one kind."""
    trained = {same_word(name) for name in training.row_names()}
    numbers = _numbers_of(asked)
    groups: dict[str, list[str]] = {"seen": [], "unseen": []}
    for name in (category.name for category in categories):
        number = numbers.get(same_word(name))
        names = (name,) if number is None else asked.concepts[number].names
        is_unseen = trained.isdisjoint(map(same_word, names))
        groups["unseen" if is_unseen else "seen"].append(name)
    return {key: tuple(names) for key, names in groups.items()} if all(groups.values()) else {}


def _numbers_of(vocabulary: Vocabulary) -> dict[str, int]:
    """The number of the concept that has a name or synonym, by the form of it that `same_word` gives.

    Concepts with ids may share a name: it is that of the only one whose first name it is, of all others nobody's.
    """
    numbers = {same_word(name): number for number, name in enumerate(vocabulary.names)}
    rows = list(zip(map(same_word, vocabulary.row_names()), vocabulary.row_concepts(), strict=True))
    owners = Counter(name for name, _ in rows)
    return {name: number for name, number in rows if owners[name] == 1} | numbers


def _unknown(name: str, vocabulary: Vocabulary) -> str:
    """Why no concept has a category's name, as it stands in a message."""
    words = zip(vocabulary.names, vocabulary.concepts, strict=True)
    homonyms = [word for word, concept in words if same_word(name) in map(same_word, concept.names)]
    if homonyms:
        return f"has the name of several words (call it {' or '.join(map(shown, homonyms[:3]))})"
    return f"is none of the words{_near(name, vocabulary.row_names())}"


def _near(name: str, others: Sequence[str]) -> str:
    """What may have been meant, as it stands in a message."""
    near = difflib.get_close_matches(name, others, n=3, cutoff=0.6)
    return f" (near: {', '.join(shown(other) for other in near)})" if near else ""

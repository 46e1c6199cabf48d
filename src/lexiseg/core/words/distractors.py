"""English names of thousands of things that a picture may not show: words for a model to be led astray by."""

from collections.abc import Iterator

from lexiseg.core.concepts import same_word
from lexiseg.core.errors import VocabularyError
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.core.words.wordnet import WordNet

LISTS = ("imagenet", "ade20k-full", "pascal-context-459", "coco-stuff")
"""Built-in lists of what photographs show, which are asked first."""
_STRIDE = (
    7_919  # nouns between one that is taken and the next, so that a few are of all kinds; a prime, so that all come
)


def distractor_names(
    count: int, *, besides: Vocabulary | None = None, wordnet: WordNet | None = None
) -> tuple[str, ...]:
    """So many distinct names, always the same ones and in the same order: first names of built-in lists, then nouns.

    Args:
        count: how many.
        besides: their concepts and all that shares a name with them are left out, so that no distractor is right.
        wordnet: its nouns for what can be seen are taken where the lists do not reach.

    Raises:
        VocabularyError: if there are not so many.
    """
    asked = set(map(same_word, besides.row_names())) if besides is not None else set()
    chosen: dict[str, str] = {}
    for names in _concepts(wordnet):
        if len(chosen) == count:
            break
        if asked.isdisjoint(map(same_word, names)):
            chosen.setdefault(same_word(names[0]), names[0])
    if len(chosen) < count:
        more = "take fewer" if wordnet is not None else "take fewer, or give a WordNet"
        raise VocabularyError(f"expected {count} distractors, but there are only {len(chosen)}: {more}.")
    return tuple(chosen.values())


def _concepts(wordnet: WordNet | None) -> Iterator[tuple[str, ...]]:
    """The names of every concept of the lists, then of WordNet's kinds."""
    for listed in LISTS:
        for concept in Vocabulary.of(listed).concepts:
            yield concept.names
    if wordnet is None:
        return
    kinds = list(wordnet.kinds())
    stride = _STRIDE if len(kinds) % _STRIDE else 1
    for place in range(len(kinds)):
        kind = kinds[place * stride % len(kinds)]
        if wordnet.is_seen(kind.id):
            yield kind.lemmas

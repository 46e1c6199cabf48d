"""The model inside the package: where it lies, and which words it knows."""

import functools
import re
from pathlib import Path

from lexiseg.core.concepts import same_word
from lexiseg.core.vocabulary import Concept, Vocabulary
from lexiseg.data.storybook.pen import COLOURS, PATTERNS

SHIPPED_NAME = "storybook"


def shipped_folder() -> Path:
    """The folder of the shipped model."""
    return Path(__file__).with_name(SHIPPED_NAME)


def unknown_concepts(vocabulary: Vocabulary) -> tuple[str, ...]:
    """The concepts that lie outside what the shipped weights have ever read.

    Their CLIP read captions of the drawn world alone. A concept counts as known if one of its
    names, or every word of one of its names, occurs there ("red barn door" with "barn door" does).
    """
    return tuple(concept.name for concept in vocabulary.concepts if not _is_known(concept))


def _is_known(concept: Concept) -> bool:
    words = _known_words()
    return any(set(_words(name)) <= words for name in concept.names if _words(name))


@functools.cache
def _known_words() -> frozenset[str]:
    """Every single word of the drawn world's names, its near-synonyms and its attributes."""
    names = [*COLOURS, *PATTERNS]
    for listed in ("storybook-all", "storybook-dusk"):
        names += Vocabulary.of(listed).row_names()
    return frozenset(word for name in names for word in _words(name))


def _words(name: str) -> list[str]:
    return re.findall(r"\w+", same_word(name))

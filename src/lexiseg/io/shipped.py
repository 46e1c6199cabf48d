"""The models inside the package: where they lie, and which words they know."""

import functools
import re
from collections.abc import Mapping
from pathlib import Path

from lexiseg.core.concepts import same_word
from lexiseg.core.vocabulary import Concept, Vocabulary
from lexiseg.storybook.drawings.pen import COLOURS, PATTERNS

SHIPPED_NAME = "storybook"
"""The one that is meant where nobody names a model."""
SHIPPED: Mapping[str, str] = {SHIPPED_NAME: "opsnet", "tiny-ovseg": "ovseg"}
"""Each shipped model's name and folder: an OPSNet and an OVSeg, both of the drawn world."""


def shipped_folder(name: str = SHIPPED_NAME) -> Path:
    """The folder of a shipped model."""
    return Path(__file__).with_name("shipped_weights") / SHIPPED[name]


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

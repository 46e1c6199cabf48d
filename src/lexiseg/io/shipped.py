"""The models inside the package: their folders, and the words of their training captions."""

import functools
import re
from collections.abc import Mapping
from pathlib import Path

from lexiseg.core.concepts import same_word
from lexiseg.core.vocabulary import Concept, Vocabulary
from lexiseg.storybook.drawings.pen import COLOURS, PATTERNS

SHIPPED_NAME = "storybook"
"""The default model."""
SHIPPED: Mapping[str, str] = {SHIPPED_NAME: "opsnet", "tiny-ovseg": "ovseg"}
"""Each shipped model's name and folder: an OPSNet and an OVSeg, both of the drawn world."""


def shipped_folder(name: str = SHIPPED_NAME) -> Path:
    """The folder of a shipped model."""
    return Path(__file__).with_name("shipped_weights") / SHIPPED[name]


def unknown_concepts(vocabulary: Vocabulary) -> tuple[str, ...]:
    """The names of concepts outside the training captions of the shipped models.

    Their CLIP was trained on captions of the drawn world only. A concept counts as known if every word of one of its
    names occurs there ("red barn door" does, as "red" and "barn door" do).
    """
    known = _known_words()

    def is_known(concept: Concept) -> bool:
        return any(set(_words(name)) <= known for name in concept.names if _words(name))

    return tuple(concept.name for concept in vocabulary.concepts if not is_known(concept))


@functools.cache
def _known_words() -> frozenset[str]:
    """Every single word of the drawn world's names, its near-synonyms and its attributes."""
    names = [*COLOURS, *PATTERNS]
    for listed in ("storybook-all", "storybook-dusk"):
        names += Vocabulary.of(listed).row_names()
    return frozenset(word for name in names for word in _words(name))


def _words(name: str) -> list[str]:
    return re.findall(r"\w+", same_word(name))

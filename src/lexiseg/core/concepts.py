"""One concept of a vocabulary: its names, thing or stuff, and its place in a taxonomy."""

import functools
import re
import unicodedata
from dataclasses import dataclass

from lexiseg.core.errors import VocabularyError
from lexiseg.core.messages import shown

MAX_NAME_LENGTH = 200  # characters; CLIP's text towers read 77 tokens and cut the rest


_FILLERS = "\u034f\u115f\u1160\u2800\u3164\uffa0"
"""Letters without a shape, beside those that Unicode calls formats."""
_STRAY_JOINERS = re.compile("(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])")
"""Joiners where nothing is joined; within emoji, Persian or Hindi they belong to the word."""


@functools.lru_cache(65536)
def plain(name: str) -> str:
    """A name in composed Unicode (NFC), with single spaces and without invisible letters."""
    if name.isascii():
        return " ".join(name.split())
    shown = (c for c in name if c in "\u200c\u200d" or not (unicodedata.category(c) == "Cf" or c in _FILLERS))
    name = _STRAY_JOINERS.sub("", "".join(shown))
    return " ".join(unicodedata.normalize("NFC", name).split())


def same_word(name: str) -> str:
    """The key under which two spellings count as one name: case, spaces and invisible letters are ignored."""
    return plain(name).casefold()


def tidy(name: str, where: str) -> str:
    """Normalises a name, see `plain`, and checks it.

    Args:
        name: as a user wrote it.
        where: the entry it comes from, for messages.

    Raises:
        VocabularyError: if it is empty, longer than `MAX_NAME_LENGTH` or holds control characters.
    """
    name = plain(name)
    if len(name) > MAX_NAME_LENGTH:
        raise VocabularyError(
            f"a name has at most {MAX_NAME_LENGTH} characters, but {shown(name)} has {len(name)}: "
            "shorten it, or put commas between the words."
        )
    kinds = set(map(unicodedata.category, name))
    if kinds & {"Cc", "Cs"}:
        raise VocabularyError(f"the name {shown(name)} holds a control character: write it anew.")
    if not name or kinds == {"Cf"}:  # nothing, or nothing but joiners
        raise VocabularyError(f"{where} holds an empty name: write a word there or remove it.")
    return name


@dataclass(frozen=True, slots=True)
class Concept:
    """One thing or stuff category, under one or more names; raises VocabularyError for a name that stands twice."""

    name: str
    synonyms: tuple[str, ...] = ()
    """Further names; a region matches the concept if it matches any of its names."""
    is_thing: bool = True
    """Things are segmented one by one; stuff is one segment per picture."""
    path: tuple[str, ...] = ()
    """Place in the taxonomy, from the root ("thing" or "stuff") down to the parent."""

    def __post_init__(self) -> None:
        where = f"the concept {shown(self.name)}" if self.name.strip() else "a concept"
        names = tuple(tidy(name, where) for name in (self.name, *self.synonyms))
        seen: dict[str, int] = {}
        for place, name in enumerate(names):
            first = seen.setdefault(same_word(name), place)
            if first != place:
                role = f"synonym {first}" if first else "its name"
                raise VocabularyError(
                    f"{shown(name)} stands twice in the concept {shown(names[0])}, as {role} and "
                    f"as synonym {place}: remove one of the two."
                )
        path = tuple(tidy(name, f"the path of {where}") for name in self.path)
        object.__setattr__(self, "name", names[0])
        object.__setattr__(self, "synonyms", names[1:])
        object.__setattr__(self, "path", path)

    @property
    def names(self) -> tuple[str, ...]:
        """The name, then its synonyms."""
        return (self.name, *self.synonyms)

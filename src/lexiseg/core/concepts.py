"""One concept of a vocabulary: its names, thing or stuff, and its place in a taxonomy."""

import unicodedata
from dataclasses import dataclass

from lexiseg.core.errors import VocabularyError
from lexiseg.core.messages import shown

MAX_NAME_LENGTH = 200  # characters; CLIP's text towers read 77 tokens, so more is never seen


def same_word(name: str) -> str:
    """The form under which two spellings count as one name: without case."""
    return name.casefold()


def tidy(name: str, where: str) -> str:
    """Puts a name into its one form: composed Unicode, single spaces; refuses what is no name."""
    name = " ".join(unicodedata.normalize("NFC", name).split())
    if len(name) > MAX_NAME_LENGTH:
        raise VocabularyError(
            f"a name has at most {MAX_NAME_LENGTH} characters, but {shown(name)} has {len(name)}: "
            "shorten it, or put commas between the words."
        )
    kinds = set(map(unicodedata.category, name))
    if kinds & {"Cc", "Cs"}:
        raise VocabularyError(f"the name {shown(name)} holds a control character: write it anew.")
    if kinds <= {"Cf", "Zs"}:  # nothing, or nothing but invisible characters
        raise VocabularyError(f"{where} holds an empty name: write a word there or remove it.")
    return name


@dataclass(frozen=True, slots=True)
class Concept:
    """One thing or stuff to look for, under one or more names."""

    name: str
    synonyms: tuple[str, ...] = ()
    """Further names; a picture shows the concept as soon as one of its names fits."""
    is_thing: bool = True
    """Things are counted one by one; stuff is one segment per picture."""
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

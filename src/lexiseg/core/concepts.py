"""One concept of a vocabulary: names, thing or stuff, place in a taxonomy; and lists of words as people write them."""

import csv
import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lexiseg.core.errors import VocabularyError
from lexiseg.core.messages import shown

NAME_COLUMNS = ("name", "class", "class_name", "label", "category")
"""Headings of the column of words in tables."""
MAX_NAME_LENGTH = 200  # characters; CLIP's text towers read 77 tokens and cut the rest


SEPARATORS = re.compile("[,，、]")  # the comma of Latin and the two of Chinese and Japanese
_LINES = re.compile(r"[\s,，、]*[\r\n][\s,，、]*")
_BRACKETS = re.compile(r"\s*\[([^\[\]]*)\]\s*")
_FOREIGN = re.compile(r"\s*[;；]\s*|\s+\.(?=\s|$)")
"""Between words in ODISE and in Grounding DINO."""
_SENTENCES = re.compile(r"(?<!\bSt)(?<!\bMt)(?<!\bDr)(?<!\bMr)\s*\.(?:\s+|$)", re.IGNORECASE)
"""Between words in Detic and Grounding DINO; a saint, a mountain and a doctor go on."""
_NUMBERED = re.compile(r"(\d+)[\s:,]+(\S.*)")
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


@functools.lru_cache(65536)
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
    if name and name.isascii() and name.isprintable():
        return name
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
    id: str = field(default="", metadata={"leave_out_empty": True})
    """Identifier in a source such as WordNet, "n02012849"; concepts of the same name are told apart by it."""

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
        object.__setattr__(self, "id", self.id and tidy(self.id, f"the id of {where}"))

    @property
    def names(self) -> tuple[str, ...]:
        """The name, then its synonyms."""
        return (self.name, *self.synonyms)


def shown_names(concepts: Iterable[Concept]) -> tuple[str, ...]:
    """The first name of every concept; with its id, "crane (n02012849)", where it has one and others share the name."""
    listed = tuple(concepts)
    if not any(concept.id for concept in listed):
        return tuple(concept.name for concept in listed)
    count = Counter(same_word(concept.name) for concept in listed)
    return tuple(f"{c.name} ({c.id})" if c.id and count[same_word(c.name)] > 1 else c.name for c in listed)


def kinds_of(concepts: Iterable[Concept]) -> dict[str, tuple[int, bool]]:
    """For the `same_word` of every name, the place of the first concept that has it, and whether that is a thing."""
    kinds: dict[str, tuple[int, bool]] = {}
    for place, concept in enumerate(concepts):
        for name in concept.names:
            kinds.setdefault(same_word(name), (place, concept.is_thing))
    return kinds


def split_words(text: str) -> tuple[list[str], bool]:
    """The entries of a text: between commas or in lines; or as other programs separate them.

    Returns:
        The entries, and whether the separators were those of other programs: `;`, ` . ` or a list in brackets.
    """
    is_foreign = False
    if found := _BRACKETS.fullmatch(text):
        text, is_foreign = re.sub(r"""(^|,)\s*["'](.*?)["']\s*(?=,|$)""", r"\1\2", found[1]), True
    has_dots = text.rstrip().endswith(".") and not SEPARATORS.search(text)
    parts = [part for part in (_SENTENCES if has_dots else _FOREIGN).split(text) if part.strip()]
    if len(parts) > 1 or (has_dots and _FOREIGN.search(text)):
        text, is_foreign = ",".join(parts), True
    if "\n" in text or "\r" in text:
        text = _LINES.sub(",", text.strip(" \t\r\n,，、"))
    return (SEPARATORS.split(text) if text.strip() else []), is_foreign


def numbered_lines(lines: list[str]) -> list[tuple[int, str]]:
    """Numbers and words of lines: their own, as in "7 road", where each has one; or else from 0 on."""
    found = [_NUMBERED.fullmatch(line) for line in lines]
    if all(found):
        return [(int(match[1]), match[2]) for match in found if match]
    return list(enumerate(lines))


def line_words(text: str) -> str:
    """The words of a text file, one per line, without the numbers that each line may begin with."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "\n".join(line for _, line in numbered_lines(lines))


def table_words(text: str) -> list[str]:
    """The words of a CSV: its column of names, or else all cells that are no numbers; `;` parts synonyms, as `|` does.

    Raises:
        VocabularyError: if it is no table.
    """
    first = text.partition("\n")[0]
    try:
        rows = list(csv.reader(text.splitlines(), delimiter=max(",;\t", key=first.count)))
    except csv.Error as error:
        raise VocabularyError(f"the table of words can't be read ({error}): write a word per line.") from error
    heading = [cell.strip().lower() for cell in rows[0]] if rows else []
    if column := next((name for name in NAME_COLUMNS if name in heading), None):
        place = heading.index(column)
        cells = [row[place] for row in rows[1:] if len(row) > place]
    else:
        cells = [cell for row in rows for cell in row if not cell.strip().isdecimal()]
    return [re.sub(r"\s*;\s*", "|", cell.strip()) for cell in cells if cell.strip()]


def category_entries(categories: Iterable[Any]) -> list[Any]:
    """The categories of a COCO JSON as entries of a vocabulary: one per name, ADE20K's with synonyms."""
    entries: dict[str, Any] = {}
    for category in categories:
        if not isinstance(category, Mapping) or not isinstance(category.get("name"), str):
            entries[str(len(entries))] = category  # refused by whoever reads the entry
            continue
        names = list(dict.fromkeys(name.strip() for name in re.split("[,;|]", category["name"]) if name.strip()))
        kind = category.get("isthing")
        marked = {} if kind is None else {"is_thing": str(kind).strip().lower() not in ("", "0", "false")}
        entries[category["name"]] = {"name": names[0] if names else "", "synonyms": names[1:], **marked}
    return list(entries.values())

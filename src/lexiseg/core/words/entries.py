"""Entries of a vocabulary: texts such as "cat|kitten:thing", mappings, and concepts."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lexiseg.core.concepts import MAX_NAME_LENGTH, SEPARATORS, Concept, same_word, tidy
from lexiseg.core.errors import VocabularyError
from lexiseg.core.messages import shown

Rule = Callable[[tuple[str, ...]], bool]
"""Whether an unmarked word is a thing, by its names."""
CONCEPT_KEYS = ("name", "synonyms", "is_thing", "path", "id")
"""What an entry that is a mapping may say."""
_SUFFIXES = {"thing": True, "stuff": False}
_WITH_ID = re.compile(r"\s*([nvasr]\d{8})[\s:,]+(\S.*?)\s*", re.DOTALL)
"""A synset's identifier, and the words behind it."""
_SYNSETS = re.compile(r"[\r\n,]\s*(?=[nvasr]\d{8}\b)")
"""Between synsets: each begins with its identifier."""


def synset_entries(text: str) -> list[str]:
    """The entries of a list of synsets, as ImageNet's are published: "n02124075 Egyptian cat, tabby" in a line each.

    Commas separate the names of one synset, up to the next identifier; a name that stands twice in it counts once. A
    first line that begins with "#" is left out.

    Returns:
        An entry such as "n02124075 Egyptian cat|tabby" for each; nothing if the text is no such list: less than half of
        its lines begin with an identifier, or not all do and no comma would be read otherwise.

    Raises:
        VocabularyError: naming the first line or synset that lacks its identifier or names.
    """
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip()]
    lines = lines[1:] if lines and lines[0].lstrip().startswith("#") else lines
    listed = [line for line in lines if _WITH_ID.match(line)]
    if not listed or 2 * len(listed) < len(lines):
        return []
    if len(listed) < len(lines) and not any(map(SEPARATORS.search, listed)):
        return []
    strange = next((line for line in lines if not _WITH_ID.match(line)), None)
    entries: list[str] = []
    for part in _SYNSETS.split("\n".join(lines).strip()) if strange is None else [strange]:
        if (found := _WITH_ID.fullmatch(part)) is None:
            raise VocabularyError(
                f'in a list of synsets each has an id and names, as in "n02124075 Egyptian cat, tabby", but '
                f"{shown(part.strip())} has not: correct or remove it."
            )
        names: dict[str, str] = {}
        for name in SEPARATORS.split(found[2]):
            names.setdefault(same_word(name), name.strip())
        entries.append(f"{found[1]} {'|'.join(filter(None, names.values()))}")
    return entries


def read_entries(entries: Iterable[object], unmarked: Rule) -> tuple[Concept, ...]:
    """Reads entries in any of their three forms: text, mapping, Concept.

    Raises:
        VocabularyError: naming the first entry that is no concept.
    """
    return tuple(_entry(entry, place, unmarked) for place, entry in enumerate(entries, start=1))


def _entry(entry: object, place: int, unmarked: Rule) -> Concept:
    """Reads one entry; `place` counts from 1, as people do."""
    if isinstance(entry, Concept):
        return entry
    if isinstance(entry, str):
        return _from_text(entry, place, unmarked)
    if isinstance(entry, Mapping):
        return _from_mapping(entry, place, unmarked)
    raise VocabularyError(
        f'entry {place} must be text such as "cat|kitten", got {shown(entry)} '
        f"({type(entry).__name__}): put it in quotes if it is a word."
    )


def _from_text(entry: str, place: int, unmarked: Rule) -> Concept:
    """Reads "name|synonym|...", with or without a synset's identifier before and `:thing` or `:stuff` behind it."""
    where = f"entry {place}" + (f" ({shown(entry)})" if entry.strip() else "")
    identifier = ""
    if found := _WITH_ID.fullmatch(entry):
        identifier, entry = found[1], found[2]
    text, colon, suffix = entry.rpartition(":")
    suffix = suffix.strip().lower()
    if not colon:
        text = entry
    elif suffix not in _SUFFIXES:
        raise VocabularyError(_unknown_suffix(suffix, where))
    if SEPARATORS.search(text):
        raise VocabularyError(f'{where} holds a comma: make it two entries, or write "|" between synonyms.')
    if ":" in text:
        raise VocabularyError(f'{where} holds two colons: one ":thing" or ":stuff" at its end.')
    names = tuple(tidy(name, where) for name in text.split("|"))
    return Concept(names[0], names[1:], _SUFFIXES[suffix] if colon else unmarked(names), id=identifier)


def _unknown_suffix(suffix: str, where: str) -> str:
    """Says what a mistyped `:stuff` probably meant."""
    if "|" in suffix:
        return f'{where} has a colon before its last name: write "a|b:stuff", the mark at the end.'
    near = difflib.get_close_matches(suffix[:MAX_NAME_LENGTH], tuple(_SUFFIXES), n=1, cutoff=0.5)
    hint = f'did you mean ":{near[0]}"?' if near else 'only ":thing" and ":stuff" are known.'
    return f"{where} ends in the unknown mark {shown(':' + suffix)}: {hint}"


def _from_mapping(entry: Mapping[Any, Any], place: int, unmarked: Rule) -> Concept:
    """Reads {"name": ..., "synonyms": [...], "is_thing": ..., "path": [...], "id": ...}."""
    where = f"entry {place}"
    check_keys(entry, CONCEPT_KEYS, where)
    name, synonyms, path = entry.get("name"), entry.get("synonyms", []), entry.get("path", [])
    identifier = entry.get("id", "")
    if not isinstance(name, str):
        raise VocabularyError(f'{where} needs a "name" that is text, such as "cat".')
    tidy(name, where)  # here, because only here the place is known
    for key, value in (("synonyms", synonyms), ("path", path)):
        if not is_texts(value):
            raise VocabularyError(f'"{key}" of {where} ({shown(name)}) must be a list of texts.')
    kind = entry.get("is_thing", None)
    if kind is None:
        kind = unmarked((name, *synonyms))
    if not isinstance(kind, bool):
        raise VocabularyError(f'"is_thing" of {where} ({shown(name)}) must be true or false.')
    if not isinstance(identifier, str):
        raise VocabularyError(f'"id" of {where} ({shown(name)}) must be a text such as "n02124075".')
    return Concept(name, tuple(synonyms), kind, tuple(path), identifier)


def check_keys(mapping: Mapping[Any, Any], known: tuple[str, ...], where: str) -> None:
    """Refuses keys that nobody would read.

    Raises:
        VocabularyError: naming the first unknown key.
    """
    for key in mapping:
        if key not in known:
            near = difflib.get_close_matches(str(key)[:MAX_NAME_LENGTH], known, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(known)}."
            raise VocabularyError(f"{where} has the unknown key {shown(key)}: {hint}")


def is_texts(value: object) -> bool:
    """Whether a value read from a file is a list of texts."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def listed_keys(mapping: Mapping[Any, Any]) -> str:
    """The keys of a mapping, as an error message quotes them."""
    return "the keys " + ", ".join(shown(key) for key in list(mapping)[:5]) if mapping else "no keys"

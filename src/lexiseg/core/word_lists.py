"""Lists of words as people write them: on a command line, in text files, in tables, in COCO's JSON."""

import csv
import re
from collections.abc import Iterable, Mapping
from typing import Any

SEPARATORS = re.compile("[,，、]")  # the comma of Latin and the two of Chinese and Japanese
_LINES = re.compile(r"[\s,，、]*[\r\n][\s,，、]*")
_BRACKETS = re.compile(r"\s*\[(.*)\]\s*", re.DOTALL)
_FOREIGN = re.compile(r"\s*[;；]\s*|\s+\.(?=\s|$)")
"""Between words in ODISE and in Grounding DINO."""
_SENTENCES = re.compile(r"\s*\.(?:\s+|$)")
_NUMBERED = re.compile(r"(\d+)[\s:,]+(\S.*)")


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


def table_words(text: str) -> list[str]:
    """The words of a CSV: its column `name`, or else all cells that are no numbers."""
    first = text.partition("\n")[0]
    rows = list(csv.reader(text.splitlines(), delimiter=max(",;\t", key=first.count)))
    heading = [cell.strip().lower() for cell in rows[0]] if rows else []
    if "name" in heading:
        place = heading.index("name")
        return [row[place] for row in rows[1:] if len(row) > place and row[place].strip()]
    return [cell for row in rows for cell in row if cell.strip() and not cell.strip().isdecimal()]


def category_entries(categories: Iterable[Any]) -> list[Any]:
    """The categories of a COCO JSON as entries of a vocabulary: one per name, ADE20K's with synonyms."""
    entries: dict[str, Any] = {}
    for category in categories:
        if not isinstance(category, Mapping) or not isinstance(category.get("name"), str):
            entries[str(len(entries))] = category  # refused by whoever reads the entry
            continue
        names = list(dict.fromkeys(name.strip() for name in re.split("[,;|]", category["name"]) if name.strip()))
        kind = category.get("isthing")
        marked = {} if kind is None else {"is_thing": bool(kind)}
        entries[category["name"]] = {"name": names[0] if names else "", "synonyms": names[1:], **marked}
    return list(entries.values())

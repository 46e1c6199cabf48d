"""English plurals back to singulars, by rules and short tables of the words that follow none."""

import json
from pathlib import Path
from typing import Any

_TABLES: dict[str, Any] = json.loads(Path(__file__).with_name("english.json").read_text(encoding="utf-8"))["plurals"]
_IRREGULAR: dict[str, str] = _TABLES["irregular"]
_SINGULAR_IN_S = frozenset(_TABLES["singular_in_s"])
_PLURAL_IN_IS_OR_US = frozenset(_TABLES["plural_in_is_or_us"])
_SINGULAR_IN_MEN = frozenset(_TABLES["singular_in_men"])
_FROM_IE = frozenset(_TABLES["from_ie"])
_FROM_OE = frozenset(_TABLES["from_oe"])
_USE = ("ouses", "auses", "fuses", "muses", "ruses", "excuses")
"""Ends of words in -use; all others in -uses come from -us."""
_HISSING = ("sses", "shes", "ches", "xes", "zzes")


def singular(word: str) -> str:
    """The singular of an English noun in lower case; a singular stays as it is.

    "dogs" gives "dog", "buses" "bus", "knives" "knife", "snowmen" "snowman"; "sheep", "grass" and "scissors" stay.
    """
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("men") and word not in _SINGULAR_IN_MEN:
        return f"{word[:-3]}man"
    if not word.endswith("s") or len(word) <= 3 or word in _SINGULAR_IN_S:
        return word
    if word.endswith(("ss", "us", "is")) and word not in _PLURAL_IN_IS_OR_US:
        return word
    if word.endswith("ies") and len(word) > 4 and word not in _FROM_IE:
        return f"{word[:-3]}y"
    from_us = word.endswith("uses") and not word.endswith(_USE)
    from_o = word.endswith("oes") and word not in _FROM_OE
    return word[:-2] if from_us or from_o or word.endswith(_HISSING) else word[:-1]

"""Quoting paths, words and long lists in messages."""

from collections.abc import Sequence
from pathlib import Path


def printable(path: str | Path) -> str:
    """A path in quotes as it may stand in a message: one line of at most 200 characters."""
    text = str(path)
    if not text.isprintable():
        text = text.encode("unicode_escape", "backslashreplace").decode("ascii")
    if len(text) > 200:
        text = f"{text[:120]}...{text[-60:]}"
    return f"'{text}'"


def shown(text: object, length: int = 40) -> str:
    """A word as an error message quotes it: never longer than one line."""
    line = " ".join(str(text).split())
    line = line if len(line) <= length else f"{line[: length - 1]}…"
    if not line.isprintable():
        line = "".join(char if char.isprintable() else "?" for char in line)
    return f"'{line}'"


def a(kind: type) -> str:
    """The name of a type with its article: a SimBaseline, an OPSNet."""
    return f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"


def few(names: Sequence[object]) -> str:
    """The first three names and how many follow."""
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(str, names[:3])) + rest

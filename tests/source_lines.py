"""What of a Python file counts as code: for the tests of the house's size and of repeated code."""

import ast
import io
import keyword
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

_LAYOUT = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
)
_FSTRING_START = getattr(tokenize, "FSTRING_START", -1)  # Python 3.12 and later take an f-string apart
_FSTRING_END = getattr(tokenize, "FSTRING_END", -1)


def code_lines(source: str) -> set[int]:
    """The numbers of lines with code: blank lines, comments and docstrings, attributes' too, are none."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def lines_of(source: str, *, by_shape: bool) -> list[tuple[int, str]]:
    """The lines of code that a search for repetitions compares, without imports and lone punctuation.

    Args:
        source: Python.
        by_shape: write N for a name, S for a string and 0 for a number; lines that only list data, fields or
            parameters are left out, since any two such lists are alike.
    """
    counted = code_lines(source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            counted -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    parts: dict[int, list[str]] = defaultdict(list)
    depth = 0  # of f-strings, which newer Pythons take apart
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        depth -= token.type == _FSTRING_END
        if token.type not in _LAYOUT and not depth and token.type != _FSTRING_END:
            parts[token.start[0]].append(_shape(token) if by_shape else token.string)
        depth += token.type == _FSTRING_START
    lines = [(number, " ".join(parts[number])) for number in sorted(counted & parts.keys())]
    return [(n, line) for n, line in lines if any(map(str.isalnum, line)) and not (by_shape and _LISTING.match(line))]


_LISTING = re.compile(
    r"[S0\W]+$"  # data alone
    r"|N : [^(=]*(= [^(]*)?,?$"  # a field or a parameter
    r"|[NS] [:=] [^()]*,$"  # an argument or an entry of a table
    r"|N ,$"
    r"|@ N \(.*\)$|class N :$"  # the head of a list of fields
)


def _shape(token: tokenize.TokenInfo) -> str:
    if token.type in (tokenize.STRING, _FSTRING_START):
        return "S"
    if token.type == tokenize.NUMBER:
        return "0"
    return "N" if token.type == tokenize.NAME and not keyword.iskeyword(token.string) else token.string


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """A run of lines that stands in two files."""

    files: tuple[str, str]
    lines: tuple[int, int]
    """Where it begins in each."""
    length: int

    def __str__(self) -> str:
        (one, other), (here, there) = self.files, self.lines
        return f"{one}:{here} ~ {other}:{there} ({self.length} lines)"


def repetitions(files: Mapping[str, str], *, by_shape: bool, least: int = 8) -> Iterator[Repetition]:
    """The longest run of `least` or more lines that are the same, or of one shape, for each pair of files with one."""
    shaped = {name: lines_of(source, by_shape=by_shape) for name, source in files.items()}
    where: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for name, lines in shaped.items():
        for start in range(len(lines) - least + 1):
            where[tuple(shape for _, shape in lines[start : start + least])].add(name)
    pairs = {pair for names in where.values() for pair in combinations(sorted(names), 2)}
    for one, other in sorted(pairs):
        here, there, length = _longest(shaped[one], shaped[other])
        yield Repetition(files=(one, other), lines=(shaped[one][here][0], shaped[other][there][0]), length=length)


def _longest(one: Sequence[tuple[int, str]], other: Sequence[tuple[int, str]]) -> tuple[int, int, int]:
    """The longest run that both have: where it begins in each, and its length."""
    best, before = (0, 0, 0), [0] * (len(other) + 1)
    for here, (_, shape) in enumerate(one):
        now = [0] * (len(other) + 1)
        for there, (_, candidate) in enumerate(other):
            if shape == candidate:
                now[there + 1] = before[there] + 1
                if now[there + 1] > best[2]:
                    best = (here - now[there + 1] + 1, there - now[there + 1] + 1, now[there + 1])
        before = now
    return best


def sources(root: Path) -> dict[str, str]:
    """Every Python file below a folder by its path in there."""
    return {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in sorted(root.rglob("*.py"))}

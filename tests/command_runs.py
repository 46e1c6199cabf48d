"""What a command of the command line did, for tests."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


def one_sentence(ran: Ran, code: int, *parts: str) -> None:
    """Holds what every failure has in common."""
    assert ran.code == code, ran.err
    assert ran.out == ""
    (line,) = ran.err.splitlines()
    assert line.startswith("lexiseg: ")
    assert line.endswith(".")
    assert len(line) < 500
    for part in parts:
        assert part in line


def refused(ran: Ran, *parts: str) -> None:
    """A failure of the input, exit code 1."""
    one_sentence(ran, 1, *parts)

"""The bar on the terminal."""

import io
from contextlib import redirect_stderr
from types import SimpleNamespace

import pytest

from lexiseg.cli import console
from lexiseg.cli.console import note, progress, say


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")


def test_the_bar_shows_how_many_how_fast_and_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 2.0])
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=lambda: next(clock)))

    with redirect_stderr(Terminal()) as terminal, progress("Segmenting") as report:
        report(5, 20)

    for part in ("Segmenting", " 5/20", "2.5/s", "-:--:--"):
        assert part in terminal.getvalue()


@pytest.mark.parametrize(("done", "seconds", "text"), [(0, 1.0, ""), (3, 1.0, "3.0/s"), (2, 5.0, "2.5 s each")])
def test_a_rate_is_said_as_people_say_it(done: int, seconds: float, text: str) -> None:
    assert console._rate(done, seconds) == text


def test_lines_stand_beside_the_bar_and_go_where_they_belong(capsys: pytest.CaptureFixture[str]) -> None:
    with redirect_stderr(Terminal()) as terminal, progress("Segmenting") as report:
        report(1, None)
        say("an answer")
        note("a note")

    assert capsys.readouterr().out == "an answer\n"
    assert "a note" in terminal.getvalue()
    assert "an answer" not in terminal.getvalue()


def test_in_a_pipe_there_is_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Segmenting") as report:
        report(1, 2)
        note("a note")

    assert capsys.readouterr().err == "a note\n"

"""What the terminal sees: answers on stdout; notes, errors and progress on stderr."""

import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from io import TextIOBase
from itertools import zip_longest
from pathlib import Path
from typing import TextIO

import typer
from rich.cells import cell_len

FINE, FAILURE, USAGE, FLAWED, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes: all is well; nothing could be done; the command makes no sense; some pictures or files were left out, are
missing or broken; the user stopped it."""
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Letters that move the cursor, change colours or turn the direction of writing; not the tab and the line feed."""
GAP = "  "
"""Between two columns."""


def say(text: str) -> None:
    """Prints a line of an answer to stdout."""
    _print(text, sys.stdout)


def note(text: str) -> None:
    """Prints a line beside the answer to stderr."""
    _print(text, sys.stderr)


def fail(error: BaseException) -> None:
    """Prints what went wrong as one line."""
    text = " ".join(str(error).split()) or f"it failed without a reason ({type(error).__name__})."
    note(f"lexiseg: {text[:1].lower() + text[1:] if text[:1].isupper() and text[1:2].islower() else text}")


def show(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]], *, right: tuple[str, ...] = ()) -> None:
    """Prints a table and a blank line to stdout, no wider than the terminal; in a pipe, a row is a line.

    Cells that are too wide go on in the next line, at a space; columns that still don't fit follow below the others,
    beside the first column.

    Args:
        title: above the table.
        columns: the heading.
        rows: one text per column.
        right: columns of numbers.
    """
    cells = [columns, *rows]
    blocks = _side_by_side([max(_longest_word(row[place]) for row in cells) for place in range(len(columns))], width())
    if title:
        say(title)
    for block in blocks:
        _show_block([tuple(row[place] for place in block) for row in cells], right)
        say("")


def width() -> int:
    """Letters in a line of the terminal, or of what COLUMNS says; of a pipe, as many as a line has."""
    return shutil.get_terminal_size((sys.maxsize, 0)).columns


def cut(text: str, room: int) -> str:
    """A line of at most so many letters: what is too much is left out at a space."""
    if cell_len(text) <= room:
        return text
    return f"{wrap(text, room - 4)[0].rstrip(',;:.')} ..."


def wrap(text: str, room: int) -> list[str]:
    """Lines of at most so many letters; only a word that is longer than that stands over."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and cell_len(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split(" ")))


def _side_by_side(least: list[int], room: int) -> list[list[int]]:
    """Places of columns in blocks whose least widths fit; the first column stands in each."""
    blocks = [[0]]
    for place in range(1, len(least)):
        if len(blocks[-1]) > 1 and sum(least[p] + len(GAP) for p in blocks[-1]) + least[place] > room:
            blocks.append([0])
        blocks[-1].append(place)
    return blocks


def _show_block(cells: list[tuple[str, ...]], right: tuple[str, ...]) -> None:
    """Prints columns that fit side by side, the heading first; the widest one gives way where they don't."""
    columns = range(len(cells[0]))
    widths = [max(cell_len(row[place]) for row in cells) for place in columns]
    least = [max(_longest_word(row[place]) for row in cells) for place in columns]
    while sum(widths) + len(GAP) * (len(widths) - 1) > width() and widths != least:
        widest = max((place for place in columns if widths[place] > least[place]), key=lambda place: widths[place])
        widths[widest] -= 1
    for number, row in enumerate(cells):
        for line in zip_longest(*(wrap(cell, room) for cell, room in zip(row, widths, strict=True)), fillvalue=""):
            say(GAP.join(map(_padded, line, widths, [name in right for name in cells[0]])).rstrip())
        if number == 0:
            say(GAP.join("-" * room for room in widths))


def _padded(text: str, room: int, at_the_right: bool) -> str:
    blank = " " * (room - cell_len(text))
    return blank + text if at_the_right else text + blank


def open_file(path: Path) -> None:
    """Opens a file by the program that the system has for it; where there is no screen, says where it lies."""
    has_screen = sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    if not has_screen or typer.launch(str(path)):
        note(f"lexiseg: there is no screen here to show {path}; open it elsewhere.")


@contextmanager
def progress(title: str, total: int | None = None) -> Generator[Callable[[int, int | None], None], None, None]:
    """A bar with rate and time left on stderr, where that is a terminal; lines of answers and notes stand above it.

    Yields:
        What to call with the number done and the total, None where nobody knows it.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    rate = TextColumn("{task.fields[rate]}")
    bar = Progress(
        *(TextColumn(title), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn()),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=sys.stdout.isatty(),  # what goes into a pipe is not to go to the terminal instead
    )
    begin = time.monotonic()
    with bar:
        task = bar.add_task(title, total=total, rate="")

        def report(done: int, of: int | None) -> None:
            bar.update(task, completed=done, total=of, rate=_rate(done, time.monotonic() - begin))

        yield report


def _rate(done: int, seconds: float) -> str:
    """How fast it goes, as people say it."""
    if not done or seconds <= 0:
        return ""
    return f"{done / seconds:.1f}/s" if done >= seconds else f"{seconds / done:.1f} s each"


@contextmanager
def resumable(out: Path, is_begun: Callable[[], bool] = lambda: True) -> Generator[None, None, None]:
    """Says how to go on with work that the user stopped, if anything is finished."""
    try:
        yield
    except KeyboardInterrupt as error:
        if not is_begun():
            raise
        told = f"interrupted; what is finished lies in {out}, and the same command with --resume goes on from there."
        raise KeyboardInterrupt(told) from error


class LogNotes(logging.Handler):
    """Prints what the library logs as notes."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one record."""
        note(self.format(record))


def _print(text: str, file: TextIO | TextIOBase) -> None:
    """Prints letters that the terminal can't show, would obey, or that are no text at all, as escapes."""
    encoding = file.encoding or "utf-8"
    shown = _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    print(shown.encode(encoding, "backslashreplace").decode(encoding), file=file, flush=True)

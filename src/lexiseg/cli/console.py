"""What the terminal sees: answers on stdout; notes, errors and progress on stderr."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TextIO


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
    """Prints a table to stdout.

    Args:
        title: above the table.
        columns: the heading.
        rows: one text per column; nothing in it is taken for markup.
        right: columns of numbers.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)


@contextmanager
def progress(words: str, total: int | None = None) -> Generator[Callable[[int, int], None], None, None]:
    """A bar on stderr, where that is a terminal.

    Yields:
        What to call with the number done and the total.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn(words), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(words, total=total)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _print(text: str, file: TextIO) -> None:
    """Prints letters that the terminal can't show, or that are no text at all, as escapes."""
    encoding = file.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=file, flush=True)

"""Formatting percentages and Markdown tables."""

from collections.abc import Sequence


def percent(fraction: float | None, *, digits: int = 1) -> str:
    """A fraction in percent; a dash where there is none."""
    return "-" if fraction is None else f"{100 * fraction:.{digits}f}"


def markdown_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown: the first column to the left, all others to the right."""
    lines = [heading, [":---", *["---:"] * (len(heading) - 1)], *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]

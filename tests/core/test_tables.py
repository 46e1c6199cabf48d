"""Figures, tables and files as people and programs find them."""

from pathlib import Path

import pytest

from lexiseg.core.errors import FormatError
from lexiseg.core.files import write_atomically
from lexiseg.core.tables import markdown_table, percent


def test_a_fraction_is_told_in_percent_and_nothing_as_a_dash() -> None:
    assert (percent(0.1234), percent(1.0), percent(None), percent(0.126, digits=0)) == ("12.3", "100.0", "-", "13")


def test_a_table_in_markdown_escapes_what_would_end_a_cell() -> None:
    assert markdown_table(("", "PQ"), [("a|b", "1.0")]) == ["|  | PQ |", "| :--- | ---: |", "| a\\|b | 1.0 |"]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "folder" / "report.json"
    write_atomically(file, "first")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(FormatError, match=r"report.json' can't be written \(No space left on device\); choose"):
        write_atomically(file, "second", FormatError)

    assert [path.name for path in file.parent.iterdir()] == ["report.json"]
    assert file.read_text() == "first"

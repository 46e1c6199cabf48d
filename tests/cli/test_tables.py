"""What is printed can be read: no word is broken, no line is wider than the terminal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from command_runs import Run
from lexiseg.cli.console import cut, show, wrap
from lexiseg.training.launch import describe, recipe_names

SOURCE = str(Path(__file__).resolve().parents[2] / "src")
TABLES = (
    ("train", "--list"),
    ("train", "opsnet-tiny", "--show"),
    ("data", "list"),
    ("vocabulary", "storybook"),
    ("vocabulary", "coco-stuff"),
)


@pytest.mark.parametrize("arguments", TABLES, ids=" ".join)
@pytest.mark.parametrize("columns", [80, 100])
def test_a_narrow_table_has_every_word_of_a_wide_one(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    wide = run(*arguments).out
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = [line for line in run(*arguments).out.splitlines() if not line.startswith(("opsnet-tiny:", "Estimated"))]

    assert max(map(len, lines)) <= columns
    assert {word for line in lines for word in line.split() if word.strip("-.")} <= {
        piece for word in wide.split() for piece in (word, word.rstrip(",;:."))
    }


def test_each_recipe_has_a_line_in_a_group_of_its_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    groups = run("train", "--list").out.lower().strip().split("\n\n")
    listed = [line.split()[0] for group in groups for line in group.splitlines()[1:]]

    assert [group.splitlines()[0] for group in groups] == [
        "your own pictures:",
        "the papers' sizes:",
        "the drawn world:",
    ]
    assert sorted(listed) == sorted(recipe_names())


def test_recipes_name_one_another_as_they_are_typed() -> None:
    described = {name: describe(name) for name in recipe_names()}

    assert described["opsnet-plus-r50"].startswith("OPSNet+ after opsnet-r50 (--start)")
    assert [name for name, text in described.items() if "`" in text] == []


def test_a_pipe_gets_whole_lines() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"} | {"PYTHONPATH": SOURCE}
    code = "from lexiseg.cli.main import app; app()"
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "--list"], capture_output=True, text=True, check=True, env=environment
    )

    for name in recipe_names():
        assert any(line.split() == [name, *describe(name).split()] for line in done.stdout.splitlines())


@pytest.mark.parametrize("columns", [30, 80])
def test_columns_that_do_not_fit_stand_below_beside_the_first(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    heading = ("class", *(f"figure{number}" for number in range(12)))

    show("In percent", heading, [("traffic light", *(f"{number}.5" for number in range(12)))], right=heading[1:])

    lines = capfd.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert {f"figure{number}" for number in range(12)} <= {word for line in lines for word in line.split()}
    assert sum(line.startswith("class") for line in lines) == sum(line.startswith("traffic") for line in lines) > 1


def test_wide_letters_take_two_places(capfd: pytest.CaptureFixture[str]) -> None:
    show("", ("name", "kind"), [("长颈鹿", "thing"), ("cat", "thing")])

    heading, _, giraffe, cat = capfd.readouterr().out.strip().splitlines()
    assert heading.index("kind") == cat.index("thing") == giraffe.index("thing") + 3


@pytest.mark.parametrize(
    ("text", "room", "expected"),
    [
        ("a cat and a dog", 15, "a cat and a dog"),
        ("a cat and a dog", 14, "a cat and ..."),
        ("a cat, a dog and a", 14, "a cat, a ..."),
        ("a cat, dogs and more", 10, "a cat ..."),
    ],
)
def test_a_line_is_cut_between_words(text: str, room: int, expected: str) -> None:
    assert cut(text, room) == expected
    assert len(cut(text, room)) <= room


def test_a_word_that_is_longer_than_a_line_stays_whole() -> None:
    assert wrap("see /a/long/path/to/a/file here", 10) == ["see", "/a/long/path/to/a/file", "here"]

"""What the README says can be done, and what it and the other documents name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PACKAGE = ROOT / "src" / "lexiseg"
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "tools/README.md",
    *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md")),
)
CODE = ("src", "tests", "docs", "benchmarks", "tools")
"""Folders of the repository in which a file that is named by its name alone may lie."""


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_two_setup_lines_stand_in_order() -> None:
    lines = re.findall(r"python3 -m venv [^`\n]*", README)

    assert lines[0].endswith("-e . && .venv/bin/lexiseg demo")
    assert lines[1].endswith("-e '.[test]' && .venv/bin/pytest -q")


@pytest.mark.slow
def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")

    exec(compile(code, "README.md", "exec"), {})

    assert (tmp_path / "overlay.png").stat().st_size > 1000


@pytest.mark.slow
def test_the_commands_of_the_readme_that_need_no_other_files_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shlex

    from typer.testing import CliRunner

    from lexiseg.cli.main import app

    monkeypatch.chdir(tmp_path)
    lines = [line.split("#")[0] for line in blocks("bash")[0].splitlines() if line.startswith("lexiseg ")]
    runnable = [line for line in lines if "photo.jpg" not in line]
    assert len(runnable) == 6

    for line in runnable:
        arguments = shlex.split(line)[1:]
        if arguments[0] == "evaluate":
            arguments += ["--count", "6"]  # the figure of 200 pictures is in docs/results.md
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, f"{line}: {done.output}"


def test_the_data_set_that_contributing_shows_is_the_code() -> None:
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    code = (ROOT / "src" / "lexiseg" / "data" / "datasets" / "pascal.py").read_text()

    assert len(shown) == 1
    for part in shown[0].strip().split("\n\n\n"):
        assert part in code


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_that_a_document_names_is_there(name: str) -> None:
    assert missing(ROOT / name, (ROOT / name).read_text()) == []


def missing(document: Path, text: str) -> list[str]:
    """The links, Python files and paths of the repository that a document names and that are not there."""
    places = (ROOT, PACKAGE, document.parent)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    found = [link for link in links if not (document.parent / link).exists()]
    text = re.sub(r"\.venv/\S*", "", text)  # what is there depends on what was installed
    for path in re.findall(r"(?<![\w./-])[\w.-]+(?:/[\w.-]+)*/?", re.sub(r"\]\([^)]*\)|\w+://\S*", "", text)):
        if path.endswith(".py") and "/" not in path:
            is_there = any(next((ROOT / folder).rglob(path), None) for folder in CODE)
        elif path.endswith(".py") or ("/" in path and any((place / path.split("/")[0]).is_dir() for place in places)):
            is_there = any((place / path.rstrip(".")).exists() for place in places)
        else:  # a word, or a path of the reader's
            is_there = True
        if not is_there:
            found.append(path)
    return found


def test_a_path_that_is_not_there_is_found_wherever_it_stands() -> None:
    text = (
        "[a](docs/none.md#part), [b](docs/training.md#none), [c](https://a.b/docs/none.py), `models/none/`, "
        "`models/ovseg.py`, (ovseg.py; none.py): `python tools/none --x`, tools/ship.py. Yours are images/a.png and "
        "`owner/name`; `gone/none.py`, src/lexiseg/core."
    )

    assert missing(ROOT / "README.md", text) == [
        "docs/none.md",
        "models/none/",
        "none.py",
        "tools/none",
        "gone/none.py",
    ]


def test_the_file_tree_names_every_floor() -> None:
    (tree,) = blocks("text")
    floors = {folder.name for folder in (ROOT / "src" / "lexiseg").iterdir() if (folder / "__init__.py").exists()}

    assert {floor for floor in floors if f"── {floor}/" not in tree} == set()

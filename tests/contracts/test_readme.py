"""What the README says can be done."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


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


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_file_tree_names_every_floor() -> None:
    (tree,) = blocks("text")
    floors = {folder.name for folder in (ROOT / "src" / "lexiseg").iterdir() if (folder / "__init__.py").exists()}

    assert {floor for floor in floors if f"── {floor}/" not in tree} == set()

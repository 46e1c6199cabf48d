"""What the README and the pages of docs/ say can be done, and what they and the other documents name is there."""

import re
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from typer.testing import CliRunner

import documents
from lexiseg.cli.main import app

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


def test_the_two_setup_lines_stand_in_order() -> None:
    lines = re.findall(r"python3 -m venv [^`\n]*", README)

    assert lines[0].endswith("-e . && .venv/bin/lexiseg demo")
    assert lines[1].endswith("-e '.[test]' && .venv/bin/pytest -q")


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a server on a free port."""
    command = [sys.executable, "-m", "lexiseg", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield re.findall(r"http://\S+", process.stdout.readline())[0]
        process.terminate()


@pytest.mark.slow
@pytest.mark.timeout(900)  # beside other work
@pytest.mark.filterwarnings("ignore:OpenCV:UserWarning")  # which supervision would like to have
@pytest.mark.parametrize("name", [name for name in documents.NAMES if documents.runnable(name)])
def test_the_blocks_of_a_document_run_in_their_order(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    put_pictures(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    address = request.getfixturevalue("server") if documents.asks_server(name) else documents.SERVER

    for block in documents.runnable(name):
        if block.language == "python":
            exec(compile(block.text.replace(documents.SERVER, address), name, "exec"), names)
        for typed in block.commands if block.language in documents.SHELL else ():
            if documents.downloads(typed):
                continue
            if typed[0] == "evaluate":
                typed += ["--count", "3"]  # the figures of 200 pictures are in docs/results.md
            done = CliRunner().invoke(app, typed)
            assert done.exit_code == 0, f"{typed}: {done.output}"


def put_pictures(folder: Path) -> None:
    """The picture and the video that documents take for the reader's own: drawn, as the shipped model knows them."""
    from PIL import Image

    from lexiseg.inference.video import write_video
    from lexiseg.storybook import draw_scene
    from walks import draw_walk

    Image.fromarray(draw_scene("novel", "val", 0).picture).save(folder / "photo.jpg")
    frames = (Image.fromarray(frame.picture) for frame in draw_walk(3, frames=4))
    write_video(folder / "video.mp4", frames, Fraction(5))


@pytest.mark.parametrize("name", documents.NAMES)
def test_every_block_of_code_runs_or_says_why_not(name: str) -> None:
    for block in documents.blocks(name):
        assert block.language in (*documents.RUN, *documents.SHOWN), f"{name}: a block of {block.language!r}"
    for block in documents.runnable(name):
        lines = [documents.without_remark(line) for line in block.text.replace("\\\n", " ").splitlines()]
        others = [line for line in lines if line and not line.startswith("lexiseg ")]
        assert block.language == "python" or others == [], f"{name}: what is no command of ours needs a reason"


@pytest.mark.parametrize("name", documents.NAMES)
def test_every_command_that_a_document_shows_is_understood(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = [words for block in documents.blocks(name) if block.language in documents.SHELL for words in block.commands]

    refused = {" ".join(words): told for words in typed if (told := documents.refusal(words, monkeypatch))}
    inline = {" ".join(words): documents.unknown_words(words) for words in documents.typed_inline(name)}

    assert refused == {}
    assert {words: unknown for words, unknown in inline.items() if unknown} == {}


@pytest.mark.parametrize(
    ("typed", "part"),
    [
        ("segment a.png -v cat --out found --colour", "--colour"),
        ("segment a.png --out found", "--vocabulary"),
        ("segment a.png -v cat -o found --best-only --tree", "--tree has no meaning"),
        ("evaluate -d coco --out report --task boxes", "boxes"),
    ],
)
def test_a_command_that_is_not_understood_is_found(typed: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert part in documents.refusal(typed.split(), monkeypatch)
    assert documents.refusal(["segment", "a.png", "-v", "cat", "-o", "found", "-m", "mine", "..."], monkeypatch) == ""


def test_an_option_within_a_sentence_that_is_not_there_is_found() -> None:
    assert documents.unknown_words(["segment", "a.png", "--colour", "--out=x", "--no-negatives"]) == ["--colour"]
    assert documents.unknown_words(["paint"]) == ["paint"]


def test_every_format_and_every_route_of_the_server_is_told() -> None:
    from lexiseg.inference.formats import FORMATS
    from lexiseg.server.app import create_app
    from lexiseg.server.settings import Settings

    routes = set(create_app(Settings()).openapi()["paths"])
    pages = {name: (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("files", "serve")}

    assert {name for name in FORMATS if f"\n| `{name}` |" not in pages["files"]} == set()
    assert {route for route in routes if f"{route.replace('{name}', 'NAME')}`" not in pages["serve"]} == set()
    assert len(routes) > 8


def test_python_that_is_not_run_is_python() -> None:
    shown = [block for name in documents.NAMES for block in documents.blocks(name) if block.language == "python"]

    for block in shown:
        compile(block.text, block.document, "exec")
    assert len(shown) > 3


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
    (tree,) = (block.text for block in documents.blocks("README.md") if block.language == "text")
    floors = {folder.name for folder in (ROOT / "src" / "lexiseg").iterdir() if (folder / "__init__.py").exists()}

    assert {floor for floor in floors if f"── {floor}/" not in tree} == set()

"""The site of docs/: it builds without a warning, names everything, and works without a network."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import typer

import lexiseg
from documents import ROOT
from lexiseg.cli.main import COMMANDS, app
from lexiseg.training import recipes

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as the documentation says."""
    pytest.importorskip("furo", reason="pip install 'lexiseg[docs]' brings what builds the site")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", str(folder / "trees")]

    done = subprocess.run([*command, str(DOCS), str(folder / "html")], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    return folder / "html"


def anchors(page: Path) -> set[str]:
    """The ids of a page."""
    return set(re.findall(r'\bid="([^"]+)"', page.read_text(encoding="utf-8")))


pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("site")]


def test_every_public_name_has_an_entry(site: Path) -> None:
    names = {f"lexiseg.{name}" for name in lexiseg.__all__ if name != "__version__"}
    names |= {f"lexiseg.training.recipes.{name}" for name in recipes.__all__} | {"lexiseg.storybook.draw_scene"}

    assert names - anchors(site / "python.html") == set()
    assert {"lexiseg.Model.segment", "lexiseg.Segment.score", "lexiseg.Picture"} <= anchors(site / "python.html")


def test_every_command_and_option_has_an_entry(site: Path) -> None:
    found = anchors(site / "commands.html")
    commands = {name.replace(" ", "-"): options_of(name.split()) for name, _, _ in COMMANDS}
    wanted = {f"lexiseg-{name}" for name in commands}
    wanted |= {f"cmdoption-lexiseg-{name}-{option}" for name, options in commands.items() for option in options}

    assert wanted - found == set()
    assert {"cmdoption-lexiseg-segment-no-negatives", "cmdoption-lexiseg-segment-v"} <= wanted


def options_of(typed: list[str]) -> set[str]:
    """What can be typed for the options of a command, without its dashes."""
    command: Any = typer.main.get_command(app)
    for word in typed:
        command = command.commands[word]
    names = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return {name.lstrip("-") for name in names if name.startswith("-")} - {"help", "h"}


class _Loads(HTMLParser):
    """What a page loads while it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and given.get("rel") not in ("stylesheet", "preload", "icon", "modulepreload", "preconnect"):
            return
        if tag in ("script", "link", "img", "iframe", "source", "video", "audio", "embed", "object"):
            self.found += [value for name in ("src", "href", "data", "srcset") if (value := given.get(name))]


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages, styles = sorted(site.rglob("*.html")), sorted(site.rglob("*.css"))
    foreign = {f"{page.name}: {address}" for page in pages for address in loaded_by(page) if "//" in address}
    foreign |= {
        f"{style.name}: {address}"
        for style in styles
        for address in re.findall(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")]+)", style.read_text())
    }

    assert len(pages) > 15
    assert len(styles) > 3
    assert foreign == set()


def loaded_by(page: Path) -> Iterator[str]:
    """What a page loads, but for what it holds itself."""
    reader = _Loads()
    reader.feed(page.read_text(encoding="utf-8"))
    return (address for address in reader.found if not address.startswith("data:"))


def test_every_link_within_the_site_leads_somewhere(site: Path) -> None:
    pages = {page: anchors(page) for page in site.rglob("*.html")}
    broken = set()
    for page in pages:
        for address in re.findall(r'<a [^>]*href="([^"]+)"', page.read_text(encoding="utf-8")):
            path, _, anchor = address.partition("#")
            if "//" in path or path.startswith("mailto:"):
                continue
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and target in pages and anchor not in pages[target]):
                broken.add(f"{page.name}: {address}")

    assert broken == set()


@pytest.mark.timeout(900)  # beside other work
def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="pip install 'lexiseg[docs]' brings what runs notebooks")
    pytest.importorskip("ipykernel", reason="pip install 'lexiseg[docs]' brings what runs notebooks")
    import nbformat

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(DOCS / "quickstart.ipynb", as_version=4)
    outputs_in_git = [cell for cell in notebook.cells if cell.get("outputs")]

    nbclient.NotebookClient(notebook, timeout=200, kernel_name="python3").execute()

    assert outputs_in_git == []
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in shown) >= 4
    assert any("PQ" in output.get("data", {}).get("text/plain", "") for output in shown)

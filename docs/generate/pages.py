"""Sphinx's extension of this project: fills pages in while the site is built, so that they are never stale.

A page that a forge shows as it lies there has a comment where its generated part begins.
"""

import json
import re
from collections.abc import Callable, Mapping

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from generate.commands import commands_markdown
from generate.names import names_markdown

MARK = "<!-- the rest is made when the site is built -->"
NAVIGATION: Mapping[str, tuple[str, ...]] = {
    "Guide": (
        "start",
        "Notebook <quickstart>",
        "photographs",
        "sources",
        "words",
        "files",
        "own-pictures",
        "serve",
        "evaluate",
    ),
    "Reference": ("recipes", "troubleshooting", "commands", "python"),
    "How it works": ("systems", "opsnet", "ovseg", "fcclip"),
    "Train and reproduce": (
        "training",
        "results",
        "ovseg-results",
        "reproduce",
        "OPSNet: every table and claim <reproduced/RESULTS>",
        "OVSeg: tables and claims, quickly <reproduced/OVSEG-QUICK>",
    ),
}
"""The pages by the part of the navigation in which they stand."""
NOTEBOOKS = ("quickstart",)
"""Pages that are notebooks."""
OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)#]+)(?:#[^)]*)?\)")
"""Links to files of the repository that are no pages of the site."""


def navigation() -> str:
    """The table of contents, which a forge has no use for."""
    parts = [
        f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(pages) + "\n```"
        for caption, pages in NAVIGATION.items()
    ]
    return "\n\n".join(parts)


MADE: Mapping[str, Callable[[], str]] = {
    "index": navigation,
    "commands": commands_markdown,
    "python": names_markdown,
}
"""What is put in the place of the mark, by page."""


def notebook_markdown(name: str, text: str) -> str:
    """A notebook's cells, and at the end the notebook to download; git holds no outputs."""
    parts = []
    for cell in json.loads(text)["cells"]:
        told = "".join(cell["source"])
        parts.append(f"```python\n{told}\n```" if cell["cell_type"] == "code" else told)
    return "\n\n".join([*parts, f"Download the notebook: {{download}}`{name}.ipynb`"])


def fill(app: Sphinx, page: str, source: list[str]) -> None:
    """Fills in a page's generated part, and names files outside of the site where its Markdown links to them."""
    if page in MADE:
        assert MARK in source[0], page
        source[0] = source[0].replace(MARK, MADE[page]())
    if page in NOTEBOOKS:
        source[0] = notebook_markdown(page, source[0])
    source[0] = OUTSIDE.sub(r"\1 (`\2`)", source[0])


def stale(app: Sphinx, env: BuildEnvironment, *changes: set[str]) -> list[str]:
    """The pages that are made anew in every build."""
    return [page for page in MADE if page in env.found_docs]


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", fill)
    app.connect("env-get-outdated", stale)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

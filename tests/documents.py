"""The code that documents show: its blocks, and what they type, for tests."""

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from lexiseg.cli.main import app
from lexiseg.io.named_models import NAMED
from lexiseg.io.shipped import SHIPPED

ROOT = Path(__file__).resolve().parents[1]
README = "README.md"
NAMES = (README, *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/*.md")))
"""Documents whose blocks run, or say why not."""
PAGE_MARK = re.compile(r"^<!-- blocks are not run: (.+?) -->$", re.MULTILINE)
BLOCK = re.compile(r"(?:^<!-- not run: ([^\n]+?) -->\n\n?)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
README_REASONS = {
    "lexiseg evaluate": "asks for the reader's predictions",
    "lexiseg segment photo.jpg -v": "downloads published weights",
    "lexiseg finetune": "trains for minutes, and needs the reader's pictures",
    "lexiseg reproduce": "takes minutes to hours",
    "lexiseg demo --model": "asks for weights that lie elsewhere",
}
"""Why blocks of the README are not run, by how they begin: it has no comments, which package indexes show."""
SERVER = "http://127.0.0.1:8000"
"""What blocks call a server that runs."""
SHELL = ("bash", "sh")
RUN, SHOWN = (*SHELL, "python"), ("", "text", "yaml", "json", "bibtex")
"""Languages of blocks that run, and of those that only show something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of a document."""

    document: str
    language: str
    text: str
    reason: str | None
    """Why it is not run."""

    @property
    def commands(self) -> list[list[str]]:
        """What follows `lexiseg` in each of its lines that type it, also behind torchrun."""
        lines = self.text.replace("\\\n", " ").splitlines()
        found = (re.search(r"(?:^|\s)(?:\S*/)?lexiseg (.+)", without_remark(line)) for line in lines)
        return [shlex.split(match[1]) for match in found if match]


def without_remark(line: str) -> str:
    """A line of a shell without the remark behind it."""
    return re.split(r"(?:^|\s)#\s", line)[0].rstrip()


def blocks(name: str) -> list[Block]:
    """The fenced blocks of a document, in order."""
    text = (ROOT / name).read_text(encoding="utf-8")
    page = PAGE_MARK.search(text)
    found = []
    for reason, language, code in BLOCK.findall(text):
        own = next((why for begin, why in README_REASONS.items() if code.startswith(begin)), None)
        why = reason or (own if name == README else None) or (page[1] if page else None)
        found.append(Block(document=name, language=language, text=code, reason=why))
    return found


def runnable(name: str) -> list[Block]:
    """The blocks of a document that say no reason why they are not run."""
    return [block for block in blocks(name) if block.reason is None and block.language in RUN]


def asks_server(name: str) -> bool:
    """Whether blocks that run ask a server."""
    return any(SERVER in block.text for block in runnable(name))


def downloads(typed: list[str]) -> bool:
    """Whether a command asks for published weights by their name, which the first time fetches them."""
    return any(word in NAMED and word not in SHIPPED for word in typed)


def typed_inline(name: str) -> Iterator[list[str]]:
    """The commands that stand within sentences."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`([^`]+)`", text):
        if match := re.match(r"(?:\S*/)?lexiseg\s+([a-z].*)", " ".join(code.split())):
            yield match[1].replace('"', " ").split()


class _Idle:
    """In the place of the modules that run commands."""

    def __getattr__(self, name: str) -> Callable[[object], int]:
        return lambda options: 0


def refusal(typed: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What the command line says against a command, which is read and not run; models of the reader's own are there."""
    monkeypatch.setattr("lexiseg.cli.main.import_module", lambda name: _Idle())
    monkeypatch.setattr("lexiseg.cli.options.shared.check_model", lambda name: name)
    words = [word for word in typed if word != "..."]
    if words[0] == "push":
        words[1] = "storybook"
    done = CliRunner().invoke(app, words)
    return "" if done.exit_code == 0 else done.output


def unknown_words(typed: list[str]) -> list[str]:
    """The command or options of what is typed within a sentence that the command line does not have."""
    command: Any = typer.main.get_command(app)
    rest = list(typed)
    while hasattr(command, "commands"):
        if not rest or rest[0].startswith("-"):
            break
        if rest[0] not in command.commands:
            return [rest[0]]
        command, rest = command.commands[rest[0]], rest[1:]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    options = [re.split(r"[=,/;.]", word)[0] for word in rest if word.startswith("--")]
    return [option for option in options if option not in {*known, "--help", "--version"}]

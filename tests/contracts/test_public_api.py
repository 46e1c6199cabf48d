"""The public names and options: those that a person imports or types.

`public_api.json` beside this file holds them as they are meant to be. After a change on purpose (see CONTRIBUTING.md
for what a removal takes), record it with

    python tests/contracts/test_public_api.py
"""

import ast
import inspect
import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from enum import EnumType
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
import typer
from typer.models import ArgumentInfo

import lexiseg
import lexiseg.storybook
from lexiseg.cli.command import typed_name
from lexiseg.cli.main import COMMANDS, app
from lexiseg.training import recipes

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(__file__).with_name("public_api.json")


def public_api() -> dict[str, Any]:
    """All that may not vanish unnoticed."""
    return {
        "lexiseg": sorted(lexiseg.__all__),
        "lexiseg.training.recipes": sorted(recipes.__all__),
        "commands": dict(sorted(commands(app, "lexiseg"))),
    }


def commands(group: typer.Typer, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every command by its full name, with what it takes."""
    for command in (group.registered_callback, *group.registered_commands):
        if command is not None and command.callback is not None:
            own = "" if command is group.registered_callback else f" {command.name or command.callback.__name__}"
            parameters = inspect.signature(command.callback).parameters.values()
            yield name + own, dict(sorted(map(parameter, parameters)))
    for part in group.registered_groups:
        assert part.typer_instance is not None
        yield from commands(part.typer_instance, f"{name} {part.name}")


def parameter(declared: inspect.Parameter) -> tuple[str, dict[str, Any]]:
    """What can be typed for an option or argument, and what holds if nothing is."""
    annotation, info = get_args(declared.annotation)
    typed = [info.metavar] if isinstance(info, ArgumentInfo) else [info.default, *(info.param_decls or ())]
    names = [name for name in typed if isinstance(name, str)]
    is_required = declared.default is declared.empty
    default = None if is_required else getattr(declared.default, "value", declared.default)
    about = {
        "names": names,
        "takes": kind(annotation),
        "default": str(default) if isinstance(default, Path) else default,
        "required": is_required or None,
        "metavar": info.metavar,
        "range": None if info.min is info.max is None else [info.min, info.max],
    }
    return names[0], {key: value for key, value in about.items() if value is not None or key == "default"}


def kind(annotation: Any) -> Any:
    """A type's name, or all that may be chosen; what may be left out is seen from the default."""
    inner = [part for part in get_args(annotation) if part is not type(None)]
    if isinstance(annotation, EnumType):
        return [member.value for member in annotation]
    if get_origin(annotation) is Literal:
        return inner
    if get_origin(annotation) is list:
        return f"several of {kind(inner[0])}"
    return kind(inner[0]) if inner else annotation.__name__


def recorded(part: str) -> Any:
    return json.loads(FILE.read_text(encoding="utf-8"))[part]


HOW = "If that is meant: python tests/contracts/test_public_api.py records it (CONTRIBUTING.md says when it may be)."


@pytest.mark.parametrize("module", ["lexiseg", "lexiseg.training.recipes"])
def test_no_exported_name_comes_or_goes_unnoticed(module: str) -> None:
    now, then = set(public_api()[module]), set(recorded(module))

    assert now == then, f"{module} lost {sorted(then - now)} and gained {sorted(now - then)}. {HOW}"


def test_no_command_comes_or_goes_unnoticed() -> None:
    now, then = set(public_api()["commands"]), set(recorded("commands"))

    assert now == then, f"Lost {sorted(then - now)} and gained {sorted(now - then)}. {HOW}"


@pytest.mark.parametrize("command", sorted(recorded("commands")) if FILE.exists() else [])
def test_no_option_comes_goes_or_changes_unnoticed(command: str) -> None:
    now, then = public_api()["commands"].get(command, {}), recorded("commands")[command]
    differs = {name: (then.get(name), now.get(name)) for name in {*now, *then} if then.get(name) != now.get(name)}

    assert not differs, f"{command}, option: (as recorded, now): {differs}. {HOW}"


MEANS_ANOTHER_THING = {
    "--clip": "open_clip's name of one to assemble; a folder or file that pairs; in a training also a model's name",
    "--data": "one data set; in a training several, or pairs",
    "--list": "shows recipes, or built-in vocabularies",
    "--model": "what is asked; in a training another name of --start, what it goes on from",
    "--precision": "what is computed or stored; a training has no fp16, which needs scaled losses",
    "--batch-size": "pictures that go through the network at once; or from which a step of a training learns",
    "--show": "opens a sheet of results; or prints a recipe and runs nothing",
    "--split": "a data set has its own; what is drawn has three",
    "--workers": "processes that share the work; or that read ahead of it, of which there may be none",
}
"""Options that commands declare apart, by the long name, and why one declaration would not do."""


def declarations() -> dict[str, set[Any]]:
    """The declarations of every option that is typed with two dashes: an alias of many commands is one."""
    found: dict[str, set[Any]] = defaultdict(set)
    for owner in {base for _, options, _ in COMMANDS for base in options.__mro__}:
        for field, hint in inspect.get_annotations(owner).items():
            alias = next((part for part in (hint, *get_args(hint)) if get_origin(part) is Annotated), None)
            info = None if alias is None else get_args(alias)[1]
            if isinstance(info, ArgumentInfo):
                continue
            typed = () if info is None else (info.default, *(info.param_decls or ()))
            names = [name for name in typed if isinstance(name, str) and name.startswith("--")]
            for name in names or [typed_name(field)]:
                found[name].add((owner, field) if info is None else id(info))
    return found


def test_an_option_is_declared_once_unless_it_means_another_thing() -> None:
    again = {name for name, places in declarations().items() if len(places) > 1}

    assert again == MEANS_ANOTHER_THING.keys(), "an alias in cli/options/shared.py serves all commands"


@pytest.mark.parametrize("name", sorted(lexiseg.__all__))
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(lexiseg, name) is not None
    assert name in dir(lexiseg)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'segment_everything'"):
        _ = lexiseg.segment_everything


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project.get("version", lexiseg.__version__) == lexiseg.__version__


def test_type_checkers_see_the_names_that_can_be_imported() -> None:
    source = Path(lexiseg.__file__).read_text()
    (block,) = (node for node in ast.parse(source).body if isinstance(node, ast.If))
    seen = {
        alias.asname: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }

    assert seen == {name: module for module, names in lexiseg._EXPORTS.items() for name in names}
    assert set(lexiseg.__all__) == {*seen, "__version__"}
    assert {"DeviceError", "UsageError", "FormatError", "Instance"} <= seen.keys()
    assert Path(lexiseg.__file__).with_name("py.typed").is_file()


def test_the_drawn_world_is_public_and_loads_no_drawing_before_it_is_asked_for() -> None:
    code = (
        "import sys, lexiseg.storybook as s; before = 'lexiseg.storybook.scene' in sys.modules;"
        "print(before, s.draw_scene('base', 'val', 0, size=(32, 32)).picture.shape)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stdout.strip() == "False (32, 32, 3)", done.stderr
    with pytest.raises(AttributeError, match="no attribute 'paint'"):
        _ = lexiseg.storybook.paint


def record() -> None:
    """Writes the file, an option or a name to a line."""
    document = json.dumps(public_api(), indent=1, ensure_ascii=False)
    a_line_each = re.sub(r"\n {3,}(?=[^ \"])|\n {4,}|(?<=[\[{])\n {3}(?=\"names)", "", document)
    FILE.write_text(a_line_each + "\n", encoding="utf-8")


if __name__ == "__main__":
    record()

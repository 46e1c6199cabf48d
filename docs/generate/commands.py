"""Every command and what it takes, as Markdown, from what `lexiseg --help` itself is made of."""

import inspect
import re
from collections import defaultdict
from collections.abc import Iterator
from enum import EnumType
from typing import Any, Literal, get_args, get_origin

import typer
from typer.models import ArgumentInfo, ParameterInfo

from lexiseg.cli.main import app

OPTIONS = "Options"
"""The group of what has none of its own."""
TAKES = {"str": "TEXT", "int": "NUMBER", "float": "NUMBER", "Path": "PATH"}


def commands_markdown() -> str:
    """A section per command, with an entry per argument and option."""
    return "\n\n".join(section(name, command) for name, command in commands(app, "lexiseg"))


def commands(group: typer.Typer, name: str) -> Iterator[tuple[str, Any]]:
    """Every command by its full name, in the order of the help."""
    for command in group.registered_commands:
        yield f"{name} {command.name}", command
    for part in group.registered_groups:
        assert part.typer_instance is not None
        yield from commands(part.typer_instance, f"{name} {part.name}")


def section(name: str, command: Any) -> str:
    """One command."""
    grouped: dict[str, list[str]] = defaultdict(list)
    arguments: list[str] = []
    required: list[str] = []
    for parameter in inspect.signature(command.callback).parameters.values():
        kind, about = get_args(parameter.annotation)
        if isinstance(about, ArgumentInfo):
            metavar = str(about.metavar or parameter.name.upper())
            arguments.append(metavar if parameter.default is parameter.empty else f"[{metavar}]")
            grouped["Arguments"].append(f"`{metavar}`\n: {text(about)}")
            continue
        typed = names(about)
        if parameter.default is parameter.empty:
            required.append(" ".join([typed[0], value(kind, about)]))
        grouped[about.rich_help_panel or OPTIONS].append(option(typed, kind, about, parameter))
    usage = " ".join([name, *arguments, *required, "[OPTIONS]"])
    parts = [f"## {name}", f"```{{program}} {name}\n```", plain(command.help), f"```text\n{usage}\n```"]
    for title, entries in sorted(grouped.items(), key=lambda item: (item[0] != "Arguments", item[0] != OPTIONS)):
        parts += [f"**{title}**", *entries]
    return "\n\n".join(parts)


def names(about: ParameterInfo) -> list[str]:
    """What can be typed for an option, a single letter last."""
    declared = [name for name in (about.default, *(about.param_decls or ())) if isinstance(name, str)]
    return sorted((name for declaration in declared for name in declaration.split("/")), key=lambda n: n[:2] != "--")


def option(typed: list[str], kind: Any, about: ParameterInfo, parameter: inspect.Parameter) -> str:
    """An entry that can be linked and searched, as `lexiseg segment --out`."""
    short, long = [name for name in typed if name[:2] != "--"], [name for name in typed if name[:2] == "--"]
    heading = f"{', '.join([*short, *long])} {value(kind, about)}".rstrip()
    default = getattr(parameter.default, "value", parameter.default)
    told = [text(about)]
    if default is parameter.empty:
        told.append("Has to be given.")
    elif default is True:
        told.append(f"On unless `{long[-1]}` is given.")
    elif default not in (None, False, ()):
        told.append(f"Default: `{default}`.")
    return f"````{{option}} {heading}\n\n{' '.join(filter(None, told))}\n````"


def value(kind: Any, about: ParameterInfo) -> str:
    """What stands behind an option: its own word for it, all that may be chosen, or a type with its range."""
    if about.metavar:
        return f"<{about.metavar}>"
    inner = [part for part in get_args(kind) if part is not type(None)]
    if isinstance(kind, EnumType):
        return f"<{'|'.join(str(member.value) for member in kind)}>"
    if get_origin(kind) is Literal:
        return f"<{'|'.join(map(str, inner))}>"
    if inner:
        return value(inner[0], about)
    if kind is bool:
        return ""
    low, high = getattr(about, "min", None), getattr(about, "max", None)
    bounds = "" if low is None and high is None else f" {'' if low is None else low}..{'' if high is None else high}"
    return f"<{TAKES.get(kind.__name__, kind.__name__.upper())}{bounds}>"


def text(about: ParameterInfo) -> str:
    """The help of an option."""
    return plain(about.help or "")


def plain(told: str) -> str:
    """A text of the help as Markdown; what is typed stands in code marks."""
    told = " ".join(told.split()).replace("*", r"\*").replace("<", r"\<")
    return re.sub(
        r"'(lexiseg [^']+|[^' ]+)'|(?<![\w`'-])(--[a-z][a-z-]*)", lambda found: f"`{found[1] or found[2]}`", told
    )

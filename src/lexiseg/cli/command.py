"""Makes a command of a dataclass of options.

The first paragraph of its docstring is the command's help. A field is an option: its name with a dash for every
underscore, its type, its default, its docstring as help. What else there is to say of it, such as another name or a
range, stands beside the type: `out: Annotated[Path, typer.Option("-o")]`. An alias of such a type is an option that
several commands share; where it may be left out it is `Alias | None`.
"""

import ast
import inspect
import sys
from collections.abc import Callable
from copy import copy
from dataclasses import MISSING, Field, fields
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, TypeVar, get_args, get_origin

import typer
from typer.models import OptionInfo

OptionsT = TypeVar("OptionsT")


def add_command(
    app: typer.Typer, name: str, options_type: type[OptionsT], run: Callable[[OptionsT], int | None]
) -> None:
    """Adds a command to an app.

    Args:
        app: the app, or a group of it.
        name: what is typed.
        options_type: a dataclass.
        run: takes the options, and returns the exit status, or None for 0.
    """
    parameters = _parameters(options_type)

    def typed(**given: Any) -> None:
        raise typer.Exit(run(options_type(**given)) or 0)

    typed.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    typed.__signature__ = inspect.Signature(parameters)
    app.command(name, help=(inspect.getdoc(options_type) or "").partition("\n\n")[0])(typed)


def typed_name(field: str) -> str:
    """What a field's option is called: `--its-name`."""
    return f"--{field.replace('_', '-')}"


def _parameters(options_type: Any) -> list[inspect.Parameter]:
    """What typer reads of a function; a class's own fields before those of its bases, as that is what it is about."""
    classes = options_type.__mro__[-2::-1]  # from below `object` on
    depth = {name: -place for place, base in enumerate(classes) for name in inspect.get_annotations(base)}
    helps: dict[str, str] = {}
    for base in classes:
        helps |= _docstrings(base.__module__).get(base.__name__, {})
    declared = sorted(fields(options_type), key=lambda field: depth[field.name])
    return [_parameter(field, helps.get(field.name)) for field in declared]


def _parameter(field: Field[Any], text: str | None) -> inspect.Parameter:
    may_be_none = type(None) in (parts := get_args(field.type))
    declared = parts[0] if may_be_none else field.type
    kind, about = get_args(declared) if get_origin(declared) is Annotated else (declared, typer.Option())
    about = copy(about)
    about.help = text or about.help
    if isinstance(about, OptionInfo):
        names = [name for name in (about.default, *(about.param_decls or ())) if isinstance(name, str)]
        own = [] if any(name.startswith("--") for name in names) else [typed_name(field.name)]
        about.default, about.param_decls = ..., (*own, *names)
    default = inspect.Parameter.empty if field.default is MISSING else field.default
    annotation = Annotated[kind | None if may_be_none else kind, about]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


@cache
def _docstrings(module: str) -> dict[str, dict[str, str]]:
    """The docstrings of fields, by class; Python keeps them in the source alone."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {
        node.name: {
            field.target.id: " ".join(text.value.value.split())
            for field, text in pairwise(node.body)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
        }
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }

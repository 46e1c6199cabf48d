"""Recipes of the user's own: a function in a file of theirs, named as path/to/file.py:function."""

import importlib.util
import inspect
import sys
from collections.abc import Collection
from pathlib import Path

from lexiseg.core.files import real
from lexiseg.core.messages import printable
from lexiseg.training.engine.run_settings import Recipe


def is_own(name: str) -> bool:
    """Whether a name is meant to be path/to/file.py:function."""
    return ".py:" in name or name.endswith(".py")


def load_own(name: str, kinds: Collection[type[Recipe]], *, seed: int) -> Recipe:
    """Runs the file and calls the function, which returns one of the recipes' dataclasses.

    Args:
        name: path/to/file.py:function. Files beside it can be imported in it, as in a script.
        kinds: what recipes may be.
        seed: handed to the function if it takes one.

    Raises:
        ValueError: if there is no such file or function, either fails, or what is returned is no recipe.
    """
    path, _, function = name.rpartition(":")
    if not path.endswith(".py") or not function.isidentifier():
        raise ValueError(f"expected a recipe of your own as path/to/file.py:function, got {printable(name)}.")
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"there is no file {printable(path)} for the recipe {function}: check the path.")
    make = getattr(_run(file), function, None)
    if not callable(make):
        raise ValueError(f"{printable(path)} has no function {function}: define it, or name another.")
    try:
        recipe = make(seed=seed) if "seed" in inspect.signature(make).parameters else make()
    except Exception as error:  # somebody else's code
        raise ValueError(f"{function} in {printable(path)} failed ({_one_line(error)}).") from error
    if not isinstance(recipe, Recipe) or type(recipe) not in kinds:
        known = ", ".join(kind.__name__ for kind in kinds)
        raise ValueError(
            f"{function} in {printable(path)} must return a recipe ({known}), got {type(recipe).__name__}."
        )
    return recipe


def _run(file: Path) -> object:
    """The file as a module, under a name that no package has."""
    spec = importlib.util.spec_from_file_location(f"_own_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by its name
    sys.path.insert(0, str(real(file.parent)))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{printable(file)} can't be run ({_one_line(error)}).") from error
    finally:
        sys.path.pop(0)
    return module


def _one_line(error: Exception) -> str:
    """What went wrong, as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".rstrip(".: ")

"""The public names: those that a person imports from the package itself."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import lexiseg
import lexiseg.storybook


@pytest.mark.parametrize("name", sorted(lexiseg.__all__))
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(lexiseg, name) is not None
    assert name in dir(lexiseg)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'segment_everything'"):
        _ = lexiseg.segment_everything


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]

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

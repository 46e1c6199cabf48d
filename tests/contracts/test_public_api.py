"""The public names: those that a person imports from the package itself."""

import tomllib
from pathlib import Path

import pytest

import lexiseg


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

"""The source distribution holds what its own tests open; the wheel says that it is typed."""

import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("src", "tests", "benchmarks", "docs", "tools", ".ci")
FILES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", ".pre-commit-config.yaml")


def test_the_source_distribution_holds_all_that_tests_open() -> None:
    sdist = pytest.importorskip("hatchling.builders.sdist", reason="hatchling builds it; '.[test]' installs that")

    found = {file.distribution_path for file in sdist.SdistBuilder(str(ROOT)).recurse_included_files()}

    needed = {
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".coverage")
    }
    assert len(needed) > 300
    assert sorted({*needed, *FILES} - found) == []


def test_the_wheel_holds_weights_lists_and_the_mark_of_types(tmp_path: Path) -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="hatchling builds it; '.[test]' installs that")

    (built,) = wheel.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])

    with zipfile.ZipFile(built) as archive:
        found = set(archive.namelist())
    assert "lexiseg/py.typed" in found
    for kind in ("*.py", "*.json", "*.safetensors"):
        there = {p.relative_to(ROOT / "src").as_posix() for p in (ROOT / "src" / "lexiseg").rglob(kind)}
        assert there
        assert sorted(there - found) == []

"""Every benchmark, tool and script of docs/ can be started: what it takes from the package is there under that name."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMPORT_ALL = """
import importlib
for name in {names!r}:
    try:
        importlib.import_module(name)
    except ImportError as error:
        raise SystemExit(f"{{name}}: {{error}}")
"""


@pytest.mark.parametrize(("folder", "fewest"), [("benchmarks", 10), ("tools", 10), ("docs", 7)])
def test_every_script_finds_what_it_imports(folder: str, fewest: int) -> None:
    scripts = ROOT / folder
    files = sorted(scripts.rglob("*.py"))
    names = [".".join(file.relative_to(scripts).with_suffix("").parts) for file in files]

    ran = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL.format(names=names)], cwd=scripts, capture_output=True, text=True
    )

    assert len(names) > fewest
    assert ran.returncode == 0, ran.stderr

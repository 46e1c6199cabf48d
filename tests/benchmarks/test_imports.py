"""Every benchmark can be started: what it takes from the package is there under that name."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
IMPORT_ALL = """
import importlib
for name in {names!r}:
    try:
        importlib.import_module(name)
    except ImportError as error:
        raise SystemExit(f"{{name}}: {{error}}")
"""


def test_every_benchmark_finds_what_it_imports() -> None:
    files = sorted(BENCHMARKS.rglob("*.py"))
    names = [".".join(file.relative_to(BENCHMARKS).with_suffix("").parts) for file in files]

    ran = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL.format(names=names)], cwd=BENCHMARKS, capture_output=True, text=True
    )

    assert len(names) > 20
    assert ran.returncode == 0, ran.stderr

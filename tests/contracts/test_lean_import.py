"""The command line must answer at once: nothing heavy is imported before it is needed."""

import resource
import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "transformers", "open_clip", "scipy")


@pytest.mark.parametrize("module", ["lexiseg", "lexiseg.core.vocabulary", "lexiseg.cli.main"])
def test_importing_it_does_not_import_anything_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_help_costs_less_than_half_a_cpu_second() -> None:
    costs = []
    for _ in range(3):  # the first run may still have to compile bytecode
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-m", "lexiseg", "--help"], capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0, done.stderr
        assert "segment" in done.stdout
        costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    assert min(costs) < 0.5

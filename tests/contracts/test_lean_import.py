"""The command line must answer at once: nothing heavy is imported before it is needed."""

import resource
import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "transformers", "open_clip", "scipy", "numpy", "PIL")


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


def test_garbage_is_looked_for_again_in_commands_and_what_waits_for_the_end_is_done() -> None:
    code = (
        "import atexit, gc, sys; from lexiseg.cli import main, show\n"
        "def run_show(options):\n"
        "    atexit.register(print, 'ended', end='')\n"
        "    print(gc.isenabled(), end=' ')\n"
        "    return 3\n"
        "show.run_show = run_show\n"
        "sys.argv = ['lexiseg', 'show', 'storybook']; main.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (3, "True ended"), done.stderr

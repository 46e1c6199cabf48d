"""A compiled network answers as it did, and is saved and copied as it was."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import copy
import numpy as np
import torch
import tiny
from lexiseg.core.errors import DeviceError
from lexiseg.inference.predictor import Model

torch.set_num_threads(1)
torch.set_grad_enabled(False)
plain = tiny.model()
words, compiled, broken = tiny.words(plain, "cat, tiger"), copy.deepcopy(plain), copy.deepcopy(plain)
compiled.compile_parts("eager")  # traced as for any backend, and then run as it is
for size in ((32, 64), (64, 32)):
    images = tiny.pictures(*size)
    expected, found = plain(images, words), compiled(images, words)
    torch.testing.assert_close(found.mask_logits, expected.mask_logits)
    torch.testing.assert_close(found.class_logits, expected.class_logits)
counters = torch._dynamo.utils.counters
assert counters["stats"]["unique_graphs"] >= 5, counters  # the segmenter and CLIP's four stages
assert not counters["graph_break"], counters
assert tiny.same(tiny.state(compiled), tiny.state(plain))
assert copy.deepcopy(compiled).segmenter._compiled_call_impl is None

def backend(*_):
    raise FileNotFoundError("no C++ compiler here")

broken.compile_parts(backend)
try:
    Model(broken).segment(np.zeros((40, 60, 3), np.uint8), "cat")
except DeviceError as error:
    print(error)
"""


@pytest.mark.slow
def test_networks_are_taken_whole_and_a_machine_that_cannot_is_told_so(tmp_path: Path) -> None:
    """In a process of its own, where no shapes are checked: torch.compile would trace the checks."""
    places = [Path(__file__).parents[1], Path(__file__).parents[2] / "src"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places)), "LEXISEG_CACHE": str(tmp_path)}

    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stderr
    (sentence,) = done.stdout.splitlines()
    assert sentence.startswith("torch.compile failed (")
    assert "no C++ compiler here" in sentence
    assert sentence.endswith("leave compile out.")

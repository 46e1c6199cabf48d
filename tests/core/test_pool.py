"""Processes of a pool: none outlives the one that it works for."""

import signal
import subprocess
import sys

import pytest

START = """
import os, sys, time
from torch.utils.data import Dataset
from lexiseg.core.pool import map_in_pool
from lexiseg.training.engine.loader import load_batches

class Busy(Dataset):
    def __len__(self):
        return 9
    def __getitem__(self, index):
        if index > 2:
            time.sleep(600)
        return os.getpid()

def main():
    if sys.argv[1] == "pool":
        found = map_in_pool(Busy().__getitem__, range(9), 2, chunk=1)
    else:
        found = load_batches(Busy(), list, workers=2, batch_size=1)
    next(found), next(found)
    print("begun", flush=True)
    time.sleep(600)

if __name__ == "__main__":
    main()
"""
PATIENCE = 60.0


@pytest.mark.parametrize("kind", ["pool", "loader"])
def test_workers_end_with_a_parent_that_is_killed(kind: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", START, kind], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "begun\n"

    parent.send_signal(signal.SIGKILL)

    # the workers have the other end of this pipe too: it is closed when the last of them has ended
    rest, _ = parent.communicate(timeout=PATIENCE)
    assert rest == ""

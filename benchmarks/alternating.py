"""Two ways of doing one thing, timed fairly: in alternating order, in one process."""

import statistics
import time
from collections.abc import Callable

ROUNDS = 5


def seconds(run: Callable[[], object]) -> float:
    """CPU time of one call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def compare(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float, float]:
    """Median seconds of both, and the median ratio theirs / ours, over rounds in alternating order.

    Call both once before, so that neither pays for what is made on first use.
    """
    times: list[tuple[float, float]] = []
    for turn in range(ROUNDS):
        if turn % 2:
            times.append((seconds(ours), seconds(theirs)))
        else:
            times.append((seconds(theirs), seconds(ours))[::-1])
    mine, peer = (statistics.median(side) for side in zip(*times, strict=True))
    return mine, peer, statistics.median(theirs_took / ours_took for ours_took, theirs_took in times)

"""Two ways of doing one thing, timed fairly: in alternating order, in one process; and what the device could do."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

ROUNDS = 5
SQUARE = {"cuda": 8192, "mps": 4096, "cpu": 2048}
"""Side of the matrix products that a device is held against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """What the time of a call is.

    On a CPU it is the process's CPU time, which other work on the machine changes little; else wall time, until the
    device has done what it was told.
    """

    device: str = "cpu"
    is_wall: bool = False
    """Wall time on a CPU too, where it has several threads."""

    def seconds(self, run: Callable[[], object]) -> float:
        """Of one call."""
        now = time.process_time if self.device == "cpu" and not self.is_wall else time.perf_counter
        self._wait()
        start = now()
        run()
        self._wait()
        return now() - start

    def _wait(self) -> None:
        if self.device != "cpu":
            getattr(torch, torch.device(self.device).type).synchronize()

    def median(self, run: Callable[[], object], rounds: int = ROUNDS) -> float:
        """Median seconds of a call; call it once before."""
        return statistics.median(self.seconds(run) for _ in range(rounds))

    def compare(
        self, ours: Callable[[], object], theirs: Callable[[], object], rounds: int = ROUNDS
    ) -> tuple[float, float, float]:
        """Median seconds of both, and the median ratio theirs / ours, over rounds in alternating order.

        Call both once before, so that neither pays for what is made on first use.
        """
        times = self.times(ours, theirs, rounds)
        mine, peer = (statistics.median(side) for side in zip(*times, strict=True))
        return mine, peer, statistics.median(theirs_took / ours_took for ours_took, theirs_took in times)

    def times(
        self, ours: Callable[[], object], theirs: Callable[[], object], rounds: int = ROUNDS
    ) -> list[tuple[float, float]]:
        """Seconds of both in every round."""
        found: list[tuple[float, float]] = []
        for turn in range(rounds):
            first = None if turn % 2 else self.seconds(theirs)
            mine = self.seconds(ours)
            found.append((mine, self.seconds(theirs) if first is None else first))
        return found

    def matmul_rate(self, dtype: torch.dtype) -> float:
        """FLOP per second of the fastest of some square matrix products: what nothing made of them can pass.

        On a CPU they are asked of oneDNN too, as a convolution of 1 x 1 (one that is dilated, which changes nothing, or
        PyTorch takes MKL on one thread): where MKL takes the processor for less than it is, as it does AMD's, that is
        twice as fast.
        """
        side = SQUARE[torch.device(self.device).type]
        one, other = (torch.randn(side, side, device=self.device, dtype=dtype) for _ in range(2))
        ways: list[Callable[[], object]] = [lambda: one @ other]
        if self.device == "cpu":
            cells = one.view(1, side, 1, side).permute(0, 3, 1, 2)
            ways.append(lambda: F.conv2d(cells, other[:, :, None, None], dilation=2))
        return 2 * side**3 / min(self.seconds(way) for way in ways for _ in range(10))


compare = Clock().compare
"""On one thread of the CPU."""


def flops(run: Callable[[], object]) -> int:
    """Those of one call that torch counts, one multiply-add as 2.

    Convolutions, matrix products and attention; not what samples, gathers, sums or normalises. What is compiled has to
    be counted before.
    """
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # a CPU's fused kernel isn't counted
        run()
    return counter.get_total_flops()

"""The lines of benchmarks/speed.py, and how they are measured."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Literal, TypeVar

import alternating
import torch
from alternating import Clock
from twins import Size, Twins, twins

from lexiseg.core.devices import Precision, computing

Result = TypeVar("Result")
COLUMNS = ("", "ours", "theirs", "ratio", "of the best", "GMAC", "floor", "share", "largest difference")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    section: str
    name: str
    peer: str | None = None
    """Whose program the other side is."""
    ours: float | None = None
    """Seconds."""
    theirs: float | None = None
    best: tuple[float, float] | None = None
    """The least of both: what other work on the machine, which slows the side that waits for memory, changes least."""
    flops: int = 0
    """Of our side."""
    matmul_rate: float = 0.0
    """FLOP per second of the device's matrix products."""
    differences: Mapping[str, float] = field(default_factory=dict)
    """The largest ones between the numbers of both sides, and what is known beside."""

    @property
    def ratio(self) -> float | None:
        """Ours by theirs."""
        return None if self.ours is None or self.theirs is None else self.ours / self.theirs

    @property
    def best_ratio(self) -> float | None:
        """Of the least of both."""
        return None if self.best is None else self.best[0] / self.best[1]

    @property
    def floor(self) -> float | None:
        """Seconds that matrix products alone would take."""
        return self.flops / self.matmul_rate if self.flops else None

    @property
    def share(self) -> float | None:
        """Of the time, that the floor is."""
        return None if self.floor is None or self.ours is None else self.floor / self.ours

    def cells(self) -> tuple[str, ...]:
        """As `COLUMNS` say."""
        told = ", ".join(f"{name} {value:.2g}" for name, value in self.differences.items())
        return (
            f"{self.name}" + (f", against {self.peer}" if self.peer else ""),
            _seconds(self.ours),
            _seconds(self.theirs),
            _ratio(self.ratio),
            _ratio(self.best_ratio),
            f"{self.flops / 2e9:.1f}" if self.flops else "",
            _seconds(self.floor),
            "" if self.share is None else f"{self.share:.0%}",
            told,
        )

    def document(self) -> dict[str, object]:
        """As JSON has it."""
        return {
            **asdict(self),
            "ratio": self.ratio,
            "best_ratio": self.best_ratio,
            "floor": self.floor,
            "share": self.share,
        }


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.1f} ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is asked for, and how it is measured."""

    backbones: tuple[str, ...]
    sizes: tuple[Size, ...]
    device: str
    rounds: int
    clock: Clock
    precision: Precision
    is_compiled: bool
    peer: Literal["plain", "same"]
    is_quick: bool
    matmul_rate: float

    def ours(self, run: Callable[[], Result]) -> Callable[[], Result]:
        """A call as lexiseg's is made: without gradients, in its precision."""
        return self._in(self.precision, run)

    def theirs(self, run: Callable[[], Result]) -> Callable[[], Result]:
        """A call as the peer's is made."""
        return self._in(self.precision if self.peer == "same" else "float32", run)

    def _in(self, precision: Precision, run: Callable[[], Result]) -> Callable[[], Result]:
        def called() -> Result:
            with torch.inference_mode(), computing(torch.device(self.device), precision):
                return run()

        return called

    def alone(self, section: str, name: str, ours: Callable[[], object], rounds: int | None = None) -> Row:
        """Times what has no peer; called once before."""
        flops = alternating.flops(ours)
        took = self.clock.median(ours, rounds or self.rounds)
        return Row(section=section, name=name, ours=took, flops=flops, matmul_rate=self.matmul_rate)

    def row(
        self,
        section: str,
        name: str,
        ours: Callable[[], object],
        theirs: Callable[[], object],
        *,
        peer: str,
        flops: int | None = None,
        differences: Mapping[str, float] | None = None,
    ) -> Row:
        """Times both sides; FLOPs are to be given where ours is compiled, as they can't be counted there."""
        flops = alternating.flops(ours) if flops is None else flops
        for side in (ours, theirs):
            side()
        mine, yours = zip(*self.clock.times(ours, theirs, self.rounds), strict=True)
        return Row(
            section=section,
            name=name,
            peer=peer,
            ours=median(mine),
            theirs=median(yours),
            best=(min(mine), min(yours)),
            flops=flops,
            matmul_rate=self.matmul_rate,
            differences=differences or {},
        )

    def twins(self, backbone: str, size: Size, **options: int) -> Twins:
        """Both models."""
        return twins(backbone, size, device=self.device, precision=self.precision, **options)

    def whole(self, section: str, name: str, both: Twins) -> Row:
        """Times whole models."""
        flops, differences = alternating.flops(both.ours), both.differences()
        if self.is_compiled:
            both.compile(with_peer=self.peer == "same")
        peer = "transformers" + (" likewise" if self.peer == "same" else "")
        return self.row(
            section,
            name,
            both.ours,
            self.theirs(both.peer),
            peer=peer,
            flops=flops,
            differences=differences,
        )

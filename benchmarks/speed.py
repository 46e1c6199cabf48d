"""How fast it is, against the programs that it follows: whole models, their parts, and how both scale.

Usage: python benchmarks/speed.py [--only whole numbers parts maskformer crops scaling shipped] [--json FILE]
       [--backbone r50 swin-t swin-l] [--size 480x640 ...] [--device cpu|cuda] [--threads 1] [--rounds 7]
       [--precision float32|bf16|fp16] [--compile] [--peer plain|same] [--quick]

A row is something done by lexiseg and by the program beside it, on the same random weights (benchmarks/twins.py), in
one process, in turns whose order is reversed every other round. Times are medians; "ratio" is ours by theirs, below one
where lexiseg is faster. On a CPU with one thread they are the process's CPU time, else wall time with the device waited
for. "floor" is what the multiply-adds of lexiseg's side would take at the rate of square matrix products in the same
precision, measured in the same run, and the share is floor by time: how much of it is left to gain. Torch counts
convolutions, products and attention, not what gathers, resizes or normalises.

whole       an assembled OPSNet (Mask2Former, CLIP RN50, words known before, merge) from 8-bit pixels to segments,
            against transformers' Mask2Former and its post-processing, from pixels that are already normalised
numbers     mask and class logits of both, three seeds; nothing is timed
parts       each part of the same, on the inputs that it has there
maskformer  OVSeg's segmenter against transformers' MaskFormer
crops       100 masks embedded by one dense pass, against OVSeg's way: a pass for each masked crop
scaling     pictures, queries, words, and pictures at once
shipped     the model in the package, without a peer

--precision and --compile are lexiseg's; the peer stays in float32 and eager, as transformers loads it, unless --peer is
"same". Compiling takes a minute a model, outside the times.
"""

import argparse
import json
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import alternating
import torch
import transformers
from alternating import Clock
from twins import SEGMENTERS, Size, Twins, twins

from lexiseg.core.devices import DTYPES, Precision
from lexiseg.core.tables import markdown_table

SIZES: tuple[Size, ...] = ((480, 640), (640, 640), (800, 1216))
COLUMNS = ("", "ours", "theirs", "ratio", "GMAC", "floor", "share", "largest difference")
SEEDS = 3


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
            "" if self.ratio is None else f"{self.ratio:.2f}",
            f"{self.flops / 2e9:.1f}" if self.flops else "",
            _seconds(self.floor),
            "" if self.share is None else f"{self.share:.0%}",
            told,
        )

    def document(self) -> dict[str, object]:
        """As JSON has it."""
        return {**asdict(self), "ratio": self.ratio, "floor": self.floor, "share": self.share}


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

    @property
    def peer_precision(self) -> Precision:
        """What the peer computes in."""
        return self.precision if self.peer == "same" else "float32"

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
        """Times both sides."""
        flops = alternating.flops(ours) if flops is None else flops
        ours(), theirs()
        mine, yours, _ = self.clock.compare(ours, theirs, self.rounds)
        return Row(
            section=section,
            name=name,
            peer=peer,
            ours=mine,
            theirs=yours,
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
            lambda: both.peer(self.peer_precision),
            peer=peer,
            flops=flops,
            differences=differences,
        )


def shown(size: Size) -> str:
    """Width first, as people say it."""
    return f"{size[1]} x {size[0]}"


def whole(settings: Settings) -> Iterator[Row]:
    """Every backbone at every size."""
    for backbone in settings.backbones:
        for size in settings.sizes:
            both = settings.twins(backbone, size)
            yield settings.whole("whole", f"{backbone} + RN50, {shown(size)}", both)


def numbers(settings: Settings) -> Iterator[Row]:
    """Every backbone with several weights, on a small picture."""
    for backbone in settings.backbones:
        for seed in range(SEEDS):
            both = settings.twins(backbone, (256, 320), seed=seed)
            name = f"{backbone}, 320 x 256, seed {seed}"
            yield Row(section="numbers", name=name, peer="transformers", differences=both.differences())


SECTIONS: Mapping[str, Callable[[Settings], Iterator[Row]]] = {"whole": whole, "numbers": numbers}


def main() -> None:
    """Measures row by row, and writes them down as they come."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=tuple(SECTIONS), metavar="SECTION")
    parser.add_argument("--backbone", nargs="+", choices=SEGMENTERS)
    parser.add_argument("--size", nargs="+", type=_size, help="height x width, multiples of 32, such as 480x640")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--precision", choices=DTYPES, default="float32")
    parser.add_argument("--compile", action="store_true", help="lexiseg's networks, by torch.compile")
    parser.add_argument("--peer", choices=("plain", "same"), default="plain", help="same: as --precision and --compile")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="one round of the smallest models, to see that it runs")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.device != "cpu":  # float32 is to mean float32
        torch.backends.cuda.matmul.fp32_precision = torch.backends.cudnn.conv.fp32_precision = "ieee"
    clock = Clock(device=asked.device, threads=asked.threads)
    settings = Settings(
        backbones=tuple(asked.backbone or (("tiny",) if asked.quick else ("r50", "swin-t", "swin-l"))),
        sizes=tuple(asked.size or (((96, 128),) if asked.quick else SIZES)),
        device=asked.device,
        rounds=1 if asked.quick else asked.rounds,
        clock=clock,
        precision=asked.precision,
        is_compiled=asked.compile,
        peer=asked.peer,
        is_quick=asked.quick,
        matmul_rate=clock.matmul_rate(DTYPES[asked.precision]),
    )
    rows = list[Row]()
    run = environment(settings)
    print("\n".join(f"{name}: {value}" for name, value in run.items()), flush=True)
    for section in asked.only:
        heading, rule = markdown_table((section, *COLUMNS[1:]), ())
        print(f"\n{heading}\n{rule}")
        for row in SECTIONS[section](settings):
            rows.append(row)
            print(markdown_table(COLUMNS, [row.cells()])[-1], flush=True)
            if asked.json is not None:
                document = {"environment": run, "rows": [row.document() for row in rows]}
                asked.json.write_text(json.dumps(document, indent=1) + "\n")


def environment(settings: Settings) -> dict[str, str]:
    """What the figures depend on."""
    commit = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    is_gpu = settings.device.startswith("cuda")
    return {
        "commit": subprocess.run(commit, capture_output=True, text=True).stdout.strip(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": torch.cuda.get_device_name(settings.device) if is_gpu else _processor(),
        "threads": str(settings.clock.threads),
        "precision": settings.precision + (", compiled" if settings.is_compiled else ""),
        "peer": settings.peer,
        "matrix products": f"{settings.matmul_rate / 1e12:.3f} TFLOP/s",
        "rounds": str(settings.rounds),
    }


def _processor() -> str:
    """The CPU's name, and its widest instructions as torch sees them."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{(names or [platform.processor()])[0]}, {torch.backends.cpu.get_cpu_capability()}"


def _size(text: str) -> Size:
    height, width = (int(side) for side in text.split("x"))
    if height % 32 or width % 32:
        raise argparse.ArgumentTypeError(f"both sides must be multiples of 32, got {text}.")
    return height, width


if __name__ == "__main__":
    main()

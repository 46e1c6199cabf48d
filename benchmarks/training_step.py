"""Holds a training step to other code, such as an older commit: losses, gradients, seconds and memory.

Usage: PYTHONPATH=OLD/src python benchmarks/training_step.py --record FOLDER [--states 20]
       python benchmarks/training_step.py --against FOLDER [--old OLD/src] [--rounds 5]
       python benchmarks/training_step.py --against FOLDER --noise 1e-7

--record writes into FOLDER (some 4 GB) drawn pictures, random weights of the recipe at its own size, and of every state
the loss terms and the whole gradient. A state is a picture and the weights with noise added, its mask features centred,
so that about half of the mask logits are positive, as after some training. --against computes the same under this code
and prints, for each state, the largest difference of a loss term and of a gradient, both relative: of all parameters
as one vector, and of the worst one alone. Pictures, weights and random points are the same on both sides.

An attention mask is a threshold: rounding can flip a bit of it, and then a gradient changes by far more than rounding.
What that amounts to, --noise shows where the old code is held to itself: every pixel is multiplied by 1 + noise.

With --old, steps of both codes (forward, criterion, backward, clipping, optimiser) are timed as well, in processes of
their own in alternating order: medians of CPU seconds, one thread. The most memory that a process held (RSS), with and
without what it held before its first step, is taken where the allocator gives back at once what is freed
(MALLOC_MMAP_THRESHOLD_), as glibc's holes otherwise grow from step to step.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rates import WORDS, SegmenterTask, new_task, training_step
from torch import Tensor

from lexiseg.storybook.datasets import draw_data
from lexiseg.storybook.export import StorybookSpec
from lexiseg.training.engine.parallel import ParallelModule
from lexiseg.training.segmentation.task import SegmentationTask

NOISE = 0.3
"""Of a state's weights, relative to their spread; what is constant gets `LEAST_NOISE`."""
LEAST_NOISE = 0.02
STEPS = 2
"""Timed steps of one process, after the first one."""
SMALL = 1e-5
"""Share of the whole gradient's norm: parameters with less (keys' biases, whose gradient is zero but for rounding) are
held to it instead of to their own."""


def main() -> None:
    """Records, compares, or times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    act = parser.add_mutually_exclusive_group(required=True)
    act.add_argument("--record", type=Path, help="folder that is written")
    act.add_argument("--against", type=Path, help="folder that --record wrote")
    act.add_argument("--time", type=Path, help=argparse.SUPPRESS)  # what --old starts
    parser.add_argument("--states", type=int, default=20)
    parser.add_argument("--old", type=Path, help="its src: also times both")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--noise", type=float, default=0.0, help="relative, on every pixel")
    parser.add_argument("--recipe", default="opsnet-r50")
    parser.add_argument("--side", type=int, default=512)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.record is not None:
        record(given.record, given)
    elif given.time is not None:
        sys.stdout.write(json.dumps(own_cost(given.time, given)))
    else:
        if given.states:
            compare(given.against, given)
        if given.old is not None:
            time_both(given.against, given)


def task_of(folder: Path, given: argparse.Namespace) -> SegmenterTask:
    """The recipe's training on pictures that are drawn once, with the folder's weights if it has some."""
    spec = StorybookSpec(role="base", split="train", count=20, size=(480, 640), vocabulary=WORDS)
    data = draw_data(spec, folder / "data", workers=0, report=lambda done, total: None)
    given.batch_size, given.device = 1, "cpu"
    task = new_task(given.recipe, data, given, "float32")
    if not (folder / "weights.pt").is_file():
        return task
    model: Any = task.model
    model.load_state_dict(torch.load(folder / "weights.pt"))
    return SegmentationTask(task.recipe, data, model, keeps_batch_norm=True, workers=0)  # embeds words by them


class States:
    """The states of a folder: their losses and gradients under the code that runs."""

    def __init__(self, folder: Path, given: argparse.Namespace) -> None:
        self.task = task_of(folder, given)
        self._folder, self._noise = folder, given.noise
        self._weights = {name: value.clone() for name, value in self.task.model.segmenter.state_dict().items()}
        self._network = ParallelModule(self.task, sharding="ddp")
        segmenter: Any = self.task.model.segmenter
        self._projection = segmenter.mask2former.pixel_level_module.decoder.mask_projection

    def enter(self, number: int) -> Any:
        """Sets the weights of a state and returns its picture."""
        generator = torch.Generator().manual_seed(number)
        weights = {}
        for name, value in sorted(self._weights.items()):
            if value.is_floating_point():
                spread = float(value.std()) if value.numel() > 1 else 0.0
                value = value + (NOISE * spread or LEAST_NOISE) * torch.randn(value.shape, generator=generator)
            weights[name] = value
        self.task.model.segmenter.load_state_dict(weights)
        batch = next(islice(self.task.batches(number), 1))
        if self._noise:
            pixels = batch.images.pixel_values
            pixels.mul_(1 + self._noise * torch.randn(pixels.shape, generator=generator))
        self._centre(number, batch)
        return batch

    def _centre(self, number: int, batch: Any) -> None:
        """Takes the mean off the mask features, as it was when the state was recorded."""
        file = self._folder / f"bias-{number:02d}.pt"
        if not file.is_file():
            found: list[Tensor] = []
            hook = self._projection.register_forward_hook(lambda part, given, out: found.append(out.detach()))
            with torch.no_grad():
                layers = self.task.predict(batch.images)
                hook.remove()
                torch.save(self._projection.bias.detach() - found[0].mean((0, 2, 3)), file)
            del layers
        with torch.no_grad():
            self._projection.bias.copy_(torch.load(file))

    def positive(self, batch: Any) -> tuple[float, float]:
        """The least and the largest share of positive mask logits after a decoder layer."""
        with torch.no_grad():
            shares = [float((layer.mask_logits > 0).float().mean()) for layer in self.task.predict(batch.images)]
        return min(shares), max(shares)

    def results(self, number: int, batch: Any) -> tuple[dict[str, float], dict[str, Tensor]]:
        """The loss terms and the gradient."""
        self.task.model.zero_grad(set_to_none=True)
        terms = self._network.backward(batch, number, is_last=True)
        found = {name: p.grad for name, p in self.task.model.named_parameters() if p.grad is not None}
        return {name: float(value) for name, value in terms.items()}, found


def record(folder: Path, given: argparse.Namespace) -> None:
    """Writes weights, losses and gradients."""
    folder.mkdir(parents=True, exist_ok=True)
    states = States(folder, given)
    torch.save(states.task.model.state_dict(), folder / "weights.pt")
    for number in range(given.states):
        batch = states.enter(number)
        low, high = states.positive(batch)
        terms, gradient = states.results(number, batch)
        torch.save({"terms": terms, "gradient": gradient}, folder / f"state-{number:02d}.pt")
        told = ", ".join(f"{name} {value:.4f}" for name, value in terms.items())
        _tell(f"state {number}: {told}; {low:.0%} to {high:.0%} of mask logits positive")


def compare(folder: Path, given: argparse.Namespace) -> None:
    """Prints the differences of every state, and the largest of all."""
    _tell("| state | loss term | gradient | worst parameter | |\n| ---: | ---: | ---: | ---: | --- |")
    states, worst = States(folder, given), [0.0, 0.0, 0.0]
    for number in range(given.states):
        terms, gradient = states.results(number, states.enter(number))
        saved = torch.load(folder / f"state-{number:02d}.pt")
        assert terms.keys() == saved["terms"].keys()
        assert gradient.keys() == saved["gradient"].keys()
        loss = max(abs(terms[name] - value) / abs(value) for name, value in saved["terms"].items())
        whole, single, name = differences(gradient, saved["gradient"])
        worst = [max(pair) for pair in zip(worst, (loss, whole, single), strict=True)]
        _tell(f"| {number} | {loss:.1e} | {whole:.1e} | {single:.1e} | {name} |")
    _tell(f"| all | {worst[0]:.1e} | {worst[1]:.1e} | {worst[2]:.1e} | |")


def differences(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[float, float, str]:
    """Relative difference of two gradients as vectors, and of the parameter that differs most, with its name."""
    norms = {name: float(value.norm()) for name, value in expected.items()}
    apart = {name: float((found[name] - value).norm()) for name, value in expected.items()}
    total = sum(norm**2 for norm in norms.values()) ** 0.5
    single = {name: apart[name] / max(norm, SMALL * total) for name, norm in norms.items()}
    name = max(single, key=lambda key: single[key])
    return sum(norm**2 for norm in apart.values()) ** 0.5 / total, single[name], name


def own_cost(folder: Path, given: argparse.Namespace) -> dict[str, float]:
    """CPU seconds of a step, and bytes that this process held before the first and at most."""
    step = training_step(task_of(folder, given))
    before = _status("VmRSS")
    seconds = []
    for _ in range(1 + STEPS):
        start = time.process_time()
        step()
        seconds.append(time.process_time() - start)
    return {"seconds": statistics.median(seconds[1:]), "before": before, "peak": _status("VmHWM")}


def _status(field: str) -> int:
    """Bytes from the kernel's account of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def time_both(folder: Path, given: argparse.Namespace) -> None:
    """Starts both codes in turn, and prints medians and their ratios."""
    sources = {"old": str(given.old), "new": os.environ.get("PYTHONPATH", "")}

    def cost(side: str, **environment: str) -> dict[str, float]:
        command = [sys.executable, __file__, "--time", str(folder), *_same(given)]
        ran = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": sources[side]} | environment, stdout=subprocess.PIPE
        )
        return json.loads(ran.stdout)

    seconds: dict[str, list[float]] = {"old": [], "new": []}
    for turn in range(given.rounds):
        for side in ("old", "new") if turn % 2 else ("new", "old"):
            seconds[side].append(cost(side)["seconds"])
    told = {"CPU seconds a step": [statistics.median(seconds[side]) for side in ("old", "new")]}
    held = [cost(side, MALLOC_MMAP_THRESHOLD_=str(2**16)) for side in ("old", "new")]
    told["GiB at most"] = [one["peak"] / 2**30 for one in held]
    told["GiB of the steps alone"] = [(one["peak"] - one["before"]) / 2**30 for one in held]
    _tell("\n| | old | new | new / old |\n| --- | ---: | ---: | ---: |")
    for name, (old, new) in told.items():
        _tell(f"| {name} | {old:.2f} | {new:.2f} | {new / old:.2f} |")


def _same(given: argparse.Namespace) -> Iterator[str]:
    yield from ("--recipe", given.recipe, "--side", str(given.side))


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

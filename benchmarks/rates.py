"""Times training steps and inference of segmenters, and holds them against what the machine's matrix products reach.

Usage: python benchmarks/rates.py [--recipes opsnet-r50 opsnet-swin-l] [--device cuda] [--precision bf16 float32]
       [--compile] [--batch-size N] [--side N] [--rounds 10]

Weights are random and pictures drawn, which changes no cost; one batch of each recipe is read before the clock runs, so
that reading is not timed (benchmarks/loader.py does that). A training step is the forward pass, the criterion with its
matching, the backward pass and the optimiser; inference is the model on a batch of the same pictures and the panoptic
merge. --compile also times both with the segmenter and CLIP's trunk compiled.

FLOPs are those that torch counts in one call, one multiply-add as 2. It counts convolutions, matrix products and
attention, not what samples, sums or normalises, so the share is a lower bound. The rate of matrix products is the best
of a square product in the same precision, on the same device, in the same run; float32 means float32: TF32 stays off.
Memory is the most that torch allocated on a GPU; on a CPU, the process's peak so far.

--side and --batch-size shrink the work to what a smaller machine can do; the share then says little of the full size.
"""

import argparse
import itertools
import resource
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from alternating import Clock, flops
from torch import nn

from lexiseg.core.devices import DTYPES
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Dataset
from lexiseg.encoders.segmenters.mask2former import freeze_batch_norm
from lexiseg.models.opsnet import OPSNet
from lexiseg.models.ovseg import OVSeg
from lexiseg.models.postprocess.panoptic import panoptic_map
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.training.engine.parallel import ParallelModule
from lexiseg.training.engine.run_settings import Precision, computed_in
from lexiseg.training.launch import find_recipe
from lexiseg.training.segmentation.opsnet import OPSNetRecipe, new_opsnet
from lexiseg.training.segmentation.ovseg import OVSegRecipe
from lexiseg.training.segmentation.task import SegmentationTask

WARM_UP = 3
"""Calls that are not timed: torch chooses its kernels, and compiles."""
WORDS = replace(Vocabulary.of("storybook"), templates=("{}",))
SegmenterTask = SegmentationTask[OPSNet] | SegmentationTask[OVSeg]
RecipeT = TypeVar("RecipeT", OPSNetRecipe, OVSegRecipe)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One line of the table."""

    recipe: str
    act: str
    precision: Precision
    is_compiled: bool
    pictures: int
    seconds: float
    """Of one call; the median."""
    flops: int
    memory: int
    """Bytes."""

    def told(self, matmul: float) -> str:
        """As a row of Markdown, given the matrix products' FLOP per second."""
        achieved = self.flops / self.seconds
        cells = [
            self.recipe,
            self.act,
            self.precision + (", compiled" if self.is_compiled else ""),
            f"{self.pictures}",
            f"{self.pictures / self.seconds:.2f}",
            f"{self.seconds:.3f}",
            f"{self.memory / 2**30:.1f}",
            f"{achieved / 1e12:.2f}",
            f"{achieved / matmul:.0%}",
        ]
        return f"| {' | '.join(cells)} |"


HEAD = (
    "| recipe | | | batch | pictures/s | seconds | GiB | TFLOP/s | of matrix products |\n"
    "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def main() -> None:
    """Measures and prints, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["opsnet-r50", "opsnet-swin-l"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", nargs="+", choices=["bf16", "float32"], default=["bf16", "float32"])
    parser.add_argument("--compile", action="store_true", help="compiled too")
    parser.add_argument("--batch-size", type=int, default=2, help="of one device; papers' 16 are of eight")
    parser.add_argument("--side", type=int, help="of the training crop, instead of the recipe's")
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    precisions = tuple(dict.fromkeys(computed_in(precision, given.device) for precision in given.precision))
    tell = sys.stdout.write
    tell(f"torch {torch.__version__}, {_device_name(given.device)}\n\n")
    matmul = {precision: clock_of(given.device).matmul_rate(DTYPES[precision]) for precision in precisions}
    for precision, rate in matmul.items():
        tell(f"{precision}: matrix products reach {rate / 1e12:.2f} TFLOP/s\n")
    tell(f"\n{HEAD}\n")
    with tempfile.TemporaryDirectory() as folder:
        order = StorybookSpec(role="base", split="train", count=given.batch_size, size=(480, 640))
        data = write_storybook(order, Path(folder) / "drawn")
        ways = itertools.product(given.recipes, precisions, (False, True) if given.compile else (False,))
        for name, precision, is_compiled in ways:
            task = new_task(name, data, given, precision)
            if is_compiled:
                task.model.compile_parts()
            for act, call in (("training", training_step(task)), ("inference", inference(task))):
                seconds, flops, memory = timed(call, given.device, given.rounds)
                row = Rate(
                    recipe=name,
                    act=act,
                    precision=precision,
                    is_compiled=is_compiled,
                    pictures=given.batch_size,
                    seconds=seconds,
                    flops=flops,
                    memory=memory,
                )
                tell(row.told(matmul[precision]) + "\n")
                sys.stdout.flush()


def new_task(name: str, data: Dataset, given: argparse.Namespace, precision: Precision) -> SegmenterTask:
    """A recipe's training with random weights."""
    recipe = find_recipe(name)
    running: dict[str, Any] = {"keeps_batch_norm": True, "device": given.device, "workers": 0}
    if isinstance(recipe, OVSegRecipe):
        recipe = replace(_sized(recipe, given, precision), model=replace(recipe.model, training_vocabulary=WORDS))
        return SegmentationTask(recipe, data, OVSeg(recipe.model), **running)
    if isinstance(recipe, OPSNetRecipe) and recipe.clip is not None:
        recipe, clip = replace(_sized(recipe, given, precision), vocabulary=WORDS), recipe.clip
        return SegmentationTask(recipe, data, new_opsnet(recipe, clip, None), **running)
    raise SystemExit(f"{name} is not a full recipe of an OPSNet or OVSeg: take one of those, such as opsnet-r50.")


def _sized(recipe: RecipeT, given: argparse.Namespace, precision: Precision) -> RecipeT:
    framing = replace(recipe.framing, image_size=given.side or recipe.framing.image_size)
    return replace(recipe, framing=framing, batch_size=given.batch_size, precision=precision)


def training_step(task: SegmenterTask) -> Callable[[], object]:
    """A whole step on one batch."""
    network, optimizer = ParallelModule(task, sharding="ddp"), task.optim_plan.optimizer(task.parameter_groups())
    batch = next(iter(task.batches(0))).to(task.device)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def step() -> None:
        task.model.train()
        freeze_batch_norm(task.model.segmenter)  # as `new_task` has left it
        optimizer.zero_grad(set_to_none=True)
        network.backward(batch, 0, is_last=True)
        if task.recipe.optim.clip_norm is not None:
            nn.utils.clip_grad_norm_(parameters, task.recipe.optim.clip_norm)
        optimizer.step()

    return step


def inference(task: SegmenterTask) -> Callable[[], object]:
    """Forward pass and merge of the same pictures, with the training vocabulary."""
    model: Any = task.model
    images = next(iter(task.batches(0))).images.to(task.device)
    words = model.embed_vocabulary(WORDS, negatives=False).to(task.device)

    @torch.no_grad()  # the counter of FLOPs takes no parameter as a module's argument in inference mode
    def ask() -> None:
        model.eval()
        with task.recipe.autocast(task.device):
            prediction = model(images, words)
        for place, frame in enumerate(images.frames):
            panoptic_map(prediction, place, frame, WORDS, model.config.merge)

    return ask


def timed(call: Callable[[], object], device: str, rounds: int) -> tuple[float, int, int]:
    """Median seconds of a call, its FLOPs, and the memory that it needs."""
    counted = flops(call)
    for _ in range(WARM_UP):
        call()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = clock_of(device).median(call, rounds)
    if device == "cuda":
        memory = torch.cuda.max_memory_allocated()
    else:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return seconds, counted, memory


def clock_of(device: str) -> Clock:
    """Wall time, since steps are to be compared with reading and other threads."""
    return Clock(device=device, is_wall=True)


def _device_name(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{device}, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()

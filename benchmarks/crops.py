"""What it costs to embed proposals by masked crops, OVSeg's way, against the one dense pass of OPSNet's adapter.

Usage: python benchmarks/crops.py [--proposals 10 50 100] [--clip ViT-B-16-quickgelu ViT-L-14-quickgelu]
       [--crops-per-pass N...] [--shortest 480] [--threads 1] [--quick | --full]

Both sides embed the same proposals of one 640 x 480 picture: masks at stride 4 from specks to half the picture, every
25th empty. Crops: `cut_regions`, then a ViT CLIP with mask prompts of depth 3 for every mask that has a pixel. Dense:
RN50's trunk, the adapter and mask pooling. Weights are random, in float32. Segmenter, words and scores, which both
need, are left out.

FLOPs are those that torch counts, one multiply-add as 2; it leaves out resizing, activations and norms. Times are CPU
seconds with wall seconds in brackets: other work on the machine changes the first little and the second much. Cutting
and the dense pass are the best of five rounds. A crop's encoding is the best of three passes, and the table scales it
to all crops; with --full every crop of the largest number of proposals is encoded, and the table says what that took
(with ViT-L/14 and 100 proposals about three minutes of one core). --quick: ViT-B/16, 10 proposals, one pass.

Peak memory is that of a fresh process that cuts and encodes (VmHWM, thus on Linux alone), with all that Python, torch
and the weights of both of CLIP's towers take; the segmenter is not in it.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import torch
from alternating import flops
from footprint import resident
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.frames import Frame
from lexiseg.core.structures import ImageBatch
from lexiseg.encoders.clip.resnet import Clip, ClipConfig
from lexiseg.encoders.clip.vit import PromptConfig, VitClip, VitConfig
from lexiseg.layers.pooling import mask_pool
from lexiseg.layers.spatial_adapter import SpatialAdapter
from lexiseg.models.crops import RegionConfig, cut_regions

SIZE = (480, 640)
ROUNDS = 5
PASSES = 3
EMPTY_EVERY = 25


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of CPU and of wall time."""

    cpu: float
    wall: float

    def __mul__(self, factor: float) -> "Took":
        return Took(self.cpu * factor, self.wall * factor)

    def __add__(self, other: "Took") -> "Took":
        return Took(self.cpu + other.cpu, self.wall + other.wall)

    def __str__(self) -> str:
        return f"{self.cpu:.3f} ({self.wall:.3f})"


def timed(run: Callable[[], object]) -> Took:
    """One call."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return Took(time.process_time() - cpu, time.perf_counter() - wall)


def best(times: Sequence[Took]) -> Took:
    """The least of each."""
    return Took(min(one.cpu for one in times), min(one.wall for one in times))


def one_picture(shortest: int) -> ImageBatch:
    """Noise: what a picture shows changes no cost."""
    frame = Frame.fit(SIZE, longest=10 * shortest, shortest=shortest)
    pixels = torch.rand(1, 3, *frame.padded, generator=torch.Generator().manual_seed(0))
    return ImageBatch(pixel_values=pixels, frames=(frame,))


def propose(count: int, canvas: tuple[int, int]) -> Tensor:
    """Mask logits at stride 4: wavy ellipses whose areas are spread from 1/400 to 1/2 of the picture, evenly in log."""
    generator = torch.Generator().manual_seed(0)
    height, width = canvas[0] // 4, canvas[1] // 4
    rows, columns = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)
    masks: list[Tensor] = []
    for place in range(count):
        y, x, size, shape = torch.rand(4, generator=generator).tolist()
        tall, wide = ((200 ** (size - 1) / 2 / torch.pi * 4**turn) ** 0.5 for turn in (shape - 0.5, 0.5 - shape))
        y, x = (max(0.0, half) + place * (1 - 2 * half) for half, place in ((min(tall, 0.5), y), (min(wide, 0.5), x)))
        coarse = torch.randn(1, 1, 6, 8, generator=generator)
        waves = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)[0, 0]
        blob = 8 * (1 - (((rows - y) / tall) ** 2 + ((columns - x) / wide) ** 2).sqrt()) + waves
        masks.append(torch.full_like(blob, -8) if place % EMPTY_EVERY == EMPTY_EVERY - 1 else blob)
    return torch.stack(masks)[None]


def build_vit(name: str) -> VitClip:
    """OVSeg's CLIP with random weights."""
    return VitClip(VitConfig.named(name, prompts=PromptConfig(kind="mask", depth=3))).eval()


class DensePass:
    """OPSNet's side: one pass over the picture, then a mean under every mask."""

    def __init__(self) -> None:
        self.clip = Clip(ClipConfig.named("RN50")).eval()
        pool = self.clip.visual.attnpool
        self.adapter = SpatialAdapter(self.clip.config.feature_dim, self.clip.config.embed_dim)
        self.adapter.fold(pool.v_proj, pool.c_proj)

    def __call__(self, images: ImageBatch, mask_logits: Tensor) -> Tensor:
        """Embeds every proposal."""
        return mask_pool(self.adapter(self.clip.trunk(images.pixel_values)), mask_logits)


@dataclass(frozen=True, slots=True)
class Job:
    """What a fresh process encodes."""

    clip: str
    proposals: int
    crops_per_pass: int
    shortest: int
    threads: int
    passes: int | None
    """At most so many; None: all."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """What it found."""

    crops: int
    total: Took
    per_crop: Took
    peak: int
    """Bytes."""
    weights: int
    """Bytes."""


@torch.inference_mode()
def encode(job: Job) -> Encoding:
    """Cuts and encodes, pass after pass."""
    torch.set_num_threads(job.threads)
    images, clip = one_picture(job.shortest), build_vit(job.clip)
    mask_logits = propose(job.proposals, images.frames[0].padded)
    size = clip.config.image_size
    clip.encode_regions(torch.zeros(1, 3, size, size), torch.ones(1, size, size, dtype=torch.bool))  # warms up
    passes: list[tuple[int, Took]] = []
    for crops in cut_regions(images, mask_logits, RegionConfig(crops_per_pass=job.crops_per_pass), size):
        took = timed(lambda crops=crops: clip.encode_regions(crops.pixel_values, crops.masks))
        passes.append((len(crops.queries), took))
        if len(passes) == job.passes:
            break
    return Encoding(
        crops=sum(count for count, _ in passes),
        total=sum((took for _, took in passes), Took(0, 0)),
        per_crop=best([took * (1 / count) for count, took in passes]),
        peak=resident("VmHWM"),
        weights=sum(weight.nbytes for weight in clip.parameters()),
    )


def in_fresh_process(job: Job) -> Encoding:
    """So that nothing of ours counts as the job's memory."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(encode, job).result()


COLUMNS = {
    "clip": 18,
    "proposals": 9,
    "crops": 5,
    "GFLOP": 7,
    "dense": 6,
    "ratio": 6,
    "cutting s": 15,
    "encoding s": 26,
    "dense s": 15,
    "ratio ": 6,
    "cutting/encoding": 16,
}
"""Headings and widths; ratios are crops to dense, that of times in CPU seconds and with the cutting."""


def in_columns(cells: Iterable[str]) -> str:
    """A line of the table."""
    return "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, COLUMNS.values(), strict=True))


@torch.inference_mode()
def compare(name: str, counts: Sequence[int], images: ImageBatch, encoding: Encoding, rounds: int) -> None:
    """Prints a line for every number of proposals."""
    dense = DensePass()
    with torch.device("meta"):
        clip = build_vit(name)
        size = clip.config.image_size
        crop, mask = torch.empty(1, 3, size, size), torch.empty(1, size, size, dtype=torch.bool)
    flops_per_crop = flops(lambda: clip.encode_regions(crop, mask)) / 1e9
    for count in counts:
        mask_logits = propose(count, images.frames[0].padded)

        def cut(mask_logits: Tensor = mask_logits) -> int:
            return sum(len(crops.queries) for crops in cut_regions(images, mask_logits, RegionConfig(), size))

        def embed(mask_logits: Tensor = mask_logits) -> Tensor:
            return dense(images, mask_logits)

        crops = cut()
        cutting, single = best([timed(cut) for _ in range(rounds)]), best([timed(embed) for _ in range(rounds)])
        is_measured = crops == encoding.crops
        encoded = encoding.total if is_measured else encoding.per_crop * crops
        crop_flops, single_flops = flops_per_crop * crops, flops(embed) / 1e9
        line = (
            name,
            str(count),
            str(crops),
            f"{crop_flops:.0f}",
            f"{single_flops:.1f}",
            f"{crop_flops / single_flops:.1f}",
            str(cutting),
            f"{encoded} {'measured' if is_measured else 'scaled'}",
            str(single),
            f"{(cutting + encoded).cpu / single.cpu:.1f}",
            f"{cutting.cpu / encoded.cpu:.2%}",
        )
        print(in_columns(line), flush=True)


def main() -> None:
    """Reads the arguments, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proposals", type=int, nargs="+", default=[10, 50, 100], metavar="N")
    parser.add_argument(
        "--clip", nargs="+", default=["ViT-B-16-quickgelu", "ViT-L-14-quickgelu"], metavar="NAME", help="of open_clip"
    )
    parser.add_argument(
        "--crops-per-pass", type=int, nargs="+", default=[RegionConfig().crops_per_pass], metavar="N",
        help="each is measured; the first goes into the table",
    )  # fmt: skip
    parser.add_argument("--shortest", type=int, default=SIZE[0], help="shorter side of the resized picture, in pixels")
    parser.add_argument("--threads", type=int, default=1)
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument("--quick", action="store_true")
    effort.add_argument("--full", action="store_true")
    wanted = parser.parse_args()
    if wanted.quick:
        wanted.proposals, wanted.clip = wanted.proposals[:1], wanted.clip[:1]
    torch.set_num_threads(wanted.threads)
    images = one_picture(wanted.shortest)
    passes = 1 if wanted.quick else None if wanted.full else PASSES
    height, width = images.frames[0].resized
    print(f"{width} x {height} pixels, float32, {wanted.threads} thread{'s' if wanted.threads > 1 else ''}")
    print(in_columns(COLUMNS))
    encodings: dict[tuple[str, int], Encoding] = {}
    for name in wanted.clip:
        for per_pass in wanted.crops_per_pass:
            job = Job(name, max(wanted.proposals), per_pass, wanted.shortest, wanted.threads, passes)
            encodings[name, per_pass] = in_fresh_process(job)
        compare(
            name, wanted.proposals, images, encodings[name, wanted.crops_per_pass[0]], 1 if wanted.quick else ROUNDS
        )
    for (name, per_pass), encoding in encodings.items():
        print(
            f"{name}, {encoding.crops} crops in passes of {per_pass}: peak {encoding.peak / 1e9:.2f} GB "
            f"(weights {encoding.weights / 1e9:.2f}), a crop in {encoding.per_crop} s"
        )


if __name__ == "__main__":
    main()

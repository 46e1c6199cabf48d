"""How fast it is, against the programs that it follows: whole models, their parts, and how both scale.

Usage: python benchmarks/speed.py [--only whole numbers parts maskformer crops scaling shipped] [--json FILE]
       [--backbone r50 swin-t swin-l] [--size 480x640 ...] [--device cpu|cuda] [--threads 1] [--rounds 7]
       [--precision float32|bf16|fp16] [--compile] [--peer plain|same] [--quick]

A row is something done by lexiseg and by the program beside it, on the same random weights (benchmarks/twins.py), in
one process, in turns whose order is reversed every other round. Times are medians; "ratio" is ours by theirs, below one
where lexiseg is faster, and "of the best" is that of the fastest round of each. On a CPU with one thread they are the
process's CPU time, else wall time with the device waited for. Other work on the machine slows what waits for memory,
which is more of the peer's side than of ours: a busy machine flatters, most of all the medians.

"floor" is what the multiply-adds of lexiseg's side would take at the rate of square matrix products in the same
precision, measured in the same run, and the share is floor by time: what it lacks to one is left to gain. Torch counts
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
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import transformers
from alternating import Clock
from speed_parts import WORDS, masked_crops, maskformer, names_each, parts
from speed_rows import COLUMNS, Row, Settings
from twins import SEGMENTERS, Size, embeddings, know, many_words, shown, threshold

import lexiseg
from lexiseg.core.devices import DTYPES
from lexiseg.core.images import open_picture
from lexiseg.core.tables import markdown_table
from lexiseg.storybook.export import StorybookSpec, write_storybook

SIZES: tuple[Size, ...] = ((480, 640), (640, 640), (800, 1216))
SEEDS = 3


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


def scaling(settings: Settings) -> Iterator[Row]:
    """The first backbone with larger pictures, more queries, more words, and several pictures at once."""
    backbone, size = settings.backbones[0], settings.sizes[0]
    for side in (64, 96) if settings.is_quick else (320, 640, 1280):
        yield settings.whole("scaling", f"{side} x {side} pixels", settings.twins(backbone, (side, side)))
    for count in (32, 40) if settings.is_quick else (100, 200, 300):
        both = settings.twins(backbone, size, num_queries=count)
        yield settings.whole("scaling", f"{count} queries, {shown(size)}", both)
    both = settings.twins(backbone, size)
    for count, names in WORDS.items():
        vocabulary = many_words(count)
        words = embeddings(names_each(count, names), both.network.config.clip.embed_dim)
        know(both.network, {both.vocabulary: both.model.encode(both.vocabulary), vocabulary: words})
        least = threshold(both, words.to(settings.device))
        ask = partial(both.model.segment, both.pictures[0], vocabulary, score_threshold=least)
        yield settings.row("scaling", f"{count} words, {shown(size)}", ask, both.ours, peer="133 words of ours")
    for count in (1, 2) if settings.is_quick else (1, 2, 8):
        both = settings.twins(backbone, size, batch_size=count)
        row = settings.whole("scaling", f"{count} pictures at once, {shown(size)}", both)
        yield replace(row, differences={"pictures/s": count / (row.ours or 1), **row.differences})


def shipped(settings: Settings) -> Iterator[Row]:
    """The model in the package, on its drawn pictures."""
    model = lexiseg.load(device=settings.device, precision=settings.precision)
    for size in ((160, 160), (480, 640), (960, 1280)):
        with tempfile.TemporaryDirectory() as folder:
            spec = StorybookSpec(role="base", split="val", count=1, size=size)
            pixels = open_picture(write_storybook(spec, Path(folder)).samples[0].image_path)
        ask = partial(model.segment, pixels, "storybook")
        ask()
        yield settings.alone("shipped", f"storybook, {shown(size)}", ask)
        encoded = model.encode_image(pixels)
        again = partial(encoded.segment, "storybook", score_threshold=0.3)
        again()
        yield settings.alone("shipped", f"storybook, {shown(size)}, another question", again)


SECTIONS: Mapping[str, Callable[[Settings], Iterator[Row]]] = {
    "whole": whole,
    "numbers": numbers,
    "parts": parts,
    "maskformer": maskformer,
    "crops": masked_crops,
    "scaling": scaling,
    "shipped": shipped,
}


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
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    clock = Clock(device=asked.device, is_wall=asked.threads > 1)
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
        "threads": str(torch.get_num_threads()),
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

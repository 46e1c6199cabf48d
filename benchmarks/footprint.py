"""Memory and start-up, each in a process of its own.

Usage: python benchmarks/footprint.py [--only whole merge words start] [--json FILE] [--quick]

whole   the most memory of a process in a whole pass: Swin-L and CLIP RN50, random weights, 800 x 1216, words included
merge   what merging 200 masks at 2048 x 1024 adds to what the process held before
words   what 21,000 words add to the same pass (ResNet-50, 640 x 480) that 133 need
start   CPU seconds and memory of `lexiseg segment` on a small picture, with the model in the package and words that are
        known, beside those of importing torch, and torch, open_clip and transformers' Mask2Former

Linux alone: memory is VmHWM, which a process sets back before what is measured. One thread.
"""

import argparse
import ctypes
import gc
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from merge import blobs
from PIL import Image
from twins import KEPT, Size, embeddings, know, many_words, twins

from lexiseg.core.frames import Frame
from lexiseg.core.structures import MaskPrediction
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.models.postprocess.panoptic import MergeConfig, panoptic_map

Figure = tuple[str, dict[str, float]]
IMPORTS: Mapping[str, str] = {
    "torch": "import torch",
    "torch, open_clip and transformers' Mask2Former": (
        "import torch, open_clip; from transformers import Mask2FormerForUniversalSegmentation"
    ),
}


def resident(name: str) -> int:
    """VmHWM, the most memory so far, or VmRSS, that of now; in bytes."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])


def peak(run: Callable[[], object]) -> tuple[int, int]:
    """Bytes before a call, and the most during it; what was freed before goes back to the system first."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM back
    before = resident("VmRSS")
    run()
    return before, resident("VmHWM")


def in_process(run: Callable[..., tuple[int, int]], *given: object) -> tuple[int, int]:
    """The same in a fresh process, on one thread."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return pool.submit(run, *given).result()


def pass_peak(backbone: str, size: Size, num_words: int | None) -> tuple[int, int]:
    """A whole pass of ours, asked for COCO's words or so many."""
    both = twins(backbone, size)
    model, pictures, words = both.model, both.pictures, both.vocabulary
    del both  # transformers' model
    if num_words is not None:
        words = many_words(num_words)
        know(model.network, {words: embeddings([1] * num_words, model.network.config.clip.embed_dim)})
    return peak(lambda: model.segment(pictures[0], words))


def merge_peak(num_queries: int, size: Size) -> tuple[int, int]:
    """The merge of masks of which `KEPT` are above the threshold, once before it is measured."""
    vocabulary, void_probs = Vocabulary.of("coco"), torch.ones(1, num_queries)
    void_probs[:, :KEPT] = 0
    prediction = MaskPrediction(
        mask_logits=blobs(num_queries, *size)[None],
        class_logits=20 * torch.eye(num_queries, len(vocabulary))[None],
        void_probs=void_probs,
        iou_scores=torch.ones(1, num_queries),
        num_concepts=len(vocabulary),
    )
    frame = Frame(original=size, resized=size, padded=size)
    small = Frame(original=(64, 64), resized=(64, 64), padded=(64, 64))
    config = MergeConfig(rank_by="class", score_threshold=0.8)
    panoptic_map(prediction, 0, small, vocabulary, config)
    return peak(lambda: panoptic_map(prediction, 0, frame, vocabulary, config))


def whole(is_quick: bool) -> Iterator[Figure]:
    """Swin-L at the official size."""
    backbone, size = ("tiny", (96, 128)) if is_quick else ("swin-l", (800, 1216))
    before, most = in_process(pass_peak, backbone, size, None)
    yield f"{backbone} and RN50, {size[1]} x {size[0]}", {"GB": most / 1e9, "GB before": before / 1e9}


def merge(is_quick: bool) -> Iterator[Figure]:
    """As many queries as a Swin-L has, on a large picture."""
    num_queries, size = (50, (128, 256)) if is_quick else (200, (1024, 2048))
    before, most = in_process(merge_peak, num_queries, size)
    yield f"merge of {num_queries} masks at {size[1]} x {size[0]}", {"MiB": (most - before) / 2**20}


def words(is_quick: bool) -> Iterator[Figure]:
    """Few words and many."""
    backbone, size, many = ("tiny", (96, 128), 500) if is_quick else ("r50", (480, 640), 21_000)
    few, more = (in_process(pass_peak, backbone, size, count)[1] for count in (133, many))
    yield f"{many} words more than 133, {backbone}", {"MB": (more - few) / 1e6, "GB with 133": few / 1e9}


def start(is_quick: bool) -> Iterator[Figure]:
    """Children of this process; the first use of words is left out."""
    for name, line in IMPORTS.items():
        yield f"import of {name}", cost([sys.executable, "-c", line])
    with tempfile.TemporaryDirectory() as folder:
        photo, cache = Path(folder, "photo.png"), Path(folder, "cache")
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)).save(photo)
        command = [sys.executable, "-m", "lexiseg", "segment", str(photo), "-v", "cat:thing", "--device", "cpu"]
        first, again = (cost([*command, "--out", str(Path(folder, out))], cache) for out in ("first", "again"))
        yield "lexiseg segment of a small picture, first time", first
        yield "lexiseg segment of a small picture, words known", again


def cost(command: list[str], cache: Path | None = None) -> dict[str, float]:
    """CPU seconds and the most memory of a command."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | ({"LEXISEG_CACHE": str(cache)} if cache else {})
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} failed.")
    return {"CPU s": used.ru_utime + used.ru_stime, "GB": used.ru_maxrss * 1024 / 1e9}


SECTIONS: Mapping[str, Callable[[bool], Iterator[Figure]]] = {
    "whole": whole,
    "merge": merge,
    "words": words,
    "start": start,
}


def main() -> None:
    """Prints the figures as they come."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=tuple(SECTIONS), metavar="SECTION")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="the smallest models, to see that it runs")
    asked = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    for section in asked.only:
        for name, figures in SECTIONS[section](asked.quick):
            found[name] = figures
            print(f"{name}: " + ", ".join(f"{value:.3g} {unit}" for unit, value in figures.items()), flush=True)
            if asked.json is not None:
                asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Times what training reads: how many pictures a second the loader gives, and whether an accelerator waits for them.

Run `python benchmarks/loader.py --recipe opsnet-r50 --data coco-panoptic --root /data --workers 8 --rate 20`, where
--rate is what the accelerator trains a second (the log of a training says it; a step of batch B that takes T seconds is
B / T). Without --data, 64 scenes are drawn in COCO's size, 640 x 480, and written as PNGs, which decode more slowly
than COCO's JPEGs.
"""

import argparse
import itertools
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.catalogue import open_dataset
from lexiseg.data.categories import match_categories
from lexiseg.data.dataset import Dataset
from lexiseg.data.samples.segmentation import SegmentationDataset, collate, training_keys
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.training.launch import find_recipe
from lexiseg.training.segmentation.opsnet import OPSNetRecipe
from lexiseg.training.segmentation.ovseg import OVSegRecipe

WARM_UP = 2
"""Batches that are not timed: the workers start."""


def main() -> None:
    """Writes pictures per second, for each number of workers, and its ratio to the rate."""
    parser = argparse.ArgumentParser(description="Times what training reads.")
    parser.add_argument("--recipe", default="opsnet-r50", help="whose crops and batch are read")
    parser.add_argument("--data", help="a folder or a name of the catalogue; drawn scenes if not given")
    parser.add_argument("--root", type=Path, help="where the data set of that name lies")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], help="processes that read, in turns")
    parser.add_argument("--batch-size", type=int, help="other than the recipe's")
    parser.add_argument("--batches", type=int, default=8, help="that are timed")
    parser.add_argument("--rate", type=float, help="pictures a second that the accelerator trains")
    given = parser.parse_args()
    torch.set_num_threads(1)
    recipe = find_recipe(given.recipe)
    if not isinstance(recipe, OPSNetRecipe | OVSegRecipe):
        raise SystemExit(f"{given.recipe} does not read pictures with masks: take a recipe of a segmenter.")
    recipe = replace(recipe, batch_size=given.batch_size or recipe.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        data, words = _data(given, recipe, Path(folder))
        for workers in given.workers:
            rate = pictures_per_second(recipe, data, words, workers=workers, batches=given.batches)
            sys.stdout.write(f"{given.recipe}, {workers} workers: {rate:.1f} pictures/s{_verdict(rate, given.rate)}\n")


def pictures_per_second(
    recipe: OPSNetRecipe | OVSegRecipe,
    data: Dataset,
    words: Vocabulary,
    *,
    workers: int,
    batches: int,
) -> float:
    """What a loader like a training's gives to somebody who takes batches as fast as they come."""
    class_ids = match_categories(data.categories, words)
    is_semantic = isinstance(recipe, OVSegRecipe)
    loader: Any = torch.utils.data.DataLoader(
        SegmentationDataset(data, class_ids, recipe.framing, per_class=is_semantic),
        batch_size=recipe.batch_size,
        sampler=training_keys(len(data.samples), seed=0),
        num_workers=workers,
        collate_fn=collate,
    )
    loaded = iter(loader)
    for _ in itertools.islice(loaded, WARM_UP):
        pass
    start = time.perf_counter()
    for _ in itertools.islice(loaded, batches):
        pass
    return batches * recipe.batch_size / (time.perf_counter() - start)


def _data(given: argparse.Namespace, recipe: OPSNetRecipe | OVSegRecipe, folder: Path) -> tuple[Dataset, Vocabulary]:
    """The data set, and words of which it has some."""
    if given.data is None:
        drawn = write_storybook(StorybookSpec(role="base", split="train", count=64, size=(480, 640)), folder / "drawn")
        return drawn, Vocabulary.of("storybook")
    data = open_dataset(given.data, given.root, "train" if given.root else None, needs=("panoptic", "semantic"))
    return data, recipe.model.training_vocabulary if isinstance(recipe, OVSegRecipe) else recipe.vocabulary


def _verdict(rate: float, wanted: float | None) -> str:
    if wanted is None:
        return ""
    ratio = rate / wanted
    waits = "does not wait" if ratio >= 1 else f"waits {1 - ratio:.0%} of its time"
    return f", {ratio:.2f} of the {wanted:g} that are trained: the accelerator {waits}"


if __name__ == "__main__":
    main()

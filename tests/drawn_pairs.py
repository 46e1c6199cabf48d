"""Pairs of crops and words for tests: rectangles on the mean colour, written as `lexiseg mine` writes them."""

from pathlib import Path

import numpy as np

from lexiseg.data.pairs.format import PairDataset, PairRecord
from lexiseg.data.pairs.writer import PairWriter

SIZE = 32
BACKGROUND = (123, 117, 104)
COLOURS = {"cat": (200, 30, 30), "dog": (30, 200, 30), "bird": (30, 30, 200), "cow": (200, 200, 30)}


def record(number: int) -> PairRecord:
    """Pair `number`: its word decides the colour; its mask is a rectangle that touches at least one edge."""
    rng = np.random.default_rng(number)
    word = tuple(COLOURS)[number % len(COLOURS)]
    mask = np.zeros((SIZE, SIZE), bool)
    mask[: rng.integers(10, SIZE), rng.integers(0, 8) : rng.integers(16, SIZE)] = True
    crop = np.where(mask[..., None], COLOURS[word], BACKGROUND) + mask[..., None] * rng.integers(
        -20, 20, (SIZE, SIZE, 3)
    )
    return PairRecord(
        crop=crop.clip(0, 255).astype(np.uint8),
        mask=mask,
        word=word,
        picture=f"{number}.png",
        score=None,
        box=(0, 0, SIZE, SIZE),
        source="drawn",
    )


def write_pairs(folder: Path, count: int = 24) -> PairDataset:
    """A finished folder of so many pairs."""
    writer = PairWriter(folder, crop_size=SIZE, plan={"count": count})
    writer.begin()
    writer.write(0, [record(number) for number in range(count)], {})
    writer.close(1)
    return PairDataset(folder)

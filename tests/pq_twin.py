"""Panoptic quality once more, slowly: sets of pixels, loops over pairs, exact fractions.

It stands in for the recorded figures of COCO's evaluator, which are tried where the folder of shared data lies beside
the repository.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from lexiseg.data.dataset import Category, SegmentInfo, describe_segments
from lexiseg.data.formats.coco_panoptic import PanopticWriter

CATEGORIES = (
    Category(id=1, name="cat", is_thing=True),
    Category(id=4, name="owl", is_thing=True),
    Category(id=9, name="sky", is_thing=False),
)
Side = tuple[np.ndarray, tuple[SegmentInfo, ...]]


def scene(rows: list[list[int]], category_ids: dict[int, int], crowd: Sequence[int] = ()) -> Side:
    ids = np.array(rows, np.int32)
    return ids, describe_segments(ids, category_ids, crowd=crowd)


def random_scene(rng: np.random.Generator, *, with_crowd: bool) -> Side:
    """Rectangles over void, with ids up to 24 bits."""
    ids = np.zeros((12, 14), np.int32)
    names = rng.choice(2**24 - 1, 6, replace=False) + 1
    for name in names[: rng.integers(0, 7)]:
        top, left = rng.integers(0, 10, 2)
        ids[top : top + rng.integers(1, 13), left : left + rng.integers(1, 15)] = name
    category_ids = {int(name): int(rng.choice([1, 4, 9])) for name in names}
    crowd = [int(name) for name in names if with_crowd and rng.random() < 0.3]
    return ids, describe_segments(ids, category_ids, crowd=crowd)


def moved(rng: np.random.Generator, side: Side) -> Side:
    """A prediction that resembles the truth: some rows repainted, some categories changed."""
    ids = side[0].copy()
    for _ in range(rng.integers(0, 4)):
        row = rng.integers(0, 12)
        ids[row : row + 2] = rng.choice(np.unique(ids))
    other = {s.id: s.category_id if rng.random() < 0.8 else 9 for s in side[1]}
    return ids, describe_segments(ids, other)


def disagreeing(rng: np.random.Generator, side: Side) -> Side:
    """The same map under a list that says other areas, and says one id twice, each of another category."""
    ids, segments = side
    listed = [replace(s, area=int(rng.integers(max(1, s.area // 2), 2 * s.area + 2))) for s in segments]
    if listed and rng.random() < 0.5:
        again = listed[rng.integers(len(listed))]
        listed.insert(0, replace(again, category_id=int(rng.choice([1, 4, 9])), area=1))
    return ids, tuple(listed)


def slow_counts(truth: Side, predicted: Side) -> dict[int, tuple[Fraction, int, int, int]]:
    """The official rule as one would first write it: sets of pixels and loops over pairs.

    A true segment's area is the list's; of two entries with one id the later counts.
    """
    truth, predicted = ((ids, list({s.id: s for s in segments}.values())) for ids, segments in (truth, predicted))

    def pixels(ids: np.ndarray, name: int) -> set[tuple[int, int]]:
        return set(zip(*(axis.tolist() for axis in np.nonzero(ids == name)), strict=True))

    void = pixels(truth[0], 0)
    found: set[int] = set()
    hit: set[int] = set()
    counts = {category.id: [Fraction(0), 0, 0, 0] for category in CATEGORIES}
    for t in truth[1]:
        for p in predicted[1]:
            if t.is_crowd or t.category_id != p.category_id:
                continue
            true, guess = pixels(truth[0], t.id), pixels(predicted[0], p.id)
            iou = Fraction(len(true & guess), t.area + len(guess - true - void))
            if iou > Fraction(1, 2):
                counts[t.category_id][0] += Fraction(float(iou))
                counts[t.category_id][1] += 1
                found.add(t.id)
                hit.add(p.id)
    for t in truth[1]:
        counts[t.category_id][3] += not t.is_crowd and t.id not in found
    for p in predicted[1]:
        crowds = [t.id for t in truth[1] if t.is_crowd and t.category_id == p.category_id]
        guess = pixels(predicted[0], p.id)
        forgiven = void | (pixels(truth[0], crowds[-1]) if crowds else set())
        too_far_out = Fraction(len(guess & forgiven), len(guess)) > Fraction(1, 2)
        counts[p.category_id][2] += p.id not in hit and not too_far_out
    return {key: tuple(value) for key, value in counts.items() if sum(value[1:])}


Counts = Mapping[int, tuple[Fraction, int, int, int]]


def slow_figures(counts: Counts) -> dict[str, dict[str, float]]:
    """PQ, SQ and RQ of every class that occurs, by its id, and their means over all, things and stuff (PQ, eq. 1)."""
    figures: dict[str, dict[str, float]] = {}
    for key, (iou, tp, fp, fn) in counts.items():
        sq, rq = iou / tp if tp else Fraction(0), Fraction(2 * tp, 2 * tp + fp + fn)
        figures[str(key)] = {"pq": float(sq * rq), "sq": float(sq), "rq": float(rq)}
    for group, kinds in (("all", (True, False)), ("things", (True,)), ("stuff", (False,))):
        members = [figures[str(c.id)] for c in CATEGORIES if c.id in counts and c.is_thing in kinds]
        means = {name: sum(m[name] for m in members) / max(1, len(members)) for name in ("pq", "sq", "rq")}
        figures[group] = {**means, "n": len(members)}
    return figures


def added(pairs: Sequence[tuple[Side, Side]]) -> Counts:
    """The counts of several pictures."""
    total: dict[int, list[Fraction | int]] = {}
    for truth, predicted in pairs:
        for key, values in slow_counts(truth, predicted).items():
            total[key] = [a + b for a, b in zip(total.get(key, [Fraction(0), 0, 0, 0]), values, strict=True)]
    return {key: (Fraction(iou), int(tp), int(fp), int(fn)) for key, (iou, tp, fp, fn) in total.items()}


def write_pairs(root: Path, pairs: int = 24) -> list[tuple[Side, Side]]:
    """Truths with crowds and void, and predictions with misses, wrong names and a picture of nothing, as two folders.

    The JSONs are `gt/panoptic.json` and `pred/panoptic.json`; ids reach to 24 bits.
    """
    rng = np.random.default_rng(7)
    made = []
    for number in range(pairs):
        truth = random_scene(rng, with_crowd=True)
        predicted = moved(rng, truth) if number % 4 else random_scene(rng, with_crowd=False)
        made.append((truth, (np.zeros((12, 14), np.int32), ()) if number == 5 else predicted))
    for name, place in (("gt", 0), ("pred", 1)):
        with PanopticWriter(root / name, CATEGORIES) as writer:
            for number, pair in enumerate(made):
                ids, segments = pair[place]
                crowd = {segment.id for segment in segments if segment.is_crowd}
                names = {segment.id: segment.category_id for segment in segments}
                writer.add(number + 1, Image.new("RGB", (14, 12)), ids, names, crowd=crowd)
        content = json.loads((root / name / "panoptic.json").read_text())
        assert len(content["annotations"]) == pairs
    return made

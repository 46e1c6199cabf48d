"""Times the metrics against the algorithms that everybody uses, on the same synthetic maps, and checks equal counts.

Run `python benchmarks/metrics.py`. The peer of panoptic quality is COCO's official algorithm: every distinct pair of
64-bit joint ids by `np.unique`, then loops over dictionaries. The peer of mIoU is one pair of boolean masks per class.
Both sides run in turns in one process on one thread; what is told is the median of the ratios of CPU time.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import alternating
import numpy as np
from PIL import Image

from lexiseg.data.dataset import Category, SegmentInfo, describe_segments
from lexiseg.data.id_maps import load_ids, save_ids
from lexiseg.evaluation.metrics.panoptic_quality import PanopticTally, tally_pair
from lexiseg.evaluation.metrics.semantic_quality import tally_labels

SIZES = ((480, 640), (1024, 2048))
MAPS = 12
NUM_CLASSES = 133
CATEGORIES = tuple(Category(id=1 + i, name=f"class {i}", is_thing=i < 80) for i in range(NUM_CLASSES))

Side = tuple[np.ndarray, tuple[SegmentInfo, ...]]


def pair(rng: np.random.Generator, height: int, width: int) -> tuple[Side, Side]:
    """A truth of some twenty segments (blobs with wavy edges, void and a crowd), and a prediction that is near it."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    waves = (height / 40) * np.sin(columns / 17 + rng.random() * 6) + (width / 60) * np.cos(rows / 13)
    seeds = rng.random((22, 2)) * (height, width)
    near = np.stack([(rows + waves - y) ** 2 + (columns - waves - x) ** 2 for y, x in seeds]).argmin(0)
    names = rng.choice(2**24 - 1, len(seeds), replace=False) + 1
    names[0] = 0
    truth = names[near].astype(np.int32)
    shifted = np.roll(truth, (height // 60, -width // 80), (0, 1))
    category_ids = {int(name): int(rng.integers(1, 1 + NUM_CLASSES)) for name in names if name}
    guessed = {name: c if rng.random() < 0.8 else int(rng.integers(1, 80)) for name, c in category_ids.items()}
    crowd = [int(names[1])]
    return (truth, describe_segments(truth, category_ids, crowd=crowd)), (shifted, describe_segments(shifted, guessed))


def official(truth: Side, predicted: Side) -> dict[int, tuple[float, int, int, int]]:
    """Counts by the official evaluator's algorithm."""
    true_segments = {s.id: s for s in truth[1]}
    segments = {s.id: s for s in predicted[1]}
    labels, sizes = np.unique(predicted[0], return_counts=True)
    areas = {int(name): int(size) for name, size in zip(labels, sizes, strict=True)}
    labels, sizes = np.unique(truth[0], return_counts=True)
    true_areas = {int(name): int(size) for name, size in zip(labels, sizes, strict=True)}
    joint = truth[0].astype(np.uint64) * 256**3 + predicted[0].astype(np.uint64)
    overlap: dict[tuple[int, int], int] = {}
    for label, size in zip(*np.unique(joint, return_counts=True), strict=True):
        overlap[int(label // 256**3), int(label % 256**3)] = int(size)
    counts: dict[int, list[Any]] = {}
    matched: set[int] = set()
    matched_true: set[int] = set()
    for (true_id, found_id), size in overlap.items():
        if true_id not in true_segments or found_id not in segments or true_segments[true_id].is_crowd:
            continue
        if true_segments[true_id].category_id != segments[found_id].category_id:
            continue
        union = true_areas[true_id] + areas[found_id] - size - overlap.get((0, found_id), 0)
        if size / union > 0.5:
            count = counts.setdefault(segments[found_id].category_id, [0.0, 0, 0, 0])
            count[0] += size / union
            count[1] += 1
            matched.add(found_id)
            matched_true.add(true_id)
    crowd_of: dict[int, int] = {}
    for true_id, segment in true_segments.items():
        if true_id in matched_true:
            continue
        if segment.is_crowd:
            crowd_of[segment.category_id] = true_id
            continue
        counts.setdefault(segment.category_id, [0.0, 0, 0, 0])[3] += 1
    for found_id, segment in segments.items():
        if found_id in matched:
            continue
        forgiven = overlap.get((0, found_id), 0)
        if segment.category_id in crowd_of:
            forgiven += overlap.get((crowd_of[segment.category_id], found_id), 0)
        if forgiven / areas[found_id] <= 0.5:
            counts.setdefault(segment.category_id, [0.0, 0, 0, 0])[2] += 1
    return {key: tuple(value) for key, value in counts.items()}


def check_equal(tally: PanopticTally, counts: Mapping[int, tuple[float, int, int, int]]) -> None:
    """Refuses to time two things that differ."""
    assert set(tally.classes) == set(counts)
    for key, (iou, tp, fp, fn) in counts.items():
        ours = tally[key]
        assert (ours.tp, ours.fp, ours.fn) == (tp, fp, fn)
        assert abs(ours.iou_sum - iou) < 1e-12


def official_ids(path: Path) -> np.ndarray:
    """An id PNG as the official evaluator reads it."""
    with Image.open(path) as picture:
        colours = np.asarray(picture, dtype=np.uint32)
    return colours[..., 0] + 256 * colours[..., 1] + 256 * 256 * colours[..., 2]


def naive_iou_counts(truth: np.ndarray, predicted: np.ndarray) -> list[tuple[int, int]]:
    """Intersection and union of every class, one class at a time."""
    counts = []
    valid = truth >= 0
    for index in range(NUM_CLASSES):
        true, found = (truth == index) & valid, (predicted == index) & valid
        counts.append((int((true & found).sum()), int((true | found).sum())))
    return counts


def tell(what: str, ours: object, theirs: object, pairs: int) -> None:
    """Times both and prints a line."""
    mine, peer, ratio = alternating.compare(ours, theirs)  # pyright: ignore[reportArgumentType]
    print(f"{what:<44} {1e3 * mine / pairs:8.2f} ms {1e3 * peer / pairs:9.2f} ms {ratio:7.1f} x")


def time_size(height: int, width: int, folder: Path) -> None:
    """All comparisons at one size."""
    rng = np.random.default_rng(0)
    pairs = [pair(rng, height, width) for _ in range(MAPS)]
    for truth, predicted in pairs:
        check_equal(tally_pair(*truth, *predicted, CATEGORIES), official(truth, predicted))
    name = f"{width} x {height}"
    tell(
        f"panoptic quality in memory, {name}",
        lambda: [tally_pair(*truth, *predicted, CATEGORIES) for truth, predicted in pairs],
        lambda: [official(truth, predicted) for truth, predicted in pairs],
        MAPS,
    )
    paths: list[tuple[Path, Path]] = []
    for number, sides in enumerate(pairs):
        paths.append((folder / f"{name} {number} truth.png", folder / f"{name} {number} predicted.png"))
        for path, side in zip(paths[-1], sides, strict=True):
            save_ids(path, side[0])

    def read(load: Any, sides: tuple[Side, Side], files: Sequence[Path]) -> tuple[Side, Side]:
        return tuple((load(path), segments) for path, (_, segments) in zip(files, sides, strict=True))  # pyright: ignore

    def ours() -> None:
        for sides, files in zip(pairs, paths, strict=True):
            truth, predicted = read(load_ids, sides, files)
            tally_pair(*truth, *predicted, CATEGORIES)

    def theirs() -> None:
        for sides, files in zip(pairs, paths, strict=True):
            official(*read(official_ids, sides, files))

    tell(f"panoptic quality from PNG files, {name}", ours, theirs, MAPS)

    labels = [tuple((side[0] % (NUM_CLASSES + 1)).astype(np.int32) - 1 for side in sides) for sides in pairs]
    for truth_map, found_map in labels:
        check_labels(truth_map, found_map)
    tell(
        f"mIoU of {NUM_CLASSES} classes, {name}",
        lambda: [tally_labels(truth_map, found_map, NUM_CLASSES) for truth_map, found_map in labels],
        lambda: [naive_iou_counts(truth_map, found_map) for truth_map, found_map in labels],
        MAPS,
    )


def check_labels(truth: np.ndarray, predicted: np.ndarray) -> None:
    """Refuses to time two confusion counts that differ."""
    confusion = tally_labels(truth, predicted, NUM_CLASSES).confusion
    for index, (both, either) in enumerate(naive_iou_counts(truth, predicted)):
        hits = int(confusion[index, index])
        assert (hits, int(confusion[index].sum() + confusion[:, index].sum()) - hits) == (both, either)


def main() -> int:
    """Prints one line for each comparison."""
    print(f"{'':<44} {'lexiseg':>11} {'peer':>12} {'ratio':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for height, width in SIZES:
            time_size(height, width, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())

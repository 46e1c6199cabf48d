"""Scores of finished predictions, files against files; nothing here needs torch."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePath
from typing import TypeVar

import numpy as np
from jaxtyping import Int32

from lexiseg.core.concepts import same_word
from lexiseg.core.errors import FormatError
from lexiseg.core.messages import few, shown
from lexiseg.core.picture_files import pair_names
from lexiseg.core.pool import ProgressCallback, map_in_pool
from lexiseg.data.dataset import Category, Dataset, Sample
from lexiseg.data.formats.label_maps import load_values, to_places
from lexiseg.data.id_maps import load_ids
from lexiseg.evaluation.metrics.panoptic_quality import PanopticTally, tally_pair
from lexiseg.evaluation.metrics.semantic_quality import SemanticTally, tally_labels

CHUNK = 32  # pictures that a worker process takes at once


def translated(
    predicted: Dataset, truth: Dataset, categories: Sequence[Category], id_of: Mapping[str, int | str]
) -> Dataset:
    """Predictions with the truth's ids of pictures and categories: by names where both have them, else as they are.

    Args:
        predicted: with ids of its own.
        truth: what it will be held against.
        categories: what the predictions list; may be empty.
        id_of: ids by file name of the pictures that the predictions list; may be empty.

    Raises:
        FormatError: if names and ids contradict each other: a picture or a category is the truth's by its id alone.
    """
    named = pair_names(id_of, (sample.file_name for sample in truth.samples))
    true_id = {sample.file_name: sample.image_id for sample in truth.samples}
    paired, name_of = set(named.values()), {number: name for name, number in id_of.items()}
    alone = {sample.image_id: sample.file_name for sample in truth.samples if sample.file_name not in paired}
    numbers, word_of = _true_numbers(categories, truth.categories), {c.id: c.name for c in categories}
    nameless = word_of.keys() - numbers.keys()
    samples: list[Sample] = []
    for sample in predicted.samples:
        name = name_of.get(sample.key)
        if name is not None and name not in named and PurePath(name).name == PurePath(alone.get(sample.key, "")).name:
            name = None  # of several pictures with this name in other folders, that of the same id
        if name is not None and name not in named:
            if sample.key not in alone:
                continue  # a picture that the truth has not
            raise FormatError(
                f"picture {sample.key} is {shown(name)} in the predictions, {shown(alone[sample.key])} in the truth: "
                "name it alike, or leave the predictions' images out to pair by id."
            )
        image_id = sample.image_id if name is None else true_id[named[name]]
        segments = sample.segments or ()
        if categories:
            if strange := [word_of[s.category_id] for s in segments if s.category_id in nameless]:
                raise FormatError(
                    f"the predictions' category {shown(strange[0])} is none of the truth's: give it a name of the "
                    "truth, or leave the predictions' categories out to pair by id."
                )
            segments = tuple(replace(s, category_id=numbers.get(s.category_id, s.category_id)) for s in segments)
        samples.append(replace(sample, image_id=image_id, segments=segments))
    return replace(predicted, categories=truth.categories, samples=tuple(samples))


def _true_numbers(categories: Sequence[Category], true: Sequence[Category]) -> dict[int, int]:
    """The truth's number of each category that it has by name; of two with one name, the one of the same kind."""
    by_name = {same_word(category.name): category.id for category in true}
    by_kind = {(same_word(category.name), category.is_thing): category.id for category in true}
    found = {c.id: by_kind.get((same_word(c.name), c.is_thing), by_name.get(same_word(c.name))) for c in categories}
    return {own: number for own, number in found.items() if number is not None}


def score_panoptic(
    truth: Dataset, predicted: Dataset, *, workers: int = 1, report: ProgressCallback = lambda done, total: None
) -> PanopticTally:
    """Counts predicted id PNGs against the true ones, as COCO's official evaluator does.

    Pictures are paired by their id; predictions for other pictures are not looked at. The counts do not depend on
    `workers`. Ids of its own that a file of predictions has are the truth's after `translated`.

    Args:
        truth: its pictures need not be there, its id PNGs must.
        predicted: read with the categories of the truth.
        workers: processes that read and count; 1 does it in this one.
        report: called while it works.

    Raises:
        FormatError: naming the picture, if a prediction or a file is missing, sizes differ, a category is unknown, or
            a prediction contradicts itself. The first few names are given where many are missing.
    """
    prediction_of = {sample.image_id: sample for sample in predicted.samples}
    missing = [sample.file_name for sample in truth.samples if sample.image_id not in prediction_of]
    _refuse_missing("pictures have no prediction", missing, truth)
    pairs = [(sample, prediction_of[sample.image_id]) for sample in truth.samples]
    for place, side in enumerate(("true", "predicted")):
        paths = [pair[place].files[-1] for pair in pairs]
        there = _files_beside(paths)
        _refuse_missing(f"{side} id PNGs are missing", [path.name for path in paths if path not in there], truth)
    return _add_up(partial(_score_ids, categories=truth.categories), pairs, PanopticTally(), workers, report)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCode:
    """What the values of label maps mean."""

    num_classes: int
    first: int = 0
    """Value of the first class; values below it are ignored, as ADE20K's 0."""
    ignored: int = 255
    """In the truth: not counted. In a prediction: no class."""

    def __post_init__(self) -> None:
        if self.num_classes < 1 or self.first < 0:
            raise ValueError(
                f"there must be one class or more, and its value not negative, got {self.num_classes} classes from "
                f"{self.first} on."
            )
        if self.first <= self.ignored < self.first + self.num_classes:
            raise ValueError(
                f"classes have the values {self.first} to {self.first + self.num_classes - 1}, so {self.ignored} "
                "cannot be the ignored one: name another, such as 65535 for 16-bit maps."
            )

    def places(self, path: Path) -> Int32[np.ndarray, "H W"]:
        """Loads a label map as class ids; -1 is none.

        Raises:
            FormatError: if it cannot be read, or holds a value that is neither a class nor ignored.
        """
        values = load_values(path)
        places = to_places(values, {self.first + i: i for i in range(self.num_classes)})
        strange = (places < 0) & (values >= self.first) & (values != self.ignored)
        if strange.any():
            raise FormatError(
                f"{path}: the value {values[strange][0]} is no class: classes have {self.first} to "
                f"{self.first + self.num_classes - 1}, and {self.ignored} is ignored. Check the number of classes."
            )
        return places


LABEL_ENDINGS = (".png", ".tif", ".tiff")


def score_semantic(
    truth: Path,
    predicted: Path,
    code: LabelCode,
    *,
    workers: int = 1,
    report: ProgressCallback = lambda done, total: None,
) -> SemanticTally:
    """Counts the pixels of predicted label maps against the true ones.

    Maps are paired by their place in the two folders, whatever their endings; predictions without a truth are not
    looked at. The counts do not depend on `workers`.

    Args:
        truth: folder of label maps, searched with its folders.
        predicted: folder of as many maps.
        code: what the values mean, on both sides.
        workers: processes that read and count; 1 does it in this one.
        report: called while it works.

    Raises:
        FormatError: naming the map, if one is missing or cannot be read, sizes differ, or a value is no class.
    """
    true_maps, found_maps = _label_maps(truth), _label_maps(predicted)
    if not true_maps:
        raise FormatError(f"{truth}: there are no label maps ({', '.join(LABEL_ENDINGS)}) in this folder.")
    if missing := [str(path.relative_to(truth)) for name, path in true_maps.items() if name not in found_maps]:
        raise FormatError(
            f"{len(missing)} of {len(true_maps)} label maps have no prediction: {few(missing)}. Add them."
        )
    pairs = [(path, found_maps[name]) for name, path in true_maps.items()]
    return _add_up(partial(_score_labels, code=code), pairs, SemanticTally.zero(code.num_classes), workers, report)


def _score_labels(pair: tuple[Path, Path], code: LabelCode) -> SemanticTally:
    true, found = map(code.places, pair)
    try:
        return tally_labels(true, found, code.num_classes)
    except ValueError as error:
        raise FormatError(f"{pair[1]}: {error}") from error


def _label_maps(folder: Path) -> dict[Path, Path]:
    """Label maps by their place without ending, in a fixed order."""
    if not folder.is_dir():
        raise FormatError(f"{folder}: there is no such folder. Check the path.")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in LABEL_ENDINGS)
    return {path.relative_to(folder).with_suffix(""): path for path in paths}


def _score_ids(pair: tuple[Sample, Sample], categories: Sequence[Category]) -> PanopticTally:
    true, found = pair
    ids, found_ids = load_ids(true.files[-1]), load_ids(found.files[-1])
    try:
        return tally_pair(ids, true.segments or (), found_ids, found.segments or (), categories)
    except ValueError as error:
        raise FormatError(f"{true.file_name}: {error}") from error


def _refuse_missing(what: str, missing: Sequence[str], truth: Dataset) -> None:
    if missing:
        count = f"{len(missing)} of {len(truth.samples)}"
        raise FormatError(f"{count} {what}: {few(missing)}. Add them, or take the pictures out of the truth.")


def _files_beside(paths: Iterable[Path]) -> set[Path]:
    """Every file of the folders in which `paths` lie: one look at each folder instead of one at each file."""
    found: set[Path] = set()
    for folder in {path.parent for path in paths}:
        try:
            with os.scandir(folder) as entries:
                found |= {folder / entry.name for entry in entries}
        except OSError as error:
            raise FormatError(f"{folder}: this folder cannot be read ({error.strerror}). Check the path.") from error
    return found


Pair = TypeVar("Pair")
Counts = TypeVar("Counts", PanopticTally, SemanticTally)


def _add_up(
    count: Callable[[Pair], Counts], pairs: Sequence[Pair], tally: Counts, workers: int, report: ProgressCallback
) -> Counts:
    """The counts of all pairs; a worker adds up those of its own pictures before it sends them."""
    chunks = [pairs[start : start + CHUNK] for start in range(0, len(pairs), CHUNK)]
    done = 0
    add_chunk = partial(_add_chunk, count=count, zero=tally)
    for chunk, counted in zip(chunks, map_in_pool(add_chunk, chunks, workers, chunk=1), strict=True):
        tally, done = tally + counted, done + len(chunk)
        report(done, len(pairs))
    return tally


def _add_chunk(chunk: Sequence[Pair], count: Callable[[Pair], Counts], zero: Counts) -> Counts:
    return sum(map(count, chunk), zero)

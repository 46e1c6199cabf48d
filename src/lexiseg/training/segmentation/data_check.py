"""What is wrong with training data, in sentences with counts, before the first step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from lexiseg.core.concepts import same_word
from lexiseg.core.images import size_of
from lexiseg.core.messages import few
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import match_categories
from lexiseg.data.census import Census
from lexiseg.data.dataset import AnnotationKind, Dataset
from lexiseg.data.datasets.findings import Findings, evenly, examine
from lexiseg.data.formats.layouts import what_is_there

MAPS = frozenset[AnnotationKind](("panoptic", "semantic"))
"""Annotations that lie in files beside the pictures."""
SIDES = 100
"""Pictures whose headers tell how large they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """What was found."""

    num_pictures: int
    facts: tuple[str, ...] = ()
    """What is neither good nor bad, a sentence each."""
    problems: tuple[str, ...] = ()
    """What a training would break or learn nothing on, a sentence each."""
    notes: tuple[str, ...] = ()
    """What it can live with."""
    census: Census | None = None
    """What there is of every class."""

    def __add__(self, other: "DataReport") -> "DataReport":
        both = {name: getattr(self, name) + getattr(other, name) for name in ("facts", "problems", "notes")}
        return replace(self, **both, census=self.census or other.census)


class Problem(str):
    """A sentence about what a training would break or learn nothing on."""


class Note(str):
    """A sentence about what it can live with."""


def look_at_data(data: Dataset, vocabulary: Vocabulary, *, per_class: bool, nameless: Sequence[str] = ()) -> DataReport:
    """Looks at a training set as `data check` does, and holds it against the vocabulary. A second or two.

    Args:
        data: the training set.
        vocabulary: the recipe's words. Objects of instance annotations are not held against it.
        per_class: whether crowds count as parts of their class; see `data.samples.segmentation.to_targets`.
        nameless: categories that are learned from without a word.
    """
    found = examine(data, Path())
    sentences = list(_look_at_data(data, found, vocabulary, nameless, per_class=per_class))
    problems, notes = (tuple(one for one in sentences if isinstance(one, kind)) for kind in (Problem, Note))
    return DataReport(num_pictures=len(data.samples), problems=problems, notes=notes, census=found.census)


def median_side(data: Dataset) -> int | None:
    """The median of the longer sides of some pictures, from their headers; None if none can be read."""
    sizes = [size for sample in evenly(data.samples, SIDES) if (size := size_of(sample.image_path)) is not None]
    return round(median(map(max, sizes))) if sizes else None


def _look_at_data(
    data: Dataset, found: Findings, vocabulary: Vocabulary, nameless: Sequence[str], *, per_class: bool
) -> Iterator[Problem | Note]:
    count = len(data.samples)
    if not count:
        yield Problem("there are no pictures: give a data set with at least two.")
        return
    lost = set(found.missing)
    masks = (sample.mask_path for sample in data.samples)
    for what, paths in (("pictures", (sample.image_path for sample in data.samples)), ("masks", masks)):
        if missing := [path for path in paths if path in lost]:
            yield Problem(
                f"{len(missing)} of {count} {what} are missing, first {missing[0]}: copy them there, or leave their "
                f"annotations out ({what_is_there(missing[0])})."
            )
    if MAPS & data.kinds:
        yield from _look_at_categories(data, vocabulary, nameless, per_class=per_class)
    else:
        yield from _look_at_objects(data)
    yield from map(Problem, found.problems)
    if found.broken:
        opened = f"{len(found.broken)} of {found.num_opened} pictures that were opened"
        yield Problem(f"{opened} can't be used, first {found.broken[0]}")
    yield from map(Note, found.notes)
    if count == 1:
        yield Note("there is one picture only: a model learns it by heart and nothing else.")


def _look_at_categories(
    data: Dataset, vocabulary: Vocabulary, nameless: Sequence[str], *, per_class: bool
) -> Iterator[Problem | Note]:
    """Whether there are words for the categories, and segments of those that have one or need none."""
    class_ids = match_categories(data.categories, vocabulary)
    wordless = set(map(same_word, nameless))
    known = class_ids.keys() | {c.id for c in data.categories if same_word(c.name) in wordless}
    if lacking := sorted(wordless - {same_word(c.name) for c in data.categories}):
        yield Note(f"there is no category {few(lacking)}, of which masks were to be learned without a name.")
    unknown = [c.name for c in data.categories if c.id not in known]
    if not class_ids:
        yield Problem(
            f"none of the {len(data.categories)} categories ({few([c.name for c in data.categories])}) is in the "
            f"recipe's vocabulary of {len(vocabulary)} words: choose the data or the recipe that fit."
        )
    elif unknown:
        yield Note(
            f"{len(unknown)} of {len(data.categories)} categories are not in the vocabulary ({few(unknown)}): "
            f"{_segments_of(data, unknown)}their pixels are not learned from."
        )
    if any(sample.segments is not None for sample in data.samples):
        yield from _look_at_segments(data, known, per_class=per_class)


def _look_at_objects(data: Dataset) -> Iterator[Problem | Note]:
    """Whether there is an object to learn in every picture."""
    count = len(data.samples)
    listed = [(s.file_name, s.objects) for s in data.samples if s.objects is not None]
    empty = [name for name, objects in listed if all(one.get("iscrowd", 0) for one in objects)]
    if 0 < len(empty) < count:
        yield Note(f"{len(empty)} of {count} pictures have no object, or crowds alone, first {empty[0]}.")


def _look_at_segments(data: Dataset, known: set[int], *, per_class: bool) -> Iterator[Problem | Note]:
    """Whether there is a segment to learn in every picture."""
    count = len(data.samples)
    segments = [segment for sample in data.samples for segment in sample.segments or ()]
    empty = [
        sample.file_name
        for sample in data.samples
        if not any(s.category_id in known and (per_class or not s.is_crowd) for s in sample.segments or ())
    ]
    if len(empty) == count and segments and all(segment.is_crowd for segment in segments):
        yield Problem(
            f"all {len(segments)} segments of the {count} pictures are crowds, of which nothing is learned: mark "
            "things one by one."
        )
    elif len(empty) == count and known:
        yield Problem(f"none of the {count} pictures has a segment of the vocabulary: choose other data.")
    elif empty and known:
        yield Note(
            f"{len(empty)} of {count} pictures have nothing to learn (void, crowds, other categories), first "
            f"{empty[0]}."
        )


def _segments_of(data: Dataset, names: Sequence[str]) -> str:
    """How many segments have one of these categories, where the lists tell."""
    ids = {category.id for category in data.categories if category.name in set(names)}
    owners = [segment.category_id in ids for sample in data.samples for segment in sample.segments or ()]
    return f"{sum(owners)} of {len(owners)} segments are theirs, and " if owners else ""

"""`lexiseg storybook` and `lexiseg vocabulary`; neither needs torch."""

import re
from pathlib import Path

from lexiseg.apps.asking import read_words
from lexiseg.apps.console import note, progress, say, show
from lexiseg.apps.errors import UsageError
from lexiseg.data.storybook.export import Order, write_storybook
from lexiseg.data.storybook.kinds import Role, Split
from lexiseg.io.shipped import unknown_concepts

SMALLEST, LARGEST = 16, 4096
"""Pixels of a scene's side."""


def run_storybook(
    out: Path,
    role: Role,
    split: Split,
    *,
    count: int,
    seed: int,
    size: str,
    vocabulary: str | None,
    workers: int,
    overwrite: bool,
) -> None:
    """Draws a data set.

    Raises:
        ValueError: if the size or the words are none, or the folder is not empty or can't be written.
    """
    words = None if vocabulary is None else read_words(vocabulary)
    order = Order(role=role, split=split, count=count, seed=seed, size=parse_size(size), vocabulary=words)
    with progress("Drawing", count) as bar:
        write_storybook(order, out, overwrite=overwrite, workers=workers, report=lambda done: bar(done, count))
    say(f"Drew {count} pictures of {role} ({split}) to {out}.")


def parse_size(text: str) -> tuple[int, int]:
    """Height and width from "160" or "240x160" (width x height).

    Raises:
        UsageError: if it is neither, or too small or too large.
    """
    found = re.fullmatch(r"\s*(\d{1,5})(?:\s*[xX×]\s*(\d{1,5}))?\s*", text)
    if found is None:
        raise UsageError(f"--size must be a side such as 160, or a width and a height such as 240x160, got {text!r}.")
    width = int(found[1])
    height = int(found[2] or width)
    if not (SMALLEST <= width <= LARGEST and SMALLEST <= height <= LARGEST):
        raise UsageError(f"--size must lie between {SMALLEST} and {LARGEST} pixels, got {text!r}.")
    return height, width


def run_vocabulary(text: str) -> None:
    """Prints how words are understood.

    Raises:
        VocabularyError: if they make no vocabulary.
    """
    vocabulary = read_words(text)
    rows = [
        (concept.name, ", ".join(concept.synonyms), "thing" if concept.is_thing else "stuff", " > ".join(concept.path))
        for concept in vocabulary.concepts
    ]
    show("", ("name", "synonyms", "kind", "place in the taxonomy"), rows)
    things = sum(concept.is_thing for concept in vocabulary.concepts)
    say(f"{things} things and {len(vocabulary) - things} stuff, {len(vocabulary.templates)} templates.")
    unknown = unknown_concepts(vocabulary)
    if unknown:
        note(f"Note: the shipped model has never read {len(unknown)} of them, such as '{unknown[0]}'.")

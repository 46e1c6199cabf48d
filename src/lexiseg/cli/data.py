"""`lexiseg storybook`, `lexiseg vocabulary` and `lexiseg data`; none of them needs torch."""

import re
from pathlib import Path

from lexiseg.cli.console import note, progress, say, show
from lexiseg.cli.words import read_words
from lexiseg.core.errors import UsageError
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.catalogue import CATALOGUE, unknown
from lexiseg.data.datasets.own_folder import open_folder
from lexiseg.data.datasets.spec import DatasetSpec, Findings, examine
from lexiseg.io.shipped import unknown_concepts
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import Role, Split

SMALLEST, LARGEST = 16, 4096
"""Pixels of a scene's side."""

FINE, UNUSABLE, FLAWED = 0, 1, 3
"""Exit codes of a check: all is well, a part is missing, some files are missing or broken."""

SHOWN = 5
"""How many broken pictures a check names."""


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
    order = StorybookSpec(role=role, split=split, count=count, seed=seed, size=parse_size(size), vocabulary=words)
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


def run_list(root: Path | None = None) -> None:
    """Prints the catalogue of data sets.

    Args:
        root: where data sets lie; says of each whether it is there.

    Raises:
        ValueError: if there is no such folder.
    """
    columns = ("name", "what", "task", "words", "splits", *(("found",) if root else ()))
    rows = []
    for entry in CATALOGUE.values():
        words = f"{entry.vocabulary} ({len(Vocabulary.of(entry.vocabulary))})" if entry.vocabulary else ""
        found = (_found(entry, root),) if root else ()
        rows.append((entry.name, entry.title, entry.task, words, ", ".join(entry.splits), *found))
    show("", columns, rows)
    note("Your own folder needs no name: COCO panoptic, COCO instances, or images/ and labels/ with a classes.txt.")


def run_check(name: str, root: Path | None, *, split: str | None = None, every: bool = False, workers: int = 1) -> int:
    """Prints what there is of a data set, what is missing, where to get it, and the first broken files.

    Args:
        name: in the catalogue, or an own folder.
        root: the folder of the data set of that name, or the one around it.
        split: the data set's first if not given.
        every: opens all pictures, not a few of them.
        workers: processes that open.

    Returns:
        The exit code.

    Raises:
        ValueError: if name, root or split are of no use.
    """
    with progress("Opening") as bar:
        if name not in CATALOGUE and root is None and Path(name).exists():
            dataset = open_folder(Path(name), split)
            findings = examine(dataset, Path(name), every=every, workers=workers, report=bar)
        else:
            entry, root = _entry(name, root)
            findings = entry.check(root, split, every=every, workers=workers, report=bar)
    return _tell_findings(name, findings)


def run_prepare(name: str, root: Path | None, *, split: str | None = None, workers: int = 1) -> None:
    """Makes the files that a data set needs beside those that are published.

    Raises:
        ValueError: if there is nothing to make, something to make it of is missing, or it can't be written.
    """
    entry, root = _entry(name, root)
    with progress("Preparing") as bar:
        made = entry.prepare(root, bar, split, workers=workers)
    split = split or entry.splits[0]
    say(f"{name} ({split}) is prepared: {made} files were made{'' if made else ', all were there already'}.")


def _entry(name: str, root: Path | None) -> tuple[DatasetSpec, Path]:
    if name not in CATALOGUE:
        raise UsageError(str(unknown(name)))
    if root is None:
        raise UsageError(f"{name} lies in a folder of yours: say which with --root DIR.")
    return CATALOGUE[name], root


def _found(entry: DatasetSpec, root: Path) -> str:
    there = [split for split in entry.splits if all(path for _, path in entry.find(root, split)[1])]
    return ", ".join(there) or "-"


def _tell_findings(name: str, findings: Findings) -> int:
    """Prints findings; the code says whether the data set can be used as it is."""
    if findings.resources:
        rows = [(resource.what, "-" if path is None else str(path)) for resource, path in findings.resources]
        say(f"{name} in {findings.home}")
        show("", ("part", "where"), rows)
    for sentence in findings.lacking:
        say(f"{sentence[:1].upper()}{sentence[1:]}")
    if findings.num_samples:
        say(f"{findings.num_samples} pictures are listed, {findings.num_opened} of them were opened.")
    if findings.num_missing:
        more = ", ..." if findings.num_missing > len(findings.missing) else ""
        say(f"{findings.num_missing} files are missing: {', '.join(map(str, findings.missing))}{more}")
    if findings.broken:
        say(f"{len(findings.broken)} could not be read:")
    for problem in findings.broken[:SHOWN]:
        say(f"  {problem}")
    if findings.is_fine:
        say(
            "All is well."
            if findings.num_opened == findings.num_samples
            else "All is there; --all opens every picture."
        )
        return FINE
    if not findings.num_samples and not findings.lacking and not findings.broken:
        say("There are no pictures.")
    return FLAWED if findings.num_samples else UNUSABLE

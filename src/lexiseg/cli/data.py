"""`lexiseg storybook`, `lexiseg vocabulary` and `lexiseg data`; none of them needs torch."""

import re
from pathlib import Path

from lexiseg.cli.console import FAILURE, FINE, FLAWED, note, progress, say, show
from lexiseg.cli.options.data import (
    DataCheckOptions,
    DataListOptions,
    DataPrepareOptions,
    StorybookOptions,
    VocabularyOptions,
)
from lexiseg.cli.options.shared import read_optional_vocabulary, read_vocabulary
from lexiseg.core.errors import UsageError
from lexiseg.core.files import read_json_object
from lexiseg.core.messages import shown
from lexiseg.core.vocabulary import Vocabulary, builtin_names, builtin_source
from lexiseg.data.catalogue import CATALOGUE, unknown
from lexiseg.data.census import Census
from lexiseg.data.datasets.findings import Findings, examine
from lexiseg.data.datasets.folders import SHOWN
from lexiseg.data.datasets.own_folder import open_folder
from lexiseg.data.datasets.spec import DatasetSpec
from lexiseg.data.formats.layouts import what_is_there
from lexiseg.encoders.cut_words import note_on_cut_words
from lexiseg.io.shipped import CONFIG_FILE, shipped_folder, unknown_concepts
from lexiseg.storybook.export import StorybookSpec, write_storybook

SMALLEST, LARGEST = 16, 4096
"""Pixels of a scene's side."""

MOST_CLASSES = 50
"""Rows of a census, the most frequent classes first."""


def run_storybook(options: StorybookOptions) -> None:
    """Draws a data set.

    Raises:
        ValueError: if the size or the vocabulary is none, or the folder is not empty or can't be written.
    """
    spec = StorybookSpec(
        role=options.role,
        split=options.split,
        count=options.count,
        seed=options.seed,
        size=parse_size(options.size),
        vocabulary=read_optional_vocabulary(options.vocabulary),
    )
    with progress("Drawing", spec.count) as bar:
        write_storybook(
            spec,
            options.out,
            overwrite=options.overwrite,
            workers=options.workers,
            report=lambda done: bar(done, spec.count),
        )
    say(f"Drew {spec.count} pictures of {spec.role} ({spec.split}) to {options.out}.")


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


def run_vocabulary(options: VocabularyOptions) -> None:
    """Prints how words are understood, or the built-in lists.

    Raises:
        VocabularyError: if they make no vocabulary.
    """
    if options.text is None:
        rows = [(name, str(len(Vocabulary.of(name))), builtin_source(name)) for name in builtin_names()]
        show("", ("name", "words", "what"), rows, right=("words",))
        return
    vocabulary = read_vocabulary(options.text, wordnet=options.wordnet)
    rows = [
        (name, ", ".join(concept.synonyms), "thing" if concept.is_thing else "stuff", " > ".join(concept.path))
        for name, concept in zip(vocabulary.names, vocabulary.concepts, strict=True)
    ]
    show("", ("name", "synonyms", "kind", "place in the taxonomy"), rows)
    things = sum(concept.is_thing for concept in vocabulary.concepts)
    say(f"{things} things and {len(vocabulary) - things} stuff, {len(vocabulary.templates)} templates.")
    unknown = unknown_concepts(vocabulary)
    if unknown:
        note(f"Note: the shipped model has never read {len(unknown)} of them, such as {shown(unknown[0])}.")
    context_length = read_json_object(shipped_folder() / CONFIG_FILE)["clip"]["context_length"]
    if told := note_on_cut_words(vocabulary, context_length):
        note(told)


def run_list(options: DataListOptions) -> None:
    """Prints the catalogue of data sets, and which of them lie in a folder, if one was given.

    Raises:
        ValueError: if there is no such folder.
    """
    root = options.root
    columns = ("name", "what", "task", "words", "splits", *(("found",) if root else ()))
    rows = []
    for entry in CATALOGUE.values():
        words = f"{entry.vocabulary} ({len(Vocabulary.of(entry.vocabulary))})" if entry.vocabulary else ""
        found = (_found(entry, root),) if root else ()
        rows.append((entry.name, entry.title, entry.task, words, ", ".join(entry.splits), *found))
    show("", columns, rows)
    note(
        "Your own folder needs no name: COCO panoptic, COCO instances, or images/ and labels/ (maps, or YOLO's texts) "
        "with a classes.txt."
    )


def run_check(options: DataCheckOptions) -> int:
    """Prints what there is of a data set, what is missing, where to get it, and the first broken files.

    Returns:
        The exit code.

    Raises:
        ValueError: if name, root or split are of no use.
    """
    name, split, every, workers = options.name, options.split, options.every, options.workers
    with progress("Opening") as bar:
        if name not in CATALOGUE and options.root is None and Path(name).exists():
            dataset = open_folder(Path(name), split)
            findings = examine(dataset, Path(name), every=every, workers=workers, report=bar)
        else:
            entry, root = _entry(name, options.root)
            findings = entry.check(root, split, every=every, workers=workers, report=bar)
    return _tell_findings(name, findings)


def show_census(census: Census) -> None:
    """Prints what there is of every class, and what pictures and pixels that was counted in."""
    heading, *rows = census.table(MOST_CLASSES)
    if rows:
        show("", heading, rows, right=heading[1:])
    if rows and (more := len(census.classes) - len(rows)):
        say(f"{more} more classes have no more than the last of these.")
    for sentence in census.facts():
        say(sentence)


def run_prepare(options: DataPrepareOptions) -> None:
    """Makes the files that a data set needs beside those that are published.

    Raises:
        ValueError: if there is nothing to make, something to make it of is missing, or it can't be written.
    """
    entry, root = _entry(options.name, options.root)
    with progress("Preparing") as bar:
        made = entry.prepare(root, bar, options.split, workers=options.workers)
    split = options.split or entry.splits[0]
    say(f"{entry.name} ({split}) is prepared: {made} files were made{'' if made else ', all were there already'}.")


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
        show(f"{name} in {findings.home}", ("part", "where"), rows)
    for sentence in findings.lacking:
        say(f"{sentence[:1].upper()}{sentence[1:]}")
    if findings.num_samples:
        say(f"{findings.num_samples} pictures are listed, {findings.num_opened} of them were opened.")
    if findings.census is not None:
        show_census(findings.census)
    if findings.missing:
        more = ", ..." if len(findings.missing) > SHOWN else ""
        say(f"{len(findings.missing)} files are missing: {', '.join(map(str, findings.missing[:SHOWN]))}{more}")
        say(f"  {what_is_there(findings.missing[0])}.")
    if findings.broken:
        say(f"{len(findings.broken)} can't be used:")
    for problem in findings.broken[:SHOWN]:
        say(f"  {problem}")
    for sentence in findings.problems:
        say(f"Problem: {sentence}")
    for sentence in findings.notes:
        say(f"Note: {sentence}")
    if findings.is_fine:
        how = "All is there" if findings.num_opened < findings.num_samples else "All is well"
        but = ", but for what is noted" if findings.notes else ""
        say(f"{how}{but}{'; --all opens every picture' if findings.num_opened < findings.num_samples else ''}.")
        return FINE
    if not findings.num_samples and not findings.lacking and not findings.broken:
        say("There are no pictures.")
    return FLAWED if findings.num_samples else FAILURE

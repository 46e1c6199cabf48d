"""`lexiseg evaluate`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lexiseg.apps.asking import read_words
from lexiseg.apps.console import note, progress, say, show
from lexiseg.apps.options import Inference
from lexiseg.apps.predictor import load
from lexiseg.apps.switches import merge_for, modulation_for
from lexiseg.core.concepts import same_word
from lexiseg.core.vocabulary import Concept, Vocabulary, builtin_names
from lexiseg.data.panoptic_format import Category, PanopticDataset, read_panoptic
from lexiseg.data.storybook.export import Order, write_storybook
from lexiseg.data.storybook.kinds import CASTS, PART, Role, Split
from lexiseg.encoders.text import default_cache_dir
from lexiseg.evaluation.evaluator import EvaluationSettings, Report, write_report
from lexiseg.evaluation.evaluator import evaluate as measure

DRAWN: Mapping[str, tuple[Role, Vocabulary]] = {
    "storybook": ("base", CASTS["base"].vocabulary),
    "storybook-part": ("base", PART),
    "storybook-novel": ("novel", CASTS["novel"].vocabulary),
    "storybook-dusk": ("dusk", CASTS["dusk"].vocabulary),
    "storybook-semantic": ("semantic-only", CASTS["semantic-only"].vocabulary),
}
"""Data sets that are drawn when they are asked for: role and annotated names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Which pictures of a drawn data set."""

    split: Split
    count: int
    seed: int
    workers: int


def run_evaluate(data: str, words: str | None, how: Inference, out: Path, *, drawn: Drawn, limit: int | None) -> None:
    """Measures a model on a data set, writes report.json, and prints the figures.

    Raises:
        ValueError: if words, data, model or folder are of no use.
    """
    asked = None if words is None else read_words(words)
    dataset, own = _open(data, out, drawn)
    model = load(how.model, device=how.device)
    config = model.network.config
    settings = EvaluationSettings(
        negatives=how.negatives,
        modulation=modulation_for(how, config.modulation),
        merge=merge_for(how, config.merge),
        limit=limit,
        cache_dir=default_cache_dir(),
    )
    groups = seen_and_unseen(dataset.categories, asked or own, config.training_vocabulary)
    with progress("Segmenting") as bar:
        report = measure(model.network, dataset, asked or own, settings, groups=groups, report=bar)
    file = write_report(report, out)
    _tell(report, file)


def _open(data: str, out: Path, drawn: Drawn) -> tuple[PanopticDataset, Vocabulary]:
    """The data set and its own words; a drawn one is written first, and read like any other."""
    if data not in DRAWN:
        if not Path(data).exists():
            raise ValueError(f"there is no data set {data!r}: give a folder, or one of {', '.join(DRAWN)}.")
        dataset = read_panoptic(Path(data))
        return dataset, own_words(dataset.categories)
    role, vocabulary = DRAWN[data]
    order = Order(role=role, split=drawn.split, count=drawn.count, seed=drawn.seed, vocabulary=vocabulary)
    with progress("Drawing", drawn.count) as bar:
        dataset = write_storybook(
            order,
            out / "data",
            overwrite=True,
            workers=drawn.workers,
            report=lambda done: bar(done, drawn.count),
        )
    return dataset, vocabulary


def own_words(categories: tuple[Category, ...]) -> Vocabulary:
    """The built-in list that names exactly these categories, which adds synonyms; or else their names."""
    names = {same_word(category.name) for category in categories}
    for listed in builtin_names():
        known = Vocabulary.of(listed)
        if {same_word(name) for name in known.names} == names:
            return known
    return Vocabulary(tuple(Concept(c.name, is_thing=c.is_thing) for c in categories))


def seen_and_unseen(
    categories: tuple[Category, ...], asked: Vocabulary, training: Vocabulary
) -> dict[str, tuple[str, ...]]:
    """Names of categories that training had masks of, and the others; nothing if all are of one kind."""
    trained = {same_word(name) for name in training.row_names()}
    names_of = {same_word(name): concept.names for concept in asked.concepts for name in concept.names}
    groups: dict[str, list[str]] = {"seen": [], "unseen": []}
    for category in categories:
        names = names_of.get(same_word(category.name), (category.name,))
        is_seen = any(same_word(name) in trained for name in names)
        groups["seen" if is_seen else "unseen"].append(category.name)
    return {key: tuple(names) for key, names in groups.items()} if all(groups.values()) else {}


def _tell(report: Report, file: Path) -> None:
    heading, *rows = (*report.table(), *report.class_table()[1:])
    show("In percent", heading, list(rows), right=heading[1:])
    say(f"{report.num_pictures} pictures, {report.images_per_second:.1f} per second. Report: {file}.")
    for skipped in report.unreadable:
        note(f"lexiseg: left out: {skipped.reason}")

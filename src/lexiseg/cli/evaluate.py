"""`lexiseg evaluate`."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

from lexiseg.cli.console import note, progress, say, show
from lexiseg.cli.options.evaluate import EvaluateOptions, EvaluationData
from lexiseg.cli.options.shared import read_optional_vocabulary
from lexiseg.cli.overrides import fusion_for, merge_for, set_regions
from lexiseg.core import processes
from lexiseg.core.concepts import same_word
from lexiseg.core.errors import UsageError
from lexiseg.core.messages import printable
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.catalogue import CATALOGUE, open_dataset
from lexiseg.data.datasets.folders import own_words
from lexiseg.data.datasets.spec import AnnotatedDataset
from lexiseg.data.formats.coco_panoptic import Category, PanopticDataset, read_panoptic
from lexiseg.encoders.text import default_cache_dir
from lexiseg.evaluation.diagnosis import Diagnosis, diagnose
from lexiseg.evaluation.evaluator import Comparison, comparisons
from lexiseg.evaluation.evaluator import evaluate as measure
from lexiseg.evaluation.loading import match_words
from lexiseg.evaluation.measures import TaskName, measure_of
from lexiseg.evaluation.page import diagnosis_tables, write_page
from lexiseg.evaluation.report import EvaluationSettings, Report, write_report
from lexiseg.inference.predictor import Model, load
from lexiseg.inference.visualize import side_by_side
from lexiseg.io.config_json import to_jsonable
from lexiseg.layers.ensemble import EnsembleConfig
from lexiseg.models.base import ModelConfig
from lexiseg.models.crops import RegionConfig
from lexiseg.models.presets import CLIP_WEIGHTS
from lexiseg.storybook.export import StorybookSpec, vocabulary_categories, write_storybook
from lexiseg.storybook.kinds import CASTS, PART, Role, Split

DRAWN: Mapping[str, tuple[Role, Vocabulary]] = {
    "storybook": ("base", CASTS["base"].vocabulary),
    "storybook-part": ("base", PART),
    "storybook-novel": ("novel", CASTS["novel"].vocabulary),
    "storybook-dusk": ("dusk", CASTS["dusk"].vocabulary),
    "storybook-semantic": ("semantic-only", CASTS["semantic-only"].vocabulary),
}
"""Data sets that are drawn when they are asked for: role and annotated names."""
TASK_OF: Mapping[str, TaskName] = {"storybook-semantic": "semantic"}
"""Drawn data sets that are made for another task than panoptic."""
PARTS_FOLDER = ".parts"
"""Finished shards, inside the report's folder while the evaluation runs."""
DIAGNOSIS_FOLDER = ".diagnosis-parts"
"""Likewise those of the diagnosis."""
DRAWN_SIGN = "drawn.json"
"""Lies among pictures that an evaluation has drawn, says which they are, and that they may be drawn anew."""
SHOWN_SCENES = 3
"""Worst and best pictures in the report."""
SHOWN_CLASSES = 10
"""Best and worst classes in the terminal."""
SHOWN_SKIPPED = 10
"""Pictures that could not be read, in the terminal."""
INCOMPLETE = 3
"""Exit status when pictures were left out."""


def run_evaluate(options: EvaluateOptions) -> int:
    """Measures a model on a data set, writes the report, and prints the figures.

    Returns:
        The exit status: 3 if pictures had to be left out.

    Raises:
        ValueError: if vocabulary, data, model or folder are of no use.
    """
    asked, out = read_optional_vocabulary(options.vocabulary), options.out
    with processes.process_group():
        model = load(options.model, device=options.device)
        set_regions(model.network, options)
        config = model.network.config
        settings = EvaluationSettings(
            task=options.task or TASK_OF.get(options.name),
            semantic_rule=options.semantic_rule,
            negatives=options.negatives,
            fusion=fusion_for(options, model.network),
            merge=merge_for(options, config.merge),
            limit=options.limit,
            cache_dir=default_cache_dir(),
        )
        if options.name in DRAWN:  # all that can be refused is refused before anything is drawn
            _check(options, settings.task or "panoptic", is_panoptic=True)
            match_words(vocabulary_categories(DRAWN[options.name][1]), asked or DRAWN[options.name][1])
        dataset, own = _open(options, out, options.workers)
        _check(options, measure_of(dataset, settings.task).name, is_panoptic=isinstance(dataset, PanopticDataset))
        vocabulary = asked or own
        _tell_lambda(options, config)
        groups = seen_and_unseen(dataset.categories, vocabulary, config.training_vocabulary)
        try:
            with progress("Segmenting") as bar:
                report = measure(
                    model.network,
                    dataset,
                    vocabulary,
                    settings,
                    groups=groups,
                    workers=options.workers,
                    parts=out / PARTS_FOLDER,
                    resume=options.resume,
                    report=bar,
                )
            diagnosis = None
            if options.diagnose and isinstance(dataset, PanopticDataset):
                diagnosis = _diagnose(model, dataset, vocabulary, report.settings, options)
        except KeyboardInterrupt:
            note(f"lexiseg: what is finished lies in {out}; the same command with --resume goes on from there.")
            raise
        if processes.rank() == 0:
            worst, best = report.worst_and_best(SHOWN_SCENES)
            names = [scene.name for scene in (*worst, *best)]
            maps = comparisons(model.network, dataset, vocabulary, report.settings, names)
            about = _about(options, dataset.categories, vocabulary, model.network.regions)
            page = write_page(report, diagnosis, worst, best, maps, out, about, draw_comparison)
            write_report(report, out, about | ({} if diagnosis is None else {"diagnosis": diagnosis.to_jsonable()}))
            for folder in (PARTS_FOLDER, DIAGNOSIS_FOLDER):
                shutil.rmtree(out / folder, ignore_errors=True)
            _tell(report, page, renamed(dataset.categories, vocabulary))
            if diagnosis is not None:
                _tell_diagnosis(diagnosis)
        processes.gather(None)  # torchrun stops all others as soon as one ends with a status
        return INCOMPLETE if report.unreadable and processes.rank() == 0 else 0


def _tell_lambda(options: EvaluateOptions, config: ModelConfig) -> None:
    """Says what OVSeg's authors take for lambda on this data set, where the model takes another."""
    entry, own = CATALOGUE.get(options.name), config.fusion
    theirs = CLIP_WEIGHTS.get(entry.vocabulary) if entry is not None else None
    if theirs is None or not isinstance(own, EnsembleConfig) or own.seen_clip_weight is not None:
        return
    is_asked = options.clip_weight is not None or options.clip_only
    if own.clip_weight != theirs and not is_asked and processes.rank() == 0:
        note(
            f"lexiseg: OVSeg's authors take lambda {theirs:g} on {options.name}, and this model's own is "
            f"{own.clip_weight:g}: pass --clip-weight {theirs:g} for a figure like theirs."
        )


def _diagnose(
    model: Model,
    dataset: PanopticDataset,
    vocabulary: Vocabulary,
    settings: EvaluationSettings,
    options: EvaluateOptions,
) -> Diagnosis:
    with progress("Looking for what costs most") as bar:
        return diagnose(
            model.network,
            dataset,
            vocabulary,
            settings,
            workers=options.workers,
            parts=options.out / DIAGNOSIS_FOLDER,
            resume=options.resume,
            report=bar,
        )


def _check(options: EvaluateOptions, task: TaskName, *, is_panoptic: bool) -> None:
    """Refuses what the task or the data can't give."""
    if options.diagnose and not (is_panoptic and task == "panoptic"):
        raise UsageError("a diagnosis is of panoptic quality: leave --diagnose out, or evaluate the panoptic task.")
    if options.semantic_rule == "soft" and task != "semantic":
        raise UsageError("the soft rule gives classes to pixels: add --task semantic, or leave --semantic-rule out.")


def _about(
    options: EvaluateOptions, categories: tuple[Category, ...], asked: Vocabulary, regions: RegionConfig | None
) -> dict[str, Any]:
    """What was measured, for the report."""
    drawn = {"split": options.split or "test", "count": options.count, "seed": options.seed}
    stored = {"root": None if options.root is None else str(options.root), "split": options.split}
    which = drawn if options.name in DRAWN else stored
    return {
        "data": {"name": options.name, "limit": options.limit, **which},
        "model": options.model,
        "words": word_of_categories(categories, asked),
        **({} if regions is None else {"crops": to_jsonable(regions)}),
    }


def _open(data: EvaluationData, out: Path, workers: int) -> tuple[AnnotatedDataset, Vocabulary]:
    """The data set and its own words; a drawn one is written first, and read like any other."""
    if data.name in DRAWN:
        folder, vocabulary = out / "data", DRAWN[data.name][1]
        if processes.rank() == 0:
            if folder.is_dir() and any(folder.iterdir()) and not (folder / DRAWN_SIGN).is_file():
                raise UsageError(
                    f"{printable(folder)} holds what no evaluation has drawn, and the pictures would be drawn there: "
                    "choose another --out."
                )
            _draw(data, folder, workers)
        processes.gather(None)
        return read_panoptic(folder), vocabulary
    if data.name not in CATALOGUE and not Path(data.name).exists():
        raise ValueError(
            f"there is no data set {data.name!r}: give a folder, one of {', '.join(DRAWN)}, "
            "or a name that 'lexiseg data list' shows."
        )
    dataset = open_dataset(data.name, data.root, data.split)
    if not isinstance(dataset, AnnotatedDataset):
        raise ValueError(f"{data.name} has no masks to measure a segmentation by: choose another data set.")
    if data.name in CATALOGUE and CATALOGUE[data.name].vocabulary:
        return dataset, Vocabulary.of(CATALOGUE[data.name].vocabulary)
    return dataset, own_words(dataset.categories)


def _draw(data: EvaluationData, folder: Path, workers: int) -> None:
    role, vocabulary = DRAWN[data.name]
    split = data.split or "test"
    if split not in get_args(Split):
        raise UsageError(f"drawn data have the splits {', '.join(get_args(Split))}, not {split!r}.")
    order = StorybookSpec(role=role, split=cast(Split, split), count=data.count, seed=data.seed, vocabulary=vocabulary)
    with progress("Drawing", data.count) as bar:
        write_storybook(
            order, folder, overwrite=True, workers=max(1, workers), report=lambda done: bar(done, data.count)
        )
    about = {"data": data.name, "split": split, "count": data.count, "seed": data.seed}
    (folder / DRAWN_SIGN).write_text(json.dumps(about))


def word_of_categories(categories: tuple[Category, ...], asked: Vocabulary) -> dict[str, str]:
    """The word that stands for each category."""
    word_of = {same_word(name): concept.name for concept in asked.concepts for name in concept.names}
    return {category.name: word_of[same_word(category.name)] for category in categories}


def renamed(categories: tuple[Category, ...], asked: Vocabulary) -> dict[str, str]:
    """The categories that another word stands for, with that word."""
    return {
        name: word for name, word in word_of_categories(categories, asked).items() if same_word(name) != same_word(word)
    }


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


def _tell(report: Report, page: Path, other_words: Mapping[str, str]) -> None:
    heading, *rows = report.table()
    show("In percent", heading, list(rows), right=heading[1:])
    heading, *rows = report.class_table(SHOWN_CLASSES)
    show("Classes, the best first", heading, list(rows), right=heading[1:-1])
    if other_words:
        say(f"Asked by another name: {', '.join(f'{name} as {word}' for name, word in other_words.items())}.")
    say(
        f"{report.num_pictures} pictures, {report.images_per_second:.1f} per second, {report.settings.task} task; "
        f"weights {report.weights} in {report.dtype} on {report.device}. Report: {page}."
    )
    regions = report.regions
    if regions.proposals:
        say(
            f"Of {regions.proposals} proposals CLIP looked at {regions.encoded}; {regions.empty} were empty, and "
            f"{regions.skipped} were left out as no object."
        )
    note_left_out([skipped.reason for skipped in report.unreadable], page.name)


def note_left_out(reasons: list[str], names_all: str) -> None:
    """Tells why pictures were left out; of many, how many more a file names."""
    for reason in reasons[:SHOWN_SKIPPED]:
        note(f"lexiseg: left out: {reason}")
    if (more := len(reasons) - SHOWN_SKIPPED) > 0:
        note(f"lexiseg: left out: {more} more, which {names_all} names.")


def draw_comparison(scene: Comparison, path: Path) -> None:
    """Draws a picture, its truth and what a model makes of it, side by side."""
    side_by_side(scene.picture, scene.truth, scene.prediction).save(path)


def _tell_diagnosis(diagnosis: Diagnosis) -> None:
    for title, rows in diagnosis_tables(diagnosis):
        heading, *body = rows
        show(title, heading, body, right=heading[1:])

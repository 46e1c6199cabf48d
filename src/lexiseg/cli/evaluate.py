"""`lexiseg evaluate`."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lexiseg.cli.console import FINE, FLAWED, note, progress, resumable, say, show
from lexiseg.cli.options.evaluate import EvaluateOptions
from lexiseg.cli.options.shared import read_optional_vocabulary
from lexiseg.cli.overrides import fusion_for, merge_for, set_regions
from lexiseg.core import processes
from lexiseg.core.errors import UsageError
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.catalogue import CATALOGUE
from lexiseg.data.categories import concept_names, renamed, seen_and_unseen
from lexiseg.data.dataset import Category, Dataset, TaskName
from lexiseg.encoders.text import default_cache_dir
from lexiseg.evaluation.diagnosis import Diagnosis, diagnose
from lexiseg.evaluation.evaluator import Comparison, comparisons, evaluate_dataset
from lexiseg.evaluation.inputs import open_data
from lexiseg.evaluation.measures import measure_of
from lexiseg.evaluation.page import diagnosis_tables, write_page
from lexiseg.evaluation.report import EvaluationSettings, Report, write_report
from lexiseg.evaluation.shards import SHARDS_FOLDER
from lexiseg.inference.predictor import Model, load
from lexiseg.inference.visualize import side_by_side
from lexiseg.io.config_json import to_jsonable
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.models.crops import RegionConfig
from lexiseg.storybook.datasets import DRAWN

DIAGNOSIS_FOLDER = ".diagnosis-parts"
"""Finished shards of the diagnosis, beside those of the evaluation."""
SHOWN_SCENES = 3
"""Worst and best pictures in the report."""
SHOWN_CLASSES = 10
"""Best and worst classes in the terminal."""
SHOWN_SKIPPED = 10
"""Pictures that could not be read, in the terminal."""


def run_evaluate(options: EvaluateOptions) -> int:
    """Measures a model on a data set, writes the report, and prints the figures.

    Returns:
        The exit status: 3 if pictures had to be left out.

    Raises:
        ValueError: if vocabulary, data, model or folder are of no use.
    """
    out = options.out
    with processes.process_group():
        model = load(options.model, device=options.device)
        set_regions(model.network, options)
        config = model.network.config
        settings = EvaluationSettings(
            task=options.task or (DRAWN[options.name].task if options.name in DRAWN else None),
            semantic_rule=options.semantic_rule,
            negatives=options.negatives,
            fusion=fusion_for(options, model.network),
            merge=merge_for(options, config.merge),
            limit=options.limit,
            cache_dir=default_cache_dir(),
        )
        if options.name in DRAWN:  # all that can be refused is refused before anything is drawn
            _check(options, settings.task or "panoptic", is_panoptic=True)
        with progress("Drawing", options.count) as bar:
            dataset, vocabulary = open_data(
                options.name,
                options.root,
                options.split,
                read_optional_vocabulary(options.vocabulary),
                drawn_in=out / "data",
                count=options.count,
                seed=options.seed,
                workers=options.workers,
                report=bar,
            )
        _check(options, measure_of(dataset, settings.task).name, is_panoptic="panoptic" in dataset.kinds)
        _tell_lambda(options, model.network)
        with resumable(out):
            with progress("Segmenting") as bar:
                report = evaluate_dataset(
                    model.network,
                    dataset,
                    vocabulary,
                    settings,
                    groups=seen_and_unseen(dataset.categories, vocabulary, config.training_vocabulary),
                    workers=options.workers,
                    shards_dir=out / SHARDS_FOLDER,
                    resume=options.resume,
                    report=bar,
                )
            diagnosis = _diagnose(model, dataset, vocabulary, report.settings, options) if options.diagnose else None
        if processes.rank() == 0:
            worst, best = report.worst_and_best(SHOWN_SCENES)
            names = [scene.name for scene in (*worst, *best)]
            maps = comparisons(model.network, dataset, vocabulary, report.settings, names)
            about = _about(options, dataset.categories, vocabulary, model.network.regions)
            page = write_page(report, diagnosis, worst, best, maps, out, about, draw_comparison)
            write_report(report, out, about | ({} if diagnosis is None else {"diagnosis": diagnosis.to_jsonable()}))
            for folder in (SHARDS_FOLDER, DIAGNOSIS_FOLDER):
                shutil.rmtree(out / folder, ignore_errors=True)
            _tell(report, diagnosis, page, renamed(dataset.categories, vocabulary))
        processes.gather(None)  # torchrun stops all others as soon as one ends with a status
        return FLAWED if report.unreadable and processes.rank() == 0 else FINE


def _tell_lambda(options: EvaluateOptions, model: OpenVocabularySegmenter) -> None:
    """Says what a model's authors take for lambda on this data set, where the model takes another."""
    entry = CATALOGUE.get(options.name)
    weights = None if entry is None else model.published_weight(entry.vocabulary)
    if weights is None or weights[0] == weights[1] or options.clip_weight is not None or options.clip_only:
        return
    theirs, own = weights
    if processes.rank() == 0:
        note(
            f"lexiseg: {type(model).__name__}'s authors take lambda {theirs:g} on {options.name}, and this model's own "
            f"is {own:g}: pass --clip-weight {theirs:g} for a figure like theirs."
        )


def _diagnose(
    model: Model,
    dataset: Dataset,
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
            shards_dir=options.out / DIAGNOSIS_FOLDER,
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
        "words": concept_names(categories, asked),
        **({} if regions is None else {"crops": to_jsonable(regions)}),
    }


def _tell(report: Report, diagnosis: Diagnosis | None, page: Path, other_words: Mapping[str, str]) -> None:
    heading, *rows = report.table()
    show("In percent", heading, rows, right=heading[1:])
    heading, *rows = report.class_table(SHOWN_CLASSES)
    show("Classes, the best first", heading, rows, right=heading[1:-1])
    for title, (heading, *rows) in () if diagnosis is None else diagnosis_tables(diagnosis):
        show(title, heading, rows, right=heading[1:])
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

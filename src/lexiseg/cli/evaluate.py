"""`lexiseg evaluate`."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexiseg.cli.console import note, progress, say, show
from lexiseg.cli.options import Inference
from lexiseg.cli.overrides import fusion_for, merge_for, set_regions
from lexiseg.cli.report_page import diagnosis_tables, write_page
from lexiseg.cli.words import read_words
from lexiseg.core import processes
from lexiseg.core.errors import UsageError
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.catalogue import CATALOGUE
from lexiseg.data.categories import concept_names, renamed, seen_and_unseen
from lexiseg.data.dataset import Category, Dataset, TaskName
from lexiseg.encoders.text import default_cache_dir
from lexiseg.evaluation.diagnosis import Diagnosis, diagnose
from lexiseg.evaluation.evaluator import comparisons, evaluate_dataset
from lexiseg.evaluation.inputs import open_data
from lexiseg.evaluation.measures import measure_of
from lexiseg.evaluation.report import EvaluationSettings, Report, write_report
from lexiseg.evaluation.shards import SHARDS_FOLDER
from lexiseg.inference.predictor import Model, load
from lexiseg.io.config_json import to_jsonable
from lexiseg.layers.ensemble import EnsembleConfig
from lexiseg.models.base import Fusion, OpenVocabularySegmenter, SemanticRule
from lexiseg.models.presets import CLIP_WEIGHTS
from lexiseg.storybook.datasets import DRAWN

DIAGNOSIS_FOLDER = ".diagnosis-parts"
"""Finished shards of the diagnosis, beside those of the evaluation."""
SHOWN_SCENES = 3
"""Worst and best pictures in the report."""
SHOWN_CLASSES = 10
"""Best and worst classes in the terminal."""
SHOWN_SKIPPED = 10
"""Pictures that could not be read, in the terminal."""
INCOMPLETE = 3
"""Exit status when pictures were left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Which pictures."""

    name: str
    """A folder, a name of the catalogue, or a drawn data set."""
    root: Path | None
    split: str | None
    count: int
    """Of drawn data."""
    seed: int
    """Of drawn data."""
    limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What is measured."""

    task: TaskName | None
    semantic_rule: SemanticRule | None
    diagnose: bool
    """Whether the parts of the model are replaced by truth, one at a time; for the panoptic task."""


def run_evaluate(
    data: Data, words: str | None, how: Inference, measured: Measured, out: Path, *, workers: int, resume: bool
) -> int:
    """Measures a model on a data set, writes the report, and prints the figures.

    Returns:
        The exit status: 3 if pictures had to be left out.

    Raises:
        ValueError: if words, data, model or folder are of no use.
    """
    with processes.process_group():
        model = load(how.model, device=how.device)
        set_regions(model.network, how.regions)
        config = model.network.config
        settings = EvaluationSettings(
            task=measured.task or (DRAWN[data.name].task if data.name in DRAWN else None),
            semantic_rule=measured.semantic_rule,
            negatives=how.negatives,
            fusion=fusion_for(how, model.network),
            merge=merge_for(how, config.merge),
            limit=data.limit,
            cache_dir=default_cache_dir(),
        )
        if data.name in DRAWN:  # all that can be refused is refused before anything is drawn
            _check(measured, settings.task or "panoptic", is_panoptic=True)
        with progress("Drawing", data.count) as bar:
            dataset, vocabulary = open_data(
                data.name,
                data.root,
                data.split,
                None if words is None else read_words(words),
                drawn_in=out / "data",
                count=data.count,
                seed=data.seed,
                workers=workers,
                report=bar,
            )
        _check(measured, measure_of(dataset, settings.task).name, is_panoptic=isinstance(dataset, Dataset))
        _tell_lambda(data, how, config)
        groups = seen_and_unseen(dataset.categories, vocabulary, config.training_vocabulary)
        try:
            with progress("Segmenting") as bar:
                report = evaluate_dataset(
                    model.network,
                    dataset,
                    vocabulary,
                    settings,
                    groups=groups,
                    workers=workers,
                    shards_dir=out / SHARDS_FOLDER,
                    resume=resume,
                    report=bar,
                )
            diagnosis = None
            if measured.diagnose:
                diagnosis = _diagnose(model, dataset, vocabulary, report.settings, out, workers=workers, resume=resume)
        except KeyboardInterrupt:
            note(f"lexiseg: what is finished lies in {out}; the same command with --resume goes on from there.")
            raise
        if processes.rank() == 0:
            worst, best = report.worst_and_best(SHOWN_SCENES)
            names = [scene.name for scene in (*worst, *best)]
            maps = comparisons(model.network, dataset, vocabulary, report.settings, names)
            about = _about(data, how, dataset.categories, vocabulary) | _cutting(model.network)
            page = write_page(report, diagnosis, worst, best, maps, out, about)
            write_report(report, out, about | ({} if diagnosis is None else {"diagnosis": diagnosis.to_jsonable()}))
            for folder in (SHARDS_FOLDER, DIAGNOSIS_FOLDER):
                shutil.rmtree(out / folder, ignore_errors=True)
            _tell(report, page, renamed(dataset.categories, vocabulary))
            if diagnosis is not None:
                _tell_diagnosis(diagnosis)
        processes.gather(None)  # torchrun stops all others as soon as one ends with a status
        return INCOMPLETE if report.unreadable and processes.rank() == 0 else 0


def _tell_lambda(data: Data, how: Inference, own: Fusion) -> None:
    """Says what OVSeg's authors take for lambda on this data set, where the model takes another."""
    entry = CATALOGUE.get(data.name)
    theirs = CLIP_WEIGHTS.get(entry.vocabulary) if entry is not None else None
    if not isinstance(own, EnsembleConfig) or theirs is None or how.clip_weight is not None or how.clip_only:
        return
    if own.seen_clip_weight is None and own.clip_weight != theirs and processes.rank() == 0:
        note(
            f"lexiseg: OVSeg's authors take lambda {theirs:g} on {data.name}, and this model's own is "
            f"{own.clip_weight:g}: pass --clip-weight {theirs:g} for a figure like theirs."
        )


def _diagnose(
    model: Model,
    dataset: Dataset,
    vocabulary: Vocabulary,
    settings: EvaluationSettings,
    out: Path,
    *,
    workers: int,
    resume: bool,
) -> Diagnosis:
    with progress("Looking for what costs most") as bar:
        return diagnose(
            model.network,
            dataset,
            vocabulary,
            settings,
            workers=workers,
            shards_dir=out / DIAGNOSIS_FOLDER,
            resume=resume,
            report=bar,
        )


def _check(measured: Measured, task: TaskName, *, is_panoptic: bool) -> None:
    """Refuses what the task or the data can't give."""
    if measured.diagnose and not (is_panoptic and task == "panoptic"):
        raise UsageError("a diagnosis is of panoptic quality: leave --diagnose out, or evaluate the panoptic task.")
    if measured.semantic_rule == "soft" and task != "semantic":
        raise UsageError("the soft rule gives classes to pixels: add --task semantic, or leave --semantic-rule out.")


def _about(data: Data, how: Inference, categories: tuple[Category, ...], asked: Vocabulary) -> dict[str, Any]:
    """What was measured, for the report."""
    is_drawn = data.name in DRAWN
    drawn = {"split": data.split or "test", "count": data.count, "seed": data.seed}
    stored = {"root": None if data.root is None else str(data.root), "split": data.split}
    return {
        "data": {"name": data.name, "limit": data.limit, **(drawn if is_drawn else stored)},
        "model": how.model,
        "words": concept_names(categories, asked),
    }


def _cutting(network: OpenVocabularySegmenter) -> dict[str, Any]:
    """How the model cut its crops, for the report, where it cuts any."""
    return {} if network.regions is None else {"crops": to_jsonable(network.regions)}


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
    for skipped in report.unreadable[:SHOWN_SKIPPED]:
        note(f"lexiseg: left out: {skipped.reason}")
    more = len(report.unreadable) - SHOWN_SKIPPED
    if more > 0:
        note(f"lexiseg: left out: {more} more, which {page.name} names.")


def _tell_diagnosis(diagnosis: Diagnosis) -> None:
    for title, rows in diagnosis_tables(diagnosis):
        heading, *body = rows
        show(title, heading, body, right=heading[1:])

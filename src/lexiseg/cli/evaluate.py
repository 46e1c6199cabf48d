"""`lexiseg evaluate`."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from lexiseg.cli.console import FINE, FLAWED, note, progress, resumable, say, show
from lexiseg.cli.options.evaluate import EvaluateOptions
from lexiseg.cli.options.shared import read_optional_vocabulary
from lexiseg.cli.overrides import fusion_for, merge_for, set_regions, set_sides
from lexiseg.core import processes
from lexiseg.core.errors import UsageError
from lexiseg.data.catalogue import CATALOGUE
from lexiseg.data.categories import renamed
from lexiseg.data.dataset import TaskName
from lexiseg.encoders.text import default_cache_dir
from lexiseg.evaluation.diagnosis import Diagnosis, diagnose
from lexiseg.evaluation.evaluator import Comparison, EvaluationInputs, comparisons, open_inputs
from lexiseg.evaluation.measures import measure_of
from lexiseg.evaluation.page import write_page
from lexiseg.evaluation.report import EvaluationSettings, Report
from lexiseg.evaluation.semantic_diagnosis import SemanticDiagnosis, diagnose_semantic
from lexiseg.evaluation.shards import SHARDS_FOLDER
from lexiseg.inference.predictor import load
from lexiseg.inference.visualize import side_by_side
from lexiseg.models.base import OpenVocabularySegmenter
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
        model = load(options.model, device=options.device, precision=options.precision, compile=options.compile)
        network = model.network
        set_regions(network, options)
        set_sides(network, options)
        settings = EvaluationSettings(
            task=options.task,
            semantic_rule=options.semantic_rule,
            negatives=options.negatives,
            fusion=fusion_for(options, network),
            merge=merge_for(options, network.config.merge),
            precision=options.precision,
            limit=options.limit,
            batch_size=options.batch_size,
            cache_dir=default_cache_dir(),
        )
        if options.name in DRAWN:  # all that can be refused is refused before anything is drawn
            _check(options, options.task or DRAWN[options.name].task)
        with progress("Drawing", options.count) as bar:
            inputs = open_inputs(
                network,
                options.name,
                read_optional_vocabulary(options.vocabulary),
                settings,
                model_name=options.model,
                root=options.root,
                split=options.split,
                drawn_in=out / "data",
                count=options.count,
                seed=options.seed,
                as_things=options.crowds_as_things,
                workers=options.workers,
                report=bar,
            )
        dataset, vocabulary = inputs.dataset, inputs.vocabulary
        for sentence in dataset.notes:
            note(f"Note: {sentence}")
        _check(options, measure_of(dataset, inputs.settings.task).name)
        _tell_lambda(options, network)
        with resumable(out):
            with progress("Segmenting") as bar:
                found = inputs.evaluate(
                    workers=options.workers,
                    shards_dir=out / SHARDS_FOLDER,
                    predictions=out if options.save_predictions else None,
                    resume=options.resume,
                    report=bar,
                )
            diagnosis = _diagnose(inputs, found.settings, options) if options.diagnose else None
        if processes.rank() == 0:
            worst, best = found.worst_and_best(SHOWN_SCENES)
            names = [image.name for image in (*worst, *best)]
            maps = comparisons(network, dataset, vocabulary, found.settings, names)
            page = write_page(found, diagnosis, worst, best, maps, out, inputs.about, draw_comparison)
            inputs.write(found, out, **({} if diagnosis is None else {"diagnosis": diagnosis.to_jsonable()}))
            shutil.rmtree(out / DIAGNOSIS_FOLDER, ignore_errors=True)
            _tell(found, diagnosis, page, renamed(dataset.categories, vocabulary))
        processes.gather(None)  # torchrun stops all others as soon as one ends with a status
        return FLAWED if found.unreadable and processes.rank() == 0 else FINE


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
    inputs: EvaluationInputs, settings: EvaluationSettings, options: EvaluateOptions
) -> Diagnosis | SemanticDiagnosis:
    with progress("Looking for what costs most") as bar:
        look = diagnose_semantic if settings.task == "semantic" else diagnose
        return look(
            inputs.network,
            inputs.dataset,
            inputs.vocabulary,
            settings,
            workers=options.workers,
            shards_dir=options.out / DIAGNOSIS_FOLDER,
            resume=options.resume,
            report=bar,
        )


def _check(options: EvaluateOptions, task: TaskName) -> None:
    """Refuses what the task or the data can't give."""
    if options.diagnose and task == "instance":
        raise UsageError("a diagnosis is of PQ or of mIoU: leave --diagnose out, or evaluate another task.")
    if options.save_predictions and task != "panoptic":
        raise UsageError(
            "what is saved are panoptic maps: leave --save-predictions out, or evaluate the panoptic task."
        )
    if options.semantic_rule == "soft" and task != "semantic":
        raise UsageError("the soft rule gives classes to pixels: add --task semantic, or leave --semantic-rule out.")


def _tell(
    found: Report, diagnosis: Diagnosis | SemanticDiagnosis | None, page: Path, other_words: Mapping[str, str]
) -> None:
    heading, *rows = found.table()
    show("In percent", heading, rows, right=heading[1:])
    heading, *rows = found.class_table(SHOWN_CLASSES)
    show("Classes, the best first", heading, rows, right=heading[1:-1])
    for title, (heading, *rows) in () if diagnosis is None else diagnosis.tables():
        show(title, heading, rows, right=heading[1:])
    if other_words:
        say(f"Asked by another name: {', '.join(f'{name} as {word}' for name, word in other_words.items())}.")
    say(
        f"{found.num_pictures} pictures, {found.images_per_second:.1f} per second, {found.settings.task} task; "
        f"weights {found.weights} in {found.settings.precision} on {found.device}. Report: {page}."
    )
    regions = found.regions
    if regions.proposals:
        say(
            f"Of {regions.proposals} proposals CLIP looked at {regions.encoded}; {regions.empty} were empty, and "
            f"{regions.skipped} were left out as no object."
        )
    note_left_out([skipped.reason for skipped in found.unreadable], page.name)


def note_left_out(reasons: list[str], names_all: str) -> None:
    """Tells why pictures were left out; of many, how many more a file names."""
    for reason in reasons[:SHOWN_SKIPPED]:
        note(f"lexiseg: left out: {reason}")
    if (more := len(reasons) - SHOWN_SKIPPED) > 0:
        note(f"lexiseg: left out: {more} more, which {names_all} names.")


def draw_comparison(comparison: Comparison, path: Path) -> None:
    """Draws a picture, its truth and what a model makes of it, side by side."""
    side_by_side(comparison.picture, comparison.truth, comparison.prediction).save(path)

"""`lexiseg score`: files of predictions against files of truth."""

import json
from typing import Any

from lexiseg.cli.console import note, progress, say, show
from lexiseg.cli.options.evaluate import ScorePanopticOptions, ScoreSemanticOptions
from lexiseg.cli.options.shared import read_optional_vocabulary, read_vocabulary
from lexiseg.core.errors import FormatError
from lexiseg.core.files import read_json
from lexiseg.core.tables import percent
from lexiseg.data.categories import vocabulary_categories
from lexiseg.data.formats.coco_panoptic import read_lists, read_panoptic
from lexiseg.evaluation.metrics.panoptic_quality import PanopticQuality, summarise
from lexiseg.evaluation.metrics.semantic_quality import SemanticQuality, summarise_semantic
from lexiseg.evaluation.scoring import LabelCode, score_panoptic, score_semantic, translated


def run_score_panoptic(options: ScorePanopticOptions) -> None:
    """Prints panoptic quality.

    Raises:
        ValueError: if files are missing, contradict each other or are not in format.
    """
    truth, predicted = options.truth, options.predicted
    for path in (truth, predicted):
        if not path.is_file():
            raise FormatError(f"{path}: there is no such file. Name a JSON in COCO panoptic format.")
    true = read_panoptic(truth, images=truth.parent, masks=options.truth_folder, finds_pictures=False)
    content = read_json(predicted)
    found = read_panoptic(
        predicted,
        images=predicted.parent,
        masks=options.predicted_folder,
        categories=true.categories,
        content=content,
    )
    for sentence in (*true.notes, *found.notes):
        note(f"Note: {sentence}")
    found = translated(found, true, *read_lists(predicted, content))
    with progress("Counting", len(true.samples)) as bar:
        quality = summarise(score_panoptic(true, found, workers=options.workers, report=bar), true.categories)
    if options.as_json:
        say(json.dumps(_plain(quality), indent=2))
        return
    rows = [(name, *mean.cells(), str(mean.n)) for name, mean in quality.means.items()]
    rows += [(c.category.name, *c.cells(), "") for c in quality.per_class if c.occurs]
    show("In percent", ("", "PQ", "SQ", "RQ", "classes"), rows, right=("PQ", "SQ", "RQ", "classes"))


def run_score_semantic(options: ScoreSemanticOptions) -> None:
    """Prints mean IoU and its kin.

    Raises:
        ValueError: if files are missing, contradict each other or are not in format.
    """
    vocabulary = read_vocabulary(options.vocabulary)
    categories = vocabulary_categories(vocabulary, range(options.first, options.first + len(vocabulary)))
    unseen = read_optional_vocabulary(options.unseen)
    code = LabelCode(num_classes=len(categories), first=options.first, ignored=options.ignored)
    with progress("Counting") as bar:
        tally = score_semantic(options.truth, options.predicted, code, workers=options.workers, report=bar)
    quality = summarise_semantic(tally, categories, frozenset(() if unseen is None else unseen.names))
    if options.as_json:
        say(json.dumps(quality.to_jsonable(), indent=2, ensure_ascii=False))
        return
    heading = ("", "IoU", "accuracy")
    rows = [(name, *map(percent, figures)) for name, *figures in _semantic_rows(quality)]
    show("In percent", heading, [(*row, "")[:3] for row in rows], right=heading[1:])


def _semantic_rows(quality: SemanticQuality) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = [
        ("mean over classes", quality.miou, quality.mean_accuracy),
        ("mean over pixels", quality.fwiou, quality.pixel_accuracy),
    ]
    if quality.hiou is not None:
        rows += [("seen", quality.miou_seen), ("unseen", quality.miou_unseen), ("harmonic mean", quality.hiou)]
    return rows + [(c.category.name, c.iou, c.accuracy) for c in quality.per_class if c.occurs]


def _plain(quality: PanopticQuality) -> dict[str, object]:
    """Fractions; each class by its category id."""
    return {**quality.to_jsonable(), "per_class": {str(c.category.id): c.to_jsonable() for c in quality.per_class}}

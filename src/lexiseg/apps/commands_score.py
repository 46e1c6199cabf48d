"""`lexiseg score`: files of predictions against files of truth."""

import json
from pathlib import Path

from lexiseg.apps.console import progress, say, show
from lexiseg.data.panoptic_format import read_panoptic
from lexiseg.evaluation.panoptic_quality import PanopticQuality, percent, plain_quality, summarise
from lexiseg.evaluation.scoring import score_panoptic


def run_score_panoptic(
    truth: Path,
    predicted: Path,
    truth_folder: Path | None,
    predicted_folder: Path | None,
    workers: int,
    *,
    as_json: bool,
) -> None:
    """Prints panoptic quality.

    Raises:
        ValueError: if files are missing, contradict each other or are not in format.
    """
    true = read_panoptic(truth, images=truth.parent, masks=truth_folder)
    found = read_panoptic(predicted, images=predicted.parent, masks=predicted_folder, categories=true.categories)
    with progress("Counting", len(true.samples)) as bar:
        quality = summarise(score_panoptic(true, found, workers=workers, report=bar), true.categories)
    if as_json:
        say(json.dumps(_plain(quality), indent=2))
        return
    parts = (("all", quality.all), ("things", quality.things), ("stuff", quality.stuff))
    rows = [(name, *percent(part), str(part.n)) for name, part in parts]
    rows += [(c.category.name, *percent(c), "") for c in quality.per_class if c.tally.count]
    show("In percent", ("", "PQ", "SQ", "RQ", "classes"), rows, right=("PQ", "SQ", "RQ", "classes"))


def _plain(quality: PanopticQuality) -> dict[str, object]:
    """Fractions; each class by its category id."""
    per_class = {str(c.category.id): {"pq": c.pq, "sq": c.sq, "rq": c.rq} for c in quality.per_class}
    return {**plain_quality(quality), "per_class": per_class}

"""The report of an evaluation: figures, and all that is needed to read and repeat them."""

import json
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lexiseg.core.images import printable
from lexiseg.evaluation.panoptic_quality import ClassQuality, PanopticQuality, percent, plain_quality
from lexiseg.evaluation.truths import Skipped
from lexiseg.io.plain import to_plain
from lexiseg.layers.modulation import ModulationConfig
from lexiseg.models.postprocess import MergeConfig

REPORT_FILE = "report.json"
PACKAGES = ("lexiseg", "torch", "transformers", "open_clip_torch", "numpy", "pillow")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """How a model is evaluated; the defaults are the papers' protocol."""

    negatives: bool = False
    """Whether training words that were not asked for compete and become void; the papers have none."""
    modulation: ModulationConfig | None = None
    """How CLIP and query are joined; the model's own if not given."""
    merge: MergeConfig | None = None
    """How masks compete for pixels; the model's own if not given."""
    limit: int | None = None
    """Only the first so many pictures."""
    batch_size: int = 4
    cache_dir: Path | None = None
    """Folder of remembered text embeddings."""

    def __post_init__(self) -> None:
        if self.batch_size < 1 or (self.limit is not None and self.limit < 1):
            raise ValueError(f"batch_size and limit must be positive, got {self.batch_size} and {self.limit}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an evaluation found. Figures are fractions."""

    quality: PanopticQuality
    groups: Mapping[str, PanopticQuality]
    """The same over groups of classes, such as the names that training has not seen."""
    num_pictures: int
    """Pictures that the figures are from."""
    images_per_second: float
    """Over the whole pass: reading, model, merge and counting."""
    unreadable: tuple[Skipped, ...]
    """Pictures that were left out, with the reason."""
    settings: EvaluationSettings
    """With the modulation and the merge that were used."""
    domain_similarity: float
    """s between the asked words and the training vocabulary."""
    versions: Mapping[str, str]
    device: str
    dtype: str
    weights: str
    """Hash of the model's weights."""

    def to_json(self) -> str:
        """The whole report as text; `pq`, `sq` and `rq` over all classes stand at its top level."""
        settings = to_plain(replace(self.settings, cache_dir=None))
        del settings["cache_dir"]  # where words are remembered changes no figure
        document = {
            "pq": self.quality.all.pq,
            "sq": self.quality.all.sq,
            "rq": self.quality.all.rq,
            **plain_quality(self.quality),
            "groups": {name: plain_quality(quality) for name, quality in self.groups.items()},
            "per_class": [_plain_class(c) for c in self.quality.per_class],
            "num_pictures": self.num_pictures,
            "images_per_second": self.images_per_second,
            "unreadable": to_plain(self.unreadable),
            "settings": settings,
            "domain_similarity": self.domain_similarity,
            "versions": dict(self.versions),
            "device": self.device,
            "dtype": self.dtype,
            "weights": self.weights,
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    def table(self, *, per_class: bool = True) -> tuple[tuple[str, ...], ...]:
        """Rows for a terminal, the first one the heading; figures in percent.

        Args:
            per_class: also one row for each class that occurs.
        """
        rows = [("", "PQ", "SQ", "RQ", "classes")]
        for name, quality in (("", self.quality), *self.groups.items()):
            parts = (("all", quality.all), ("things", quality.things), ("stuff", quality.stuff))
            rows += [(f"{name} {part}".strip(), *percent(q), str(q.n)) for part, q in parts]
        if per_class:
            occurring = [c for c in self.quality.per_class if c.tally.count]
            rows += [(c.category.name, *percent(c), "thing" if c.category.is_thing else "stuff") for c in occurring]
        return tuple(rows)


def write_report(report: Report, folder: Path) -> Path:
    """Writes `report.json` into a folder, whole or not at all; an earlier one is replaced.

    Returns:
        The file.

    Raises:
        ValueError: if the folder cannot be written.
    """
    target = folder / REPORT_FILE
    text = report.to_json()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".report-", dir=folder) as partial:
            fresh = Path(partial) / REPORT_FILE
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(target)
    except OSError as error:
        raise ValueError(
            f"{printable(folder)} cannot be written ({error.strerror}); choose another folder for the report."
        ) from error
    return target


def installed_versions() -> dict[str, str]:
    """Python and the packages on which figures may depend."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _plain_class(quality: ClassQuality) -> dict[str, Any]:
    tally = quality.tally
    return {
        "name": quality.category.name,
        "category_id": quality.category.id,
        "is_thing": quality.category.is_thing,
        "pq": quality.pq,
        "sq": quality.sq,
        "rq": quality.rq,
        "tp": tally.tp,
        "fp": tally.fp,
        "fn": tally.fn,
    }

"""The report of an evaluation: figures, and all that is needed to read and repeat them."""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lexiseg.core.devices import Precision
from lexiseg.core.files import write_atomically
from lexiseg.core.structures import RegionCounts
from lexiseg.data.dataset import TaskName
from lexiseg.evaluation.loading import Skipped
from lexiseg.evaluation.measure import Measure
from lexiseg.io.config_json import to_jsonable
from lexiseg.models.base import Fusion, SemanticRule
from lexiseg.models.postprocess.panoptic import MergeConfig

REPORT_FILE = "report.json"
PACKAGES = ("lexiseg", "torch", "transformers", "open_clip_torch", "numpy", "pillow", "pycocotools")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """How a model is evaluated; the defaults are the papers' protocol."""

    task: TaskName | None = None
    """What is measured; what the data set is made for if not given."""
    semantic_rule: SemanticRule | None = None
    """How a semantic task turns masks into classes of pixels; the rule of the model's paper if not given."""
    negatives: bool = False
    """Whether training words that were not asked for compete and become void; the papers have none."""
    fusion: Fusion | None = None
    """How CLIP and query are joined: modulation for an OPSNet, ensemble for an OVSeg; the model's own if not given."""
    merge: MergeConfig | None = None
    """How masks compete for pixels; the model's own if not given."""
    limit: int | None = None
    """Only the first so many pictures."""
    precision: Precision | None = None
    """What the network computes in: float32 if not given, or what a `Model` was loaded with."""
    batch_size: int = 4
    cache_dir: Path | None = None
    """Folder of remembered text embeddings."""

    def __post_init__(self) -> None:
        if self.batch_size < 1 or (self.limit is not None and self.limit < 1):
            raise ValueError(f"batch_size and limit must be positive, got {self.batch_size} and {self.limit}.")


def jsonable_settings(settings: EvaluationSettings) -> dict[str, Any]:
    """All settings that change a figure."""
    plain: dict[str, Any] = to_jsonable(replace(settings, cache_dir=None))
    del plain["cache_dir"]  # where text embeddings are kept changes none
    return plain


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageScore:
    """One picture and how good its prediction is."""

    name: str
    score: float | None
    """The task's own figure of the picture, as a fraction; None where nothing was to be found and nothing was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an evaluation found. Figures are fractions."""

    measure: Measure
    quality: Any
    """Figures over all classes, as `measure` gives them."""
    groups: Mapping[str, Any]
    """The same over groups of classes, such as the names that training has not seen."""
    scores: tuple[ImageScore, ...]
    """Every picture that the figures are from, in the order in which they were counted."""
    images_per_second: float
    """Over the whole pass: reading, model, merge and counting."""
    unreadable: tuple[Skipped, ...]
    """Pictures that were left out, with the reason."""
    settings: EvaluationSettings
    """With the task, the fusion and the merge that were used."""
    domain_similarity: float
    """s between the vocabulary and the training vocabulary."""
    versions: Mapping[str, str]
    device: str
    dtype: str
    weights: str
    """Hash of the model's weights."""
    regions: RegionCounts = field(default_factory=RegionCounts)
    """What was shown to CLIP region by region, by a model that works so."""

    @property
    def num_pictures(self) -> int:
        """Pictures that the figures are from."""
        return len(self.scores)

    def to_jsonable(self) -> dict[str, Any]:
        """The whole report as JSON has it; the main figures over all classes stand at its top level."""
        groups = {name: self.measure.jsonable_figures(q, per_class=False) for name, q in self.groups.items()}
        return {
            **self.measure.jsonable_figures(self.quality, per_class=True),
            "groups": groups,
            "num_pictures": self.num_pictures,
            "images_per_second": self.images_per_second,
            "unreadable": to_jsonable(self.unreadable),
            "scenes": to_jsonable(self.scores),
            "settings": jsonable_settings(self.settings),
            "domain_similarity": self.domain_similarity,
            "versions": dict(self.versions),
            "device": self.device,
            "dtype": self.dtype,
            "weights": self.weights,
            "regions": to_jsonable(self.regions),
        }

    def table(self) -> tuple[tuple[str, ...], ...]:
        """Rows for a terminal, the first one the heading; figures in percent, all classes and then each group."""
        rows = [self.measure.heading, *self.measure.rows(self.quality)]
        for name, quality in self.groups.items():
            rows += [(f"{name} {first}", *rest) for first, *rest in self.measure.rows(quality)]
        return tuple(rows)

    def class_table(self, ends: int | None = None) -> tuple[tuple[str, ...], ...]:
        """Rows of the classes that occur, the best first and the heading before it.

        Args:
            ends: only so many of the best and of the worst, with a row of dots between them.
        """
        shown = self.measure.class_rows(self.quality)
        if ends is not None and len(shown) > 2 * ends:
            shown = [*shown[:ends], ("…", *[""] * (len(shown[0]) - 1)), *shown[-ends:]]
        return ((*self.measure.heading[:-1], "kind"), *shown)

    def worst_and_best(self, number: int) -> tuple[tuple[ImageScore, ...], tuple[ImageScore, ...]]:
        """The pictures with the lowest and the highest scores, none in both."""
        scored = sorted((s for s in self.scores if s.score is not None), key=lambda s: (s.score, s.name))
        worst = tuple(scored[:number])
        return worst, tuple(scored[len(worst) :][-number:][::-1])


def write_report(report: Report, folder: Path, about: Mapping[str, Any] | None = None) -> Path:
    """Writes `report.json` into a folder, whole or not at all; an earlier one is replaced.

    Args:
        report: the figures.
        folder: made if it is missing.
        about: plain data that are added, such as the names of model and data, or a diagnosis.

    Returns:
        The file.

    Raises:
        ValueError: if the folder can't be written.
    """
    target = folder / REPORT_FILE
    document = report.to_jsonable() | dict(about or {})
    write_atomically(target, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
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

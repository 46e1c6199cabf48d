"""What a model in training is measured on now and then: a small data set, by the official rules."""

from dataclasses import dataclass

from lexiseg.core import processes
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Dataset
from lexiseg.evaluation.evaluator import comparisons, evaluate_dataset
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.training.engine.task import Evaluation


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """A data set, what is asked for in it, and how much of it is looked at."""

    data: Dataset
    vocabulary: Vocabulary
    limit: int | None = 500
    """Only the first so many pictures; None: all."""
    num_comparisons: int = 4
    """Pictures that are shown with truth and prediction."""


def evaluate_on(validation: Validation, network: OpenVocabularySegmenter) -> Evaluation:
    """Measures a network as `lexiseg evaluate` does; under torchrun the processes share the pictures."""
    settings = EvaluationSettings(limit=validation.limit)
    report = evaluate_dataset(network, validation.data, validation.vocabulary, settings)
    plain = report.measure.jsonable_figures(report.quality, per_class=True)
    names = [image.name for image in report.scores[: validation.num_comparisons]] if processes.rank() == 0 else []
    return Evaluation(
        figures={name: value for name, value in plain.items() if isinstance(value, float)},
        comparisons=tuple(comparisons(network, validation.data, validation.vocabulary, report.settings, names)),
    )

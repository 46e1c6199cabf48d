"""The contract of a measure: how predictions are compared with annotations, and how figures are reported."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32

from lexiseg.core.frames import Frame
from lexiseg.core.structures import MaskPrediction, PanopticMap, Segment
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import places
from lexiseg.data.dataset import Annotation, Category, Dataset, Loaded, Sample, SegmentInfo, TaskName
from lexiseg.data.id_maps import segments_of
from lexiseg.models.base import SemanticRule
from lexiseg.models.postprocess.panoptic import MergeConfig, panoptic_map


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """A model's prediction for one picture of a batch, with the vocabulary and the settings behind it."""

    prediction: MaskPrediction
    index: int
    frame: Frame
    vocabulary: Vocabulary
    """Thing or stuff as the data set has it."""
    category_ids: tuple[int, ...]
    """The category of each concept."""
    merge: MergeConfig
    semantic_rule: SemanticRule

    @cached_property
    def merged(self) -> PanopticMap:
        """The panoptic map."""
        return panoptic_map(self.prediction, self.index, self.frame, self.vocabulary, self.merge)

    def segment_infos(self, found: PanopticMap) -> list[SegmentInfo]:
        """The segments of a map as a data set lists them."""
        return [
            SegmentInfo(id=s.id, category_id=self.category_ids[s.class_id], area=s.area, box=s.box)
            for s in found.segments
        ]


@runtime_checkable
class Tally(Protocol):
    """Counts that add up over pictures and processes, and are kept on disk as plain data."""

    def __add__(self, other: Any) -> Any: ...

    def to_jsonable(self) -> Any:
        """What JSON can hold."""
        ...

    @staticmethod
    def from_jsonable(content: Any, /) -> Any:
        """The inverse of `to_jsonable`."""
        ...


@dataclass(frozen=True, slots=True)
class Measure(ABC):
    """One task on one data set."""

    dataset: Dataset

    name: ClassVar[TaskName]
    heading: ClassVar[tuple[str, ...]]
    """Names of the figures; the first column, of names, has none."""

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Of the data set, on disk."""
        return self.dataset.samples

    @property
    def categories(self) -> tuple[Category, ...]:
        """Of the data set; their places are the class ids of a semantic task."""
        return self.dataset.categories

    def open(self, sample: Sample) -> Loaded:
        """Reads one sample, with the kind of annotation that the task needs and no other.

        Raises:
            PictureError, FormatError: if it cannot be read.
        """
        loaded = self.dataset.load(sample)
        return replace(loaded, annotation=loaded.annotation.as_kind(self.name, self.categories))

    @abstractmethod
    def zero(self) -> Any:
        """The tally of nothing."""

    @abstractmethod
    def tally(self, answer: Answer, truth: Annotation) -> Any:
        """Counts one picture."""

    @abstractmethod
    def image_score(self, tally: Any) -> float | None:
        """How good one picture's prediction is, as a fraction; None where nothing was to be found and nothing was."""

    @abstractmethod
    def truth_map(self, truth: Annotation) -> PanopticMap:
        """The annotation as a panoptic map, to be drawn."""

    def answer_map(self, answer: Answer) -> PanopticMap:
        """The prediction that is counted, to be drawn; of instances, which may overlap, the merged map."""
        return answer.merged

    @abstractmethod
    def summarise(self, tally: Any, categories: Sequence[Category]) -> Any:
        """Turns counts into figures over some of the classes."""

    def jsonable_figures(self, quality: Any, *, per_class: bool) -> dict[str, Any]:
        """Figures as fractions, for JSON; the main ones at the top level."""
        plain: dict[str, Any] = quality.to_jsonable()
        return plain if per_class else {key: value for key, value in plain.items() if key != "per_class"}

    @abstractmethod
    def rows(self, quality: Any) -> list[tuple[str, ...]]:
        """Figures in percent, for the terminal."""

    def class_rows(self, quality: Any) -> list[tuple[str, ...]]:
        """Every class that occurs, the best first: its name, its figures in percent, thing or stuff."""
        classes = sorted((c for c in quality.per_class if c.occurs), key=lambda c: (-c.main, c.category.name))
        return [(c.category.name, *c.cells(), "thing" if c.category.is_thing else "stuff") for c in classes]


def true_map(ids: Int32[np.ndarray, "H W"], category_ids: Sequence[int], categories: Sequence[Category]) -> PanopticMap:
    """An annotation as a panoptic map in which every name is certain.

    Args:
        ids: segments numbered from 1; 0 is void. Numbers without a pixel are left out.
        category_ids: of the segments, in the order of their numbers.
        categories: of the data set.
    """
    place_of = places(categories)
    segments: list[Segment] = []
    for number, (area, box) in segments_of(ids).items():
        place = place_of[category_ids[number - 1]]
        category = categories[place]
        segments.append(
            Segment(
                id=number, class_id=place, name=category.name, score=1.0, is_thing=category.is_thing, area=area, box=box
            )
        )
    return PanopticMap(segmentation=ids, segments=tuple(segments))

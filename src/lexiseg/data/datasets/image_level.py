"""Data sets that say something of whole pictures: captions, or the classes that a picture shows."""

from dataclasses import dataclass
from pathlib import Path

from lexiseg.data.panoptic_format import Category


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionSample:
    """One picture with what people wrote of it."""

    image_id: int
    file_name: str
    image_path: Path
    captions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionDataset:
    """Pictures with captions, in the order of the JSON."""

    samples: tuple[CaptionSample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSample:
    """One picture with the classes that it shows."""

    file_name: str
    image_path: Path
    labels: tuple[int, ...]
    """Places in the data set's categories; none where people agreed on none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelDataset:
    """Pictures with the classes that they show."""

    categories: tuple[Category, ...]
    samples: tuple[LabelSample, ...]

"""Data sets that say something of whole pictures: captions, or the classes that a picture shows."""

from dataclasses import dataclass
from pathlib import Path

from lexiseg.core.errors import FormatError
from lexiseg.core.messages import shown
from lexiseg.data.formats.coco_panoptic import Category, PanopticDataset


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


def label_dataset(pictures: PanopticDataset) -> LabelDataset:
    """Reads the `labels`, lists of names, that each picture of a JSON may have, as drawn ones do; masks are not opened.

    Raises:
        FormatError: if no picture has labels, or a label is no category.
    """
    places = {category.name: place for place, category in enumerate(pictures.categories)}
    samples = []
    for sample in pictures.samples:
        names = sample.extras.get("labels", ())
        if stranger := next((name for name in names if name not in places), None):
            raise FormatError(
                f"{sample.file_name} is labelled {shown(stranger)}, which is none of the {len(places)} categories: "
                "name it there, or leave the label out."
            )
        samples.append(
            LabelSample(
                file_name=sample.file_name,
                image_path=sample.image_path,
                labels=tuple(places[name] for name in names),
            )
        )
    if not any(sample.labels for sample in samples):
        raise FormatError('no picture has labels: give each entry of the JSON\'s images "labels", a list of names.')
    return LabelDataset(categories=pictures.categories, samples=tuple(samples))

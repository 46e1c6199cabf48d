"""Semantic label maps: one picture of class values per photograph. Nothing here needs torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int32, Integer
from PIL import Image

from lexiseg.core.errors import FormatError
from lexiseg.data.formats.coco_panoptic import Category

IGNORED = -1
"""What `load_labels` says of a pixel without a class."""

Encoding = Literal["grey", "ade-full", "mat"]
"""How a file holds its values: one channel; ADE20K's red and green; a MATLAB matrix `LabelMap`."""

_GREY = ("L", "P", "1", "I", "I;16", "I;16L", "I;16B")  # a palette's values are its indices


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticSample:
    """One picture with its label map, still on disk."""

    file_name: str
    """Unique in the data set, for messages."""
    image_path: Path
    labels_path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticDataset:
    """Categories, samples, and what the values in the label maps mean."""

    categories: tuple[Category, ...]
    """The place in this tuple is the class index of metrics."""
    samples: tuple[SemanticSample, ...]
    class_of: Mapping[int, int]
    """Value in a label map to place in `categories`; every other value is ignored."""
    unseen: frozenset[str] = frozenset()
    """Names of categories that a zero-shot split holds out."""
    encoding: Encoding = "grey"
    ignored: frozenset[int] | None = None
    """The only other values that may occur; None: any."""


def load_labels(sample: SemanticSample, dataset: SemanticDataset) -> Int32[np.ndarray, "H W"]:
    """Loads a label map as places in `dataset.categories`; -1 is ignored.

    Raises:
        FormatError: naming the picture, if its label map is missing, damaged or of another form.
    """
    try:
        values = load_values(sample.labels_path, dataset.encoding)
    except FormatError as error:
        raise FormatError(f"{sample.file_name}: {error}") from error
    places = to_places(values, dataset.class_of)
    if dataset.ignored is not None:
        strange = set(np.unique(values[places < 0]).tolist()) - dataset.ignored
        if strange:
            raise FormatError(
                f"{sample.file_name}: its label map holds {min(strange)}, which is no class. "
                "Name it among the classes, or paint it 255, which is ignored."
            )
    return places


def load_values(path: Path, encoding: Encoding = "grey") -> Integer[np.ndarray, "H W"]:
    """Reads a label map as it stands in the file.

    Raises:
        FormatError: if it is missing, damaged or of another form.
    """
    try:
        if encoding == "mat":
            return _from_matlab(path)
        with Image.open(path) as picture:
            return _from_picture(picture, path, encoding)
    except FormatError:
        raise
    except FileNotFoundError as error:
        raise FormatError(f"{path}: there is no such label map.") from error
    except Exception as error:  # decoders of untrusted bytes raise OSError, SyntaxError, zlib.error, struct.error ...
        raise FormatError(f"{path}: this is no readable label map ({' '.join(str(error).split())}).") from error


def to_places(values: Integer[np.ndarray, "H W"], class_of: Mapping[int, int]) -> Int32[np.ndarray, "H W"]:
    """Replaces each value by its class; -1 where it has none."""
    size = max(class_of, default=0) + 2
    table = np.full(size, IGNORED, np.int32)
    table[list(class_of)] = list(class_of.values())
    # The last place of the table stands for all values beyond it, and for negative ones, which 32-bit files may hold.
    if values.dtype.kind == "i":
        values = np.where(values < 0, size - 1, values)
    return table.take(values, mode="clip")


def _from_picture(picture: Image.Image, path: Path, encoding: Encoding) -> np.ndarray:
    if encoding == "ade-full":
        if picture.mode != "RGB":
            raise FormatError(f"{path}: expected an RGB picture as ADE20K has it, got mode {picture.mode}.")
        channels = np.asarray(picture)
        return channels[..., 0] // 10 * np.uint16(256) + channels[..., 1]
    if picture.mode not in _GREY:
        raise FormatError(
            f"{path}: expected a label map with one value per pixel, got mode {picture.mode}. "
            "Save the classes as an 8-bit or 16-bit grey PNG."
        )
    values = np.asarray(picture)
    return values.astype(np.uint8) if values.dtype == np.bool_ else values


def _from_matlab(path: Path) -> np.ndarray:
    from scipy.io import loadmat  # here, because it costs a quarter of a second that most data sets need not pay

    with path.open("rb") as file:
        content: dict[str, Any] = loadmat(file, variable_names=["LabelMap"])
    values = content.get("LabelMap")
    if values is None:
        raise FormatError(f"{path}: expected a matrix LabelMap, as Pascal Context has it, but there is none.")
    if values.ndim != 2 or values.dtype.kind not in "iu":
        raise FormatError(
            f"{path}: expected LabelMap to be a matrix of whole numbers, got {values.dtype} of shape {values.shape}."
        )
    return values

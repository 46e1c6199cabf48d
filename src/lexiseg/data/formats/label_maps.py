"""Semantic label maps: one picture of class values per photograph. Nothing here needs torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int32, Integer
from PIL import Image

from lexiseg.core.errors import FormatError
from lexiseg.core.files import open_regular
from lexiseg.data.dataset import IGNORED, Annotation, Category, Dataset, Sample
from lexiseg.data.id_maps import compact, decoding

Encoding = Literal["grey", "ade-full", "colours", "mat"]
"""How a file holds its values: one channel; ADE20K's red and green; R + 256 G + 65536 B; a MATLAB matrix `LabelMap`."""

LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif")
MOST_VALUES = 2**17
"""A table of more values than 16 bits have, for colours, would cost more than to look for each."""
_GREY = ("L", "P", "1", "I", "I;16", "I;16L", "I;16B")  # a palette's values are its indices


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMapReader:
    """Reads label maps as places in a data set's categories; the `read` of a semantic `Dataset`."""

    class_of: Mapping[int, int]
    """Value in a label map to place in the categories; every other value is ignored."""
    encoding: Encoding = "grey"
    ignored: frozenset[int] | None = None
    """The only other values that may occur; None: any."""

    def __call__(self, sample: Sample, categories: tuple[Category, ...], strict: bool) -> Annotation:
        """Reads a sample's label map; see `Dataset.annotation`.

        Raises:
            FormatError: naming the picture, if its label map is missing, damaged or of another form.
        """
        assert sample.mask_path is not None, "every sample of this format has its label map"
        try:
            values = load_values(sample.mask_path, self.encoding)
        except FormatError as error:
            raise FormatError(f"{sample.file_name}: {error}") from error
        classes = to_places(values, self.class_of)
        void, counts = np.unique(values[classes < 0], return_counts=True)
        ignored = dict(zip(void.tolist(), counts.tolist(), strict=True))
        if self.ignored is not None:
            strange = ignored.keys() - self.ignored
            if strange:
                is_lossy = sample.mask_path.suffix.lower() in LOSSY
                way_out = (
                    f"{sample.mask_path.name} is a JPEG, which changes values: save maps as PNG."
                    if is_lossy
                    else ("Name it among the classes, or paint it 255, which is ignored.")
                )
                raise FormatError(
                    f"{sample.file_name}: its label map holds {min(strange)}, which is no class. {way_out}"
                )
        return Annotation(sample=sample, semantic=classes, ignored=ignored)


def semantic_dataset(
    categories: tuple[Category, ...],
    samples: tuple[Sample, ...],
    class_of: Mapping[int, int],
    *,
    encoding: Encoding = "grey",
    ignored: frozenset[int] | None = None,
    unseen: frozenset[str] = frozenset(),
) -> Dataset:
    """A data set of label maps.

    Args:
        categories: their places are the class indices of metrics.
        samples: each with a label map.
        class_of: value in a label map to place in the categories; every other value is ignored.
        encoding: how the files hold their values.
        ignored: the only other values that may occur; None: any.
        unseen: names of categories that a zero-shot split holds out.
    """
    read = LabelMapReader(class_of=class_of, encoding=encoding, ignored=ignored)
    return Dataset(categories=categories, samples=samples, kinds=frozenset({"semantic"}), read=read, unseen=unseen)


def load_values(path: Path, encoding: Encoding = "grey") -> Integer[np.ndarray, "H W"]:
    """Reads a label map as it stands in the file.

    Raises:
        FormatError: if it is missing, damaged or of another form.
    """
    with decoding(path, "label map"):
        if encoding == "mat":
            return _from_matlab(path)
        with open_regular(path) as file, Image.open(file) as picture:
            return _from_picture(picture, path, encoding)


def to_places(values: Integer[np.ndarray, "H W"], class_of: Mapping[int, int]) -> Int32[np.ndarray, "H W"]:
    """Replaces each value by its class; -1 where it has none."""
    size = max(class_of, default=0) + 2
    if size > MOST_VALUES:
        return np.array([*class_of.values(), IGNORED], np.int32)[compact(values, list(class_of))]
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
    if encoding == "colours":
        channels = np.asarray(picture.convert("RGB")).astype(np.int32)
        return channels[..., 0] + 256 * channels[..., 1] + 65536 * channels[..., 2]
    if picture.mode not in _GREY:
        raise FormatError(
            f"{path}: expected a label map with one value per pixel, got mode {picture.mode}. "
            "Save the classes as an 8-bit or 16-bit grey PNG."
        )
    values = np.asarray(picture)
    return values.astype(np.uint8) if values.dtype == np.bool_ else values


def _from_matlab(path: Path) -> np.ndarray:
    from scipy.io import loadmat  # here, because it costs a quarter of a second that most data sets need not pay

    with open_regular(path) as file:
        content: dict[str, Any] = loadmat(file, variable_names=["LabelMap"])
    values = content.get("LabelMap")
    if values is None:
        raise FormatError(f"{path}: expected a matrix LabelMap, as Pascal Context has it, but there is none.")
    if values.ndim != 2 or values.dtype.kind not in "iu":
        raise FormatError(
            f"{path}: expected LabelMap to be a matrix of whole numbers, got {values.dtype} of shape {values.shape}."
        )
    return values

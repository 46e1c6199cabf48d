"""How the pictures of published closed-set models are prepared: by their official programs, or their preprocessors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn, cast, get_args

from lexiseg.core.files import read_json_object
from lexiseg.core.frames import LARGEST_SIDE, Resizing
from lexiseg.encoders.colours import IMAGENET, Padding

PREPROCESSOR_FILE = "preprocessor_config.json"
Regime = Literal["official", "published"]
"""As the official program of the training set does, or as transformers does by the folder's preprocessor_config.json.

The files of Mask2Formers on the hub say 384 x 384, whatever the picture's shape, a trace of their conversion: official
results are those of the official sizes.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """How a published model's pictures are resized and padded; sides in pixels."""

    longest_side: int = 1333
    """Longer side, or the most it may have where there is a shorter one."""
    shortest_side: int | None = 800
    padding: Padding = "mean"
    resizing: Resizing = field(default_factory=lambda: Resizing(rule="detectron2"))


_OFFICIAL_SIDES: Mapping[int, tuple[int, int]] = {
    133: (800, 1333),
    80: (800, 1333),  # COCO's
    150: (640, 2560),
    100: (640, 2560),  # ADE20K's
    19: (1024, 2048),
    8: (1024, 2048),  # Cityscapes'
}
"""Shorter and longest test side of the official programs, by the number of classes."""
_AGAIN = "download or copy the folder again"


def read_preparation(folder: Path, *, num_classes: int, regime: Regime = "official") -> Preparation:
    """How the pictures of a folder in transformers' layout are prepared, by its preprocessor_config.json.

    Official sizes are those of the file, if it has a shorter or a longest edge; if it has a square, or is missing,
    those of the official program for so many classes; where there is none, COCO's. An EoMT has no other canvas than the
    one that it was trained with, so for it both regimes are that of its preprocessor.

    Args:
        folder: in transformers' layout.
        num_classes: of the class head, without no-object.
        regime: "official" keeps the aspect ratio and pads to multiples of 32; "published" gives transformers' pixels.

    Raises:
        ValueError: if the file is damaged, or "published" finds none.
    """
    file = folder / PREPROCESSOR_FILE
    if regime == "published" and not file.is_file():
        raise ValueError(f"{folder} has no {PREPROCESSOR_FILE} to prepare pictures by: take the official preparation.")
    document = read_json_object(file, ValueError) if file.is_file() else {}
    model = read_json_object(folder / "config.json", ValueError) if (folder / "config.json").is_file() else {}
    if model.get("model_type") == "eomt":
        return _square_canvas(document, model, file)
    padding, divisor = (
        document.get("padding") or "mean",
        document.get("size_divisor", document.get("size_divisibility")),
    )
    if padding not in get_args(Padding):
        _refuse(file, f"padding must be {' or '.join(get_args(Padding))}, got {padding!r}")
    if divisor is not None and (type(divisor) is not int or not 1 <= divisor <= 256):
        _refuse(file, f"size_divisor must be a whole number up to 256, got {divisor!r}")
    for key, own in (("image_mean", IMAGENET.mean), ("image_std", IMAGENET.std)):
        told = document.get(key, own)
        if not isinstance(told, list | tuple) or len(told) != 3 or any(map(_is_other, told, own)):
            _refuse(file, f"{key} must be ImageNet's {list(own)}, got {told!r}")
    edges = _edges(document)
    fixed = None
    if document.get("padding"):
        resizing = Resizing()  # one of our own trainings
    elif regime == "official":
        resizing = Resizing(rule="detectron2")
    else:
        fixed = None if edges else _checked(document.get("size"), ("height", "width"), file)
        resizing = Resizing(rule="transformers", divisor=divisor or None, fixed=fixed)
    shortest, longest = fixed or edges or _official(num_classes, document)
    sides = [side for side in (shortest, longest) if side is not None]
    if fixed is None and (not _are_sides(sides) or sides != sorted(sides)):
        _refuse(file, f"expected sides of 32 pixels or more, got {shortest!r} and {longest!r}")
    return Preparation(
        longest_side=max(sides) if fixed else longest or max(1333, *sides),
        shortest_side=None if fixed else shortest,
        padding=cast(Padding, padding),
        resizing=resizing,
    )


def _edges(document: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """The shorter and the longest edge that a file has, in the words of any version; None if it has neither."""
    size, longest = document.get("size"), document.get("max_size", document.get("_max_size"))
    if isinstance(size, Mapping):
        known = not {"shortest_edge", "longest_edge"}.isdisjoint(size)
        return (size.get("shortest_edge"), size.get("longest_edge", longest)) if known else None
    return (size, longest) if isinstance(size, int) else None


def _official(num_classes: int, document: Mapping[str, Any]) -> tuple[int, int]:
    """The sides of the official program."""
    longest = document.get("max_size", document.get("_max_size"))
    if (num_classes, longest) == (150, 2048):
        return 512, 2048  # ADE20K's tiny and small semantic models
    return _OFFICIAL_SIDES.get(num_classes, (800, 1333))


def _square_canvas(document: Mapping[str, Any], model: Mapping[str, Any], file: Path) -> Preparation:
    """An EoMT's pictures: the longer side fills a square canvas, and black, which is normalised too, the rest."""
    side = model.get("image_size", 640)
    (canvas, other) = _checked(
        {"height": side, "width": side} if type(side) is int else side, ("height", "width"), file
    )
    if canvas != other:
        _refuse(file, f"an EoMT needs a square canvas, got {canvas} x {other}")
    return Preparation(
        longest_side=canvas,
        shortest_side=canvas,
        padding="black",
        resizing=Resizing(rule="transformers", canvas=canvas),
    )


def _checked(size: Any, keys: tuple[str, str], file: Path) -> tuple[int, int]:
    """Height and width of a mapping."""
    found: list[Any] = [size.get(key) for key in keys] if isinstance(size, Mapping) else [size]
    if len(found) != 2 or not _are_sides(found):
        _refuse(file, f"expected height and width of 32 pixels or more, got {size!r}")
    return found[0], found[1]


def _is_other(told: Any, own: float) -> bool:
    """Whether a number is not the expected one, but for float32's rounding."""
    return not isinstance(told, int | float) or abs(told - own) > 1e-5


def _are_sides(sides: list[Any]) -> bool:
    return bool(sides) and all(type(side) is int and 32 <= side <= LARGEST_SIDE for side in sides)


def _refuse(file: Path, complaint: str) -> NoReturn:
    raise ValueError(f"{file}: {complaint}; {_AGAIN}.")


def preprocessor_json(longest_side: int, padding: Padding) -> str:
    """A preprocessor_config.json; transformers resizes by it too, to multiples of 32, and passes `padding` over."""
    return json.dumps(
        {
            "image_processor_type": "Mask2FormerImageProcessor",
            "size": {"shortest_edge": longest_side, "longest_edge": longest_side},
            "size_divisor": 32,
            "image_mean": IMAGENET.mean,
            "image_std": IMAGENET.std,
            "padding": padding,
        },
        indent=2,
    )

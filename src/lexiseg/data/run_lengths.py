"""Masks as COCO writes them: polygons and run-length codes. pycocotools' mask code is named in this file alone."""

import ast
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool
from pycocotools import mask

from lexiseg.core.errors import FormatError

rle: Any = mask  # its declared types leave out what it takes and gives

TOO_FAR = 10  # a polygon may reach this many picture sides; tracing one costs time in proportion to its length

ROUNDING = 1e-9
"""Up to which share of its box a polygon has no area."""

NO_POLYGON = "a polygon must be a list of x and y of three points or more"


def pixels_of(counts: str, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """The pixels of a compressed run-length code that covers the picture of that height and width."""
    height, width = size
    runs = _runs_of(counts) or [height * width]
    # Runs go down the columns, and every second one is inside.
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def area_of(counts: str, size: tuple[int, int]) -> int:
    """The pixels that a compressed run-length code covers."""
    return int(rle.area({"size": list(size), "counts": counts}))


def encode(pixels: Bool[np.ndarray, "H W"]) -> str:
    """The compressed run-length code of a mask."""
    return rle.encode(np.asfortranarray(pixels, np.uint8))["counts"].decode("ascii")


def code_of(where: str, segmentation: Any, size: tuple[int, int]) -> str:
    """Any of COCO's three ways to write a mask, as compressed code that is safe to hand on.

    Args:
        where: picture and object, for messages.
        segmentation: polygons, or a run-length code, compressed or not.
        size: height and width of the picture in pixels.

    Raises:
        FormatError: if it is none of them, or does not fit the picture.
    """
    height, width = size
    if problem := problem_of_mask(segmentation, size):
        raise FormatError(f"{where}: {problem}.")
    if isinstance(segmentation, Mapping):
        counts = segmentation["counts"]
        if not isinstance(counts, str | bytes):
            return rle.frPyObjects({"size": [height, width], "counts": counts}, height, width)["counts"].decode("ascii")
        counts = counts if isinstance(counts, str) else counts.decode("ascii", "replace")
        counts = _text_of_bytes(counts) if is_text_of_bytes(counts) else counts
        # pycocotools trusts what it gets: a wrong code makes it write beyond its memory.
        runs = _runs_of(counts)
        if runs is None or any(run < 0 for run in runs) or sum(runs) != height * width:
            raise FormatError(f"{where}: {_uncovered(size)}.")
        return counts
    reach = TOO_FAR * max(size)
    if any(abs(x) > reach for polygon in segmentation for x in polygon):
        raise FormatError(f"{where}: {NO_POLYGON}, near the picture.")
    return rle.merge(rle.frPyObjects(segmentation, height, width))["counts"].decode("ascii")


def mended_mask(segmentation: Any, size: tuple[int, int] | None, *, may_be_flat: bool = True) -> tuple[Any, str]:
    """A mask that `code_of` takes, of one as tools write it, and no problem; or what objects with such a mask have.

    Polygons that are none are dropped beside others, and one polygon may stand without a list around it.

    Args:
        segmentation: polygons, a run-length code, or nothing.
        size: height and width of the picture in pixels; None if only the picture knows.
        may_be_flat: takes polygons without an area, which it need not look for then.
    """
    if isinstance(segmentation, Mapping) and segmentation:
        own = segmentation.get("size")
        height, width = size or (own if isinstance(own, list) and len(own) == 2 else (0, 0))
        if own not in ([height, width], (height, width)):
            return None, "have a run-length code of another size than their picture"
        unusable = problem_of_mask(segmentation, (height, width))
        return segmentation, "have a run-length code that does not cover their picture" if unusable else ""
    if not isinstance(segmentation, list) or not any(segmentation):
        return None, "have no outline, but a box alone or nothing"
    polygons: list[Any] = [segmentation] if is_finite(segmentation) else segmentation
    whole = [polygon for polygon in polygons if _is_polygon(polygon)]
    if not whole:
        is_short = all(isinstance(polygon, list) and len(polygon) < 6 for polygon in polygons)
        return None, f"have a polygon {'of fewer than three points' if is_short else 'that is no list of x and y'}"
    if not may_be_flat and all(map(_is_flat, whole)):
        return None, "have a flat polygon, without an area"
    return whole, ""


def problem_of_mask(segmentation: object, size: tuple[int, int]) -> str:
    """What is wrong with a mask in any of COCO's three ways, or nothing; quick, as data sets have millions.

    Whether compressed code covers the picture, and polygons lie near it, shows in `code_of`.
    """
    if isinstance(segmentation, Mapping):
        if tuple(segmentation.get("size", ())) != size:
            got = segmentation.get("size")
            return f"the RLE is of size {got}, but the picture is {size[0]} x {size[1]}: its size must be {list(size)}"
        counts, uncovered = segmentation.get("counts"), _uncovered(size)
        if isinstance(counts, str | bytes) and counts:
            return ""
        if not isinstance(counts, list) or not all(type(run) is int and run >= 0 for run in counts):
            return f"{uncovered}: its counts must be text, or a list of numbers that are not negative"
        pixels = size[0] * size[1]
        return "" if sum(counts) == pixels else f"{uncovered}: it has {sum(counts)} pixels, not {pixels}"
    if not isinstance(segmentation, list) or not segmentation:
        return f"a mask must be polygons or a run-length code, got {type(segmentation).__name__}"
    return "" if all(map(_is_polygon, segmentation)) else NO_POLYGON


def is_text_of_bytes(counts: object) -> bool:
    """Whether a code is what Python prints of its bytes, in which no code has quotes: b'...'."""
    return isinstance(counts, str) and counts[:2] in ("b'", 'b"')


def _text_of_bytes(counts: str) -> str:
    try:
        return ast.literal_eval(counts).decode("ascii", "replace")
    except (ValueError, SyntaxError):
        return counts


def _is_polygon(polygon: object) -> bool:
    return isinstance(polygon, list) and len(polygon) >= 6 and not len(polygon) % 2 and is_finite(polygon)


def _is_flat(polygon: list[float]) -> bool:
    """Whether the shoelace formula gives nothing, up to rounding."""
    xs, ys = polygon[::2], polygon[1::2]
    box = (max(xs) - min(xs)) * (max(ys) - min(ys))
    corners = zip(xs, ys[-1:] + ys[:-1], ys[1:] + ys[:1], strict=True)
    return abs(math.fsum(x * (after - before) for x, before, after in corners)) <= ROUNDING * box


def _uncovered(size: tuple[int, int]) -> str:
    return f"the run-length code does not cover the {size[0]} x {size[1]} pixels"


def is_finite(numbers: Sequence[Any]) -> bool:
    """Whether all are numbers, and none is infinite or NaN; the sum says so at once."""
    try:
        return math.isfinite(math.fsum(numbers))
    except (TypeError, ValueError, OverflowError):
        return False


def _runs_of(text: str) -> list[int] | None:
    """The run lengths of a compressed code, None if it is none.

    Every character holds five bits, low ones first, and one that says whether more follow; from the third run on,
    the difference to the run before the last is coded.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            return None
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            if shift > 60:
                return None
            continue
        if code & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return None if shift else runs

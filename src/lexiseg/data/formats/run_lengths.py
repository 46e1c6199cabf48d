"""Masks as COCO writes them: polygons and run-length codes. pycocotools' mask code is named in this file alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool
from pycocotools import mask

from lexiseg.core.errors import FormatError

rle: Any = mask  # its declared types leave out what it takes and gives

TOO_FAR = 10  # a polygon may reach this many picture sides; tracing one costs time in proportion to its length


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
    if isinstance(segmentation, Mapping):
        if tuple(segmentation.get("size", ())) != size:
            raise FormatError(
                f"{where}: the mask is of size {segmentation.get('size')}, but the picture is {height} x {width} "
                "(height x width)."
            )
        counts: Any = segmentation.get("counts")
        if isinstance(counts, bytes):
            counts = counts.decode("ascii", "replace")
        runs: Any = _runs_of(counts) if isinstance(counts, str) else counts
        # pycocotools trusts what it gets: a wrong code makes it write beyond its memory.
        is_whole = isinstance(runs, list) and all(type(run) is int and run >= 0 for run in runs)
        if not is_whole or sum(runs) != height * width:
            raise FormatError(f"{where}: the run-length code does not cover the {height} x {width} pixels.")
        if isinstance(counts, str):
            return counts
        return rle.frPyObjects({"size": [height, width], "counts": runs}, height, width)["counts"].decode("ascii")
    if not isinstance(segmentation, list) or not segmentation:
        raise FormatError(f"{where}: a mask must be polygons or a run-length code, got {type(segmentation).__name__}.")
    reach = TOO_FAR * max(size)
    for polygon in segmentation:
        is_polygon = isinstance(polygon, list) and len(polygon) >= 6 and len(polygon) % 2 == 0
        if not is_polygon or not all(isinstance(x, int | float) and abs(x) <= reach for x in polygon):
            raise FormatError(
                f"{where}: a polygon must be a list of x and y of three points or more, near the picture."
            )
    return rle.merge(rle.frPyObjects(segmentation, height, width))["counts"].decode("ascii")


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

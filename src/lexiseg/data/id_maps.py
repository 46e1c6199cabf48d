"""Maps of segment ids: PNG in and out, compact numbering, areas and boxes in one pass."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Int, Int32, Integer
from PIL import Image

from lexiseg.core.errors import FormatError
from lexiseg.core.files import open_regular

VOID = 0
MAX_ID = 256**3 - 1

Box = tuple[int, int, int, int]


@contextmanager
def decoding(path: Path, what: str) -> Generator[None, None, None]:
    """Turns whatever goes wrong while the map in a file is decoded into a sentence that calls it `what`.

    Raises:
        FormatError: if the file is missing or damaged.
    """
    try:
        yield
    except FormatError:
        raise
    except FileNotFoundError as error:
        raise FormatError(f"{path}: there is no such {what}.") from error
    except Exception as error:  # decoders of untrusted bytes raise OSError, SyntaxError, zlib.error, struct.error ...
        raise FormatError(f"{path}: this is no readable {what} ({' '.join(str(error).split())}).") from error


def load_ids(path: Path) -> Int32[np.ndarray, "H W"]:
    """Reads an id PNG.

    Raises:
        FormatError: if the file is missing, no picture, or neither RGB nor RGBA.
    """
    with decoding(path, "segmentation"), open_regular(path) as file, Image.open(file) as picture:
        if picture.format in ("JPEG", "MPO"):
            raise FormatError(f"{path}: a JPEG changes segment ids, so they are lost. Save ids as PNG.")
        if picture.mode not in ("RGB", "RGBA"):
            raise FormatError(
                f"{path}: expected an RGB picture of segment ids, got mode {picture.mode}. "
                "Save ids as R + 256 G + 65536 B."
            )
        # PIL's padded RGBX is one 32-bit word per pixel, so ids come out by a mask alone.
        return np.asarray(picture.convert("RGBA")).view("<i4")[..., 0] & np.int32(MAX_ID)


def save_ids(file: Path | BytesIO, ids: Integer[np.ndarray, "H W"]) -> None:
    """Writes an id PNG, the inverse of `load_ids`.

    Raises:
        ValueError: if an id is negative or does not fit in 24 bits.
    """
    if ids.size and (ids.min() < 0 or ids.max() > MAX_ID):
        raise ValueError(f"segment ids must lie in 0 to {MAX_ID}, got {ids.min()} to {ids.max()}. Renumber them.")
    channels = ids.astype("<u4").view(np.uint8).reshape(*ids.shape, 4)[..., :3]
    Image.fromarray(np.ascontiguousarray(channels)).save(file, format="PNG")


def compact(
    ids: Integer[np.ndarray, "*shape"], known: Sequence[int] | Int[np.ndarray, " N"]
) -> Int32[np.ndarray, "*shape"]:
    """Replaces each id by its place in `known`; -1 where an id is not in it.

    Args:
        ids: non-negative ids.
        known: distinct non-negative ids.
    """
    known = np.asarray(known, dtype=np.int64)
    if not ids.size or not known.size:
        return np.full(ids.shape, -1, np.int32)
    size = max(int(ids.max()), int(known.max())) + 1
    if size <= ids.size:
        table = np.zeros(size, np.int32)
        table[known] = np.arange(1, len(known) + 1)
        return table[ids] - 1
    # Ids have 24 bits: a table of all that there may be would cost more than a search among the few there are.
    order = np.argsort(known).astype(np.int32)
    places = order[np.searchsorted(known[order], ids).clip(max=len(known) - 1)]
    return np.where(known[places] == ids, places, np.int32(-1))


def run_lengths(
    *maps: Integer[np.ndarray, "H W"],
) -> tuple[tuple[Integer[np.ndarray, " R"], ...], Int[np.ndarray, " R"]]:
    """Cuts maps of one size, read row by row, into runs in which none of them changes.

    Returns:
        The value of each map in every run, and the pixels of every run, which sum to H W.
    """
    flat = [np.ravel(one) for one in maps]
    changes = flat[0][1:] != flat[0][:-1]
    for other in flat[1:]:
        changes |= other[1:] != other[:-1]
    pixels = flat[0].size
    starts = np.concatenate([np.zeros(min(1, pixels), np.int64), np.flatnonzero(changes) + 1])
    return tuple(one[starts] for one in flat), np.diff(starts, append=pixels)


def segments_of(ids: Integer[np.ndarray, "H W"]) -> dict[int, tuple[int, Box]]:
    """Measures every segment of a map at once: id to (area, box), void left out, ascending ids."""
    (values,), _ = run_lengths(ids)
    known = np.unique(values)
    known = known[known != VOID]
    places = compact(ids, known) + 1  # 0 is void
    height, width = ids.shape
    size = len(known) + 1
    rows = np.bincount((places * height + np.arange(height)[:, None]).ravel(), minlength=size * height)
    columns = np.bincount((places * width + np.arange(width)).ravel(), minlength=size * width)
    rows, columns = rows.reshape(size, height)[1:], columns.reshape(size, width)[1:]
    measured = {}
    for name, row, column in zip(known.tolist(), rows, columns, strict=True):
        (ys,), (xs,) = row.nonzero(), column.nonzero()
        box = int(xs[0]), int(ys[0]), int(xs[-1] - xs[0] + 1), int(ys[-1] - ys[0] + 1)
        measured[name] = int(row.sum()), box
    return measured

"""Simple copy-paste: things of one annotated picture are pasted into another."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int32, UInt8
from PIL import Image

PASTED = 0.5
"""How probably each thing of a donor is taken."""
PASTED_SCALES = (0.7, 1.4)
"""How much larger or smaller what is pasted gets, relative to the picture's size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueSegment:
    """One annotated segment under a training vocabulary."""

    id: int
    """Value of its pixels in the id map; positive."""
    class_id: int | None
    """None: it has no class, and its pixels are ignored."""
    is_thing: bool
    is_crowd: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedImage:
    """One picture with its truth, both at the picture's own size."""

    picture: UInt8[np.ndarray, "h0 w0 3"]
    ids: Int32[np.ndarray, "h0 w0"]
    segments: tuple[TrueSegment, ...]


def paste_things(target: AnnotatedImage, donor: AnnotatedImage, generator: torch.Generator) -> AnnotatedImage:
    """Pastes some things of another picture in, as they stand to one another, at a place and size of their own.

    "Simple copy-paste" (Ghiasi et al., CVPR 2021, section 3): hard edges, no regard to what would suit the place. What
    they cover is hidden; a segment that is covered whole stays in the list without a pixel.

    Args:
        target: what they are pasted into; not changed.
        donor: its crowds, its stuff and what has no class stay behind.
        generator: the only source of randomness.
    """
    things = [s for s in donor.segments if s.is_thing and not s.is_crowd and s.class_id is not None]
    taken = (torch.rand(len(things), generator=generator) < PASTED).tolist()
    scale_draw, row_draw, column_draw, flip_draw = torch.rand(4, generator=generator).tolist()
    first = 1 + max((segment.id for segment in target.segments), default=0)
    pasted = [segment for segment, is_taken in zip(things, taken, strict=True) if is_taken]
    fresh = np.zeros_like(donor.ids)
    for number, segment in enumerate(pasted, start=first):
        fresh[donor.ids == segment.id] = number
    if not fresh.any():
        return target
    rows, columns = (np.flatnonzero(fresh.any(axis)) for axis in (1, 0))
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    low, high = PASTED_SCALES
    scale = max(target.ids.shape) / max(donor.ids.shape) * (low + (high - low) * scale_draw)
    height, width = (max(1, round((part.stop - part.start) * scale)) for part in window)
    patch = np.asarray(Image.fromarray(donor.picture[window]).resize((width, height), Image.Resampling.BILINEAR))
    cut = np.asarray(Image.fromarray(fresh[window]).resize((width, height), Image.Resampling.NEAREST))
    if flip_draw < 0.5:
        patch, cut = patch[:, ::-1], cut[:, ::-1]
    top = int(row_draw * target.ids.shape[0]) - height // 2
    left = int(column_draw * target.ids.shape[1]) - width // 2
    there, here = zip(
        _overlap(top, height, target.ids.shape[0]), _overlap(left, width, target.ids.shape[1]), strict=True
    )
    is_cut = cut[here] > 0
    picture, ids = target.picture.copy(), target.ids.copy()
    picture[there][is_cut] = patch[here][is_cut]
    ids[there][is_cut] = cut[here][is_cut]
    numbered = (replace(segment, id=number) for number, segment in enumerate(pasted, start=first))
    return AnnotatedImage(picture=picture, ids=ids, segments=(*target.segments, *numbered))


def _overlap(start: int, length: int, limit: int) -> tuple[slice, slice]:
    """Where a stretch that begins at `start` meets [0, limit): in the limit's numbers, and in its own."""
    low, high = max(0, start), min(limit, start + length)
    return slice(low, high), slice(low - start, high - start)

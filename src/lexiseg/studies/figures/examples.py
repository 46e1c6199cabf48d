"""Pictures that Figures 3 and 5 show as examples: which ones, which of their segments, and the model's own masks."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from scipy import ndimage

from lexiseg.inference.palette import RGB
from lexiseg.studies.figures.drawing import SERIES
from lexiseg.studies.figures.picture_rows import Note, PictureRow
from lexiseg.studies.figures.segments import Seen

FEWEST_MASKS, SHOWN_SEGMENTS = 3, 4
"""Of a picture: segments that the model must have masks of, and those that are shown."""


def is_worth_showing(seen: Seen, *, is_drawn: bool) -> bool:
    """Whether the model has masks of three segments or more; of a drawn scene, one of a thing that is not annotated."""
    found = [s.id for s, query in zip(seen.shown.segments, seen.queries, strict=True) if query is not None]
    return len(found) >= FEWEST_MASKS and not (is_drawn and seen.shown.strangers.keys().isdisjoint(found))


def shown_share(share: float) -> str:
    """A share in [0, 1] with two digits."""
    return f"{share:.2f}" if share >= 0.005 else "< 0.01"


def most_telling(seen: Seen, most: int = SHOWN_SEGMENTS) -> list[int]:
    """Segments that the model has a mask of: those outside the annotation first, then the largest."""
    found = [place for place, query in enumerate(seen.queries) if query is not None]
    segments = seen.shown.segments
    found.sort(key=lambda place: (segments[place].id not in seen.shown.strangers, -segments[place].area, place))
    return found[:most]


def picture_row(seen: Seen, chosen: Sequence[int], notes: tuple[Note, ...], caption: str) -> PictureRow:
    """A picture, the model's masks of some segments, numbered from 1, and what is said of them."""
    queries = [query for place in chosen if (query := seen.queries[place]) is not None]
    logits = seen.own.proposals.mask_logits[0, queries]
    masks = [(seen.frame.leave(one.float()[None])[0] >= 0).numpy() for one in logits]
    colours = SERIES[: len(masks)]
    marked = tuple(
        (1, *deepest(mask), str(number), colour)
        for number, (mask, colour) in enumerate(zip(masks, colours, strict=True), start=1)
    )
    painted = with_masks(seen.shown.picture, masks, colours)
    return PictureRow(
        pictures=(seen.shown.picture, painted),
        captions=(caption, "The model's own masks"),
        notes=notes,
        marked=marked,
    )


def deepest(mask: Bool[np.ndarray, "H W"]) -> tuple[float, float]:
    """The point of a mask that is farthest from its edge: across and down, in [0, 1]."""
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(mask, 1)))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return (float(column) + 0.5) / mask.shape[1], (float(row) + 0.5) / mask.shape[0]


def with_masks(
    picture: UInt8[np.ndarray, "H W 3"],
    masks: Sequence[Bool[np.ndarray, "H W"]],
    colours: Sequence[RGB],
    side: int = 480,
) -> UInt8[np.ndarray, "H2 W2 3"]:
    """The picture in grey, and masks in colours with bright edges, about `side` pixels wide."""
    zoom = max(1, side // picture.shape[1])
    size = picture.shape[1] * zoom, picture.shape[0] * zoom
    colourful = Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.BICUBIC)
    grey = colourful.convert("L").point([96 + value * 5 // 8 for value in range(256)]).convert("RGB")
    for mask, colour in zip(masks, colours, strict=True):
        soft = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BICUBIC)
        solid = np.asarray(soft) >= 128
        rim = solid & np.logical_not(ndimage.binary_erosion(solid, iterations=max(2, zoom), border_value=1))
        tinted = Image.blend(colourful, Image.new("RGB", size, colour), 0.3)
        grey.paste(tinted, mask=Image.fromarray(solid.astype(np.uint8) * 255))
        grey.paste(colour, mask=Image.fromarray(rim.astype(np.uint8) * 255))
    return np.asarray(grey)

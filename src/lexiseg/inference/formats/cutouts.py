"""Cut-outs: each segment as a picture of its own, transparent around it, and a list of them."""

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from lexiseg.core.structures import Segment
from lexiseg.inference.formats.format import NamedResult, Run, encoded

CUTOUTS = "cutouts"
LONGEST_WORD = 40
"""Letters of a word in the name of a file."""


def cutouts_files(named: NamedResult) -> dict[str, bytes]:
    """An RGBA PNG per segment, cropped to its box; what does not belong to it is black and transparent."""
    result = named.result
    files = {}
    for segment in result.segments:
        x, y, width, height = segment.box
        crop = np.s_[y : y + height, x : x + width]
        inside = (result.segmentation[crop] == segment.id)[..., None]
        rgba = np.where(inside, np.dstack([result.picture[crop], np.full((height, width), 255, np.uint8)]), np.uint8(0))
        files[_name(named, segment)] = encoded(Image.fromarray(rgba))
    return files


def cutouts_entry(named: NamedResult) -> list[dict[str, Any]]:
    """What each cut-out shows, and where it was."""
    return [
        {"file": _name(named, segment).partition("/")[2], "picture": named.picture}
        | {"name": segment.name, "score": round(segment.score, 4), "box": list(segment.box)}
        for segment in named.result.segments
    ]


def cutouts_document(run: Run) -> Iterator[str]:
    """The text of the list, a line of JSON for each."""
    return (json.dumps(one) + "\n" for picture in run.pictures() for one in picture.entries[CUTOUTS])


def _name(named: NamedResult, segment: Segment) -> str:
    word = re.sub(r"[^\w-]+", "-", segment.name)[:LONGEST_WORD].strip("-")
    return f"{CUTOUTS}/{named.stem}.{segment.id}{f'-{word}' if word else ''}.png"

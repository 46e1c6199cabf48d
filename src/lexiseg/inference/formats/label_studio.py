"""Label Studio: a task per picture with a brush mask per segment, to be corrected there, and the labels of a project.

A brush mask is a run-length code packed in bits (https://github.com/thi-ng/umbrella, rle-pack) of the picture's bytes
as a browser has them, row by row, four a pixel: 32 bits say how many bytes there are, 5 how many bits a value has,
less one, and four times 4 bits the same of four lengths. Then comes a bit, 1 for a run, two bits that choose one of the
lengths, the run's length in so many bits, less one, and the value.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np
from jaxtyping import Bool
from PIL import Image

from lexiseg.core.files import file_mode, real
from lexiseg.core.picture_files import SUFFIXES
from lexiseg.data.id_maps import run_lengths
from lexiseg.inference.addresses import is_address, name_of
from lexiseg.inference.formats.format import NamedResult, Run, data_address, hexadecimal, json_list, word_colours

LABEL_STUDIO = "label-studio"
CONTROL, PICTURE = "label", "image"
"""Names of the two parts of a project that a task refers to."""
CHANNELS, VALUE_BITS = 4, 8
LENGTH_BITS = (3, 4, 8, 16)
"""Those that Label Studio writes."""
SHOWN = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".avif")
"""Of pictures that browsers show; of others, a JPEG stands in the task."""
SERVED = "/data/local-files/?d="
"""Where Label Studio shows files of its own machine, by their path below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT."""


def label_studio_entry(named: NamedResult) -> dict[str, Any]:
    """A task with one prediction."""
    result = named.result
    height, width = result.segmentation.shape
    regions = [
        {
            "id": f"segment-{segment.id}",
            "type": "brushlabels",
            "from_name": CONTROL,
            "to_name": PICTURE,
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {
                "format": "rle",
                "rle": list(brush_code(result.segmentation == segment.id)),
                "brushlabels": [segment.name],
            },
            "score": round(segment.score, 4),
        }
        for segment in result.segments
    ]
    return {"data": {PICTURE: _address(named)}, "predictions": [{"model_version": "lexiseg", "result": regions}]}


def tasks_document(run: Run) -> Iterator[str]:
    """The text of the tasks, for Label Studio's import."""
    return json_list(picture.entries[LABEL_STUDIO] for picture in run.pictures())


def labels_document(run: Run) -> Iterator[str]:
    """The text of the labelling configuration, which the project needs first."""
    yield f'<View>\n  <Image name="{PICTURE}" value="${PICTURE}" zoom="true"/>\n'
    yield f'  <BrushLabels name="{CONTROL}" toName="{PICTURE}">\n'
    words = run.categories.words
    for word, colour in zip(words, word_colours(words), strict=True):
        yield f'    <Label value={quoteattr(word)} background="{hexadecimal(colour)}"/>\n'
    yield "  </BrushLabels>\n</View>\n"


def brush_code(mask: Bool[np.ndarray, "H W"]) -> bytes:
    """The packed run-length code of a mask."""
    (values,), lengths = run_lengths(mask.astype(np.uint8))
    bits = [f"{mask.size * CHANNELS:032b}{VALUE_BITS - 1:05b}", *(f"{length - 1:04b}" for length in LENGTH_BITS)]
    for value, pixels in zip(values.tolist(), lengths.tolist(), strict=True):
        left = pixels * CHANNELS
        while left:
            run = min(left, 1 << LENGTH_BITS[-1])
            choice = next(n for n, length in enumerate(LENGTH_BITS) if run <= 1 << length)
            bits.append(f"1{choice:02b}{run - 1:0{LENGTH_BITS[choice]}b}{255 * value:08b}")
            left -= run
    return np.packbits(np.frombuffer("".join(bits).encode("ascii"), np.uint8) - ord("0")).tobytes()


def _address(named: NamedResult) -> str:
    """Where Label Studio finds the picture: on the web, in a file of its machine, or in the task itself."""
    place = named.path or named.picture
    suffix = Path(name_of(place) if is_address(place) else place).suffix.lower()
    is_shown = suffix not in SUFFIXES or suffix in SHOWN
    if is_shown and is_address(place):
        return place
    if is_shown and file_mode(Path(place)):
        return SERVED + quote(real(Path(place)).as_posix().lstrip("/"), errors="surrogateescape")
    return data_address(Image.fromarray(named.result.picture), "JPEG", quality=90)

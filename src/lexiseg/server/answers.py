"""What a picture's segments look like as JSON, as a map of ids, and as an archive of files."""

import base64
import io
import json
import zipfile
from typing import Any

import numpy as np
from PIL import Image

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.inference.result import Result

JSON, PNG, ZIP = MEDIA_TYPES = ("application/json", "image/png", "application/zip")
"""Of an answer; the first is the default."""


def media_type_of(accept: str) -> str:
    """The media type that a client likes best; the default where it names none of them."""
    best = 0.0, JSON
    for entry in accept.split(","):
        name, _, parameters = entry.partition(";")
        weight = parameters.replace(" ", "").lower().partition("q=")[2].partition(";")[0] or "1"
        is_known = name.strip().lower() in MEDIA_TYPES and weight.replace(".", "", 1).isdecimal()
        if is_known and float(weight) > best[0]:
            best = float(weight), name.strip().lower()
    return best[1]


def words_to_jsonable(vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """The words of a vocabulary as they were read, in order."""
    return [
        {"name": name, "synonyms": concept.synonyms, "is_thing": concept.is_thing, "path": concept.path}
        for name, concept in zip(vocabulary.names, vocabulary.concepts, strict=True)
    ]


def as_json(result: Result, **about: Any) -> bytes:
    """The segments with their words and the map of ids.

    Args:
        result: the answer.
        about: what else is told, first.
    """
    found = result.to_jsonable()
    size = {name: found.pop(name) for name in ("width", "height")}
    id_map = base64.b64encode(id_map_png(result.segmentation)).decode()
    words = words_to_jsonable(result.vocabulary)
    return json.dumps(about | size | found | {"words": words, "id_map": id_map}).encode()


def id_map_png(ids: np.ndarray) -> bytes:
    """A PNG whose pixels are ids of segments, R + 256 G + 65536 B; 0 is void.

    Args:
        ids: int32 (H, W), in [0, 2**24).
    """
    channels = np.ascontiguousarray(ids.astype("<u4").view(np.uint8).reshape(*ids.shape, 4)[..., :3])
    buffer = io.BytesIO()
    Image.fromarray(channels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def as_zip(files: dict[str, bytes]) -> bytes:
    """An archive of files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()

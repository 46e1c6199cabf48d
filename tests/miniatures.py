"""Data sets of a few tiny pictures, written in the layouts in which they are published."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.id_maps import save_ids, segments_of

HEIGHT, WIDTH = 6, 8


def rows(*values: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A map in horizontal bands of the values, from the top."""
    bands = np.array_split(np.arange(height), len(values))
    out = np.zeros((height, width), np.int64)
    for value, band in zip(values, bands, strict=True):
        out[band] = value
    return out


def put_picture(path: Path, *, height: int = HEIGHT, width: int = WIDTH) -> Path:
    """A picture of noise, in the format of its name's end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(str(path))).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def put_grey(path: Path, values: np.ndarray, *, bits: int = 8) -> Path:
    """A map of one channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8 if bits == 8 else np.uint16)).save(path)
    return path


def put_palette(path: Path, values: np.ndarray) -> Path:
    """A map whose values are indices of a palette, as Pascal VOC has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values.astype(np.uint8)).convert("P")
    picture.putdata(values.astype(np.uint8).ravel().tolist())
    picture.putpalette([channel for i in range(256) for channel in (i, 255 - i, i * 7 % 256)])
    picture.save(path)
    return path


def put_rgb(path: Path, red: np.ndarray, green: np.ndarray, blue: int = 0) -> Path:
    """A picture of two channels that mean something."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = np.stack([red, green, np.full_like(red, blue)], axis=-1)
    Image.fromarray(channels.astype(np.uint8)).save(path)
    return path


def put_ids(path: Path, ids: np.ndarray) -> Path:
    """An id PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_ids(path, ids)
    return path


def put_json(path: Path, content: Any) -> Path:
    """A JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def put_text(path: Path, text: str) -> Path:
    """A list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


NO_THINGS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
"""Of the numbers 1 to 90 those that COCO never used."""
MERGED_FROM = 184
STUFF = (
    *(92, 93, 95, 100, 107, 109, 112, 118, 119, 122, 125, 128, 130, 133, 138, 141, 144, 145, 147, 148, 149, 151),
    *(154, 155, 156, 159, 161, 166, 168, 171, 175, 176, 177, 178, 180, 181, *range(MERGED_FROM, 201)),
)
"""Numbers of COCO panoptic's stuff; from 184 on several classes of COCO-Stuff are merged in one."""


def coco_categories() -> list[dict[str, Any]]:
    """The 133 categories of a COCO panoptic JSON: 80 things, then 53 stuff, under COCO's names and numbers."""
    numbers = [*(n for n in range(1, 91) if n not in NO_THINGS), *STUFF]
    names = [concept.names[-1] for concept in Vocabulary.of("coco").concepts]
    return [
        {"id": number, "name": name, "isthing": int(number < STUFF[0])}
        for number, name in zip(numbers, names, strict=True)
    ]


def put_coco_sample(root: Path) -> Path:
    """Two pictures as the sample data of COCO's panoptic API lie: a JSON, its PNGs and the pictures."""
    categories = coco_categories()
    images, annotations = [], []
    for number, painted in (
        (8, {7_234_567: 1, 5: 18, 260: 187, 70_000: 193, 16_777_215: 3}),
        (9, {1: 44, 2: 200, 66_051: 92, 12: 1, 9: 119}),
    ):
        ids = rows(0, *painted, height=24, width=20)
        put_picture(root / f"input_images/{number:012d}.jpg", height=24, width=20)
        put_ids(root / f"panoptic_examples/{number:012d}.png", ids)
        images.append({"id": number, "file_name": f"{number:012d}.jpg", "height": 24, "width": 20})
        segments = [
            {"id": i, "category_id": painted[i], "area": area, "bbox": list(box), "iscrowd": int(i == 12)}
            for i, (area, box) in segments_of(ids).items()
        ]
        annotations.append({"image_id": number, "file_name": f"{number:012d}.png", "segments_info": segments})
    put_json(root / "panoptic_examples.json", {"images": images, "annotations": annotations, "categories": categories})
    return root

"""Data sets of a few tiny pictures, written in the layouts in which they are published."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lexiseg.data.id_maps import save_ids

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

"""Batching: pictures of any sizes, resized and padded to one tensor."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch.nn import functional as F

from lexiseg.core.frames import OWN_RESIZING, Frame, Resizing
from lexiseg.core.structures import ImageBatch

BAND = 2**18
"""Pixels of a picture that become floating point together: 3 MiB."""


def to_image_batch(
    pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    *,
    longest: int,
    shortest: int | None = None,
    stride: int = 32,
    resizing: Resizing = OWN_RESIZING,
) -> ImageBatch:
    """Resizes every picture to the same longer (or shorter) side and pads all of them to one common canvas.

    Args:
        pictures: RGB, uint8 (H, W, 3), as `open_picture` returns them; at least one.
        longest: the longer side after resizing, in pixels; at most so many where `shortest` is given.
        shortest: the shorter side after resizing, in pixels.
        stride: height and width of the canvas are multiples of it, in pixels.
        resizing: how sides are rounded and pixels resized.

    Returns:
        float32 values in [0, 1] on the CPU; `frames[i].padded` is the common canvas, so that
        `leave` finds the way back from the batch's masks.

    Raises:
        ValueError: if there is no picture, or a size is not positive.
    """
    if not pictures:
        raise ValueError("a batch needs at least one picture, got none.")
    frames = [
        Frame.fit(
            (picture.shape[0], picture.shape[1]), longest=longest, shortest=shortest, stride=stride, resizing=resizing
        )
        for picture in pictures
    ]
    canvas = max(frame.padded[0] for frame in frames), max(frame.padded[1] for frame in frames)
    frames = [replace(frame, padded=canvas) for frame in frames]
    pixel_values = torch.stack(
        [
            frame.enter(_resized(picture, frame.resized, resizing))
            for frame, picture in zip(frames, pictures, strict=True)
        ]
    )
    # Antialiasing weights add up to one only within rounding.
    return ImageBatch(pixel_values=pixel_values.clamp_(0, 1), frames=tuple(frames))


def _resized(picture: np.ndarray, size: tuple[int, int], resizing: Resizing) -> Float[torch.Tensor, "3 _ _"]:
    """Values in [0, 1], as large as the rule's program makes them; "own" leaves the rest, or all, to the frame.

    A copy where the array is read-only or strided backwards.
    """
    is_resized = picture.shape[:2] != size
    if is_resized and resizing.rule == "detectron2":
        picture = np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BILINEAR))
    owned = torch.from_numpy(np.require(picture, requirements=["C", "W"])).permute(2, 0, 1)
    if is_resized and resizing.rule == "transformers":
        owned = F.interpolate(owned[None], size, mode="bilinear", antialias=True, align_corners=False)[0]
    rows = max(1, BAND // owned.shape[2])
    if not is_resized or resizing.rule != "own" or rows >= owned.shape[1]:
        return _to_unit(owned)
    # torch resizes columns before rows: so does this, but all of the picture is never there in floating point.
    bands = [
        F.interpolate(_to_unit(band)[None], (band.shape[1], size[1]), mode="bilinear", antialias=True)[0]
        for band in owned.split(rows, dim=1)
    ]
    return torch.cat(bands, dim=1)


def _to_unit(values: UInt8[torch.Tensor, "3 _ _"]) -> Float[torch.Tensor, "3 _ _"]:
    """Bytes as numbers in [0, 1]."""
    return values.to(torch.float32).div_(255)

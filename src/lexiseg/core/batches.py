"""Batching: pictures of any sizes, resized and padded to one tensor."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import UInt8

from lexiseg.core.frames import Frame
from lexiseg.core.structures import ImageBatch


def to_image_batch(
    pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]], *, longest: int, shortest: int | None = None, stride: int = 32
) -> ImageBatch:
    """Resizes every picture to the same longer (or shorter) side and pads all of them to one common canvas.

    Args:
        pictures: RGB, uint8 (H, W, 3), as `open_picture` returns them; at least one.
        longest: the longer side after resizing, in pixels; at most so many where `shortest` is given.
        shortest: the shorter side after resizing, in pixels.
        stride: height and width of the canvas are multiples of it, in pixels.

    Returns:
        float32 values in [0, 1] on the CPU; `frames[i].padded` is the common canvas, so that
        `leave` finds the way back from the batch's masks.

    Raises:
        ValueError: if there is no picture, or a size is not positive.
    """
    if not pictures:
        raise ValueError("a batch needs at least one picture, got none.")
    frames = [
        Frame.fit((picture.shape[0], picture.shape[1]), longest=longest, shortest=shortest, stride=stride)
        for picture in pictures
    ]
    canvas = max(frame.padded[0] for frame in frames), max(frame.padded[1] for frame in frames)
    frames = [replace(frame, padded=canvas) for frame in frames]
    pixel_values = torch.stack(
        [frame.enter(_to_tensor(picture)) for frame, picture in zip(frames, pictures, strict=True)]
    )
    # Antialiasing weights add up to one only within rounding.
    return ImageBatch(pixel_values=pixel_values.clamp_(0, 1), frames=tuple(frames))


def _to_tensor(picture: np.ndarray) -> torch.Tensor:
    """Channels first, in [0, 1]; a copy where the array is read-only or strided backwards."""
    owned = np.require(picture, requirements=["C", "W"])
    return torch.from_numpy(owned).permute(2, 0, 1).to(torch.float32).div_(255)

"""Resize, crop, flip and pad of a picture and its id map, in one view drawn from a seed."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32, UInt8
from torch import Tensor

from lexiseg.core.frames import Frame

MASK_STRIDE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """How pictures enter the network; the defaults change nothing but the size."""

    image_size: int
    """Longer side of the network's input in pixels."""
    stride: int = 32
    """The padded size is a multiple of this; itself a multiple of 4, the stride of masks."""
    flip_probability: float = 0.0
    """How often a picture is mirrored."""
    scale_range: tuple[float, float] = (1.0, 1.0)
    """Large-scale jitter: the size is multiplied by a factor from this range. What is then larger
    than `image_size` is cropped, what is smaller is padded."""
    has_fixed_canvas: bool = False
    """Pads every view to `image_size` on both sides, so that all batches have one shape (Mask2Former's FixedSizeCrop;
    its padding is grey, ours black, as at inference). If not, to the next multiple of `stride`."""
    jitters_colour: bool = False
    """SSD's colour jitter, as `data.samples.colour_jitter` has it (MaskFormer)."""

    def __post_init__(self) -> None:
        low, high = self.scale_range
        if self.image_size < 1 or self.stride < MASK_STRIDE or self.stride % MASK_STRIDE:
            raise ValueError(
                f"image_size must be positive and stride a multiple of {MASK_STRIDE}, "
                f"got {self.image_size} and {self.stride}."
            )
        if self.has_fixed_canvas and self.image_size % self.stride:
            raise ValueError(
                f"a fixed canvas needs an image_size that is a multiple of the stride {self.stride}, "
                f"got {self.image_size}."
            )
        if not 0 <= self.flip_probability <= 1 or not 0 < low <= high:
            raise ValueError(
                "flip_probability must lie in 0 to 1 and scale_range be positive and ascending, "
                f"got {self.flip_probability} and {self.scale_range}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A window of a picture, mirrored or not, and the frame in which it enters the network."""

    top: int
    left: int
    """Corner of the window in the picture's own pixels."""
    is_flipped: bool
    frame: Frame
    """Its `original` is the window."""


def draw_view(size: tuple[int, int], framing: Framing, generator: torch.Generator) -> View:
    """Draws a view of a picture.

    Without jitter the window is the whole picture and the frame equals `Frame.fit`.

    Args:
        size: height and width of the picture.
        framing: what may vary.
        generator: the only source of randomness; always gives four numbers, whatever varies.
    """
    scale_draw, top_draw, left_draw, flip_draw = torch.rand(4, generator=generator).tolist()
    low, high = framing.scale_range
    limit, longest = framing.image_size, max(size)
    scale = limit / longest * (low + (high - low) * scale_draw)
    height, width = (max(1, min(side, round(limit / scale))) for side in size)
    resized = (max(1, min(limit, round(height * scale))), max(1, min(limit, round(width * scale))))
    stride = framing.stride
    padded = -(-resized[0] // stride) * stride, -(-resized[1] // stride) * stride
    if framing.has_fixed_canvas:
        padded = limit, limit
    return View(
        top=int(top_draw * (size[0] - height + 1)),
        left=int(left_draw * (size[1] - width + 1)),
        is_flipped=flip_draw < framing.flip_probability,
        frame=Frame(original=(height, width), resized=resized, padded=padded),
    )


def view_picture(picture: UInt8[np.ndarray, "h0 w0 3"], view: View) -> Float[Tensor, "3 H W"]:
    """Shows the window of an RGB picture on the padded canvas, in [0, 1]; padding is 0."""
    height, width = view.frame.original
    window = picture[view.top : view.top + height, view.left : view.left + width]
    if view.is_flipped:
        window = window[:, ::-1]
    pixels = torch.from_numpy(np.ascontiguousarray(window)).permute(2, 0, 1).float() / 255
    # Weights of an antialiased resize add up to one only within rounding.
    return view.frame.enter(pixels).clamp_(0, 1)


def view_ids(ids: Int32[np.ndarray, "h0 w0"], view: View) -> tuple[Int32[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Shows the window of an id map at stride 4 of the canvas.

    Each cell takes the id of the picture's pixel nearest to its centre. A majority vote would eat
    poles and wires that are thinner than a cell; a sample keeps every segment's expected area.

    Returns:
        The ids, 0 outside the picture; and which cells lie inside it.
    """
    frame = view.frame
    rows, row_inside = _sample(frame.original[0], frame.resized[0], frame.padded[0])
    columns, column_inside = _sample(frame.original[1], frame.resized[1], frame.padded[1])
    if view.is_flipped:
        columns = frame.original[1] - 1 - columns
    inside = row_inside[:, None] & column_inside[None]
    seen = ids[view.top + rows[:, None], view.left + columns[None]]
    return np.where(inside, seen, 0).astype(np.int32), inside


def _sample(original: int, resized: int, padded: int) -> tuple[np.ndarray, np.ndarray]:
    """Along one axis: for each cell the pixel under its centre, and whether there is one."""
    centres = MASK_STRIDE * np.arange(padded // MASK_STRIDE) + MASK_STRIDE / 2
    # A sliver thinner than half a cell would lose its only row; its first cell always counts.
    inside = (centres < resized) | (np.arange(len(centres)) == 0)
    return np.minimum(centres * original // resized, original - 1).astype(np.int64), inside

"""SSD's colour jitter (Liu et al., 2016), as MaskFormer and Mask2Former train their semantic models with it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

PROBABILITY = 0.5
"""Of each of the four changes."""
BRIGHTNESS = 32 / 255
"""Largest step up or down, of values in [0, 1]."""
CONTRAST = SATURATION = (0.5, 1.5)
HUE = 0.1
"""Largest turn in either direction, of a full circle; OpenCV's 18 of 180."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourChange:
    """One drawn change; the defaults change nothing."""

    brightness: float = 0.0
    """Added to all values."""
    contrast: float = 1.0
    """Multiplies all values."""
    saturation: float = 1.0
    """Multiplies the saturation."""
    hue: float = 0.0
    """Turns the hue by this share of a full circle."""
    contrast_first: bool = True
    """Whether contrast comes before saturation and hue, or behind them; between the two, values are clipped."""


def draw_colours(generator: torch.Generator) -> ColourChange:
    """Draws a change; always takes nine numbers from the generator, its only source of randomness."""
    happens = (torch.rand(4, generator=generator) < PROBABILITY).tolist()
    brightness, contrast, saturation, hue, order = torch.rand(5, generator=generator).tolist()
    return ColourChange(
        brightness=BRIGHTNESS * (2 * brightness - 1) if happens[0] else 0.0,
        contrast=CONTRAST[0] + (CONTRAST[1] - CONTRAST[0]) * contrast if happens[1] else 1.0,
        saturation=SATURATION[0] + (SATURATION[1] - SATURATION[0]) * saturation if happens[2] else 1.0,
        hue=HUE * (2 * hue - 1) if happens[3] else 0.0,
        contrast_first=order < 0.5,
    )


def change_colours(pixels: Float[Tensor, "3 H W"], change: ColourChange) -> Float[Tensor, "3 H W"]:
    """Applies a change to RGB values in [0, 1]; they stay in that range."""
    if change.brightness:
        pixels = (pixels + change.brightness).clamp(0, 1)
    if change.contrast_first and change.contrast != 1:
        pixels = (pixels * change.contrast).clamp(0, 1)
    if change.saturation != 1 or change.hue:
        pixels = _shift(pixels, change.saturation, change.hue)
    if not change.contrast_first and change.contrast != 1:
        pixels = (pixels * change.contrast).clamp(0, 1)
    return pixels


def _shift(pixels: Float[Tensor, "3 H W"], saturation: float, hue: float) -> Float[Tensor, "3 H W"]:
    """Scales the saturation and turns the hue of the HSV hexcone; the value, the largest of the three, stays."""
    value, chroma = pixels.amax(0), pixels.amax(0) - pixels.amin(0)
    red, green, blue = pixels
    over = chroma.clamp(min=1e-8)  # grey has no hue, and its chroma of 0 gives it none back
    sextant = torch.where(
        value == red,
        (green - blue) / over,
        torch.where(value == green, (blue - red) / over + 2, (red - green) / over + 4),
    )
    chroma = torch.minimum(chroma * saturation, value)
    turned = torch.tensor([5.0, 3.0, 1.0])[:, None, None] + sextant + 6 * hue
    place = turned.remainder(6)
    return (value - chroma * torch.minimum(place, 4 - place).clamp(0, 1)).clamp(0, 1)

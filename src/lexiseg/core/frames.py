"""Frames: how a picture is resized and padded for a network, and the inverse."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.checks import check_choices

LARGEST_SIDE = 16_384
"""No network here sees pictures of longer sides, in pixels."""
ResizingRule = Literal["own", "detectron2", "transformers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resizing:
    """How a picture becomes as large as it should be: pixels, rounding of sides, and shape; raises ValueError.

    The default is that of our trainings. `divisor`, `fixed` and `canvas` are those of transformers' preprocessors.
    """

    rule: ResizingRule = "own"
    """"own" resizes in floating point and rounds sides to the nearest number; "detectron2", as the official programs of
    Mask2Former and FC-CLIP do, resizes 8-bit values by Pillow and rounds to int(x + 0.5); "transformers" resizes 8-bit
    values by torch, which differs from Pillow by one level at some pixels, and truncates the longer side."""
    divisor: int | None = None
    """Both sides are resized up to a multiple of it, so that the aspect ratio is kept only nearly."""
    fixed: tuple[int, int] | None = None
    """Height and width of every picture, whatever its shape."""
    canvas: int | None = None
    """Least side of the canvas, in pixels; a square one where it is the longer side too (EoMT)."""

    def __post_init__(self) -> None:
        check_choices(self, rule=ResizingRule)
        sides = [self.divisor, self.canvas, *(self.fixed or ())]
        if any(side is not None and not 1 <= side <= LARGEST_SIDE for side in sides):
            raise ValueError(f"divisor, fixed and canvas must lie between 1 and {LARGEST_SIDE} pixels, got {sides}.")

    def sides(self, original: tuple[int, int], longest: int, shortest: int | None) -> tuple[int, int]:
        """Height and width of a picture once it is resized, in pixels."""
        height, width = self.fixed or self._sides(original, longest, shortest)
        if self.divisor is not None:
            height, width = (-(-side // self.divisor) * self.divisor for side in (height, width))
        return max(1, height), max(1, width)

    def _sides(self, original: tuple[int, int], longest: int, shortest: int | None) -> tuple[int, int]:
        """Likewise, before anything is done about the shape."""
        short, long = min(original), max(original)
        if self.rule == "own" or shortest is None:
            scale = longest / long if shortest is None else min(longest / long, shortest / short)
            new_short, new_long = (
                (round(short * scale), round(long * scale))
                if self.rule == "own"
                else (int(short * scale + 0.5), longest)
            )
        elif self.rule == "detectron2":
            scale = shortest / short
            new = float(shortest), scale * long
            if new[1] > longest:
                new = new[0] * (longest / new[1]), new[1] * (longest / new[1])
            new_short, new_long = int(new[0] + 0.5), int(new[1] + 0.5)
        else:
            exact = longest * float(short) / long if long / short * shortest > longest else None
            new_short = shortest if exact is None else round(exact)
            new_long = long if short == new_short else int((exact or shortest) * long / short)
        return (new_short, new_long) if original[0] <= original[1] else (new_long, new_short)


OWN_RESIZING = Resizing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A picture of `original` size, resized to `resized`, in the top left corner of a canvas of `padded` size.

    All sizes are (height, width) in pixels.
    """

    original: tuple[int, int]
    resized: tuple[int, int]
    padded: tuple[int, int]

    @staticmethod
    def fit(
        original: tuple[int, int],
        *,
        longest: int,
        shortest: int | None = None,
        stride: int = 32,
        resizing: Resizing = OWN_RESIZING,
    ) -> "Frame":
        """The frame whose longer side has `longest` pixels, padded up to a multiple of `stride`.

        Args:
            original: height and width of the picture, both positive.
            longest: the longer side after resizing; the aspect ratio is kept, the shorter side is at least 1.
            shortest: where given, the shorter side has so many pixels, unless the longer one would pass `longest`.
            stride: the coarsest stride of the network.
            resizing: how sides are rounded, and other shapes than the picture's own.

        Raises:
            ValueError: if a size is not positive.
        """
        height, width = original
        if min(height, width, longest, stride, longest if shortest is None else shortest) < 1:
            raise ValueError(
                f"sizes must be positive, got {original}, longest {longest}, shortest {shortest}, stride {stride}."
            )
        resized = resizing.sides(original, longest, shortest)
        least = resizing.canvas or 1
        rows, columns = (-(-max(side, least) // stride) * stride for side in resized)
        return Frame(original=original, resized=resized, padded=(rows, columns))

    def enter(self, picture: Float[Tensor, "C h0 w0"]) -> Float[Tensor, "C H W"]:
        """Resizes (bilinear, antialiased) and pads with zeros on the right and below."""
        if tuple(picture.shape[-2:]) != self.resized:
            picture = F.interpolate(picture[None], self.resized, mode="bilinear", antialias=True, align_corners=False)[
                0
            ]
        bottom, right = self.padded[0] - self.resized[0], self.padded[1] - self.resized[1]
        return F.pad(picture, (0, right, 0, bottom))

    def leave(self, logits: Float[Tensor, "C h w"]) -> Float[Tensor, "C h0 w0"]:
        """Brings maps at any stride of the padded canvas back to the picture's own pixels (bilinear)."""
        inside = self.unpad(logits)
        if self.resized == self.original:
            return inside
        return F.interpolate(inside[None], self.original, mode="bilinear", align_corners=False)[0]

    def unpad(self, logits: Float[Tensor, "C h w"]) -> Float[Tensor, "C h1 w1"]:
        """Brings maps at any stride of the padded canvas to the pixels of the resized picture (bilinear)."""
        if tuple(logits.shape[-2:]) != self.padded:
            logits = F.interpolate(logits[None], self.padded, mode="bilinear", align_corners=False)[0]
        return logits[:, : self.resized[0], : self.resized[1]]

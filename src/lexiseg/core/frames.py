"""Frames: how a picture is resized and padded for a network, and the inverse."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A picture of `original` size, resized to `resized`, in the top left corner of a canvas of `padded` size.

    All sizes are (height, width) in pixels.
    """

    original: tuple[int, int]
    resized: tuple[int, int]
    padded: tuple[int, int]

    @staticmethod
    def fit(original: tuple[int, int], *, longest: int, shortest: int | None = None, stride: int = 32) -> "Frame":
        """The frame whose longer side has `longest` pixels, padded up to a multiple of `stride`.

        Args:
            original: height and width of the picture, both positive.
            longest: the longer side after resizing; the aspect ratio is kept, the shorter side is at least 1.
            shortest: where given, the shorter side has so many pixels, unless the longer one would pass `longest`.
            stride: the coarsest stride of the network.

        Raises:
            ValueError: if a size is not positive.
        """
        height, width = original
        if min(height, width, longest, stride, longest if shortest is None else shortest) < 1:
            raise ValueError(
                f"sizes must be positive, got {original}, longest {longest}, shortest {shortest}, stride {stride}."
            )
        scale = longest / max(height, width)
        if shortest is not None:
            scale = min(scale, shortest / min(height, width))
        resized = max(1, round(height * scale)), max(1, round(width * scale))
        padded = -(-resized[0] // stride) * stride, -(-resized[1] // stride) * stride
        return Frame(original=original, resized=resized, padded=padded)

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
        canvas = logits
        if tuple(logits.shape[-2:]) != self.padded:
            canvas = F.interpolate(logits[None], self.padded, mode="bilinear", align_corners=False)[0]
        inside = canvas[:, : self.resized[0], : self.resized[1]]
        if self.resized == self.original:
            return inside
        return F.interpolate(inside[None], self.original, mode="bilinear", align_corners=False)[0]

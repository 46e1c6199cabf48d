"""Colour normalisation of published networks."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

Padding = Literal["black", "mean"]
"""What pictures are padded with: black, or every network's own mean colour, which is zero once it is normalised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourScale:
    """Mean and standard deviation of a network's training images, RGB in [0, 1]."""

    mean: tuple[float, float, float]
    """The colour that is normalised to exactly 0."""
    std: tuple[float, float, float]

    def normalise(self, pixel_values: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """Normalises RGB in [0, 1]: subtracts the mean, divides by the standard deviation."""
        mean, std = (pixel_values.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (pixel_values - mean) / std


CLIP = ColourScale(mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711))
HALF = ColourScale(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""The scale of SigLIP, and of one of LAION's ViT-L-14."""
IMAGENET = ColourScale(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""The scale of Mask2Former and MaskFormer."""

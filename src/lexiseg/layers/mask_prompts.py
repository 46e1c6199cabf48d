"""Mask prompts: learned tokens for the background of a masked crop (OVSeg, section 3.3), and its alternatives."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

PROMPT_STD = 0.02
"""Standard deviation of the initial prompts (OVSeg, section 4.1 and appendix A.4)."""


def background_patches(masks: Bool[Tensor, "M S S"], patch_size: int) -> Bool[Tensor, "M L"]:
    """The patches without a single pixel of the region, 1 - m_p of OVSeg with m_p = ceil(avgpool(mask)).

    Args:
        masks: true on the region; S is a multiple of the patch size.
        patch_size: side of a patch in pixels.

    Returns:
        True where a patch is all background; patches row by row, as the patch embedding orders them.
    """
    side = masks.shape[-1] // patch_size
    return ~masks.unflatten(2, (side, patch_size)).unflatten(1, (side, patch_size)).any(4).any(2).flatten(1)


class MaskPrompts(nn.Module):
    """OVSeg's mask prompts: one learned token per layer and patch position, shared by all pictures.

    They replace the tokens of background patches before each of the first `depth` blocks. With a single position, one
    token is used for every background patch ("mask token").
    """

    def __init__(self, depth: int, positions: int, width: int) -> None:
        """Draws the prompts from N(0, 0.02).

        Args:
            depth: blocks whose inputs have prompts; the first one's stand in the patch embedding.
            positions: patches of a crop, or 1.
            width: E, the width of the image tower's tokens.
        """
        super().__init__()
        self.prompt_embed = nn.Parameter(torch.empty(depth, positions, width))
        nn.init.normal_(self.prompt_embed, std=PROMPT_STD)

    def forward(
        self, layer: int, tokens: Float[Tensor, "M L2 E"], background: Bool[Tensor, "M L"] | None
    ) -> Float[Tensor, "M L2 E"]:
        """X^d = T * m_p + P^d * (1 - m_p); the tokens unchanged from layer `depth` on.

        Args:
            layer: d, from 0: the input of block d + 1, and for 0 the patch embedding.
            tokens: the last L are the patches; what stands before them, the class token, is never replaced.
            background: the patches to replace; None replaces none.
        """
        if background is None or layer >= len(self.prompt_embed):
            return tokens
        start = tokens.shape[1] - background.shape[1]
        prompts = self.prompt_embed[layer].to(tokens.dtype)
        return torch.cat([tokens[:, :start], torch.where(background[..., None], prompts, tokens[:, start:])], dim=1)


class PixelPrompt(nn.Module):
    """A learned picture behind the region, in normalised colours."""

    def __init__(self, image_size: int) -> None:
        """Draws the picture from N(0, 0.02): close to the mean colour, which is zero."""
        super().__init__()
        self.prompt_embed = nn.Parameter(torch.empty(3, image_size, image_size))
        nn.init.normal_(self.prompt_embed, std=PROMPT_STD)

    def forward(
        self, normalised: Float[Tensor, "M 3 S S"], masks: Bool[Tensor, "M S S"] | None
    ) -> Float[Tensor, "M 3 S S"]:
        """Puts the learned picture where the mask is false; None replaces nothing."""
        return normalised if masks is None else torch.where(masks[:, None], normalised, self.prompt_embed)


class VisualPrompts(nn.Module):
    """Visual prompt tuning (Jia et al. 2022, VPT-deep): further tokens behind the class token, independent of the mask.

    They are inserted into the first block's input and replaced by fresh ones in the next `depth` - 1 blocks' inputs;
    later blocks process them like any token. Compared with mask prompts in OVSeg, appendix A.6.
    """

    def __init__(self, depth: int, num_tokens: int, width: int) -> None:
        """Draws the prompts from N(0, 0.02).

        Args:
            depth: blocks whose inputs have prompts of their own.
            num_tokens: prompts per block.
            width: E, the width of the image tower's tokens.
        """
        super().__init__()
        self.prompt_embed = nn.Parameter(torch.empty(depth, num_tokens, width))
        nn.init.normal_(self.prompt_embed, std=PROMPT_STD)

    def forward(self, layer: int, tokens: Float[Tensor, "M L E"]) -> Float[Tensor, "M L2 E"]:
        """Inserts (layer 0) or replaces the prompts of a block's input, class token first."""
        depth, num_tokens, _ = self.prompt_embed.shape
        if layer >= depth:
            return tokens
        prompts = self.prompt_embed[layer].to(tokens.dtype).expand(len(tokens), -1, -1)
        return torch.cat([tokens[:, :1], prompts, tokens[:, 1 if layer == 0 else 1 + num_tokens :]], dim=1)


Prompts = MaskPrompts | PixelPrompt | VisualPrompts

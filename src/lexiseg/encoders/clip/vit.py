"""CLIP with a Vision Transformer: one embedding per masked crop, with mask prompts (OVSeg, section 3.3)."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import open_clip
import torch
from jaxtyping import Bool, Float
from open_clip.model import CLIPVisionCfg
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from lexiseg.core.checks import check_multiples
from lexiseg.encoders import colours
from lexiseg.encoders.clip.base import OpenClip, resize_positions, text_sizes
from lexiseg.layers.mask_prompts import MaskPrompts, PixelPrompt, Prompts, VisualPrompts, background_patches

VOCABULARY_SIZE = 49408
"""Rows of CLIP's token table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptConfig:
    """Prompts that are learned beside a frozen CLIP; raises ValueError for a depth or number that the kind lacks."""

    kind: Literal["mask", "token", "pixel", "visual"]
    """"mask": OVSeg's mask prompts, a token per position; "token": one token for all background patches; "pixel": a
    picture behind the region; "visual": VPT's further tokens, independent of the mask."""
    depth: int = 1
    """Blocks whose inputs have prompts of their own; 1 for "token" and "pixel"."""
    num_tokens: int = 0
    """Further tokens per block, for "visual" only."""

    def __post_init__(self) -> None:
        if self.depth < 1 or (self.depth > 1 and self.kind in ("token", "pixel")):
            raise ValueError(f"expected a depth of 1, or more for mask and visual prompts, got {self}.")
        if self.num_tokens < 0 or (self.num_tokens > 0) != (self.kind == "visual"):
            raise ValueError(f"expected num_tokens above 0 for visual prompts and 0 for all others, got {self}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class VitConfig:
    """Sizes of a CLIP with a Vision Transformer of OpenAI's kind; the defaults are ViT-B/16.

    Raises ValueError if a size is no multiple of its parts, or prompts are deeper than the image tower.
    """

    embed_dim: int = 512
    width: int = 768
    """E, the width of the image tower's tokens."""
    layers: int = 12
    head_width: int = 64
    patch_size: int = 16
    image_size: int = 224
    """Side of the square input in pixels."""
    mlp_ratio: float = 4.0
    text_width: int = 512
    text_heads: int = 8
    text_layers: int = 12
    context_length: int = 77
    quick_gelu: bool = False
    prompts: PromptConfig | None = None
    colour_scale: Literal["clip", "half"] = field(default="clip", repr=False)
    """What the image tower was trained with; no part of the repr, as the text tower does not depend on it."""

    def __post_init__(self) -> None:
        check_multiples(self, image_size="patch_size", width="head_width", text_width="text_heads")
        if self.prompts is not None and self.prompts.depth > self.layers:
            raise ValueError(f"prompts of depth {self.prompts.depth} need as many layers, got {self.layers}.")

    @property
    def colours(self) -> colours.ColourScale:
        """What the image tower was trained with."""
        return colours.CLIP if self.colour_scale == "clip" else colours.HALF

    @property
    def stride(self) -> int:
        """Distance of the dense features' cells in pixels."""
        return self.patch_size

    @property
    def num_patches(self) -> int:
        """Patches of a crop, N_p."""
        return (self.image_size // self.patch_size) ** 2

    @staticmethod
    def named(model: str, *, prompts: PromptConfig | None = None) -> "VitConfig":
        """The sizes of one of open_clip's own architectures.

        Args:
            model: open_clip's name, such as "ViT-B-16" or, for OpenAI's weights, "ViT-L-14-quickgelu".
            prompts: learned beside it; None for none.

        Raises:
            ValueError: if open_clip does not know the name, or the model is not of OpenAI's kind: a Vision Transformer
                with a class token beside a causal text tower with CLIP's own tokens.
        """
        found = open_clip.get_model_config(model)
        if found is None or not _is_openai_vit(found):
            raise ValueError(
                f"expected an open_clip model of OpenAI's kind with a Vision Transformer, got {model!r}: "
                "choose one such as ViT-B-16, ViT-L-14-quickgelu or ViT-H-14."
            )
        return VitConfig(prompts=prompts, **found["vision_cfg"], **text_sizes(found))


def _is_openai_vit(model: dict[str, Any]) -> bool:
    """Whether open_clip's configuration of a model holds only sizes: any other key changes the architecture."""
    vision, text = model["vision_cfg"], model["text_cfg"]
    return (
        model.keys() <= {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg"}
        and vision.keys() <= {"layers", "width", "head_width", "patch_size", "image_size", "mlp_ratio"}
        and isinstance(vision["layers"], int)
        and text.keys() <= {"context_length", "vocab_size", "width", "heads", "layers"}
        and text["vocab_size"] == VOCABULARY_SIZE
    )


class VitClip(OpenClip):
    """open_clip's CLIP with a Vision Transformer, run block by block so that prompts can be inserted."""

    def __init__(self, config: VitConfig) -> None:
        super().__init__(
            replace(config, prompts=None),  # the text tower's fingerprint must not depend on them
            CLIPVisionCfg(
                layers=config.layers,
                width=config.width,
                head_width=config.head_width,
                mlp_ratio=config.mlp_ratio,
                patch_size=config.patch_size,
                image_size=config.image_size,
            ),
        )
        self.config = config
        visual = self.clip.visual
        assert isinstance(visual, VisionTransformer)
        self._visual = (visual,)  # in a tuple, so that its weights are not registered twice
        self.prompts = _build_prompts(config)

    @property
    def visual(self) -> VisionTransformer:
        """The image tower."""
        return self._visual[0]

    @property
    def blocks(self) -> list[nn.Module]:
        """The parts of the image tower in which its time goes, each called with features alone."""
        return list(self.visual.transformer.resblocks)

    @property
    def image_parameters(self) -> list[nn.Parameter]:
        """The parameters of the image tower without prompts, for full fine-tuning."""
        return list(self.visual.parameters())

    @property
    def prompt_parameters(self) -> list[nn.Parameter]:
        """The parameters of the prompts, for mask prompt tuning; empty without prompts."""
        return [] if self.prompts is None else list(self.prompts.parameters())

    def encode_image(self, pixel_values: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B D"]:
        """Embeds pictures, RGB in [0, 1], as plain CLIP does, without prompts; not normalised."""
        return self._tower(pixel_values, None, None)

    def encode_regions(
        self, crops: Float[Tensor, "M 3 S S"], masks: Bool[Tensor, "M S S"] | None
    ) -> Float[Tensor, "M D"]:
        """Embeds crops with the prompts, all in one pass (OVSeg, section 3.3).

        Where a mask is true everywhere, and for all crops where masks is None, this is `encode_image` bit for bit.
        Visual prompts are the exception: they do not depend on the mask.

        Args:
            crops: RGB in [0, 1], with a filled background.
            masks: true on the region; None for no background.

        Returns:
            Embeddings in the joint space, not normalised.

        Raises:
            ValueError: if the crops are not of the tower's image size.
        """
        return self._tower(crops, self.prompts, masks)

    def dense_map(self, pixel_values: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B F gh gw"]:
        """What every cell gives the class token in the last block: its value through the attention's projection.

        The class token becomes the picture's embedding by what it gathers in the last block, so it is there that a
        cell speaks of itself alone (MaskCLIP, ECCV 2022): queries and keys, which mix the cells once more, are left
        out, and with them the class token. MaskCLIP keeps the block's residual connection and MLP; ClearCLIP
        (ECCV 2024) finds that the residual brings most of the noise in dense features and that both are better left
        out, as they are here. Where the attention is uniform over the cells of a mask, what the block adds is the mean
        of these, which `embed_pooled` brings to the joint space.

        Args:
            pixel_values: RGB in [0, 1], H and W multiples of the patch size.
        """
        tokens, grid = self.first_tokens(pixel_values)
        *blocks, last = self.visual.transformer.resblocks
        for block in blocks:
            tokens = _run(block, tokens, is_last=False)
        assert isinstance(last, ResidualAttentionBlock)
        attention, width = last.attn, self.config.width
        weight, bias = attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :]
        values = attention.out_proj(F.linear(last.ln_1(tokens[:, 1:]), weight, bias))
        return values.transpose(1, 2).unflatten(2, grid)

    def embed_pooled(self, pooled: Float[Tensor, "B Q F"]) -> Float[Tensor, "B Q D"]:
        """Norm and projection of the class token, on pooled features; not normalised."""
        return self.visual.ln_post(pooled) @ self.visual.proj

    def first_tokens(self, pixel_values: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B L E"], tuple[int, int]]:
        """What the first block sees of a whole picture: the class token, then its patches; and the patches' grid.

        The position embedding is resized to the grid, by open_clip's own interpolation.

        Args:
            pixel_values: RGB in [0, 1], H and W multiples of the patch size.
        """
        size = self.config.patch_size
        grid = pixel_values.shape[-2] // size, pixel_values.shape[-1] // size
        tokens = self.visual.conv1(self.config.colours.normalise(pixel_values)).flatten(2).transpose(1, 2)
        return self._enter(tokens, resize_positions(self.visual.positional_embedding, grid, mode="bicubic")), grid

    def _enter(self, tokens: Float[Tensor, "M L E"], positions: Float[Tensor, "L2 E"]) -> Float[Tensor, "M L2 E"]:
        """What the first block sees: the class token before the patches, and their positions."""
        class_token = self.visual.class_embedding.to(tokens.dtype).expand(len(tokens), 1, -1)
        return self.visual.ln_pre(torch.cat([class_token, tokens], dim=1) + positions.to(tokens.dtype))

    def _tower(
        self, pixel_values: Float[Tensor, "M 3 S S"], prompts: Prompts | None, masks: Bool[Tensor, "M S S"] | None
    ) -> Float[Tensor, "M D"]:
        size, visual = self.config.image_size, self.visual
        if pixel_values.shape[2:] != (size, size):
            raise ValueError(
                f"expected pictures of {size} x {size} pixels, the size of this image tower's position embedding, "
                f"got {pixel_values.shape[2]} x {pixel_values.shape[3]}: resize them."
            )
        pixels = self.config.colours.normalise(pixel_values)
        if isinstance(prompts, PixelPrompt):
            pixels = prompts(pixels, masks)
        tokens = visual.conv1(pixels).flatten(2).transpose(1, 2)
        background = None if masks is None else background_patches(masks, self.config.patch_size)
        if isinstance(prompts, MaskPrompts):
            tokens = prompts(0, tokens, background)
        tokens = self._enter(tokens, visual.positional_embedding)
        for layer, block in enumerate(visual.transformer.resblocks):
            if isinstance(prompts, VisualPrompts):
                tokens = prompts(layer, tokens)
            elif isinstance(prompts, MaskPrompts) and layer > 0:
                tokens = prompts(layer, tokens, background)
            tokens = _run(block, tokens, is_last=layer == self.config.layers - 1)
        return visual.ln_post(tokens[:, 0]) @ visual.proj


def _run(block: nn.Module, tokens: Float[Tensor, "M L E"], *, is_last: bool) -> Float[Tensor, "M L2 E"]:
    """Runs a transformer block: open_clip's own, except in half precision on a CPU, where torch's attention is slow.

    There the last block computes only the class token, as nothing else of it is used.
    """
    assert isinstance(block, ResidualAttentionBlock)
    if tokens.device.type != "cpu" or tokens.dtype not in (torch.bfloat16, torch.float16):
        return block(tokens)
    attention = block.attn
    query, key, value = (
        F.linear(block.ln_1(tokens), attention.in_proj_weight, attention.in_proj_bias)
        .unflatten(-1, (3, attention.num_heads, attention.head_dim))
        .permute(2, 0, 3, 1, 4)  # 3 M heads L head_dim
    )
    if is_last:
        tokens, query = tokens[:, :1], query[:, :, :1]
    weights = (query * attention.head_dim**-0.5 @ key.transpose(-1, -2)).softmax(-1)
    tokens = tokens + attention.out_proj((weights.to(value.dtype) @ value).transpose(1, 2).flatten(2))
    return tokens + block.mlp(block.ln_2(tokens))


def _build_prompts(config: VitConfig) -> Prompts | None:
    prompts = config.prompts
    if prompts is None:
        return None
    match prompts.kind:
        case "mask":
            return MaskPrompts(prompts.depth, config.num_patches, config.width)
        case "token":
            return MaskPrompts(1, 1, config.width)
        case "pixel":
            return PixelPrompt(config.image_size)
        case "visual":
            return VisualPrompts(prompts.depth, prompts.num_tokens, config.width)

"""CLIP with a timm ConvNeXt: stage features, a dense map, and the head on pooled features, as in FC-CLIP."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

import open_clip
import timm
import torch
from jaxtyping import Bool, Float
from timm.layers import Mlp
from timm.models.convnext import ConvNeXt
from torch import Tensor, nn
from torch.nn import functional as F

from lexiseg.encoders import colours
from lexiseg.encoders.clip.base import PLACEHOLDER, OpenClip, text_sizes
from lexiseg.layers.pixel_decoder import Stages
from lexiseg.layers.pooling import pool_inside


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvNextConfig:
    """Sizes of a CLIP with a ConvNeXt; the defaults are open_clip's convnext_large_d_320, as in FC-CLIP."""

    embed_dim: int = 768
    depths: tuple[int, int, int, int] = (3, 3, 27, 3)
    dims: tuple[int, int, int, int] = (192, 384, 768, 1536)
    """Channels of the stages."""
    head: Literal["linear", "mlp"] = "mlp"
    """How pooled features reach the joint space; "mlp" has one hidden layer of twice its width. No bias at the end."""
    norm_eps: float = 1e-6
    image_size: int = 320
    """Side in pixels of the pictures that it was trained on; it takes any multiple of 32."""
    text_width: int = 768
    text_heads: int = 12
    text_layers: int = 16
    context_length: int = 77
    quick_gelu: bool = False

    @property
    def feature_dim(self) -> int:
        """Channels of the last stage."""
        return self.dims[-1]

    @property
    def colours(self) -> colours.ColourScale:
        """What the image tower was trained with."""
        return colours.CLIP

    @property
    def stride(self) -> int:
        """Distance of the dense features' cells in pixels."""
        return 32

    @property
    def stage_dims(self) -> tuple[int, int, int, int]:
        """Channels of all four stages."""
        return self.dims

    @staticmethod
    def named(model: str) -> "ConvNextConfig":
        """The sizes of one of open_clip's own architectures.

        Args:
            model: open_clip's name, such as "convnext_large_d_320".

        Raises:
            ValueError: if open_clip does not know the name, or its image tower is no plain ConvNeXt.
        """
        found = open_clip.get_model_config(model)
        vision = {} if found is None else found["vision_cfg"]
        head = vision.get("timm_proj")
        if found is None or head not in ("linear", "mlp") or not vision["timm_model_name"].startswith("convnext"):
            known = [name for name in open_clip.list_models() if name.startswith("convnext")]
            raise ValueError(f"expected an open_clip model with a ConvNeXt, got {model!r}. Known: {', '.join(known)}.")
        return ConvNextConfig(
            head=head, image_size=vision["image_size"], **trunk_sizes(vision["timm_model_name"]), **text_sizes(found)
        )


def trunk_sizes(timm_model: str) -> dict[str, Any]:
    """`depths`, `dims` and `norm_eps` of one of timm's ConvNeXts."""
    with torch.device("meta"):
        trunk: Any = timm.create_model(timm_model)
    return {
        "depths": tuple(len(stage.blocks) for stage in trunk.stages),
        "dims": tuple(info["num_chs"] for info in trunk.feature_info),
        "norm_eps": trunk.head.norm.eps,
    }


class _Tower(nn.Module):
    """timm's ConvNeXt and the head behind it, under the names of open_clip's state dicts."""

    def __init__(self, config: ConvNextConfig) -> None:
        super().__init__()
        width, dim = config.feature_dim, config.embed_dim
        self.trunk = ConvNeXt(num_classes=0, depths=config.depths, dims=config.dims, norm_eps=config.norm_eps)
        self.head = nn.Sequential(
            OrderedDict(mlp=Mlp(width, 2 * dim, dim, bias=(True, False)))
            if config.head == "mlp"
            else OrderedDict(proj=nn.Linear(width, dim, bias=False))
        )


class ConvNextClip(OpenClip):
    """open_clip's CLIP with a ConvNeXt, with separate access to stages, head and text tower."""

    def __init__(self, config: ConvNextConfig) -> None:
        super().__init__(config, PLACEHOLDER)
        self.config = config
        visual = _Tower(config)
        self.clip.register_module("visual", visual)  # open_clip knows timm's models by name, not by their sizes
        self._visual = (visual,)  # in a tuple, so that its weights are not registered twice

    @property
    def visual(self) -> _Tower:
        """The image tower."""
        return self._visual[0]

    @property
    def blocks(self) -> list[nn.Module]:
        """The parts of the image tower in which its time goes, each called with features alone."""
        return list(self.visual.trunk.stages)

    def stages(self, pixel_values: Float[Tensor, "B 3 H W"]) -> Stages:
        """Raw features after every stage, without a norm; RGB in [0, 1], H and W multiples of 32."""
        trunk = self.visual.trunk
        features = trunk.stem(colours.CLIP.normalise(pixel_values))
        found = []
        for stage in trunk.stages:
            features = stage(features)
            found.append(features)
        return tuple(found)

    def dense_map(self, pixel_values: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B F gh gw"]:
        """The last stage's features at stride 32, not in the joint space: `embed_pooled` brings means of them there."""
        return self.stages(pixel_values)[-1]

    def embed_pooled(self, pooled: Float[Tensor, "B Q F"]) -> Float[Tensor, "B Q D"]:
        """Norm and head on pooled features, CLIP's own way into the joint space; not normalised."""
        norm: Any = self.visual.trunk.head.norm
        return self.visual.head(F.layer_norm(pooled, norm.normalized_shape, norm.weight, norm.bias, norm.eps))

    def embed_inside(
        self, features: Float[Tensor, "B F gh gw"], inside: Bool[Tensor, "B Q gh gw"]
    ) -> Float[Tensor, "B Q D"]:
        """Embeds the cells of every mask: their mean through the head (FC-CLIP, section 3.3).

        Args:
            features: from `dense_map`.
            inside: the cells of every mask; without any, the mean is zero.

        Returns:
            Embeddings in the joint space, not normalised.
        """
        return self.embed_pooled(pool_inside(features, inside))

    def encode_image(self, pixel_values: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Embeds whole pictures, RGB in [0, 1], any size that is a multiple of 32; not normalised."""
        return self.embed_pooled(self.dense_map(pixel_values).mean((2, 3))[:, None])[:, 0]

"""CLIP with a ResNet: dense features, its own attention pooling, and reading its weights."""

from dataclasses import dataclass
from typing import Any, Literal

import open_clip
import torch
from jaxtyping import Bool, Float
from open_clip.model import CLIPVisionCfg
from open_clip.modified_resnet import Bottleneck, ModifiedResNet
from torch import Tensor, nn
from torch.nn import functional as F

from lexiseg.encoders import colours
from lexiseg.encoders.clip.base import OpenClip, resize_positions, text_sizes
from lexiseg.layers.pixel_decoder import Stages


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipConfig:
    """Sizes of a CLIP with a ModifiedResNet, as in OPSNet; the defaults are RN50, as in the paper."""

    embed_dim: int = 1024
    layers: tuple[int, int, int, int] = (3, 4, 6, 3)
    width: int = 64
    head_width: int = 64
    """Channels per head of the attention pool."""
    image_size: int = 224
    """Input of the whole tower with its attention pool, in pixels."""
    text_width: int = 512
    text_heads: int = 8
    text_layers: int = 12
    context_length: int = 77
    quick_gelu: bool = False
    dense_stride: Literal[16, 32] = 32
    """Grid of the dense features: 16 keeps the last stage's cells and adds those in between."""
    has_pool: bool = True
    """Whether the attention pool is there. A model folder can do without it once it is folded into the spatial
    adapter: regions are pooled all the same, but whole pictures and crops cannot be embedded."""

    @property
    def colours(self) -> colours.ColourScale:
        """What the image tower was trained with."""
        return colours.CLIP

    @property
    def stride(self) -> int:
        """The least multiple of its input's sides, in pixels."""
        return 32

    @property
    def feature_dim(self) -> int:
        """Channels of the last stage."""
        return self.width * 32

    @property
    def stage_dims(self) -> tuple[int, int, int, int]:
        """Channels of all four stages."""
        return self.width * 4, self.width * 8, self.width * 16, self.width * 32

    @staticmethod
    def named(model: str, *, dense_stride: Literal[16, 32] = 32) -> "ClipConfig":
        """The sizes of one of open_clip's own architectures.

        Args:
            model: open_clip's name, such as "RN50" or "RN101-quickgelu".
            dense_stride: grid of the dense features in pixels.

        Raises:
            ValueError: if open_clip does not know the name or its image tower is no ResNet.
        """
        found = open_clip.get_model_config(model)
        resnets = [name for name in open_clip.list_models() if name.startswith("RN")]
        if found is None or not isinstance(found["vision_cfg"].get("layers"), (list, tuple)):
            raise ValueError(
                f"expected an open_clip model with a ResNet image tower, got {model!r}. Known: {', '.join(resnets)}."
            )
        vision = found["vision_cfg"]
        first, second, third, fourth = vision["layers"]
        return ClipConfig(
            layers=(first, second, third, fourth),
            width=vision["width"],
            head_width=vision.get("head_width", 64),
            image_size=vision["image_size"],
            dense_stride=dense_stride,
            **text_sizes(found),
        )


class Clip(OpenClip):
    """open_clip's CLIP with a ResNet, with separate access to trunk, attention pool and text tower."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__(
            config,
            CLIPVisionCfg(
                layers=config.layers, width=config.width, head_width=config.head_width, image_size=config.image_size
            ),
        )
        self.config = config
        visual = self.clip.visual
        assert isinstance(visual, ModifiedResNet)
        if not config.has_pool:
            visual.register_module("attnpool", nn.Identity())
        self._visual = (visual,)  # in a tuple, so that its weights are not registered twice

    @property
    def visual(self) -> ModifiedResNet:
        """The image tower."""
        return self._visual[0]

    @property
    def blocks(self) -> list[nn.Module]:
        """The parts of the image tower in which its time goes, each called with features alone."""
        return [self.visual.layer1, self.visual.layer2, self.visual.layer3, self.visual.layer4]

    def stages(self, pixel_values: Float[Tensor, "B 3 H W"]) -> Stages:
        """Features after every stage, RGB in [0, 1], H and W multiples of 32."""
        visual = self.visual
        features = visual.stem(colours.CLIP.normalise(pixel_values))
        found = []
        for stage in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            features = stage(features)
            found.append(features)
        return tuple(found)

    def trunk(
        self, pixel_values: Float[Tensor, "B 3 H W"], *, stride: Literal[16, 32] = 32
    ) -> Float[Tensor, "B F h w"]:
        """Runs the image tower up to the attention pool.

        At stride 32 this is CLIP's own feature map. At stride 16 the last stage pools with the same windows at every
        step of 16: the map has H/16 + 1 by W/16 + 1 cells centred on the multiples of 16, and its odd cells hold
        what stride 32 computes.

        Args:
            pixel_values: RGB in [0, 1].
            stride: distance of the cells in pixels.
        """
        visual = self.visual
        if stride == 32:
            return self.stages(pixel_values)[-1]
        features = visual.stem(colours.CLIP.normalise(pixel_values))
        features = visual.layer3(visual.layer2(visual.layer1(features)))
        for block in visual.layer4:
            assert isinstance(block, Bottleneck)
            features = _dense_block(block, features)
        return features

    def pool(self, features: Float[Tensor, "B F h w"]) -> Float[Tensor, "B D"]:
        """CLIP's attention pool; its position embedding is resized where the map has another size than CLIP's own.

        Raises:
            ValueError: if the pool is not there.
        """
        pool = self._pool()
        height, width = features.shape[-2:]
        tokens = features.flatten(2).permute(2, 0, 1)  # hw B F
        tokens = torch.cat([tokens.mean(0, keepdim=True), tokens])
        tokens = tokens + resize_positions(pool.positional_embedding, (height, width))[:, None]
        pooled, _ = F.multi_head_attention_forward(
            query=tokens[:1],
            key=tokens,
            value=tokens,
            embed_dim_to_check=tokens.shape[-1],
            num_heads=pool.num_heads,
            q_proj_weight=pool.q_proj.weight,
            k_proj_weight=pool.k_proj.weight,
            v_proj_weight=pool.v_proj.weight,
            in_proj_weight=None,
            in_proj_bias=torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]),
            bias_k=None,
            bias_v=None,
            add_zero_attn=False,
            dropout_p=0.0,
            out_proj_weight=pool.c_proj.weight,
            out_proj_bias=pool.c_proj.bias,
            use_separate_proj_weight=True,
            training=self.training,
            need_weights=False,
        )
        return pooled[0]

    def embed_inside(
        self, features: Float[Tensor, "B F gh gw"], inside: Bool[Tensor, "B Q gh gw"]
    ) -> Float[Tensor, "B Q D"]:
        """Embeds the cells of every mask by the attention pool, as FC-CLIP does with a ModifiedResNet.

        The mean of all cells asks, and only the cells of the mask answer: the mean itself is no key.

        Args:
            features: the last stage's, at stride 32.
            inside: the cells of every mask; without any, the embedding is the bias of the pool's last layer.

        Returns:
            Embeddings in the joint space, not normalised.

        Raises:
            ValueError: if the pool is not there.
        """
        pool = self._pool()
        positions = resize_positions(pool.positional_embedding, (features.shape[-2], features.shape[-1]))
        cells = features.flatten(2).transpose(1, 2)
        mean, cells = cells.mean(1) + positions[0], cells + positions[1:]
        heads = (pool.num_heads, -1)
        query = pool.q_proj(mean).unflatten(-1, heads)  # B heads width
        key, value = (project(cells).unflatten(-1, heads) for project in (pool.k_proj, pool.v_proj))
        scores = torch.einsum("bhc,blhc->bhl", query, key) * query.shape[-1] ** -0.5
        blocked = ~inside.flatten(2)[:, :, None]  # B Q 1 cells
        weights = scores[:, None].masked_fill(blocked, -torch.inf).softmax(-1).masked_fill(blocked, 0.0)
        return pool.c_proj(torch.einsum("bqhl,blhc->bqhc", weights, value).flatten(2))

    def _pool(self) -> Any:
        """The attention pool; raises ValueError if it is not there."""
        if not self.config.has_pool:
            raise ValueError(
                "these weights carry no attention pool, so whole pictures and crops can't be embedded: "
                "use mask pooling, or the folder of the training run."
            )
        return self.visual.attnpool

    def encode_image(self, pixel_values: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Embeds whole pictures, RGB in [0, 1], any size that is a multiple of 32; not normalised."""
        return self.pool(self.trunk(pixel_values))


def _dense_block(block: Bottleneck, features: Tensor) -> Tensor:
    """One block of the last stage at twice the resolution, equal to the block itself on the old cells."""
    strided = block.downsample is not None
    out = block.act1(block.bn1(block.conv1(features)))
    if strided:
        out = _mean_of_four(block.act2(block.bn2(block.conv2(out))))
    else:
        out = F.conv2d(out, block.conv2.weight, padding=2, dilation=2)
        out = block.act2(block.bn2(out))
    out = block.bn3(block.conv3(out))
    identity = features
    if strided:
        assert block.downsample is not None
        _, conv, norm = block.downsample
        identity = norm(conv(_mean_of_four(features)))
    return block.act3(out + identity)


def _mean_of_four(features: Tensor) -> Tensor:
    """AvgPool2d(2) at every position instead of every other; border windows average what is inside."""
    return F.avg_pool2d(features, 2, stride=1, padding=1, count_include_pad=False)

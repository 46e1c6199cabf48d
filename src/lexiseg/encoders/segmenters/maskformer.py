"""MaskFormer without its class head: an FPN pixel decoder and a DETR decoder (Cheng et al., 2021; OVSeg, section 3.1).

The modules are those of transformers; the ResNet with a deep stem is timm's.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from timm.models.resnet import Bottleneck, ResNet
from torch import Tensor, nn
from transformers import DetrConfig
from transformers import MaskFormerConfig as TransformersConfig
from transformers.modeling_outputs import BackboneOutput
from transformers.models.maskformer.modeling_maskformer import MaskFormerPixelDecoder, MaskFormerTransformerModule

from lexiseg.core.checks import check_multiples
from lexiseg.core.structures import MaskProposals
from lexiseg.encoders import colours
from lexiseg.encoders.segmenters.mask2former import ResNetBackbone, SwinBackbone, build_backbone

GROUPS = 32  # of the pixel decoder's group norms


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepResNetBackbone:
    """A bottleneck ResNet whose stem is three 3x3 convolutions; the sizes of R101c, DeepLab's R-103, by default.

    Raises ValueError unless `multi_grid` is empty or has a positive number for every block of the last stage.
    """

    stem_width: int = 64
    """Channels of the stem's first two convolutions; the third has twice as many."""
    hidden_sizes: tuple[int, int, int, int] = (256, 512, 1024, 2048)
    depths: tuple[int, int, int, int] = (3, 4, 23, 3)
    multi_grid: tuple[int, ...] = ()
    """Dilation of the 3x3 convolution in each block of the last stage, which keeps its stride (Chen et al., 2017);
    empty is 1 everywhere, official R101c has 1, 2, 4. Weights of one fit the other, and mean something else there."""

    def __post_init__(self) -> None:
        if self.multi_grid and (len(self.multi_grid) != self.depths[-1] or min(self.multi_grid) < 1):
            raise ValueError(
                f"multi_grid must have a positive dilation for each of the last stage's {self.depths[-1]} blocks, "
                f"got {self.multi_grid}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskFormerConfig:
    """Sizes of a MaskFormer without transformer encoder; the defaults are OVSeg's (section 3.1).

    Raises ValueError unless exactly one backbone is set and the widths are multiples of what they are divided by.
    """

    resnet: ResNetBackbone | None = None
    swin: SwinBackbone | None = None
    deep_resnet: DeepResNetBackbone | None = None
    """Exactly one of the three backbones is set."""
    pixel_dim: int = 256
    """Channels of the pixel decoder."""
    mask_dim: int = 256
    hidden_dim: int = 256
    decoder_layers: int = 6
    feedforward_dim: int = 2048
    num_heads: int = 8
    num_queries: int = 100
    decoder_stride: Literal[16, 32] = 32
    """Stride of the backbone's map that the decoder's queries attend to."""
    dropout: float = 0.1
    """Rate in the decoder's attention weights, feed-forward layers and residual branches, in [0, 1)."""

    def __post_init__(self) -> None:
        if sum(backbone is not None for backbone in (self.resnet, self.swin, self.deep_resnet)) != 1:
            raise ValueError("a MaskFormer needs exactly one backbone: set resnet, swin or deep_resnet.")
        check_multiples(self, pixel_dim=GROUPS, hidden_dim=4)  # of group norms, and of the position embedding
        check_multiples(self, hidden_dim="num_heads")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}.")


class MaskFormer(nn.Module):
    """MaskFormer without its class head: pictures in, mask proposals out."""

    def __init__(self, config: MaskFormerConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = _backbone(config)
        *lateral, deepest = self.backbone.channels
        self.pixel_decoder = MaskFormerPixelDecoder(
            in_features=deepest,
            lateral_widths=lateral,
            feature_size=config.pixel_dim,
            mask_feature_size=config.mask_dim,
        )
        self._decoded_map = {16: 2, 32: 3}[config.decoder_stride]
        self.transformer = MaskFormerTransformerModule(
            self.backbone.channels[self._decoded_map], TransformersConfig(decoder_config=_decoder(config))
        )
        self.mask_embed = nn.Sequential(
            nn.Linear(config.hidden_dim, config.hidden_dim),
            nn.ReLU(),
            nn.Linear(config.hidden_dim, config.hidden_dim),
            nn.ReLU(),
            nn.Linear(config.hidden_dim, config.mask_dim),
        )
        self._initialise()

    def forward(self, pixel_values: Float[Tensor, "B 3 H W"], *, every_layer: bool = False) -> MaskProposals:
        """Proposes masks at stride 4.

        Args:
            pixel_values: RGB in [0, 1]; H and W are multiples of 32.
            every_layer: also return the predictions of each earlier decoder layer, for deep supervision. There is no
                prediction before the first layer, as its queries are zero.
        """
        return self.decode(self.features(pixel_values), every_layer=every_layer)

    def features(self, pixel_values: Float[Tensor, "B 3 H W"]) -> tuple[Tensor, ...]:
        """The backbone's four maps, at strides 4, 8, 16 and 32; of a Swin after each stage's norm."""
        return tuple(self.backbone(colours.IMAGENET.normalise(pixel_values)).feature_maps)

    def decode(self, features: tuple[Tensor, ...], *, every_layer: bool = False) -> MaskProposals:
        """Proposes masks from the four maps of `features`."""
        pixel_embed = self.pixel_decoder(list(features)).last_hidden_state
        decoded = self.transformer(features[self._decoded_map], output_hidden_states=every_layer)

        def propose(queries: Tensor, aux: tuple[MaskProposals, ...] = ()) -> MaskProposals:
            masks = torch.einsum("bqc,bchw->bqhw", self.mask_embed(queries), pixel_embed)
            return MaskProposals(mask_logits=masks, query_embed=queries, aux=aux)

        # The states are the zero queries, what each layer returns, and, for the last layer, that after the norm.
        states = decoded.hidden_states[1:-1] if every_layer else ()
        norm = self.transformer.decoder.layernorm
        return propose(decoded.last_hidden_state, tuple(propose(norm(state)) for state in states))

    @property
    def backbone_parameters(self) -> list[nn.Parameter]:
        """The backbone's parameters, which are trained at a lower rate if they are pretrained."""
        return list(self.backbone.parameters())

    def _initialise(self) -> None:
        """Initialises weights as MaskFormer and DETR do, since transformers does so only in its whole model."""
        for module in (*self.pixel_decoder.modules(), self.transformer.input_projection):
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for name, weight in self.transformer.decoder.named_parameters():
            if weight.ndim > 1:  # DETR draws query, key and value as one matrix of three times the height
                packed = name.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight"))
                nn.init.xavier_uniform_(weight, gain=math.sqrt(0.5) if packed else 1.0)


class DeepResNet(nn.Module):
    """A timm ResNet with a deep stem that returns the maps of its four stages."""

    def __init__(self, config: DeepResNetBackbone) -> None:
        super().__init__()
        widths = tuple(size // Bottleneck.expansion for size in config.hidden_sizes)
        block: Any = Bottleneck  # timm's annotation asks for a block, and means its class
        self.resnet = ResNet(
            block, config.depths, num_classes=0, stem_width=config.stem_width, stem_type="deep", channels=widths
        )
        last: Any = self.resnet.layer4
        for bottleneck, dilation in zip(last, config.multi_grid or (1,) * len(last), strict=True):
            bottleneck.conv2.dilation = bottleneck.conv2.padding = (dilation, dilation)
        self.channels = list(config.hidden_sizes)

    def forward(self, pixel_values: Float[Tensor, "B 3 H W"]) -> BackboneOutput:
        """The stages' maps at strides 4, 8, 16 and 32."""
        maps: Any = self.resnet.forward_intermediates(pixel_values, indices=[1, 2, 3, 4], intermediates_only=True)
        return BackboneOutput(feature_maps=tuple(maps))


def _backbone(config: MaskFormerConfig) -> Any:
    if config.deep_resnet is not None:
        return DeepResNet(config.deep_resnet)
    backbone: Any = build_backbone(config.resnet, config.swin)
    if config.swin is not None:
        backbone.swin.layernorm = nn.Identity()  # its result is never read: every stage has a norm of its own
    return backbone


def _decoder(config: MaskFormerConfig) -> DetrConfig:
    """The decoder's configuration in transformers, without `auxiliary_loss`, which norms the next layer's input."""
    return DetrConfig(
        d_model=config.hidden_dim,
        decoder_layers=config.decoder_layers,
        decoder_ffn_dim=config.feedforward_dim,
        decoder_attention_heads=config.num_heads,
        num_queries=config.num_queries,
        dropout=config.dropout,
        attention_dropout=config.dropout,
        activation_dropout=config.dropout,
    )

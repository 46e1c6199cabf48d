"""Mask2Former without its class head, and its sizes in transformers' config.json.

The backbones are transformers'; the decoders are those of `lexiseg.layers`, which compute the same numbers faster.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from huggingface_hub.errors import StrictDataclassError
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AutoBackbone, Mask2FormerConfig, ResNetConfig, SwinConfig

from lexiseg.core.structures import MaskProposals
from lexiseg.encoders import colours
from lexiseg.encoders.segmenters.official_names import four
from lexiseg.layers.pixel_decoder import DecoderConfig, PixelDecoder
from lexiseg.layers.query_decoder import QueryDecoder


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNetBackbone:
    """A ResNet: basic or bottleneck blocks."""

    embedding_size: int = 64
    hidden_sizes: tuple[int, int, int, int] = (256, 512, 1024, 2048)
    depths: tuple[int, int, int, int] = (3, 4, 6, 3)
    layer_type: Literal["basic", "bottleneck"] = "bottleneck"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwinBackbone:
    """A Swin Transformer."""

    embed_dim: int = 96
    depths: tuple[int, int, int, int] = (2, 2, 18, 2)
    num_heads: tuple[int, int, int, int] = (3, 6, 12, 24)
    window_size: int = 7
    image_size: int = 224
    drop_path_rate: float = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterConfig(DecoderConfig):
    """Sizes of a Mask2Former; the defaults are the published ones (Cheng et al., 2022).

    Raises ValueError unless exactly one backbone is set, or if a width is no multiple of its parts.
    """

    num_queries: int = 100
    resnet: ResNetBackbone | None = None
    swin: SwinBackbone | None = None
    """Exactly one of the two backbones is set."""

    def __post_init__(self) -> None:
        DecoderConfig.__post_init__(self)  # classes with slots are made anew, which `super()` does not see
        if (self.resnet is None) == (self.swin is None):
            raise ValueError("a segmenter needs exactly one backbone: set either resnet or swin.")


def build_backbone(resnet: ResNetBackbone | None, swin: SwinBackbone | None) -> Any:
    """The module of the backbone that is set, with random weights."""
    return AutoBackbone.from_config(backbone_to_transformers(resnet, swin))


def backbone_to_transformers(resnet: ResNetBackbone | None, swin: SwinBackbone | None) -> Any:
    """The backbone that is set as a configuration of transformers, with the features of all four stages."""
    backbone = resnet or swin
    assert backbone is not None
    sizes = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(backbone).items()}
    make: Any = SwinConfig if resnet is None else ResNetConfig
    return make(**sizes, out_features=["stage1", "stage2", "stage3", "stage4"])


_PUBLISHED_NAMES: Mapping[str, str] = {
    "hidden_dim": "hidden_dim",
    "mask_dim": "mask_feature_size",
    "encoder_layers": "encoder_layers",
    "encoder_feedforward_dim": "encoder_feedforward_dim",
    "feedforward_dim": "dim_feedforward",
    "num_heads": "num_attention_heads",
    "num_queries": "num_queries",
}
"""Our field names and those of transformers, without `decoder_layers`, which counts one more there."""


def to_transformers(config: SegmenterConfig) -> Mask2FormerConfig:
    """Converts to the configuration of transformers."""
    log = logging.getLogger("transformers.models.mask2former.configuration_mask2former")
    log.addFilter(_is_not_about_backbones)
    try:
        return Mask2FormerConfig(
            backbone_config=backbone_to_transformers(config.resnet, config.swin),
            feature_size=config.mask_dim,
            decoder_layers=config.decoder_layers + 1,
            **{published: getattr(config, own) for own, published in _PUBLISHED_NAMES.items()},
        )
    finally:
        log.removeFilter(_is_not_about_backbones)


def _is_not_about_backbones(record: logging.LogRecord) -> bool:
    """Filters the warning that only Swin is supported, as ResNet works too."""
    return "is not a supported model" not in record.getMessage()


def from_transformers(document: Mapping[str, Any]) -> SegmenterConfig:
    """The sizes of a published Mask2Former, read from its config.json.

    Raises:
        ValueError: if it is not a Mask2Former with a ResNet or Swin backbone.
    """
    backbone = document.get("backbone_config") or {}
    kind = backbone.get("model_type", "swin") if isinstance(backbone, Mapping) else type(backbone).__name__
    if document.get("model_type") != "mask2former" or kind not in ("resnet", "swin"):
        raise ValueError(
            "expected a Mask2Former with a ResNet or Swin backbone in transformers' layout, "
            f"got model_type {document.get('model_type')!r} with backbone {kind!r}."
        )

    for place, found, fixed in (("", document, _FIXED), (f"{kind} ", backbone, _FIXED_BACKBONE[kind])):
        for key, value in fixed.items():
            if found.get(key, value) != value:
                raise ValueError(
                    f"expected the published Mask2Former, whose {place}{key} is {value}, got {found[key]}: "
                    "this variant is not supported, choose another model."
                )
    if document.get("feature_size", 256) != document.get("mask_feature_size", 256):
        raise ValueError(
            "expected a Mask2Former whose feature_size and mask_feature_size agree, got "
            f"{document.get('feature_size', 256)} and {document.get('mask_feature_size', 256)}: choose another model."
        )
    try:
        return _sizes(document, backbone, kind)
    except (TypeError, KeyError, ValueError, StrictDataclassError) as error:
        raise ValueError(
            f"expected the sizes of a Mask2Former in config.json, but they can't be read ({_first_line(error)}): "
            "download or copy the folder again."
        ) from error


# Settings without a field in SegmenterConfig: all published Mask2Formers have these values.
_FIXED: Mapping[str, Any] = {
    "activation_function": "relu",
    "common_stride": 4,
    "enforce_input_projection": False,
    "feature_strides": [4, 8, 16, 32],
    "pre_norm": False,
}
_FIXED_BACKBONE: Mapping[str, Mapping[str, Any]] = {
    "resnet": {
        "downsample_in_bottleneck": False,
        "downsample_in_first_stage": False,
        "hidden_act": "relu",
        "num_channels": 3,
    },
    "swin": {
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "mlp_ratio": 4.0,
        "num_channels": 3,
        "patch_size": 4,
        "qkv_bias": True,
        "use_absolute_embeddings": False,
    },
}


def _first_line(error: Exception) -> str:
    """The first line of an error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")


def _sizes(document: Mapping[str, Any], backbone: Mapping[str, Any], kind: str) -> SegmenterConfig:
    """The sizes of a config.json whose model type and backbone were checked."""

    def read(own: type[Any], full: object) -> Any:
        kinds = {field.name: four if isinstance(field.default, tuple) else type(field.default) for field in fields(own)}
        return own(**{name: kind(getattr(full, name)) for name, kind in kinds.items()})

    resnet = read(ResNetBackbone, ResNetConfig(**backbone)) if kind == "resnet" else None
    swin = read(SwinBackbone, SwinConfig(**backbone)) if kind == "swin" else None
    defaults = Mask2FormerConfig()
    found = {own: document.get(name, getattr(defaults, name)) for own, name in _PUBLISHED_NAMES.items()}
    decoder_layers = document.get("decoder_layers", defaults.decoder_layers) - 1
    return SegmenterConfig(resnet=resnet, swin=swin, decoder_layers=decoder_layers, **found)


class Segmenter(nn.Module):
    """Mask2Former without its class head: pictures in, mask proposals out."""

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        self.config = config
        backbone = build_backbone(config.resnet, config.swin)
        pixel_decoder = PixelDecoder(tuple(backbone.channels), config)
        # under the names that published weights have
        self.mask2former = nn.ModuleDict(
            {
                "pixel_level_module": nn.ModuleDict({"encoder": backbone, "decoder": pixel_decoder}),
                "transformer_module": QueryDecoder(config),
            }
        )

    def forward(self, pixel_values: Float[Tensor, "B 3 H W"], *, every_layer: bool = False) -> MaskProposals:
        """Proposes masks at stride 4.

        Args:
            pixel_values: RGB in [0, 1]; H and W are multiples of 32.
            every_layer: also return the predictions of each earlier layer, for deep supervision.
        """
        stages = self.backbone(colours.IMAGENET.normalise(pixel_values)).feature_maps
        return self.query_decoder(self.pixel_decoder(stages), every_layer=every_layer)

    @property
    def backbone(self) -> nn.Module:
        """The backbone, the same module as a MaskFormer's of the same sizes."""
        return self.mask2former.get_submodule("pixel_level_module.encoder")

    @property
    def pixel_decoder(self) -> PixelDecoder:
        """What makes maps of the backbone's stages."""
        found = self.mask2former.get_submodule("pixel_level_module.decoder")
        assert isinstance(found, PixelDecoder)
        return found

    @property
    def query_decoder(self) -> QueryDecoder:
        """What makes masks of the maps."""
        found = self.mask2former["transformer_module"]
        assert isinstance(found, QueryDecoder)
        return found

    @property
    def backbone_parameters(self) -> list[nn.Parameter]:
        """The backbone's parameters, which are trained at a lower rate if they are pretrained."""
        return list(self.backbone.parameters())


def freeze_batch_norm(module: nn.Module) -> None:
    """Keeps every batch norm below `module` at its stored statistics and affine, as for pretrained backbones."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()
            part.requires_grad_(False)

"""The repeated blocks of a segmenter, for activation checkpointing and sharding."""

from timm.models.resnet import Bottleneck
from torch import nn
from transformers.models.maskformer.modeling_maskformer import MaskFormerDetrDecoderLayer
from transformers.models.resnet.modeling_resnet import ResNetStage
from transformers.models.swin.modeling_swin import SwinLayer

from lexiseg.layers.pixel_decoder import EncoderLayer
from lexiseg.layers.query_decoder import DecoderLayer

BLOCKS = (
    ResNetStage,
    Bottleneck,
    SwinLayer,
    EncoderLayer,
    DecoderLayer,
    MaskFormerDetrDecoderLayer,
)


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """Stages or blocks of the backbone and layers of the decoders; none lies within another."""
    return [module for module in network.modules() if isinstance(module, BLOCKS)]

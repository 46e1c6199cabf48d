"""The repeated blocks of a segmenter, for activation checkpointing and sharding."""

from timm.models.resnet import Bottleneck
from torch import nn
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerMaskedAttentionDecoderLayer,
    Mask2FormerPixelDecoderEncoderLayer,
)
from transformers.models.maskformer.modeling_maskformer import MaskFormerDetrDecoderLayer
from transformers.models.resnet.modeling_resnet import ResNetStage
from transformers.models.swin.modeling_swin import SwinLayer

BLOCKS = (
    ResNetStage,
    Bottleneck,
    SwinLayer,
    Mask2FormerPixelDecoderEncoderLayer,
    Mask2FormerMaskedAttentionDecoderLayer,
    MaskFormerDetrDecoderLayer,
)


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """Stages or blocks of the backbone and layers of the decoders; none lies within another."""
    return [module for module in network.modules() if isinstance(module, BLOCKS)]

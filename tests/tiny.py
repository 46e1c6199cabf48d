"""The smallest models that are still whole: every part is there, nothing is trained."""

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lexiseg.core.frames import Frame
from lexiseg.core.structures import ImageBatch, MaskPrediction, VocabularyEmbeddings
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.clip.convnext import ConvNextConfig
from lexiseg.encoders.clip.resnet import ClipConfig
from lexiseg.encoders.clip.vit import PromptConfig, VitConfig
from lexiseg.encoders.segmenters.mask2former import ResNetBackbone, SegmenterConfig, SwinBackbone
from lexiseg.encoders.segmenters.maskformer import MaskFormerConfig
from lexiseg.layers.pixel_decoder import DecoderConfig
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.models.fcclip import FCCLIP, FCCLIPConfig
from lexiseg.models.opsnet import OPSNet, OPSNetConfig
from lexiseg.models.ovseg import OVSeg, OVSegConfig

ModuleT = TypeVar("ModuleT", bound=nn.Module)

SIZES: dict[str, Any] = {
    "hidden_dim": 32,
    "mask_dim": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "feedforward_dim": 64,
    "encoder_feedforward_dim": 64,
    "num_heads": 4,
    "num_queries": 8,
}
RESNET = SegmenterConfig(
    resnet=ResNetBackbone(embedding_size=16, hidden_sizes=(16, 32, 32, 32), depths=(1, 1, 1, 1), layer_type="basic"),
    **SIZES,
)
SWIN = SegmenterConfig(
    swin=SwinBackbone(embed_dim=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 4), window_size=4, image_size=64),
    **SIZES,
)
CLIP = ClipConfig(
    embed_dim=32,
    layers=(1, 1, 1, 1),
    width=8,
    head_width=32,
    image_size=64,
    text_width=32,
    text_heads=2,
    text_layers=1,
    context_length=32,
    dense_stride=16,
)
CONVNEXT = ConvNextConfig(
    embed_dim=32,
    depths=(1, 1, 2, 1),
    dims=(16, 24, 32, 48),
    image_size=64,
    text_width=32,
    text_heads=2,
    text_layers=1,
    context_length=32,
)
MASKFORMER = MaskFormerConfig(
    resnet=RESNET.resnet,
    pixel_dim=32,
    mask_dim=32,
    hidden_dim=32,
    decoder_layers=2,
    feedforward_dim=64,
    num_heads=4,
    num_queries=8,
    dropout=0.0,
)
VIT = VitConfig(
    embed_dim=32,
    width=64,
    layers=3,
    head_width=32,
    patch_size=8,
    image_size=32,
    text_width=32,
    text_heads=2,
    text_layers=1,
    context_length=32,
    prompts=PromptConfig(kind="mask", depth=2),
)
TRAINING = Vocabulary.of("cat|kitten, dog, bird, sky:stuff, grass:stuff", ("a photo of a {}.", "a drawn {}"))


def seeded(module: ModuleT, seed: int = 0) -> ModuleT:
    """Fills parameters and batch statistics with moderate noise, without global randomness."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if name.endswith("running_var"):
                value.copy_(0.5 + torch.rand(value.shape, generator=rng))
            elif value.is_floating_point() and value.ndim:
                fan_in = value[0].numel() if value.ndim > 1 else 25
                value.copy_(torch.randn(value.shape, generator=rng) * fan_in**-0.5 + (value.ndim == 1))
    return module


def pictures(height: int = 64, width: int = 96, batch: int = 2, seed: int = 1) -> ImageBatch:
    """Smooth noise."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, height // 8, width // 8, generator=rng)
    pixel_values = nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    frame = Frame.fit((height, width), longest=max(height, width))
    return ImageBatch(pixel_values=pixel_values, frames=(frame,) * batch)


def model(seed: int = 0, **changes: Any) -> OPSNet:
    """A whole OPSNet in eval mode."""
    config = OPSNetConfig(segmenter=RESNET, clip=CLIP, training_vocabulary=TRAINING, longest_side=96, **changes)
    opsnet = seeded(OPSNet(config), seed).eval()
    assert opsnet.adapter is not None
    opsnet.adapter.fold(opsnet.clip.visual.attnpool.v_proj, opsnet.clip.visual.attnpool.c_proj)
    return opsnet


def words(
    network: OpenVocabularySegmenter, asked: str | Vocabulary, *, negatives: bool = False
) -> VocabularyEmbeddings:
    """Prepares a vocabulary with the training templates."""
    templates = network.config.training_vocabulary.templates
    return network.embed_vocabulary(Vocabulary.of(asked, templates), negatives=negatives)


def scores(prediction: MaskPrediction) -> Tensor:
    """The probability of every word, read back from a prediction: OVSeg's q."""
    return prediction.class_logits.softmax(-1) * (1 - prediction.void_probs)[..., None]


def state(module: nn.Module) -> dict[str, Tensor]:
    """A copy of all weights and buffers."""
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether two states agree in every bit."""
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def ovseg(seed: int = 0, **changes: Any) -> OVSeg:
    """A whole OVSeg in eval mode, not too sure of anything."""
    settings: dict[str, Any] = {
        "segmenter": MASKFORMER,
        "clip": VIT,
        "training_vocabulary": TRAINING,
        "longest_side": 96,
        "shortest_side": None,
        "head_hidden": 32,
        "logit_scale": 10.0,
        "clip_logit_scale": 10.0,
    }
    return seeded(OVSeg(OVSegConfig(**settings | changes)), seed).eval()


def fcclip(seed: int = 0, **settings: Any) -> FCCLIP:
    """An untrained FC-CLIP."""
    sizes: Any = {"clip": CONVNEXT, "decoder": DecoderConfig(**SIZES), "training_vocabulary": TRAINING}
    return seeded(FCCLIP(FCCLIPConfig(**sizes | {"longest_side": 64, "shortest_side": None} | settings)), seed).eval()


def dtypes_of_convolutions(module: nn.Module) -> set[torch.dtype]:
    """What the convolutions of a module give out from now on."""
    seen: set[torch.dtype] = set()
    for convolution in (part for part in module.modules() if isinstance(part, nn.Conv2d)):
        convolution.register_forward_hook(lambda part, given, output: seen.add(output.dtype))
    return seen

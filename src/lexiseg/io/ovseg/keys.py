"""Weight names of official OVSeg checkpoints (detectron2's and OpenAI's) and ours, in both directions."""

import re
from collections.abc import Mapping

from torch import Tensor

from lexiseg.encoders.segmenters.official_names import Renaming, Row, swin_rows

_RESNET, _OFFICIAL_RESNET = "segmenter.backbone.resnet.", "backbone."
_FPN, _OFFICIAL_FPN = "segmenter.pixel_decoder.", "sem_seg_head.pixel_decoder."
_QUERIES, _OFFICIAL_QUERIES = "segmenter.transformer.", "sem_seg_head.predictor."
_LAYER, _OFFICIAL_LAYER = f"{_QUERIES}decoder.layers.#.", f"{_OFFICIAL_QUERIES}transformer.decoder.layers.#."
OFFICIAL_CLIP = "clip_adapter.clip_model."
"""Prefix of CLIP's weights in a checkpoint of the whole model."""

TABLE: tuple[Row, ...] = (
    *swin_rows("segmenter.backbone."),
    # ResNet with a deep stem
    (f"{_RESNET}conv1.0.*", f"{_OFFICIAL_RESNET}stem.conv1.*"),
    (f"{_RESNET}conv1.1.*", f"{_OFFICIAL_RESNET}stem.conv1.norm.*"),
    (f"{_RESNET}conv1.3.*", f"{_OFFICIAL_RESNET}stem.conv2.*"),
    (f"{_RESNET}conv1.4.*", f"{_OFFICIAL_RESNET}stem.conv2.norm.*"),
    (f"{_RESNET}conv1.6.*", f"{_OFFICIAL_RESNET}stem.conv3.*"),
    (f"{_RESNET}bn1.*", f"{_OFFICIAL_RESNET}stem.conv3.norm.*"),
    *(
        (f"{_RESNET}layer{stage}.#.{own}.*", f"{_OFFICIAL_RESNET}res{stage + 1}.#.{official}.*")
        for stage in (1, 2, 3, 4)
        for own, official in (
            *((f"{part}{n}", f"conv{n}{norm}") for n in (1, 2, 3) for part, norm in (("conv", ""), ("bn", ".norm"))),
            ("downsample.0", "shortcut"),
            ("downsample.1", "shortcut.norm"),
        )
    ),
    # Pixel decoder: the stages count from the deepest map up here, from the finest map down there
    (f"{_FPN}fpn.stem.0.*", f"{_OFFICIAL_FPN}layer_4.*"),
    (f"{_FPN}fpn.stem.1.*", f"{_OFFICIAL_FPN}layer_4.norm.*"),
    *(
        (f"{_FPN}fpn.layers.{own}.{part}.*", f"{_OFFICIAL_FPN}{official}_{stage}{norm}.*")
        for own, stage in ((0, 3), (1, 2), (2, 1))
        for part, official, norm in (
            ("proj.0", "adapter", ""),
            ("proj.1", "adapter", ".norm"),
            ("block.0", "layer", ""),
            ("block.1", "layer", ".norm"),
        )
    ),
    (f"{_FPN}mask_projection.*", f"{_OFFICIAL_FPN}mask_features.*"),
    # Transformer decoder
    (f"{_QUERIES}queries_embedder.*", f"{_OFFICIAL_QUERIES}query_embed.*"),
    (f"{_QUERIES}input_projection.*", f"{_OFFICIAL_QUERIES}input_proj.*"),
    (f"{_LAYER}self_attn.q/k/v.*", f"{_OFFICIAL_LAYER}self_attn.in_proj_*"),
    (f"{_LAYER}self_attn.o_proj.*", f"{_OFFICIAL_LAYER}self_attn.out_proj.*"),
    (f"{_LAYER}self_attn_layer_norm.*", f"{_OFFICIAL_LAYER}norm1.*"),
    (f"{_LAYER}encoder_attn.q/k/v.*", f"{_OFFICIAL_LAYER}multihead_attn.in_proj_*"),
    (f"{_LAYER}encoder_attn.o_proj.*", f"{_OFFICIAL_LAYER}multihead_attn.out_proj.*"),
    (f"{_LAYER}encoder_attn_layer_norm.*", f"{_OFFICIAL_LAYER}norm2.*"),
    (f"{_LAYER}mlp.fc1.*", f"{_OFFICIAL_LAYER}linear1.*"),
    (f"{_LAYER}mlp.fc2.*", f"{_OFFICIAL_LAYER}linear2.*"),
    (f"{_LAYER}final_layer_norm.*", f"{_OFFICIAL_LAYER}norm3.*"),
    (f"{_QUERIES}decoder.layernorm.*", f"{_OFFICIAL_QUERIES}transformer.decoder.norm.*"),
    *((f"segmenter.mask_embed.{2 * n}.*", f"{_OFFICIAL_QUERIES}mask_embed.layers.{n}.*") for n in range(3)),
    # Words
    *((f"head.project.{2 * n}.*", f"{_OFFICIAL_QUERIES}class_embed.layers.{n}.*") for n in range(2)),
    ("head.void_embed", "clip_adapter.non_object_embedding"),
    ("clip.prompts.prompt_embed", f"{OFFICIAL_CLIP}visual.mask_embedding"),
    ("clip.clip.*", f"{OFFICIAL_CLIP}*"),
)
"""Our names and the official ones."""

KNOWN_BUFFERS = re.compile(
    r"\.relative_position_index$|^criterion\.empty_weight$|^(clip_adapter\.)?pixel_(mean|std)$|\.num_batches_tracked$"
)
"""What a checkpoint may hold beside weights: buffers that follow from its sizes, and the loss's class weights."""

_RENAMING = Renaming(TABLE)


def from_official(weights: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames official weights to ours; see `Renaming.from_official`."""
    return _RENAMING.from_official(weights, like)


def to_official(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames our weights to the official names: the inverse of `from_official`, without buffers."""
    return _RENAMING.to_official(
        {name: tensor[None] if name == "head.void_embed" else tensor for name, tensor in weights.items()}
    )

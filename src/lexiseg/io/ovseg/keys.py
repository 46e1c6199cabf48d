"""Weight names of official OVSeg checkpoints (detectron2's and OpenAI's) and ours, in both directions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

_SWIN, _OFFICIAL_SWIN = "segmenter.backbone.swin.", "backbone."
_BLOCK, _OFFICIAL_BLOCK = f"{_SWIN}encoder.layers.#.blocks.#.", f"{_OFFICIAL_SWIN}layers.#.blocks.#."
_RESNET, _OFFICIAL_RESNET = "segmenter.backbone.resnet.", "backbone."
_FPN, _OFFICIAL_FPN = "segmenter.pixel_decoder.", "sem_seg_head.pixel_decoder."
_QUERIES, _OFFICIAL_QUERIES = "segmenter.transformer.", "sem_seg_head.predictor."
_LAYER, _OFFICIAL_LAYER = f"{_QUERIES}decoder.layers.#.", f"{_OFFICIAL_QUERIES}transformer.decoder.layers.#."
OFFICIAL_CLIP = "clip_adapter.clip_model."
"""Prefix of CLIP's weights in a checkpoint of the whole model."""

TABLE: tuple[tuple[str, str], ...] = (
    # Swin
    (f"{_SWIN}embeddings.patch_embeddings.projection.*", f"{_OFFICIAL_SWIN}patch_embed.proj.*"),
    (f"{_SWIN}embeddings.norm.*", f"{_OFFICIAL_SWIN}patch_embed.norm.*"),
    (f"{_BLOCK}layernorm_before.*", f"{_OFFICIAL_BLOCK}norm1.*"),
    (f"{_BLOCK}attention.q/k/v.*", f"{_OFFICIAL_BLOCK}attn.qkv.*"),
    (f"{_BLOCK}attention.o_proj.*", f"{_OFFICIAL_BLOCK}attn.proj.*"),
    (f"{_BLOCK}attention.relative_position_bias.*", f"{_OFFICIAL_BLOCK}attn.*"),
    (f"{_BLOCK}layernorm_after.*", f"{_OFFICIAL_BLOCK}norm2.*"),
    (f"{_BLOCK}mlp.*", f"{_OFFICIAL_BLOCK}mlp.*"),
    (f"{_SWIN}encoder.layers.#.downsample.*", f"{_OFFICIAL_SWIN}layers.#.downsample.*"),
    *((f"segmenter.backbone.hidden_states_norms.stage{n + 1}.*", f"backbone.norm{n}.*") for n in range(4)),
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
"""Our names and the official ones: # is a number, * the rest of the name, q/k/v a third of one official matrix."""

KNOWN_BUFFERS = re.compile(
    r"\.relative_position_index$|^criterion\.empty_weight$|^(clip_adapter\.)?pixel_(mean|std)$|\.num_batches_tracked$"
)
"""What a checkpoint may hold beside weights: buffers that follow from its sizes, and the loss's class weights."""

_THIRDS = ("q_proj", "k_proj", "v_proj")


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialPlace:
    """The place of a weight in an official checkpoint."""

    key: str
    third: int | None = None
    """The third of the matrix's rows (query, key, value: 0, 1, 2); None is the whole."""


def official_place(name: str) -> OfficialPlace:
    """The official place of one of an OVSeg's weights.

    Raises:
        KeyError: if official checkpoints have no such weight.
    """
    for pattern, official in _PATTERNS:
        if found := pattern.fullmatch(name):
            third = found["third"] if "third" in pattern.groupindex else None
            parts = [part for index, part in enumerate(found.groups(), 1) if index != pattern.groupindex.get("third")]
            return OfficialPlace(key=official.format(*parts), third=None if third is None else _THIRDS.index(third))
    raise KeyError(name)


def _compiled(own: str, official: str) -> tuple[re.Pattern[str], str]:
    """A row of the table as a regular expression and a format string."""
    pattern = re.escape(own).replace(r"\#", r"(\d+)").replace(r"\*", "(.+)")
    return re.compile(pattern.replace("q/k/v", f"(?P<third>{'|'.join(_THIRDS)})")), re.sub("[#*]", "{}", official)


_PATTERNS = tuple(_compiled(*row) for row in TABLE)


def from_official(weights: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames official weights to ours.

    Args:
        weights: by official names; only batch counters may be missing.
        like: tensors of the expected shapes by our names; the meta device suffices.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in like.items():
        place = official_place(name)
        if place.key not in weights and name.endswith("num_batches_tracked"):
            found[name] = torch.zeros((), dtype=tensor.dtype)  # frozen batch norms do not count
            continue
        whole = weights[place.key]
        part = whole if place.third is None else whole.chunk(3)[place.third]
        found[name] = part.reshape(tensor.shape)
    return found


def to_official(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames our weights to the official names: the inverse of `from_official`, without buffers."""
    thirds: dict[str, dict[int, Tensor]] = {}
    found: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        place = official_place(name)
        if place.third is None:
            found[place.key] = tensor[None] if name == "head.void_embed" else tensor
        else:
            thirds.setdefault(place.key, {})[place.third] = tensor
    return found | {key: torch.cat([parts[third] for third in sorted(parts)]) for key, parts in thirds.items()}

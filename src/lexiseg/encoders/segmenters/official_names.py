"""Weight names of official checkpoints (detectron2's) and ours: tables of names that are read in both directions."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Row = tuple[str, str]
"""Our name and the official one: # is a number, * the rest of the name, q/k/v a third of one official matrix."""

_HEAD = "sem_seg_head."
_PIXELS, _QUERIES = f"{_HEAD}pixel_decoder.", f"{_HEAD}predictor."
_STAGES = (2, 3, 4, 5)
_THIRDS = ("q_proj", "k_proj", "v_proj")
_OLD_QUERIES, _QUERY_FEATURES = f"{_QUERIES}static_query.weight", f"{_QUERIES}query_feat.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialPlace:
    """The place of a weight in an official checkpoint."""

    key: str
    third: int | None = None
    """The third of the matrix's rows (query, key, value: 0, 1, 2); None is the whole."""


class Renaming:
    """A table of names, read in both directions."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._patterns = tuple(_compiled(*row) for row in rows)

    def place(self, name: str) -> OfficialPlace:
        """The official place of one of our weights.

        Raises:
            KeyError: if official checkpoints have no such weight.
        """
        for pattern, official in self._patterns:
            if found := pattern.fullmatch(name):
                third = pattern.groupindex.get("third")
                parts = [part for index, part in enumerate(found.groups(), 1) if index != third]
                return OfficialPlace(
                    key=official.format(*parts), third=None if third is None else _THIRDS.index(found[third])
                )
        raise KeyError(name)

    def from_official(self, weights: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Renames official weights to ours.

        Args:
            weights: by official names; only batch counters may be missing.
            like: tensors of the expected shapes by our names; the meta device suffices.

        Raises:
            KeyError: if a weight is missing, or one of our names has no official place.
        """
        found: dict[str, Tensor] = {}
        for name, tensor in like.items():
            place = self.place(name)
            if place.key not in weights and name.endswith("num_batches_tracked"):
                found[name] = torch.zeros((), dtype=tensor.dtype)  # frozen batch norms do not count
                continue
            whole = weights[place.key]
            part = whole if place.third is None else whole.chunk(3)[place.third]
            found[name] = part.reshape(tensor.shape)
        return found

    def to_official(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Renames our weights to the official names: the inverse of `from_official`, without buffers."""
        thirds: dict[str, dict[int, Tensor]] = {}
        found: dict[str, Tensor] = {}
        for name, tensor in weights.items():
            place = self.place(name)
            if place.third is None:
                found[place.key] = tensor
            else:
                thirds.setdefault(place.key, {})[place.third] = tensor
        return found | {key: torch.cat([parts[third] for third in sorted(parts)]) for key, parts in thirds.items()}


def _compiled(own: str, official: str) -> tuple[re.Pattern[str], str]:
    """A row of the table as a regular expression and a format string."""
    pattern = re.escape(own).replace(r"\#", r"(\d+)").replace(r"\*", "(.+)")
    return re.compile(pattern.replace("q/k/v", f"(?P<third>{'|'.join(_THIRDS)})")), re.sub("[#*]", "{}", official)


def swin_rows(own: str) -> tuple[Row, ...]:
    """The names of transformers' Swin, whose prefix is `own`, and those of detectron2's D2SwinTransformer."""
    swin, official = f"{own}swin.", "backbone."
    block, official_block = f"{swin}encoder.layers.#.blocks.#.", f"{official}layers.#.blocks.#."
    return (
        (f"{swin}embeddings.patch_embeddings.projection.*", f"{official}patch_embed.proj.*"),
        (f"{swin}embeddings.norm.*", f"{official}patch_embed.norm.*"),
        (f"{block}layernorm_before.*", f"{official_block}norm1.*"),
        (f"{block}attention.q/k/v.*", f"{official_block}attn.qkv.*"),
        (f"{block}attention.o_proj.*", f"{official_block}attn.proj.*"),
        (f"{block}attention.relative_position_bias.*", f"{official_block}attn.*"),
        (f"{block}layernorm_after.*", f"{official_block}norm2.*"),
        (f"{block}mlp.*", f"{official_block}mlp.*"),
        (f"{swin}encoder.layers.#.downsample.*", f"{official}layers.#.downsample.*"),
        *((f"{own}hidden_states_norms.stage{n + 1}.*", f"{official}norm{n}.*") for n in range(4)),
    )


def resnet_rows(own: str) -> tuple[Row, ...]:
    """The names of transformers' ResNet, whose prefix is `own`, and those of detectron2's with its plain stem."""
    official = "backbone."
    parts = (("convolution", ""), ("normalization", "norm."))
    return (
        *((f"{own}embedder.embedder.{part}.*", f"{official}stem.conv1.{norm}*") for part, norm in parts),
        *(
            (f"{own}encoder.stages.{stage - 2}.layers.#.{place}.{part}.*", f"{official}res{stage}.#.{there}.{norm}*")
            for stage in _STAGES
            for place, there in (("shortcut", "shortcut"), *((f"layer.{n}", f"conv{n + 1}") for n in range(3)))
            for part, norm in parts
        ),
    )


def pixel_decoder_rows(own: str) -> tuple[Row, ...]:
    """The names of transformers' Mask2FormerPixelDecoder, whose prefix is `own`, and the official ones."""
    layer, official_layer = f"{own}encoder.layers.#.", f"{_PIXELS}transformer.encoder.layers.#."
    return (
        (f"{own}level_embed", f"{_PIXELS}transformer.level_embed"),
        (f"{own}input_projections.#.*", f"{_PIXELS}input_proj.#.*"),
        (f"{layer}self_attn.*", f"{official_layer}self_attn.*"),
        (f"{layer}self_attn_layer_norm.*", f"{official_layer}norm1.*"),
        *((f"{layer}fc{n}.*", f"{official_layer}linear{n}.*") for n in (1, 2)),
        (f"{layer}final_layer_norm.*", f"{official_layer}norm2.*"),
        (f"{own}mask_projection.*", f"{_PIXELS}mask_features.*"),
        *(
            (f"{own}{step}.{part}.*", f"{_PIXELS}{step}.{norm}*")
            for step in ("adapter_1", "layer_1")
            for part, norm in ((0, ""), (1, "norm."))
        ),
    )


def query_decoder_rows(own: str) -> tuple[Row, ...]:
    """The names of transformers' Mask2FormerTransformerModule, whose prefix is `own`, and the official ones.

    The class head is not among them.
    """
    layer, norms = f"{own}decoder.layers.#.", "_layer_norm.*"
    own_attention, crossed, ffn = (
        f"{_QUERIES}transformer_{x}_layers.#." for x in ("self_attention", "cross_attention", "ffn")
    )
    return (
        (f"{own}queries_embedder.*", f"{_QUERIES}query_embed.*"),
        (f"{own}queries_features.*", f"{_QUERIES}query_feat.*"),
        (f"{own}level_embed.*", f"{_QUERIES}level_embed.*"),
        (f"{layer}self_attn.q/k/v.*", f"{own_attention}self_attn.in_proj_*"),
        (f"{layer}self_attn.out_proj.*", f"{own_attention}self_attn.out_proj.*"),
        (f"{layer}self_attn{norms}", f"{own_attention}norm.*"),
        (f"{layer}cross_attn.*", f"{crossed}multihead_attn.*"),
        (f"{layer}cross_attn{norms}", f"{crossed}norm.*"),
        *((f"{layer}fc{n}.*", f"{ffn}linear{n}.*") for n in (1, 2)),
        (f"{layer}final{norms}", f"{ffn}norm.*"),
        (f"{own}decoder.layernorm.*", f"{_QUERIES}decoder_norm.*"),
        (f"{own}decoder.mask_predictor.mask_embedder.#.0.*", f"{_QUERIES}mask_embed.layers.#.*"),
    )


def in_current_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A Mask2Former's or an FC-CLIP's official weights under the names of the official programs of today.

    Model-zoo files call the learned query features `static_query`, and still older ones have the pixel decoder's
    weights directly under `sem_seg_head.`; files of today come back as they are.
    """
    found: dict[str, Tensor] = {}
    for key, tensor in weights.items():
        if key == _OLD_QUERIES and _QUERY_FEATURES not in weights:
            key = _QUERY_FEATURES
        elif key.startswith(_HEAD) and not key.startswith((_PIXELS, _QUERIES)):
            key = _PIXELS + key.removeprefix(_HEAD)
        found[key] = tensor
    return found


def decoder_sizes(weights: Mapping[str, Tensor]) -> dict[str, int]:
    """The sizes of both decoders, as `SegmenterConfig` calls them, from weights under the official names of today.

    Raises:
        KeyError: naming a weight that is missing.
        ValueError: if there are no layers, or the pixel decoder samples other points.
    """
    encoder_layer = f"{_PIXELS}transformer.encoder.layers."
    num_queries, hidden_dim = weights[_QUERY_FEATURES].shape
    num_heads, rest = divmod(len(weights[f"{encoder_layer}0.self_attn.sampling_offsets.weight"]), 3 * 4 * 2)
    if rest or not num_heads:
        raise ValueError("the pixel decoder samples no 4 points at 3 levels")
    return {
        "hidden_dim": hidden_dim,
        "mask_dim": len(weights[f"{_PIXELS}mask_features.weight"]),
        "encoder_layers": count(weights, rf"{re.escape(encoder_layer)}(\d+)\."),
        "encoder_feedforward_dim": len(weights[f"{encoder_layer}0.linear1.weight"]),
        "decoder_layers": count(weights, rf"{re.escape(_QUERIES)}transformer_cross_attention_layers\.(\d+)\."),
        "feedforward_dim": len(weights[f"{_QUERIES}transformer_ffn_layers.0.linear1.weight"]),
        "num_heads": num_heads,  # of the pixel decoder; the query decoder's do not show
        "num_queries": num_queries,
    }


def swin_sizes(weights: Mapping[str, Tensor]) -> dict[str, int | tuple[int, int, int, int]]:
    """The sizes of detectron2's Swin, as `SwinBackbone` calls them; raises KeyError or ValueError if it is none."""
    tables = [weights[f"backbone.layers.{stage}.blocks.0.attn.relative_position_bias_table"] for stage in range(4)]
    return {
        "embed_dim": len(weights["backbone.patch_embed.proj.weight"]),
        "depths": four(count(weights, rf"backbone\.layers\.{stage}\.blocks\.(\d+)\.") for stage in range(4)),
        "num_heads": four(table.shape[1] for table in tables),
        "window_size": (math.isqrt(len(tables[0])) + 1) // 2,
    }


def resnet_sizes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, int, int, int]]:
    """Widths and depths of detectron2's ResNet, as `ResNetBackbone` calls them; raises KeyError or ValueError."""
    last = "conv3" if "backbone.res2.0.conv3.weight" in weights else "conv2"
    return {
        "hidden_sizes": four(len(weights[f"backbone.res{stage}.0.{last}.weight"]) for stage in _STAGES),
        "depths": four(count(weights, rf"backbone\.res{stage}\.(\d+)\.") for stage in _STAGES),
    }


def four(values: Iterable[int]) -> tuple[int, int, int, int]:
    """Four whole numbers, one for each stage of a backbone; raises ValueError if there are more or fewer."""
    one, two, three, last = map(int, values)
    return one, two, three, last


def count(weights: Mapping[str, Tensor], pattern: str) -> int:
    """How many numbers the one group of a pattern matches; raises ValueError if there is none."""
    found = {match[1] for key in weights if (match := re.match(pattern, key))}
    if not found:
        raise ValueError(f"nothing is called {pattern}")
    return len(found)

"""The families of open_clip's models that are built here, and the sizes of one by name, words or weights."""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import open_clip
import timm
import torch
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from timm.layers import GELUTanh
from torch import Tensor

from lexiseg.core.messages import shown
from lexiseg.encoders.clip.convnext import ConvNextClip, ConvNextConfig, trunk_sizes
from lexiseg.encoders.clip.resnet import Clip, ClipConfig
from lexiseg.encoders.clip.siglip import SiglipClip, SiglipConfig
from lexiseg.encoders.clip.vit import VitClip, VitConfig

AnyClipConfig = ClipConfig | VitConfig | ConvNextConfig | SiglipConfig
"""The configuration of a CLIP of any family."""
FAMILIES = "RN50, ViT-B-16, convnext_base, ViT-B-16-SigLIP or another of their families"
"""What is read, in messages."""
_HEAD_WIDTHS = {1280: 80, 1408: 88, 1664: 104, 1792: 112}
"""By the image tower's width, of ViT-H, g, G and e; smaller ones and text towers have heads of 64."""
_NO_SIZES = frozenset({"timm_drop", "timm_drop_path", "timm_model_pretrained", "patch_dropout", "output_tokens"})
"""Of training only."""
_TEXT = {"context_length", "width", "heads", "layers"}


def build_clip(config: AnyClipConfig) -> Clip | VitClip | ConvNextClip | SiglipClip:
    """A CLIP of these sizes, with random weights."""
    match config:
        case ClipConfig():
            return Clip(config)
        case VitConfig():
            return VitClip(config)
        case ConvNextConfig():
            return ConvNextClip(config)
        case SiglipConfig():
            return SiglipClip(config)


def named_config(model: str) -> AnyClipConfig | None:
    """The sizes of one of open_clip's own architectures; None if it has none of this name.

    Raises:
        ValueError: if it is of a family that is not built here.
    """
    document = None if ":" in model else open_clip.get_model_config(model)
    return None if document is None else described_config(document, shown(model))


def described_config(document: Mapping[str, Any], source: str) -> AnyClipConfig:
    """The sizes in one of open_clip's configurations, as of `open_clip_config.json` under "model_cfg".

    Args:
        document: "embed_dim", "vision_cfg", "text_cfg" and, where it has it, "quick_gelu".
        source: what it is, for messages.

    Raises:
        ValueError: if it is of a family that is not built here, or its sizes are none.
    """
    vision_part, text_part = document.get("vision_cfg"), document.get("text_cfg")
    if not isinstance(vision_part, dict) or not isinstance(text_part, dict):
        raise ValueError(f"{source} does not describe an open_clip model: expected vision_cfg and text_cfg.")
    try:
        vision = CLIPVisionCfg(**{key: value for key, value in vision_part.items() if key not in _NO_SIZES})
        text = CLIPTextCfg(**text_part)
    except TypeError as error:
        unknown = str(error).rpartition("'")[0].rpartition("'")[2]
        raise _other(source, f"with {shown(unknown)}") from error
    if "multimodal_cfg" in document or text.hf_model_name:
        raise _other(
            source,
            "with a decoder of captions (CoCa)"
            if "multimodal_cfg" in document
            else "with a text tower of transformers",
        )
    sizes = {
        "embed_dim": document.get("embed_dim"),
        "text_width": text.width,
        "text_heads": text.heads,
        "text_layers": text.layers,
        "context_length": text.context_length,
        "quick_gelu": document.get("quick_gelu", False),
    }
    try:
        if re.fullmatch("convnext_[a-z]+", vision.timm_model_name or "") and timm.is_model(str(vision.timm_model_name)):
            _check_rest(text, _TEXT, source)
            own = {"timm_model_name", "timm_pool", "timm_proj", "image_size"}
            _check_rest(vision, own, source)
            if vision.timm_pool != "" or vision.timm_proj not in ("linear", "mlp"):
                raise _other(source, f"with timm_pool {shown(vision.timm_pool)}, timm_proj {shown(vision.timm_proj)}")
            trunk = trunk_sizes(str(vision.timm_model_name))
            sizes |= {"image_size": vision.image_size, "head": vision.timm_proj, **trunk}
            return _made(ConvNextConfig, sizes)
        if re.fullmatch(r"vit_[a-z0-9]+_patch\d+_siglip_\d+", vision.timm_model_name or ""):
            return _siglip(document, vision, text, source)
        if vision.timm_model_name:
            raise _other(source, f"whose image tower is timm's {shown(vision.timm_model_name)}")
        _check_rest(text, _TEXT, source)
        if isinstance(vision.layers, list | tuple):
            _check_rest(vision, {"layers", "width", "head_width", "image_size"}, source)
            sizes |= {"layers": tuple(vision.layers), "width": vision.width}
            sizes |= {"head_width": vision.head_width, "image_size": vision.image_size}
            return _made(ClipConfig, sizes)
        own = {"layers", "width", "head_width", "mlp_ratio", "patch_size", "image_size"}
        _check_rest(vision, own, source)
        return _made(VitConfig, sizes | {name: value for name, value in asdict(vision).items() if name in own})
    except _SizeError as error:
        raise ValueError(f"{source} can't be read: {error}.") from error


def _siglip(document: Mapping[str, Any], vision: CLIPVisionCfg, text: CLIPTextCfg, source: str) -> SiglipConfig:
    """The sizes of a SigLIP, whose image tower open_clip takes from timm by name."""
    _check_rest(vision, {"timm_model_name", "timm_pool", "timm_proj", "image_size"}, source)
    kept = {"no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}}
    kept |= {"tokenizer_kwargs": {"clean": "canonicalize"}}
    own = _TEXT | kept.keys() | {"vocab_size", "mlp_ratio", "act_kwargs", "hf_tokenizer_name"}
    _check_rest(text, own, source)
    if wrong := [name for name, value in kept.items() if getattr(text, name) != value]:
        raise _other(source, f"with {wrong[0]} {shown(getattr(text, wrong[0]))}")
    acts = {"none": "gelu", "tanh": "gelu_tanh"}
    activation = acts.get(str((text.act_kwargs or {}).get("approximate", "none")))
    name = str(vision.timm_model_name)
    if not timm.is_model(name) or (vision.timm_pool, vision.timm_proj) != ("map", "none") or activation is None:
        raise _other(source, f"with the image tower {shown(name)}")
    with torch.device("meta"):
        trunk: Any = timm.create_model(name, num_classes=0)
    block, patches = trunk.blocks[0], trunk.patch_embed
    sizes = {
        "width": trunk.embed_dim,
        "layers": len(trunk.blocks),
        "heads": block.attn.num_heads,
        "patch_size": patches.patch_size[0],
        "image_size": patches.img_size[0],
        "mlp_ratio": _ratio(block.mlp.fc1.out_features, trunk.embed_dim),
        "text_width": text.width,
        "text_heads": text.heads,
        "text_layers": text.layers,
        "text_mlp_ratio": text.mlp_ratio,
        "context_length": text.context_length,
        "vocabulary_size": text.vocab_size,
    }
    if document.get("embed_dim") != trunk.embed_dim:
        raise _SizeError(f"embed_dim is {shown(document.get('embed_dim'))} instead of {trunk.embed_dim}")
    own_activation = "gelu_tanh" if isinstance(block.mlp.act, GELUTanh) else "gelu"
    return _made(SiglipConfig, sizes | {"activation": own_activation, "text_activation": activation})


class _SizeError(Exception):
    """A size that no network has."""


def _made(kind: type[Any], sizes: Mapping[str, Any]) -> Any:
    """A configuration whose every number is checked."""
    for name, value in sizes.items():
        if name in ("head", "norm_eps", "activation", "text_activation"):  # checked already, or timm's own
            continue
        for one in value if isinstance(value, tuple) else (value,):
            most = 1000 if "layers" in name else 1 << 20
            if name == "quick_gelu":
                fits = isinstance(one, bool)
            else:
                kinds = (int, float) if name.endswith("mlp_ratio") else (int,)
                fits = type(one) in kinds and 0 < one <= most
            if not fits:
                raise _SizeError(f"{name} is {shown(value)}")
    if kind is ClipConfig and len(sizes["layers"]) != 4:
        raise _SizeError(f"layers is {shown(sizes['layers'])}, not four numbers")
    try:
        return kind(**sizes)
    except ValueError as error:
        raise _SizeError(str(error).rstrip(".")) from error


def _check_rest(config: CLIPVisionCfg | CLIPTextCfg, own: set[str], source: str) -> None:
    """Checks that a configuration has open_clip's defaults but for the sizes that are read from it."""
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name not in own and value != field.default and value is not None:
            raise _other(source, f"with {field.name} {shown(value)}")


def _other(source: str, what: str) -> ValueError:
    return ValueError(f"{source} is of a kind that is not read, {what}: choose {FAMILIES}.")


def sizes_of_weights(state: Mapping[str, Tensor]) -> tuple[type[AnyClipConfig], dict[str, Any]]:
    """The family of open_clip weights, and the fields of its configuration that follow from their shapes.

    Heads do not follow: without another word they get the width of all published models.

    Raises:
        ValueError: if the weights are those of another family, or of none; the words follow a file's name.
    """
    if "visual.attnpool.c_proj.weight" in state:
        return ClipConfig, _resnet_sizes(state) | _text_sizes(state)
    if "visual.class_embedding" in state and "visual.proj" in state:
        return VitConfig, _vit_sizes(state) | _text_sizes(state)
    if "visual.trunk.stem.0.weight" in state and "visual.trunk.head.norm.weight" in state:
        return ConvNextConfig, _convnext_sizes(state) | _text_sizes(state)
    if "visual.trunk.attn_pool.latent" in state and "text.positional_embedding" in state:
        return SiglipConfig, _siglip_sizes(state)
    for mark, what in _OTHERS.items():
        if any(name.startswith(mark) for name in state):
            raise ValueError(f"holds {what}: choose open_clip's weights of {FAMILIES}")
    raise ValueError(f"holds no CLIP (no weights of an image tower): choose open_clip's weights of {FAMILIES}")


def config_of_weights(state: Mapping[str, Tensor]) -> AnyClipConfig:
    """The configuration of open_clip weights, with heads as wide as those of all published models of these sizes.

    Raises:
        ValueError: if they are those of another family, or no network has their sizes.
    """
    kind, sizes = sizes_of_weights(state)
    if kind is SiglipConfig:
        raise ValueError("holds a SigLIP, whose weights do not tell its activations: name the model beside it")
    sizes["text_heads"] = max(1, sizes["text_width"] // 64)
    if kind is VitConfig:
        sizes["head_width"] = _HEAD_WIDTHS.get(sizes["width"], 64)
    if kind is ConvNextConfig and sizes["dims"][0] == 384:  # timm's xxlarge alone
        sizes["norm_eps"] = 1e-5
    return kind(**sizes)


_OTHERS = {
    "vision_model.": "a CLIP in transformers' layout",
    "visual.trunk.": "a CLIP whose image tower is another one of timm's",
    "text.transformer.embeddings": "a CLIP with a text tower of transformers",
    "text_decoder.": "a CoCa",
    "visual.": "an image tower of an unknown kind",
}


def _resnet_sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    positions, _ = shape_of(state, "visual.attnpool.positional_embedding", 2)
    return {
        "layers": tuple(_count(state, rf"visual\.layer{stage}\.(\d+)\.") for stage in range(1, 5)),
        "width": shape_of(state, "visual.layer1.0.conv1.weight", 4)[0],
        "image_size": 32 * math.isqrt(positions - 1),
    }


def _vit_sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    width, _, patch_size, _ = shape_of(state, "visual.conv1.weight", 4)
    hidden, _ = shape_of(state, "visual.transformer.resblocks.0.mlp.c_fc.weight", 2)
    positions, _ = shape_of(state, "visual.positional_embedding", 2)
    return {
        "width": width,
        "layers": _count(state, r"visual\.transformer\.resblocks\.(\d+)\."),
        "patch_size": patch_size,
        "image_size": patch_size * math.isqrt(positions - 1),
        "mlp_ratio": _ratio(hidden, width),
    }


def _convnext_sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    stage = "visual.trunk.stages."
    return {
        "depths": tuple(_count(state, rf"visual\.trunk\.stages\.{number}\.blocks\.(\d+)\.") for number in range(4)),
        "dims": tuple(shape_of(state, f"{stage}{number}.blocks.0.conv_dw.weight", 4)[0] for number in range(4)),
        "head": "mlp" if "visual.head.mlp.fc1.weight" in state else "linear",
    }


def _siglip_sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    trunk, text = "visual.trunk.", "text."
    width, _, patch_size, _ = shape_of(state, f"{trunk}patch_embed.proj.weight", 4)
    vocabulary_size, text_width = shape_of(state, f"{text}token_embedding.weight", 2)
    return {
        "width": width,
        "layers": _count(state, r"visual\.trunk\.blocks\.(\d+)\."),
        "patch_size": patch_size,
        "mlp_ratio": _ratio(shape_of(state, f"{trunk}blocks.0.mlp.fc1.weight", 2)[0], width),
        "text_width": text_width,
        "text_layers": _count(state, r"text\.transformer\.resblocks\.(\d+)\."),
        "text_mlp_ratio": _ratio(shape_of(state, f"{text}transformer.resblocks.0.mlp.c_fc.weight", 2)[0], text_width),
        "context_length": shape_of(state, f"{text}positional_embedding", 2)[0],
        "vocabulary_size": vocabulary_size,
    }


def _ratio(hidden: int, width: int) -> float:
    """The ratio that gives an MLP exactly this width."""
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else math.nextafter(ratio, math.inf)


def _text_sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    context_length, text_width = shape_of(state, "positional_embedding", 2)
    return {
        "embed_dim": shape_of(state, "text_projection", 2)[1],
        "text_width": text_width,
        "text_layers": _count(state, r"transformer\.resblocks\.(\d+)\."),
        "context_length": context_length,
    }


def shape_of(state: Mapping[str, Tensor], name: str, rank: int) -> tuple[int, ...]:
    """The shape of a weight; raises ValueError if it is missing, empty or of another rank."""
    if name not in state or state[name].ndim != rank or not state[name].numel():
        raise ValueError(f"{name} is missing, empty or of another rank")
    return tuple(state[name].shape)


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    block = re.compile(pattern)
    return len({match[1] for name in state if (match := block.match(name))})

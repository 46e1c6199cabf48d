"""Published weights of a ViT CLIP: open_clip's, and OVSeg's mask-adapted ones with their mask prompts."""

import logging
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lexiseg.core.messages import printable
from lexiseg.core.weights import weight_complaint
from lexiseg.encoders.clip.base import SIZES_BESIDE_WEIGHTS
from lexiseg.encoders.clip.families import config_of_weights, shape_of
from lexiseg.encoders.clip.torchscript import read_stored
from lexiseg.encoders.clip.vit import PromptConfig, VitClip, VitConfig

logger = logging.getLogger(__name__)

PROMPT_KEY = "prompts.prompt_embed"
"""The key of the mask prompts in a `VitClip`'s state dict."""
_OFFICIAL_PROMPTS = "mask_embedding"
"""The last part of their key in OVSeg's checkpoints, after "visual."."""
_NO_WEIGHTS = SIZES_BESIDE_WEIGHTS | {"attn_mask"}
"""What state dicts hold beside the weights; the mask follows from the sizes."""


def read_vit_weights(path: Path, *, quick_gelu: bool = True) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
    """Reads an open_clip state dict of a ViT CLIP, mask prompts of OVSeg, or both.

    Args:
        path: in any layout of `read_stored`, in float32 or half precision.
        quick_gelu: whether they are used with QuickGELU; if not, OpenAI's are named in a note.

    Returns:
        The weights by the keys of a `VitClip`, float32; empty if the file holds only prompts. Then the mask prompts
        (depth x patches x token width), or None if there are none. Together they are the state dict of a `VitClip` with
        the configuration of `vit_config_of`.

    Raises:
        ValueError: if the file is missing, cannot be read safely, or holds anything else.
    """
    stored = read_stored(path)
    if not quick_gelu and not SIZES_BESIDE_WEIGHTS.isdisjoint(stored):
        logger.warning("Note: %s bears OpenAI's marks, and OpenAI trained with QuickGELU.", printable(path))
    found = {name: value for name, value in stored.items() if name not in _NO_WEIGHTS}
    prompt_key = next((name for name in found if name.rpartition(".")[2] == _OFFICIAL_PROMPTS), None)
    prompt_embed = None if prompt_key is None else found.pop(prompt_key)
    prompts = None if prompt_embed is None else {PROMPT_KEY: prompt_embed}
    weights = {f"clip.{name}": value for name, value in found.items()}
    try:
        if weights:
            _check(weights, prompts or {})
        elif prompt_embed is None or prompt_embed.ndim != 3 or not prompt_embed.numel():
            raise ValueError("it holds neither CLIP's weights nor mask prompts")
    except (ValueError, RuntimeError, ArithmeticError, AssertionError) as error:  # sizes that no module can have
        raise ValueError(
            f"expected an open_clip checkpoint with a Vision Transformer of OpenAI's kind in {path}, but "
            f"{' '.join(str(error).split()).rstrip('.') or type(error).__name__}."
        ) from error
    return _float(weights), None if prompts is None else _float(prompts)


def vit_config_of(state: dict[str, Tensor], *, quick_gelu: bool = False) -> VitConfig:
    """The sizes of a `VitClip` from its weights.

    Args:
        state: from `read_vit_weights`, with or without prompts.
        quick_gelu: whether the weights were trained with QuickGELU, as OpenAI's and OVSeg's were.

    Raises:
        ValueError: if the weights are not those of a ViT CLIP.
    """
    config = config_of_weights({name.removeprefix("clip."): value for name, value in state.items()})
    if not isinstance(config, VitConfig):
        raise ValueError("holds a CLIP with another image tower")
    depth = shape_of(state, PROMPT_KEY, 3)[0] if PROMPT_KEY in state else None
    prompts = None if depth is None else PromptConfig(kind="mask", depth=depth)
    return replace(config, quick_gelu=quick_gelu, prompts=prompts)


def _check(weights: dict[str, Tensor], prompts: dict[str, Tensor]) -> None:
    """Checks names and shapes against a `VitClip` of these sizes on the meta device, before memory is allocated."""
    state = weights | prompts
    with torch.device("meta"):
        own = VitClip(vit_config_of(state)).state_dict()
    # in the words of the file, which knows no prefix
    bare, expected = ({name.removeprefix("clip."): value for name, value in part.items()} for part in (state, own))
    if complaint := weight_complaint(bare, expected):
        raise ValueError(f"it {complaint}")


def _float(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.float() for name, value in state.items()}

"""Importing OVSeg's mask-adapted CLIP: its weights, its mask prompts, or both."""

from dataclasses import replace
from pathlib import Path

from lexiseg.core.errors import ModelError
from lexiseg.core.messages import printable
from lexiseg.core.random import fork_random
from lexiseg.encoders.clip.vit import PromptConfig, VitClip
from lexiseg.encoders.clip.vit_weights import PROMPT_KEY, read_vit_weights, vit_config_of


def import_clip(path: Path, *, quick_gelu: bool = True, base: VitClip | None = None) -> VitClip:
    """Builds a CLIP from an open_clip state dict with a Vision Transformer, with or without OVSeg's mask prompts.

    Args:
        path: a .pt, .pth or .safetensors; pickles are opened with weights_only.
        quick_gelu: whether the weights were trained with QuickGELU, as OpenAI's and the authors' were.
        base: the CLIP whose weights are used where the file holds only prompts.

    Returns:
        The CLIP, on the CPU, in float32 and in eval mode.

    Raises:
        ValueError: if the file can't be read safely, holds something else, or its prompts don't fit the base.
    """
    weights, prompts = read_vit_weights(path, quick_gelu=quick_gelu)
    if weights:
        state = weights | (prompts or {})
        config = vit_config_of(state, quick_gelu=quick_gelu)
    elif base is None:
        raise ModelError(
            f"{printable(path)} holds mask prompts without the CLIP that they were learned for; "
            "name a model that has it with --model."
        )
    else:
        assert prompts is not None
        depth, *size = prompts[PROMPT_KEY].shape
        if size != [base.config.num_patches, base.config.width]:
            raise ModelError(
                f"the mask prompts in {printable(path)} are for {size[0]} patches of width {size[1]}, but the CLIP "
                f"has {base.config.num_patches} of width {base.config.width}; choose the model they were learned for."
            )
        config = replace(base.config, prompts=PromptConfig(kind="mask", depth=depth))
        state = {f"clip.{name}": value for name, value in base.clip.state_dict().items()} | prompts
    with fork_random():
        clip = VitClip(config)
    clip.load_state_dict(state)
    return clip.eval()

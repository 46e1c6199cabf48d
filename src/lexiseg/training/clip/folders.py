"""Folders of CLIPs and of learned prompts: what one training leaves, and what others begin from."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lexiseg.core.files import CLIP_CONFIG, CLIP_WEIGHTS
from lexiseg.core.messages import printable
from lexiseg.core.random import fork_random
from lexiseg.core.weights import load_part, weight_complaint
from lexiseg.encoders.clip.families import build_clip
from lexiseg.encoders.clip.published import read_clip as read_published
from lexiseg.encoders.clip.resnet import Clip, ClipConfig
from lexiseg.encoders.clip.vit import VitClip, VitConfig
from lexiseg.io.checkpoint import load_folder, load_into, save_folder
from lexiseg.io.config_json import from_jsonable
from lexiseg.io.models import load_model, system_of
from lexiseg.io.ovseg.clip import import_clip
from lexiseg.io.shipped import CONFIG_FILE
from lexiseg.models.learned_prompt import LearnedPrompt
from lexiseg.models.opsnet import OPSNet
from lexiseg.training.clip.contrastive import new_clip

logger = logging.getLogger(__name__)


def write_clip(folder: Path, clip: Clip | VitClip, *, dtype: torch.dtype | None = None) -> Path:
    """Writes a CLIP folder, prompts included, stored in a type or as it is; an earlier one is replaced.

    Raises:
        ModelError: if it can't be written, or the folder holds something else.
    """
    return save_folder(folder, clip.config, clip.state_dict(), dtype=dtype, overwrite=True)


def read_clip(folder: Path, sizes: ClipConfig | None = None) -> Clip | VitClip:
    """Reads a CLIP folder, or takes the CLIP out of a whole model's; it is on the CPU and in eval mode.

    Where an OPSNet's folder leaves the attention pool out, as that of the shipped one does, the pool is made anew from
    the spatial adapter: see `SpatialAdapter.unfold`.

    Args:
        folder: one of ours; or open_clip's, or a file of its weights.
        sizes: of open_clip's weights where they are a ResNet's, which do not tell them.

    Raises:
        ValueError: if the folder is missing, incomplete or damaged, or weights and config disagree.
    """
    files = (folder, *(folder / name for name in CLIP_WEIGHTS))
    if (file := next((path for path in files if path.is_file()), None)) is not None:
        return _read_open_clip(file, sizes)
    if system_of(folder) is not None:
        model = load_model(folder)
        if isinstance(model, OPSNet) and isinstance(model.config.clip, ClipConfig) and not model.config.clip.has_pool:
            return _with_pool(model, model.config.clip)
        return _trainable(model.clip, folder)
    document, weights = load_folder(folder)
    kind = VitConfig if "patch_size" in document else ClipConfig
    config = from_jsonable(kind, document, source=f"{CONFIG_FILE} in {printable(folder)}")
    with fork_random():
        clip = new_clip(config)
    load_into(clip, weights, folder)
    return clip.eval()


def _with_pool(model: OPSNet, config: ClipConfig) -> Clip:
    with fork_random():
        clip = Clip(replace(config, has_pool=True))
    weights = model.clip.state_dict()
    assert not weight_complaint(weights, clip.state_dict(), is_optional=lambda name: ".attnpool." in name)
    load_part(clip, weights)
    pool = clip.visual.attnpool
    assert isinstance(pool, nn.Module)
    assert model.adapter is not None
    model.adapter.unfold(pool)
    return clip.eval()


def _read_open_clip(file: Path, sizes: ClipConfig | None) -> Clip | VitClip:
    """open_clip's weights; a ViT's without a description are taken for OpenAI's or OVSeg's, trained with QuickGELU."""
    if sizes is None and not file.with_name(CLIP_CONFIG).is_file():
        return import_clip(file)
    found = read_published(file, model=sizes)
    if found.note:
        logger.warning("%s", found.note)
    with fork_random():
        clip = build_clip(found.config)
    clip.load_state_dict(dict(found.state))
    return _trainable(clip.eval(), file)


def _trainable(clip: nn.Module, place: Path) -> Clip | VitClip:
    if not isinstance(clip, Clip | VitClip):
        raise ValueError(
            f"expected a CLIP with a ModifiedResNet or a Vision Transformer of OpenAI's kind in {printable(place)}: no "
            "recipe goes on from another."
        )
    return clip


def read_vit_clip(folder: Path) -> VitClip:
    """`read_clip` where the image tower must be a Vision Transformer.

    Raises:
        ValueError: if it is a ResNet.
    """
    clip = read_clip(folder)
    if not isinstance(clip, VitClip):
        raise ValueError(
            f"expected a CLIP with a Vision Transformer, got one with a ResNet in {printable(folder)}: "
            "choose another, such as one from 'lexiseg train clip-vit-tiny'."
        )
    return clip


def read_resnet_clip(folder: Path, sizes: ClipConfig | None = None) -> Clip:
    """`read_clip` where the image tower must be a ResNet.

    Raises:
        ValueError: if it is a Vision Transformer.
    """
    clip = read_clip(folder, sizes)
    if not isinstance(clip, Clip):
        raise ValueError(
            f"expected a CLIP with a ResNet, got one with a Vision Transformer in {printable(folder)}: "
            "choose another, such as one from 'lexiseg train clip-tiny'."
        )
    return clip


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSizes:
    """The config.json of a learned prompt."""

    prompt_length: int
    text_width: int

    def __post_init__(self) -> None:
        if self.prompt_length < 1 or self.text_width < 1:
            raise ValueError(f"expected sizes above 0, got {self.prompt_length} and {self.text_width}; copy it again.")


def write_prompt(folder: Path, prompt: LearnedPrompt) -> Path:
    """Writes the folder of a learned prompt; an earlier one is replaced.

    Raises:
        ModelError: if it can't be written, or the folder holds something else.
    """
    length, width = prompt.vectors.shape
    sizes = PromptSizes(prompt_length=length, text_width=width)
    return save_folder(folder, sizes, prompt.state_dict(), overwrite=True)


def read_prompt(folder: Path) -> Float[Tensor, "P W"]:
    """Reads the vectors of a learned prompt.

    Raises:
        ModelError: if the folder is missing, incomplete or damaged.
    """
    document, weights = load_folder(folder)
    sizes = from_jsonable(PromptSizes, document, source=f"{CONFIG_FILE} in {printable(folder)}")
    with fork_random():
        prompt = LearnedPrompt(sizes.prompt_length, sizes.text_width)
    load_into(prompt, weights, folder)
    return prompt.vectors.detach()

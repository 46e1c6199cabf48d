"""Published backbones, trained on ImageNet: transformers' ResNet and Swin classifiers, and timm's deep-stem ResNet."""

import json
from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from lexiseg.core.messages import printable
from lexiseg.encoders.clip.base import read_tensors
from lexiseg.encoders.segmenters.mask2former_weights import RENAMED_BLOCKS
from lexiseg.encoders.segmenters.maskformer import DeepResNet

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_OWN = ("relative_position_index", "num_batches_tracked")
"""Endings of what every size decides, or nothing reads."""
_NEW = ("hidden_states_norms.", "swin.layernorm.")
"""Norms behind a Swin's stages, which a classifier does not have (Mask2Former begins them anew), and one never read."""


def is_backbone(folder: Path) -> bool:
    """Whether a folder's config.json is that of a classifier with a ResNet or a Swin."""
    try:
        document = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    if not isinstance(document, dict):
        return False
    return document.get("model_type") in ("resnet", "swin") or "resnet" in str(document.get("architecture", ""))


def load_backbone(backbone: nn.Module, folder: Path) -> None:
    """Puts published weights into the backbone of a Segmenter or a MaskFormer.

    Args:
        backbone: the module; its class head is left out.
        folder: in transformers' layout (microsoft/resnet-50 ...) or timm's (timm/resnet101s.gluon_in1k).

    Raises:
        ValueError: if the weights are missing, damaged, or not of the backbone's sizes.
    """
    file = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if file is None:
        raise ValueError(f"{printable(folder)} has no {' or '.join(WEIGHTS)}: copy the whole folder again.")
    found, own = read_tensors(file), backbone.state_dict()
    published = _names_of(backbone)
    needed = [name for name in own if not name.endswith(_OWN) and not name.startswith(_NEW)]
    unfit = [name for name in needed if _shape(found.get(published(name))) != own[name].shape]
    if unfit:
        raise ValueError(
            f"the backbone in {printable(folder)} is not the recipe's: {len(unfit)} of its {len(needed)} weights are "
            f"missing or of another shape, the first is {published(unfit[0])}; take another."
        )
    backbone.load_state_dict({**own, **{name: found[published(name)] for name in needed}})


def _names_of(backbone: nn.Module) -> Callable[[str], str]:
    """From a weight's name here to its published one."""
    if isinstance(backbone, DeepResNet):
        return lambda name: name.removeprefix("resnet.")
    if hasattr(backbone, "swin"):
        return _old_swin_name
    return lambda name: f"resnet.{name}"


def _old_swin_name(name: str) -> str:
    for new, old in RENAMED_BLOCKS:
        name = name.replace(new, old)
    return name


def _shape(tensor: Tensor | None) -> tuple[int, ...] | None:
    return None if tensor is None else tuple(tensor.shape)

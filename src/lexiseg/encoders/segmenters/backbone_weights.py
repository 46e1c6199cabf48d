"""Published backbones, trained on ImageNet: transformers' ResNet and Swin classifiers, and timm's deep-stem ResNet."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from lexiseg.core.files import read_json_object
from lexiseg.core.messages import printable
from lexiseg.core.weights import find_weights, load_part, read_tensors, weight_complaint
from lexiseg.encoders.segmenters.mask2former_weights import RENAMED_BLOCKS
from lexiseg.encoders.segmenters.maskformer import DeepResNet

_OWN = ("relative_position_index", "num_batches_tracked")
"""Endings of buffers that follow from the sizes or are not used."""
_NEW = ("hidden_states_norms.", "swin.layernorm.")
"""Norms that a Swin classifier lacks (Mask2Former initialises them), and one that is not used."""


def is_backbone(folder: Path) -> bool:
    """Whether a folder's config.json is that of a classifier with a ResNet or a Swin."""
    try:
        document = read_json_object(folder / "config.json")
    except ValueError:
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
    file = find_weights(folder) or folder
    found, own = read_tensors(file), backbone.state_dict()
    published = _names_of(backbone)
    needed = {name: published(name) for name in own if not name.endswith(_OWN) and not name.startswith(_NEW)}
    expected = {published_name: own[name] for name, published_name in needed.items()}
    if complaint := weight_complaint(found, expected, is_ignored=lambda _: True):
        raise ValueError(
            f"the backbone in {printable(folder)} is not the recipe's: {file.name} {complaint}; take another."
        )
    load_part(backbone, {name: found[key] for name, key in needed.items()})


def _names_of(backbone: nn.Module) -> Callable[[str], str]:
    """The mapping of our weight names to the published ones."""
    if isinstance(backbone, DeepResNet):
        return lambda name: name.removeprefix("resnet.")
    if hasattr(backbone, "swin"):
        return _old_swin_name
    return lambda name: f"resnet.{name}"


def _old_swin_name(name: str) -> str:
    for new, old in RENAMED_BLOCKS:
        name = name.replace(new, old)
    return name

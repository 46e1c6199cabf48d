"""MaskFormer, OneFormer and EoMT as transformers builds them, without their class heads."""

import json
import logging
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import open_clip
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lexiseg.core.structures import MaskProposals
from lexiseg.encoders import colours

PublishedKind = Literal["maskformer", "oneformer", "eomt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    network: str
    """The class in transformers."""
    config: str
    head: str
    """The class head, a linear layer."""
    width: tuple[str, ...]
    """Where the configuration has the width of a query."""


KINDS: Mapping[PublishedKind, _Kind] = {
    "maskformer": _Kind(
        network="MaskFormerForInstanceSegmentation",
        config="MaskFormerConfig",
        head="class_predictor",
        width=("decoder_config", "d_model"),
    ),
    "oneformer": _Kind(
        network="OneFormerForUniversalSegmentation",
        config="OneFormerConfig",
        head="model.transformer_module.decoder.class_embed",
        width=("hidden_dim",),
    ),
    "eomt": _Kind(
        network="EomtForUniversalSegmentation",
        config="EomtConfig",
        head="class_predictor",
        width=("hidden_size",),
    ),
}
_LOSS = "criterion"
_BACKBONES = ("swin", "resnet", "maskformer-swin")
_LEFT_OUT = frozenset(
    ("id2label", "label2id", "_name_or_path", "_commit_hash", "transformers_version", "architectures")
)
"""What a configuration says that builds nothing."""
_TASK = "the task is panoptic"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedConfig:
    """Sizes of a MaskFormer, OneFormer or EoMT, as its config.json has them.

    Raises ValueError if transformers builds no such model from them, or the masks are not at stride 4.
    """

    model_type: PublishedKind
    document: dict[str, Any]
    """transformers' own configuration, without class names."""

    def __post_init__(self) -> None:
        self.to_transformers()
        if self.model_type != "eomt":
            kind = (self.document.get("backbone_config") or {}).get("model_type", "swin")
            if kind not in _BACKBONES:
                raise ValueError(f"expected a {self.model_type} with a ResNet or Swin backbone, got {kind!r}.")
            return
        canvas, patch, upscaled = (self.document.get(key) for key in ("image_size", "patch_size", "num_upscale_blocks"))
        if type(canvas) is not int or type(patch) is not int or canvas % patch or patch != 4 * 2 ** int(upscaled or 0):
            raise ValueError(
                "expected an EoMT of a square canvas whose masks are at stride 4, got image_size "
                f"{canvas}, patch_size {patch} and {upscaled} upscaling blocks."
            )

    @staticmethod
    def of(document: Mapping[str, Any]) -> "PublishedConfig":
        """The sizes in a config.json of any version of transformers; raises ValueError if they can't be read."""
        kind: PublishedKind = document["model_type"]
        full = _config(kind, {key: value for key, value in document.items() if key not in _LEFT_OUT})
        return PublishedConfig(model_type=kind, document=_pruned(json.loads(full.to_json_string(use_diff=False))))

    def to_transformers(self, *, num_labels: int = 1) -> Any:
        """Converts to the configuration of transformers."""
        return _config(self.model_type, {**self.document, "num_labels": num_labels})

    @property
    def hidden_dim(self) -> int:
        """C, the width of a query."""
        value: Any = self.document
        for key in KINDS[self.model_type].width:
            value = value[key]
        return int(value)

    @property
    def num_queries(self) -> int:
        """Q, the number of queries."""
        return int((self.document.get("decoder_config") or self.document)["num_queries"])

    @property
    def canvas(self) -> int | None:
        """The side in pixels of the square that every picture must lie on; None where any multiple of 32 will do."""
        return int(self.document["image_size"]) if self.model_type == "eomt" else None


def _config(kind: PublishedKind, document: Mapping[str, Any]) -> Any:
    make: Any = getattr(import_module("transformers"), KINDS[kind].config)
    try:
        with quiet_transformers():
            return make.from_dict(dict(document))
    except Exception as error:  # of many kinds, one for each version of transformers
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")[:200]
        raise ValueError(
            f"expected the sizes of a {kind} in config.json, but they can't be read ({reason}): download or copy the "
            "folder again."
        ) from error


def _pruned(document: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what builds nothing, at every depth."""
    return {
        key: _pruned(value) if isinstance(value, Mapping) else value
        for key, value in document.items()
        if key not in _LEFT_OUT and value is not None
    }


def build_network(config: PublishedConfig, *, num_labels: int = 1) -> Any:
    """Transformers' own model, with its class head."""
    make: Any = getattr(import_module("transformers"), KINDS[config.model_type].network)
    with quiet_transformers():
        return make(config.to_transformers(num_labels=num_labels))


class PublishedSegmenter(nn.Module):
    """A MaskFormer, OneFormer or EoMT without its class head: pictures in, mask proposals out."""

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        self.config = config
        self.network = build_network(config)
        # what the class head is given comes out in its place
        self.network.set_submodule(KINDS[config.model_type].head, nn.Identity())
        self.network.set_submodule(_LOSS, nn.Identity())
        self.task: tuple[int, ...] = ()
        if config.model_type == "oneformer":
            self.task = _task_tokens(self.network.config.task_seq_len)

    def forward(self, pixel_values: Float[Tensor, "B 3 H W"], *, every_layer: bool = False) -> MaskProposals:
        """Proposes masks at stride 4.

        Args:
            pixel_values: RGB in [0, 1]; H and W are multiples of 32, or both the canvas of the configuration.
            every_layer: for trainings, which these models take no part in.

        Raises:
            ValueError: if every layer is asked for, or the pictures don't have the canvas.
        """
        if every_layer:
            raise ValueError(f"a {self.config.model_type} can't be trained here; train a Mask2Former.")
        canvas, size = self.config.canvas, tuple(pixel_values.shape[-2:])
        if canvas is not None and size != (canvas, canvas):
            raise ValueError(f"this model sees pictures on a canvas of {canvas} x {canvas} pixels, got {size}.")
        inputs: dict[str, Tensor] = {}
        if self.task:
            inputs["task_inputs"] = pixel_values.new_tensor([self.task]).expand(len(pixel_values), -1)
        out = self.network(pixel_values=colours.IMAGENET.normalise(pixel_values), **inputs)
        return MaskProposals(mask_logits=out.masks_queries_logits, query_embed=out.class_queries_logits)

    @property
    def backbone(self) -> nn.Module:
        """The whole network, which no training begins from."""
        return self.network

    @property
    def backbone_parameters(self) -> list[nn.Parameter]:
        """The parameters, all of which are pretrained."""
        return list(self.parameters())

    @staticmethod
    def own_weights(config: PublishedConfig, whole: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict of a PublishedSegmenter from that of transformers' whole model."""
        left_out = (f"{KINDS[config.model_type].head}.", f"{_LOSS}.")
        return {f"network.{name}": tensor for name, tensor in whole.items() if not name.startswith(left_out)}


def _task_tokens(length: int) -> tuple[int, ...]:
    """What OneFormer reads as the task: CLIP's tokens, then zeros."""
    with torch.device("cpu"):  # also where the model is built without memory
        tokens = open_clip.tokenize([_TASK], context_length=max(length, 8))[0].tolist()
    return tuple(tokens[:length])


@contextmanager
def quiet_transformers() -> Generator[None, None, None]:
    """Keeps transformers from printing progress bars and reports, which the caller says in a sentence."""
    library: Any = import_module("transformers.utils.logging")
    level, had_bars = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity(logging.CRITICAL)
    library.disable_progress_bar()
    try:
        yield
    finally:
        library.set_verbosity(level)
        if had_bars:
            library.enable_progress_bar()

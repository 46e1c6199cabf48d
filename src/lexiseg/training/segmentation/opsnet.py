"""What an OPSNet is trained by, and what its training begins from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from lexiseg.core.random import fork_random
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.core.weights import load_part
from lexiseg.encoders.clip.families import AnyClipConfig
from lexiseg.encoders.clip.resnet import Clip, ClipConfig
from lexiseg.encoders.colours import Padding
from lexiseg.encoders.segmenters.mask2former import SegmenterConfig
from lexiseg.models.opsnet import OPSNet, OPSNetConfig
from lexiseg.training.clip.text_tower import have_same_text_tower
from lexiseg.training.segmentation.recipe import TrainingRecipe

_OF_TEXT = ("embed_dim", "text_width", "text_heads", "text_layers", "context_length", "quick_gelu")
"""What a CLIP's text tower computes beside its weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OPSNetRecipe(TrainingRecipe):
    """Everything that decides a training of an OPSNet, but the pictures and the CLIP."""

    model_type = OPSNet
    small_clip = "clip-tiny"

    segmenter: SegmenterConfig
    vocabulary: Vocabulary
    has_enhancer: bool = True
    """Cross-attention to CLIP's map."""
    enhancer_shares_projection: bool = True
    enhancer_is_masked: bool = True
    padding: Padding = "black"
    """These three: see `OPSNetConfig`. What a model was trained with, it keeps: --start decides its padding."""
    clip: ClipConfig | None = None
    """Sizes of the frozen CLIP; None: those of the one that is given."""
    test_sides: tuple[int, int] | None = None
    """To how many pixels the shorter side is brought when the model is used, and how many the longer one may have at
    most; None: the longer one has the framing's."""

    def build(self) -> OPSNet | None:
        """The model around a CLIP of the recipe's sizes; None if those of the given one decide."""
        return None if self.clip is None else OPSNet(opsnet_config(self, self.clip))

    def answers(self) -> dict[str, Any]:
        """Modulation and merge; the CLIP's sizes decide nothing of either."""
        config = opsnet_config(self, self.clip or ClipConfig())
        return {"modulation": config.modulation, "merge": config.merge}


def opsnet_config(recipe: OPSNetRecipe, clip: AnyClipConfig) -> OPSNetConfig:
    """The model that a recipe trains around a CLIP of these sizes."""
    shortest, longest = recipe.test_sides or (None, recipe.framing.image_size)
    return OPSNetConfig(
        segmenter=recipe.segmenter,
        clip=clip,
        training_vocabulary=recipe.vocabulary,
        longest_side=longest,
        shortest_side=shortest,
        has_enhancer=recipe.has_enhancer,
        enhancer_shares_projection=recipe.enhancer_shares_projection,
        enhancer_is_masked=recipe.enhancer_is_masked,
        padding=recipe.padding,
    )


def new_opsnet(recipe: OPSNetRecipe, clip: ClipConfig, clip_state: Mapping[str, Tensor] | None) -> OPSNet:
    """An untrained OPSNet around a trained CLIP, whose attention pool becomes the spatial adapter.

    Args:
        recipe: its seed decides the random weights.
        clip: sizes of the CLIP.
        clip_state: its weights; None leaves it random, to try or time a training.
    """
    with fork_random(recipe.seed):
        model = OPSNet(opsnet_config(recipe, clip))
    if clip_state is not None:
        model.clip.load_state_dict(clip_state)
    model.fold_adapter()
    return model


def opsnet_to_go_on_with(recipe: OPSNetRecipe, model: OPSNet) -> OPSNet:
    """The same weights under the recipe's words and picture size.

    Raises:
        ValueError: if the model's parts are not the recipe's.
    """
    if model.untrainable_because is not None:
        raise ValueError(model.untrainable_because)
    config = opsnet_config(recipe, model.config.clip)
    if _shape_fields(config) != _shape_fields(model.config):
        raise ValueError(
            "expected a start whose segmenter and enhancer are the recipe's, got a model with other parts: "
            "choose the recipe that it was trained by, or another start."
        )
    model.config = replace(
        model.config,
        training_vocabulary=recipe.vocabulary,
        longest_side=config.longest_side,
        shortest_side=config.shortest_side,
    )
    return model


def around_clip(model: OPSNet, clip: Clip) -> OPSNet:
    """The same OPSNet around another CLIP that embeds words alike, such as its own one, grounded.

    Args:
        model: left as it is.
        clip: with its attention pool, which becomes the spatial adapter.

    Raises:
        ValueError: if the text towers differ: what the queries learned is said in the words of the old one; or if the
            CLIP has no attention pool.
    """
    if not clip.config.has_pool:
        raise ValueError("the spatial adapter is made of CLIP's attention pool: give a CLIP that has one.")
    is_built_alike = all(getattr(clip.config, name) == getattr(model.config.clip, name) for name in _OF_TEXT)
    if not is_built_alike or not have_same_text_tower(model.clip, clip):
        raise ValueError(
            "an OPSNet takes over another CLIP only if both have the same text tower, as 'lexiseg train "
            "clip-tiny-words' leaves it: leave --clip out, or begin from --clip alone."
        )
    with fork_random():
        other = OPSNet(replace(model.config, clip=clip.config))
    kept = {name: value for name, value in model.state_dict().items() if not name.startswith(("clip.", "adapter."))}
    load_part(other, kept)
    other.clip.load_state_dict(clip.state_dict())
    other.fold_adapter()
    return other.eval()


def _shape_fields(config: OPSNetConfig) -> tuple[object, ...]:
    """What decides the shapes of the trained weights, and what they attend to."""
    return config.segmenter, config.has_enhancer, config.enhancer_shares_projection, config.enhancer_is_masked

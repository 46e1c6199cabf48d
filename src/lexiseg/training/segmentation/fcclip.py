"""What an FC-CLIP is trained by, and what its training begins from."""

from dataclasses import dataclass, replace
from typing import Any

from lexiseg.core.messages import a
from lexiseg.core.random import fork_random
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.io.checkpoint import weights_hash
from lexiseg.io.models import load_model, system_of
from lexiseg.models.fcclip import FCCLIP, FCCLIPConfig
from lexiseg.training.clip.folders import read_resnet_clip
from lexiseg.training.engine.run_settings import TrainSettings
from lexiseg.training.segmentation.initial_weights import Origin, lacking_weights
from lexiseg.training.segmentation.recipe import TrainingRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class FCCLIPRecipe(TrainingRecipe):
    """Everything that decides a training of an FC-CLIP, but the pictures and the CLIP, which is its backbone too."""

    model_type = FCCLIP
    small_clip = "clip-tiny"

    model: FCCLIPConfig
    """What is built; the sizes of its CLIP give way to those of the CLIP that is put in."""

    @property
    def vocabulary(self) -> Vocabulary:
        """What it is trained on."""
        return self.model.training_vocabulary

    def build(self) -> FCCLIP:
        """The model around a CLIP of the recipe's own sizes."""
        return FCCLIP(self.model)

    def answers(self) -> dict[str, Any]:
        """Fusion and merge are the model's fields already."""
        return {}


def first_fcclip(recipe: FCCLIPRecipe, settings: TrainSettings) -> tuple[FCCLIP, Origin]:
    """The model before its first step: decoders from nothing around --clip, or all of --start.

    Raises:
        ValueError: if something is missing, damaged, or of other sizes than the recipe's.
    """
    if lacking := lacking_weights(recipe, settings):
        raise ValueError(lacking)
    if settings.start is not None and system_of(settings.start) is not None:
        start = load_model(settings.start)
        if not isinstance(start, FCCLIP) or start.config.decoder != recipe.model.decoder:
            raise ValueError(
                f"expected the folder of {a(FCCLIP)} with the recipe's decoders as --start, got {a(type(start))}: "
                "choose another, or begin from --clip alone."
            )
        if settings.clip is not None:
            raise ValueError("the FCCLIP that --start names has its own frozen CLIP: leave --clip out.")
        start.config = replace(start.config, training_vocabulary=recipe.vocabulary)
        return start, {"start": weights_hash(start.state_dict())}
    if settings.start is not None:
        raise ValueError("an FCCLIP's backbone is its CLIP: give that as --clip, and leave --start out.")
    clip = read_resnet_clip(settings.clip) if settings.clip is not None else None
    with fork_random(recipe.seed):
        model = FCCLIP(recipe.model if clip is None else replace(recipe.model, clip=clip.config))
    if clip is not None:
        model.clip.load_state_dict(clip.state_dict())
    return model, {"clip": weights_hash(model.clip.state_dict())}

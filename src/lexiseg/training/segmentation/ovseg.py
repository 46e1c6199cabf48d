"""What the first stage of an OVSeg is trained by, and what its training begins from (OVSeg, section 3.1)."""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from lexiseg.core.random import fork_random
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.clip.vit import VitClip
from lexiseg.encoders.segmenters.mask2former import Segmenter
from lexiseg.models.ovseg import OVSeg, OVSegConfig
from lexiseg.training.segmentation.recipe import TrainingRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class OVSegRecipe(TrainingRecipe):
    """Everything that decides a training of an OVSeg's first stage, but the pictures and the CLIP."""

    model_type = OVSeg
    small_clip = "clip-vit-tiny"
    takes_backbones = True

    model: OVSegConfig
    """What is built; the sizes of its CLIP give way to those of the CLIP that is put in."""

    @property
    def vocabulary(self) -> Vocabulary:
        """What it is trained on."""
        return self.model.training_vocabulary

    def build(self) -> OVSeg:
        """The model around a CLIP of the recipe's own sizes."""
        return OVSeg(self.model)


def new_ovseg(recipe: OVSegRecipe, clip: VitClip, prompt_vectors: Float[Tensor, "P W"] | None = None) -> OVSeg:
    """An untrained OVSeg around a trained CLIP.

    Args:
        recipe: its seed decides the random weights.
        clip: copied.
        prompt_vectors: the learned prompt, where the recipe's model has one (SimBaseline).

    Raises:
        ValueError: if the recipe's model has a learned prompt of another length than is given.
    """
    given = 0 if prompt_vectors is None else len(prompt_vectors)
    if given != recipe.model.prompt_length:
        raise ValueError(
            f"expected a learned prompt of {recipe.model.prompt_length} vectors, got {given}: "
            "choose the recipe that fits, or train a prompt with 'lexiseg train prompt-tiny'."
        )
    with fork_random(recipe.seed):
        model = OVSeg(replace(recipe.model, clip=clip.config))
    model.clip.load_state_dict(clip.state_dict())
    if model.prompt is not None and prompt_vectors is not None:
        model.prompt.vectors.data.copy_(prompt_vectors)
    return model


def take_backbone(model: OVSeg, segmenter: Segmenter) -> None:
    """Lets an untrained OVSeg begin with the backbone of a trained Mask2Former, as the paper's begin pretrained.

    Raises:
        ValueError: if the backbones are not of the same sizes.
    """
    ours, theirs = model.config.segmenter, segmenter.config
    if (ours.resnet, ours.swin) != (theirs.resnet, theirs.swin):
        raise ValueError(
            "expected a start whose backbone is the recipe's, got one of another kind or other sizes: "
            "choose another start."
        )
    found = segmenter.backbone.state_dict()  # of a Swin, it has a last norm that nothing reads
    model.segmenter.backbone.load_state_dict({name: found[name] for name in model.segmenter.backbone.state_dict()})


def ovseg_to_go_on_with(recipe: OVSegRecipe, model: OVSeg) -> OVSeg:
    """The same weights under the recipe's words, picture size and ways to answer.

    Raises:
        ValueError: if the model's parts are not the recipe's.
    """
    config = replace(recipe.model, clip=model.config.clip)
    if _shape_fields(config) != _shape_fields(model.config):
        raise ValueError(
            "expected a start whose segmenter, head and learned prompt are the recipe's, got a model with other parts: "
            "choose the recipe that it was trained by, or another start."
        )
    model.config = config
    return model


def _shape_fields(config: OVSegConfig) -> tuple[object, ...]:
    """What decides the shapes of the trained weights."""
    return config.segmenter, config.head_hidden, config.has_unit_void, config.prompt_length

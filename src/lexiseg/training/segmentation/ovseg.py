"""Training of OVSeg's first stage: a MaskFormer whose queries speak CLIP's language (OVSeg, section 3.1)."""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from lexiseg.core.structures import ImageBatch, LayerPrediction
from lexiseg.data.dataset import Dataset
from lexiseg.encoders.clip.vit import VitClip
from lexiseg.encoders.segmenters.mask2former import Segmenter, freeze_batch_norm
from lexiseg.models.ovseg import OVSeg, OVSegConfig
from lexiseg.training.segmentation.task import SegmentationTask, TrainingRecipe, seed_initial_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class OVSegRecipe(TrainingRecipe):
    """Everything that decides a training of an OVSeg's first stage, but the pictures and the CLIP."""

    model: OVSegConfig
    """What is built; the sizes of its CLIP give way to those of the CLIP that is put in."""


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
    seed_initial_weights(recipe)
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
    if _parts(config) != _parts(model.config):
        raise ValueError(
            "expected a start whose segmenter, head and learned prompt are the recipe's, got a model with other parts: "
            "choose the recipe that it was trained by, or another start."
        )
    model.config = config
    return model


def _parts(config: OVSegConfig) -> tuple[object, ...]:
    """What decides the shapes of the trained weights."""
    return config.segmenter, config.head_hidden, config.has_unit_void, config.prompt_length


class OVSegTask(SegmentationTask[OVSegRecipe, OVSeg]):
    """Training of segmenter, head and no-object embedding; CLIP and a learned prompt stay as they are."""

    per_class = True

    def __init__(
        self,
        recipe: OVSegRecipe,
        data: Dataset,
        model: OVSeg,
        *,
        keeps_batch_norm: bool = False,
        device: str = "cpu",
        workers: int = 1,
    ) -> None:
        """Takes the model in hand.

        Args:
            recipe: the recipe.
            data: the pictures, with whatever truth.
            model: from `new_ovseg` or `ovseg_to_go_on_with`; it is trained in place.
            keeps_batch_norm: leaves the backbone's batch norms as they are, as for every pretrained start.
            device: where to train.
            workers: processes that read pictures.
        """
        vocabulary = model.config.training_vocabulary
        super().__init__(recipe, vocabulary, data, device=device, workers=workers)
        self.model = model
        model.train().to(device)
        self._words = model.embed_vocabulary(vocabulary, negatives=False).to(device)
        if model.prompt is not None:
            model.prompt.requires_grad_(False)
        if keeps_batch_norm:
            freeze_batch_norm(model.segmenter)

    def predict(self, images: ImageBatch) -> list[LayerPrediction]:
        """Masks and cosines after every layer."""
        with self.autocast():
            last = self.model.propose(images, every_layer=True)
            return [
                LayerPrediction(
                    mask_logits=layer.mask_logits.float(),
                    class_logits=self.model.class_logits_with_void(self.model.class_embed(layer), self._words).float(),
                )
                for layer in (*last.aux, last)
            ]

"""Training of segmenters on panoptic data: closed-set Mask2Former, and OPSNet around a frozen CLIP."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lexiseg.core.structures import ImageBatch, LayerPrediction
from lexiseg.data.dataset import Dataset
from lexiseg.encoders.clip.resnet import Clip, ClipConfig
from lexiseg.encoders.segmenters.mask2former import freeze_batch_norm
from lexiseg.models.opsnet import OPSNet, OPSNetConfig
from lexiseg.training.segmentation.task import ClosedSet, SegmentationRecipe, SegmentationTask, seed_initial_weights

_NOT_TEXT = ("visual.", "logit_scale")
"""Weights of a CLIP that are not its text tower's."""
_OF_TEXT = ("embed_dim", "text_width", "text_heads", "text_layers", "context_length", "quick_gelu")
"""What a CLIP's text tower computes beside its weights."""


class ClosedSetTask(SegmentationTask[SegmentationRecipe, ClosedSet]):
    """Training of a closed-set Mask2Former."""

    def __init__(self, recipe: SegmentationRecipe, data: Dataset, *, device: str = "cpu", workers: int = 1) -> None:
        super().__init__(recipe, recipe.vocabulary, data, device=device, workers=workers)
        seed_initial_weights(recipe)
        self.model = ClosedSet(recipe.segmenter, len(recipe.vocabulary)).train().to(device)

    def predict(self, images: ImageBatch) -> list[LayerPrediction]:
        """Masks and classes after every layer."""
        with self.autocast():
            last = self.model.segmenter(images.pixel_values, every_layer=True)
            return [
                LayerPrediction(
                    mask_logits=layer.mask_logits.float(), class_logits=self.model.classify(layer.query_embed).float()
                )
                for layer in (*last.aux, last)
            ]


def opsnet_config(recipe: SegmentationRecipe, clip: ClipConfig) -> OPSNetConfig:
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
    )


def new_opsnet(
    recipe: SegmentationRecipe,
    clip: ClipConfig,
    clip_state: Mapping[str, Tensor] | None,
    segmenter_state: Mapping[str, Tensor] | None = None,
) -> OPSNet:
    """An untrained OPSNet around a trained CLIP, whose attention pool becomes the spatial adapter.

    Args:
        recipe: its seed decides the random weights.
        clip: sizes of the CLIP.
        clip_state: its weights; None leaves it random, to try or time a training.
        segmenter_state: weights of a Segmenter to begin from.
    """
    seed_initial_weights(recipe)
    model = OPSNet(opsnet_config(recipe, clip))
    if clip_state is not None:
        model.clip.load_state_dict(clip_state)
    pool = model.clip.visual.attnpool
    model.adapter.fold(pool.v_proj, pool.c_proj)
    if segmenter_state is not None:
        model.segmenter.load_state_dict(segmenter_state)
    return model


def opsnet_to_go_on_with(recipe: SegmentationRecipe, model: OPSNet) -> OPSNet:
    """The same weights under the recipe's words and picture size.

    Raises:
        ValueError: if the model's parts are not the recipe's.
    """
    if model.config.is_assembled:
        raise ValueError("an assembled model has a closed-set class head, which no recipe trains; start from another.")
    config = opsnet_config(recipe, model.config.clip)
    if _parts(config) != _parts(model.config):
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
    text = {name: value for name, value in clip.clip.state_dict().items() if not name.startswith(_NOT_TEXT)}
    own = model.clip.clip.state_dict()
    is_built_alike = all(getattr(clip.config, name) == getattr(model.config.clip, name) for name in _OF_TEXT)
    if not is_built_alike or any(name not in own or not torch.equal(own[name].cpu(), text[name]) for name in text):
        raise ValueError(
            "an OPSNet takes over another CLIP only if both have the same text tower, as 'lexiseg train "
            "clip-tiny-words' leaves it: leave --clip out, or begin from --clip alone."
        )
    with torch.random.fork_rng(devices=()):
        other = OPSNet(replace(model.config, clip=clip.config))
    kept = {name: value for name, value in model.state_dict().items() if not name.startswith(("clip.", "adapter."))}
    other.load_state_dict(kept, strict=False)
    other.clip.load_state_dict(clip.state_dict())
    pool = other.clip.visual.attnpool
    other.adapter.fold(pool.v_proj, pool.c_proj)
    return other.eval()


def _parts(config: OPSNetConfig) -> tuple[object, ...]:
    """What decides the shapes of the trained weights."""
    return config.segmenter, config.has_enhancer, config.enhancer_shares_projection


class OPSNetTask(SegmentationTask[SegmentationRecipe, OPSNet]):
    """Training of an OPSNet around a frozen CLIP (sections 3.1 to 3.4)."""

    def __init__(
        self,
        recipe: SegmentationRecipe,
        data: Dataset,
        model: OPSNet,
        *,
        keeps_batch_norm: bool = False,
        device: str = "cpu",
        workers: int = 1,
    ) -> None:
        """Takes the model in hand.

        Args:
            recipe: the recipe.
            data: the pictures.
            model: from `new_opsnet` or `opsnet_to_go_on_with`; it is trained in place.
            keeps_batch_norm: leaves the backbone's batch norms as they are, as for every pretrained start.
            device: where to train.
            workers: processes that read pictures.
        """
        super().__init__(recipe, recipe.vocabulary, data, device=device, workers=workers)
        self.model = model
        self._words = model.embed_vocabulary(recipe.vocabulary, negatives=False).to(device)
        model.train().to(device)
        model.clip.to(memory_format=torch.channels_last)  # its convolutions take 0.6 of the time so on a CPU
        if keeps_batch_norm:
            freeze_batch_norm(model.segmenter)

    def predict(self, images: ImageBatch) -> list[LayerPrediction]:
        """Masks and cosines after every layer, and IoUs after the last."""
        with self.autocast():
            clip_map = self.model.clip_map(images)
            last = self.model.propose(images, every_layer=True)
            class_embeds = [self.model.class_embed(layer, clip_map) for layer in (*last.aux, last)]
            iou_scores = self.model.iou_scores(last)
        return [
            LayerPrediction(
                mask_logits=layer.mask_logits.float(),
                class_logits=self.model.class_logits_with_void(class_embed, self._words),
                iou_scores=iou_scores if layer is last else None,
            )
            for layer, class_embed in zip((*last.aux, last), class_embeds, strict=True)
        ]

"""Mask2Former with a closed class head: the baseline."""

from dataclasses import dataclass

from torch import nn

from lexiseg.core.structures import ImageBatch, LayerPrediction
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.segmenters.mask2former import Segmenter, SegmenterConfig
from lexiseg.training.segmentation.recipe import TrainingRecipe


class ClosedSet(nn.Module):
    """Mask2Former with its own closed class head: the baseline, and what `assemble` takes."""

    has_targets_per_class = False

    def __init__(self, config: SegmenterConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.training_vocabulary = vocabulary
        self.segmenter = Segmenter(config)
        self.classify = nn.Linear(config.hidden_dim, len(vocabulary) + 1)

    def begin_training(self, device: str) -> None:
        """Goes to the device and into training mode; its classes are columns of the head, so no word is embedded."""
        self.train().to(device)

    def predict_layers(self, images: ImageBatch, words: None = None) -> tuple[LayerPrediction, ...]:
        """Masks and classes after every layer; in float32 under autocast too."""
        last = self.segmenter(images.pixel_values, every_layer=True)
        return tuple(
            LayerPrediction(
                mask_logits=layer.mask_logits.float(),
                class_logits=self.classify(layer.query_embed).float(),
                factors=layer.factors,
            )
            for layer in (*last.aux, last)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedSetRecipe(TrainingRecipe):
    """Everything that decides a training of a closed-set Mask2Former, but the pictures."""

    model_type = ClosedSet

    segmenter: SegmenterConfig
    vocabulary: Vocabulary

    def build(self) -> ClosedSet:
        """The model with random weights."""
        return ClosedSet(self.segmenter, self.vocabulary)

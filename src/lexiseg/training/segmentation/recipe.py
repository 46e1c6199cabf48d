"""What the recipes of all segmenters say of pictures and optimisation."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from lexiseg.core.concepts import same_word
from lexiseg.core.messages import shown
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.samples.transforms import Framing
from lexiseg.training.engine.optim import OptimConfig, OptimPlan, Stage
from lexiseg.training.engine.run_settings import Precision, Recipe, computed_in
from lexiseg.training.segmentation.criterion import CriterionConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Names on the Hugging Face hub of the weights that a recipe begins from; they are never fetched unasked."""

    backbone: str
    """What --start should name: a backbone trained on ImageNet, of the recipe's sizes."""
    clip: str
    """What --clip should name: the frozen CLIP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecipe(Recipe):
    """What the recipes of all segmenters say of pictures and optimisation."""

    model_type: ClassVar[type[Any]]
    """The type of what is trained: an `OpenVocabularySegmenter`, or `ClosedSet`."""
    small_clip: ClassVar[str | None] = None
    """The built-in recipe of a small CLIP of the kind that the model needs; None: it needs none."""
    takes_backbones: ClassVar[bool] = False
    """Whether a whole model of another type, as --start, gives its backbone, and not a reason to refuse it."""

    framing: Framing
    num_pictures: int
    """Pictures that are drawn where no data set is given; 0: the recipe is for a data set of photographs."""
    steps: int
    batch_size: int
    optim: OptimConfig
    criterion: CriterionConfig = field(default_factory=CriterionConfig)
    backbone_lr_scale: float = 1.0
    """Learning rate of the backbone relative to the rest; 0.1 where it was pretrained on photographs."""
    rate_drops: tuple[float, ...] = ()
    """Shares of the steps at which the rate falls to a tenth, besides what `optim` says."""
    published: Published | None = None
    """What the recipe begins from; None: from whatever is given."""
    nameless: tuple[str, ...] = ()
    """Categories of the training data whose segments have a mask and no name: they teach masks, their quality, and that
    something is there. The pictures that are drawn show such things then."""
    paste_share: float = 0.0
    """How probably things of another picture of the training data are pasted into each.

    See `data.samples.copy_paste.paste_things`.
    """
    precision: Precision = "bf16"
    """Of matrix products and convolutions; `computed_in` says what becomes of it on a device."""
    seed: int = 0

    def __post_init__(self) -> None:
        words = set(map(same_word, self.training_vocabulary.row_names())) if self.nameless else ()
        for name in self.nameless:
            if same_word(name) in words:
                raise ValueError(
                    f"{shown(name)} is a word of the vocabulary and one of `nameless`, but a category is learned with "
                    "its name or without: leave it out of one of the two."
                )

    @property
    def training_vocabulary(self) -> Vocabulary:
        """What the model is trained on: the recipe's `vocabulary`; a fine-tuning has that of its model instead."""
        own: Any = self
        return own.vocabulary

    @property
    def optim_plan(self) -> OptimPlan:
        """One stage of all steps."""
        return OptimPlan(config=self.optim, stages=(Stage(steps=self.steps),), rate_drops=self.rate_drops)

    def autocast(self, device: str) -> torch.autocast:
        """What the network runs under: bf16 where that is its precision on the device."""
        return torch.autocast(device, torch.bfloat16, enabled=computed_in(self.precision, device) == "bf16")

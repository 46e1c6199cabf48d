"""Fine-tuning of a trained model on a person's own pictures: new names are learned, and the old ones stay.

What the model knew is kept in four ways: its training vocabulary is joined with the new names, never replaced;
pictures of the data that it was trained on can be mixed in; of all states on the way that one is taken which is best on
pictures that were held out, the old ones' too where there are some; and if the old words lost much there, the weights
go back towards the start.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch

from lexiseg.core.concepts import Concept, same_word
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Dataset
from lexiseg.data.samples.segmentation import example_generator
from lexiseg.data.samples.transforms import MASK_STRIDE, Framing
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.training.engine.optim import OptimConfig
from lexiseg.training.engine.run_settings import Precision, Recipe
from lexiseg.training.engine.validation import Validation
from lexiseg.training.segmentation.criterion import CriterionConfig
from lexiseg.training.segmentation.matcher import MASKFORMER_LOSSES
from lexiseg.training.segmentation.recipe import TrainingRecipe
from lexiseg.training.segmentation.task import Rehearsal, SegmentationTask

LARGEST = 1024  # pixels of the longer side, as both papers train; models may be asked at more
POINTS = 12_544  # Mask2Former's, for masks of 256 x 256 cells; smaller ones take a third of their cells
SHARED_FIELDS = ("steps", "batch_size", "optim", "backbone_lr_scale", "paste_share", "precision", "seed")
"""What a fine-tuning says as every training of a segmenter does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneRecipe(Recipe):
    """Everything that decides a fine-tuning, but model and pictures."""

    trains: Literal["head", "whole"]
    """"head": projection, query enhancer, no-object embedding and IoU head; masks stay as they are. "whole": the
    segmenter too. CLIP stays frozen in both."""
    steps: int
    batch_size: int
    optim: OptimConfig
    backbone_lr_scale: float = 1.0
    scale_range: tuple[float, float] = (1.0, 1.0)
    """Large-scale jitter of the pictures."""
    paste_share: float = 0.0
    """How probably things of a new picture are pasted into each, old or new."""
    old_share: float = 0.5
    """Share of the pictures that are of the old data, where there are some."""
    held_out_share: float = 0.2
    """Share of either data that is never trained on."""
    held_out_most: int = 100
    """Of either data, however large: every evaluation on the way looks at all of them."""
    old_tolerance: float = 0.02
    """What the old words may lose on the held-out pictures, of 1. If they lost more, the weights go back towards the
    start until they do not, or a tenth of the way is left."""
    patience: int = 8
    """Evaluations in a row without a better figure after which it stops. There are ten on the way, and the best states
    often come last, when the rate has fallen."""
    ema_decay: float = 0.99
    """Of the average of the weights that is evaluated and kept; few pictures make single steps noisy."""
    precision: Precision = "bf16"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("paste_share", "old_share", "held_out_share", "old_tolerance"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}.")
        if self.held_out_most < 1:
            raise ValueError(f"held_out_most must be positive, got {self.held_out_most}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneData:
    """Pictures to learn from, and others to measure on."""

    train: Dataset
    held_out: Validation

    @staticmethod
    def of(data: Dataset, vocabulary: Vocabulary, recipe: FinetuneRecipe) -> "FinetuneData":
        """Splits a data set.

        Args:
            data: two pictures or more.
            vocabulary: one concept per category.
            recipe: says how many are held out, and its seed which.
        """
        train, held_out = split(data, recipe.held_out_share, recipe.held_out_most, seed=recipe.seed)
        return FinetuneData(train=train, held_out=Validation(data=held_out, vocabulary=vocabulary, num_comparisons=4))


def split(data: Dataset, held_out_share: float, held_out_most: int, *, seed: int) -> tuple[Dataset, Dataset]:
    """Parts a data set at random into pictures to train on and pictures that are held out, one of each at least.

    Args:
        data: two pictures or more.
        held_out_share: of all pictures, in [0, 1].
        held_out_most: pictures at most, positive.
        seed: decides which.

    Raises:
        ValueError: if it has less than two pictures.
    """
    total = len(data.samples)
    if total < 2:
        raise ValueError(
            f"fine-tuning holds some pictures out to see when to stop, so it needs two or more, got {total}: add some."
        )
    order = torch.randperm(total, generator=example_generator(seed)).tolist()
    number = min(total - 1, held_out_most, max(1, round(held_out_share * total)))
    held_out, train = sorted(order[:number]), sorted(order[number:])
    return (
        replace(data, samples=tuple(data.samples[place] for place in train)),
        replace(data, samples=tuple(data.samples[place] for place in held_out)),
    )


def join_vocabularies(old: Vocabulary, new: Vocabulary) -> Vocabulary:
    """The old concepts in their order, then the new ones; one that shares id or name with an old one adds its names.

    An id counts before names: two of different ids stay two, and an old one without id takes the new one's. Of several
    old ones with a name the first takes what has no id. Thing or stuff, where both know a concept, and the templates
    are the old ones'.
    """
    concepts: list[Concept] = []
    by_id: dict[str, int] = {}
    by_name: dict[str, int] = {}

    def put(place: int, concept: Concept) -> None:
        concepts[place : place + 1] = [concept]
        if concept.id:
            by_id[concept.id] = place
        for name in concept.names:
            by_name.setdefault(same_word(name), place)

    for concept in old.concepts:
        put(len(concepts), concept)
    for concept in new.concepts:
        named = [by_name[same_word(name)] for name in concept.names if same_word(name) in by_name]
        known = [by_id[concept.id]] if concept.id in by_id else named
        place = next((p for p in known if concept.id in ("", concepts[p].id) or not concepts[p].id), None)
        if place is None:
            put(len(concepts), concept)
        else:
            fresh = tuple(name for name in concept.names if same_word(name) not in by_name)
            first = concepts[place]
            put(place, replace(first, synonyms=(*first.synonyms, *fresh), id=first.id or concept.id))
    return Vocabulary(tuple(concepts), old.templates)


def set_training_vocabulary(model: OpenVocabularySegmenter, vocabulary: Vocabulary) -> None:
    """Makes these the words that a model takes for trained; no weight changes."""
    model.config = replace(model.config, training_vocabulary=vocabulary)


def finetune_task(
    recipe: FinetuneRecipe,
    model: OpenVocabularySegmenter,
    new: FinetuneData,
    old: FinetuneData | None,
    *,
    device: str,
    workers: int,
) -> SegmentationTask[OpenVocabularySegmenter]:
    """The training of any model; it is trained in place, and its training vocabulary is joined at once.

    Raises:
        ValueError: if the model can't be trained.
    """
    config = model.config
    set_training_vocabulary(model, join_vocabularies(config.training_vocabulary, new.held_out.vocabulary))
    if recipe.trains == "head":
        model.segmenter.requires_grad_(False)
    side = min(config.longest_side, LARGEST)
    points = min(POINTS, (side // MASK_STRIDE) ** 2 // 3)
    training = TrainingRecipe(
        framing=Framing(image_size=side, flip_probability=0.5, scale_range=recipe.scale_range),
        num_pictures=0,
        criterion=CriterionConfig(num_points=points)
        if model.samples_points
        else CriterionConfig(num_points=None, weights=MASKFORMER_LOSSES),
        **{name: getattr(recipe, name) for name in SHARED_FIELDS},
    )
    return SegmentationTask(
        training,
        new.train,
        model,
        keeps_batch_norm=True,
        device=device,
        workers=workers,
        validation=new.held_out,
        rehearsal=None if old is None else Rehearsal(data=old.train, share=recipe.old_share, validation=old.held_out),
    )

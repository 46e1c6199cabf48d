"""What the trainings of all segmenters have in common: recipe, data, optimiser, criterion."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from lexiseg.core.concepts import same_word
from lexiseg.core.structures import ImageBatch, Targets
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.panoptic_format import Category, PanopticDataset
from lexiseg.data.samples import SegmentationDataset, collate, training_keys
from lexiseg.data.semantic_format import SemanticDataset
from lexiseg.data.transforms import Framing
from lexiseg.encoders.clip import ClipConfig
from lexiseg.encoders.segmenter import Segmenter, SegmenterConfig
from lexiseg.models.opsnet import OPSNet
from lexiseg.models.ovseg import OVSeg
from lexiseg.training.criterion import CriterionConfig, LayerOutput, segmentation_losses
from lexiseg.training.trainer import OptimConfig, decay_groups, scheduled_lr


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Names on the Hugging Face hub of the weights that a recipe begins from; they are never fetched unasked."""

    backbone: str
    """What --start should name: a backbone trained on ImageNet, of the recipe's sizes."""
    clip: str
    """What --clip should name: the frozen CLIP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecipe:
    """What the recipes of all segmenters say of pictures and optimisation."""

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
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationRecipe(TrainingRecipe):
    """Everything that decides a training of a Mask2Former or an OPSNet, but the pictures and the CLIP."""

    segmenter: SegmenterConfig
    vocabulary: Vocabulary
    is_closed_set: bool = False
    """A Mask2Former with a class head of its own, without CLIP; if not, an OPSNet."""
    has_enhancer: bool = True
    """OPSNet only: cross-attention to CLIP's map."""
    enhancer_shares_projection: bool = True
    """OPSNet only: see `OPSNetConfig`."""
    clip: ClipConfig | None = None
    """OPSNet only: sizes of the frozen CLIP; None: those of the one that is given."""
    test_sides: tuple[int, int] | None = None
    """OPSNet only: to how many pixels the shorter side is brought when the model is used, and how many the longer one
    may have at most; None: the longer one has the framing's."""


class ClosedSet(nn.Module):
    """Mask2Former with its own closed class head: the baseline, and what `assemble` takes."""

    def __init__(self, config: SegmenterConfig, num_classes: int) -> None:
        super().__init__()
        self.segmenter = Segmenter(config)
        self.classify = nn.Linear(config.hidden_dim, num_classes + 1)


def seed_initial_weights(recipe: TrainingRecipe) -> None:
    """Makes torch's own generator begin with the recipe's seed; what is drawn later does not depend on it."""
    torch.random.default_generator.manual_seed(recipe.seed)


def rate_at(recipe: TrainingRecipe, step: int) -> float:
    """The learning rate of a step: what the optimiser's schedule says, and a tenth of it after every drop."""
    drops = sum(step >= round(share * recipe.steps) for share in recipe.rate_drops)
    return scheduled_lr(recipe.optim, step, recipe.steps) * 0.1**drops


def match_categories(categories: Sequence[Category], vocabulary: Vocabulary) -> dict[int, int]:
    """Category id to the number of its concept, found by name or, failing that, by synonym; others are left out."""
    concepts = list(enumerate(vocabulary.concepts))
    numbers = {same_word(name): number for number, concept in concepts for name in concept.synonyms}
    numbers |= {same_word(concept.name): number for number, concept in concepts}
    return {c.id: numbers[same_word(c.name)] for c in categories if same_word(c.name) in numbers}


ModelT = TypeVar("ModelT", ClosedSet, OPSNet, OVSeg)
RecipeT = TypeVar("RecipeT", bound=TrainingRecipe)


class SegmentationTask(Generic[RecipeT, ModelT]):
    """What the trainings of all segmenters share: data, optimiser, schedule."""

    model: ModelT
    per_class = False
    """Whether a target is all that a picture has of a class, things too."""

    def __init__(
        self,
        recipe: RecipeT,
        vocabulary: Vocabulary,
        data: PanopticDataset | SemanticDataset,
        *,
        device: str,
        workers: int,
    ) -> None:
        self.recipe = recipe
        self.device = device
        self._vocabulary = vocabulary
        self._data = data
        self._workers = workers

    @property
    def module(self) -> nn.Module:
        """What is trained; CLIP is frozen in it."""
        return self.model

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.recipe.steps

    @property
    def clip_norm(self) -> float | None:
        """Largest L2 norm of the gradient."""
        return self.recipe.optim.clip_norm

    def lr_at(self, step: int) -> float:
        """Warm-up, decay and drops."""
        return rate_at(self.recipe, step)

    def batches(self, start: int) -> Iterator[tuple[ImageBatch, tuple[Targets, ...]]]:
        """Batches from step `start` on, read by worker processes."""
        recipe = self.recipe
        class_ids = match_categories(self._data.categories, self._vocabulary)
        if not class_ids:
            raise ValueError("no category of the training data is in the recipe's vocabulary: check --data.")
        dataset = SegmentationDataset(self._data, class_ids, recipe.framing, per_class=self.per_class, seed=recipe.seed)
        keys = training_keys(len(dataset), seed=recipe.seed, start=start * recipe.batch_size)
        loader: Any = torch.utils.data.DataLoader(
            dataset,
            batch_size=recipe.batch_size,
            sampler=keys,
            num_workers=self._workers,
            collate_fn=collate,
        )
        return iter(loader)

    def pictures_in(self, batch: tuple[ImageBatch, tuple[Targets, ...]]) -> int:
        """Pictures of a batch."""
        return len(batch[1])

    def to_device(self, batch: tuple[ImageBatch, tuple[Targets, ...]]) -> tuple[ImageBatch, tuple[Targets, ...]]:
        """The batch on the training's device."""
        images, targets = batch
        if self.device == "cpu":
            return batch
        moved = tuple(
            Targets(
                masks=t.masks.to(self.device), class_ids=t.class_ids.to(self.device), ignored=t.ignored.to(self.device)
            )
            for t in targets
        )
        return images.to(self.device), moved

    def layer_losses(self, layers: list[LayerOutput], targets: tuple[Targets, ...], step: int) -> Mapping[str, Tensor]:
        """The criterion after every layer, its points drawn by the step's own generator."""
        generator = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + step)
        return segmentation_losses(layers, targets, self.recipe.criterion, generator=generator)

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW over everything but a frozen CLIP; the backbone at its own rate."""
        optim = self.recipe.optim
        slow = {id(p) for p in self.model.segmenter.backbone_parameters}
        groups = []
        for group in decay_groups(self.model, optim.weight_decay):
            for is_slow, scale in ((True, self.recipe.backbone_lr_scale), (False, 1.0)):
                chosen = [p for p in group["params"] if (id(p) in slow) == is_slow]
                if chosen:
                    groups.append({"params": chosen, "weight_decay": group["weight_decay"], "lr_scale": scale})
        return torch.optim.AdamW(groups, betas=optim.betas, eps=optim.eps)

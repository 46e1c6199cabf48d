"""What the trainings of all segmenters have in common: recipe, data, optimiser, criterion, evaluation."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from lexiseg.core.structures import ImageBatch, LayerPrediction
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import match_categories
from lexiseg.data.dataset import Dataset
from lexiseg.data.samples.segmentation import MixedDataset, SegmentationDataset, collate, mixed_keys
from lexiseg.data.samples.transforms import Framing
from lexiseg.encoders.clip.resnet import ClipConfig
from lexiseg.encoders.segmenters.block_wrapping import blocks_of
from lexiseg.encoders.segmenters.mask2former import Segmenter, SegmenterConfig
from lexiseg.models.opsnet import OPSNet
from lexiseg.models.ovseg import OVSeg
from lexiseg.training.engine.microbatches import BatchSplit
from lexiseg.training.engine.run_settings import Precision
from lexiseg.training.engine.task import Evaluation
from lexiseg.training.engine.trainer import OptimConfig, decay_groups, scheduled_lr
from lexiseg.training.engine.validation import Validation, evaluate_on
from lexiseg.training.segmentation.batches import SegmentBatch, split_batches
from lexiseg.training.segmentation.criterion import CriterionConfig, segmentation_losses


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
    paste_share: float = 0.0
    """How probably things of a picture of the training data are pasted into each; see `data.scenes.paste_things`."""
    precision: Precision = "bf16"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """Pictures of what a model knows already, evenly mixed into what it is to learn."""

    data: Dataset
    share: float
    """Of all pictures, in [0, 1]."""
    validation: Validation
    """What the model is measured on beside the new."""


ModelT = TypeVar("ModelT", ClosedSet, OPSNet, OVSeg)
RecipeT = TypeVar("RecipeT", bound=TrainingRecipe)


class SegmentationTask(ABC, Generic[RecipeT, ModelT]):
    """What the trainings of all segmenters share: data, optimiser, schedule, criterion."""

    model: ModelT
    per_class = False
    """Whether a target is all that a picture has of a class, things too."""
    validation: Validation | None = None
    """What the model is measured on now and then."""
    rehearsal: Rehearsal | None = None
    """What it was trained on before, so that it is not forgotten."""

    def __init__(
        self,
        recipe: RecipeT,
        vocabulary: Vocabulary,
        data: Dataset,
        *,
        device: str,
        workers: int,
    ) -> None:
        self.recipe = recipe
        self.device = device
        self._vocabulary = vocabulary
        self._data = data
        self._workers = workers

    @abstractmethod
    def predict(self, images: ImageBatch) -> list[LayerPrediction]:
        """What every layer predicts, for the criterion, which takes float32 alone."""

    def autocast(self) -> torch.autocast:
        """What the network runs under: bf16 where that is its precision."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.recipe.precision == "bf16")

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

    @property
    def blocks(self) -> list[nn.Module]:
        """The repeated parts of the network."""
        return blocks_of(self.model.segmenter)

    def twin(self) -> "SegmentationTask[RecipeT, ModelT]":
        """The same training with trained weights of its own; what is frozen is shared."""
        other = copy.copy(self)
        frozen = {id(p): p for p in self.model.parameters() if not p.requires_grad}
        other.model = copy.deepcopy(self.model, frozen)
        return other

    def batches(self, start: int, split: BatchSplit | None = None) -> Iterator[SegmentBatch]:
        """Batches from step `start` on, read by worker processes; of a split batch, this process's slices in turn."""
        recipe, split = self.recipe, split or BatchSplit()
        loader: Any = torch.utils.data.DataLoader(
            self._mixed(),
            batch_size=split.part_size(recipe.batch_size),
            sampler=self._keys(start, split),
            num_workers=self._workers,
            collate_fn=collate,
        )
        return split_batches(iter(loader), split)

    @property
    def _parts(self) -> tuple[Dataset, ...]:
        return (self._data,) if self.rehearsal is None else (self._data, self.rehearsal.data)

    def _mixed(self) -> MixedDataset:
        donors = self._examples(self._data)
        return MixedDataset([self._examples(data, donors) for data in self._parts])

    def _examples(self, data: Dataset, donors: SegmentationDataset | None = None) -> SegmentationDataset:
        class_ids = match_categories(data.categories, self._vocabulary)
        if not class_ids:
            raise ValueError("no category of the training data is in the recipe's vocabulary: check --data.")
        return SegmentationDataset(
            data,
            class_ids,
            self.recipe.framing,
            per_class=self.per_class,
            donors=donors,
            paste_share=self.recipe.paste_share,
            seed=self.recipe.seed,
        )

    def _keys(self, start: int, split: BatchSplit) -> Iterator[tuple[int, int, int]]:
        return mixed_keys(
            [len(data.samples) for data in self._parts],
            0.0 if self.rehearsal is None else self.rehearsal.share,
            seed=self.recipe.seed,
            start=start * self.recipe.batch_size,
            rank=split.rank,
            world_size=split.num_processes,
        )

    def pictures_of(self, step: int) -> list[str]:
        """File names of the whole batch of a step."""
        keys = islice(self._keys(step, BatchSplit()), self.recipe.batch_size)
        return [self._parts[part].samples[index].file_name for part, _, index in keys]

    def pictures_in(self, batch: SegmentBatch) -> int:
        """Pictures of a batch, or of a part of one."""
        return len(batch.targets)

    def losses(self, batch: SegmentBatch, step: int) -> Mapping[str, Tensor]:
        """The criterion after every layer, its points drawn by the step's own generator.

        Dropout and stochastic depth draw from torch's own generators, which begin anew with every step and part: a
        resumed run drops the same. How a batch is split decides what is dropped, but for that no loss depends on it.
        """
        seed = self.recipe.seed * 1_000_003 + step
        torch.manual_seed(seed + (batch.part.places[0] << 40))
        batch = batch.to(self.device)
        return segmentation_losses(
            self.predict(batch.images),
            batch.targets,
            self.recipe.criterion,
            generator=torch.Generator(batch.images.pixel_values.device).manual_seed(seed),
            part=batch.part,
        )

    def evaluate(self) -> Evaluation | None:
        """Figures of the model as it is, and a few pictures; None where there is nothing to measure it on."""
        if self.validation is None:
            return None
        assert not isinstance(self.model, ClosedSet), "it knows no words to be asked for"
        new = evaluate_on(self.validation, self.model)
        return new if self.rehearsal is None else new.beside(evaluate_on(self.rehearsal.validation, self.model))

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

"""The training of any segmenter: recipe, data, parameter groups, criterion, evaluation."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from lexiseg.core.concepts import same_word
from lexiseg.core.random import fork_random
from lexiseg.core.structures import NAMELESS, ImageBatch, LayerPrediction
from lexiseg.data.categories import match_categories
from lexiseg.data.dataset import Dataset
from lexiseg.data.samples.segmentation import MixedDataset, SegmentationDataset, collate, mixed_keys
from lexiseg.encoders.segmenters.block_wrapping import blocks_of
from lexiseg.encoders.segmenters.mask2former import freeze_batch_norm
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.training.engine.loader import load_batches
from lexiseg.training.engine.microbatches import BatchSplit
from lexiseg.training.engine.optim import OptimPlan, decay_groups
from lexiseg.training.engine.task import Evaluation
from lexiseg.training.engine.validation import Validation, evaluate_on
from lexiseg.training.segmentation.batches import SegmentBatch, split_batches
from lexiseg.training.segmentation.closed_set import ClosedSet
from lexiseg.training.segmentation.criterion import segmentation_losses
from lexiseg.training.segmentation.opsnet_plus import LabelSupervision
from lexiseg.training.segmentation.recipe import TrainingRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """Pictures of what a model knows already, evenly mixed into what it is to learn."""

    data: Dataset
    share: float
    """Of all pictures, in [0, 1]."""
    validation: Validation
    """What the model is measured on beside the new."""


ModelT = TypeVar("ModelT", bound=OpenVocabularySegmenter | ClosedSet)


class SegmentationTask(Generic[ModelT]):
    """The training of a segmenter on pictures with masks, for the loop; CLIP stays frozen."""

    def __init__(
        self,
        recipe: TrainingRecipe,
        data: Dataset,
        model: ModelT,
        *,
        keeps_batch_norm: bool = False,
        device: str = "cpu",
        workers: int = 1,
        validation: Validation | None = None,
        rehearsal: Rehearsal | None = None,
        labels: LabelSupervision | None = None,
    ) -> None:
        """Moves the model to the device, and embeds its training vocabulary once.

        Args:
            recipe: the recipe.
            data: the pictures, with whatever truth.
            model: trained in place.
            keeps_batch_norm: leaves the backbone's batch norms as they are, as for every pretrained start.
            device: where to train.
            workers: processes that read pictures.
            validation: what the model is measured on now and then.
            rehearsal: what it was trained on before, so that it is not forgotten.
            labels: further pictures that have labels and no masks, and the losses on them (OPSNet+).

        Raises:
            ValueError: if the model can't be trained.
        """
        self.recipe = recipe
        self.model = model
        self.device = device
        self.validation = validation
        self.rehearsal = rehearsal
        self.labels = labels
        self._data = data
        self._workers = workers
        self._words: Any = model.begin_training(device)
        """What the model asks of its `predict_layers` for: its training vocabulary, embedded; None of a closed set."""
        if keeps_batch_norm:
            freeze_batch_norm(model.segmenter)

    def predict(self, images: ImageBatch) -> tuple[LayerPrediction, ...]:
        """What every layer predicts, for the criterion, which takes float32 alone."""
        with self.recipe.autocast(self.device):
            return self.model.predict_layers(images, self._words)

    @property
    def module(self) -> nn.Module:
        """What is trained; CLIP is frozen in it."""
        return self.model

    @property
    def optim_plan(self) -> OptimPlan:
        """The recipe's optimiser and rate."""
        return self.recipe.optim_plan

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Everything but a frozen CLIP; the backbone at its own rate, vectors without weight decay."""
        slow = {id(p) for p in self.model.segmenter.backbone_parameters}
        groups = []
        for group in decay_groups(self.model, self.recipe.optim.weight_decay):
            for is_slow, scale in ((True, self.recipe.backbone_lr_scale), (False, 1.0)):
                chosen = [p for p in group["params"] if (id(p) in slow) == is_slow]
                if chosen:
                    groups.append({**group, "params": chosen, "lr_scale": scale})
        return groups

    @property
    def blocks(self) -> list[nn.Module]:
        """The repeated parts of the network."""
        return blocks_of(self.model.segmenter)

    def with_own_weights(self) -> "SegmentationTask[ModelT]":
        """The same training with trained weights of its own; what is frozen is shared."""
        other = copy.copy(self)
        frozen = {id(p): p for p in self.model.parameters() if not p.requires_grad}
        other.model = copy.deepcopy(self.model, frozen)
        return other

    def batches(self, start: int, split: BatchSplit | None = None) -> Iterator[SegmentBatch]:
        """Batches from step `start` on, read by worker processes; of a split batch, this process's slices in turn."""
        recipe, split = self.recipe, split or BatchSplit()
        pictures = load_batches(
            self._mixed(),
            collate,
            workers=self._workers,
            batch_size=split.microbatch_size(recipe.batch_size),
            sampler=self._keys(start, split),
        )
        batches = split_batches(pictures, split)
        if self.labels is None:
            return batches
        labelled = self.labels.batches(start, split, workers=self._workers)
        return (replace(batch, labelled=further) for batch, further in zip(batches, labelled, strict=False))

    @property
    def _sources(self) -> tuple[Dataset, ...]:
        return (self._data,) if self.rehearsal is None else (self._data, self.rehearsal.data)

    def _mixed(self) -> MixedDataset:
        donors = self._examples(self._data)
        return MixedDataset([self._examples(data, donors) for data in self._sources])

    def _examples(self, data: Dataset, donors: SegmentationDataset | None = None) -> SegmentationDataset:
        class_ids = match_categories(data.categories, self.model.training_vocabulary)
        if not class_ids:
            raise ValueError("no category of the training data is in the recipe's vocabulary: check --data.")
        nameless = set(map(same_word, self.recipe.nameless))
        class_ids |= {c.id: NAMELESS for c in data.categories if same_word(c.name) in nameless}
        return SegmentationDataset(
            data,
            class_ids,
            self.recipe.framing,
            per_class=self.model.has_targets_per_class,
            donors=donors,
            paste_share=self.recipe.paste_share,
            seed=self.recipe.seed,
        )

    def _keys(self, start: int, split: BatchSplit) -> Iterator[tuple[int, int, int]]:
        return mixed_keys(
            [len(data.samples) for data in self._sources],
            0.0 if self.rehearsal is None else self.rehearsal.share,
            seed=self.recipe.seed,
            start=start * self.recipe.batch_size,
            rank=split.rank,
            world_size=split.num_processes,
        )

    def pictures_of(self, step: int) -> list[str]:
        """File names of the whole batch of a step: with masks, then with labels."""
        keys = islice(self._keys(step, BatchSplit()), self.recipe.batch_size)
        names = [self._sources[source].samples[index].file_name for source, _, index in keys]
        return names if self.labels is None else [*names, *self.labels.pictures_of(step)]

    def pictures_in(self, batch: SegmentBatch) -> int:
        """Pictures of a batch, or of a microbatch."""
        return batch.num_pictures

    def losses(self, batch: SegmentBatch, step: int) -> Mapping[str, Tensor]:
        """The criterion after every layer, with random numbers of the step's own; and what labels add to it.

        Torch's own generator, which dropout and stochastic depth draw from, begins anew by step and microbatch, so that
        a resumed run drops the same. How a batch is split decides what is dropped, but for that no loss depends on it.
        """
        seed = self.recipe.seed * 1_000_003 + step
        batch = batch.to(self.device)
        with fork_random(seed + (batch.microbatch.places[0] << 40)):
            terms = segmentation_losses(
                self.predict(batch.images),
                batch.targets,
                self.recipe.criterion,
                generator=torch.Generator(batch.images.pixel_values.device).manual_seed(seed),
                microbatch=batch.microbatch,
            )
            if self.labels is not None and batch.labelled is not None:
                terms |= self.labels.losses(self.model, batch.labelled)
        return terms

    def evaluate(self) -> Evaluation | None:
        """Figures of the model as it is, and a few pictures; None where there is nothing to measure it on."""
        if self.validation is None:
            return None
        assert isinstance(self.model, OpenVocabularySegmenter), "a closed set knows no words to be asked for"
        new = evaluate_on(self.validation, self.model)
        return new if self.rehearsal is None else new.beside(evaluate_on(self.rehearsal.validation, self.model))

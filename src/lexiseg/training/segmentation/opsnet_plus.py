"""Decoupled supervision, OPSNet+ (section 3.4): pictures with labels but no masks teach both names and masks."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lexiseg.data.categories import own_vocabulary
from lexiseg.data.dataset import Dataset
from lexiseg.data.samples.labelled import LabelledBatch, LabelledPictures, collate_labelled
from lexiseg.data.samples.segmentation import training_keys
from lexiseg.layers.modulation import modulated_logits
from lexiseg.models.opsnet import OPSNet
from lexiseg.training.engine.microbatches import BatchSplit
from lexiseg.training.engine.optim import OptimPlan
from lexiseg.training.engine.task import Evaluation
from lexiseg.training.engine.validation import Validation
from lexiseg.training.segmentation.batches import SegmentBatch
from lexiseg.training.segmentation.losses import match_loss, sum_loss
from lexiseg.training.segmentation.opsnet import OPSNetRecipe
from lexiseg.training.segmentation.task import SegmentationTask


@dataclass(frozen=True, slots=True, kw_only=True)
class OPSNetPlusRecipe(OPSNetRecipe):
    """Everything that decides a training of an OPSNet+, but the pictures and the OPSNet that it goes on from."""

    labelled_batch_size: int
    """Pictures with labels in each step, beside `batch_size` with masks."""
    num_labelled: int
    """Pictures with labels that are drawn where no data set of them is given; 0: the recipe is for photographs."""
    match_weight: float = 1.0
    """Of class supervision (equation 1); 0 leaves it out."""
    sum_weight: float = 0.4
    """Of mask supervision (equation 2); 0 leaves it out. Without either nothing is learned from labels (Table 3)."""
    valid_iou: float = 0.5
    """Predictions whose predicted IoU is above it are asked for the labels. The paper gives no number."""

    def __post_init__(self) -> None:
        if min(self.match_weight, self.sum_weight) < 0 or not 0 <= self.valid_iou < 1 or self.labelled_batch_size < 1:
            raise ValueError(
                "weights must not be negative, valid_iou must lie in [0, 1) and labelled_batch_size be positive, got "
                f"{self.match_weight}, {self.sum_weight}, {self.valid_iou} and {self.labelled_batch_size}."
            )

    @property
    def learns_from_labels(self) -> bool:
        """Whether a loss looks at the pictures with labels."""
        return self.match_weight > 0 or self.sum_weight > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedBatch:
    """The pictures of one step, or a microbatch of them; the two kinds never share a canvas or a vocabulary."""

    masked: SegmentBatch
    labelled: LabelledBatch


class OPSNetPlusTask:
    """Training of an OPSNet on pictures with masks and, at the same time, others with labels alone."""

    def __init__(
        self,
        recipe: OPSNetPlusRecipe,
        data: Dataset,
        labelled: Dataset,
        model: OPSNet,
        *,
        device: str = "cpu",
        workers: int = 1,
        validation: Validation | None = None,
    ) -> None:
        """Moves the model to the device; its batch norms stay as they are.

        Args:
            recipe: the recipe.
            data: pictures with masks, of which a `SegmentationTask` takes care.
            labelled: pictures with labels; those with none are left out. Its categories are a vocabulary of their
                own, under the templates of the recipe's, and the softmax is over them alone.
            model: from `opsnet_to_go_on_with`; it is trained in place.
            device: where to train.
            workers: processes that read pictures, for each kind.
            validation: what the model is measured on now and then.

        Raises:
            ValueError: if no picture has a label, a label is no category, or two categories have one name.
        """
        self.recipe = recipe
        self.pictures = LabelledPictures(labelled, recipe.framing, seed=recipe.seed)
        """Those that have labels."""
        vocabulary = replace(own_vocabulary(labelled.categories), templates=recipe.vocabulary.templates)
        self.words = model.embed_vocabulary(vocabulary, negatives=False).to(device)
        """What their labels choose from."""
        self._masked = SegmentationTask(
            recipe, data, model, keeps_batch_norm=True, device=device, workers=workers, validation=validation
        )
        self._device = device
        self._workers = workers

    @property
    def model(self) -> OPSNet:
        """What is trained."""
        return self._masked.model

    @property
    def module(self) -> nn.Module:
        """What is trained; CLIP is frozen in it."""
        return self._masked.module

    @property
    def optim_plan(self) -> OptimPlan:
        """The recipe's optimiser and rate."""
        return self._masked.optim_plan

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Everything but CLIP."""
        return self._masked.parameter_groups()

    @property
    def blocks(self) -> list[nn.Module]:
        """The repeated parts of the network."""
        return self._masked.blocks

    def evaluate(self) -> Evaluation | None:
        """Figures of the model as it is; None where there is nothing to measure it on."""
        return self._masked.evaluate()

    def twin(self) -> "OPSNetPlusTask":
        """The same training with trained weights of its own."""
        other = copy.copy(self)
        other._masked = self._masked.twin()
        return other

    def batches(self, start: int, split: BatchSplit | None = None) -> Iterator[MixedBatch]:
        """Batches from step `start` on; each kind of picture in an order of its own, by seed and step alone."""
        split = split or BatchSplit()
        loader: Any = DataLoader(
            self.pictures,
            batch_size=split.microbatch_size(self.recipe.labelled_batch_size),
            sampler=self._keys(start, split),
            num_workers=self._workers,
            collate_fn=collate_labelled,
            generator=torch.Generator(),  # not torch's own, which is the caller's
        )
        for masked, labelled in zip(self._masked.batches(start, split), loader, strict=False):
            yield MixedBatch(masked=masked, labelled=labelled)

    def _keys(self, start: int, split: BatchSplit) -> Iterator[tuple[int, int]]:
        return training_keys(
            len(self.pictures),
            seed=self.recipe.seed,
            start=start * self.recipe.labelled_batch_size,
            rank=split.rank,
            world_size=split.num_processes,
        )

    def pictures_of(self, step: int) -> list[str]:
        """File names of the whole batch of a step: with masks, then with labels."""
        keys = islice(self._keys(step, BatchSplit()), self.recipe.labelled_batch_size)
        return [*self._masked.pictures_of(step), *(self.pictures.samples[index].file_name for _, index in keys)]

    def losses(self, batch: MixedBatch, step: int) -> Mapping[str, Tensor]:
        """OPSNet's losses on the pictures with masks, and the two of decoupled supervision on the others."""
        with self._masked.seeded(batch.masked, step):
            masked = self._masked.terms(batch.masked, step)
            return masked | self.labelled_losses(batch.labelled.to(self._device))

    def labelled_losses(self, batch: LabelledBatch) -> dict[str, Tensor]:
        """The weighted terms of decoupled supervision, on the last layer's predictions.

        `match` compares E_m, as inference fuses it, but without debiasing: equation 1 is on the cosines themselves. It
        trains whatever makes E_q. CLIP is frozen, and masks and predicted IoUs only choose: none of them has a gradient
        from it. `sum` trains what makes the masks. Both are means over pictures; a microbatch gives its share.
        """
        recipe, model = self.recipe, self.model
        share = len(batch.labels) / recipe.labelled_batch_size
        terms: dict[str, Tensor] = {}
        with self._masked.autocast():
            clip_map = model.clip_map(batch.images)
            proposals = model.propose(batch.images)
            regions = model.embed(proposals, clip_map)
            is_valid = model.iou_scores(proposals) > recipe.valid_iou
        if recipe.match_weight:
            modulation = replace(model.config.modulation, beta=0.0)
            class_logits = modulated_logits(regions, self.words, modulation, logit_scale=model.config.logit_scale)
            terms["match"] = share * recipe.match_weight * match_loss(class_logits, is_valid, batch.labels)
        if recipe.sum_weight:
            terms["sum"] = share * recipe.sum_weight * sum_loss(proposals.mask_logits.float(), batch.inside)
        return terms

    def pictures_in(self, batch: MixedBatch) -> int:
        """Pictures of both kinds."""
        return self._masked.pictures_in(batch.masked) + len(batch.labelled.labels)

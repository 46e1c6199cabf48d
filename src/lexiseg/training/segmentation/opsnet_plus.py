"""Decoupled supervision, OPSNet+ (section 3.4): pictures with labels but no masks teach both names and masks."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from torch import Tensor, nn

from lexiseg.data.categories import own_vocabulary
from lexiseg.data.dataset import Dataset
from lexiseg.data.samples.labelled import LabelledBatch, LabelledPictures, collate_labelled
from lexiseg.data.samples.segmentation import training_keys
from lexiseg.layers.modulation import modulated_logits
from lexiseg.models.opsnet import OPSNet
from lexiseg.training.engine.loader import load_batches
from lexiseg.training.engine.microbatches import BatchSplit
from lexiseg.training.segmentation.losses import match_loss, sum_loss
from lexiseg.training.segmentation.opsnet import OPSNetRecipe


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


class LabelSupervision:
    """Pictures with labels alone, and what an OPSNet learns from them beside those with masks."""

    def __init__(self, recipe: OPSNetPlusRecipe, labelled: Dataset, model: OPSNet, *, device: str = "cpu") -> None:
        """Embeds the names of the labels once.

        Args:
            recipe: the recipe.
            labelled: pictures with labels; those with none are left out. Its categories are a vocabulary of their
                own, under the templates of the recipe's, and the softmax is over them alone.
            model: embeds words as the one that is trained does.
            device: where to train.

        Raises:
            ValueError: if no picture has a label, a label is no category, or two categories have one name.
        """
        self.recipe = recipe
        self.pictures = LabelledPictures(labelled, recipe.framing, seed=recipe.seed)
        """Those that have labels."""
        vocabulary = replace(own_vocabulary(labelled.categories), templates=recipe.vocabulary.templates)
        self.words = model.embed_vocabulary(vocabulary, negatives=False).to(device)
        """What their labels choose from."""
        self._device = device

    def batches(self, start: int, split: BatchSplit, *, workers: int) -> Iterator[LabelledBatch]:
        """Batches from step `start` on, in an order of their own, by seed and step alone."""
        return load_batches(
            self.pictures,
            collate_labelled,
            workers=workers,
            batch_size=split.microbatch_size(self.recipe.labelled_batch_size),
            sampler=self._keys(start, split),
        )

    def _keys(self, start: int, split: BatchSplit) -> Iterator[tuple[int, int]]:
        return training_keys(
            len(self.pictures),
            seed=self.recipe.seed,
            start=start * self.recipe.labelled_batch_size,
            rank=split.rank,
            world_size=split.num_processes,
        )

    def pictures_of(self, step: int) -> list[str]:
        """File names of the whole batch of a step."""
        keys = islice(self._keys(step, BatchSplit()), self.recipe.labelled_batch_size)
        return [self.pictures.samples[index].file_name for _, index in keys]

    def losses(self, model: nn.Module, batch: LabelledBatch) -> dict[str, Tensor]:
        """The weighted terms of decoupled supervision, on the last layer's predictions.

        `match` compares E_m, as inference fuses it, but without debiasing: equation 1 is on the cosines themselves. It
        trains whatever makes E_q. CLIP is frozen, and masks and predicted IoUs only choose: none of them has a gradient
        from it. `sum` trains what makes the masks. Both are means over pictures; a microbatch gives its share.

        Args:
            model: the OPSNet in training.
            batch: on its device.
        """
        assert isinstance(model, OPSNet), "decoupled supervision is OPSNet+'s"
        recipe = self.recipe
        share = len(batch.labels) / recipe.labelled_batch_size
        terms: dict[str, Tensor] = {}
        with recipe.autocast(self._device):
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

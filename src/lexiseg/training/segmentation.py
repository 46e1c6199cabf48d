"""Training of segmenters on panoptic data: closed-set Mask2Former, and OPSNet around a frozen CLIP."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from lexiseg.core.structures import ImageBatch, Targets
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.panoptic_format import PanopticDataset
from lexiseg.data.samples import SegmentationDataset, collate, training_keys
from lexiseg.data.transforms import Framing
from lexiseg.encoders.clip import ClipConfig
from lexiseg.encoders.segmenter import Segmenter, SegmenterConfig, freeze_batch_norm
from lexiseg.models.opsnet import OPSNet, OPSNetConfig
from lexiseg.models.words import prepare
from lexiseg.training.criterion import CriterionConfig, LayerOutput, segmentation_losses
from lexiseg.training.trainer import OptimConfig, cosine_lr, decay_groups


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationRecipe:
    """Everything that decides a training of a segmenter, but the pictures and the CLIP."""

    segmenter: SegmenterConfig
    vocabulary: Vocabulary
    framing: Framing
    num_pictures: int
    """Pictures of the training set that the recipe expects; drawn if the recipe's data are drawn."""
    steps: int
    batch_size: int
    optim: OptimConfig
    criterion: CriterionConfig = field(default_factory=CriterionConfig)
    backbone_lr_scale: float = 1.0
    """Learning rate of the backbone relative to the rest; 0.1 where it was pretrained on photographs."""
    has_enhancer: bool = True
    """OPSNet only: cross-attention to CLIP's map."""
    seed: int = 0


class ClosedSet(nn.Module):
    """Mask2Former with its own closed class head: the baseline, and what `assemble` takes."""

    def __init__(self, config: SegmenterConfig, num_classes: int) -> None:
        super().__init__()
        self.segmenter = Segmenter(config)
        self.classify = nn.Linear(config.hidden_dim, num_classes + 1)


def _seed_initial_weights(recipe: SegmentationRecipe) -> None:
    """Nothing later draws from torch's own generator."""
    torch.random.default_generator.manual_seed(recipe.seed)


ModelT = TypeVar("ModelT", ClosedSet, OPSNet)


class _SegmentationTask(Generic[ModelT]):
    """What both trainings share: data, optimiser, schedule."""

    model: ModelT

    def __init__(self, recipe: SegmentationRecipe, data: PanopticDataset, *, device: str, workers: int) -> None:
        self.recipe = recipe
        self.device = device
        self._data = data
        self._workers = workers

    @property
    def module(self) -> nn.Module:
        """What is trained; OPSNet's CLIP is frozen in it."""
        return self.model

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.recipe.steps

    @property
    def clip_norm(self) -> float:
        """Largest L2 norm of the gradient."""
        return self.recipe.optim.clip_norm

    def lr_at(self, step: int) -> float:
        """Warm-up and cosine."""
        return cosine_lr(self.recipe.optim, step, self.recipe.steps)

    def batches(self, start: int) -> Iterator[tuple[ImageBatch, tuple[Targets, ...]]]:
        """Batches from step `start` on, read by worker processes."""
        recipe = self.recipe
        numbers = {concept.name: number for number, concept in enumerate(recipe.vocabulary.concepts)}
        class_ids = {c.id: numbers[c.name] for c in self._data.categories if c.name in numbers}
        if not class_ids:
            raise ValueError("no category of the training data is in the recipe's vocabulary: check --data.")
        dataset = SegmentationDataset(self._data, class_ids, recipe.framing, seed=recipe.seed)
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

    def _to_device(self, batch: tuple[ImageBatch, tuple[Targets, ...]]) -> tuple[ImageBatch, tuple[Targets, ...]]:
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

    def _losses(self, layers: list[LayerOutput], targets: tuple[Targets, ...], step: int) -> Mapping[str, Tensor]:
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


class ClosedSetTask(_SegmentationTask[ClosedSet]):
    """Training of a closed-set Mask2Former."""

    def __init__(
        self, recipe: SegmentationRecipe, data: PanopticDataset, *, device: str = "cpu", workers: int = 1
    ) -> None:
        super().__init__(recipe, data, device=device, workers=workers)
        _seed_initial_weights(recipe)
        self.model = ClosedSet(recipe.segmenter, len(recipe.vocabulary)).train().to(device)

    def losses(self, batch: tuple[ImageBatch, tuple[Targets, ...]], step: int) -> Mapping[str, Tensor]:
        """Mask2Former's losses after every layer."""
        images, targets = self._to_device(batch)
        with torch.autocast(self.device, torch.bfloat16):
            last = self.model.segmenter(images.pixel_values, every_layer=True)
            layers = [
                LayerOutput(
                    mask_logits=layer.mask_logits.float(), class_logits=self.model.classify(layer.query_embed).float()
                )
                for layer in (*last.earlier, last)
            ]
        return self._losses(layers, targets, step)


def new_opsnet(
    recipe: SegmentationRecipe,
    clip: ClipConfig,
    clip_state: Mapping[str, Tensor],
    segmenter_state: Mapping[str, Tensor] | None = None,
) -> OPSNet:
    """An untrained OPSNet around a trained CLIP, whose attention pool becomes the spatial adapter.

    Args:
        recipe: its seed decides the random weights.
        clip: sizes of the CLIP.
        clip_state: its weights.
        segmenter_state: weights of a Segmenter to begin from.
    """
    _seed_initial_weights(recipe)
    model = OPSNet(
        OPSNetConfig(
            segmenter=recipe.segmenter,
            clip=clip,
            training_vocabulary=recipe.vocabulary,
            longest_side=recipe.framing.image_size,
            has_enhancer=recipe.has_enhancer,
        )
    )
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
    if (model.config.segmenter, model.config.has_enhancer) != (recipe.segmenter, recipe.has_enhancer):
        raise ValueError(
            "expected a start whose segmenter and enhancer are the recipe's, got a model with other parts: "
            "choose the recipe that it was trained by, or another start."
        )
    model.config = replace(model.config, training_vocabulary=recipe.vocabulary, longest_side=recipe.framing.image_size)
    return model


class OPSNetTask(_SegmentationTask[OPSNet]):
    """Training of an OPSNet around a frozen CLIP (sections 3.1 to 3.4)."""

    def __init__(
        self,
        recipe: SegmentationRecipe,
        data: PanopticDataset,
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
        super().__init__(recipe, data, device=device, workers=workers)
        self.model = model
        self._words = prepare(model.clip, recipe.vocabulary, recipe.vocabulary, negatives=False).to(device)
        model.train().to(device)
        model.clip.to(memory_format=torch.channels_last)  # its convolutions take 0.6 of the time so on a CPU
        if keeps_batch_norm:
            freeze_batch_norm(model.segmenter)

    def losses(self, batch: tuple[ImageBatch, tuple[Targets, ...]], step: int) -> Mapping[str, Tensor]:
        """Mask2Former's losses over cosines after every layer, and the IoU loss after the last."""
        images, targets = self._to_device(batch)
        with torch.autocast(self.device, torch.bfloat16):
            clip_map = self.model.clip_map(images)
            last = self.model.propose(images, every_layer=True)
            class_embeds = [self.model.class_embed(layer, clip_map) for layer in (*last.earlier, last)]
            iou_scores = self.model.iou_scores(last)
        layers = [
            LayerOutput(
                mask_logits=layer.mask_logits.float(),
                class_logits=self.model.training_logits(class_embed, self._words),
                iou_scores=iou_scores if layer is last else None,
            )
            for layer, class_embed in zip((*last.earlier, last), class_embeds, strict=True)
        ]
        return self._losses(layers, targets, step)

"""Adaptation of CLIP to masked crops: full fine-tuning, mask prompt tuning, or both (OVSeg, sections 3.2 and 3.3)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from lexiseg.core.random import fork_random
from lexiseg.core.weights import load_part
from lexiseg.data.pairs.format import PairDataset
from lexiseg.encoders.clip.vit import PromptConfig, VitClip
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.training.clip.contrastive import contrastive_loss, towers_in_bf16
from lexiseg.training.clip.pair_batches import CroppedPairs, PairBatch, PairTask
from lexiseg.training.clip.text_tower import have_same_text_tower
from lexiseg.training.engine.optim import OptimConfig, OptimPlan, Stage, decay_groups
from lexiseg.training.engine.run_settings import Recipe

LARGEST_SCALE = math.log(100)
"""CLIP's own bound of its learned logit scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptationRecipe(Recipe):
    """Everything that decides an adaptation, but the pairs and the CLIP."""

    trained: Literal["full", "prompts", "joint"]
    """"full": the image tower; prompts, where there are any, are used and stay as they are. "prompts": those alone.
    "joint": both. The logit scale always learns, the text tower never does."""
    prompts: PromptConfig | None = None
    """Given to a CLIP that has none; one that has others is refused. None: as the CLIP has them."""
    optim: OptimConfig
    prompt_lr_scale: float = 1.0
    """Learning rate of the prompts relative to `optim.lr`; they have no weight decay."""
    logit_scale_lr_scale: float = 1.0
    """Learning rate of the logit scale relative to `optim.lr`; it has no weight decay."""
    batch_size: int
    epochs: int = 5
    steps: int | None = None
    """Steps, however many pairs there are; None: what the epochs take."""
    template: str = "a photo of a {}."
    """The sentence around a word. The paper names none for training; the released trainer takes the bare word, "{}", of
    which the recipes here keep away, as inference asks in sentences."""
    scale_range: tuple[float, float] = (0.9, 1.0)
    """Area of the random window of a crop, as a share of it."""
    seed: int = 0

    def __post_init__(self) -> None:
        low, high = self.scale_range
        if self.trained not in ("full", "prompts", "joint"):
            raise ValueError(f"trained must be full, prompts or joint, got {self.trained!r}.")
        if not 0 < low <= high <= 1 or "{}" not in self.template:
            raise ValueError(
                "scale_range must be ascending in (0, 1] and the template hold {} for the word, "
                f"got {self.scale_range} and {self.template!r}."
            )


def clip_to_adapt(recipe: AdaptationRecipe, clip: VitClip) -> VitClip:
    """A copy of a CLIP with the recipe's prompts, in which only what the recipe trains has a gradient.

    Args:
        recipe: its seed decides the first values of new prompts.
        clip: left as it is.

    Raises:
        ValueError: if the CLIP has prompts of another kind, or the recipe trains prompts and there are none.
    """
    found, wanted = clip.config.prompts, recipe.prompts or clip.config.prompts
    if found not in (None, wanted):
        raise ValueError(
            f"expected a CLIP without prompts or with the recipe's ({_described(wanted)}), got one with "
            f"{_described(found)}: start from another."
        )
    if wanted is None and recipe.trained != "full":
        raise ValueError("there are no prompts to train: give the recipe some, or start from a CLIP that has them.")
    with fork_random(recipe.seed):
        adapted = VitClip(replace(clip.config, prompts=wanted))
    load_part(adapted, clip.state_dict())
    adapted.requires_grad_(False)
    trained = [adapted.clip.logit_scale]
    if recipe.trained != "prompts":
        trained += adapted.image_parameters
    if recipe.trained != "full":
        trained += adapted.prompt_parameters
    for parameter in trained:
        parameter.requires_grad_(True)
    return adapted


def _described(prompts: PromptConfig | None) -> str:
    return "none" if prompts is None else f"{prompts.kind} prompts of depth {prompts.depth}"


def with_clip(model: OpenVocabularySegmenter, clip: VitClip) -> OpenVocabularySegmenter:
    """The same model with another CLIP for its crops: what becomes of an adapted one (section 3.1 stays as trained).

    Args:
        model: left as it is.
        clip: copied; the text towers of both must agree, as the queries were trained against the words of one.

    Raises:
        ValueError: if the text towers differ.
    """
    if not have_same_text_tower(model.clip, clip):
        raise ValueError(
            "expected a CLIP with the text tower that the model was trained with, got another: "
            "adapt the model's own CLIP."
        )
    with fork_random():
        changed = type(model)(replace(model.config, clip=clip.config))
    kept = {name: value for name, value in model.state_dict().items() if not name.startswith("clip.")}
    changed.load_state_dict(kept | {f"clip.{name}": value for name, value in clip.state_dict().items()})
    changed.provenance = model.provenance
    return changed.eval()


class AdaptationTask(PairTask):
    """An adaptation by a recipe."""

    def __init__(
        self, recipe: AdaptationRecipe, clip: VitClip, pairs: PairDataset, *, device: str = "cpu", workers: int = 1
    ) -> None:
        """Copies the CLIP to the device.

        Args:
            recipe: the recipe.
            clip: to go on from; left as it is.
            pairs: crops and words.
            device: where to train.
            workers: processes that read pairs.
        """
        self.recipe = recipe
        self.clip = clip_to_adapt(recipe, clip).train().to(device)
        self._words = pairs.words
        steps = recipe.steps or max(1, recipe.epochs * len(pairs) // recipe.batch_size)
        super().__init__(
            self.clip,
            OptimPlan(config=recipe.optim, stages=(Stage(steps=steps),)),
            CroppedPairs(pairs, clip.config.image_size, scale_range=recipe.scale_range, seed=recipe.seed),
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            device=device,
            workers=workers,
        )

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What is trained: the tower with weight decay, prompts and logit scale without."""
        recipe = self.recipe
        scale, prompts = [self.clip.clip.logit_scale], self.clip.prompt_parameters
        groups = [{"params": scale, "weight_decay": 0.0, "lr_scale": recipe.logit_scale_lr_scale}]
        if recipe.trained != "prompts":
            groups += decay_groups(self.clip.visual, recipe.optim.weight_decay)
        if recipe.trained != "full":
            groups.append({"params": prompts, "weight_decay": 0.0, "lr_scale": recipe.prompt_lr_scale})
        return groups

    def losses(self, batch: PairBatch, step: int) -> Mapping[str, Tensor]:
        """Contrast of crops and words; equal words in a batch count as different, as in the paper."""
        scale = self.clip.clip.logit_scale
        with torch.no_grad():
            scale.clamp_(max=LARGEST_SCALE)
        sentences = [self.recipe.template.replace("{}", self._words[word]) for word in batch.word_ids.tolist()]
        tokens = self.clip.tokenize(sentences).to(self._device)
        with towers_in_bf16(self._device):
            image_embed = self.clip.encode_regions(batch.crops.to(self._device), batch.masks.to(self._device))
            text_embed = self.clip.encode_tokens(tokens)
        return {"contrast": contrastive_loss(image_embed.float(), text_embed.float(), scale.exp())}

"""Training of SimBaseline's learned prompt: vectors before each class name that suit crops of true segments."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.random import fork_random
from lexiseg.data.pairs.format import PairDataset
from lexiseg.encoders.clip.vit import VitClip
from lexiseg.models.learned_prompt import LearnedPrompt
from lexiseg.training.clip.contrastive import towers_in_bf16
from lexiseg.training.clip.pair_batches import CroppedPairs, PairBatch, PairTask
from lexiseg.training.engine.optim import OptimConfig, OptimPlan, Stage
from lexiseg.training.engine.run_settings import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedPromptRecipe(Recipe):
    """Everything that decides a training of a prompt, but the pairs and the CLIP."""

    length: int = 16
    """P, the vectors; they are drawn from N(0, 0.02)."""
    optim: OptimConfig
    """Rate, its schedule and weight decay, here of SGD."""
    momentum: float = 0.9
    """Not stated anywhere; CoOp's."""
    shots: int = 32
    """Pairs of each word that are used; a word that has fewer is used with all of them."""
    steps: int
    batch_size: int = 32
    seed: int = 0


class LearnedPromptTask(PairTask):
    """The training of a prompt on pairs whose words are class names; CLIP stays as it is."""

    def __init__(
        self, recipe: LearnedPromptRecipe, clip: VitClip, pairs: PairDataset, *, device: str = "cpu", workers: int = 1
    ) -> None:
        """Draws the vectors and chooses the pairs.

        Args:
            recipe: its seed decides both.
            clip: frozen in place.
            pairs: true segments with the names of their classes; their distinct words are the classes.
            device: where to train.
            workers: processes that read pairs.

        Raises:
            ValueError: if there are fewer than two words.
        """
        if len(pairs.words) < 2:
            raise ValueError(
                f"a prompt is learned by telling words apart, got pairs of {len(pairs.words)}: mine pairs with labels."
            )
        with fork_random(recipe.seed):
            self.prompt = LearnedPrompt(recipe.length, clip.config.text_width).to(device)
        self._clip = clip.requires_grad_(False).eval().to(device)
        self._tokens = clip.tokenize(pairs.words).to(device)
        kept = few_of_each(pairs.word_ids, recipe.shots, seed=recipe.seed)
        super().__init__(
            self.prompt,
            OptimPlan(config=recipe.optim, stages=(Stage(steps=recipe.steps),), sgd_momentum=recipe.momentum),
            CroppedPairs(pairs, clip.config.image_size, scale_range=(1.0, 1.0), seed=recipe.seed, kept=kept),
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            device=device,
            workers=workers,
        )

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The vectors."""
        return [{"params": list(self.prompt.parameters())}]

    def losses(self, batch: PairBatch, step: int) -> Mapping[str, Tensor]:
        """Cross-entropy of each crop over all words, at CLIP's own logit scale."""
        clip = self._clip
        with towers_in_bf16(self._device):
            with torch.no_grad():
                image_embed = clip.encode_regions(batch.crops.to(self._device), batch.masks.to(self._device))
            text_embed = clip.encode_tokens(self._tokens, self.prompt.vectors)
        cosines = F.normalize(image_embed.float(), dim=-1) @ F.normalize(text_embed.float(), dim=-1).T
        return {"classes": F.cross_entropy(cosines * clip.clip.logit_scale.exp(), batch.word_ids.to(self._device))}


def few_of_each(word_ids: np.ndarray, shots: int, *, seed: int) -> list[int]:
    """Numbers of at most `shots` pairs of every word, drawn by the seed, ascending."""
    order = np.random.default_rng(seed).permutation(len(word_ids))
    in_groups = order[np.argsort(word_ids[order], kind="stable")]
    grouped = word_ids[in_groups]
    place_in_group = np.arange(len(grouped)) - np.searchsorted(grouped, grouped)
    return sorted(in_groups[place_in_group < shots].tolist())

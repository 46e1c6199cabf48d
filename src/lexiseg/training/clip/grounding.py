"""Grounding: CLIP's cells learn which words of a picture they show, from lists of all that it shows and no mask.

CLIP learns whole pictures; OPSNet asks its cells. Here each word of a list looks over the cells of a picture,
gathers those that look like it, and is to be recognised by what it gathered: among all words of the batch, and among
all its pictures. Where a word is, is left to the cells. The text tower stays as it is, so that words keep their places
in the joint space. It is near FILIP (Yao et al., ICLR 2022), where each word takes its best cell. The papers take CLIP
as it was published; this is for one that is small and has seen little.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from lexiseg.encoders.clip.resnet import Clip
from lexiseg.layers.spatial_adapter import folded
from lexiseg.storybook.captions import Rng, named_words
from lexiseg.storybook.scene import Scene
from lexiseg.training.clip.contrastive import Phase, PhasedRecipe, PhasedTask, towers_in_bf16, varied_light


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundingRecipe(PhasedRecipe):
    """Everything that decides a grounding, but the CLIP."""

    template: str = "a photo of a {}."
    """The sentence around a word."""
    logit_scale: float = 20.0
    """1 / tau of the comparison."""
    gather_scale: float = 10.0
    """1 / tau of a word's weights over the cells of a picture; 0 takes their plain mean."""
    synonym_cosine: float = 0.95
    """Words at least this alike are one: neither is held against the other."""

    def __post_init__(self) -> None:
        if "{}" not in self.template:
            raise ValueError(f"the template must hold {{}} for the word, got {self.template!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class WordBatch:
    """Pictures, and what they show."""

    pixel_values: UInt8[Tensor, "B 3 H W"]
    words: tuple[str, ...]
    """All words of the batch, sorted."""
    is_named: Bool[Tensor, "B R"]
    """Whether a picture's list has the word."""


def collate_words(items: Sequence[tuple[Tensor, Sequence[str]]]) -> WordBatch:
    """Stacks pictures and lists their words."""
    words = tuple(sorted({word for _, named in items for word in named}))
    return WordBatch(
        pixel_values=torch.stack([picture for picture, _ in items]),
        words=words,
        is_named=torch.tensor([[word in named for word in words] for _, named in items]),
    )


def word_scores(
    cells: Float[Tensor, "B cells D"], text_embed: Float[Tensor, "R D"], *, gather_scale: float
) -> Float[Tensor, "B R"]:
    """How well each picture shows each word: the cosine to what the word gathers in the picture.

    A word gathers the cells' mean, weighted by a softmax of its cosines to them. This is mask pooling with a mask of
    the word's own making.

    Args:
        cells: CLIP's features in the joint space.
        text_embed: of unit length.
        gather_scale: 1 / tau of the weights.
    """
    cosines = text_embed @ F.normalize(cells, dim=-1).transpose(1, 2)  # B R cells
    gathered = (gather_scale * cosines).softmax(-1) @ cells  # B R D
    return (F.normalize(gathered, dim=-1) * text_embed).sum(-1)


def grounding_loss(
    scores: Float[Tensor, "B R"], is_named: Bool[Tensor, "B R"], is_same: Bool[Tensor, "R R"]
) -> Float[Tensor, ""]:
    """InfoNCE of every picture and word that belong together, both ways.

    A pair is held against the words that the picture does not have, and against the pictures that do not have the word;
    words that mean the same count as had.

    Args:
        scores: logits.
        is_named: which word each picture has; at least one in all.
        is_same: which words mean the same as another.
    """
    is_had = is_named | (is_named.float() @ is_same.float() > 0)
    others = scores.masked_fill(is_had, -torch.inf)
    among_words, among_pictures = others.logsumexp(1, keepdim=True), others.logsumexp(0, keepdim=True)
    return 0.5 * (F.softplus(among_words - scores) + F.softplus(among_pictures - scores))[is_named].mean()


def _words(rng: Rng, scene: Scene, phase: Phase) -> tuple[str, ...]:
    return named_words(rng, scene)


class GroundingTask(PhasedTask[GroundingRecipe, Clip]):
    """The grounding of a CLIP by a recipe."""

    def __init__(self, recipe: GroundingRecipe, clip: Clip, *, device: str = "cpu", workers: int = 1) -> None:
        """Moves the CLIP to the device: of it, the trunk and the pool's output projection are trained, in place.

        The pool's value projection is left alone, as the two are one linear map of the cells; what its queries and keys
        do matters to whole pictures only.

        Args:
            recipe: the recipe.
            clip: with its attention pool.
            device: where to train.
            workers: processes that draw pictures.
        """
        super().__init__(recipe, clip.requires_grad_(False), _words, collate_words, device=device, workers=workers)
        pool = clip.visual.attnpool
        assert isinstance(pool, nn.Module)
        clip.visual.requires_grad_(True)
        for part in (pool.q_proj, pool.k_proj, pool.v_proj):
            part.requires_grad_(False)
        pool.positional_embedding.requires_grad_(False)

    def losses(self, batch: WordBatch, step: int) -> Mapping[str, Tensor]:
        """Words against cells."""
        recipe = self.recipe
        text_embed = F.normalize(self.clip.encode_text([recipe.template.format(word) for word in batch.words]), dim=-1)
        pixels = varied_light(batch.pixel_values.to(self._device), recipe.seed, step)
        with towers_in_bf16(self._device):
            cells = self._cells(pixels)
        scores = recipe.logit_scale * word_scores(cells.float(), text_embed, gather_scale=recipe.gather_scale)
        is_same = text_embed @ text_embed.T >= recipe.synonym_cosine
        return {"grounding": grounding_loss(scores, batch.is_named.to(self._device), is_same)}

    def _cells(self, pixel_values: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B cells D"]:
        """What the spatial adapter will give: the pool's value and output projections as one linear map."""
        pool: Any = self.clip.visual.attnpool
        features = self.clip.trunk(pixel_values, stride=self.clip.config.dense_stride)
        return F.linear(features.flatten(2).transpose(1, 2), *folded(pool.v_proj, pool.c_proj))

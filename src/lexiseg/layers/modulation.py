"""Embedding modulation (OPSNet, section 3.3): fusion of query and CLIP by the distance between the vocabularies."""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.structures import RegionEmbeddings, VocabularyEmbeddings


@dataclass(frozen=True, slots=True, kw_only=True)
class ModulationConfig:
    """Embedding fusion and logits debiasing (OPSNet, section 3.3, Tables 4 and 6).

    Raises ValueError if a number is negative or not finite.
    """

    alpha: float = 10.0
    """CLIP's weight per unit of distance between the vocabularies: k = alpha (1 - s)."""
    beta: float = 0.5
    """Exponent of logits debiasing; 0 switches it off."""
    clip_ratio: float | None = None
    """A fixed k instead of alpha (1 - s), as in the paper's Table 4; 0, with beta 0, is query-only."""
    clip_only: bool = False
    """CLIP's embedding only, without void."""

    OPTIONS: ClassVar[tuple[str, ...]] = ("alpha", "beta", "clip_ratio", "clip_only")

    def __post_init__(self) -> None:
        numbers = (self.alpha, self.beta, 0.0 if self.clip_ratio is None else self.clip_ratio)
        if not all(math.isfinite(number) and number >= 0 for number in numbers):
            raise ValueError(
                "alpha, beta and clip_ratio must not be negative and must be finite, "
                f"got {self.alpha}, {self.beta} and {self.clip_ratio}."
            )

    @property
    def told(self) -> str:
        """The configuration as people read it."""
        if self.clip_only:
            return "CLIP alone"
        share = f"alpha {self.alpha:g}" if self.clip_ratio is None else f"CLIP's weight fixed at {self.clip_ratio:g}"
        return f"embedding modulation, {share}, debiasing beta {self.beta:g}"

    def overridden(self, **options: Any) -> "ModulationConfig":
        """The configuration with some of `OPTIONS` set.

        Alpha replaces a fixed ratio. A fixed ratio and `clip_only` are without debiasing unless beta is given too: they
        are rows of the paper's Table 4, which has none.

        Raises:
            ValueError: if a number is out of its range.
        """
        if options.get("alpha") is not None:
            options = {"clip_ratio": None, **options}
        if options.get("clip_only") or options.get("clip_ratio") is not None:
            options = {"beta": 0.0, **options}
        return replace(self, **options)


QUERY_ONLY = ModulationConfig(clip_ratio=0.0, beta=0.0)
CLIP_ONLY = ModulationConfig(clip_only=True, beta=0.0)


def fuse(regions: RegionEmbeddings, domain_similarity: float, config: ModulationConfig) -> Float[Tensor, "B Q D"]:
    """E_m = E_q + k E_c, of unit length again; k = 0 returns E_q itself, to the last bit.

    The paper's equation does not say that both are normalised before they are added; without, k would weigh the lengths
    of two unrelated networks' features, and a "query + k CLIP" of Table 4 would mean nothing.

    Args:
        regions: both embeddings, of unit length.
        domain_similarity: s in [0, 1].
        config: alpha or a fixed ratio, from which k follows.
    """
    if config.clip_only:
        return regions.clip_embed
    ratio = config.alpha * (1 - domain_similarity) if config.clip_ratio is None else config.clip_ratio
    if ratio == 0:
        return regions.class_embed
    return F.normalize(regions.class_embed.float() + ratio * regions.clip_embed.float(), dim=-1)


def class_cosines(embed: Float[Tensor, "B Q D"], words: VocabularyEmbeddings) -> Float[Tensor, "B Q K"]:
    """Cosine to every concept: the largest over its names; in float32 under autocast too, as it is scaled by 100."""
    with torch.autocast(embed.device.type, enabled=False):
        cosines = embed.float() @ words.text_embed.float().T
    num_columns = len(words.similarity)
    if len(words.text_embed) == num_columns:
        return cosines  # one name each, in order
    columns = cosines.new_full((*cosines.shape[:-1], num_columns), -torch.inf)
    return columns.scatter_reduce(-1, words.concept_index.expand_as(cosines), cosines, "amax")


def modulated_logits(
    regions: RegionEmbeddings, words: VocabularyEmbeddings, config: ModulationConfig, *, logit_scale: float
) -> Float[Tensor, "B Q K"]:
    """Class logits of the fused embedding, debiased: z_i / (max_j H_ij)^beta, times the logit scale; in float32.

    Debiasing divides cosines before the softmax, and never the logit of void.
    """
    fused = fuse(regions, words.domain_similarity, config)
    cosines = class_cosines(fused, words)
    if config.beta:
        cosines = cosines / words.similarity**config.beta
    return cosines * logit_scale

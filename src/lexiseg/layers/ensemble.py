"""Ensembling the query's and CLIP's class probabilities of a proposal (OVSeg, SimBaseline, ZegFormer, FC-CLIP)."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lexiseg.core.checks import check_fractions


def _weights_told(unseen: float, seen: float) -> str:
    told = f"CLIP's weight {unseen:g}"
    return told if unseen == seen else f"{told}, and {seen:g} for words of the training vocabulary"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleConfig:
    """q = p^(1 - w) p_hat^w: p is the query's probability with void, p_hat CLIP's without (OVSeg, section 3.3).

    SimBaseline and ZegFormer have another weight for words of the training vocabulary; see `models.presets`. Raises
    ValueError if a weight is not in [0, 1] or the calibration is negative.
    """

    clip_weight: float = 0.7
    """w = lambda of the paper, in [0, 1]: 0 is query-only (MaskFormer), 1 is CLIP-only, without void."""
    seen_clip_weight: float | None = None
    """w of words that are in the training vocabulary; None is `clip_weight`."""
    averages_seen: bool = False
    """A seen word takes CLIP's mean probability over all seen words instead of its own (ZegFormer)."""
    borrows_void: bool = False
    """CLIP's softmax has a no-object column too, with the query's logit (ZegFormer)."""
    calibration: float = 0.0
    """gamma: subtracted from every seen word's sum at every pixel of the soft semantic map (calibrated stacking)."""

    OPTIONS: ClassVar[tuple[str, ...]] = ("clip_weight", "clip_only")

    def __post_init__(self) -> None:
        check_fractions(self, "clip_weight", "seen_clip_weight")
        if self.calibration < 0:
            raise ValueError(f"calibration must not be negative, got {self.calibration}.")

    @property
    def weights(self) -> tuple[float, float]:
        """The weights w of unseen and of seen words."""
        return self.clip_weight, self.clip_weight if self.seen_clip_weight is None else self.seen_clip_weight

    @property
    def is_query_only(self) -> bool:
        """Whether CLIP has no weight, so that it need not run."""
        return self.weights == (0, 0)

    @property
    def is_clip_only(self) -> bool:
        """Whether the query has no weight."""
        return self.weights == (1, 1)

    @property
    def told(self) -> str:
        """The configuration as people read it."""
        unseen, seen = self.weights
        return "CLIP alone" if self.is_clip_only else f"ensemble of probabilities, {_weights_told(unseen, seen)}"

    def overridden(self, **options: Any) -> "EnsembleConfig":
        """The configuration with some of `OPTIONS` set; a `clip_weight` of 0 is query-only, `clip_only` is CLIP-only.

        Where seen words have a weight of their own (SimBaseline, ZegFormer), it becomes 1 - `clip_weight`.

        Raises:
            ValueError: if the weight does not lie in [0, 1].
        """
        clip_weight = options.get("clip_weight")
        if options.get("clip_only"):
            return CLIP_BRANCH_ONLY
        if clip_weight is None:
            return self
        if clip_weight == 0:
            return MASKFORMER_ONLY
        seen = None if self.seen_clip_weight is None else 1 - clip_weight
        return replace(self, clip_weight=clip_weight, seen_clip_weight=seen)


MASKFORMER_ONLY = EnsembleConfig(clip_weight=0.0)
CLIP_BRANCH_ONLY = EnsembleConfig(clip_weight=1.0)


def ensemble_scores(
    query_logits: Float[Tensor, "B Q K1"],
    clip_logits: Float[Tensor, "B Q K"],
    has_region: Bool[Tensor, "B Q"],
    is_seen: Bool[Tensor, " K"],
    config: EnsembleConfig,
) -> Float[Tensor, "B Q K"]:
    """Computes log q of every proposal and concept; -inf where the score is zero.

    p is the softmax over concepts and no-object, p_hat that over concepts only. A proposal that CLIP did not encode (an
    empty mask) has p_hat = 1, as in OVSeg's code, so q = p^(1 - w); in CLIP-only mode its score is zero. The result is
    not normalised: one minus its sum is the probability of void.

    Args:
        query_logits: scaled cosines of the query; the last column is no-object.
        clip_logits: scaled cosines of CLIP's region embedding; any finite values where there is no region.
        has_region: whether CLIP encoded the proposal.
        is_seen: whether a concept is in the training vocabulary.
        config: the weights.
    """
    query_log_probs = query_logits.float().log_softmax(-1)[..., :-1]
    if config.is_query_only:
        return query_log_probs
    clip_log_probs = _clip_log_probs(query_logits.float(), clip_logits.float(), is_seen, config)
    if config.is_clip_only:
        return clip_log_probs.masked_fill(~has_region[..., None], -torch.inf)
    clip_log_probs = clip_log_probs.masked_fill(~has_region[..., None], 0.0)
    unseen, seen = config.weights
    weights = torch.where(is_seen, seen, unseen).to(clip_log_probs)
    return (1 - weights) * query_log_probs + weights * clip_log_probs


def _clip_log_probs(
    query_logits: Float[Tensor, "B Q K1"],
    clip_logits: Float[Tensor, "B Q K"],
    is_seen: Bool[Tensor, " K"],
    config: EnsembleConfig,
) -> Float[Tensor, "B Q K"]:
    """Computes log p_hat."""
    if config.borrows_void:
        log_probs = torch.cat([clip_logits, query_logits[..., -1:]], -1).log_softmax(-1)[..., :-1]
    else:
        log_probs = clip_logits.log_softmax(-1)
    if not config.averages_seen or not bool(is_seen.any()):
        return log_probs
    mean = log_probs[..., is_seen].logsumexp(-1, keepdim=True) - is_seen.sum().log()
    return torch.where(is_seen, mean, log_probs)


@dataclass(frozen=True, slots=True, kw_only=True)
class GeometricConfig:
    """FC-CLIP's ensemble: w = p^(1 - e) p_hat^e, both without void, then normalised over the words (section 3.3).

    The probability of void is the query's alone. Raises ValueError if a weight is not in [0, 1].
    """

    clip_weight: float = 0.8
    """e of words outside the training vocabulary, beta of the paper, in [0, 1]."""
    seen_clip_weight: float = 0.4
    """e of words of the training vocabulary, alpha of the paper."""
    needs_region: bool = False
    """Whether a mask without a cell of CLIP's map is named by its query alone (official with a ModifiedResNet)."""
    clip_only: bool = False
    """CLIP's probabilities only, without void."""

    OPTIONS: ClassVar[tuple[str, ...]] = ("clip_weight", "clip_only")

    def __post_init__(self) -> None:
        check_fractions(self, "clip_weight", "seen_clip_weight")

    @property
    def is_query_only(self) -> bool:
        """Whether CLIP has no weight, so that it need not look at regions."""
        return not self.clip_only and self.clip_weight == self.seen_clip_weight == 0

    @property
    def told(self) -> str:
        """The configuration as people read it."""
        weights = _weights_told(self.clip_weight, self.seen_clip_weight)
        return "CLIP alone" if self.clip_only else f"geometric ensemble, {weights}"

    def overridden(self, **options: Any) -> "GeometricConfig":
        """The configuration with some of `OPTIONS` set; `clip_weight` becomes the weight of every word.

        Raises:
            ValueError: if the weight does not lie in [0, 1].
        """
        weight = options.get("clip_weight")
        options = options if weight is None else {"seen_clip_weight": weight, **options}
        return replace(self, **options)


GEOMETRIC_CLIP_ONLY = GeometricConfig(clip_only=True)


def geometric_logits(
    query_logits: Float[Tensor, "B Q K1"],
    clip_logits: Float[Tensor, "B Q K"],
    has_region: Bool[Tensor, "B Q"],
    is_seen: Bool[Tensor, " K"],
    config: GeometricConfig,
) -> tuple[Float[Tensor, "B Q K"], Float[Tensor, "B Q"]]:
    """Computes log w of every proposal and concept, and the probability of void.

    Args:
        query_logits: scaled cosines of the query; the last column is no-object.
        clip_logits: scaled cosines of CLIP's region embedding.
        has_region: whether a cell of CLIP's map is inside the mask.
        is_seen: whether a concept is in the training vocabulary.
        config: the weights.

    Returns:
        Class logits, whose softmax is w normalised; and the query's probability of void, zero for CLIP-only.
    """
    clip_log_probs = clip_logits.float().log_softmax(-1)
    if config.clip_only:
        return clip_log_probs, clip_log_probs.new_zeros(clip_log_probs.shape[:-1])
    query_logits = query_logits.float()
    void_probs = query_logits.softmax(-1)[..., -1]
    query_log_probs = query_logits[..., :-1].log_softmax(-1)
    if config.is_query_only:
        return query_log_probs, void_probs
    weights = torch.where(is_seen, config.seen_clip_weight, config.clip_weight).to(clip_log_probs)
    if config.needs_region:
        weights = weights * has_region[..., None]
    return (1 - weights) * query_log_probs + weights * clip_log_probs, void_probs

"""Alternatives to what an assembled model does by default, each off until it is asked for.

Their measurements in the drawn world stand in docs/results.md.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.checks import check_fractions
from lexiseg.core.structures import ImageBatch, MaskPrediction, RegionEmbeddings, VocabularyEmbeddings
from lexiseg.layers.modulation import class_cosines
from lexiseg.models.crops import RegionConfig, SeenCrops


@dataclass(frozen=True, slots=True, kw_only=True)
class SurvivorCrops:
    """Masked crops through the whole CLIP, for the proposals that a first answer keeps (OVSeg, section 3.2).

    The crop's embedding is added to the mask-pooled one, both of unit length: OPSNet's Table 5 compares the two, and a
    crop costs a pass of CLIP. Raises ValueError if a number is not in [0, 1].
    """

    share: float = 0.5
    """Weight of the crop in the sum; 1 leaves nothing of mask pooling."""
    min_score: float | None = None
    """A proposal is cut out if its class score without crops is above this; None: the merge's own threshold."""
    regions: RegionConfig = field(default_factory=lambda: RegionConfig(resampling="antialiased"))
    """How it is cut out; by default its box, with CLIP's mean colour outside the mask."""

    def __post_init__(self) -> None:
        check_fractions(self, "share", "min_score")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternatives:
    """Which alternatives a model takes, beside its fusion; raises ValueError if the gain is not in [0, 1]."""

    mapped_head: bool = False
    """The query's answer is not its embedding's but the closed-set head's own probabilities, mapped to the asked words
    by the similarity of names; see `mapped_log_probs`. It has no embedding, so that modulation can't add CLIP's to it:
    it goes with the geometric ensemble, or alone."""
    crops: SurvivorCrops | None = None
    """Masked crops for the survivors; None: mask pooling alone."""
    certainty_gain: float = 0.0
    """g of OVRCOAT's lift of the object probability, 0.5 there; 0: none. See `lifted_void_probs`."""

    def __post_init__(self) -> None:
        check_fractions(self, "certainty_gain")


def mapped_log_probs(
    class_probs: Float[Tensor, "B Q S"],
    class_text: Float[Tensor, "S D"],
    words: VocabularyEmbeddings,
    logit_scale: float,
) -> Float[Tensor, "B Q K"]:
    """A closed set's probabilities as log-probabilities of the asked words.

    q_i = sum_j p_j softmax_i(cos(T_i, T_j) / tau), with p_j of trained name j and text embeddings T. Each trained name
    is itself classified among the asked words, by CLIP's text tower and at its temperature; a word that is asked for by
    the trained name gets nearly all of it. The embedding head (`layers.heads.AssembledHead`) averages the names'
    embeddings instead, and classifies the mean.

    Args:
        class_probs: without no-object, summing to one.
        class_text: unit rows, one per trained name.
        words: the asked words, negatives included.
        logit_scale: 1 / tau.
    """
    names = (class_cosines(class_text.float()[None], words)[0] * logit_scale).softmax(-1)
    return (class_probs.float() @ names).clamp(min=torch.finfo(torch.float32).tiny).log()


def lifted_void_probs(
    void_probs: Float[Tensor, "B Q"], clip_logits: Float[Tensor, "B Q K"], gain: float
) -> Float[Tensor, "B Q"]:
    """OVRCOAT's test-time lift (CVPR 2026): p'_object = 1 - (1 - g p_certain) (1 - p_object).

    p_certain is CLIP's certainty: its largest probability over the asked words, no-object not among them, as the
    authors' program has it. Negatives are asked words here.

    Args:
        void_probs: 1 - p_object.
        clip_logits: of CLIP's own embedding, scaled.
        gain: g in [0, 1].
    """
    return void_probs * (1 - gain * clip_logits.float().softmax(-1).amax(-1))


def with_void(log_probs: Float[Tensor, "B Q K"], void_probs: Float[Tensor, "B Q"]) -> Float[Tensor, "B Q K1"]:
    """Logits whose softmax has the probability of void last, and the words' in what remains."""
    void_probs = void_probs.float().clamp(1e-7, 1 - 1e-7)[..., None]
    return torch.cat([log_probs.log_softmax(-1) + (1 - void_probs).log(), void_probs.log()], -1)


def survivors(first: MaskPrediction, min_score: float) -> Bool[Tensor, "B Q"]:
    """Which proposals a first answer keeps: those whose class score is above the threshold."""
    return (1 - first.void_probs) * first.class_logits.float().softmax(-1).amax(-1) > min_score


def crops_of(clip: Any, images: ImageBatch, mask_logits: Float[Tensor, "B Q h w"], regions: RegionConfig) -> SeenCrops:
    """The crops of proposals, as the whole of a CLIP of any family sees them; nothing is encoded yet."""
    size = clip.config.image_size, clip.config.embed_dim
    return SeenCrops(lambda crops: clip.encode_image(crops.pixel_values), images, mask_logits, regions, size)


def with_crops(
    regions: RegionEmbeddings, crops: SeenCrops, wanted: Bool[Tensor, "B Q"], share: float
) -> RegionEmbeddings:
    """The region embeddings in which CLIP's, of wanted proposals that have a pixel, is joined with their crop's.

    Args:
        regions: the embeddings without crops.
        crops: of the proposals.
        wanted: which proposals are cut out.
        share: the crop's weight in the sum.
    """
    seen, has_pixels = crops.embed(wanted)
    embed = regions.clip_embed.float()
    joined = F.normalize((1 - share) * embed + share * seen, dim=-1)
    return replace(regions, clip_embed=joined.where(has_pixels[..., None], embed))

"""The values on the arrows: what one verb hands to the next, each frozen.

Shape alphabet, one meaning per letter in the whole library:

    B  images of a batch                H W  padded input size
    Q  queries = mask proposals         h w  mask size (stride 4)
    K  concepts asked for, then the negatives that compete with them
    R  names (rows of text_embed; a concept has one row per name)
    S  names of the training vocabulary
    N  ground-truth segments of one image
    C  segmenter channels               D    width of CLIP's joint space
    M  kept proposals or crops          T    prompt templates
    P  sampled points
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lexiseg.core.frames import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBatch:
    """Pictures of one padded size."""

    pixel_values: Float[Tensor, "B 3 H W"]
    """RGB in [0, 1]; padding is 0. Each gate normalises for its own network."""
    frames: tuple[Frame, ...]
    """How each picture was resized and padded, and the exact way back."""

    def only(self, index: int) -> "ImageBatch":
        """One of the pictures, on the same canvas."""
        return ImageBatch(pixel_values=self.pixel_values[index : index + 1], frames=(self.frames[index],))

    def to(self, device: torch.device | str) -> "ImageBatch":
        """The same pictures on another device."""
        return ImageBatch(pixel_values=self.pixel_values.to(device), frames=self.frames)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskProposals:
    """What a segmenter proposes before anything has a name."""

    mask_logits: Float[Tensor, "B Q h w"]
    query_embed: Float[Tensor, "B Q C"]
    """Decoder output per mask, after the decoder's last norm."""
    aux: tuple["MaskProposals", ...] = ()
    """The same after every earlier decoder layer, first to last, for deep supervision; empty at inference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionEmbeddings:
    """Two views of every proposal in CLIP's joint space, both of unit length."""

    class_embed: Float[Tensor, "B Q D"]
    """Learned: the segmenter's query, enhanced and projected (E_q)."""
    clip_embed: Float[Tensor, "B Q D"]
    """Frozen: CLIP's own features under the mask (E_c)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularyEmbeddings:
    """One asked vocabulary, encoded: all that a model needs to know of the words, prepared once."""

    text_embed: Float[Tensor, "R D"]
    """Unit rows, one per name; float32."""
    concept_index: Int[Tensor, " R"]
    """For each row, the concept in [0, K) that it names."""
    num_concepts: int
    """Asked concepts; columns from here to K are negatives, which compete and become void."""
    similarity: Float[Tensor, " K"]
    """max_j H_ij of each concept to the training vocabulary, in (0, 1]."""
    domain_similarity: float
    """s: the mean of `similarity` over the asked concepts; exactly 1 on the training vocabulary."""

    def to(self, device: torch.device | str) -> "VocabularyEmbeddings":
        """The same words on another device."""
        return VocabularyEmbeddings(
            text_embed=self.text_embed.to(device),
            concept_index=self.concept_index.to(device),
            num_concepts=self.num_concepts,
            similarity=self.similarity.to(device),
            domain_similarity=self.domain_similarity,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionCounts:
    """What became of the proposals of a batch that were to be cut out one by one."""

    proposals: int = 0
    encoded: int = 0
    """Shown to CLIP."""
    empty: int = 0
    """Without a pixel above the mask threshold: leaving them out changes no digit."""
    skipped: int = 0
    """Left out because the query was too sure of no object."""

    def __add__(self, other: "RegionCounts") -> "RegionCounts":
        return RegionCounts(
            proposals=self.proposals + other.proposals,
            encoded=self.encoded + other.encoded,
            empty=self.empty + other.empty,
            skipped=self.skipped + other.skipped,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskPrediction:
    """Masks with names: a model's whole answer for one vocabulary. The three scores stay apart."""

    mask_logits: Float[Tensor, "B Q h w"]
    class_logits: Float[Tensor, "B Q K"]
    """Over concepts and negatives, no void column; softmax gives class_probs."""
    void_probs: Float[Tensor, "B Q"]
    """Probability that the proposal is no object, from the query alone; zero for CLIP-only.

    The scores of an ensemble (OVSeg) need not add up to one: there it is one minus their sum, and may be below zero.
    """
    iou_scores: Float[Tensor, "B Q"]
    """Predicted IoU of each mask in [0, 1]."""
    num_concepts: int
    """Columns of class_logits from here on are negatives."""
    pixel_bias: Float[Tensor, " K"] | None = None
    """Taken from each concept's sum at every pixel of the soft semantic map (ZegFormer's calibrated stacking)."""
    counts: RegionCounts = field(default_factory=RegionCounts)
    """What the region branch did, where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """The truth of one image for training."""

    masks: Bool[Tensor, "N h w"]
    class_ids: Int[Tensor, " N"]
    ignored: Bool[Tensor, "h w"]
    """Void and crowd: pixels of which nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """One name that a segment might carry."""

    name: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One segment of a panoptic map."""

    id: int
    """Value of its pixels in the map; positive and unique in the map."""
    class_id: int
    """Index of its concept in the asked vocabulary."""
    name: str
    score: float
    """The ranking score in [0, 1] (class, IoU or their product, as configured)."""
    is_thing: bool
    area: int
    """Pixels."""
    box: tuple[int, int, int, int]
    """x, y, width, height in pixels."""
    guesses: tuple[Guess, ...] = ()
    """The best names, best first (the segment's own among them), with class scores."""
    path: tuple[Guess, ...] = ()
    """Descent of the vocabulary's taxonomy, root first; empty without a taxonomy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticMap:
    """A picture's segments: every pixel belongs to one of them or to void."""

    segmentation: np.ndarray
    """int32 (H, W): segment ids; 0 is void."""
    segments: tuple[Segment, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPrediction:
    """What one decoder layer predicts, for the criterion."""

    mask_logits: Float[Tensor, "B Q h w"]
    class_logits: Float[Tensor, "B Q K1"]
    """The last column is no-object."""
    iou_scores: Float[Tensor, "B Q"] | None = None
    """Predicted IoUs; the last layer alone has them, and a closed-set model none."""

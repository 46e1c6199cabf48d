"""Frozen value types that pass between segmenter, CLIP, model, post-processing and training.

Shape alphabet, one meaning per letter in the whole library:

    B  images of a batch                H W  padded input size
    Q  queries = mask proposals         h w  mask size (stride 4)
    K  concepts of the vocabulary, then the negatives that compete with them
    R  names (rows of text_embed; a concept has one row per name)
    S  names of the training vocabulary
    N  ground-truth segments of one image
    C  segmenter channels               D    width of CLIP's joint space
    M  kept proposals or crops          T    prompt templates
    P  sampled points                   E    channels of mask features
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lexiseg.core.frames import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBatch:
    """Pictures of one padded size."""

    pixel_values: Float[Tensor, "B 3 H W"]
    """RGB in [0, 1]; padding is 0, see `padded_with`. Every encoder normalises to its own colour scale."""
    frames: tuple[Frame, ...]
    """How each picture was resized and padded, and the inverse."""

    def only(self, index: int) -> "ImageBatch":
        """One of the pictures, on the same canvas."""
        return ImageBatch(pixel_values=self.pixel_values[index : index + 1], frames=(self.frames[index],))

    def to(self, device: torch.device | str) -> "ImageBatch":
        """The same pictures on another device."""
        return replace(self, pixel_values=self.pixel_values.to(device))

    def padded_with(self, colour: tuple[float, float, float]) -> Float[Tensor, "B 3 H W"]:
        """The pictures on a canvas of another colour, RGB in [0, 1]."""
        height, width = self.pixel_values.shape[-2:]
        if all(frame.resized == (height, width) for frame in self.frames):
            return self.pixel_values
        canvases = self.pixel_values.new_tensor(colour)[None, :, None, None].expand_as(self.pixel_values).clone()
        for canvas, picture, frame in zip(canvases, self.pixel_values, self.frames, strict=True):
            bottom, right = frame.resized
            canvas[:, :bottom, :right] = picture[:, :bottom, :right]
        return canvases


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneMaps:
    """Maps of a picture that masks are made from, and named by."""

    clip_map: Float[Tensor, "B F gh gw"]
    """The last stage of CLIP's image tower."""
    mask_features: Float[Tensor, "B C h w"]
    """Of the pixel decoder, at stride 4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskFactors:
    """The two factors whose product the mask logits are: a loss forms the maps of the queries that it needs."""

    mask_embed: Float[Tensor, "B Q E"]
    mask_features: tuple[Float[Tensor, "E h w"], ...]
    """Picture by picture: cut out of a batch each time, each would have a gradient as large as the batch."""

    def of(self, image: int, queries: Int[Tensor, " N"]) -> Float[Tensor, "N h w"]:
        """The maps of some queries of one picture."""
        features = self.mask_features[image]
        return (self.mask_embed[image, queries] @ features.flatten(1)).unflatten(-1, features.shape[-2:])


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskProposals:
    """Class-agnostic masks and the queries behind them."""

    mask_logits: Float[Tensor, "B Q h w"]
    """Without a gradient where `factors` are given."""
    query_embed: Float[Tensor, "B Q C"]
    """Decoder output per mask, after the decoder's last norm."""
    aux: tuple["MaskProposals", ...] = ()
    """The same after every earlier decoder layer, first to last, for deep supervision; empty at inference."""
    factors: MaskFactors | None = None
    """Of the mask logits, in training; None: the mask logits themselves carry the gradient."""
    maps: BackboneMaps | None = None
    """What classification reads again, where CLIP itself is the backbone; None: it is computed anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionEmbeddings:
    """Two embeddings of every proposal in CLIP's joint space, both of unit length."""

    class_embed: Float[Tensor, "B Q D"]
    """Learned: the segmenter's query, enhanced and projected (E_q)."""
    clip_embed: Float[Tensor, "B Q D"]
    """Frozen: CLIP's own features under the mask (E_c)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularyEmbeddings:
    """One vocabulary, embedded: all that a model reads of its words, computed once per vocabulary."""

    text_embed: Float[Tensor, "R D"]
    """Unit rows, one per name; float32."""
    concept_index: Int[Tensor, " R"]
    """For each row, the concept in [0, K) that it names."""
    num_concepts: int
    """Concepts of the vocabulary; columns from here to K are negatives, which compete and become void."""
    similarity: Float[Tensor, " K"]
    """max_j H_ij of each concept to the training vocabulary, in (0, 1]."""
    domain_similarity: float
    """s: the mean of `similarity` over the vocabulary's concepts; exactly 1 on the training vocabulary."""
    is_trained: Bool[Tensor, " K"] | None = None
    """Whether a name of the concept is, letter for letter, one of the training vocabulary's; None: not known."""

    @property
    def is_seen(self) -> Bool[Tensor, " K"]:
        """`is_trained`; where that is not known, whether the similarity is exactly 1."""
        return self.similarity == 1 if self.is_trained is None else self.is_trained

    def only(self, places: Sequence[int]) -> "VocabularyEmbeddings":
        """Some of the concepts as a vocabulary of their own, in this order: what embedding them alone would give."""
        kept = torch.tensor(places, device=self.concept_index.device)
        column = self.concept_index.new_full((len(self.similarity),), -1)
        column[kept] = torch.arange(len(kept), device=kept.device)
        index, rows = column[self.concept_index].sort(stable=True)
        rows = rows[index >= 0]
        similarity = self.similarity[kept]
        return VocabularyEmbeddings(
            text_embed=self.text_embed[rows],
            concept_index=column[self.concept_index[rows]],
            num_concepts=len(kept),
            similarity=similarity,
            domain_similarity=similarity.double().mean().item(),
            is_trained=None if self.is_trained is None else self.is_trained[kept],
        )

    def followed_by(self, other: "VocabularyEmbeddings") -> "VocabularyEmbeddings":
        """The concepts of both vocabularies as those of one, without negatives."""
        one, two = self.only(range(self.num_concepts)), other.only(range(other.num_concepts))
        trained = None if one.is_trained is None or two.is_trained is None else (one.is_trained, two.is_trained)
        similarity = torch.cat([one.similarity, two.similarity])
        return VocabularyEmbeddings(
            text_embed=torch.cat([one.text_embed, two.text_embed]),
            concept_index=torch.cat([one.concept_index, two.concept_index + one.num_concepts]),
            num_concepts=one.num_concepts + two.num_concepts,
            similarity=similarity,
            domain_similarity=similarity.double().mean().item(),
            is_trained=None if trained is None else torch.cat(trained),
        )

    def to(self, device: torch.device | str) -> "VocabularyEmbeddings":
        """The same embeddings on another device."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: v.to(device) for name, v in values.items() if isinstance(v, Tensor)})


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionCounts:
    """How many proposals of a batch were cut out, encoded and left out, where CLIP encodes crops."""

    proposals: int = 0
    encoded: int = 0
    """Encoded by CLIP."""
    empty: int = 0
    """Without a pixel above the mask threshold: leaving them out changes no score."""
    skipped: int = 0
    """Left out because the query's probability of no object was too high."""

    def __add__(self, other: "RegionCounts") -> "RegionCounts":
        return RegionCounts(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskPrediction:
    """Masks with class logits, void and IoU scores: a model's output for one vocabulary."""

    mask_logits: Float[Tensor, "B Q h w"]
    class_logits: Float[Tensor, "B Q K"]
    """Over concepts and negatives, no void column; softmax gives class_probs."""
    void_probs: Float[Tensor, "B Q"]
    """Probability that the proposal is no object, from the query; zero for CLIP-only.

    The scores of an ensemble (OVSeg) need not add up to one: there it is one minus their sum, and may be below zero.
    """
    iou_scores: Float[Tensor, "B Q"]
    """Predicted IoU of each mask in [0, 1]."""
    num_concepts: int
    """Columns of class_logits from here on are negatives."""
    pixel_bias: Float[Tensor, " K"] | None = None
    """Taken from each concept's sum at every pixel of the soft semantic map (ZegFormer's calibrated stacking)."""
    counts: RegionCounts = field(default_factory=RegionCounts)
    """Counts of the region branch, where there is one."""

    def only(self, index: int) -> "MaskPrediction":
        """One picture's part."""
        names = ("mask_logits", "class_logits", "void_probs", "iou_scores")
        return replace(self, **{name: getattr(self, name)[index : index + 1] for name in names})

    def __post_init__(self) -> None:
        """What was computed in half precision is compared and merged in float32."""
        for name in ("mask_logits", "class_logits", "void_probs", "iou_scores"):
            value: Tensor = getattr(self, name)
            if value.dtype in (torch.bfloat16, torch.float16):
                object.__setattr__(self, name, value.float())


NAMELESS = -1
"""The class of a true segment of which a mask is known and no name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Ground truth of one image for training."""

    masks: Bool[Tensor, "N h w"]
    class_ids: Int[Tensor, " N"]
    """Of the training vocabulary, or `NAMELESS`."""
    ignored: Bool[Tensor, "h w"]
    """Void and crowd: pixels without ground truth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """A candidate name of a segment, with its score."""

    name: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One segment of a panoptic map."""

    id: int
    """Value of its pixels in the map; positive and unique in the map."""
    class_id: int
    """Index of its concept in the vocabulary."""
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
    """Its path down the vocabulary's taxonomy, root first; empty without a taxonomy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticMap:
    """A picture's segments: every pixel belongs to one of them or to void."""

    segmentation: np.ndarray
    """int32 (H, W): segment ids; 0 is void."""
    segments: tuple[Segment, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPrediction:
    """Output of one decoder layer, for the criterion."""

    mask_logits: Float[Tensor, "B Q h w"]
    """Without a gradient where `factors` are given."""
    class_logits: Float[Tensor, "B Q K1"]
    """The last column is no-object."""
    iou_scores: Float[Tensor, "B Q"] | None = None
    """Predicted IoUs; only the last layer has them, and a closed-set model has none."""
    factors: MaskFactors | None = None
    """As in `MaskProposals`."""

    def maps_of(self, image: int, queries: Int[Tensor, " N"]) -> Float[Tensor, "N h w"]:
        """The mask logits of some queries of one picture, with their gradient."""
        return self.mask_logits[image, queries] if self.factors is None else self.factors.of(image, queries)

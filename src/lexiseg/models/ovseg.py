"""OVSeg (CVPR 2023): MaskFormer's proposals, mask-adapted CLIP on every masked crop, and an ensemble of both.

SimBaseline and ZegFormer are configurations of the same parts; see `models.presets`.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lexiseg.core.structures import (
    ImageBatch,
    LayerPrediction,
    MaskPrediction,
    MaskProposals,
    RegionCounts,
    VocabularyEmbeddings,
)
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders import colours
from lexiseg.encoders.clip.vit import VitClip, VitConfig
from lexiseg.encoders.segmenters.maskformer import MaskFormer, MaskFormerConfig
from lexiseg.encoders.text import TextEncoder
from lexiseg.layers.ensemble import CLIP_BRANCH_ONLY, EnsembleConfig, ensemble_scores
from lexiseg.layers.heads import ProjectionHead
from lexiseg.layers.modulation import class_cosines
from lexiseg.models.base import EncodedImages, Fusion, OpenVocabularySegmenter
from lexiseg.models.crops import RegionConfig, SeenCrops
from lexiseg.models.learned_prompt import LearnedPrompt
from lexiseg.models.postprocess.panoptic import MergeConfig
from lexiseg.models.vocabulary_embedding import QuestionConfig

CLIP_WEIGHTS = {
    "ade20k": 0.7,
    "ade20k-full": 0.7,
    "pascal-context-59": 0.6,
    "pascal-context-459": 0.6,
    "pascal-voc": 0.45,  # the repository's; the paper's appendix A.3 has 0.6
}
"""lambda of OVSeg by built-in vocabulary; `evaluate` reports it where a model has another. For other vocabularies,
choose it from 0.6 to 0.8 on held-out pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OVSegConfig:
    """The architecture of an OVSeg, SimBaseline or ZegFormer and its defaults at inference.

    Raises ValueError for impossible sizes, or a learned prompt beside templates.
    """

    segmenter: MaskFormerConfig
    clip: VitConfig
    training_vocabulary: Vocabulary
    """The vocabulary that segmentation was trained on; its concepts are "seen"."""
    longest_side: int = 2560
    """Largest longer side in pixels to which pictures are resized."""
    shortest_side: int | None = 640
    """Their shorter side; None gives every picture the longer side instead."""
    head_hidden: int | None = 1024
    """Width of the hidden layer between query and joint space; None is one linear layer (ZegFormer)."""
    has_unit_void: bool = True
    """Normalises the no-object embedding; ZegFormer does not."""
    logit_scale: float = 100.0
    """1 / tau of the query branch, never learned."""
    clip_logit_scale: float | None = 100.0
    """1 / tau of the region branch; None takes CLIP's own (ZegFormer)."""
    templates: tuple[str, ...] | None = None
    """Prompt templates that replace the vocabulary's (SimBaseline, ZegFormer); None: the vocabulary's own."""
    prompt_length: int = 0
    """Learned vectors before each word instead of a template (SimBaseline has 16); 0: none."""
    regions: RegionConfig = field(default_factory=RegionConfig)
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)
    merge: MergeConfig = field(default_factory=MergeConfig)
    question: QuestionConfig = field(default_factory=QuestionConfig)

    @property
    def fusion(self) -> EnsembleConfig:
        """The default fusion."""
        return self.ensemble

    def __post_init__(self) -> None:
        if self.longest_side < 32 or self.longest_side < (self.shortest_side or 32) or (self.shortest_side or 32) < 32:
            raise ValueError(
                "longest_side and shortest_side must be 32 or more, the longer not below the shorter, "
                f"got {self.longest_side} and {self.shortest_side}."
            )
        if self.prompt_length < 0:
            raise ValueError(f"prompt_length must not be negative, got {self.prompt_length}.")
        if self.prompt_length and self.templates not in (None, ("{}",)):
            raise ValueError("a learned prompt stands in for the sentence: leave templates out.")


@dataclass(frozen=True, slots=True, kw_only=True)
class CropEmbeddings:
    """CLIP's embeddings of the proposals' crops."""

    clip_embed: Float[Tensor, "B Q D"]
    """Unit rows; zero where CLIP encoded nothing."""
    has_pixels: Bool[Tensor, "B Q"]
    """Masks with a pixel above the threshold; false for proposals that were left out."""
    is_kept: Bool[Tensor, "B Q"]
    """Proposals whose 1 - p(void) reaches `regions.min_object_prob`; the rest are left out."""
    encoded: int
    """Crops that count, each embedded by CLIP now or for an earlier question."""

    @property
    def counts(self) -> RegionCounts:
        """How many were encoded, empty and left out."""
        return RegionCounts(
            proposals=self.is_kept.numel(),
            encoded=self.encoded,
            empty=int((self.is_kept & ~self.has_pixels).sum()),
            skipped=int((~self.is_kept).sum()),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncodedProposals(EncodedImages):
    """Proposals in the joint space."""

    class_embed: Float[Tensor, "B Q D"]
    """The query's, of unit length."""
    crops: SeenCrops
    """CLIP's, of those that a question needed."""


class OVSeg(OpenVocabularySegmenter):
    """The whole model (section 3, Figure 2).

    The segmenter proposes masks, each with a query. The query, projected to the joint space of pictures and words, is
    compared with the words and with no-object; CLIP encodes every masked crop, which is compared with the same words.
    The ensemble combines both scores.
    """

    clip_only = CLIP_BRANCH_ONLY
    semantic_rule = "soft"
    has_targets_per_class = True
    samples_points = False

    def __init__(self, config: OVSegConfig) -> None:
        super().__init__()
        self.config = config
        self.segmenter = MaskFormer(config.segmenter)
        self.head = ProjectionHead(
            config.segmenter.hidden_dim,
            config.clip.embed_dim,
            hidden_dim=config.head_hidden,
            has_unit_void=config.has_unit_void,
        )
        self.clip = VitClip(config.clip).requires_grad_(False).eval()
        self.prompt = None
        if config.prompt_length:  # trained before the rest, then frozen
            self.prompt = LearnedPrompt(config.prompt_length, config.clip.text_width).requires_grad_(False)

    @property
    def context_length(self) -> int:
        """Those of CLIP, less the learned prompt."""
        return self.clip.config.context_length - self.config.prompt_length

    @property
    def text_encoder(self) -> TextEncoder:
        """CLIP's text tower, with the learned prompt where there is one."""
        return self.clip if self.prompt is None else self.prompt.before(self.clip)

    def phrased(self, vocabulary: Vocabulary) -> Vocabulary:
        """The vocabulary with the model's own templates, where it has some."""
        templates = ("{}",) if self.prompt is not None else self.config.templates
        return vocabulary if templates is None else Vocabulary(vocabulary.concepts, templates)

    def propose(self, images: ImageBatch, *, every_layer: bool = False) -> MaskProposals:
        """Class-agnostic masks and their queries; padding is the segmenter's mean colour, as in the authors' code."""
        return self.segmenter(images.padded_with(colours.IMAGENET.mean), every_layer=every_layer)

    def encode(self, images: ImageBatch, proposals: MaskProposals | None = None) -> EncodedProposals:
        """Embeds every query; which crops CLIP has to look at depends on the question."""
        proposals = proposals or self.propose(images)
        return EncodedProposals(
            proposals=proposals,
            class_embed=self.class_embed(proposals),
            crops=self.crops(images, proposals.mask_logits),
        )

    def answer(
        self, encoded: EncodedProposals, words: VocabularyEmbeddings, fusion: Fusion | None = None
    ) -> MaskPrediction:
        """Compares the query and CLIP's embedding of the crop with the words, and combines both scores."""
        ensemble = fusion or self.config.ensemble
        assert isinstance(ensemble, EnsembleConfig), "check_fusion was called"
        query_logits = self.class_logits_with_void(encoded.class_embed, words)
        regions = self.look(encoded.crops, query_logits, ensemble)
        return self.predict(encoded.proposals, query_logits, regions, words, ensemble)

    def predict_layers(self, images: ImageBatch, words: VocabularyEmbeddings) -> tuple[LayerPrediction, ...]:
        """Masks and cosines after every layer; in float32 under autocast too."""
        last = self.propose(images, every_layer=True)
        return tuple(
            LayerPrediction(
                mask_logits=layer.mask_logits.float(),
                class_logits=self.class_logits_with_void(self.class_embed(layer), words).float(),
            )
            for layer in (*last.aux, last)
        )

    @property
    def regions(self) -> RegionConfig:
        """How proposals are cut out for CLIP."""
        return self.config.regions

    @property
    def region_threshold(self) -> float:
        """Least mask probability of a pixel that belongs to a crop, in [0, 1]."""
        return self.config.regions.mask_threshold

    def published_weight(self, vocabulary: str) -> tuple[float, float] | None:
        """The authors' lambda and the model's; None too where seen words have their own (SimBaseline, ZegFormer)."""
        theirs, own = CLIP_WEIGHTS.get(vocabulary), self.config.ensemble
        return None if theirs is None or own.seen_clip_weight is not None else (theirs, own.clip_weight)

    def class_embed(self, proposals: MaskProposals) -> Float[Tensor, "B Q D"]:
        """The query in the joint space, of unit length."""
        return self.head(proposals.query_embed)

    def class_logits_with_void(
        self, class_embed: Float[Tensor, "B Q D"], words: VocabularyEmbeddings
    ) -> Float[Tensor, "B Q K1"]:
        """Cosines to every concept and, last, to no-object, times the logit scale (section 3.1)."""
        return self.head.class_logits(class_embed, words, self.config.logit_scale)

    def crops(self, images: ImageBatch, mask_logits: Float[Tensor, "B Q h w"]) -> SeenCrops:
        """What CLIP sees of masks, a pass of crops at a time (section 3.2); nothing is encoded yet."""
        clip = self.config.clip
        return SeenCrops(
            lambda crops: self.clip.encode_regions(crops.pixel_values, crops.masks),
            images,
            mask_logits,
            self.config.regions,
            (clip.image_size, clip.embed_dim),
        )

    def look(self, crops: SeenCrops, query_logits: Float[Tensor, "B Q K1"], ensemble: EnsembleConfig) -> CropEmbeddings:
        """CLIP's embedding of every region that may change a score.

        These are neither empty masks nor, if the ensemble is query-only, any. Proposals below
        `regions.min_object_prob` are left out too.
        """
        is_kept = query_logits.softmax(-1)[..., -1] <= 1 - self.config.regions.min_object_prob
        asked = torch.zeros_like(is_kept) if ensemble.is_query_only else is_kept
        clip_embed, has_pixels = crops.embed(asked)
        return CropEmbeddings(
            clip_embed=clip_embed,
            has_pixels=crops.have_pixels() if ensemble.is_query_only else has_pixels,
            is_kept=is_kept,
            encoded=int(has_pixels.sum()),
        )

    def predict(
        self,
        proposals: MaskProposals,
        query_logits: Float[Tensor, "B Q K1"],
        regions: CropEmbeddings,
        words: VocabularyEmbeddings,
        ensemble: EnsembleConfig,
    ) -> MaskPrediction:
        """Combines both scores (section 3.3, `layers.ensemble`).

        The scores q of a proposal are returned as softmax(class_logits) (1 - void_probs), so that the soft sum and the
        panoptic merge work as for OPSNet. There is no IoU head: a mask with a pixel has an IoU score of 1, and an empty
        one has 0, which leaves it out of the merge.
        """
        cosines = class_cosines(regions.clip_embed, words)
        scale = self.config.clip_logit_scale
        clip_logits = cosines * (self.clip.clip.logit_scale.exp() if scale is None else scale)
        is_seen = words.similarity == 1
        log_scores = ensemble_scores(query_logits, clip_logits, regions.has_pixels, is_seen, ensemble).masked_fill(
            ~regions.is_kept[..., None], -torch.inf
        )
        total = log_scores.logsumexp(-1).exp()
        return MaskPrediction(
            mask_logits=proposals.mask_logits,
            class_logits=log_scores.where((total > 0)[..., None], 0.0),
            void_probs=1 - total,
            iou_scores=regions.has_pixels.float(),
            num_concepts=words.num_concepts,
            pixel_bias=ensemble.calibration * is_seen.float() if ensemble.calibration else None,
            counts=regions.counts,
        )

"""OPSNet (ICCV 2023): Mask2Former's proposals, one pass of frozen CLIP, and embedding modulation."""

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lexiseg.core.frames import OWN_RESIZING, Resizing
from lexiseg.core.structures import (
    ImageBatch,
    LayerPrediction,
    MaskPrediction,
    MaskProposals,
    RegionEmbeddings,
    VocabularyEmbeddings,
)
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders import colours
from lexiseg.encoders.clip.base import resize_positions
from lexiseg.encoders.clip.families import AnyClipConfig, build_clip
from lexiseg.encoders.clip.resnet import Clip, ClipConfig
from lexiseg.encoders.segmenters.published import AnySegmenterConfig, build_segmenter
from lexiseg.layers.ensemble import GeometricConfig, geometric_logits
from lexiseg.layers.heads import AssembledHead, ProjectionHead, mean_inside
from lexiseg.layers.modulation import CLIP_ONLY, ModulationConfig, class_cosines, modulated_logits
from lexiseg.layers.pooling import mask_mean, region_weights
from lexiseg.layers.query_enhancer import QueryEnhancer
from lexiseg.layers.spatial_adapter import SpatialAdapter
from lexiseg.models.alternatives import (
    Alternatives,
    crops_of,
    lifted_void_probs,
    mapped_log_probs,
    survivors,
    with_crops,
    with_void,
)
from lexiseg.models.base import EncodedImages, Fusion, OpenVocabularySegmenter
from lexiseg.models.class_names import without_raw_forms
from lexiseg.models.crops import SeenCrops
from lexiseg.models.postprocess.panoptic import MergeConfig
from lexiseg.models.vocabulary_embedding import QuestionConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class OPSNetConfig:
    """The architecture of an OPSNet and its defaults at inference; raises ValueError for impossible sizes."""

    segmenter: AnySegmenterConfig
    clip: AnyClipConfig
    training_vocabulary: Vocabulary
    """The vocabulary, with its templates, that segmentation was trained on: modulation measures the distance to it."""
    longest_side: int = 640
    """Longer side in pixels to which pictures are resized."""
    shortest_side: int | None = None
    """If set, their shorter side; the longer one is then at most `longest_side`."""
    padding: colours.Padding = "black"
    """Colour of the canvas beside a picture. Published Mask2Formers see their mean colour, since their code pads after
    normalisation; the shipped model saw black, as did all models whose configuration does not say."""
    clip_scale: float = 1.0
    """Size of CLIP's input relative to the segmenter's."""
    positions: Literal["drop", "resize"] = "drop"
    """The attention pool's position embedding in the spatial adapter."""
    has_enhancer: bool = True
    """Cross-attention from queries to CLIP's map (Table 1, "Query Embeds" with a dagger)."""
    enhancer_is_masked: bool = True
    """Whether a query attends to CLIP's cells under its own mask only; the paper's layer sees all cells."""
    enhancer_shares_projection: bool = True
    """Whether keys and values share one projection of CLIP's map to the query's width; not at the paper's size."""
    is_assembled: bool = False
    """Whether the class head is a published closed-set one; see `models.assemble`."""
    resizing: Resizing = OWN_RESIZING
    """How pictures become so large; published Mask2Formers see theirs resized by other programs."""
    logit_scale: float = 100.0
    """1 / tau of every softmax over cosines."""
    modulation: ModulationConfig = field(default_factory=ModulationConfig)
    geometric: GeometricConfig | None = None
    """FC-CLIP's ensemble instead of modulation, where it is set."""
    alternatives: Alternatives = field(default_factory=Alternatives)
    merge: MergeConfig = field(default_factory=MergeConfig)
    question: QuestionConfig = field(default_factory=QuestionConfig)

    @property
    def fusion(self) -> ModulationConfig | GeometricConfig:
        """The default fusion."""
        return self.modulation if self.geometric is None else self.geometric

    def __post_init__(self) -> None:
        if self.resizing.canvas is not None and self.longest_side > self.resizing.canvas:
            raise ValueError(
                f"pictures must lie on the model's canvas of {self.resizing.canvas} pixels, but their longer side is "
                f"{self.longest_side}: give a longest_side of at most the canvas."
            )
        if self.longest_side < 32 or self.clip_scale <= 0:
            raise ValueError(
                "longest_side must be 32 or more and clip_scale positive, "
                f"got {self.longest_side} and {self.clip_scale}."
            )
        if not isinstance(self.clip, ClipConfig) and (self.has_enhancer or not self.is_assembled):
            raise ValueError(
                "only a CLIP with a ModifiedResNet has features in the joint space to train on: choose one such as "
                "RN50, or assemble, without an enhancer."
            )
        if not isinstance(self.clip, ClipConfig) and self.positions != "drop":
            raise ValueError(
                "positions belong to the attention pool of a ModifiedResNet, which this CLIP does not have: leave them "
                "at 'drop'."
            )
        if self.alternatives.mapped_head and not self.is_assembled:
            raise ValueError(
                "mapped_head maps the probabilities of a closed-set head, which only an assembled model has: "
                "leave it out, or assemble a published model."
            )
        self.check_mapped(self.fusion)

    def check_mapped(self, fusion: Fusion) -> None:
        """Refuses to add CLIP's embedding to mapped probabilities.

        Raises:
            ValueError: if they are configured and the fusion is a modulation that adds it.
        """
        if not self.alternatives.mapped_head or not isinstance(fusion, ModulationConfig):
            return
        if not (fusion.clip_only or fusion.clip_ratio == 0):
            raise ValueError(
                "a mapped head gives probabilities, to which modulation can't add CLIP's embedding: take the geometric "
                "ensemble, or clip_ratio 0 for the query alone."
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncodedRegions(EncodedImages):
    """Proposals in the joint space."""

    regions: RegionEmbeddings
    iou_scores: Float[Tensor, "B Q"]
    """Predicted."""
    crops: SeenCrops | None = None
    """What CLIP sees of proposals one by one, where `alternatives.crops` are configured."""


class OPSNet(OpenVocabularySegmenter):
    """The whole model (section 3, Figure 2).

    The segmenter proposes masks, each with a query; frozen CLIP encodes the picture once, and the spatial adapter maps
    its features to the joint space of pictures and words. Every proposal is embedded twice: its query, enhanced by
    cross-attention to CLIP's map under the mask (E_q), and CLIP's map pooled under the mask (E_c). Modulation fuses
    both and compares the result with the words.
    """

    clip_only = CLIP_ONLY
    fusions = (ModulationConfig, GeometricConfig)
    semantic_rule = "merged"
    has_targets_per_class = False
    samples_points = True

    def __init__(self, config: OPSNetConfig) -> None:
        super().__init__()
        query_dim, clip_dim = config.segmenter.hidden_dim, config.clip.embed_dim
        self.config = config
        self.segmenter = build_segmenter(config.segmenter)
        self.clip = build_clip(config.clip).requires_grad_(False).eval()
        self.adapter = (
            SpatialAdapter(config.clip.feature_dim, clip_dim, positions=config.positions)
            if isinstance(config.clip, ClipConfig)
            else None
        )
        self.enhancer = (
            QueryEnhancer(query_dim, clip_dim, shares_projection=config.enhancer_shares_projection)
            if config.has_enhancer
            else None
        )
        self.head = (
            AssembledHead(query_dim, clip_dim, len(config.training_vocabulary))
            if config.is_assembled
            else ProjectionHead(query_dim, clip_dim)
        )
        self.iou_head = None if config.is_assembled else nn.Linear(query_dim, 1)

    def propose(self, images: ImageBatch, *, every_layer: bool = False) -> MaskProposals:
        """Class-agnostic masks and their queries."""
        return self.segmenter(self._canvas(images, colours.IMAGENET), every_layer=every_layer)

    def encode(self, images: ImageBatch, proposals: MaskProposals | None = None) -> EncodedRegions:
        """Embeds every proposal twice."""
        proposals = proposals or self.propose(images)
        crops = self.config.alternatives.crops
        return EncodedRegions(
            proposals=proposals,
            regions=self.embed(proposals, self.clip_map(images)),
            iou_scores=self.iou_scores(proposals),
            crops=None if crops is None else crops_of(self.clip, images, proposals.mask_logits, crops.regions),
        )

    def answer(
        self, encoded: EncodedRegions, words: VocabularyEmbeddings, fusion: Fusion | None = None
    ) -> MaskPrediction:
        """Joins both embeddings, or what each says of the words; and those of survivors with their crops'."""
        fusion = fusion or self.config.fusion
        assert isinstance(fusion, ModulationConfig | GeometricConfig), "check_fusion was called"
        first = self.predict(encoded, words, fusion)
        config = self.config.alternatives.crops
        if config is None:
            return first
        assert encoded.crops is not None, "configured before the pictures were encoded"
        least = self.config.merge.score_threshold if config.min_score is None else config.min_score
        regions = with_crops(encoded.regions, encoded.crops, survivors(first, least), config.share)
        return self.predict(replace(encoded, regions=regions), words, fusion)

    def check_fusion(self, fusion: Fusion | None) -> None:
        """Likewise; also refuses to add an embedding to mapped probabilities."""
        super().check_fusion(fusion)
        if fusion is not None:
            self.config.check_mapped(fusion)

    def predict_layers(self, images: ImageBatch, words: VocabularyEmbeddings) -> tuple[LayerPrediction, ...]:
        """Masks and cosines after every layer, and IoUs after the last."""
        clip_map = self.clip_map(images)
        last = self.propose(images, every_layer=True)
        return tuple(
            LayerPrediction(
                mask_logits=layer.mask_logits.float(),
                class_logits=self.class_logits_with_void(self.class_embed(layer, clip_map), words),
                iou_scores=self.iou_scores(last) if layer is last else None,
                factors=layer.factors,
            )
            for layer in (*last.aux, last)
        )

    @property
    def untrainable_because(self) -> str | None:
        """An assembled model cannot be trained."""
        if not self.config.is_assembled:
            return None
        return "an assembled model has a closed-set class head, which no recipe trains; start from another."

    @property
    def resizing(self) -> Resizing:
        """As configured."""
        return self.config.resizing

    def set_sides(self, longest: int | None, shortest: int | None) -> None:
        """Likewise; a preprocessor's fixed height and width are given up."""
        super().set_sides(longest, shortest)
        if longest is not None or shortest is not None:
            self.config = replace(self.config, resizing=replace(self.config.resizing, fixed=None))

    def phrased(self, vocabulary: Vocabulary) -> Vocabulary:
        """The vocabulary; for an assembled model without the raw forms of names, which no CLIP was trained with."""
        return without_raw_forms(vocabulary) if self.config.is_assembled else vocabulary

    @torch.no_grad()
    def clip_map(self, images: ImageBatch) -> Float[Tensor, "B F gh gw"]:
        """CLIP's dense features: one pass over the whole picture, frozen.

        Of a ModifiedResNet they are in the joint space; means of those of other families are brought there by `embed`.
        """
        pixel_values = self._canvas(images, self.config.clip.colours)
        size = self._clip_size(pixel_values)
        if size != pixel_values.shape[-2:]:
            pixel_values = F.interpolate(pixel_values, size, mode="bilinear", antialias=True, align_corners=False)
        if not isinstance(self.clip, Clip):
            return self.clip.dense_map(pixel_values)
        assert self.adapter is not None
        features = self.clip.trunk(pixel_values, stride=self.clip.config.dense_stride)
        position_embed = None
        if self.config.positions == "resize":
            grid = features.shape[-2], features.shape[-1]
            rows = resize_positions(self.clip.visual.attnpool.positional_embedding, grid)
            position_embed = rows[1:].T.reshape(-1, *grid)
        return self.adapter(features, position_embed)

    def fold_adapter(self) -> None:
        """Sets the spatial adapter from the attention pool of CLIP."""
        assert isinstance(self.clip, Clip)
        assert self.adapter is not None
        pool = self.clip.visual.attnpool
        self.adapter.fold(pool.v_proj, pool.c_proj)

    def embed(self, proposals: MaskProposals, clip_map: Float[Tensor, "B F gh gw"]) -> RegionEmbeddings:
        """Both embeddings of every proposal: the query's, and CLIP's map pooled under the mask."""
        pooled = mask_mean(clip_map, self._on_clip_canvas(proposals.mask_logits))
        if not isinstance(self.clip, Clip):
            pooled = self.clip.embed_pooled(pooled)
        return RegionEmbeddings(
            class_embed=self.class_embed(proposals, clip_map), clip_embed=F.normalize(pooled, dim=-1)
        )

    def class_embed(self, proposals: MaskProposals, clip_map: Float[Tensor, "B F gh gw"]) -> Float[Tensor, "B Q D"]:
        """E_q: the enhanced query in the joint space; masks come from the unenhanced query.

        The paper projects "the initial query"; Mask2Former classifies, and so this projects, the query that the decoder
        has updated, after its last norm: an initial query is the same for every picture.
        """
        query_embed = proposals.query_embed
        if self.enhancer is not None:
            grid = clip_map.shape[-2], clip_map.shape[-1]
            weights = None
            if self.config.enhancer_is_masked:
                weights = region_weights(self._on_clip_canvas(proposals.mask_logits).float(), grid)
            query_embed = self.enhancer(query_embed, clip_map, weights)
        return self.head(query_embed)

    def predict(
        self, encoded: EncodedRegions, words: VocabularyEmbeddings, fusion: ModulationConfig | GeometricConfig
    ) -> MaskPrediction:
        """Class logits, void and IoU scores of every mask, by the embeddings that are there.

        The paper does not say how no-object enters the fused scores. Here its probability comes from the query alone,
        whatever the fusion (the softmax of training, or an assembled model's closed-set head), and class scores are
        multiplied by one minus it. CLIP knows no such word: it is zero for CLIP-only.
        """
        scale, alternatives = self.config.logit_scale, self.config.alternatives
        proposals, regions = encoded.proposals, encoded.regions
        void_probs = self.void_probs(encoded, words, fusion)
        if isinstance(fusion, GeometricConfig):
            query_logits = with_void(self.query_log_probs(encoded, words), void_probs)
            has_region = (proposals.mask_logits > 0).flatten(2).any(-1)
            clip_logits = class_cosines(regions.clip_embed, words) * scale
            class_logits, _ = geometric_logits(query_logits, clip_logits, has_region, words.is_seen, fusion)
        elif alternatives.mapped_head and not fusion.clip_only:
            class_logits = self.query_log_probs(encoded, words)
        else:
            class_logits = modulated_logits(regions, words, fusion, logit_scale=scale)
        return MaskPrediction(
            mask_logits=proposals.mask_logits,
            class_logits=class_logits,
            void_probs=void_probs,
            iou_scores=encoded.iou_scores,
            num_concepts=words.num_concepts,
        )

    def void_probs(
        self, encoded: EncodedRegions, words: VocabularyEmbeddings, fusion: ModulationConfig | GeometricConfig
    ) -> Float[Tensor, "B Q"]:
        """The probability of no object: the query's, lowered by CLIP's certainty if so configured; 0 for CLIP-only."""
        if fusion.clip_only:
            return torch.zeros_like(encoded.iou_scores)
        if isinstance(self.head, AssembledHead):
            void_probs = self.head.void_probs(encoded.proposals.query_embed)
        else:
            void_probs = self.class_logits_with_void(encoded.regions.class_embed, words).softmax(-1)[..., -1]
        if not (gain := self.config.alternatives.certainty_gain):
            return void_probs
        clip_logits = class_cosines(encoded.regions.clip_embed, words) * self.config.logit_scale
        return lifted_void_probs(void_probs, clip_logits, gain)

    def query_log_probs(self, encoded: EncodedRegions, words: VocabularyEmbeddings) -> Float[Tensor, "B Q K"]:
        """What the query alone says of the words, without void: by its embedding, or by the mapped head."""
        if self.config.alternatives.mapped_head:
            assert isinstance(self.head, AssembledHead), "__post_init__ has checked it"
            class_probs = self.head.class_probs(encoded.proposals.query_embed)
            return mapped_log_probs(class_probs, self.head.class_text, words, self.config.logit_scale)
        return (class_cosines(encoded.regions.class_embed, words) * self.config.logit_scale).log_softmax(-1)

    def class_logits_with_void(
        self, class_embed: Float[Tensor, "B Q D"], words: VocabularyEmbeddings
    ) -> Float[Tensor, "B Q K1"]:
        """Cosines to every concept and, last, to no-object, times the logit scale (section 3.1)."""
        assert isinstance(self.head, ProjectionHead)
        return self.head.class_logits(class_embed, words, self.config.logit_scale)

    def iou_scores(self, proposals: MaskProposals) -> Float[Tensor, "B Q"]:
        """Predicted IoU of every mask; an assembled model, without an IoU head, takes Mask2Former's mask score."""
        if self.iou_head is None:
            return mean_inside(proposals.mask_logits)
        return self.iou_head(proposals.query_embed).squeeze(-1).float().sigmoid()

    def _canvas(self, images: ImageBatch, scale: colours.ColourScale) -> Float[Tensor, "B 3 H W"]:
        """The pictures as a network of this colour scale sees them, with their padding."""
        return images.pixel_values if self.config.padding == "black" else images.padded_with(scale.mean)

    def _on_clip_canvas(self, mask_logits: Float[Tensor, "B Q h w"]) -> Float[Tensor, "B Q h2 w2"]:
        """Masks at about stride 4 of CLIP's input, a whole number of them per cell, without gradient."""
        mask_logits = mask_logits.detach()
        stride = self.config.clip.stride
        height, width = mask_logits.shape[-2] * 4, mask_logits.shape[-1] * 4
        sides = self._clip_size(mask_logits.new_empty(1, 1, height, width))
        size = tuple(side // stride * max(1, round(stride / 4)) for side in sides)
        if size == mask_logits.shape[-2:]:
            return mask_logits
        return F.interpolate(mask_logits, size, mode="bilinear", align_corners=False)

    def _clip_size(self, canvas: Float[Tensor, "B X H W"]) -> tuple[int, int]:
        """Height and width of CLIP's input: scaled, to a multiple of its stride."""
        stride, scale = self.config.clip.stride, self.config.clip_scale
        height, width = (max(stride, round(side * scale / stride) * stride) for side in canvas.shape[-2:])
        return height, width

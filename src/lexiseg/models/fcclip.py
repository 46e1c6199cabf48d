"""FC-CLIP (NeurIPS 2023): a frozen CLIP is the backbone, run once; masks, queries and CLIP share its maps."""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from lexiseg.core.frames import OWN_RESIZING, Resizing
from lexiseg.core.structures import (
    BackboneMaps,
    ImageBatch,
    LayerPrediction,
    MaskPrediction,
    MaskProposals,
    RegionEmbeddings,
    VocabularyEmbeddings,
)
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders import colours
from lexiseg.encoders.clip.convnext import ConvNextClip, ConvNextConfig
from lexiseg.encoders.clip.resnet import Clip, ClipConfig
from lexiseg.layers.ensemble import GEOMETRIC_CLIP_ONLY, GeometricConfig, geometric_logits
from lexiseg.layers.heads import PooledHead, bounded_scale
from lexiseg.layers.modulation import ModulationConfig, class_cosines, modulated_logits
from lexiseg.layers.pixel_decoder import DecoderConfig, PixelDecoder, PixelFeatures, Stages
from lexiseg.layers.query_decoder import QueryDecoder
from lexiseg.models.base import EncodedImages, Fusion, OpenVocabularySegmenter
from lexiseg.models.postprocess.panoptic import MergeConfig
from lexiseg.models.vocabulary_embedding import QuestionConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class FCCLIPConfig:
    """The architecture of an FC-CLIP and its defaults at inference.

    Raises ValueError if mask features are not as wide as queries, to which they are added, or for impossible sizes.
    """

    clip: ConvNextConfig | ClipConfig
    decoder: DecoderConfig
    training_vocabulary: Vocabulary
    """The vocabulary that the decoders were trained on; a concept that shares a name with it is seen."""
    longest_side: int = 1333
    """Largest longer side in pixels to which pictures are resized."""
    shortest_side: int | None = 800
    """Their shorter side; None gives every picture the longer side instead."""
    resizing: Resizing = OWN_RESIZING
    """How pictures become so large; the official program is detectron2's."""
    fusion: GeometricConfig | ModulationConfig = field(default_factory=GeometricConfig)
    """How query and CLIP are combined: FC-CLIP's ensemble, or OPSNet's modulation on the same embeddings."""
    merge: MergeConfig = field(
        default_factory=lambda: MergeConfig(rank_by="class", score_threshold=0.0, void_competes=True)
    )
    question: QuestionConfig = field(default_factory=QuestionConfig)

    def __post_init__(self) -> None:
        if self.decoder.mask_dim != self.decoder.hidden_dim:
            raise ValueError(
                "mask features are added to queries, so mask_dim and hidden_dim must be equal, "
                f"got {self.decoder.mask_dim} and {self.decoder.hidden_dim}."
            )
        if min(self.longest_side, self.shortest_side or 32) < 32 or self.longest_side < (self.shortest_side or 32):
            raise ValueError(
                "sides are 32 pixels or more, and the longest is not below the shortest: "
                f"got longest_side {self.longest_side} and shortest_side {self.shortest_side}."
            )


class Decoders(nn.Module):
    """Mask2Former's decoders behind a backbone that is none of theirs."""

    def __init__(self, channels: tuple[int, int, int, int], config: DecoderConfig) -> None:
        super().__init__()
        self.pixel_decoder = PixelDecoder(channels, config)
        self.query_decoder = QueryDecoder(config)

    def forward(self, stages: Stages, *, every_layer: bool = False) -> tuple[MaskProposals, PixelFeatures]:
        """Masks, their queries, and the maps that they were made from."""
        features = self.pixel_decoder(stages)
        return self.query_decoder(features, every_layer=every_layer), features

    @property
    def backbone_parameters(self) -> list[nn.Parameter]:
        """None: the backbone is CLIP, and frozen."""
        return []


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncodedMasks(EncodedImages):
    """Masks in the joint space."""

    regions: RegionEmbeddings
    has_cells: Bool[Tensor, "B Q"]
    """Masks with a cell of CLIP's map inside."""


class FCCLIP(OpenVocabularySegmenter):
    """The whole model (section 3, Figure 2).

    CLIP's four stages feed the decoders. Every mask is embedded twice: its query, with the mask features that it
    covers, and CLIP's last stage pooled under it. The geometric ensemble weighs both more or less as the word was
    trained on; embedding modulation (OPSNet, section 3.3) may take its place.
    """

    semantic_rule = "soft"
    samples_points = True
    has_targets_per_class = False
    fusions = (GeometricConfig, ModulationConfig)
    clip_only = GEOMETRIC_CLIP_ONLY

    def __init__(self, config: FCCLIPConfig) -> None:
        super().__init__()
        clip = config.clip
        self.config = config
        self.clip = (ConvNextClip(clip) if isinstance(clip, ConvNextConfig) else Clip(clip)).requires_grad_(False)
        self.clip.eval()
        self.segmenter = Decoders(clip.stage_dims, config.decoder)
        self.head = PooledHead(config.decoder.hidden_dim, clip.embed_dim)

    @property
    def resizing(self) -> Resizing:
        """As configured."""
        return self.config.resizing

    def propose(self, images: ImageBatch, *, every_layer: bool = False) -> MaskProposals:
        """Class-agnostic masks, their queries, and the maps that name them, from one pass of CLIP."""
        stages = self.stages(images)
        found, features = self.segmenter(stages, every_layer=every_layer)
        return MaskProposals(
            mask_logits=found.mask_logits,
            query_embed=found.query_embed,
            aux=found.aux,
            factors=found.factors,
            maps=BackboneMaps(clip_map=stages[-1], mask_features=features.mask_features),
        )

    def encode(self, images: ImageBatch, proposals: MaskProposals | None = None) -> EncodedMasks:
        """Embeds every mask twice; the maps of masks that are not the model's own are computed anew."""
        proposals = proposals or self.propose(images)
        maps = proposals.maps or self.maps(images)
        inside = self.cells_inside(proposals.mask_logits, maps.clip_map)
        clip_embed = F.normalize(self.clip.embed_inside(maps.clip_map, inside).float(), dim=-1)
        return EncodedMasks(
            proposals=replace(proposals, maps=None),
            regions=RegionEmbeddings(class_embed=self.class_embed(proposals, maps), clip_embed=clip_embed),
            has_cells=inside.flatten(2).any(-1),
        )

    def answer(
        self, encoded: EncodedMasks, words: VocabularyEmbeddings, fusion: Fusion | None = None
    ) -> MaskPrediction:
        """Compares both embeddings of every mask with the words, and combines the answers."""
        fusion, regions = fusion or self.config.fusion, encoded.regions
        query_logits = self.class_logits_with_void(regions.class_embed, words)
        if isinstance(fusion, ModulationConfig):
            class_logits = modulated_logits(regions, words, fusion, logit_scale=float(self.head.scale))
            void_probs = query_logits.softmax(-1)[..., -1] * (not fusion.clip_only)
        else:
            assert isinstance(fusion, GeometricConfig), "check_fusion was called"
            clip_logits = self.clip_logits(regions.clip_embed, words)
            class_logits, void_probs = geometric_logits(
                query_logits, clip_logits, encoded.has_cells, words.is_seen, fusion
            )
        return MaskPrediction(
            mask_logits=encoded.proposals.mask_logits,
            class_logits=class_logits,
            void_probs=void_probs,
            iou_scores=torch.ones_like(void_probs),  # there is no IoU head, and empty masks take part as officially
            num_concepts=words.num_concepts,
        )

    def predict_layers(self, images: ImageBatch, words: VocabularyEmbeddings) -> tuple[LayerPrediction, ...]:
        """Masks and the query's cosines after every layer."""
        last = self.propose(images, every_layer=True)
        assert last.maps is not None
        return tuple(
            LayerPrediction(
                mask_logits=layer.mask_logits.float(),
                class_logits=self.class_logits_with_void(self.class_embed(layer, last.maps), words),
                factors=layer.factors,
            )
            for layer in (*last.aux, last)
        )

    @torch.no_grad()
    def stages(self, images: ImageBatch) -> Stages:
        """CLIP's four stages, frozen; padding is zero after normalising, as in the authors' code."""
        return self.clip.stages(images.padded_with(colours.CLIP.mean))

    def maps(self, images: ImageBatch) -> BackboneMaps:
        """The maps that name masks, computed anew."""
        stages = self.stages(images)
        features = self.segmenter.pixel_decoder(stages)
        return BackboneMaps(clip_map=stages[-1], mask_features=features.mask_features)

    def class_embed(self, proposals: MaskProposals, maps: BackboneMaps) -> Float[Tensor, "B Q D"]:
        """The query with the mask features under its mask, in the joint space, of unit length."""
        return self.head(self.head.joined(proposals.query_embed, maps.mask_features, proposals.mask_logits))

    def class_logits_with_void(
        self, class_embed: Float[Tensor, "B Q D"], words: VocabularyEmbeddings
    ) -> Float[Tensor, "B Q K1"]:
        """Cosines to every concept and, last, to no-object, times the learned logit scale: in-vocabulary logits."""
        return self.head.class_logits(class_embed, words, self.head.scale)

    def clip_logits(self, clip_embed: Float[Tensor, "B Q D"], words: VocabularyEmbeddings) -> Float[Tensor, "B Q K"]:
        """Cosines of CLIP's own embedding to every concept, times CLIP's logit scale: out-of-vocabulary logits."""
        return class_cosines(clip_embed, words) * bounded_scale(self.clip.clip.logit_scale)

    def cells_inside(
        self, mask_logits: Float[Tensor, "B Q h w"], clip_map: Float[Tensor, "B F gh gw"]
    ) -> Bool[Tensor, "B Q gh gw"]:
        """The cells of CLIP's map inside every mask: mask logits are resized first, and cut at zero then."""
        return F.interpolate(mask_logits.float(), clip_map.shape[-2:], mode="bilinear", align_corners=False) > 0

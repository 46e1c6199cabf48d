"""Models that are rows of OPSNet's tables and no product: a closed set, MaskCLIP's mask tokens, LSeg's pixels.

All answer by the interface of a model, so that the same loop measures them.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from lexiseg.core.structures import ImageBatch, LayerPrediction, MaskPrediction, MaskProposals, VocabularyEmbeddings
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders import colours
from lexiseg.encoders.clip.resnet import Clip
from lexiseg.encoders.clip.vit import VitClip
from lexiseg.encoders.segmenters.mask2former import Segmenter
from lexiseg.encoders.segmenters.mask2former_weights import ClosedSetWeights
from lexiseg.layers.modulation import CLIP_ONLY, ModulationConfig, class_cosines
from lexiseg.models.base import EncodedImages, Fusion, OpenVocabularySegmenter
from lexiseg.models.postprocess.panoptic import MergeConfig
from lexiseg.models.vocabulary_embedding import QuestionConfig
from lexiseg.training.segmentation.batches import SegmentBatch
from lexiseg.training.segmentation.task import SegmentationTask

LSEG_TEMPERATURE = 0.07
"""Of LSeg's softmax over cosines."""
CERTAIN = 1e4
"""A logit beside zeros whose probability is 1."""
IGNORED = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineConfig:
    """What is asked of every model's configuration."""

    training_vocabulary: Vocabulary
    longest_side: int
    shortest_side: int | None = None
    merge: MergeConfig = field(default_factory=lambda: MergeConfig(rank_by="class"))
    """Without an IoU head masks are ranked by class, as Mask2Former ranks them."""
    question: QuestionConfig = field(default_factory=QuestionConfig)
    fusion: ModulationConfig = CLIP_ONLY


class ClosedSetNames(OpenVocabularySegmenter):
    """Mask2Former as it is: its own class layer names its masks (Table 9)."""

    clip_only = CLIP_ONLY
    semantic_rule = "merged"
    has_targets_per_class = False
    samples_points = True

    def __init__(self, config: BaselineConfig, weights: ClosedSetWeights, clip: Clip | VitClip) -> None:
        """Takes trained weights.

        Args:
            config: its vocabulary is in the order of the class layer.
            weights: the trained Mask2Former.
            clip: embeds words.
        """
        super().__init__()
        self.config = config
        self.segmenter = Segmenter(weights.config)
        self.segmenter.load_state_dict(dict(weights.segmenter))
        self.class_layer = nn.Linear(weights.config.hidden_dim, len(weights.class_bias))
        self.class_layer.load_state_dict({"weight": weights.class_weight, "bias": weights.class_bias})
        self.clip = clip

    @property
    def untrainable_because(self) -> str:
        """It is trained already."""
        return "a baseline of the tables answers alone; train the model that it was made of."

    def propose(self, images: ImageBatch, *, every_layer: bool = False) -> MaskProposals:
        """The masks of Mask2Former."""
        return self.segmenter(images.pixel_values, every_layer=every_layer)

    def encode(self, images: ImageBatch, proposals: MaskProposals | None = None) -> EncodedImages:
        """Only the masks: their queries name them."""
        return EncodedImages(proposals=proposals or self.propose(images))

    def answer(
        self, encoded: EncodedImages, words: VocabularyEmbeddings, fusion: Fusion | None = None
    ) -> MaskPrediction:
        """The class layer's probabilities; the words must be the training's, in their order.

        Raises:
            ValueError: if they are others.
        """
        logits = self.class_layer(encoded.proposals.query_embed)
        if words.num_concepts != logits.shape[-1] - 1 or not bool(words.is_seen.all()):
            raise ValueError(
                f"a closed set answers to its own {logits.shape[-1] - 1} classes, and others were asked: take MaskCLIP."
            )
        return self.named(encoded.proposals, logits[..., :-1])

    def named(self, proposals: MaskProposals, class_logits: Float[Tensor, "B Q K"]) -> MaskPrediction:
        """The masks under some names; the class layer says which are no object."""
        logits = self.class_layer(proposals.query_embed)
        return MaskPrediction(
            mask_logits=proposals.mask_logits,
            class_logits=class_logits,
            void_probs=logits.softmax(-1)[..., -1],
            iou_scores=torch.ones_like(logits[..., 0]),
            num_concepts=class_logits.shape[-1],
        )

    def predict_layers(self, images: ImageBatch, words: VocabularyEmbeddings) -> tuple[LayerPrediction, ...]:
        """Nothing trains it."""
        raise ValueError(self.untrainable_because)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncodedMaskTokens(EncodedImages):
    """Masks, embedded by mask tokens."""

    embed: Float[Tensor, "B Q D"]


class MaskClip(ClosedSetNames):
    """The masks of a closed-set Mask2Former, named by mask tokens in a frozen ViT CLIP (MaskCLIP, Ding et al., 2023).

    MaskCLIP's relative mask attention, which is trained, is left out; its class-agnostic proposals are a closed set's,
    whose no-object probability is void.
    """

    clip: VitClip
    logit_scale = 100.0

    def encode(self, images: ImageBatch, proposals: MaskProposals | None = None) -> EncodedMaskTokens:
        """The masks, and one pass of CLIP for all of them."""
        proposals = proposals or self.propose(images)
        pixels = images.padded_with(self.clip.config.colours.mean)
        return EncodedMaskTokens(
            proposals=proposals, embed=mask_token_embed(self.clip, pixels, proposals.mask_logits > 0)
        )

    def answer(
        self, encoded: EncodedImages, words: VocabularyEmbeddings, fusion: Fusion | None = None
    ) -> MaskPrediction:
        """Cosines of every mask's token to the words."""
        assert isinstance(encoded, EncodedMaskTokens)
        return self.named(encoded.proposals, self.logit_scale * class_cosines(encoded.embed, words))


@torch.no_grad()
def mask_token_embed(
    clip: VitClip, pixel_values: Float[Tensor, "B 3 H W"], masks: Bool[Tensor, "B Q h w"]
) -> Float[Tensor, "B Q D"]:
    """One embedding for every mask, of one pass over the picture, in unit length.

    Each mask has a copy of the class token, which attends to itself and to the patches that lie in the mask by more
    than half; the picture's own tokens do not see it. A mask of everything gets the picture's embedding. Where no patch
    lies in a mask so far, its best ones count.
    """
    tokens, grid = clip.first_tokens(pixel_values)
    shares = F.adaptive_avg_pool2d(masks.float(), grid).flatten(2)
    inside = shares > 0.5
    inside |= ~inside.any(-1, keepdim=True) & (shares == shares.amax(-1, keepdim=True))
    copies = tokens[:, :1].expand(-1, masks.shape[1], -1)
    for block in clip.blocks:
        copies = _look(block, copies, tokens[:, 1:], inside)
        tokens = block(tokens)
    return F.normalize(clip.embed_pooled(copies).float(), dim=-1)


def _look(
    block: Any,
    copies: Float[Tensor, "B Q E"],
    patches: Float[Tensor, "B P E"],
    inside: Bool[Tensor, "B Q P"],
) -> Float[Tensor, "B Q E"]:
    """A block of a ViT for class tokens that see patches and do not see one another."""
    attention = block.attn

    def parts(tokens: Float[Tensor, "B L E"]) -> Float[Tensor, "3 B heads L F"]:
        joined = F.linear(block.ln_1(tokens), attention.in_proj_weight, attention.in_proj_bias)
        return joined.unflatten(-1, (3, attention.num_heads, attention.head_dim)).permute(2, 0, 3, 1, 4)

    query, own_key, own_value = parts(copies)
    _, key, value = parts(patches)
    query = query * attention.head_dim**-0.5
    there = (query @ key.transpose(-1, -2)).masked_fill(~inside[:, None], -torch.inf)
    weights = torch.cat([(query * own_key).sum(-1, keepdim=True), there], -1).softmax(-1)
    found = weights[..., :1] * own_value + weights[..., 1:] @ value
    copies = copies + attention.out_proj(found.transpose(1, 2).flatten(2))
    return copies + block.mlp(block.ln_2(copies))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncodedPixels(EncodedImages):
    """Pixels in the joint space; there are no proposals."""

    embed: Float[Tensor, "B P D"]
    """At stride 4, row by row."""
    size: tuple[int, int]
    """Rows and columns."""


class LSeg(OpenVocabularySegmenter):
    """An embedding for every pixel, compared with the words (LSeg, Li et al., 2022).

    The embeddings are those of Mask2Former's backbone and pixel decoder, through a convolution of 1 x 1 to the joint
    space; LSeg itself has a DPT. It answers with semantic maps alone: every word has a "mask" of its cosines, so that
    the soft rule gives each pixel the word of the highest.
    """

    clip_only = CLIP_ONLY
    semantic_rule = "soft"
    has_targets_per_class = False
    samples_points = True

    def __init__(self, config: BaselineConfig, segmenter: Segmenter, clip: Clip) -> None:
        """Takes backbone and pixel decoder of a segmenter, whose queries have no part in it."""
        super().__init__()
        self.config = config
        self.segmenter = segmenter
        self.segmenter.query_decoder.requires_grad_(False)
        self.project = nn.Conv2d(segmenter.config.mask_dim, clip.config.embed_dim, 1)
        self.clip = clip.requires_grad_(False)

    def propose(self, images: ImageBatch, *, every_layer: bool = False) -> MaskProposals:
        """None."""
        batch, (height, width) = len(images.frames), images.pixel_values.shape[-2:]
        pixels = images.pixel_values
        return MaskProposals(
            mask_logits=pixels.new_zeros(batch, 0, height // 4, width // 4),
            query_embed=pixels.new_zeros(batch, 0, self.segmenter.config.hidden_dim),
        )

    def encode(self, images: ImageBatch, proposals: MaskProposals | None = None) -> EncodedPixels:
        """Embeds every pixel at stride 4."""
        stages = self.segmenter.backbone(colours.IMAGENET.normalise(images.pixel_values)).feature_maps
        pixels = self.project(self.segmenter.pixel_decoder(stages).mask_features)
        return EncodedPixels(
            proposals=proposals or self.propose(images),
            embed=F.normalize(pixels.flatten(2).transpose(1, 2).float(), dim=-1),
            size=(pixels.shape[-2], pixels.shape[-1]),
        )

    def answer(
        self, encoded: EncodedPixels, words: VocabularyEmbeddings, fusion: Fusion | None = None
    ) -> MaskPrediction:
        """A "mask" for each word, which is certain of its name."""
        cosines = class_cosines(encoded.embed, words).transpose(1, 2).unflatten(2, encoded.size)
        names = CERTAIN * torch.eye(cosines.shape[1], device=cosines.device)
        sure = cosines.new_ones(cosines.shape[:2])
        return MaskPrediction(
            mask_logits=cosines,
            class_logits=names.expand(len(cosines), -1, -1),
            void_probs=1 - sure,
            iou_scores=sure,
            num_concepts=words.num_concepts,
        )

    def predict_layers(self, images: ImageBatch, words: VocabularyEmbeddings) -> tuple[LayerPrediction, ...]:
        """The answer as one layer; `LSegTask` reads the cosines of its masks."""
        found = self.answer(self.encode(images), words)
        void = F.pad(found.class_logits, (0, 1))
        return (LayerPrediction(mask_logits=found.mask_logits, class_logits=void),)


class LSegTask(SegmentationTask[LSeg]):
    """The training of an LSeg: cross-entropy over the training names at every annotated pixel."""

    def losses(self, batch: SegmentBatch, step: int) -> dict[str, Tensor]:
        """The mean over the pixels, at stride 4."""
        (layer,) = self.predict(batch.images)
        labels = torch.full_like(layer.mask_logits[:, 0], IGNORED, dtype=torch.long)
        for label_map, target in zip(labels, batch.targets, strict=True):
            for mask, class_id in zip(target.masks, target.class_ids, strict=True):
                label_map[mask] = class_id
        return {"pixels": F.cross_entropy(layer.mask_logits / LSEG_TEMPERATURE, labels, ignore_index=IGNORED)}

"""The contract of a model: what everybody above may ask of one, whichever it is.

To add a model: a subclass in a file of its own, and a line in the table of `lexiseg.io.models`.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from torch import nn

from lexiseg.core.structures import ImageBatch, LayerPrediction, MaskPrediction, MaskProposals, VocabularyEmbeddings
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.text import TextEncoder
from lexiseg.models.crops import RegionConfig
from lexiseg.models.postprocess.panoptic import MergeConfig
from lexiseg.models.vocabulary_embedding import embed_vocabulary

SemanticRule = Literal["merged", "soft"]
"""From masks to classes of pixels: the panoptic map merged by category (OPSNet), or a sum of soft masks (OVSeg)."""


@runtime_checkable
class Fusion(Protocol):
    """How CLIP and the trained query are joined: a frozen dataclass of `layers`, such as OPSNet's modulation."""

    OPTIONS: ClassVar[tuple[str, ...]]
    """Keywords of `overridden`."""

    def overridden(self, **options: Any) -> "Fusion":
        """The same with some of its options set.

        Raises:
            ValueError: if a number is out of its range.
        """
        ...


@runtime_checkable
class ModelConfig(Protocol):
    """What the configuration of every model says, beside its own sizes; a frozen dataclass."""

    @property
    def training_vocabulary(self) -> Vocabulary:
        """The words, with their templates, that segmentation was trained on."""
        ...

    @property
    def longest_side(self) -> int:
        """Longer side in pixels to which pictures are resized; at most so many where `shortest_side` is set."""
        ...

    @property
    def shortest_side(self) -> int | None:
        """Their shorter side, where it is set."""
        ...

    @property
    def merge(self) -> MergeConfig:
        """How masks become a panoptic map unless told otherwise."""
        ...

    @property
    def fusion(self) -> Fusion:
        """How CLIP and query are joined unless told otherwise."""
        ...


class OpenVocabularySegmenter(nn.Module, ABC):
    """A segmenter that is asked for any words: it proposes masks, then classifies them against an embedded vocabulary.

    The vocabulary is an argument of the call; two calls never change a weight. Subclasses are final.
    """

    config: Any
    """A `ModelConfig` of the model's own type."""
    segmenter: Any
    """Proposes masks; it has `backbone_parameters`."""
    clip: Any
    """The CLIP that embeds words and regions; frozen."""
    clip_only: ClassVar[Fusion]
    """The fusion in which the trained query has no say. Its type is the only one that the model takes."""
    semantic_rule: ClassVar[SemanticRule]
    """How masks become classes of pixels unless told otherwise: the rule of the model's paper."""
    has_targets_per_class: ClassVar[bool]
    """Whether it is trained with one mask of all that a picture shows of a class, or with one of each thing."""
    samples_points: ClassVar[bool]
    """Whether its mask losses are taken at sampled points (Mask2Former) or over whole masks (MaskFormer)."""

    def forward(self, images: ImageBatch, words: VocabularyEmbeddings, fusion: Fusion | None = None) -> MaskPrediction:
        """Segments pictures against one vocabulary.

        Args:
            images: pictures of one padded size.
            words: the asked vocabulary, embedded once.
            fusion: how CLIP and query are joined; the model's own default if not given.

        Raises:
            ValueError: if the fusion is another model's.
        """
        self.check_fusion(fusion)
        return self.classify(images, self.propose(images), words, fusion)

    @abstractmethod
    def propose(self, images: ImageBatch, *, every_layer: bool = False) -> MaskProposals:
        """Class-agnostic masks and the queries behind them; of every decoder layer, for deep supervision."""

    @abstractmethod
    def classify(
        self, images: ImageBatch, proposals: MaskProposals, words: VocabularyEmbeddings, fusion: Fusion | None = None
    ) -> MaskPrediction:
        """All of `forward` that comes after the proposals, which may be anybody's."""

    def embed_vocabulary(
        self, vocabulary: Vocabulary, *, negatives: bool, cache_dir: Path | None = None
    ) -> VocabularyEmbeddings:
        """All that the model needs to know of the words, once per vocabulary; see `models.vocabulary_embedding`.

        Args:
            vocabulary: the asked words.
            negatives: whether words that were not asked for compete.
            cache_dir: folder of remembered embeddings; None remembers nothing.
        """
        asked, training = self.phrased(vocabulary), self.phrased(self.config.training_vocabulary)
        return embed_vocabulary(self.text_encoder, asked, training, negatives=negatives, cache_dir=cache_dir)

    @property
    def text_encoder(self) -> TextEncoder:
        """What turns words into vectors: CLIP's text tower, or what stands before it."""
        return self.clip

    def phrased(self, vocabulary: Vocabulary) -> Vocabulary:
        """The vocabulary with the templates that the model embeds it with: its own, unless the model brings some."""
        return vocabulary

    @abstractmethod
    def predict_layers(self, images: ImageBatch, words: VocabularyEmbeddings) -> tuple[LayerPrediction, ...]:
        """What every decoder layer predicts, the last one last: what training holds against the truth."""

    @property
    def region_threshold(self) -> float:
        """The mask probability from which on a pixel belongs to the region that CLIP is shown, in [0, 1]."""
        return self.config.merge.mask_threshold

    @property
    def regions(self) -> RegionConfig | None:
        """How proposals are cut out for CLIP; None where CLIP looks once at the whole picture."""
        return None

    @property
    def untrainable_because(self) -> str | None:
        """Why no recipe can train it, in a sentence; None if one can."""
        return None

    def check_fusion(self, fusion: Fusion | None) -> None:
        """Refuses a fusion of another model.

        Raises:
            ValueError: naming the kind that the model takes.
        """
        expected = type(self.clip_only)
        if fusion is not None and not isinstance(fusion, expected):
            raise ValueError(
                f"expected {_a(expected)}, got {_a(type(fusion))}: an {type(self).__name__} takes no other fusion."
            )

    def train(self, mode: bool = True) -> "OpenVocabularySegmenter":
        """Switches the mode of everything but CLIP, which stays frozen in eval mode."""
        super().train(mode)
        self.clip.eval()
        return self


def _a(kind: type) -> str:
    return f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"

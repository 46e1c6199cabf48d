"""The interface of a model: all that inference, evaluation, training and the command line use of one.

To add a model: a subclass in a file of its own, and a line in the table of `lexiseg.io.models`. Its two halves are
`encode`, which sees pictures and no words, and `answer`, which sees words and no pictures.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import nn

from lexiseg.core.frames import OWN_RESIZING, Resizing
from lexiseg.core.messages import a
from lexiseg.core.structures import ImageBatch, LayerPrediction, MaskPrediction, MaskProposals, VocabularyEmbeddings
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.cut_words import note_on_cut_words
from lexiseg.encoders.text import TextEncoder, TextMemory
from lexiseg.models.crops import RegionConfig
from lexiseg.models.postprocess.panoptic import MergeConfig
from lexiseg.models.provenance import Provenance
from lexiseg.models.vocabulary_embedding import QuestionConfig, embed_vocabulary

logger = logging.getLogger(__name__)

SemanticRule = Literal["merged", "soft"]
"""How a semantic map is made: the panoptic map merged by category (OPSNet), or a sum of soft masks (OVSeg)."""


@runtime_checkable
class Fusion(Protocol):
    """How the scores of CLIP and the trained query are combined: a frozen dataclass of `layers`."""

    OPTIONS: ClassVar[tuple[str, ...]]
    """Keywords of `overridden`."""

    @property
    def told(self) -> str:
        """The configuration as people read it."""
        ...

    def overridden(self, **options: Any) -> "Fusion":
        """The configuration with some of its options set.

        Raises:
            ValueError: if a number is out of its range.
        """
        ...


@runtime_checkable
class ModelConfig(Protocol):
    """The fields that every model's configuration has, beside its own sizes; a frozen dataclass."""

    @property
    def training_vocabulary(self) -> Vocabulary:
        """The vocabulary, with its templates, that segmentation was trained on."""
        ...

    @property
    def longest_side(self) -> int:
        """Longer side in pixels to which pictures are resized; at most so many where `shortest_side` is set."""
        ...

    @property
    def shortest_side(self) -> int | None:
        """Shorter side in pixels to which pictures are resized; None if it follows from the longer one."""
        ...

    @property
    def merge(self) -> MergeConfig:
        """The default thresholds of the panoptic merge."""
        ...

    @property
    def question(self) -> QuestionConfig:
        """What competes with a few words, and from which score on a segment is told."""
        ...

    @property
    def fusion(self) -> Fusion:
        """The default fusion."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncodedImages:
    """All that a model knows of pictures before it reads a word; each model's own has more fields.

    It is never changed, but for caches that may be lost, so threads can share it.
    """

    proposals: MaskProposals
    """Of the last layer alone, without the maps that they were made from."""


class OpenVocabularySegmenter(nn.Module, ABC):
    """Open-vocabulary segmentation: class-agnostic mask proposals, classified against an embedded vocabulary.

    The vocabulary is an argument of the call, and no call changes the model. Subclasses are final.
    """

    config: Any
    """A `ModelConfig` of the model's own type."""
    segmenter: Any
    """The module that proposes masks; it has `backbone_parameters`."""
    clip: Any
    """The CLIP that embeds words and regions; frozen."""
    provenance: Provenance = Provenance()
    """What made it, and of what: set by whatever makes, loads or trains a model."""
    clip_only: ClassVar[Fusion]
    """The fusion in which only CLIP scores."""
    fusions: ClassVar[tuple[type[Any], ...]] = ()
    """The types of fusion that the model takes, its own first; none named: that of `clip_only` alone."""
    semantic_rule: ClassVar[SemanticRule]
    """The default rule for semantic maps: that of the model's paper."""
    has_targets_per_class: ClassVar[bool]
    """Whether a training target is one mask per class of a picture, or one per thing."""
    samples_points: ClassVar[bool]
    """Whether mask losses are computed at sampled points (Mask2Former) or over whole masks (MaskFormer)."""

    def forward(self, images: ImageBatch, words: VocabularyEmbeddings, fusion: Fusion | None = None) -> MaskPrediction:
        """Segments pictures against one vocabulary.

        Args:
            images: pictures of one padded size.
            words: from `embed_vocabulary`.
            fusion: how CLIP and query are combined; the configuration's if not given.

        Raises:
            ValueError: if the fusion is another model's.
        """
        self.check_fusion(fusion)
        return self.answer(self.encode(images), words, fusion)

    @abstractmethod
    def propose(self, images: ImageBatch, *, every_layer: bool = False) -> MaskProposals:
        """Class-agnostic masks and their queries.

        Args:
            images: pictures of one padded size.
            every_layer: also those of every earlier decoder layer, in `aux`, for deep supervision.
        """

    @abstractmethod
    def encode(self, images: ImageBatch, proposals: MaskProposals | None = None) -> EncodedImages:
        """The part of `forward` before the words: computed once for any number of questions.

        What only some questions need, such as crops of some proposals, is computed when the first of them is asked.

        Args:
            images: pictures of one padded size.
            proposals: other masks than the model's own, with their queries.
        """

    @abstractmethod
    def answer(self, encoded: Any, words: VocabularyEmbeddings, fusion: Fusion | None = None) -> MaskPrediction:
        """The part of `forward` after the pictures.

        Args:
            encoded: from `encode` of this model.
            words: from `embed_vocabulary`.
            fusion: how CLIP and query are combined, checked by `check_fusion`; the configuration's if not given.
        """

    def classify(
        self, images: ImageBatch, proposals: MaskProposals, words: VocabularyEmbeddings, fusion: Fusion | None = None
    ) -> MaskPrediction:
        """Names other masks than the model's own, once; for several questions, `encode` them and `answer`.

        Args:
            images: the pictures that the masks were proposed for.
            proposals: the masks and their queries.
            words: from `embed_vocabulary`.
            fusion: as `answer` takes it.
        """
        return self.answer(self.encode(images, proposals), words, fusion)

    def embed_vocabulary(
        self,
        vocabulary: Vocabulary,
        *,
        negatives: bool,
        cache_dir: Path | None = None,
        memory: TextMemory | None = None,
    ) -> VocabularyEmbeddings:
        """Embeds a vocabulary, once for all pictures; a note names words that are cut off.

        See `models.vocabulary_embedding`.

        Args:
            vocabulary: the concepts to segment.
            negatives: whether training words outside the vocabulary, and those of the configuration, compete.
            cache_dir: folder of cached embeddings; None caches nothing.
            memory: of names that were embedded before.
        """
        phrased, training = self.phrased(vocabulary), self.phrased(self.config.training_vocabulary)
        if told := note_on_cut_words(phrased, self.context_length, lambda: self.clip.word_pieces):
            logger.warning("%s", told)
        return embed_vocabulary(
            self.text_encoder,
            phrased,
            training,
            negatives=negatives,
            general=self.config.question.negatives,
            cache_dir=cache_dir,
            memory=memory,
        )

    @property
    def context_length(self) -> int:
        """Tokens that the text encoder reads of a sentence, start and end included."""
        return self.clip.config.context_length

    @property
    def text_encoder(self) -> TextEncoder:
        """The text encoder: CLIP's text tower, with a learned prompt where the model has one."""
        return self.clip

    def phrased(self, vocabulary: Vocabulary) -> Vocabulary:
        """The vocabulary with the templates that the model embeds it with: its own, unless the model has some."""
        return vocabulary

    @abstractmethod
    def predict_layers(self, images: ImageBatch, words: VocabularyEmbeddings) -> tuple[LayerPrediction, ...]:
        """The predictions of every decoder layer, first to last, for the training losses."""

    @property
    def region_threshold(self) -> float:
        """Least mask probability of a pixel that belongs to the region that CLIP encodes, in [0, 1]."""
        return self.config.merge.mask_threshold

    @property
    def regions(self) -> RegionConfig | None:
        """How proposals are cut out for CLIP; None where CLIP encodes the whole picture once."""
        return None

    @property
    def resizing(self) -> Resizing:
        """How pictures become as large as the configuration's sides say."""
        return OWN_RESIZING

    def set_sides(self, longest: int | None, shortest: int | None) -> None:
        """Lets the model look at pictures of other sides, with their aspect ratio kept; None for both changes nothing.

        Args:
            longest: the longer side in pixels, or the most it may have where `shortest` is given; if it is left out
                there, in the model's own proportion to the shorter one, or 5/3 of it (800 : 1333).
            shortest: the shorter side in pixels; follows from the longer one if not given.

        Raises:
            ValueError: if a side is less than 32, or the longest shorter than the shortest.
        """
        if longest is None and shortest is not None:
            own = self.config
            longest = round(shortest * (own.longest_side / own.shortest_side if own.shortest_side else 5 / 3))
        if longest is None:
            return
        if min(longest, shortest or longest) < 32 or longest < (shortest or longest):
            raise ValueError(
                f"sides must be 32 pixels or more, the longest not below the shortest, got {longest} and {shortest}."
            )
        self.config = replace(self.config, longest_side=longest, shortest_side=shortest)

    @property
    def encodes_crops(self) -> bool:
        """Whether CLIP is shown crops of the proposals, so that one that was adapted to crops may take its place."""
        return self.regions is not None

    def published_weight(self, vocabulary: str) -> tuple[float, float] | None:
        """CLIP's weight in the fusion: the authors' for data of a built-in vocabulary, and the model's own, in [0, 1].

        None where the authors have none that could be compared.
        """
        return None

    @property
    def training_vocabulary(self) -> Vocabulary:
        """The vocabulary that segmentation was trained on."""
        return self.config.training_vocabulary

    @property
    def untrainable_because(self) -> str | None:
        """Why it cannot be trained, in a sentence; None if it can."""
        return None

    def begin_training(self, device: str) -> VocabularyEmbeddings:
        """Goes to the device and into training mode.

        Returns:
            The training vocabulary on the device, for `predict_layers`.

        Raises:
            ValueError: if it can't be trained.
        """
        if self.untrainable_because is not None:
            raise ValueError(self.untrainable_because)
        self.train().to(device)
        if not self.encodes_crops:
            self.clip.to(memory_format=torch.channels_last)  # its convolutions take 0.6 of the time so on a CPU
        return self.embed_vocabulary(self.training_vocabulary, negatives=False).to(device)

    def compile_parts(self, backend: str | Callable[..., Any] = "inductor") -> None:
        """Lets torch.compile take the segmenter, and the blocks of CLIP's image tower, at their next call.

        Weights and their names stay, and copies are not compiled. Code is made for the first canvas, and again, for
        every canvas, where a second one comes; likewise for batch sizes.

        Args:
            backend: of torch.compile.
        """
        for part in (self.segmenter, *self.clip.blocks):
            part.compile(backend=backend)

    def check_fusion(self, fusion: Fusion | None) -> None:
        """Checks the type of a fusion.

        Raises:
            ValueError: if it is another model's.
        """
        if fusion is not None and not isinstance(fusion, self.accepted_fusions):
            expected = " or ".join(map(a, self.accepted_fusions))
            raise ValueError(f"expected {expected}, got {a(type(fusion))}: {a(type(self))} takes no other fusion.")

    @property
    def accepted_fusions(self) -> tuple[type[Any], ...]:
        """The types of fusion that the model takes, the configuration's first."""
        known = self.fusions or (type(self.clip_only),)
        return tuple(sorted(known, key=lambda kind: kind is not type(self.config.fusion)))

    def train(self, mode: bool = True) -> "OpenVocabularySegmenter":
        """Sets training mode of everything but CLIP, which stays in eval mode."""
        super().train(mode)
        self.clip.eval()
        return self

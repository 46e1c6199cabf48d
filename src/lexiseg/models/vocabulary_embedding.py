"""Embedding a vocabulary, and its similarity to the training vocabulary (OPSNet, section 3.3).

    H_ij = cos(T_i, T^train_j)    cosine of word i and training word j
    max_j H_ij                    similarity of word i to the nearest training word: `similarity`
    s = mean_i max_j H_ij         similarity of the whole vocabulary: `domain_similarity`

The trained query is reliable near the training words, CLIP away from them: `layers.modulation` weights the two by s,
and raises the scores of words of small max H. All of it depends on the vocabularies only, so it is computed once.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lexiseg.core.checks import check_fractions
from lexiseg.core.concepts import same_word
from lexiseg.core.structures import VocabularyEmbeddings
from lexiseg.core.vocabulary import Concept, Vocabulary, are_apart, builtin_places
from lexiseg.encoders.text import TextEncoder, TextMemory, text_embed

GENERAL_NEGATIVES = ("background", "object")
"""Words for regions that neither the vocabulary nor the training vocabulary names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionConfig:
    """How `segment` asks for words; `evaluate --negatives` lets the same compete. Raises ValueError for a bad score."""

    negatives: tuple[str, ...] = GENERAL_NEGATIVES
    """Words that compete beside the training vocabulary: the more of what pictures show is among them, the fewer
    regions are taken for an asked word that is not there."""
    score_threshold: float | None = None
    """Least score of a segment, in [0, 1]; None: that of the model's merge."""

    def __post_init__(self) -> None:
        if self.score_threshold is not None:
            check_fractions(self, "score_threshold")


MIN_SIMILARITY = 1e-6  # debiasing divides by a power of it; opposite words must not overflow
SAME_COSINE = 1 - 1e-6  # above it only float32's rounding tells two embeddings apart


def embed_vocabulary(
    encoder: TextEncoder,
    vocabulary: Vocabulary,
    training: Vocabulary,
    *,
    negatives: bool,
    negative_similarity: float = 0.95,
    general: tuple[str, ...] = GENERAL_NEGATIVES,
    cache_dir: Path | None = None,
    memory: TextMemory | None = None,
) -> VocabularyEmbeddings:
    """Embeds a vocabulary and computes max H and s.

    With few words a softmax has nothing to compare with, and every region becomes a "cat". Negatives are the training
    concepts and a few general words outside the vocabulary: they compete, and what they win is void.

    Args:
        encoder: the text encoder.
        vocabulary: the concepts to segment, with their own templates.
        training: the vocabulary that masks were trained with, embedded with its own templates.
        negatives: whether negatives compete.
        negative_similarity: a negative means the same as an asked word, and is left out, if they share a name or a
            built-in list has both in one concept; or if no list has them apart and the cosine of two of their names is
            at least this, in (0, 1].
        general: negatives besides the training vocabulary, embedded with its templates.
        cache_dir: folder of cached embeddings; None caches nothing.
        memory: of names that were embedded before; what depends on whole vocabularies is computed in any case.

    Returns:
        Rows of the vocabulary's names, then of the negatives. `similarity` is the largest cosine between a concept's
        names and the training names, in (0, 1] and exactly 1 where a name is in the training vocabulary with the same
        templates; the domain similarity is its mean over the vocabulary's concepts.

    Raises:
        ValueError: if `negative_similarity` is not in (0, 1].
    """
    if not 0 < negative_similarity <= 1:
        raise ValueError(
            f"negative_similarity is a cosine in (0, 1], got {negative_similarity}: 0.95 leaves out "
            "words that mean the same."
        )
    names, trained_names = vocabulary.row_names(), training.row_names()
    is_training = (names, vocabulary.templates) == (trained_names, training.templates)
    rows_of = partial(text_embed, encoder, cache_dir=cache_dir, memory=memory)
    embed = rows_of(vocabulary)
    training_embed = embed if is_training else rows_of(training)
    others, others_embed = training, training_embed
    if negatives:
        others, others_embed = _with_general(training, training_embed, general, rows_of)
    cosines = embed @ others_embed.T
    known = set(trained_names)
    concept_index = torch.tensor(vocabulary.row_concepts())
    similarity = max_similarity(cosines[:, : len(trained_names)])
    if vocabulary.templates == training.templates:
        similarity[torch.tensor([name in known for name in names])] = 1.0
    is_trained = torch.tensor([not known.isdisjoint(concept.names) for concept in vocabulary.concepts])
    if negatives:
        others_index = torch.tensor(others.row_concepts())
        kept = _differs(others, vocabulary, cosines, negative_similarity)
        rows = kept[others_index]
        new_index = kept.cumsum(0) - 1 + len(vocabulary)
        other_similarity = max_similarity(others_embed @ training_embed.T)
        other_similarity[: len(training_embed)] = 1.0
        of_training = torch.arange(len(others)) < len(training)
        is_trained = torch.cat([is_trained, of_training[kept]])
        embed = torch.cat([embed, others_embed[rows]])
        concept_index = torch.cat([concept_index, new_index[others_index[rows]]])
        similarity = torch.cat([similarity, other_similarity[rows]])
    per_concept = _concept_max(similarity, concept_index, int(concept_index.max()) + 1)
    return VocabularyEmbeddings(
        text_embed=embed,
        concept_index=concept_index,
        num_concepts=len(vocabulary),
        similarity=per_concept,
        domain_similarity=per_concept[: len(vocabulary)].double().mean().item(),
        is_trained=is_trained,
    )


def max_similarity(cosines: Float[Tensor, "R S"]) -> Float[Tensor, " R"]:
    """max_j H_ij: the largest of each row's cosines to the training rows, in [MIN_SIMILARITY, 1]."""
    cosine = cosines.amax(dim=1).clamp(MIN_SIMILARITY, 1.0)
    return torch.where(cosine >= SAME_COSINE, 1.0, cosine)


def _with_general(
    training: Vocabulary,
    training_embed: Float[Tensor, "S D"],
    general: tuple[str, ...],
    rows_of: Callable[[Vocabulary], Float[Tensor, "R D"]],
) -> tuple[Vocabulary, Float[Tensor, "R D"]]:
    """All that may be a negative: the training vocabulary, then the general words that it lacks; and their rows."""
    known = {same_word(name) for name in training.row_names()}
    added = tuple(Concept(word) for word in dict.fromkeys(general) if same_word(word) not in known)
    if not added:
        return training, training_embed
    # embedded apart from the training names, so that the cache serves every vocabulary
    embed = rows_of(replace(training, concepts=added))
    return replace(training, concepts=training.concepts + added), torch.cat([training_embed, embed])


def _differs(
    others: Vocabulary, vocabulary: Vocabulary, cosines: Float[Tensor, "R S"], negative_similarity: float
) -> Bool[Tensor, " N"]:
    """Which of the other concepts mean something else than every concept of the vocabulary.

    Each pair of words is judged by itself, so that an unrelated word changes nothing.
    """
    asked, names = vocabulary.row_names(), others.row_names()
    owners = others.row_concepts()
    known = set(map(same_word, asked))
    places = {place for name in asked for place in builtin_places(name)}
    is_same = [
        not known.isdisjoint(map(same_word, concept.names)) or not places.isdisjoint(builtin_places(concept.name))
        for concept in others.concepts
    ]
    for row, column in (cosines >= negative_similarity).nonzero().tolist():
        if not are_apart(asked[row], names[column]):
            is_same[owners[column]] = True
    return ~torch.tensor(is_same)


def _concept_max(
    values: Float[Tensor, " R"], concept_index: Int[Tensor, " R"], num_concepts: int
) -> Float[Tensor, " K"]:
    """The largest value among each concept's rows."""
    lowest = values.new_full((num_concepts,), -torch.inf)
    return lowest.scatter_reduce(0, concept_index, values, reduce="amax")

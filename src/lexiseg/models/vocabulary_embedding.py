"""The asked words, embedded, and how far they lie from the words of training (OPSNet, section 3.3).

    H_ij = cos(T_i, T^train_j)    asked word i beside training word j
    max_j H_ij                    how near word i is to the nearest word of training: `similarity`
    s = mean_i max_j H_ij         how near the whole vocabulary is: `domain_similarity`

The trained query is to be trusted near the words of training, CLIP away from them: `layers.modulation` weighs the two
by s, and lifts the words of small max H. All of this depends on the vocabularies alone, so it is prepared once.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lexiseg.core.concepts import same_word
from lexiseg.core.structures import VocabularyEmbeddings
from lexiseg.core.vocabulary import Concept, Vocabulary
from lexiseg.encoders.text import TextEncoder, text_embed

GENERAL_NEGATIVES = ("background", "object")
"""Words for whatever neither the user nor the training vocabulary has a name for."""

MIN_SIMILARITY = 1e-6  # debiasing divides by a power of it; opposite words must not overflow
SAME_COSINE = 1 - 1e-6  # above it only float32's rounding tells two embeddings apart


def embed_vocabulary(
    encoder: TextEncoder,
    asked: Vocabulary,
    training: Vocabulary,
    *,
    negatives: bool,
    negative_similarity: float = 0.9,
    general: tuple[str, ...] = GENERAL_NEGATIVES,
    cache_dir: Path | None = None,
) -> VocabularyEmbeddings:
    """Embeds the asked words and measures max H and s.

    With few words a softmax has nothing to compare with, and every region becomes a "cat".
    Negatives are the training concepts and a few general words that were not asked for: they
    compete, and what they win is void.

    Args:
        encoder: the text tower.
        asked: what the user looks for, with its own templates.
        training: the names that masks were learned with; its rows use its own templates.
        negatives: whether words that were not asked for compete.
        negative_similarity: a negative that shares a name with an asked concept, or that has a
            cosine of at least this (0.9 by default) with an asked name, means the same and is
            left out.
        general: negatives besides the training vocabulary, encoded with its templates.
        cache_dir: folder of remembered embeddings; None remembers nothing.

    Returns:
        Rows of the asked names, then of the negatives. `similarity` is the largest cosine between
        a concept's names and the training names, in (0, 1] and exactly 1 where a name stands in
        the training vocabulary with the same templates; the domain similarity is its mean over
        the asked concepts.

    Raises:
        ValueError: if `negative_similarity` is not in (0, 1].
    """
    if not 0 < negative_similarity <= 1:
        raise ValueError(
            f"negative_similarity is a cosine in (0, 1], got {negative_similarity}: 0.9 leaves out "
            "words that mean the same."
        )
    embed = text_embed(encoder, asked, cache_dir=cache_dir)
    training_embed = text_embed(encoder, training, cache_dir=cache_dir)
    concept_index = torch.tensor(asked.row_concepts())
    similarity = max_similarity(embed, training_embed)
    trained = set(training.row_names()) if asked.templates == training.templates else set()
    similarity[torch.tensor([name in trained for name in asked.row_names()])] = 1.0
    if negatives:
        others = _candidates(training, training_embed, general, encoder, cache_dir)
        kept = _differs(others, asked, embed, negative_similarity)
        rows = kept[others.concept_index]
        new_index = kept.cumsum(0) - 1 + len(asked)
        other_similarity = max_similarity(others.embed, training_embed)
        other_similarity[: len(training_embed)] = 1.0
        embed = torch.cat([embed, others.embed[rows]])
        concept_index = torch.cat([concept_index, new_index[others.concept_index[rows]]])
        similarity = torch.cat([similarity, other_similarity[rows]])
    per_concept = _concept_max(similarity, concept_index, int(concept_index.max()) + 1)
    return VocabularyEmbeddings(
        text_embed=embed,
        concept_index=concept_index,
        num_concepts=len(asked),
        similarity=per_concept,
        domain_similarity=per_concept[: len(asked)].double().mean().item(),
    )


def max_similarity(embed: Float[Tensor, "R D"], training_embed: Float[Tensor, "S D"]) -> Float[Tensor, " R"]:
    """max_j H_ij: the largest cosine of each row to a training row, in [MIN_SIMILARITY, 1]."""
    cosine = (embed @ training_embed.T).amax(dim=1).clamp(MIN_SIMILARITY, 1.0)
    return torch.where(cosine >= SAME_COSINE, 1.0, cosine)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidates:
    """All that may be a negative: the training vocabulary's rows, then the general words'."""

    concepts: tuple[Concept, ...]
    embed: Float[Tensor, "R D"]
    concept_index: Int[Tensor, " R"]
    """For each row its index in `concepts`."""


def _candidates(
    training: Vocabulary,
    training_embed: Float[Tensor, "S D"],
    general: tuple[str, ...],
    encoder: TextEncoder,
    cache_dir: Path | None,
) -> _Candidates:
    """Joins the training vocabulary with those general words that it does not know itself."""
    known = {same_word(name) for name in training.row_names()}
    added = tuple(word for word in dict.fromkeys(general) if same_word(word) not in known)
    concepts, embed = training.concepts, training_embed
    if added:
        # apart from the training names, so that the cache serves every asked vocabulary
        extra = Vocabulary(tuple(Concept(word) for word in added), training.templates)
        concepts += extra.concepts
        embed = torch.cat([embed, text_embed(encoder, extra, cache_dir=cache_dir)])
    concept_index = [index for index, concept in enumerate(concepts) for _ in concept.names]
    return _Candidates(concepts=concepts, embed=embed, concept_index=torch.tensor(concept_index))


def _differs(
    others: _Candidates, asked: Vocabulary, asked_embed: Float[Tensor, "R D"], negative_similarity: float
) -> Bool[Tensor, " N"]:
    """Which candidates mean something else than every asked word, by name and by embedding."""
    asked_words = {same_word(name) for name in asked.row_names()}
    nearest = (others.embed @ asked_embed.T).amax(dim=1)
    nearest = _concept_max(nearest, others.concept_index, len(others.concepts))
    foreign = [asked_words.isdisjoint(same_word(name) for name in concept.names) for concept in others.concepts]
    return torch.tensor(foreign) & (nearest < negative_similarity)


def _concept_max(
    values: Float[Tensor, " R"], concept_index: Int[Tensor, " R"], num_concepts: int
) -> Float[Tensor, " K"]:
    """The largest value among each concept's rows."""
    lowest = values.new_full((num_concepts,), -torch.inf)
    return lowest.scatter_reduce(0, concept_index, values, reduce="amax")

"""All that a model needs to know of the asked words, prepared once per vocabulary."""

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
    """Encodes the asked words and measures how far they lie from training's (OPSNet, 3.3).

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
    asked_embed = text_embed(encoder, asked, cache_dir=cache_dir)
    training_embed = text_embed(encoder, training, cache_dir=cache_dir)
    trained = set(training.row_names()) if asked.templates == training.templates else set()
    similarity = _row_similarity(asked_embed, training_embed)
    similarity[torch.tensor([name in trained for name in asked.row_names()])] = 1.0
    embed, owners = asked_embed, torch.tensor(asked.row_concepts())
    if negatives:
        rivals = _rivals(training, training_embed, general, encoder, cache_dir)
        kept = _kept(rivals, asked, asked_embed, negative_similarity)
        rows = kept[rivals.owners]
        new_index = kept.cumsum(0) - 1 + len(asked)
        embed = torch.cat([embed, rivals.embed[rows]])
        owners = torch.cat([owners, new_index[rivals.owners[rows]]])
        rival_similarity = _row_similarity(rivals.embed, training_embed)
        rival_similarity[: len(training_embed)] = 1.0
        similarity = torch.cat([similarity, rival_similarity[rows]])
    per_concept = _concept_max(similarity, owners, int(owners.max()) + 1)
    return VocabularyEmbeddings(
        text_embed=embed,
        concept_index=owners,
        num_concepts=len(asked),
        similarity=per_concept,
        domain_similarity=per_concept[: len(asked)].double().mean().item(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rivals:
    """Everything that might compete: the training vocabulary's rows, then the general words'."""

    concepts: tuple[Concept, ...]
    embed: Float[Tensor, "R D"]
    owners: Int[Tensor, " R"]
    """For each row its index in `concepts`."""


def _rivals(
    training: Vocabulary,
    training_embed: Float[Tensor, "S D"],
    general: tuple[str, ...],
    encoder: TextEncoder,
    cache_dir: Path | None,
) -> _Rivals:
    """Joins the training vocabulary with those general words that it does not know itself."""
    known = {same_word(name) for name in training.row_names()}
    added = tuple(word for word in dict.fromkeys(general) if same_word(word) not in known)
    concepts, embed = training.concepts, training_embed
    if added:
        # apart from the training names, so that the cache serves every asked vocabulary
        extra = Vocabulary(tuple(Concept(word) for word in added), training.templates)
        concepts += extra.concepts
        embed = torch.cat([embed, text_embed(encoder, extra, cache_dir=cache_dir)])
    owners = [index for index, concept in enumerate(concepts) for _ in concept.names]
    return _Rivals(concepts=concepts, embed=embed, owners=torch.tensor(owners))


def _kept(
    rivals: _Rivals,
    asked: Vocabulary,
    asked_embed: Float[Tensor, "R D"],
    negative_similarity: float,
) -> Bool[Tensor, " N"]:
    """Which rivals mean something else than every asked word, by name and by embedding."""
    asked_words = {same_word(name) for name in asked.row_names()}
    nearest = (rivals.embed @ asked_embed.T).amax(dim=1)
    nearest = _concept_max(nearest, rivals.owners, len(rivals.concepts))
    foreign = [asked_words.isdisjoint(same_word(name) for name in concept.names) for concept in rivals.concepts]
    return torch.tensor(foreign) & (nearest < negative_similarity)


def _row_similarity(embed: Float[Tensor, "R D"], training_embed: Float[Tensor, "S D"]) -> Float[Tensor, " R"]:
    """Largest cosine of each row to a training row, in [MIN_SIMILARITY, 1] (max_j H_ij)."""
    cosine = (embed @ training_embed.T).amax(dim=1).clamp(MIN_SIMILARITY, 1.0)
    return torch.where(cosine >= SAME_COSINE, 1.0, cosine)


def _concept_max(values: Float[Tensor, " R"], owners: Int[Tensor, " R"], num_concepts: int) -> Float[Tensor, " K"]:
    """The largest value among each concept's rows."""
    lowest = values.new_full((num_concepts,), -torch.inf)
    return lowest.scatter_reduce(0, owners, values, reduce="amax")

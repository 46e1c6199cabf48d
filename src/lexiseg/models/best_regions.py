"""Free words, OVSeg's demo: for each word the one region that fits it best, by CLIP alone.

MaskFormer's classifier is ignored, since it fits the words of its training.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lexiseg.core.concepts import Concept, same_word
from lexiseg.core.frames import Frame
from lexiseg.core.structures import MaskPrediction, PanopticMap, VocabularyEmbeddings
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.models.postprocess.panoptic import MergeConfig, Ranking, assign_pixels, merge_segments

CONTRAST = "others"
"""What a single word is held against: a softmax over one word knows no doubt."""


def embed_free_words(
    network: OpenVocabularySegmenter, asked: Vocabulary, *, cache_dir: Path | None = None
) -> VocabularyEmbeddings:
    """Encodes the words; a single one gets a contrast beside it, which wins nothing.

    Args:
        network: encodes the words.
        asked: stays as it is.
        cache_dir: folder of remembered embeddings.
    """
    vocabulary = asked
    if len(asked) == 1 and same_word(CONTRAST) not in map(same_word, asked.row_names()):
        vocabulary = Vocabulary((*asked.concepts, Concept(CONTRAST)), asked.templates)
    prepared = network.embed_vocabulary(vocabulary, negatives=False, cache_dir=cache_dir)
    return replace(prepared, num_concepts=len(asked))


def best_regions(
    prediction: MaskPrediction, index: int, frame: Frame, vocabulary: Vocabulary, *, mask_threshold: float = 0.5
) -> PanopticMap:
    """The best region of every word as a map; masks are hard, and a pixel goes to the word that fits its region best.

    Args:
        prediction: by CLIP alone, for words from `embed_free_words`.
        index: which picture of the batch.
        frame: how that picture entered the batch.
        vocabulary: the asked words.
        mask_threshold: of the mask probability, in [0, 1]; that by which CLIP was shown the regions.

    Returns:
        At most one segment a word: none where better words hold all of its region.
    """
    not_void = (1 - prediction.void_probs[index].float()) * (prediction.iou_scores[index] > 0)
    class_scores = prediction.class_logits[index].float().softmax(-1) * not_void[:, None]
    best, queries = class_scores[:, : prediction.num_concepts].max(0)
    order = _first_of_each(
        [concept for concept in best.argsort(descending=True, stable=True).tolist() if best[concept] > 0],
        queries.tolist(),
    )
    ranking = Ranking(
        mask_logits=prediction.mask_logits[index],
        queries=queries[order].tolist(),
        class_ids=order,
        scores=best[order].tolist(),
        class_scores=class_scores[queries[order]],
    )
    assignment = assign_pixels(ranking, frame, mask_threshold, is_hard=True)
    return merge_segments(ranking, assignment, vocabulary, MergeConfig(overlap_threshold=0.0))


def _first_of_each(order: Sequence[int], queries: Sequence[int]) -> list[int]:
    """The first word of every region: masks are hard, so a second one could win none of its pixels."""
    first: dict[int, int] = {}
    for concept in order:
        first.setdefault(queries[concept], concept)
    return list(first.values())

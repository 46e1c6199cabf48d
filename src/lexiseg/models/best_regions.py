"""The best region of each word, as in OVSeg's demo: by CLIP's scores only.

The trained classifier, which fits the training vocabulary, is not used.
"""

from dataclasses import replace
from pathlib import Path

from lexiseg.core.concepts import Concept, same_word
from lexiseg.core.frames import Frame
from lexiseg.core.structures import MaskPrediction, PanopticMap, VocabularyEmbeddings
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.models.postprocess.panoptic import MergeConfig, Ranking, assign_pixels, merge_segments

CONTRAST = "others"
"""What a single word competes with, as a softmax over one word is always 1."""


def embed_free_words(
    network: OpenVocabularySegmenter, vocabulary: Vocabulary, *, cache_dir: Path | None = None
) -> VocabularyEmbeddings:
    """Embeds the vocabulary; a single concept gets `CONTRAST` as a negative.

    Args:
        network: the model whose text encoder embeds them.
        vocabulary: the concepts.
        cache_dir: folder of cached embeddings; None caches nothing.
    """
    contrasted = vocabulary
    if len(vocabulary) == 1 and same_word(CONTRAST) not in map(same_word, vocabulary.row_names()):
        contrasted = replace(vocabulary, concepts=(*vocabulary.concepts, Concept(CONTRAST)))
    words = network.embed_vocabulary(contrasted, negatives=False, cache_dir=cache_dir)
    return replace(words, num_concepts=len(vocabulary))


def best_regions(
    prediction: MaskPrediction, index: int, frame: Frame, vocabulary: Vocabulary, *, mask_threshold: float = 0.5
) -> PanopticMap:
    """The best region of every concept as a map; masks are binary, and a pixel goes to the best score.

    Args:
        prediction: with the model's `clip_only` fusion, for words from `embed_free_words`.
        index: which picture of the batch.
        frame: how that picture was resized and padded.
        vocabulary: the concepts.
        mask_threshold: of the mask probability, in [0, 1]; the model's `region_threshold`.

    Returns:
        At most one segment per concept: none where concepts of higher scores win all of its region.
    """
    not_void = (1 - prediction.void_probs[index].float()) * (prediction.iou_scores[index] > 0)
    class_scores = prediction.class_logits[index].float().softmax(-1) * not_void[:, None]
    best, queries = class_scores[:, : prediction.num_concepts].max(0)
    first_of: dict[int, int] = {}  # masks are binary, so a second concept of a region could win none of its pixels
    for concept in best.argsort(descending=True, stable=True).tolist():
        if best[concept] > 0:
            first_of.setdefault(int(queries[concept]), concept)
    order = list(first_of.values())
    ranking = Ranking(
        mask_logits=prediction.mask_logits[index],
        queries=queries[order].tolist(),
        class_ids=order,
        scores=best[order].tolist(),
        class_scores=class_scores[queries[order]],
    )
    assignment = assign_pixels(ranking, frame, mask_threshold, is_hard=True)
    return merge_segments(ranking, assignment, vocabulary, MergeConfig(overlap_threshold=0.0))

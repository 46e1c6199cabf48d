"""The best region of each word, as in OVSeg's demo: by CLIP's scores only.

The trained classifier, which fits the training vocabulary, is not used. Unlike the demo, words compete with background
words: a softmax over the asked ones alone gives a word that is not there nearly the score of one that is.
"""

from lexiseg.core.frames import Frame
from lexiseg.core.structures import MaskPrediction, PanopticMap
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.models.postprocess.assignment import Ranking, assign_pixels
from lexiseg.models.postprocess.panoptic import MergeConfig, merge_segments


def best_regions(
    prediction: MaskPrediction, index: int, frame: Frame, vocabulary: Vocabulary, *, mask_threshold: float = 0.5
) -> PanopticMap:
    """The best region of every concept as a map; masks are binary, and a pixel goes to the best score.

    Args:
        prediction: with the model's `clip_only` fusion, for words that were embedded with negatives.
        index: which picture of the batch.
        frame: how that picture was resized and padded.
        vocabulary: the concepts.
        mask_threshold: of the mask probability, in [0, 1]; the model's `region_threshold`.

    Returns:
        At most one segment per concept, whose score is its softmax over all words, in (0, 1]. A concept has none if it
        is not there, as the background words together fit its best region better; or if concepts of higher scores win
        all of that region.
    """
    not_void = (1 - prediction.void_probs[index].float()) * (prediction.iou_scores[index] > 0)
    class_scores = prediction.class_logits[index].float().softmax(-1) * not_void[:, None]
    best, queries = class_scores[:, : prediction.num_concepts].max(0)
    background = class_scores[:, prediction.num_concepts :].sum(-1)[queries]
    first_of: dict[int, int] = {}  # masks are binary, so a second concept of a region could win none of its pixels
    for concept in best.argsort(descending=True, stable=True).tolist():
        if best[concept] > background[concept]:
            first_of.setdefault(int(queries[concept]), concept)
    order = list(first_of.values())
    ranking = Ranking(
        mask_logits=prediction.mask_logits[index],
        queries=queries[order].tolist(),
        class_ids=order,
        scores=best[order].tolist(),
        class_scores=class_scores[queries[order], : prediction.num_concepts],
    )
    assignment = assign_pixels(ranking, frame, mask_threshold, is_hard=True)
    return merge_segments(ranking, assignment, vocabulary, MergeConfig(overlap_threshold=0.0))

"""The panoptic merge: overlapping masks with scores become one segment per pixel (OPSNet, section 3.4).

The rules are those of Mask2Former's panoptic inference, not those of Hugging Face's post-processing: scores do not
affect the mask threshold, pixels below it stay void, every segment has its own id, and the padding of the canvas is
cropped before pixels are counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor

from lexiseg.core.checks import check_choices, check_fractions
from lexiseg.core.frames import Frame
from lexiseg.core.structures import Guess, MaskPrediction, PanopticMap, Segment
from lexiseg.core.taxonomy import taxonomy
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.models.postprocess.assignment import PixelAssignment, Ranking, assign_pixels, code_of
from lexiseg.models.postprocess.hierarchy import Paths, descend
from lexiseg.models.postprocess.runs import Extents, recoded

RankBy = Literal["class", "iou", "product"]

NUM_GUESSES = 5  # names reported per segment, as in the paper's figures


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeConfig:
    """Scores and thresholds of the panoptic merge (OPSNet, section 3.4 and Table 7).

    Raises ValueError if a threshold is not in [0, 1] or the score is unknown.
    """

    rank_by: RankBy = "product"
    """Cls = (1 - p_void) max p; IoU = the predicted IoU; product = both multiplied."""
    score_threshold: float = 0.2
    """A proposal takes part only if its score is above this, in [0, 1].

    The 0.8 of closed-set models is too high for a product of two uncertain scores.
    """
    void_competes: bool = False
    """Drops a proposal whose void probability exceeds that of its best class, as closed-set models do."""
    mask_threshold: float = 0.5
    """A pixel belongs to a mask if its mask probability is at least this, in [0, 1]."""
    overlap_threshold: float = 0.8
    """A mask is dropped if the pixels that it won, those below the mask threshold included, are less than this share of
    its pixels at or above the threshold (Mask2Former's rule; the share may pass 1), in [0, 1]."""

    def __post_init__(self) -> None:
        check_choices(self, rank_by=RankBy)
        check_fractions(self, "score_threshold", "mask_threshold", "overlap_threshold")


def panoptic_map(
    prediction: MaskPrediction,
    index: int,
    frame: Frame,
    vocabulary: Vocabulary,
    config: MergeConfig | None = None,
    paths: Paths | None = None,
) -> PanopticMap:
    """Merges one picture's masks into a map in which every pixel has one segment or none.

    Proposals are filtered by score; each pixel goes to the largest score x mask probability; a mask keeps its pixels at
    or above the mask threshold and is dropped if it won too few, by the rule of `MergeConfig.overlap_threshold`; stuff
    of one class is merged. Proposals with a negative as their class compete and become void.

    Masks are brought to the picture's size tile by tile where they may win, so memory is O(H x W) for any Q.

    Args:
        prediction: a model's output for a batch.
        index: which picture of the batch.
        frame: how that picture was resized and padded.
        vocabulary: the concepts, one for each of the first columns of `prediction.class_logits`.
        config: the rules; the paper's by default.
        paths: gives the paths of the segments' queries; sums over concepts if not given.

    Returns:
        The map at the picture's own size, ids 1, 2, ... by falling score; it may have no segment.
    """
    config = config or MergeConfig()
    ranking = rank_proposals(prediction, index, vocabulary, config)
    return merge_segments(ranking, assign_pixels(ranking, frame, config.mask_threshold), vocabulary, config, paths)


def merge_segments(
    ranking: Ranking,
    assignment: PixelAssignment,
    vocabulary: Vocabulary,
    config: MergeConfig,
    paths: Paths | None = None,
) -> PanopticMap:
    """The last step of `panoptic_map`: applies the overlap threshold, merges stuff of one class, numbers segments.

    Args:
        ranking: the proposals that competed.
        assignment: the pixels that each of them won.
        vocabulary: the concepts.
        config: the overlap rule.
        paths: as `panoptic_map` takes it.
    """
    num_concepts = len(vocabulary.concepts)
    ids = np.zeros(2 * len(ranking.queries) + 2, np.int32)  # of the codes; 0 is void: dropped proposals, negatives
    heads: list[int] = []  # the best proposal of each segment
    id_of_stuff: dict[int, int] = {}
    shares = zip(ranking.class_ids, assignment.won(), assignment.kept(), assignment.areas, strict=True)
    for rank, (class_id, won, kept, area) in enumerate(shares):
        if class_id >= num_concepts or kept == 0 or won / area < config.overlap_threshold:
            continue
        inside = code_of(rank)
        if class_id in id_of_stuff:
            ids[inside] = id_of_stuff[class_id]
            continue
        heads.append(rank)
        ids[inside] = len(heads)
        if not vocabulary.concepts[class_id].is_thing:
            id_of_stuff[class_id] = len(heads)
    extents = assignment.extents.joined(ids, len(heads) + 1)
    segments = _describe(extents, heads, ranking, num_concepts, vocabulary, paths)
    return PanopticMap(segmentation=recoded(assignment.codes, ids), segments=segments)


def rank_proposals(prediction: MaskPrediction, index: int, vocabulary: Vocabulary, config: MergeConfig) -> Ranking:
    """Scores the proposals (OPSNet, section 3.4) and keeps those above the threshold, best first.

    A proposal with an IoU score of exactly 0 has an empty mask, and is dropped under any ranking.

    Raises:
        ValueError: if the prediction was made for another number of concepts.
    """
    if len(vocabulary.concepts) != prediction.num_concepts:
        raise ValueError(
            f"The prediction was made for {prediction.num_concepts} concepts, but the vocabulary "
            f"has {len(vocabulary.concepts)}; pass the vocabulary that it was made for."
        )
    class_probs = prediction.class_logits[index].float().softmax(-1)  # Q K
    best_probs, class_ids = class_probs.max(-1)
    void_probs, iou_scores = prediction.void_probs[index].float(), prediction.iou_scores[index].float()
    not_void = 1 - void_probs
    cls = not_void * best_probs
    scores = {"class": cls, "iou": iou_scores, "product": cls * iou_scores}[config.rank_by]
    takes_part = (scores > config.score_threshold) & (iou_scores > 0)
    if config.void_competes:
        takes_part &= cls >= void_probs
    order = scores.argsort(descending=True, stable=True)
    order = order[takes_part[order]]
    return Ranking(
        mask_logits=prediction.mask_logits[index],
        queries=order.tolist(),
        class_ids=class_ids[order].tolist(),
        scores=scores[order].tolist(),
        class_scores=class_probs[order] * not_void[order, None],
    )


def mask_probs_of(mask_logits: Float[Tensor, "h w"], frame: Frame) -> Float[Tensor, "h0 w0"]:
    """One mask's probabilities at the picture's size: logits are resized before the sigmoid, as Mask2Former does."""
    return frame.leave(mask_logits.float()[None])[0].sigmoid()


def _describe(
    extents: Extents,
    heads: list[int],
    ranking: Ranking,
    num_concepts: int,
    vocabulary: Vocabulary,
    paths: Paths | None,
) -> tuple[Segment, ...]:
    """Makes the list that goes with the map; `heads[id - 1]` is the best proposal of a segment."""
    names = vocabulary.names
    segments: list[Segment] = []
    rows = ranking.class_scores[heads, :num_concepts].cpu()  # together: an accelerator is waited for once
    if paths is None:
        root = taxonomy(vocabulary)
        found: Sequence[tuple[Guess, ...]] = [descend(row, root, names) for row in rows]
    else:
        found = paths([ranking.queries[rank] for rank in heads])
    for segment_id, (rank, class_scores) in enumerate(zip(heads, rows, strict=True), start=1):
        class_id = ranking.class_ids[rank]
        segments.append(
            Segment(
                id=segment_id,
                class_id=class_id,
                name=names[class_id],
                score=min(1.0, ranking.scores[rank]),
                is_thing=vocabulary.concepts[class_id].is_thing,
                area=int(extents.pixels[segment_id]),
                box=extents.box(segment_id),
                guesses=_guesses(class_scores, class_id, names),
                path=found[segment_id - 1],
            )
        )
    return tuple(segments)


def _guesses(class_scores: Float[Tensor, " K"], class_id: int, names: tuple[str, ...]) -> tuple[Guess, ...]:
    """Returns the best names; the segment's own leads even where others tie with it."""
    best = class_scores.topk(min(NUM_GUESSES, len(class_scores))).indices.tolist()
    places = [class_id, *(other for other in best if other != class_id)][:NUM_GUESSES]
    return tuple(Guess(name=names[place], score=float(class_scores[place])) for place in places)

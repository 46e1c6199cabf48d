"""Where the rest of a model's panoptic quality is lost: one part at a time is replaced by what the truth says.

A model that segments does four things, and each can be done perfectly by one who knows the truth. A proposal matches
a true segment if the IoU of its mask, cut as in the merge, is above one half: true void is taken off the union and
crowds match nothing, as in panoptic quality.

* **filter** decides which proposals take part. By truth: one for each true segment that any proposal matches (a
  rightly named one before others, then the largest IoU), with the score 1, so that mask probabilities alone decide
  their contest; nothing else. Names stay the model's: each proposal's best asked name, since whether it is an
  object at all is what the truth has decided.
* **classes** gives the names. By truth: that of the segment which a proposal matches; any other proposal is void, as
  in `upper_bounds.name_perfectly`. The model's predicted IoUs still rank and filter.
* **merge** decides whose a pixel is. By truth: for each true segment one of the proposals that take part and match
  it (chosen as by the filter) receives the segment's pixels inside its mask, whoever else wants them, and is spared
  from the overlap rule. All else is as usual, also pixels outside of its segment. So what this gains was lost by
  proposals fighting for pixels and by the overlap rule; pixels below the mask cut are the masks' loss.
* **masks** are the proposals themselves. By truth: the true segments, which leave nothing to filter or to merge. With
  the model's classes, CLIP looks at the true mask, and the query is that of the proposal that overlaps it most (the
  first, if none does): both go through the model as if it had been proposed. Void and negative names are left out.

Each is tried alone, and one after the other on a ladder that ends at 100. No oracle can promise to help alone, nor can
filter and classes on the ladder (a freed proposal may take pixels from a better one). But merge never lowers the PQ of
a class there, as long as stuff of one class is one segment, and truth itself has a PQ of exactly 1.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from lexiseg.core.structures import MaskPrediction, MaskProposals, PanopticMap
from lexiseg.data.dataset import Segmentation, SegmentInfo
from lexiseg.data.id_maps import VOID, compact
from lexiseg.evaluation.measure import Answer
from lexiseg.evaluation.metrics.panoptic_quality import mask_overlaps
from lexiseg.evaluation.upper_bounds import as_proposed, certain, enter_canvas
from lexiseg.models.postprocess.assignment import PixelAssignment, Ranking, assign_pixels, code_of
from lexiseg.models.postprocess.panoptic import mask_probs_of, merge_segments, rank_proposals

Oracle = Literal["filter", "classes", "merge", "masks"]
ORACLES: tuple[Oracle, ...] = get_args(Oracle)
Oracles = tuple[Oracle, ...]
"""Parts that the truth does, in the order of `ORACLES`; none is the model as it is."""

LADDER: tuple[Oracles, ...] = tuple(ORACLES[:count] for count in range(len(ORACLES) + 1))
ALONE: tuple[Oracles, ...] = tuple((oracle,) for oracle in ORACLES)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MatchedImage:
    """One picture's prediction, its proposals matched with the true segments."""

    answer: Answer
    """Of this picture alone."""
    truth: Segmentation
    places: Integer[np.ndarray, "H W"]
    """Place in `segments` plus 1; 0 is void, -1 crowd."""
    segments: tuple[SegmentInfo, ...]
    """The true ones, crowds left out."""
    masks: tuple[np.ndarray, ...]
    """Of every proposal, cut as in the merge; packed, one bit per pixel."""
    iou: Float[np.ndarray, "Q N"]
    """Of every proposal with every true segment."""
    matched: tuple[int | None, ...]
    """Place of the true segment that each proposal matches."""
    names: tuple[int, ...]
    """The best asked name of each proposal."""

    def mask(self, query: int) -> np.ndarray:
        """One proposal's pixels, bool (H, W)."""
        height, width = self.answer.frame.original
        return np.unpackbits(self.masks[query], count=height * width).view(np.bool_).reshape(height, width)

    def true_name(self, place: int) -> int:
        """The class id of a true segment."""
        return self.answer.category_ids.index(self.segments[place].category_id)


def match_proposals(answer: Answer, truth: Segmentation) -> MatchedImage:
    """Brings every mask of a picture to its size, once, and matches it with the true segments.

    Args:
        answer: the picture's part of a model's answer for a batch.
        truth: its annotation.
    """
    prediction, index = answer.prediction, answer.index
    segments = tuple(s for s in truth.segments if not s.is_crowd)
    masks: list[np.ndarray] = []

    def cut() -> Iterator[np.ndarray]:
        for mask_logits in prediction.mask_logits[index]:
            mask = (mask_probs_of(mask_logits, answer.frame) >= answer.merge.mask_threshold).cpu().numpy()
            masks.append(np.packbits(mask))
            yield mask

    pairs = mask_overlaps(truth.ids, segments, cut())
    alone = prediction.only(index)
    return MatchedImage(
        answer=replace(answer, prediction=alone, index=0),
        truth=truth,
        places=compact(truth.ids, [VOID, *(s.id for s in segments)]),
        segments=segments,
        masks=tuple(masks),
        iou=pairs.iou()[1:, 1:].T,
        matched=tuple(pairs.matched()),
        names=tuple(alone.class_logits[0, :, : alone.num_concepts].argmax(-1).tolist()),
    )


def answer(
    matched: MatchedImage, oracles: Oracles, names_of_truth: Sequence[int]
) -> tuple[Integer[np.ndarray, "H W"], list[SegmentInfo]]:
    """The map and the list of segments that come out when the truth does some of the parts.

    Args:
        matched: the answer and the truth.
        oracles: the parts.
        names_of_truth: the model's name for every true mask.
    """
    if "masks" in oracles:
        ids = np.where(matched.places > 0, matched.truth.ids, VOID)
        if "classes" in oracles:
            return ids, list(matched.segments)
        given = zip(matched.segments, names_of_truth, strict=True)
        return ids, [replace(s, category_id=matched.answer.category_ids[name]) for s, name in given]
    found = _merged(matched, oracles)
    return found.segmentation, matched.answer.segment_infos(found)


def true_proposals(matched: MatchedImage, query_embed: Float[Tensor, "Q C"]) -> MaskProposals | None:
    """The true segments as if they were proposed, each with the query that overlaps it most; None without any."""
    if not matched.segments:
        return None
    numbers = range(1, len(matched.segments) + 1)  # one canvas at a time: they are large
    masks = (torch.from_numpy(matched.places[None] == number).to(query_embed.device) for number in numbers)
    mask_logits = torch.cat([as_proposed(enter_canvas(mask, matched.answer.frame)) for mask in masks], dim=1)
    queries = torch.from_numpy(matched.iou.argmax(0)).to(query_embed.device)
    return MaskProposals(mask_logits=mask_logits.to(query_embed), query_embed=query_embed[queries][None])


def _merged(matched: MatchedImage, oracles: Oracles) -> PanopticMap:
    """The map of the model's masks, with filter, classes and merge by truth where that is asked for."""
    is_true = "classes" in oracles
    names = {
        query: matched.true_name(place) if is_true else matched.names[query]
        for query, place in enumerate(matched.matched)
        if place is not None
    }
    answer = matched.answer
    prediction, config = answer.prediction, answer.merge
    if "filter" in oracles:
        names = {query: names[query] for query in _choose(matched, names).values()}
        prediction = _named(prediction, names, torch.ones_like(prediction.void_probs))
        config = replace(config, score_threshold=0.0)
    elif is_true:
        prediction = _named(prediction, names, prediction.iou_scores)
    ranking = rank_proposals(prediction, 0, answer.vocabulary, config)
    assignment = assign_pixels(ranking, answer.frame, config.mask_threshold)
    if "merge" in oracles:
        assignment = _awarded(matched, ranking, assignment)
    return merge_segments(ranking, assignment, answer.vocabulary, config)


def _named(prediction: MaskPrediction, names: Mapping[int, int], iou_scores: Float[Tensor, "1 Q"]) -> MaskPrediction:
    sure = {(0, query): name for query, name in names.items()}
    return certain(prediction.mask_logits, sure, iou_scores, prediction.num_concepts)


def _choose(matched: MatchedImage, names: Mapping[int, int]) -> dict[int, int]:
    """For each true segment that a named proposal matches, the best of these: rightly named first, then by IoU."""
    best: dict[int, tuple[bool, float, int]] = {}
    for query, name in names.items():
        place = matched.matched[query]
        if place is not None:
            merit = (name == matched.true_name(place), float(matched.iou[query, place]), -query)
            best[place] = max(best.get(place, merit), merit)
    return {place: -merit[2] for place, merit in best.items()}


def _awarded(matched: MatchedImage, ranking: Ranking, assignment: PixelAssignment) -> PixelAssignment:
    """The assignment after each chosen proposal got its segment's pixels inside its mask."""
    named = zip(ranking.queries, ranking.class_ids, strict=True)
    chosen = _choose(matched, {q: name for q, name in named if name < matched.answer.prediction.num_concepts})
    codes = assignment.codes.copy()
    for place, query in chosen.items():
        codes[(matched.places == place + 1) & matched.mask(query)] = code_of(ranking.queries.index(query))
    found = PixelAssignment.of(codes, assignment.areas)
    spared = set(chosen.values())
    areas = [w if q in spared else a for q, w, a in zip(ranking.queries, found.won(), found.areas, strict=True)]
    return replace(found, areas=areas)

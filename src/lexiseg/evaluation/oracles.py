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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.frames import Frame
from lexiseg.core.structures import MaskPrediction, MaskProposals, PanopticMap
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Segmentation, SegmentInfo
from lexiseg.data.id_maps import VOID, compact
from lexiseg.data.samples.transforms import MASK_STRIDE
from lexiseg.evaluation.upper_bounds import SURE
from lexiseg.models.postprocess.panoptic import (
    MergeConfig,
    PixelAssignment,
    Ranking,
    assign_pixels,
    mask_probs_of,
    merge_segments,
    rank_proposals,
)

Oracle = Literal["filter", "classes", "merge", "masks"]
ORACLES: tuple[Oracle, ...] = get_args(Oracle)
Oracles = tuple[Oracle, ...]
"""Parts that the truth does, in the order of `ORACLES`; none is the model as it is."""

LADDER: tuple[Oracles, ...] = tuple(ORACLES[:count] for count in range(len(ORACLES) + 1))
ALONE: tuple[Oracles, ...] = tuple((oracle,) for oracle in ORACLES)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MatchedImage:
    """One picture's answer held against its truth."""

    prediction: MaskPrediction
    """Of this picture alone."""
    frame: Frame
    truth: Segmentation
    vocabulary: Vocabulary
    category_ids: tuple[int, ...]
    merge: MergeConfig
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
        height, width = self.frame.original
        return np.unpackbits(self.masks[query], count=height * width).view(np.bool_).reshape(height, width)

    def true_name(self, place: int) -> int:
        """The class id of a true segment."""
        return self.category_ids.index(self.segments[place].category_id)


def look(
    prediction: MaskPrediction,
    index: int,
    frame: Frame,
    truth: Segmentation,
    vocabulary: Vocabulary,
    category_ids: tuple[int, ...],
    merge: MergeConfig,
) -> MatchedImage:
    """Brings every mask of a picture to its size, once, and holds it against the truth.

    Args:
        prediction: a model's answer for a batch.
        index: which picture of the batch.
        frame: how that picture entered the batch.
        truth: its annotation.
        vocabulary: the asked concepts.
        category_ids: the category of each concept.
        merge: how masks are cut and compete.
    """
    segments = tuple(s for s in truth.segments if not s.is_crowd)
    # What is neither void nor one of the segments is crowd: it counts in the union and matches nothing.
    places = compact(truth.ids, [VOID, *(s.id for s in segments)])
    count = len(segments) + 2
    areas = np.bincount(places.ravel() + 1, minlength=count)[2:]
    masks: list[np.ndarray] = []
    iou = np.zeros((prediction.mask_logits.shape[1], len(segments)))
    matched: list[int | None] = []
    for query, mask_logits in enumerate(prediction.mask_logits[index]):
        mask = (mask_probs_of(mask_logits, frame) >= merge.mask_threshold).cpu().numpy()
        pixels = np.bincount(places[mask] + 1, minlength=count)
        shared = pixels[2:]
        union = pixels[0] + shared.sum() + areas - shared
        masks.append(np.packbits(mask))
        iou[query] = shared / np.maximum(union, 1)
        # In whole numbers: no rounding decides a match. Above one half it is unique.
        hits = np.flatnonzero(2 * shared > union)
        matched.append(int(hits[0]) if len(hits) else None)
    return MatchedImage(
        prediction=MaskPrediction(
            mask_logits=prediction.mask_logits[index : index + 1],
            class_logits=prediction.class_logits[index : index + 1],
            void_probs=prediction.void_probs[index : index + 1],
            iou_scores=prediction.iou_scores[index : index + 1],
            num_concepts=prediction.num_concepts,
        ),
        frame=frame,
        truth=truth,
        vocabulary=vocabulary,
        category_ids=category_ids,
        merge=merge,
        places=places,
        segments=segments,
        masks=tuple(masks),
        iou=iou,
        matched=tuple(matched),
        names=tuple(prediction.class_logits[index, :, : prediction.num_concepts].argmax(-1).tolist()),
    )


def answer(
    scene: MatchedImage, oracles: Oracles, names_of_truth: Sequence[int]
) -> tuple[Integer[np.ndarray, "H W"], list[SegmentInfo]]:
    """The map and the list of segments that come out when the truth does some of the parts.

    Args:
        scene: the answer and the truth.
        oracles: the parts.
        names_of_truth: the model's name for every true mask.
    """
    if "masks" in oracles:
        ids = np.where(scene.places > 0, scene.truth.ids, VOID)
        if "classes" in oracles:
            return ids, list(scene.segments)
        given = zip(scene.segments, names_of_truth, strict=True)
        return ids, [replace(s, category_id=scene.category_ids[name]) for s, name in given]
    found = _merged(scene, oracles)
    return found.segmentation, [
        SegmentInfo(id=s.id, category_id=scene.category_ids[s.class_id], area=s.area, box=s.box) for s in found.segments
    ]


def true_proposals(scene: MatchedImage, query_embed: Float[Tensor, "Q C"]) -> MaskProposals | None:
    """The true segments as if they were proposed, each with the query that overlaps it most; None without any."""
    if not scene.segments:
        return None
    shares: list[Tensor] = []
    for number in range(1, len(scene.segments) + 1):
        mask = torch.from_numpy(scene.places[None] == number).to(query_embed.device).float()
        shares.append(F.avg_pool2d(scene.frame.enter(mask).clamp(0, 1), MASK_STRIDE))
    queries = torch.from_numpy(scene.iou.argmax(0)).to(query_embed.device)
    # A cell belongs to a mask where more than half of it does; one without such a cell falls back on its shares.
    return MaskProposals(
        mask_logits=torch.cat(shares)[None].logit(1e-6).to(query_embed.dtype),
        query_embed=query_embed[queries][None],
    )


def _merged(scene: MatchedImage, oracles: Oracles) -> PanopticMap:
    """The map of the model's masks, with filter, classes and merge by truth where that is asked for."""
    is_true = "classes" in oracles
    names = {
        query: scene.true_name(place) if is_true else scene.names[query]
        for query, place in enumerate(scene.matched)
        if place is not None
    }
    prediction, config = scene.prediction, scene.merge
    if "filter" in oracles:
        chosen = _choose(scene, names).values()
        prediction = _sure(
            prediction, {query: names[query] for query in chosen}, torch.ones_like(prediction.void_probs)
        )
        config = replace(config, score_threshold=0.0)
    elif is_true:
        prediction = _sure(prediction, names, prediction.iou_scores)
    ranking = rank_proposals(prediction, 0, scene.vocabulary, config)
    assignment = assign_pixels(ranking, scene.frame, config.mask_threshold)
    if "merge" in oracles:
        assignment = _awarded(scene, ranking, assignment)
    return merge_segments(ranking, assignment, scene.vocabulary, config)


def _choose(scene: MatchedImage, names: Mapping[int, int]) -> dict[int, int]:
    """For each true segment that a named proposal matches, the best of these: rightly named first, then by IoU."""
    best: dict[int, tuple[bool, float, int]] = {}
    for query, name in names.items():
        place = scene.matched[query]
        if place is not None:
            merit = (name == scene.true_name(place), float(scene.iou[query, place]), -query)
            best[place] = max(best.get(place, merit), merit)
    return {place: -merit[2] for place, merit in best.items()}


def _sure(prediction: MaskPrediction, names: Mapping[int, int], iou_scores: Float[Tensor, "1 Q"]) -> MaskPrediction:
    """The same masks, where the named proposals are sure of their name and all others are void."""
    class_logits = iou_scores.new_zeros((*iou_scores.shape, prediction.num_concepts))
    void_probs = torch.ones_like(iou_scores)
    for query, name in names.items():
        class_logits[0, query, name] = SURE
        void_probs[0, query] = 0
    return MaskPrediction(
        mask_logits=prediction.mask_logits,
        class_logits=class_logits,
        void_probs=void_probs,
        iou_scores=iou_scores * (1 - void_probs),
        num_concepts=prediction.num_concepts,
    )


def _awarded(scene: MatchedImage, ranking: Ranking, assignment: PixelAssignment) -> PixelAssignment:
    """The contest after each chosen proposal got its segment's pixels inside its mask."""
    named = zip(ranking.queries, ranking.class_ids, strict=True)
    chosen = _choose(scene, {q: name for q, name in named if name < scene.prediction.num_concepts})
    winner = assignment.winner.cpu().numpy().copy()
    for place, query in chosen.items():
        winner[(scene.places == place + 1) & scene.mask(query)] = ranking.queries.index(query)
    won: list[int] = np.bincount(winner[winner >= 0], minlength=len(ranking.queries)).tolist()
    spared = set(chosen.values())
    areas = [w if q in spared else a for q, w, a in zip(ranking.queries, won, assignment.areas, strict=True)]
    return PixelAssignment(winner=torch.from_numpy(winner).to(assignment.winner.device), areas=areas, won=won)

"""The last step of a model: overlapping masks with scores become one answer per pixel.

The rules are those of the paper's code family (Mask2Former's panoptic inference), not those of
Hugging Face's post-processing: scores never enter the mask cut, pixels below the cut stay void,
every segment has its own id, and the padding of the canvas is cropped before anything is counted.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int32
from scipy import ndimage
from torch import Tensor

from lexiseg.core.frames import Frame
from lexiseg.core.structures import Guess, MaskPrediction, PanopticMap, Segment
from lexiseg.core.taxonomy import TaxonomyNode, taxonomy
from lexiseg.core.vocabulary import Vocabulary

RankBy = Literal["class", "iou", "product"]

SOFT_BUDGET = 2**25  # numbers of the soft rule in memory: 128 MiB of masks; 100 proposals of 640 x 480 are one block
SUMS_PART = 64  # sums take this part of them: what stays near the processor is twice as fast
NUM_GUESSES = 5  # names reported per segment, the number that the paper's figures show


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeConfig:
    """How proposals compete for pixels (OPSNet, section 3.4 and Table 7)."""

    rank_by: RankBy = "product"
    """Cls = (1 - p_void) max p; IoU = the predicted IoU; product = both multiplied."""
    score_threshold: float = 0.2
    """A proposal takes part only if its score is above this, in [0, 1].

    The 0.8 of closed-set models is too high for a product of two uncertain scores.
    """
    mask_threshold: float = 0.5
    """A pixel belongs to a mask if its mask probability is at least this, in [0, 1]."""
    overlap_threshold: float = 0.8
    """A mask that keeps less than this share of its own area is dropped, in [0, 1]."""

    def __post_init__(self) -> None:
        if self.rank_by not in get_args(RankBy):
            raise ValueError(f"rank_by must be one of {', '.join(get_args(RankBy))}, got {self.rank_by!r}.")
        for name in ("score_threshold", "mask_threshold", "overlap_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Instance:
    """One thing with its own mask; masks of different instances may overlap."""

    mask: np.ndarray
    """bool (H, W)."""
    class_id: int
    name: str
    score: float
    """The ranking score in [0, 1]."""
    box: tuple[int, int, int, int]
    """x, y, width, height in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """One picture's proposals above the score threshold, best first; a rank is a place in these lists."""

    mask_logits: Float[Tensor, "Q h w"]
    queries: list[int]
    class_ids: list[int]
    scores: list[float]
    class_scores: Float[Tensor, "M K"]
    """(1 - p_void) x p of every kept proposal, negatives included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Who won which pixel, in ranks of a `Ranking`."""

    winner: Int32[Tensor, "h0 w0"]
    """Rank of the proposal that holds the pixel above its mask cut; -1 where none does."""
    areas: list[int]
    """Pixels of each whole mask above the cut."""
    won: list[int]
    """Those of them that the proposal also won."""


def panoptic_map(
    prediction: MaskPrediction,
    index: int,
    frame: Frame,
    vocabulary: Vocabulary,
    config: MergeConfig | None = None,
) -> PanopticMap:
    """Merges one picture's masks into a map in which every pixel has one segment or none.

    Proposals are filtered by score; each pixel goes to the largest score x mask probability;
    a mask keeps its pixels at or above the mask cut and is dropped if others won too many of them;
    stuff of one class is merged. Proposals that carry a negative name compete and end as void.

    Only one mask at a time is brought to the picture's size, so memory is O(H x W) whatever Q is.

    Args:
        prediction: a model's answer for a batch.
        index: which picture of the batch.
        frame: how that picture entered the batch.
        vocabulary: the asked concepts, one per asked column of `prediction.class_logits`.
        config: the rules; the paper's by default.

    Returns:
        The map at the picture's own size, ids 1, 2, ... by falling score; it may have no segment.
    """
    config = config or MergeConfig()
    ranking = rank_proposals(prediction, index, vocabulary, config)
    return settle(ranking, compete(ranking, frame, config.mask_threshold), vocabulary, config)


def settle(ranking: Ranking, contest: Contest, vocabulary: Vocabulary, config: MergeConfig) -> PanopticMap:
    """The last step of `panoptic_map`: drops masks that lost too much, joins stuff of one class, numbers the rest.

    Args:
        ranking: the proposals that took part.
        contest: what each of them won.
        vocabulary: the asked concepts.
        config: the overlap rule.
    """
    num_concepts = len(vocabulary.concepts)
    ids = [0] * len(ranking.queries)  # 0 is void: dropped proposals and negatives stay there
    heads: list[int] = []  # the best proposal of each segment
    id_of_stuff: dict[int, int] = {}
    for rank, class_id in enumerate(ranking.class_ids):
        if class_id >= num_concepts or contest.won[rank] == 0:
            continue
        if contest.won[rank] / contest.areas[rank] < config.overlap_threshold:
            continue
        if class_id in id_of_stuff:
            ids[rank] = id_of_stuff[class_id]
            continue
        heads.append(rank)
        ids[rank] = len(heads)
        if not vocabulary.concepts[class_id].is_thing:
            id_of_stuff[class_id] = ids[rank]

    table = torch.tensor([*ids, 0], dtype=torch.int32, device=contest.winner.device)  # -1 reads the last
    segmentation = table[contest.winner.long()].cpu().numpy()
    segments = _describe(segmentation, heads, ranking, num_concepts, vocabulary)
    return PanopticMap(segmentation=segmentation, segments=segments)


def semantic_map(panoptic: PanopticMap, num_concepts: int, *, void: int = -1) -> Int32[np.ndarray, "H W"]:
    """Merges a panoptic map by category, the paper's way to semantic results (METHOD A.7).

    Args:
        panoptic: the map.
        num_concepts: concepts in the vocabulary.
        void: the value of pixels without a segment: -1, or 255 for files of fewer classes.

    Returns:
        Class ids, `void` where there is none.

    Raises:
        ValueError: if `void` is itself a class id, or a segment's class is not in the vocabulary.
    """
    if 0 <= void < num_concepts:
        raise ValueError(f"void must not be one of the {num_concepts} class ids, got {void}; use -1.")
    table = np.full(1 + max((s.id for s in panoptic.segments), default=0), void, dtype=np.int32)
    for segment in panoptic.segments:
        if not 0 <= segment.class_id < num_concepts:
            raise ValueError(
                f"Segment {segment.id} has class {segment.class_id}, but the vocabulary has "
                f"{num_concepts} concepts; pass the vocabulary that made the map."
            )
        table[segment.id] = segment.class_id
    return table[panoptic.segmentation]


def soft_semantic_map(
    prediction: MaskPrediction, index: int, frame: Frame, *, budget: int = SOFT_BUDGET
) -> Int32[np.ndarray, "h0 w0"]:
    """Gives each pixel the class of the largest sum over proposals of class score x mask probability (OVSeg).

    y_k(h, w) = sum_i q_ik m_i(h, w), where q is the softmax over concepts and negatives times (1 - p_void) and m the
    soft mask at the picture's own size. Nothing is filtered, and every pixel gets an asked class, the first one where
    all sums are zero. A `pixel_bias` is taken from the
    sums (ZegFormer's calibrated stacking).

    Rows and pixels are taken in blocks, so memory does not grow with concepts times pixels. Sums are formed in
    float64 and compared in float32, so neither the blocks nor the order in which a library adds decides a tie.

    Args:
        prediction: a model's answer for a batch.
        index: which picture of the batch.
        frame: how that picture entered the batch.
        budget: numbers that may be in memory at once, of the masks and of the sums; smaller is slower.

    Returns:
        Class ids.

    Raises:
        ValueError: if no concept was asked for, or `budget` is not positive.
    """
    num_concepts = prediction.num_concepts
    if num_concepts < 1 or budget < 1:
        raise ValueError(
            f"the soft rule needs one concept or more and a positive budget, got {num_concepts} and {budget}."
        )
    # Apple's GPUs know no float64.
    device = torch.device("cpu") if prediction.mask_logits.device.type == "mps" else prediction.mask_logits.device
    class_probs = prediction.class_logits[index].float().softmax(-1)[:, :num_concepts]
    scores = (class_probs * (1 - prediction.void_probs[index].float())[:, None]).to(device, torch.float64)  # Q K
    bias = scores.new_zeros(num_concepts)
    if prediction.pixel_bias is not None:
        bias += prediction.pixel_bias[:num_concepts].to(bias)
    height, width = frame.original
    rows = max(1, budget // max(1, width * len(scores)))
    pixels = max(1, budget // SUMS_PART // num_concepts)
    labels = torch.empty(frame.original, dtype=torch.int32, device=device)
    for top in range(0, height, rows):
        # Where the masks do not fit, they are resized once per block: a cut before resizing would change digits.
        masks = torch.empty(len(scores), min(rows, height - top), width, device=device)
        for mask, mask_logits in zip(masks, prediction.mask_logits[index], strict=True):
            mask.copy_(mask_probs_of(mask_logits, frame)[top : top + rows])
        flat = masks.flatten(1)
        best = [
            (flat[:, start : start + pixels].T.to(torch.float64) @ scores - bias).float().argmax(-1)
            for start in range(0, flat.shape[1], pixels)
        ]
        labels[top : top + rows] = torch.cat(best).view(-1, width)
    return labels.cpu().numpy()


def instances(
    prediction: MaskPrediction,
    index: int,
    frame: Frame,
    vocabulary: Vocabulary,
    config: MergeConfig | None = None,
    *,
    limit: int = 100,
) -> tuple[Instance, ...]:
    """Returns one picture's things, each with its whole mask, best first.

    Nothing competes for pixels here: the overlap rule does not apply, and empty masks are left out.

    Args:
        prediction: a model's answer for a batch.
        index: which picture of the batch.
        frame: how that picture entered the batch.
        vocabulary: the asked concepts.
        config: ranking, score threshold and mask cut.
        limit: the largest number of instances.
    """
    config = config or MergeConfig()
    ranking = rank_proposals(prediction, index, vocabulary, config)
    found: list[Instance] = []
    for query, class_id, score in zip(ranking.queries, ranking.class_ids, ranking.scores, strict=True):
        if len(found) == limit:
            break
        if class_id >= prediction.num_concepts or not vocabulary.concepts[class_id].is_thing:
            continue
        mask = (mask_probs_of(ranking.mask_logits[query], frame) >= config.mask_threshold).cpu()
        pixels = mask.numpy()
        if not pixels.any():
            continue
        box = _box(ndimage.find_objects(pixels.view(np.uint8))[0])
        name = vocabulary.concepts[class_id].name
        found.append(Instance(mask=pixels, class_id=class_id, name=name, score=score, box=box))
    return tuple(found)


def descend(
    class_probs: Float[Tensor, " K"], vocabulary: Vocabulary, root: TaxonomyNode | None = None
) -> tuple[Guess, ...]:
    """Walks down the taxonomy: at each node to the likeliest child, until a concept is reached.

    A node's probability is the SUM over the concepts below it, because concepts exclude each
    other and a node is their union: steps are then true conditional probabilities, whose product
    is the concept's own. (With the maximum, the walk could only repeat the best concept's
    ancestors.) It may thus end elsewhere than at the best single concept: a cat, a dog and an owl
    at 0.2 each make an animal, although "truck" alone has 0.3.

    Args:
        class_probs: of the asked concepts, not negative; any common factor cancels.
        vocabulary: the concepts.
        root: their taxonomy, where the caller has it already.

    Returns:
        The path, root first, each step with its probability among its siblings; empty if no
        concept has a place in a taxonomy.
    """
    node = root or taxonomy(vocabulary)
    if not node.children:
        return ()
    probs = class_probs.tolist()
    steps: list[Guess] = []
    while True:
        branches = [(sum(probs[i] for i in child.concept_ids), child) for child in node.children]
        leaves = [(probs[i], vocabulary.concepts[i].name) for i in node.leaves]
        total = sum(mass for mass, _ in branches) + sum(mass for mass, _ in leaves)
        if total <= 0:
            return tuple(steps)
        branch = max(branches, key=lambda option: option[0], default=None)
        leaf = max(leaves, key=lambda option: option[0], default=None)
        if branch is None or (leaf is not None and leaf[0] > branch[0]):
            assert leaf is not None, "a node has children or leaves"
            return (*steps, Guess(name=leaf[1], score=leaf[0] / total))
        node = branch[1]
        steps.append(Guess(name=node.name, score=branch[0] / total))


def rank_proposals(prediction: MaskPrediction, index: int, vocabulary: Vocabulary, config: MergeConfig) -> Ranking:
    """Scores the proposals (METHOD A.5) and keeps those above the threshold, best first.

    An IoU of exactly 0 marks a mask without a pixel, which has no part in a map whatever ranks it.
    """
    if len(vocabulary.concepts) != prediction.num_concepts:
        raise ValueError(
            f"The prediction was made for {prediction.num_concepts} concepts, but the vocabulary "
            f"has {len(vocabulary.concepts)}; pass the vocabulary that the model was asked with."
        )
    class_probs = prediction.class_logits[index].float().softmax(-1)  # Q K
    best_probs, class_ids = class_probs.max(-1)
    not_void = 1 - prediction.void_probs[index].float()
    iou_scores = prediction.iou_scores[index].float()
    scores = {
        "class": not_void * best_probs,
        "iou": iou_scores,
        "product": not_void * best_probs * iou_scores,
    }[config.rank_by]
    order = scores.argsort(descending=True, stable=True)
    order = order[(scores[order] > config.score_threshold) & (iou_scores[order] > 0)]
    return Ranking(
        mask_logits=prediction.mask_logits[index],
        queries=order.tolist(),
        class_ids=class_ids[order].tolist(),
        scores=scores[order].tolist(),
        class_scores=class_probs[order] * not_void[order, None],
    )


def mask_probs_of(mask_logits: Float[Tensor, "h w"], frame: Frame) -> Float[Tensor, "h0 w0"]:
    """Brings one mask to the picture: first resized, then squashed, as the paper's code does."""
    return frame.leave(mask_logits.float()[None])[0].sigmoid()


def compete(ranking: Ranking, frame: Frame, mask_threshold: float, *, is_hard: bool = False) -> Contest:
    """Gives each pixel to the largest score x mask probability, one mask at a time.

    Args:
        ranking: the proposals that take part.
        frame: how the picture entered the batch.
        mask_threshold: what a mask probability must reach for its pixel to belong to the mask.
        is_hard: counts mask probabilities as ones and zeros.
    """
    device = ranking.mask_logits.device
    best = torch.zeros(frame.original, device=device)
    winner = torch.full(frame.original, -1, dtype=torch.int32, device=device)
    areas: list[int] = []
    for rank, (query, score) in enumerate(zip(ranking.queries, ranking.scores, strict=True)):
        mask_probs = mask_probs_of(ranking.mask_logits[query], frame)
        inside = mask_probs >= mask_threshold
        areas.append(int(inside.count_nonzero()))
        weighted = (inside if is_hard else mask_probs) * score
        better = weighted > best  # strict: of equals, the better ranked keeps the pixel
        best = torch.where(better, weighted, best)
        # A pixel won below the cut belongs to nobody: it is lost for the masks it was taken from.
        held = torch.where(inside, rank, -1).to(torch.int32)
        winner = torch.where(better, held, winner)
    counts = torch.bincount(winner[winner >= 0], minlength=len(areas)).tolist()
    return Contest(winner=winner, areas=areas, won=counts)


def _describe(
    segmentation: Int32[np.ndarray, "H W"],
    heads: list[int],
    ranking: Ranking,
    num_concepts: int,
    vocabulary: Vocabulary,
) -> tuple[Segment, ...]:
    """Makes the list that goes with the map; `heads[id - 1]` is the best proposal of a segment."""
    areas = np.bincount(segmentation.ravel(), minlength=len(heads) + 1).tolist()
    places = ndimage.find_objects(segmentation, max_label=len(heads))
    root = taxonomy(vocabulary)
    segments: list[Segment] = []
    for segment_id, rank in enumerate(heads, start=1):
        class_scores = ranking.class_scores[rank, :num_concepts]
        class_id = ranking.class_ids[rank]
        concept = vocabulary.concepts[class_id]
        segments.append(
            Segment(
                id=segment_id,
                class_id=class_id,
                name=concept.name,
                score=min(1.0, ranking.scores[rank]),
                is_thing=concept.is_thing,
                area=areas[segment_id],
                box=_box(places[segment_id - 1]),
                guesses=_guesses(class_scores, class_id, vocabulary),
                path=descend(class_scores, vocabulary, root),
            )
        )
    return tuple(segments)


def _guesses(class_scores: Float[Tensor, " K"], class_id: int, vocabulary: Vocabulary) -> tuple[Guess, ...]:
    """Returns the best names; the segment's own leads even where others tie with it."""
    best = class_scores.topk(min(NUM_GUESSES, len(class_scores))).indices.tolist()
    names = [class_id, *(other for other in best if other != class_id)][:NUM_GUESSES]
    return tuple(Guess(name=vocabulary.concepts[name].name, score=float(class_scores[name])) for name in names)


def _box(place: tuple[slice, ...]) -> tuple[int, int, int, int]:
    """Turns the slices of rows and columns into x, y, width, height."""
    rows, columns = place
    return columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start

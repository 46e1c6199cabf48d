"""What better parts could give: predicted masks with perfect names, and perfect masks with CLIP's names."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.frames import Frame
from lexiseg.core.pool import ProgressCallback
from lexiseg.core.structures import MaskPrediction, MaskProposals
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Annotation, Dataset
from lexiseg.data.id_maps import compact
from lexiseg.data.samples.transforms import MASK_STRIDE
from lexiseg.evaluation.loading import AnnotatedBatch, Skipped
from lexiseg.evaluation.metrics.panoptic_quality import mask_overlaps
from lexiseg.evaluation.metrics.sizes import LIMITS, size_of
from lexiseg.evaluation.plan import EvaluationPlan, inference, plan_evaluation, planned_batches
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.layers.modulation import class_cosines
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.models.crops import mask_probs_on
from lexiseg.models.opsnet import EncodedRegions, OPSNet

GroupSize = Literal["all", "small", "medium", "large"]
SURE = 100.0  # a logit beside zeros whose probability is 1 in float32


def name_perfectly(encoded: EncodedRegions, batch: AnnotatedBatch, plan: EvaluationPlan) -> MaskPrediction:
    """Oracle naming: the model's masks and predicted IoUs, with the names that the truth gives them.

    A proposal gets, with certainty, the class of the true segment that it overlaps with IoU > 0.5 (void taken off
    the union, crowds left out, as in the matching of panoptic quality); every other proposal is void with certainty.
    Score filter and merge then run as usual, so what is missing to 100 % is the masks' and the IoU head's doing.

    Args:
        encoded: the pictures of the batch.
        batch: the truth.
        plan: vocabulary and categories.
    """
    names: dict[tuple[int, int], int] = {}
    mask_logits = encoded.proposals.mask_logits
    for index, (frame, truth) in enumerate(zip(batch.images.frames, batch.annotations, strict=True)):
        true = truth.to_segmentation(plan.measure.categories)
        segments = tuple(s for s in true.segments if not s.is_crowd)
        # Half a probability is a logit of zero: the rule of the merge's mask cut.
        logits = (frame.leave(query.float()[None])[0] for query in mask_logits[index])
        pairs = mask_overlaps(true.ids, segments, ((one >= 0).cpu().numpy() for one in logits))
        for query, place in enumerate(pairs.matched()):
            if place is not None:
                names[index, query] = plan.category_ids.index(segments[place].category_id)
    return certain(mask_logits, names, encoded.iou_scores, len(plan.category_ids))


def certain(
    mask_logits: Float[Tensor, "B Q h w"],
    names: Mapping[tuple[int, int], int],
    iou_scores: Float[Tensor, "B Q"],
    num_concepts: int,
) -> MaskPrediction:
    """Masks that are sure of their names, or sure to be void.

    Args:
        mask_logits: the masks.
        names: class id by picture and query; all others are void, also where IoU alone ranks.
        iou_scores: predicted, in [0, 1].
        num_concepts: K.
    """
    class_logits = iou_scores.new_zeros((*iou_scores.shape, num_concepts))
    void_probs = torch.ones_like(iou_scores)
    for (index, query), name in names.items():
        class_logits[index, query, name] = SURE
        void_probs[index, query] = 0
    return MaskPrediction(
        mask_logits=mask_logits,
        class_logits=class_logits,
        void_probs=void_probs,
        iou_scores=iou_scores * (1 - void_probs),
        num_concepts=num_concepts,
    )


def enter_canvas(masks: Bool[Tensor, "N H W"], frame: Frame) -> Float[Tensor, "N h w"]:
    """True masks on the padded canvas: the share of each pixel that belongs to the mask."""
    return frame.enter(masks.float()).clamp(0, 1)


def as_proposed(canvas: Float[Tensor, "N h w"]) -> Float[Tensor, "1 N h2 w2"]:
    """True masks on the canvas as logits of the stride at which masks are proposed.

    A cell belongs to a mask where more than half of it does; a mask without such a cell falls back on its shares.
    """
    return F.avg_pool2d(canvas, MASK_STRIDE)[None].logit(1e-6)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrueClasses:
    """The classes of one picture, one mask each: the truth of semantic segmentation."""

    places: tuple[int, ...]
    """In the data set's categories, ascending: those that have a pixel."""
    inside: Bool[Tensor, "N H W"]
    """Their masks on the padded canvas: pixels of which more than half is theirs."""
    frame: Frame

    @staticmethod
    def of(labels: Int32[np.ndarray, "_ _"], frame: Frame, device: torch.device | str = "cpu") -> "TrueClasses":
        """Reads them off a map of places in the categories, in which -1 is ignored."""
        ids = torch.from_numpy(labels).to(device)
        places = tuple(place for place in ids.unique().tolist() if place >= 0)
        masks = [frame.enter((ids == place)[None].float()) > 0.5 for place in places]
        none = torch.zeros(0, *frame.padded, dtype=torch.bool, device=device)
        return TrueClasses(places=places, inside=torch.cat([none, *masks]), frame=frame)

    def proposals(self, model: OpenVocabularySegmenter, query_embed: Float[Tensor, "N C"]) -> MaskProposals:
        """The masks as if the model had proposed them: pixel by pixel where CLIP is shown crops, else at its stride."""
        exact = torch.where(self.inside, SURE, -SURE)[None]
        mask_logits = exact if model.encodes_crops else as_proposed(self.inside.float())
        return MaskProposals(mask_logits=mask_logits.to(query_embed), query_embed=query_embed[None])

    def ious(self, mask_logits: Float[Tensor, "Q h w"]) -> Float[Tensor, "Q N"]:
        """The IoU of every proposal, cut at one half, with every class, on the resized picture."""
        bottom, right = self.frame.resized
        truth = self.inside[:, :bottom, :right].flatten(1).float()
        found = torch.stack([mask_probs_on(one, self.frame) > 0.5 for one in mask_logits]).flatten(1).float()
        shared = found @ truth.T
        return shared / (found.sum(1)[:, None] + truth.sum(1) - shared).clamp(min=1)

    def naming(
        self, prediction: MaskPrediction, ious: Float[Tensor, "Q N"], class_ids: Sequence[int]
    ) -> MaskPrediction:
        """A picture's proposals, each surely of the class that it overlaps best; those that overlap none are void.

        Args:
            prediction: of this picture alone.
            ious: from `ious`.
            class_ids: the concept of every category.
        """
        best, nearest = (ious if self.places else ious.new_zeros(len(ious), 1)).max(1)
        names = {
            (0, query): class_ids[self.places[place]]
            for query, (iou, place) in enumerate(zip(best.tolist(), nearest.tolist(), strict=True))
            if iou > 0
        }
        return certain(prediction.mask_logits, names, prediction.iou_scores, prediction.num_concepts)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopOne:
    """How often true masks of one kind get the right name."""

    group: str
    """A group of names, or "all"."""
    is_thing: bool
    size: GroupSize
    correct: int
    count: int

    @property
    def accuracy(self) -> float:
        """The share of segments that are named rightly; 0 if there are none."""
        return self.correct / self.count if self.count else 0.0


def true_mask_top1(
    model: OPSNet,
    dataset: Dataset,
    vocabulary: Vocabulary,
    settings: EvaluationSettings | None = None,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    sizes: tuple[float, float] = LIMITS,
    report: ProgressCallback = lambda done, total: None,
) -> tuple[TopOne, ...]:
    """Names the true masks by mask-pooled CLIP alone: no query, no debiasing, no void.

    Shares are over segments, not over classes. Crowds are left out.

    Args:
        model: its CLIP, adapter and pooling are used.
        dataset: samples on disk.
        vocabulary: one concept per category, in any order.
        settings: limit, batch size, negatives and cache; modulation and merge have no meaning here.
        groups: names that are also reported on their own.
        sizes: a segment is small below the first and large from the second: the square root of its area in pixels
            of the network's input. COCO's thresholds if not given.
        report: called after every batch with the samples done and their number.

    Returns:
        One row for each group ("all" first), things and stuff, and size ("all" first).

    Raises:
        ValueError: if vocabulary, categories and groups do not fit one another, or no picture can be read.
    """
    settings = settings or EvaluationSettings()
    counts: Counter[tuple[str, bool, GroupSize]] = Counter()
    correct = counts.copy()
    with inference(model, settings.precision):
        plan = plan_evaluation(model, dataset, vocabulary, settings, groups)
        group_ids = {name: {c.id for c in categories} for name, categories in plan.groups.items()}
        group_ids = {"all": {c.id for c in dataset.categories}, **group_ids}
        is_thing = {c.id: c.is_thing for c in dataset.categories}
        skipped: list[Skipped] = []
        for batch in planned_batches(model, plan, settings, skipped, report):
            clip_map = model.clip_map(batch.images.to(plan.words.text_embed.device))
            for index, (frame, truth) in enumerate(zip(batch.images.frames, batch.annotations, strict=True)):
                named = _name_true_masks(model, plan, clip_map[index : index + 1], frame, truth)
                for category_id, is_right, side in named:
                    inside = [name for name, ids in group_ids.items() if category_id in ids]
                    for key in itertools.product(inside, (is_thing[category_id],), ("all", size_of(side, sizes))):
                        counts[key] += 1
                        correct[key] += is_right
    return tuple(
        TopOne(group=key[0], is_thing=key[1], size=key[2], correct=correct[key], count=counts[key])
        for key in itertools.product(group_ids, (True, False), get_args(GroupSize))
    )


def _name_true_masks(
    model: OPSNet, plan: EvaluationPlan, clip_map: Float[Tensor, "1 D gh gw"], frame: Frame, truth: Annotation
) -> list[tuple[int, bool, float]]:
    """For each true segment of a picture: its category, whether CLIP's first name is right, and its size in pixels."""
    true = truth.to_segmentation(plan.measure.categories)
    segments = [s for s in true.segments if not s.is_crowd]
    if not segments:
        return []
    places = compact(true.ids, [s.id for s in segments])
    canvas = enter_canvas(torch.from_numpy(places[None] == np.arange(len(segments))[:, None, None]), frame)
    proposals = MaskProposals(
        mask_logits=as_proposed(canvas).to(clip_map),
        query_embed=clip_map.new_zeros(1, len(segments), model.config.segmenter.hidden_dim),
    )
    embed = model.embed(proposals, clip_map).clip_embed
    words = plan.words
    guesses = class_cosines(embed, words)[0].argmax(-1).tolist()
    sides = canvas.sum((1, 2)).sqrt().tolist()
    names = (*plan.category_ids, *[None] * (len(words.similarity) - words.num_concepts))
    return [
        (s.category_id, names[g] == s.category_id, side) for s, g, side in zip(segments, guesses, sides, strict=True)
    ]

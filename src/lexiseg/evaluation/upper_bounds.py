"""What better parts could give: predicted masks with perfect names, and true masks as a model proposes its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.frames import Frame
from lexiseg.core.structures import MaskPrediction, MaskProposals
from lexiseg.data.samples.transforms import MASK_STRIDE
from lexiseg.evaluation.loading import AnnotatedBatch
from lexiseg.evaluation.metrics.panoptic_quality import Overlaps, mask_overlaps
from lexiseg.evaluation.plan import EvaluationPlan
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.models.crops import mask_probs_on
from lexiseg.models.opsnet import EncodedRegions
from lexiseg.models.postprocess.panoptic import mask_probs_of

SURE = 100.0  # a logit beside zeros whose probability is 1 in float32


def name_perfectly(encoded: EncodedRegions, found: Sequence[Overlaps], plan: EvaluationPlan) -> MaskPrediction:
    """Oracle naming: the model's masks and predicted IoUs, with the names that the truth gives them.

    A proposal gets, with certainty, the class of the true segment that it overlaps with IoU > 0.5 (void taken off
    the union, crowds left out, as in the matching of panoptic quality); every other proposal is void with certainty.
    Score filter and merge then run as usual, so what is missing to 100 % is the masks' and the IoU head's doing.

    Args:
        encoded: the pictures of the batch.
        found: their `true_overlaps`.
        plan: vocabulary and categories.
    """
    names: dict[tuple[int, int], int] = {}
    for index, one in enumerate(found):
        for query, place in enumerate(one.matched()):
            if place is not None:
                names[index, query] = plan.category_ids.index(one.truth[place].category_id)
    return certain(encoded.proposals.mask_logits, names, encoded.iou_scores, len(plan.category_ids))


def score_perfectly(prediction: MaskPrediction, found: Sequence[Overlaps]) -> MaskPrediction:
    """The model's names and masks, with true IoUs in place of the predicted ones.

    Args:
        prediction: what the model answers.
        found: the `true_overlaps` of its masks; a mask's IoU is the largest that it has with a true segment.
    """
    best = [one.iou()[1:, 1:].max(0, initial=0) for one in found]
    return replace(prediction, iou_scores=torch.from_numpy(np.stack(best)).to(prediction.iou_scores))


def true_overlaps(
    encoded: EncodedRegions, batch: AnnotatedBatch, plan: EvaluationPlan, mask_threshold: float
) -> list[Overlaps]:
    """How the masks of each picture lie over its true segments, crowds left out.

    Args:
        encoded: the pictures of the batch.
        batch: the truth.
        plan: its categories are counted.
        mask_threshold: where masks are cut, as in the merge; in [0, 1].
    """
    found: list[Overlaps] = []
    images = zip(encoded.proposals.mask_logits, batch.images.frames, batch.annotations, strict=True)
    for mask_logits, frame, truth in images:
        true = truth.to_segmentation(plan.measure.categories)
        segments = tuple(s for s in true.segments if not s.is_crowd)
        probs = (mask_probs_of(query, frame) for query in mask_logits)
        found.append(mask_overlaps(true.ids, segments, ((one >= mask_threshold).cpu().numpy() for one in probs)))
    return found


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
    return F.avg_pool2d(canvas[:, None], MASK_STRIDE)[None, :, 0].logit(1e-6)


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

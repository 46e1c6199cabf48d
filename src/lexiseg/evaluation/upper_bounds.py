"""What better parts could give: predicted masks with perfect names, and perfect masks with CLIP's names."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.frames import Frame
from lexiseg.core.pool import ProgressCallback
from lexiseg.core.structures import MaskPrediction, MaskProposals
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Dataset, Segmentation
from lexiseg.data.id_maps import VOID, compact
from lexiseg.data.samples.transforms import MASK_STRIDE
from lexiseg.evaluation.evaluator import EvaluationTask, inference, open_task, read_task
from lexiseg.evaluation.loading import Skipped, TruthBatch
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.layers.modulation import class_cosines
from lexiseg.models.opsnet import OPSNet

Size = Literal["all", "small", "medium", "large"]
SURE = 100.0  # a logit beside zeros whose probability is 1 in float32


def name_perfectly(
    proposals: MaskProposals, iou_scores: Float[Tensor, "B Q"], batch: TruthBatch, task: EvaluationTask
) -> MaskPrediction:
    """Oracle naming: the model's masks and predicted IoUs, with the names that the truth gives them.

    A proposal gets, with certainty, the class of the true segment that it overlaps with IoU > 0.5 (void taken off
    the union, crowds left out, as in the matching of panoptic quality); every other proposal is void with certainty.
    Score filter and merge then run as usual, so what is missing to 100 % is the masks' and the IoU head's doing.

    Args:
        proposals: of the batch.
        iou_scores: predicted, in [0, 1].
        batch: the truth.
        task: words and categories.
    """
    class_of = {category_id: index for index, category_id in enumerate(task.category_ids)}
    shape = proposals.mask_logits.shape[:2]
    class_logits = iou_scores.new_zeros((*shape, len(task.category_ids)))
    void_probs = torch.ones_like(iou_scores)
    for index, (frame, truth) in enumerate(zip(batch.images.frames, batch.truths, strict=True)):
        segmentation = truth.to_segmentation(task.measure.categories)
        for query, category_id in enumerate(_true_categories(proposals.mask_logits[index], frame, segmentation)):
            if category_id is not None:
                class_logits[index, query, class_of[category_id]] = SURE
                void_probs[index, query] = 0
    return MaskPrediction(
        mask_logits=proposals.mask_logits,
        class_logits=class_logits,
        void_probs=void_probs,
        iou_scores=iou_scores * (1 - void_probs),  # also ranking by IoU alone leaves void out
        num_concepts=len(task.category_ids),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TopOne:
    """How often true masks of one kind get the right name."""

    group: str
    """A group of names, or "all"."""
    is_thing: bool
    size: Size
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
    sizes: tuple[float, float] = (32.0, 96.0),
    report: ProgressCallback = lambda done, total: None,
) -> tuple[TopOne, ...]:
    """Names the true masks by mask-pooled CLIP alone: no query, no debiasing, no void.

    Shares are over segments, not over classes. Crowds are left out.

    Args:
        model: its CLIP, adapter and pooling are used.
        dataset: samples on disk.
        vocabulary: the words, one concept per category.
        settings: limit, batch size, negatives and cache; modulation and merge have no meaning here.
        groups: names that are also reported on their own.
        sizes: a segment is small below the first and large from the second: the square root of its area in pixels
            of the network's input. COCO's thresholds if not given.
        report: called after every batch with the samples done and their number.

    Returns:
        One row for each group ("all" first), things and stuff, and size ("all" first).

    Raises:
        ValueError: if words, categories and groups do not fit one another, or no picture can be read.
    """
    settings = settings or EvaluationSettings()
    counts: dict[tuple[str, bool, Size], list[int]] = {}
    with inference(model):
        task = open_task(model, dataset, vocabulary, settings, groups)
        group_ids = {name: {c.id for c in categories} for name, categories in task.groups.items()}
        group_ids = {"all": {c.id for c in dataset.categories}, **group_ids}
        is_thing = {c.id: c.is_thing for c in dataset.categories}
        skipped: list[Skipped] = []
        for batch in read_task(model, task, settings, skipped, report):
            clip_map = model.clip_map(batch.images.to(task.words.text_embed.device))
            for index, (frame, truth) in enumerate(zip(batch.images.frames, batch.truths, strict=True)):
                segmentation = truth.to_segmentation(dataset.categories)
                named = _name_true_masks(model, task, clip_map[index : index + 1], frame, segmentation)
                for category_id, is_right, side in named:
                    size: Size = "small" if side < sizes[0] else "medium" if side < sizes[1] else "large"
                    inside = [name for name, ids in group_ids.items() if category_id in ids]
                    for key in itertools.product(inside, ("all", size)):
                        tally = counts.setdefault((key[0], is_thing[category_id], key[1]), [0, 0])
                        tally[0] += is_right
                        tally[1] += 1
    every: tuple[Size, ...] = ("all", "small", "medium", "large")
    rows: list[TopOne] = []
    for group, kind, size in itertools.product(group_ids, (True, False), every):
        correct, count = counts.get((group, kind, size), (0, 0))
        rows.append(TopOne(group=group, is_thing=kind, size=size, correct=correct, count=count))
    return tuple(rows)


def _true_categories(mask_logits: Float[Tensor, "Q h w"], frame: Frame, truth: Segmentation) -> list[int | None]:
    """The category of the true segment that each mask matches; None where it matches none."""
    segments = truth.segments
    places = compact(truth.ids, [VOID, *(s.id for s in segments)])
    areas = np.bincount(places.ravel(), minlength=len(segments) + 1)
    found: list[int | None] = []
    for query in mask_logits:
        # Half a probability is a logit of zero: the rule of the merge's mask cut.
        mask = (frame.leave(query.float()[None])[0] >= 0).cpu().numpy()
        shared = np.bincount(places[mask], minlength=len(segments) + 1)
        union = shared[1:].sum() + areas[1:] - shared[1:]
        matches = [
            s.category_id for s, a, b in zip(segments, shared[1:], union, strict=True) if 2 * a > b and not s.is_crowd
        ]
        found.append(matches[0] if matches else None)  # above one half a match is unique
    return found


def _name_true_masks(
    model: OPSNet, task: EvaluationTask, clip_map: Float[Tensor, "1 D gh gw"], frame: Frame, truth: Segmentation
) -> list[tuple[int, bool, float]]:
    """For each true segment of a picture: its category, whether CLIP's first name is right, and its size in pixels."""
    segments = [s for s in truth.segments if not s.is_crowd]
    if not segments:
        return []
    places = compact(truth.ids, [s.id for s in segments])
    masks = torch.from_numpy(places[None] == np.arange(len(segments))[:, None, None]).float()
    canvas = frame.enter(masks).clamp(0, 1)
    shares = F.avg_pool2d(canvas, MASK_STRIDE)[None].to(clip_map)
    # A cell belongs to a mask where more than half of it does; a mask without such a cell falls back on its shares.
    proposals = MaskProposals(
        mask_logits=shares.logit(1e-6),
        query_embed=clip_map.new_zeros(1, len(segments), model.config.segmenter.hidden_dim),
    )
    embed = model.embed(proposals, clip_map).clip_embed
    words = task.words
    cosines = class_cosines(embed, words)
    guesses = cosines[0].argmax(-1).tolist()
    sides = canvas.sum((1, 2)).sqrt().tolist()
    names = (*task.category_ids, *[None] * (len(words.similarity) - words.num_concepts))
    return [
        (s.category_id, names[g] == s.category_id, side) for s, g, side in zip(segments, guesses, sides, strict=True)
    ]

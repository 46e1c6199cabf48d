"""True masks named by mask-pooled CLIP alone: what better masks could give."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lexiseg.core.frames import Frame
from lexiseg.core.pool import ProgressCallback
from lexiseg.core.structures import MaskProposals
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Annotation, Dataset
from lexiseg.data.id_maps import compact
from lexiseg.evaluation.loading import Skipped
from lexiseg.evaluation.metrics.sizes import LIMITS, size_of
from lexiseg.evaluation.plan import EvaluationPlan, inference, plan_evaluation, planned_batches
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.evaluation.upper_bounds import as_proposed, enter_canvas
from lexiseg.layers.modulation import class_cosines
from lexiseg.models.opsnet import OPSNet

GroupSize = Literal["all", "small", "medium", "large"]


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

"""The papers' ablations at the cost of one pass: regions are computed once, then every configuration is counted."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from lexiseg.core.pool import ProgressCallback
from lexiseg.core.structures import ImageBatch, MaskPrediction, MaskProposals
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import match_groups, match_vocabulary
from lexiseg.data.dataset import Annotation, Category, Dataset
from lexiseg.data.id_maps import compact
from lexiseg.evaluation.loading import AnnotatedBatch, Skipped
from lexiseg.evaluation.measure import Answer
from lexiseg.evaluation.measures import PanopticMeasure, SemanticMeasure
from lexiseg.evaluation.metrics.panoptic_quality import Overlaps, PanopticQuality, PanopticTally
from lexiseg.evaluation.metrics.semantic_quality import SemanticTally, over_classes
from lexiseg.evaluation.plan import EvaluationPlan, inference, plan_evaluation, planned_batches
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.evaluation.upper_bounds import (
    SURE,
    as_proposed,
    enter_canvas,
    name_perfectly,
    score_perfectly,
    true_overlaps,
)
from lexiseg.layers.modulation import CLIP_ONLY, QUERY_ONLY, ModulationConfig
from lexiseg.models.crops import crop_embed
from lexiseg.models.opsnet import EncodedRegions, OPSNet
from lexiseg.models.postprocess.panoptic import MergeConfig, RankBy

ClipRegions = Literal["pool", "crop", "mask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRow:
    """One configuration of the same parts."""

    name: str
    modulation: ModulationConfig = field(default_factory=ModulationConfig)
    merge: MergeConfig = field(default_factory=MergeConfig)
    clip_regions: ClipRegions = "pool"
    """How CLIP sees a region: mask pooling, its box with the background, or its box without."""
    clip_size: float = 1.0
    """At which share of its size CLIP sees the picture for mask pooling; less makes a CLIP weaker."""
    truth: Literal["names", "IoU", "masks"] | None = None
    """What comes from the truth: names, the best that these masks allow; IoUs, the best that could filter them; or
    masks, which CLIP alone names."""


COARSE = 2 / 3
"""A share of the size at which the drawn world's CLIP alone is a little worse than its queries, as the paper's is; by a
look at 60 pictures of test."""


def _ratio(k: float) -> ModulationConfig:
    """Query + k x CLIP, nothing else."""
    return ModulationConfig(clip_ratio=k, beta=0.0)


ORACLE = StudyRow(name="oracle naming", truth="names")
TRUE_MASKS = StudyRow(name="true masks, CLIP's names", merge=MergeConfig(rank_by="iou"), truth="masks")

TABLE_1 = (
    StudyRow(name="CLIP-only, Cls", modulation=CLIP_ONLY, merge=MergeConfig(rank_by="class")),
    StudyRow(name="CLIP-only, Cls.IoU", modulation=CLIP_ONLY),
    StudyRow(name="query-only, Cls", modulation=QUERY_ONLY, merge=MergeConfig(rank_by="class")),
    StudyRow(name="query-only, Cls.IoU", modulation=QUERY_ONLY),
    StudyRow(name="modulated, Cls.IoU"),
)
"""Embeddings with and without the mask filter; rows without the query enhancer need another training."""

TABLE_4 = (
    StudyRow(name="query-only", modulation=QUERY_ONLY),
    StudyRow(name="CLIP-only", modulation=CLIP_ONLY),
    *(StudyRow(name=f"query + {k:g} CLIP", modulation=_ratio(k)) for k in (0.5, 1.0, 2.0, 3.0, 4.0)),
    StudyRow(name="EF", modulation=ModulationConfig(beta=0.0)),
    StudyRow(name="EF + LD"),
)
"""Fixed ratios against modulation."""

TABLE_5 = (
    StudyRow(name="mask pooling", modulation=CLIP_ONLY),
    StudyRow(name="cropping", modulation=CLIP_ONLY, clip_regions="crop"),
    StudyRow(name="masking", modulation=CLIP_ONLY, clip_regions="mask"),
)
"""Ways in which CLIP may see a region; all ranked by Cls.IoU."""

TABLE_6 = tuple(
    StudyRow(
        name=f"{f'alpha {alpha:g}' if alpha else 'w/o EF'}, {f'beta {beta:g}' if beta else 'w/o LD'}",
        modulation=ModulationConfig(alpha=alpha, beta=beta),
    )
    for alpha in (0.0, 5.0, 10.0, 15.0)
    for beta in (0.0, 0.25, 0.5, 0.75, 1.0)
)
"""The grid of fusion weight and debiasing exponent."""

_EMBEDDINGS: tuple[tuple[str, ModulationConfig], ...] = (
    ("query", QUERY_ONLY),
    ("CLIP", CLIP_ONLY),
    ("query + 1 CLIP", _ratio(1.0)),
    ("modulated", ModulationConfig()),
)
_RANKINGS: tuple[tuple[str, RankBy], ...] = (("Cls", "class"), ("IoU", "iou"), ("Cls.IoU", "product"))

TABLE_7 = tuple(
    StudyRow(name=f"{name}, {shown}", modulation=modulation, merge=MergeConfig(rank_by=rank_by))
    for name, modulation in _EMBEDDINGS
    for shown, rank_by in _RANKINGS
)
"""What ranks and filters the masks. The paper's "modulated" block equals query + 1 CLIP; both are here."""

EXPERIMENTS = (
    StudyRow(name="coarse CLIP, CLIP-only", modulation=CLIP_ONLY, clip_size=COARSE),
    *(
        StudyRow(name=f"coarse CLIP, query + {k:g} CLIP", modulation=_ratio(k), clip_size=COARSE)
        for k in (0.5, 1.0, 2.0, 3.0, 4.0)
    ),
    StudyRow(name="coarse CLIP, EF", modulation=ModulationConfig(beta=0.0), clip_size=COARSE),
    StudyRow(name="coarse CLIP, EF + LD", clip_size=COARSE),
    StudyRow(name="EF + LD, beta 0.1", modulation=ModulationConfig(beta=0.1)),
    *(
        StudyRow(
            name=f"{name}, {shown.replace('IoU', 'true IoU')}",
            modulation=modulation,
            merge=MergeConfig(rank_by=rank_by),
            truth="IoU",
        )
        for name, modulation in _EMBEDDINGS[:2]
        for shown, rank_by in _RANKINGS[1:]
    ),
)
"""Not the paper's: what becomes of its orders where CLIP is weaker, names are debiased less, or IoUs are true."""

TABLES: Mapping[str, tuple[StudyRow, ...]] = {
    "1": TABLE_1,
    "4": TABLE_4,
    "5": TABLE_5,
    "6": TABLE_6,
    "7": TABLE_7,
    "experiments": EXPERIMENTS,
    "oracle": (ORACLE, TRUE_MASKS),
}


def at_thresholds(rows: Sequence[StudyRow], merge: MergeConfig) -> tuple[StudyRow, ...]:
    """The same rows with the thresholds of `merge`; each keeps what it ranks by."""
    return tuple(replace(row, merge=replace(merge, rank_by=row.merge.rank_by)) for row in rows)


@dataclass(frozen=True, slots=True)
class Counts:
    """What one row found in some pictures; counts add up."""

    panoptic: PanopticTally
    semantic: SemanticTally

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.panoptic + other.panoptic, self.semantic + other.semantic)

    def to_jsonable(self) -> list[Any]:
        """What JSON can hold."""
        return [self.panoptic.to_jsonable(), self.semantic.to_jsonable()]

    @staticmethod
    def from_jsonable(content: Sequence[Any]) -> "Counts":
        """The inverse of `to_jsonable`."""
        return Counts(PanopticTally.from_jsonable(content[0]), SemanticTally.from_jsonable(content[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """How pictures of a data set are counted, and what counts mean."""

    panoptic: PanopticMeasure
    semantic: SemanticMeasure
    groups: Mapping[str, tuple[Category, ...]]

    @staticmethod
    def of(dataset: Dataset, vocabulary: Vocabulary, groups: Mapping[str, Sequence[str]] | None = None) -> "Counting":
        """Counting of a data set's classes, and of groups of them by name."""
        match_vocabulary(dataset.categories, vocabulary)
        named = match_groups(groups or {}, dataset.categories)
        return Counting(panoptic=PanopticMeasure(dataset), semantic=SemanticMeasure(dataset), groups=named)

    def tally(self, answer: Answer, truth: Annotation) -> Counts:
        """The counts of one picture, both of its merged map."""
        return Counts(self.panoptic.tally(answer, truth), self.semantic.tally(answer, truth))

    def zero(self) -> Counts:
        """Of no picture."""
        return Counts(self.panoptic.zero(), self.semantic.zero())

    def figures(self, counts: Counts) -> dict[str, float]:
        """Every figure in percent: "PQ", "SQ", "PQ things", "mIoU", "PQ unseen" ..."""
        quality = self.panoptic.summarise(counts.panoptic, self.panoptic.categories)
        semantic = self.semantic.summarise(counts.semantic, self.semantic.categories)
        found = {"PQ": quality.all.pq, "SQ": quality.all.sq, "RQ": quality.all.rq}
        found |= {"PQ things": quality.things.pq, "PQ stuff": quality.stuff.pq, "mIoU": semantic.miou}
        for name, categories in self.groups.items():
            found[f"PQ {name}"] = self.panoptic.summarise(counts.panoptic, categories).all.pq
            found[f"mIoU {name}"] = over_classes(semantic, categories).miou
        return {name: 100 * value for name, value in found.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """What one row found."""

    row: StudyRow
    counts: Counts
    counting: Counting

    @property
    def quality(self) -> PanopticQuality:
        """PQ and its parts, as fractions."""
        return self.counting.panoptic.summarise(self.counts.panoptic, self.counting.panoptic.categories)

    @property
    def groups(self) -> Mapping[str, PanopticQuality]:
        """The same over groups of classes."""
        return {
            name: self.counting.panoptic.summarise(self.counts.panoptic, categories)
            for name, categories in self.counting.groups.items()
        }

    def figures(self) -> dict[str, float]:
        """Every figure in percent."""
        return self.counting.figures(self.counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What one pass over a data set found."""

    results: tuple[StudyResult, ...]
    """One for each row that was asked for, in the same order."""
    num_pictures: int
    unreadable: tuple[Skipped, ...]
    domain_similarity: float
    """s between the vocabulary and the training vocabulary: alpha (1 - s) is the ratio that was used."""


def study(
    model: OPSNet,
    dataset: Dataset,
    vocabulary: Vocabulary,
    rows: Sequence[StudyRow],
    settings: EvaluationSettings | None = None,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    report: ProgressCallback = lambda done, total: None,
) -> Study:
    """Counts many configurations in one pass, panoptic and semantic.

    Proposals and regions are computed once per picture, crops only if a row wants them, and rows that differ in
    nothing but their name are counted once. A semantic map is the panoptic one merged by class (section 4.2).

    Args:
        model: answers in eval mode; its modes are restored afterwards.
        dataset: samples on disk with panoptic or semantic annotations; of the latter, things of a class are one.
        vocabulary: one concept per category, in any order.
        rows: the configurations.
        settings: limit, batch size, negatives and cache; modulation and merge are the rows' own.
        groups: names of categories whose figures are also wanted on their own.
        report: called after every batch with the samples done and their number.

    Raises:
        ValueError: if there is no row, `settings` names a modulation or merge, vocabulary, categories and groups do not
            fit one another, or no picture can be read.
    """
    settings = settings or EvaluationSettings()
    if not rows or settings.fusion is not None or settings.merge is not None:
        raise ValueError(
            "a study needs rows, and takes modulation and merge from them: leave both out of the settings."
        )
    skipped: list[Skipped] = []
    read = 0
    with inference(model):
        counting = Counting.of(dataset, vocabulary, groups)
        plan = replace(plan_evaluation(model, dataset, vocabulary, settings), measure=counting.panoptic)
        counts = {replace(row, name=""): counting.zero() for row in rows}
        for read_batch in planned_batches(model, plan, settings, skipped, report):
            batch = replace(read_batch, images=read_batch.images.to(plan.words.text_embed.device))
            encoded = _encoded(model, batch.images, {(key.clip_regions, key.clip_size) for key in counts})
            found = cache(partial(true_overlaps, encoded["pool", 1.0], batch, plan))  # all rows have the same masks
            answers: dict[StudyRow, MaskPrediction] = {}  # rows that only merge differently share one
            for key in counts:
                shared = replace(key, merge=MergeConfig(mask_threshold=key.merge.mask_threshold))
                if shared not in answers:
                    regions = encoded[key.clip_regions, key.clip_size]
                    answers[shared] = _answer(model, regions, key, batch, plan, found)
                for answer, truth in plan.answers(answers[shared], key.merge, batch):
                    counts[key] += counting.tally(answer, truth)
            read += len(batch.annotations)
    results = tuple(StudyResult(row=row, counts=counts[replace(row, name="")], counting=counting) for row in rows)
    return Study(
        results=results,
        num_pictures=read,
        unreadable=tuple(skipped),
        domain_similarity=plan.words.domain_similarity,
    )


def _answer(
    model: OPSNet,
    encoded: EncodedRegions,
    row: StudyRow,
    batch: AnnotatedBatch,
    plan: EvaluationPlan,
    found: Callable[[float], Sequence[Overlaps]],
) -> MaskPrediction:
    """What the model says in a row, with what comes from the truth; `found` has its overlaps by the mask threshold."""
    if row.truth == "names":
        return name_perfectly(encoded, found(row.merge.mask_threshold), plan)
    if row.truth == "masks":
        return name_true_masks(model, batch, plan)
    answer = model.predict(encoded, plan.words, row.modulation)
    if row.truth == "IoU":
        return score_perfectly(answer, found(row.merge.mask_threshold))
    return answer


def name_true_masks(model: OPSNet, batch: AnnotatedBatch, plan: EvaluationPlan) -> MaskPrediction:
    """The true segments as if they were proposed, named by mask-pooled CLIP alone: no query, no void.

    Args:
        model: its CLIP and adapter are used.
        batch: on the model's device; crowds are left out.
        plan: vocabulary and categories.
    """
    proposed: list[Float[Tensor, "N h w"]] = []
    for frame, truth in zip(batch.images.frames, batch.annotations, strict=True):
        true = truth.to_segmentation(plan.measure.categories)
        listed = [s.id for s in true.segments if not s.is_crowd]
        masks = torch.from_numpy(compact(true.ids, listed)[None] == np.arange(len(listed))[:, None, None])
        proposed.append(as_proposed(enter_canvas(masks, frame))[0])
    clip_map = model.clip_map(batch.images)
    mask_logits = pad_sequence(proposed, batch_first=True, padding_value=-SURE).to(clip_map)
    mask_logits = F.pad(mask_logits, (0, 0, 0, 0, 0, 1), value=-SURE)  # so that there is one in any case
    is_there = (mask_logits > -SURE).flatten(2).any(-1)
    query_embed = clip_map.new_zeros(*mask_logits.shape[:2], model.config.segmenter.hidden_dim)
    proposals = MaskProposals(mask_logits=mask_logits, query_embed=query_embed)
    regions = model.embed(proposals, clip_map)
    # An IoU of 0 drops what pads the shorter lists.
    encoded = EncodedRegions(proposals=proposals, regions=regions, iou_scores=is_there.to(clip_map))
    return model.predict(encoded, plan.words, CLIP_ONLY)


def _encoded(
    model: OPSNet, images: ImageBatch, kinds: set[tuple[ClipRegions, float]]
) -> dict[tuple[ClipRegions, float], EncodedRegions]:
    """The pictures with each wanted kind of CLIP regions, by how and at which size it sees; all else is the same."""
    pooled = model.encode(images)
    encoded: dict[tuple[ClipRegions, float], EncodedRegions] = {("pool", 1.0): pooled}
    for regions, size in kinds - encoded.keys():
        if regions == "pool":
            weaker = copy.copy(model)
            weaker.config = replace(model.config, clip_scale=model.config.clip_scale * size)
            embed = weaker.embed(pooled.proposals, weaker.clip_map(images)).clip_embed
        else:
            embed = crop_embed(model.clip, images, pooled.proposals.mask_logits, keep_background=regions == "crop")
        encoded[regions, size] = replace(pooled, regions=replace(pooled.regions, clip_embed=embed))
    return encoded

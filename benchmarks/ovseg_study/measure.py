"""The figures of one CLIP: many configurations in one pass, chosen on val and measured on test.

Proposals are made once for a picture, and crops once for every way of cutting them: rows that differ in lambda share
them. All maps are soft semantic maps, as in OVSeg.
"""

import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lexiseg.core.frames import Frame
from lexiseg.core.structures import MaskPrediction, MaskProposals
from lexiseg.data.dataset import Dataset
from lexiseg.evaluation.loading import AnnotatedBatch
from lexiseg.evaluation.metrics.semantic_quality import SemanticQuality
from lexiseg.evaluation.plan import EvaluationPlan, inference, plan_evaluation, planned_batches
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.layers.ensemble import CLIP_BRANCH_ONLY, EnsembleConfig
from lexiseg.layers.modulation import class_cosines
from lexiseg.models.crops import RegionConfig, mask_probs_on
from lexiseg.models.ovseg import EncodedProposals, OVSeg
from lexiseg.storybook.roles import ALL, CONCEPTS, SEEN

UNSEEN = tuple(name for name in ALL.names if name not in SEEN)
"""Names that no mask of segmentation training carried."""
SURE = 100.0  # a logit beside zeros whose probability is 1 in float32
PAPER_SCALE = 100.0
"""Of the cosines of both branches (OVSeg, 3.1: temperature 0.01)."""
LEAST_IOU = 0.5
"""A true mask counts among the noisy ones if a proposal overlaps it so well; the best proposal stands for it."""

Masks = Literal["proposed", "true", "oracle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """One way of answering."""

    masks: Masks
    """"proposed": by MaskFormer; "true": the truth's, one per class; "oracle": MaskFormer's with the truth's names."""
    regions: RegionConfig
    ensemble: EnsembleConfig
    clip_logit_scale: float | None
    """Of CLIP's cosines; None is what CLIP learned."""

    def on(self, model: OVSeg) -> OVSeg:
        """The model with these settings; weights are shared."""
        changed = copy.copy(model)
        changed.config = replace(model.config, regions=self.regions, clip_logit_scale=self.clip_logit_scale)
        return changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table: the best on val of some ways of answering."""

    name: str
    masks: Masks = "proposed"
    regions: RegionConfig = field(default_factory=RegionConfig)
    ensembles: tuple[EnsembleConfig, ...] = (CLIP_BRANCH_ONLY,)
    thresholds: tuple[float, ...] = (0.4, 0.5)
    """Of mask probabilities; without a meaning for true masks and for a query alone, which have one."""
    clip_logit_scales: tuple[float | None, ...] = (PAPER_SCALE,)
    chosen_by: Literal["mIoU", "hIoU"] = "mIoU"

    def candidates(self) -> list[Answering]:
        """All that val chooses from."""
        return [
            Answering(
                masks=self.masks,
                regions=replace(self.regions, mask_threshold=threshold),
                ensemble=ensemble,
                clip_logit_scale=scale,
            )
            for scale in self.clip_logit_scales
            for threshold in self.thresholds
            for ensemble in self.ensembles
        ]


Figures = Mapping[str, float]
"""In percent, by name."""


def choose(model: OVSeg, val: Dataset, rows: Iterable[Row]) -> dict[str, Answering]:
    """The best candidate of every row; the first one among equals."""
    candidates = {row.name: row.candidates() for row in rows}
    figures, _ = count(model, val, [c for found in candidates.values() if len(found) > 1 for c in found])
    return {
        row.name: max(candidates[row.name], key=lambda c, by=row.chosen_by: figures[c][by] if c in figures else 0.0)
        for row in rows
    }


def count(
    model: OVSeg,
    dataset: Dataset,
    answerings: Iterable[Answering],
    views: Mapping[str, RegionConfig] | None = None,
) -> tuple[Mapping[Answering, Figures], Mapping[str, Figures]]:
    """Counts all at once.

    Args:
        model: with the CLIP that is asked.
        dataset: pictures of role semantic-only.
        answerings: whose semantic maps are held against the truth.
        views: ways of cutting out masks that CLIP alone is to name.

    Returns:
        mIoU, its parts and hIoU of every way of answering; and how often CLIP names a mask rightly. Masks are "clean"
        (the truth's, one per class) or "noisy" (the proposal that fits each true mask best). Keys are such as
        "clean, mask"; under each, groups of names, and "masks", how many there were.
    """
    wanted, views = sorted(set(answerings), key=repr), views or {}
    right: Counter[tuple[str, str]] = Counter()
    named: Counter[tuple[str, str]] = Counter()
    settings = EvaluationSettings(task="semantic", semantic_rule="soft", batch_size=1)
    with inference(model):
        plan = plan_evaluation(model, dataset, ALL, settings, {"unseen": UNSEEN})
        tallies = {answering: plan.measure.zero() for answering in wanted}
        for batch in planned_batches(model, plan, settings, [], lambda done, total: None):
            scene = Scene(model, plan, batch)
            for answering in wanted:
                tallies[answering] += plan.tally(scene.answer(answering), model.config.merge, batch)
            for view, regions in views.items():
                for kind, is_right, name in scene.guesses(regions):
                    for group in _groups_of(name):
                        named[f"{kind}, {view}", group] += 1
                        right[f"{kind}, {view}", group] += is_right
        figures = {answering: _percent(plan.summarise(tally)[0]) for answering, tally in tallies.items()}
    top_one: dict[str, dict[str, float]] = {}
    for (key, group), number in sorted(named.items()):
        top_one.setdefault(key, {"masks": named[key, "all"]})[group] = 100 * right[key, group] / number
    return figures, top_one


class Scene:
    """One picture; what several ways of answering have in common is computed once."""

    def __init__(self, model: OVSeg, plan: EvaluationPlan, batch: AnnotatedBatch) -> None:
        self._model, self._plan = model, plan
        self._images = batch.images
        (frame,), (truth,) = batch.images.frames, batch.annotations
        class_of = {category_id: index for index, category_id in enumerate(plan.category_ids)}
        ids = torch.from_numpy(truth.to_semantic(plan.measure.categories))
        places = [place for place in ids.unique().tolist() if place >= 0]
        self._classes = torch.tensor([class_of[plan.measure.categories[place].id] for place in places])
        inside = torch.cat([frame.enter((ids == place)[None].float()) for place in places]) > 0.5
        proposals = model.propose(self._images)
        self._masks = {
            "proposed": proposals,
            "true": MaskProposals(
                mask_logits=torch.where(inside, SURE, -SURE)[None],
                query_embed=proposals.query_embed.new_zeros(1, len(places), proposals.query_embed.shape[-1]),
            ),
        }
        self._encoded: dict[tuple[Masks, RegionConfig], EncodedProposals] = {}
        self._ious = _ious(proposals.mask_logits[0], inside, frame)

    def answer(self, answering: Answering) -> MaskPrediction:
        """The prediction of one way of answering."""
        if answering.masks == "oracle":
            return self._named_by_truth()
        encoded = self._encode(answering.masks, answering.regions)
        return answering.on(self._model).answer(encoded, self._plan.words, answering.ensemble)

    def guesses(self, regions: RegionConfig) -> Iterator[tuple[str, bool, str]]:
        """For every clean and noisy mask its kind, whether CLIP's first word is right, and the true word."""
        best, queries = self._ious.max(0)
        words, names = self._plan.words, self._plan.vocabulary.names
        kinds: tuple[tuple[str, Masks], ...] = (("clean", "true"), ("noisy", "proposed"))
        for kind, masks in kinds:
            every = torch.ones(self._masks[masks].mask_logits.shape[:2], dtype=torch.bool)
            embed, _ = self._encode(masks, regions).crops.embed(every)
            cosines = class_cosines(embed, words)
            found = cosines[0].argmax(-1)
            found = found if kind == "clean" else found[queries]
            for word, truth, iou in zip(found.tolist(), self._classes.tolist(), best.tolist(), strict=True):
                if kind == "clean" or iou >= LEAST_IOU:
                    yield kind, word == truth, names[truth]

    def _encode(self, masks: Masks, regions: RegionConfig) -> EncodedProposals:
        if (masks, regions) not in self._encoded:
            looking = Answering(
                masks=masks, regions=regions, ensemble=CLIP_BRANCH_ONLY, clip_logit_scale=PAPER_SCALE
            ).on(self._model)
            self._encoded[masks, regions] = looking.encode(self._images, self._masks[masks])
        return self._encoded[masks, regions]

    def _named_by_truth(self) -> MaskPrediction:
        """MaskFormer's masks, each with the true class that it overlaps best; those that overlap none are void."""
        best, places = self._ious.max(1)
        masks = self._masks["proposed"].mask_logits
        class_logits = masks.new_zeros(*masks.shape[:2], len(self._plan.category_ids))
        class_logits[0, torch.arange(len(places)), self._classes[places]] = SURE
        is_named = (best > 0).float()[None]
        return MaskPrediction(
            mask_logits=masks,
            class_logits=class_logits,
            void_probs=1 - is_named,
            iou_scores=is_named,
            num_concepts=len(self._plan.category_ids),
        )


def _ious(mask_logits: Float[Tensor, "Q h w"], inside: Bool[Tensor, "N H W"], frame: Frame) -> Float[Tensor, "Q N"]:
    """The IoU of every proposal, cut at one half, with every true mask, on the resized picture."""
    bottom, right = frame.resized
    truth = inside[:, :bottom, :right].flatten(1).float()
    found = torch.stack([mask_probs_on(logits, frame) > 0.5 for logits in mask_logits]).flatten(1).float()
    shared = found @ truth.T
    return shared / (found.sum(1)[:, None] + truth.sum(1) - shared).clamp(min=1)


def _groups_of(name: str) -> tuple[str, ...]:
    seen = "seen" if name in SEEN else "unseen"
    return "all", seen, f"{seen} {'things' if CONCEPTS[name].is_thing else 'stuff'}"


def _percent(quality: SemanticQuality) -> dict[str, float]:
    figures = {
        "mIoU": quality.miou,
        "mIoU seen": quality.miou_seen,
        "mIoU unseen": quality.miou_unseen,
        "hIoU": quality.hiou,
    }
    return {name: 100 * (value or 0.0) for name, value in figures.items()}

"""The figures of one CLIP: many ways of answering in one pass, chosen on val and measured on test.

Proposals are made once for a picture, and crops once for every way of cutting them: rows that differ in lambda share
them. All maps are soft semantic maps, as in OVSeg.
"""

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Int

from lexiseg.core.structures import MaskPrediction
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import places
from lexiseg.data.dataset import Dataset
from lexiseg.evaluation.loading import AnnotatedBatch
from lexiseg.evaluation.metrics.semantic_quality import harmonic_mean
from lexiseg.evaluation.plan import EvaluationPlan, inference, plan_evaluation, planned_batches
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.evaluation.upper_bounds import TrueClasses
from lexiseg.layers.ensemble import CLIP_BRANCH_ONLY, EnsembleConfig
from lexiseg.layers.modulation import class_cosines
from lexiseg.models.crops import RegionConfig
from lexiseg.models.ovseg import EncodedProposals, OVSeg

PAPER_SCALE = 100.0
"""Of the cosines of both branches (OVSeg, 3.1: temperature 0.01)."""
LEAST_IOU = 0.5
"""A true mask counts among the noisy ones if a proposal overlaps it so well; the best proposal stands for it."""

Masks = Literal["proposed", "true", "oracle"]
Kind = Literal["clean", "noisy"]
"""Of masks that are named: the truth's, one per class; or the proposal that fits each of these best."""


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

    @property
    def asks_clip(self) -> bool:
        """Whether an answer depends on CLIP's eyes; if not, every CLIP gives the same."""
        return not all(ensemble.is_query_only for ensemble in self.ensembles)

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


Groups = Mapping[str, Bool[np.ndarray, " K"]]
"""Classes by the name of their group."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counted:
    """What was counted over a data set; counts of blocks of pictures add up."""

    names: tuple[str, ...]
    """Of the classes."""
    is_seen: Bool[np.ndarray, " K"]
    """Whether a name of the class is in the training vocabulary, or the data set's split says so."""
    pixels: Mapping[Answering, tuple[Int[np.ndarray, "3 K"], ...]]
    """For every block of pictures hits, true and predicted pixels of each class."""
    named: Mapping[str, tuple[Int[np.ndarray, "2 K"], ...]]
    """By "clean, VIEW" and "noisy, VIEW": masks of each class that CLIP names rightly, and all."""


def groups_of(is_seen: Bool[np.ndarray, " K"]) -> Groups:
    """Seen and unseen classes; empty where all are one or the other."""
    return {"seen": is_seen, "unseen": ~is_seen} if 0 < is_seen.sum() < len(is_seen) else {}


def iou_figures(counts: Int[np.ndarray, "3 K"], groups: Groups) -> dict[str, float]:
    """MIoU by `semantic_quality`'s rule, that of each group, and the harmonic mean of seen and unseen; in percent."""
    hits, true, predicted = counts
    occurs = true + predicted > 0
    iou = np.where(true > 0, hits / np.maximum(true + predicted - hits, 1), 0.0)

    def mean(group: Bool[np.ndarray, " K"]) -> float:
        return float(iou[group].sum() / max(1, (occurs & group).sum()))

    figures = {"mIoU": 100 * mean(np.ones_like(occurs))}
    figures |= {f"mIoU {name}": 100 * mean(group) for name, group in groups.items()}
    if "seen" in groups:
        figures["hIoU"] = 100 * harmonic_mean(mean(groups["seen"]), mean(groups["unseen"]))
    return figures


def naming_figures(counts: Int[np.ndarray, "2 K"], groups: Groups) -> dict[str, float]:
    """The share of masks that CLIP names rightly, of all and of each group, in percent."""
    right, every = counts
    shares = {"named": (right.sum(), every.sum())}
    shares |= {f"named {name}": (right[group].sum(), every[group].sum()) for name, group in groups.items()}
    return {name: 100 * float(part) / max(1, int(whole)) for name, (part, whole) in shares.items()}


def choose(model: OVSeg, val: Dataset, vocabulary: Vocabulary, rows: Iterable[Row]) -> dict[str, Answering]:
    """The best candidate of every row by its name; the first one among equals."""
    rows = tuple(rows)
    candidates = {row.name: row.candidates() for row in rows}
    asked = [one for found in candidates.values() if len(found) > 1 for one in found]
    counted = tally_rows(model, val, vocabulary, asked)
    figures = {
        one: iou_figures(np.sum(blocks, axis=0), groups_of(counted.is_seen)) for one, blocks in counted.pixels.items()
    }

    def merit(row: Row, one: Answering) -> float:
        return figures[one].get(row.chosen_by, figures[one]["mIoU"]) if one in figures else 0.0

    return {row.name: max(candidates[row.name], key=lambda one, row=row: merit(row, one)) for row in rows}


def tally_rows(
    model: OVSeg,
    dataset: Dataset,
    vocabulary: Vocabulary,
    answerings: Iterable[Answering],
    views: Mapping[str, RegionConfig] | None = None,
    *,
    blocks: int = 1,
) -> Counted:
    """Counts all at once.

    Args:
        model: with the CLIP that is asked.
        dataset: pictures with semantic or panoptic truth.
        vocabulary: a concept for every category.
        answerings: whose semantic maps are held against the truth.
        views: ways of cutting out masks that CLIP alone is to name.
        blocks: of pictures in a row, counted apart; at most as many as there are pictures.
    """
    wanted, views = sorted(set(answerings), key=repr), views or {}
    settings = EvaluationSettings(task="semantic", semantic_rule="soft", batch_size=1)
    with inference(model):
        plan = plan_evaluation(model, dataset, vocabulary, settings)
        categories = plan.measure.categories
        number = len(plan.measure.samples)
        blocks = max(1, min(blocks, number))
        pixels = {one: [np.zeros((3, len(categories)), np.int64) for _ in range(blocks)] for one in wanted}
        keys = [f"{kind}, {view}" for kind in ("clean", "noisy") for view in views]
        named = {key: [np.zeros((2, len(categories)), np.int64) for _ in range(blocks)] for key in keys}
        for index, batch in enumerate(planned_batches(model, plan, settings, [], lambda done, total: None)):
            scene, block = Scene(model, plan, batch), index * blocks // number
            for one in wanted:
                confusion = plan.tally(scene.answer(one), model.config.merge, batch).confusion
                pixels[one][block] += np.stack([confusion.diagonal(), confusion.sum(1), confusion.sum(0)[:-1]])
            for view, regions in views.items():
                for kind, is_right, place in scene.guesses(regions):
                    named[f"{kind}, {view}"][block][:, place] += (is_right, 1)
    place_of = places(categories)
    is_seen = np.zeros(len(categories), bool)
    is_seen[[place_of[i] for i in plan.category_ids]] = plan.words.is_seen[: len(plan.category_ids)].cpu().numpy()
    names = tuple(category.name for category in categories)
    if dataset.unseen:
        is_seen = np.array([name not in dataset.unseen for name in names])
    return Counted(
        names=names,
        is_seen=is_seen,
        pixels={one: tuple(parts) for one, parts in pixels.items()},
        named={key: tuple(parts) for key, parts in named.items()},
    )


class Scene:
    """One picture; what several ways of answering have in common is computed once."""

    def __init__(self, model: OVSeg, plan: EvaluationPlan, batch: AnnotatedBatch) -> None:
        self._model, self._plan = model, plan
        self._images = batch.images.to(plan.words.text_embed.device)
        (frame,), (truth,) = batch.images.frames, batch.annotations
        self._class_of = plan.concept_of_place
        labels = truth.to_semantic(plan.measure.categories)
        self._true = TrueClasses.of(labels, frame, self._images.pixel_values.device)
        proposals = model.propose(self._images)
        nothing = proposals.query_embed.new_zeros(len(self._true.places), proposals.query_embed.shape[-1])
        self._masks = {"proposed": proposals, "true": self._true.proposals(model, nothing)}
        self._encoded: dict[tuple[Masks, RegionConfig], EncodedProposals] = {}
        self._ious = self._true.ious(proposals.mask_logits[0])

    def answer(self, answering: Answering) -> MaskPrediction:
        """The prediction of one way of answering."""
        is_oracle = answering.masks == "oracle"
        encoded = self._encode("proposed" if is_oracle else answering.masks, answering.regions)
        prediction = answering.on(self._model).answer(encoded, self._plan.words, answering.ensemble)
        return self._true.naming(prediction, self._ious, self._class_of) if is_oracle else prediction

    def guesses(self, regions: RegionConfig) -> Iterator[tuple[Kind, bool, int]]:
        """For every clean and noisy mask its kind, whether CLIP's first word is right, and the place of its class."""
        if not self._true.places:
            return
        best, queries = self._ious.max(0)
        kinds: tuple[tuple[Kind, Masks], ...] = (("clean", "true"), ("noisy", "proposed"))
        for kind, masks in kinds:
            every = torch.ones_like(self._masks[masks].mask_logits[..., 0, 0], dtype=torch.bool)
            embed, _ = self._encode(masks, regions).crops.embed(every)
            found = class_cosines(embed, self._plan.words)[0].argmax(-1)
            found = found if kind == "clean" else found[queries]
            for word, place, iou in zip(found.tolist(), self._true.places, best.tolist(), strict=True):
                if kind == "clean" or iou >= LEAST_IOU:
                    yield kind, word == self._class_of[place], place

    def _encode(self, masks: Masks, regions: RegionConfig) -> EncodedProposals:
        if (masks, regions) not in self._encoded:
            looking = Answering(
                masks=masks, regions=regions, ensemble=CLIP_BRANCH_ONLY, clip_logit_scale=PAPER_SCALE
            ).on(self._model)
            self._encoded[masks, regions] = looking.encode(self._images, self._masks[masks])
        return self._encoded[masks, regions]


def under_names(figures: Mapping[str, float], data: Sequence[str], standing: Collection[str]) -> dict[str, float]:
    """Figures under the names of data sets, such as "A-150 mIoU seen".

    Args:
        figures: from `iou_figures` or `naming_figures`.
        data: data sets that the pictures stand for.
        standing: groups that stand for data sets themselves, such as "PC-59": theirs is "PC-59 mIoU".
    """
    found: dict[str, float] = {}
    for name, value in figures.items():
        metric, _, group = name.partition(" ")
        found |= {f"{group} {metric}": value} if group in standing else {f"{one} {name}": value for one in data}
    return found


def jsonable_choice(answering: Answering) -> dict[str, Any]:
    """What was chosen on val, as a record has it."""
    weights = answering.ensemble.weights
    return {
        "clip_weight": weights[0],
        "seen_clip_weight": weights[1],
        "calibration": answering.ensemble.calibration,
        "mask_threshold": answering.regions.mask_threshold,
        "clip_logit_scale": answering.clip_logit_scale,
    }

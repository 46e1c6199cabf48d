"""Figures of what `training_work` has trained, and of baselines: acts of units. Thresholds are chosen on val."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Dataset
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.data.samples.labelled import LabelledPictures, collate_labelled, with_labels
from lexiseg.data.samples.transforms import Framing
from lexiseg.encoders.segmenters.mask2former_weights import read_mask2former
from lexiseg.evaluation.loading import Skipped
from lexiseg.evaluation.measures import PanopticMeasure, SemanticMeasure
from lexiseg.evaluation.plan import inference, plan_evaluation, planned_batches
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.io.models import load_model
from lexiseg.io.shipped import shipped_folder
from lexiseg.layers.modulation import QUERY_ONLY
from lexiseg.models.base import Fusion, OpenVocabularySegmenter
from lexiseg.models.opsnet import OPSNet
from lexiseg.models.ovseg import OVSeg
from lexiseg.models.postprocess.panoptic import MergeConfig
from lexiseg.models.presets import SIMBASELINE_CROSS_DATASET
from lexiseg.studies.opsnet.ablations import Counts, StudyResult, StudyRow, study
from lexiseg.studies.opsnet.baselines import BaselineConfig, ClosedSetNames, MaskClip
from lexiseg.studies.opsnet.training_work import load_lseg
from lexiseg.studies.verdicts import with_blocks
from lexiseg.studies.worlds import MOST_BLOCKS, load_network, open_pictures, seen_and_unseen

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8)
"""Out of which val chooses: Mask2Former's is 0.8."""
SIMBASELINE_MASKS = 0.4
"""SimBaseline's mask threshold across data sets."""
Opened = tuple[Dataset, Vocabulary, int | None]
"""As `open_pictures` gives it."""
Arms = dict[str, dict[str, Any]]
"""Figures by arm and name, as units record them."""


def measure_opsnet(
    files: Path,
    out: Path,
    *,
    model: Mapping[str, Any],
    rows: Mapping[str, Mapping[str, Any]],
    val: Mapping[str, Any] | None,
    tests: Sequence[Mapping[str, Any]],
) -> Any:
    """PQ and mIoU of an OPSNet in one pass over each data set.

    Args:
        files: what units leave.
        out: not used.
        model: settings of the OPSNet.
        rows: for each arm whether the query answers alone ("query only"), with the model's modulation otherwise, and
            what ranks ("rank_by").
        val: pictures on which every row's score threshold is chosen; None: the model's own.
        tests: pictures of each data set.
    """
    network = load_network(files, model, OPSNet)
    own = network.config
    asked = {
        arm: StudyRow(
            name=arm,
            modulation=QUERY_ONLY if row["query only"] else own.modulation,
            merge=replace(own.merge, rank_by=row["rank_by"]),
        )
        for arm, row in rows.items()
    }
    if val is not None:
        asked = _choose_rows(network, asked, open_pictures(files, val))
    arms: Arms = {arm: {} for arm in asked}
    for settings in tests:
        dataset, vocabulary, limit = open_pictures(files, settings)
        groups = seen_and_unseen(dataset, vocabulary, network.training_vocabulary)
        done = study(network, dataset, vocabulary, list(asked.values()), EvaluationSettings(limit=limit), groups=groups)
        for result in done.results:
            arms[result.row.name] |= _named(settings["data"], result)
    return {"arms": arms, "thresholds": {arm: row.merge.score_threshold for arm, row in asked.items()}}


def _choose_rows(network: OPSNet, asked: Mapping[str, StudyRow], val: Opened) -> dict[str, StudyRow]:
    """Each row at its threshold of the best PQ."""
    dataset, vocabulary, limit = val
    tried = [
        replace(row, merge=replace(row.merge, score_threshold=threshold))
        for row in asked.values()
        for threshold in THRESHOLDS
    ]
    done = study(network, dataset, vocabulary, tried, EvaluationSettings(limit=limit))
    best: dict[str, StudyResult] = {}
    for result in done.results:  # of equal ones the lower threshold
        if result.row.name not in best or result.quality.all.pq > best[result.row.name].quality.all.pq:
            best[result.row.name] = result
    return {arm: best[arm].row for arm in asked}


def measure_closed_set(
    files: Path,
    out: Path,
    *,
    unit: str,
    names: Literal["class layer", "mask tokens"],
    longest_side: int,
    arm: str,
    val: Mapping[str, Any],
    tests: Sequence[Mapping[str, Any]],
) -> Any:
    """A closed-set Mask2Former, named by its own layer or by mask tokens of the shipped OVSeg's CLIP (MaskCLIP).

    Args:
        files: what units leave.
        out: not used.
        unit: the training.
        names: what names its masks.
        longest_side: of the pictures.
        arm: what the figures are called.
        val: pictures on which the score threshold is chosen by PQ.
        tests: pictures of each data set.
    """
    weights, ovseg = read_mask2former(files / unit / "model"), _shipped_ovseg()
    config = BaselineConfig(training_vocabulary=open_pictures(files, val)[1], longest_side=longest_side)
    kind = ClosedSetNames if names == "class layer" else MaskClip
    network = kind(config, weights, ovseg.clip).eval()
    tried = [replace(config.merge, score_threshold=threshold) for threshold in THRESHOLDS]
    on_val = count(network, open_pictures(files, val), tried)
    merge = max(zip(tried, on_val, strict=True), key=lambda pair: pair[1].quality.all.pq)[0]
    found: dict[str, Any] = {}
    for settings in tests:
        (result,) = count(network, open_pictures(files, settings), [merge])
        found |= _named(settings["data"], result)
    return {"arms": {arm: found}, "threshold": merge.score_threshold}


def measure_lseg(
    files: Path,
    out: Path,
    *,
    unit: str,
    recipe: Mapping[str, Any],
    model: Mapping[str, Any],
    arm: str,
    tests: Sequence[Mapping[str, Any]],
) -> Any:
    """The mIoU of an LSeg.

    Args:
        files: what units leave.
        out: not used.
        unit: the training.
        recipe: what it was trained by.
        model: settings of the OPSNet whose CLIP it has.
        arm: what the figures are called.
        tests: pictures of each data set.
    """
    network = load_lseg(files, unit, recipe, load_network(files, model, OPSNet))
    return {"arms": {arm: _semantic(network, network.config.fusion, files, tests)}}


def measure_simbaseline(files: Path, out: Path, *, arm: str, tests: Sequence[Mapping[str, Any]]) -> Any:
    """The mIoU of the shipped OVSeg as SimBaseline joins its branches across data sets; its CLIP is the adapted one.

    Args:
        files: what units leave.
        out: not used.
        arm: what the figures are called.
        tests: pictures of each data set.
    """
    network = _shipped_ovseg()
    network.config = replace(network.config, regions=replace(network.config.regions, mask_threshold=SIMBASELINE_MASKS))
    return {"arms": {arm: _semantic(network, SIMBASELINE_CROSS_DATASET, files, tests)}}


def measure_coverage(
    files: Path, out: Path, *, model: Mapping[str, Any], arm: str, labels: str, longest_side: int
) -> Any:
    """How evenly all masks together cover pictures that have labels alone: what mask supervision works on.

    A pixel is covered once if the mask probabilities there add up to something between 0.5 and 1.5.

    Args:
        files: what units leave.
        out: not used.
        model: settings of an OPSNet.
        arm: what the figures are called.
        labels: the unit that draws the pictures.
        longest_side: of the pictures.
    """
    network = load_network(files, model, OPSNet)
    pictures = LabelledPictures(with_labels(read_panoptic(files / labels)), Framing(image_size=longest_side), seed=0)
    keys = [(0, index) for index in range(len(pictures))]
    size = min(MOST_BLOCKS, len(keys))
    blocks = [np.zeros(3, np.int64)] * size
    with inference(network):
        for key in keys:
            batch = collate_labelled([pictures[key]])
            sums = network.propose(batch.images).mask_logits.sigmoid().sum(1)[batch.inside].numpy()
            counts = np.array([len(sums), (sums < 0.5).sum(), (sums > 1.5).sum()])
            blocks[key[1] % size] = blocks[key[1] % size] + counts
    return {"arms": {arm: with_blocks(blocks, _coverage)}}


def _coverage(counts: Int[np.ndarray, "3"]) -> dict[str, float]:
    total, nothing, twice = (float(count) for count in counts)
    shares = {"nothing": nothing, "one mask": total - nothing - twice, "several masks": twice}
    return {f"ImageNet pixels under {what}": 100 * part / total for what, part in shares.items()}


def count(
    model: OpenVocabularySegmenter, opened: Opened, merges: Sequence[MergeConfig], fusion: Fusion | None = None
) -> list[StudyResult]:
    """Panoptic and semantic counts of any model in one pass, for each way to merge."""
    dataset, vocabulary, limit = opened
    settings = EvaluationSettings(limit=limit, fusion=fusion, semantic_rule=model.semantic_rule)
    groups = seen_and_unseen(dataset, vocabulary, model.training_vocabulary)
    skipped: list[Skipped] = []
    size = min(MOST_BLOCKS, len(dataset.samples[:limit]))
    read = 0
    with inference(model):
        plan = replace(plan_evaluation(model, dataset, vocabulary, settings, groups), measure=PanopticMeasure(dataset))
        semantic = SemanticMeasure(dataset, frozenset(groups.get("unseen", ())))
        counts = [[Counts(plan.measure.zero(), semantic.zero()) for _ in range(size)] for _ in merges]
        for batch in planned_batches(model, plan, settings, skipped, lambda done, total: None):
            prediction = model(batch.images, plan.words, fusion)
            for blocks, merge in zip(counts, merges, strict=True):
                for place, (answer, truth) in enumerate(plan.answers(prediction, merge, batch)):
                    one = Counts(plan.measure.tally(answer, truth), semantic.tally(answer, truth))
                    blocks[(read + place) % size] += one
            read += len(batch.annotations)
    return [
        StudyResult(row=StudyRow(name="", merge=merge), blocks=tuple(blocks), plan=plan, semantic=semantic)
        for blocks, merge in zip(counts, merges, strict=True)
    ]


def _semantic(
    network: OpenVocabularySegmenter, fusion: Fusion, files: Path, tests: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The figures of mIoU alone."""
    found: dict[str, Any] = {}
    for settings in tests:
        (result,) = count(network, open_pictures(files, settings), [network.config.merge], fusion)
        found |= _named(settings["data"], result)
    return {name: about for name, about in found.items() if "mIoU" in name}


def _named(data: str, result: StudyResult) -> dict[str, Any]:
    return {f"{data} {name}": about for name, about in result.figures().items()}


def _shipped_ovseg() -> OVSeg:
    network = load_model(shipped_folder("tiny-ovseg"))
    assert isinstance(network, OVSeg)
    return network.eval()

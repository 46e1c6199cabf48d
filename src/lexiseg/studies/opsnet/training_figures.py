"""Figures of what `training_work` has trained, and of baselines: acts of units. Thresholds are chosen on val."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from jaxtyping import Int

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Dataset
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.data.samples.labelled import LabelledPictures, collate_labelled, with_labels
from lexiseg.data.samples.transforms import Framing
from lexiseg.encoders.segmenters.mask2former_weights import read_mask2former
from lexiseg.evaluation.plan import inference, plan_evaluation, planned_batches
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.layers.modulation import QUERY_ONLY
from lexiseg.models.base import Fusion, OpenVocabularySegmenter
from lexiseg.models.opsnet import OPSNet
from lexiseg.models.ovseg import OVSeg
from lexiseg.models.postprocess.panoptic import MergeConfig
from lexiseg.models.presets import SIMBASELINE_CROSS_DATASET
from lexiseg.studies.opsnet.ablations import Counting
from lexiseg.studies.opsnet.baselines import BaselineConfig, ClosedSetNames, MaskClip
from lexiseg.studies.opsnet.training_work import load_lseg
from lexiseg.studies.verdicts import of_data, with_blocks
from lexiseg.studies.worlds import MOST_BLOCKS, load_network, open_pictures, seen_and_unseen

Opened = tuple[Dataset, Vocabulary]
"""As `open_pictures` gives it."""
Way = tuple[Fusion, MergeConfig]
"""How a model answers."""
KeyT = TypeVar("KeyT", bound=Hashable)


def measure_opsnet(
    files: Path,
    out: Path,
    *,
    model: Mapping[str, Any],
    rows: Mapping[str, Mapping[str, Any]],
    val: Mapping[str, Any],
    thresholds: Sequence[float],
    tests: Sequence[Mapping[str, Any]],
) -> Any:
    """PQ and mIoU of an OPSNet in one pass over each data set.

    Args:
        files: what units leave.
        out: not used.
        model: settings of the OPSNet.
        rows: for each arm whether the query answers alone ("query only"), with the model's modulation otherwise, and
            what ranks ("rank_by").
        val: pictures on which every row's score threshold is chosen by PQ.
        thresholds: out of which.
        tests: pictures of each data set.
    """
    network = load_network(files, model, OPSNet)
    own = network.config
    ways: dict[str, Way] = {
        arm: (QUERY_ONLY if row["query only"] else own.modulation, replace(own.merge, rank_by=row["rank_by"]))
        for arm, row in rows.items()
    }
    chosen = _choose(network, open_pictures(files, val), ways, thresholds)
    arms: dict[str, dict[str, Any]] = {arm: {} for arm in rows}
    for settings in tests:
        for arm, found in count(network, open_pictures(files, settings), chosen).items():
            arms[arm] |= of_data(settings["data"], found)
    return {"arms": arms, "thresholds": {arm: merge.score_threshold for arm, (_, merge) in chosen.items()}}


def _choose(
    network: OpenVocabularySegmenter, val: Opened, ways: Mapping[str, Way], thresholds: Sequence[float]
) -> dict[str, Way]:
    """Each at its score threshold of the best PQ, the lower one of equals."""
    tried = {
        (arm, threshold): (fusion, replace(merge, score_threshold=threshold))
        for arm, (fusion, merge) in ways.items()
        for threshold in thresholds
    }
    pq = {key: found["PQ"]["value"] for key, found in count(network, val, tried).items()}
    return {arm: tried[arm, max(thresholds, key=lambda threshold: pq[arm, threshold])] for arm in ways}


def measure_closed_set(
    files: Path,
    out: Path,
    *,
    unit: str,
    names: Literal["class layer", "mask tokens"],
    original: str,
    longest_side: int,
    arm: str,
    val: Mapping[str, Any],
    thresholds: Sequence[float],
    tests: Sequence[Mapping[str, Any]],
) -> Any:
    """A closed-set Mask2Former, named by its own layer or by mask tokens of an OVSeg's CLIP (MaskCLIP).

    Args:
        files: what units leave.
        out: not used.
        unit: the training.
        names: what names its masks.
        original: the unit that leaves an OVSeg with an original CLIP.
        longest_side: of the pictures.
        arm: what the figures are called.
        val: pictures on which the score threshold is chosen by PQ.
        thresholds: out of which.
        tests: pictures of each data set.
    """
    weights, clip = read_mask2former(files / unit / "model"), load_network(files, {"unit": original}, OVSeg).clip
    config = BaselineConfig(training_vocabulary=open_pictures(files, val)[1], longest_side=longest_side)
    kind = ClosedSetNames if names == "class layer" else MaskClip
    network = kind(config, weights, clip).eval()
    chosen = _choose(network, open_pictures(files, val), {arm: (config.fusion, config.merge)}, thresholds)
    figures = _tested(network, chosen[arm], files, tests)
    return {"arms": {arm: figures}, "threshold": chosen[arm][1].score_threshold}


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
    way = network.config.fusion, network.config.merge
    return {"arms": {arm: _semantic(_tested(network, way, files, tests))}}


def measure_simbaseline(
    files: Path,
    out: Path,
    *,
    unit: str,
    mask_threshold: float,
    clip_logit_scale: float,
    arm: str,
    tests: Sequence[Mapping[str, Any]],
) -> Any:
    """The mIoU of an OVSeg as SimBaseline joins its branches across data sets.

    Args:
        files: what units leave.
        out: not used.
        unit: what leaves the OVSeg.
        mask_threshold: SimBaseline's, of regions.
        clip_logit_scale: of CLIP's cosines.
        arm: what the figures are called.
        tests: pictures of each data set.
    """
    network = load_network(files, {"unit": unit}, OVSeg)
    regions = replace(network.config.regions, mask_threshold=mask_threshold)
    network.config = replace(network.config, regions=regions, clip_logit_scale=clip_logit_scale)
    way = SIMBASELINE_CROSS_DATASET, network.config.merge
    return {"arms": {arm: _semantic(_tested(network, way, files, tests))}}


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


def count(model: OpenVocabularySegmenter, opened: Opened, ways: Mapping[KeyT, Way]) -> dict[KeyT, dict[str, Any]]:
    """PQ and mIoU of any model in one pass, for several fusions and merges, with the spread over blocks of pictures."""
    dataset, vocabulary = opened
    samples = dataset.samples
    block_of = {sample.file_name: place % MOST_BLOCKS for place, sample in enumerate(samples)}
    settings = EvaluationSettings(semantic_rule=model.semantic_rule)
    counting = Counting.of(dataset, vocabulary, seen_and_unseen(dataset, vocabulary, model.training_vocabulary))
    counts = {key: [counting.zero()] * min(MOST_BLOCKS, len(samples)) for key in ways}
    with inference(model):
        plan = replace(plan_evaluation(model, dataset, vocabulary, settings), measure=counting.panoptic)
        for batch in planned_batches(model, plan, settings, [], lambda done, total: None):
            encoded = model.encode(batch.images)
            answers = {fusion: model.answer(encoded, plan.words, fusion) for fusion, _ in ways.values()}
            for key, (fusion, merge) in ways.items():
                for answer, truth in plan.answers(answers[fusion], merge, batch):
                    counts[key][block_of[truth.sample.file_name]] += counting.tally(answer, truth)
    return {key: with_blocks(blocks, counting.figures) for key, blocks in counts.items()}


def _tested(
    network: OpenVocabularySegmenter, way: Way, files: Path, tests: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The figures of all test pictures."""
    found: dict[str, Any] = {}
    for settings in tests:
        found |= of_data(settings["data"], count(network, open_pictures(files, settings), {"": way})[""])
    return found


def _semantic(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Those of models that answer with semantic maps."""
    return {name: about for name, about in figures.items() if "mIoU" in name}

"""Inference switches of the command line, laid over a model's own configuration."""

from dataclasses import asdict, replace
from typing import Any

from lexiseg.cli.options import CropOptions, Inference
from lexiseg.core.errors import UsageError
from lexiseg.layers.ensemble import CLIP_BRANCH_ONLY, MASKFORMER_ONLY, EnsembleConfig
from lexiseg.layers.modulation import ModulationConfig
from lexiseg.models.base import Fusion, OpenVocabularySegmenter
from lexiseg.models.crops import RegionConfig
from lexiseg.models.ovseg import OVSeg
from lexiseg.models.postprocess.panoptic import MergeConfig


def fusion_for(how: Inference, default: Fusion) -> Fusion:
    """The model's own fusion with what was asked otherwise.

    Raises:
        UsageError: if a switch of the other system was asked for, or a number that means nothing.
    """
    if isinstance(default, EnsembleConfig):
        _refuse({"--alpha": how.alpha, "--beta": how.beta, "--clip-ratio": how.clip_ratio}, "OVSeg", "--clip-weight")
        return _ensemble_for(how, default)
    _refuse({"--clip-weight": how.clip_weight}, "OPSNet", "--alpha, --beta or --clip-ratio")
    return _modulation_for(how, default)


def merge_for(how: Inference, default: MergeConfig) -> MergeConfig:
    """The model's own merge with what was asked otherwise."""
    given = {"score_threshold": how.score_threshold, "rank_by": how.rank_by}
    changed: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    return replace(default, **changed)


def regions_for(asked: CropOptions, default: RegionConfig) -> RegionConfig:
    """The model's own way of cutting crops with what was asked otherwise."""
    given = {
        "mask_threshold": asked.region_threshold,
        "min_object_prob": asked.min_object,
        "crops_per_pass": asked.crops_per_pass,
    }
    changed: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    return replace(default, **changed)


def set_regions(network: OpenVocabularySegmenter, asked: CropOptions) -> None:
    """Lets a model that was just loaded cut crops as asked.

    Raises:
        UsageError: if it cuts none, being an OPSNet, and something was asked for.
    """
    if isinstance(network, OVSeg):
        network.config = replace(network.config, regions=regions_for(asked, network.config.regions))
    elif asked != CropOptions():
        options = {f"--{name.replace('_', '-')}": value for name, value in asdict(asked).items()}
        _refuse(options, "OPSNet", "an OVSeg as --model, or leave it out")


def _modulation_for(how: Inference, default: ModulationConfig) -> ModulationConfig:
    changed: dict[str, Any] = {} if how.beta is None else {"beta": how.beta}
    if how.alpha is not None:
        changed |= {"alpha": how.alpha, "clip_ratio": None}
    if how.clip_ratio is not None:
        changed |= {"clip_ratio": how.clip_ratio}
    if how.clip_only:
        changed = {"beta": 0.0, **changed, "clip_only": True}
    try:
        return replace(default, **changed)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _ensemble_for(how: Inference, default: EnsembleConfig) -> EnsembleConfig:
    if how.clip_only:
        return CLIP_BRANCH_ONLY
    if how.clip_weight is None:
        return default
    if how.clip_weight == 0:
        return MASKFORMER_ONLY
    # SimBaseline and ZegFormer have one lambda: seen words weigh the query as unseen ones weigh CLIP.
    seen = None if default.seen_clip_weight is None else 1 - how.clip_weight
    return replace(default, clip_weight=how.clip_weight, seen_clip_weight=seen)


def _refuse(switches: dict[str, float | None], system: str, instead: str) -> None:
    """Refuses switches that mean nothing to a system."""
    given = [switch for switch, value in switches.items() if value is not None]
    if given:
        raise UsageError(f"{given[0]} means nothing to an {system}, which is what the model is: give {instead}.")

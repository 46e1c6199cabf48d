"""Inference switches of the command line, laid over a model's own configuration."""

from dataclasses import replace
from typing import Any

from lexiseg.apps.options import Inference
from lexiseg.layers.modulation import ModulationConfig
from lexiseg.models.postprocess import MergeConfig


def modulation_for(how: Inference, default: ModulationConfig) -> ModulationConfig:
    """The model's own modulation with what was asked otherwise."""
    changed: dict[str, Any] = {} if how.beta is None else {"beta": how.beta}
    if how.alpha is not None:
        changed |= {"alpha": how.alpha, "clip_ratio": None}
    if how.clip_ratio is not None:
        changed |= {"clip_ratio": how.clip_ratio}
    if how.clip_only:
        changed = {"beta": 0.0, **changed, "clip_only": True}
    return replace(default, **changed)


def merge_for(how: Inference, default: MergeConfig) -> MergeConfig:
    """The model's own merge with what was asked otherwise."""
    given = {"score_threshold": how.score_threshold, "rank_by": how.rank_by}
    changed: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    return replace(default, **changed)

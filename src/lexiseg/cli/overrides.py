"""Inference switches of the command line, laid over a model's own configuration."""

from dataclasses import asdict, replace
from typing import Any

from lexiseg.cli.options import CropOptions, Inference
from lexiseg.core.errors import UsageError
from lexiseg.models.base import Fusion, OpenVocabularySegmenter
from lexiseg.models.crops import RegionConfig
from lexiseg.models.postprocess.panoptic import MergeConfig


def fusion_for(how: Inference, model: OpenVocabularySegmenter) -> Fusion:
    """The model's own fusion with what was asked otherwise.

    Raises:
        UsageError: if an option of another kind of model was given, or a number that means nothing.
    """
    own: Fusion = model.config.fusion
    names = ("alpha", "beta", "clip_ratio", "clip_weight")
    given: dict[str, Any] = {name: getattr(how, name) for name in names if getattr(how, name) is not None}
    if how.clip_only:
        given["clip_only"] = True
    _refuse_foreign(model, given, own.OPTIONS)
    try:
        return own.overridden(**given) if given else own
    except ValueError as error:
        raise UsageError(str(error)) from error


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


def set_regions(model: OpenVocabularySegmenter, asked: CropOptions) -> None:
    """Lets a model that was just loaded cut crops as asked.

    Raises:
        UsageError: if it cuts none, and something was asked for.
    """
    if model.regions is not None:
        model.config = replace(model.config, regions=regions_for(asked, model.regions))
        return
    _refuse_foreign(model, {name: value for name, value in asdict(asked).items() if value is not None}, ())


def _refuse_foreign(model: OpenVocabularySegmenter, given: dict[str, Any], known: tuple[str, ...]) -> None:
    """Refuses options that mean nothing to a model."""
    if foreign := [name for name in given if name not in known]:
        others = " or ".join(_option(name) for name in known) or "no option of that kind"
        raise UsageError(
            f"{_option(foreign[0])} means nothing to an {type(model).__name__}, which is what the model is: "
            f"give {others}."
        )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"

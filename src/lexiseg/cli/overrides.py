"""Options of inference, laid over a model's own configuration."""

from dataclasses import replace
from typing import Any

from lexiseg.cli.command import typed_name
from lexiseg.cli.options.shared import CropOptions, InferenceOptions, SideOptions, given
from lexiseg.core.errors import UsageError
from lexiseg.core.messages import a
from lexiseg.models.base import Fusion, OpenVocabularySegmenter
from lexiseg.models.crops import RegionConfig
from lexiseg.models.postprocess.panoptic import MergeConfig

CROPPING = {
    "region_threshold": "mask_threshold",
    "min_object": "min_object_prob",
    "crops_per_pass": "crops_per_pass",
}
"""Options, and what they set of a `RegionConfig`."""


def fusion_for(options: InferenceOptions, model: OpenVocabularySegmenter) -> Fusion:
    """The model's own fusion with what was asked otherwise: another kind that it takes, if only that has the options.

    Raises:
        UsageError: if an option of another kind of model was given, or a number that means nothing.
    """
    own: Fusion = model.config.fusion
    asked = given(options, "alpha", "beta", "clip_ratio", "clip_weight", "clip_only")
    kinds = model.accepted_fusions
    fitting = next((kind for kind in kinds if asked.keys() <= set(kind.OPTIONS)), None)
    if fitting is None:
        _refuse_foreign(model, asked, tuple(dict.fromkeys(option for kind in kinds for option in kind.OPTIONS)))
        raise UsageError(f"{' and '.join(map(typed_name, asked))} belong to different fusions: give one of them.")
    try:
        return (own if isinstance(own, fitting) else fitting()).overridden(**asked) if asked else own
    except ValueError as error:
        raise UsageError(str(error)) from error


def merge_for(options: InferenceOptions, default: MergeConfig) -> MergeConfig:
    """The model's own merge with what was asked otherwise."""
    return replace(default, **given(options, "score_threshold", "rank_by"))


def regions_for(options: CropOptions, default: RegionConfig) -> RegionConfig:
    """The model's own way of cutting crops with what was asked otherwise."""
    return replace(default, **{CROPPING[name]: value for name, value in given(options, *CROPPING).items()})


def set_regions(model: OpenVocabularySegmenter, options: CropOptions) -> None:
    """Lets a model that was just loaded cut crops as asked.

    Raises:
        UsageError: if it cuts none, and something was asked for.
    """
    if model.regions is None:
        _refuse_foreign(model, given(options, *CROPPING), ())
    else:
        model.config = replace(model.config, regions=regions_for(options, model.regions))


def set_sides(model: OpenVocabularySegmenter, options: SideOptions) -> None:
    """Lets a model that was just loaded look at pictures as large as asked.

    Raises:
        UsageError: if no picture can be so large.
    """
    try:
        model.set_sides(options.longest_side, options.shortest_side)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _refuse_foreign(model: OpenVocabularySegmenter, asked: dict[str, Any], known: tuple[str, ...]) -> None:
    """Refuses options that mean nothing to a model."""
    if foreign := [name for name in asked if name not in known]:
        others = " or ".join(map(typed_name, known)) or "no option of that kind"
        raise UsageError(
            f"{typed_name(foreign[0])} means nothing to {a(type(model))}, which is what the model is: give {others}."
        )

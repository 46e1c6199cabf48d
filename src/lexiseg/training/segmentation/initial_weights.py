"""What the training of a segmenter begins from: published or own weights, or none."""

from pathlib import Path
from typing import TypeVar

from lexiseg.core.messages import a, printable
from lexiseg.core.random import fork_random
from lexiseg.encoders.clip.vit import VitClip
from lexiseg.encoders.segmenters.backbone_weights import is_backbone, load_backbone
from lexiseg.encoders.segmenters.mask2former import Segmenter
from lexiseg.encoders.segmenters.mask2former_weights import read_mask2former
from lexiseg.io.checkpoint import weights_hash
from lexiseg.io.models import MODELS, load_model, system_of
from lexiseg.models.opsnet import OPSNet
from lexiseg.models.ovseg import OVSeg
from lexiseg.training.clip.folders import read_prompt, read_resnet_clip, read_vit_clip
from lexiseg.training.engine.run_settings import TrainSettings
from lexiseg.training.segmentation.opsnet import OPSNetRecipe, around_clip, new_opsnet, opsnet_to_go_on_with
from lexiseg.training.segmentation.ovseg import OVSegRecipe, new_ovseg, ovseg_to_go_on_with, take_backbone
from lexiseg.training.segmentation.recipe import TrainingRecipe

Origin = dict[str, str | None]
"""Hashes of the weights that a model was made of."""


def lacking_weights(recipe: TrainingRecipe, settings: TrainSettings) -> str | None:
    """What a recipe needs and was not given, in a sentence that says how to get it; None if nothing."""
    wholes = [name for name, (_, kind) in MODELS.items() if kind is recipe.model_type or not recipe.takes_backbones]
    if recipe.small_clip is None or (settings.start is not None and system_of(settings.start) in wholes):
        return None  # whether a whole model is the right one is said when it is loaded
    published, whole = recipe.published, a(recipe.model_type)
    if published is None:
        if settings.clip is not None:
            return None
        return (
            f"this recipe needs a frozen CLIP: train one with 'lexiseg train {recipe.small_clip}', then pass --clip; "
            f"or pass the folder of {whole} as --start."
        )
    wanted = [
        f"{option} {name}"
        for option, name, given in (
            ("--clip", published.clip, settings.clip),
            ("--start", published.backbone, settings.start),
        )
        if given is None
    ]
    if settings.from_scratch or not wanted:
        return None
    return (
        f"this recipe begins with published weights: pass {' and '.join(wanted)}, which are then fetched from the "
        f"Hugging Face hub, or folders with copies of them; or the folder of {whole} as --start; or --from-scratch."
    )


def first_opsnet(recipe: OPSNetRecipe, settings: TrainSettings) -> tuple[OPSNet, Origin]:
    """The model before its first step.

    Raises:
        ValueError: if something is missing, damaged, or of other sizes than the recipe's.
    """
    if lacking := lacking_weights(recipe, settings):
        raise ValueError(lacking)
    if settings.start is not None and system_of(settings.start) is not None:
        start = _whole_start(settings, OPSNet)
        if settings.clip is not None:
            start = around_clip(start, read_resnet_clip(settings.clip, recipe.clip))
        return opsnet_to_go_on_with(recipe, start), {"start": weights_hash(start.state_dict())}
    if settings.clip is not None:
        clip = read_resnet_clip(settings.clip, recipe.clip)
        model = new_opsnet(recipe, clip.config, clip.state_dict())
    else:
        assert recipe.clip is not None, "lacking_weights has seen to it"
        model = new_opsnet(recipe, recipe.clip, None)
    if settings.start is not None:
        _load_segmenter(model.segmenter, settings.start)
    return model, {
        "clip": weights_hash(model.clip.state_dict()),
        "start": weights_hash(model.segmenter.state_dict()) if settings.start is not None else None,
    }


def first_ovseg(recipe: OVSegRecipe, settings: TrainSettings) -> tuple[OVSeg, Origin]:
    """The model before its first step.

    Raises:
        ValueError: if something is missing, damaged, or of other sizes than the recipe's.
    """
    if lacking := lacking_weights(recipe, settings):
        raise ValueError(lacking)
    if settings.start is not None and system_of(settings.start) == "ovseg":
        if settings.clip is not None:
            raise ValueError("the OVSeg that --start names has its own frozen CLIP: leave --clip out.")
        start = _whole_start(settings, OVSeg)
        return ovseg_to_go_on_with(recipe, start), {"start": weights_hash(start.state_dict())}
    clip = read_vit_clip(settings.clip) if settings.clip is not None else _random_vit(recipe)
    vectors = read_prompt(settings.prompt) if settings.prompt is not None else None
    model = new_ovseg(recipe, clip, vectors)
    if settings.start is not None and is_backbone(settings.start):
        load_backbone(model.segmenter.backbone, settings.start)
    elif settings.start is not None:
        take_backbone(model, _trained_segmenter(settings.start))
    return model, {
        "clip": weights_hash(clip.state_dict()),
        "prompt": weights_hash({"vectors": vectors}) if vectors is not None else None,
        "backbone": weights_hash(model.segmenter.backbone.state_dict()) if settings.start is not None else None,
    }


def _random_vit(recipe: OVSegRecipe) -> VitClip:
    """The recipe's CLIP from the recipe's seed."""
    with fork_random(recipe.seed):
        return VitClip(recipe.model.clip).eval()


def _load_segmenter(segmenter: Segmenter, folder: Path) -> None:
    """Puts the weights of a whole Mask2Former, or of a backbone alone, into an OPSNet's segmenter."""
    if is_backbone(folder):
        load_backbone(segmenter.backbone, folder)
        return
    published = read_mask2former(folder)
    if published.config != segmenter.config:
        raise ValueError(
            f"the Mask2Former in {printable(folder)} does not have the recipe's sizes: choose the recipe or the start "
            "that fit."
        )
    segmenter.load_state_dict(dict(published.segmenter))


def _trained_segmenter(folder: Path) -> Segmenter:
    """The Mask2Former of an OPSNet's folder, or of its own."""
    if system_of(folder) is not None:
        model = load_model(folder)
        assert isinstance(model, OPSNet)
        return model.segmenter
    published = read_mask2former(folder)
    with fork_random():
        segmenter = Segmenter(published.config)
    segmenter.load_state_dict(published.segmenter)
    return segmenter


ModelT = TypeVar("ModelT", OPSNet, OVSeg)


def _whole_start(settings: TrainSettings, kind: type[ModelT]) -> ModelT:
    """The model that --start names, with its own CLIP."""
    assert settings.start is not None
    if settings.prompt is not None:
        raise ValueError(
            f"the {kind.__name__} that --start names embeds words as it was trained to: leave --prompt out, or begin "
            "from --clip."
        )
    model = load_model(settings.start)
    if not isinstance(model, kind):
        raise ValueError(
            f"expected the folder of {a(kind)} as --start, got one of {a(type(model))}: "
            "choose the recipe that fits, or another start."
        )
    return model

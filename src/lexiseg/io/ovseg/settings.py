"""The official configuration of an OVSeg: settings that its weights do not show, and checks against those they do.

Every setting of a configuration is honoured, or compared with what the model does, or known to change no answer of the
official program; any other is refused.
"""

from collections.abc import Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

from lexiseg.core.errors import ModelError
from lexiseg.core.files import read_json_object
from lexiseg.core.messages import few, printable
from lexiseg.encoders.segmenters.maskformer import DeepResNetBackbone
from lexiseg.layers.ensemble import EnsembleConfig
from lexiseg.models.crops import Fill
from lexiseg.models.ovseg import OVSegConfig

Settings = Mapping[str, Any]
ValueT = TypeVar("ValueT", int, float, str, bool)

_STAGES = ["res2", "res3", "res4", "res5"]
_FIXED: Mapping[str, Any] = {
    "size_divisibility": 32,
    "pixel_mean": [123.675, 116.28, 103.53],
    "pixel_std": [58.395, 57.12, 57.375],
    "input.FORMAT": "RGB",
    "mask_former.ENC_LAYERS": 0,
    "mask_former.PRE_NORM": False,
    "mask_former.TRANSFORMER_IN_FEATURE": "res5",
    "mask_former.SIZE_DIVISIBILITY": 32,
    "sem_seg_head.IN_FEATURES": _STAGES,
    "sem_seg_head.COMMON_STRIDE": 4,
    "sem_seg_head.NORM": "GN",
    "sem_seg_head.TRANSFORMER_ENC_LAYERS": 0,
    "sem_seg_head.PIXEL_DECODER_NAME": "BasePixelDecoder",
    "sem_seg_head.EMBED_LAYERS": 2,
    "clip.vocab_size": 49408,
    "clip_adapter.MASK_EXPAND_RATIO": 1.0,
    "clip_adapter.REGION_RESIZED": True,
}
"""Settings without a field in `OVSegConfig`: all published OVSegs have these values."""
_FIXED_SWIN: Mapping[str, Any] = {
    "swin.PATCH_SIZE": 4,
    "swin.MLP_RATIO": 4.0,
    "swin.QKV_BIAS": True,
    "swin.QK_SCALE": None,
    "swin.NORM_INDICES": None,
    "swin.PROJECTION": False,
    "swin.DROP_RATE": 0.0,
    "swin.ATTN_DROP_RATE": 0.0,
    "swin.APE": False,
    "swin.PATCH_NORM": True,
    "swin.OUT_FEATURES": _STAGES,
}
_FIXED_RESNET: Mapping[str, Any] = {
    "resnets.STEM_TYPE": "deeplab",
    "resnets.STRIDE_IN_1X1": False,
    "resnets.OUT_FEATURES": _STAGES,
    "resnets.NUM_GROUPS": 1,
    "resnets.RES4_DILATION": 1,
    "resnets.RES5_DILATION": 1,
    "resnets.DEFORM_ON_PER_STAGE": [False] * 4,
}
"""Likewise, of either backbone."""
_DEPTHS = {(3, 4, 6, 3): 50, (3, 4, 23, 3): 101, (3, 8, 36, 3): 152}
"""What detectron2 calls a ResNet of so many blocks."""
_WITHOUT_EFFECT = frozenset((
    "class_names", "mask_former.DEEP_SUPERVISION", "mask_former.NO_OBJECT_WEIGHT", "mask_former.DICE_WEIGHT",
    "mask_former.MASK_WEIGHT", "mask_former.ENFORCE_INPUT_PROJ", "sem_seg_head.NAME", "sem_seg_head.IGNORE_VALUE",
    "sem_seg_head.LOSS_WEIGHT", "swin.PROJECT_DIM", "resnets.NORM", "resnets.DEFORM_MODULATED",
    "resnets.DEFORM_NUM_GROUPS", "clip_adapter.CLIP_MODEL_NAME", "clip_adapter.PROMPT_CHECKPOINT",
    "input.MIN_SIZE_TRAIN", "input.MIN_SIZE_TRAIN_SAMPLING", "input.MAX_SIZE_TRAIN", "input.SIZE_DIVISIBILITY",
    "input.COLOR_AUG_SSD", "input.CROP", "input.DATASET_MAPPER_NAME",
))  # fmt: skip
"""Settings of the training, what the weights' names and shapes decide, and the words of a reference."""
_HONOURED = frozenset((
    "input.MIN_SIZE_TEST", "input.MAX_SIZE_TEST", "swin.DROP_PATH_RATE", "swin.PRETRAIN_IMG_SIZE",
    "resnets.RES5_MULTI_GRID", "mask_former.NHEADS", "mask_former.DROPOUT", "clip.transformer_heads",
    "sem_seg_head.NUM_CLASSES", "clip_adapter.MASK_PROMPT_FWD", "clip_adapter.MASK_THR", "clip_adapter.MASK_MATTING",
    "clip_adapter.MASK_FILL", "clip_adapter.TEXT_TEMPLATES", "clip_adapter.PREDEFINED_PROMPT_TEMPLATES",
    "clip_adapter.CLIP_ENSEMBLE", "clip_adapter.CLIP_ENSEMBLE_WEIGHT",
))  # fmt: skip
"""Settings that become fields of the model's configuration; the number of classes is compared with its vocabulary's."""
_FILLS: Mapping[str, Fill] = {"mean": "mean", "zero": "zero"}


def read_settings(path: Path) -> dict[str, Any]:
    """Reads an official configuration from JSON: sections such as "mask_former", "swin" and "clip_adapter".

    Raises:
        ModelError: if it is missing or no JSON object.
    """
    return read_json_object(path, ModelError)


def with_settings(config: OVSegConfig, settings: Settings) -> OVSegConfig:
    """Replaces fields of a configuration by the official settings; fields without a setting stay.

    The section of a backbone that the model does not have ("swin" or "resnets") is passed over, as the official
    program passes over it.

    Raises:
        ModelError: if a setting has another type, contradicts the sizes, or is not supported.
    """
    segmenter, regions, ensemble = config.segmenter, config.regions, config.ensemble
    swin = segmenter.swin and replace(
        segmenter.swin,
        drop_path_rate=_get(settings, "swin.DROP_PATH_RATE", segmenter.swin.drop_path_rate),
        image_size=_get(settings, "swin.PRETRAIN_IMG_SIZE", segmenter.swin.image_size),
    )
    has_prompts = _get(settings, "clip_adapter.MASK_PROMPT_FWD", config.clip.prompts is not None)
    try:
        found = replace(
            config,
            longest_side=_get(settings, "input.MAX_SIZE_TEST", config.longest_side),
            shortest_side=_get(settings, "input.MIN_SIZE_TEST", config.shortest_side or config.longest_side),
            segmenter=replace(
                segmenter,
                swin=swin,
                deep_resnet=segmenter.deep_resnet and _with_multi_grid(segmenter.deep_resnet, settings),
                num_heads=_get(settings, "mask_former.NHEADS", segmenter.num_heads),
                dropout=_get(settings, "mask_former.DROPOUT", segmenter.dropout),
            ),
            clip=replace(
                config.clip,
                text_heads=_get(settings, "clip.transformer_heads", config.clip.text_heads),
                prompts=config.clip.prompts if has_prompts else None,
            ),
            templates=_templates(settings),
            regions=replace(
                regions,
                mask_threshold=_get(settings, "clip_adapter.MASK_THR", regions.mask_threshold),
                fill="soft" if _get(settings, "clip_adapter.MASK_MATTING", False) else _fill(settings, regions.fill),
            ),
            ensemble=_ensemble(settings, ensemble),
        )
    except ModelError:
        raise
    except ValueError as error:
        raise ModelError(f"the configuration is refused: {error}") from error
    checked = {**_FIXED, **_sizes(found)}
    if config.clip.prompts is None:
        checked |= {"clip_adapter.MASK_PROMPT_FWD": False, "clip_adapter.MASK_PROMPT_DEPTH": 0}
    else:  # that of the checkpoint's, whether they are used or not
        checked["clip_adapter.MASK_PROMPT_DEPTH"] = config.clip.prompts.depth
    for key, expected in checked.items():
        contradiction(settings, key, expected)
    _check_all_are_read(settings, checked.keys() | _HONOURED | _WITHOUT_EFFECT, "resnets" if swin else "swin")
    return found


def _check_all_are_read(settings: Settings, known: Set[str], unused_section: str) -> None:
    """Checks that nothing says what the model does not do.

    Raises:
        ModelError: naming what is not known.
    """
    unknown = [
        key
        for section, values in settings.items()
        if section != unused_section
        for key in ([f"{section}.{name}" for name in values] if isinstance(values, Mapping) else [section])
        if key not in known
    ]
    if unknown:
        raise ModelError(
            f"the configuration has settings that are not honoured here: {few([printable(key) for key in unknown])}. "
            "Leave out what does not change the official program's answers; sections have the official names in small "
            "letters, without MODEL, such as clip_adapter."
        )


def _with_multi_grid(backbone: DeepResNetBackbone, settings: Settings) -> DeepResNetBackbone:
    """The backbone with the official dilations of its last stage."""
    found = _look_up(settings, "resnets.RES5_MULTI_GRID", list(backbone.multi_grid))
    if not isinstance(found, list) or any(type(dilation) is not int for dilation in found):
        raise ModelError(
            f"the configuration says resnets.RES5_MULTI_GRID = {found!r}, where a list of whole numbers is expected."
        )
    return replace(backbone, multi_grid=tuple(found))


def contradiction(settings: Settings, key: str, expected: object) -> None:
    """Checks that a setting, if present, has the expected value.

    Raises:
        ModelError: naming the setting, if it has another value.
    """
    value = _look_up(settings, key, expected)
    if value != expected:
        raise ModelError(
            f"the configuration says {key} = {value!r}, but the checkpoint, or every OVSeg, has {expected!r}; "
            "use the configuration that belongs to the checkpoint."
        )


def _sizes(config: OVSegConfig) -> dict[str, object]:
    """The official settings that follow from the sizes."""
    segmenter, clip = config.segmenter, config.clip
    swin, resnet = segmenter.swin, segmenter.deep_resnet
    backbone: dict[str, object] = {}
    if swin is not None:
        backbone = {
            **_FIXED_SWIN,
            "swin.EMBED_DIM": swin.embed_dim,
            "swin.DEPTHS": list(swin.depths),
            "swin.NUM_HEADS": list(swin.num_heads),
            "swin.WINDOW_SIZE": swin.window_size,
        }
    elif resnet is not None:
        backbone = {
            **_FIXED_RESNET,
            "resnets.DEPTH": _DEPTHS.get(resnet.depths, resnet.depths),
            "resnets.STEM_OUT_CHANNELS": 2 * resnet.stem_width,
            "resnets.RES2_OUT_CHANNELS": resnet.hidden_sizes[0],
            "resnets.WIDTH_PER_GROUP": resnet.hidden_sizes[0] // 4,
        }
    return {
        **backbone,
        "mask_former.DEC_LAYERS": segmenter.decoder_layers,
        "mask_former.DIM_FEEDFORWARD": segmenter.feedforward_dim,
        "mask_former.HIDDEN_DIM": segmenter.hidden_dim,
        "mask_former.NUM_OBJECT_QUERIES": segmenter.num_queries,
        "sem_seg_head.CONVS_DIM": segmenter.pixel_dim,
        "sem_seg_head.MASK_DIM": segmenter.mask_dim,
        "sem_seg_head.EMBEDDING_DIM": clip.embed_dim,
        "sem_seg_head.EMBED_HIDDEN_DIM": config.head_hidden,
        "clip.embed_dim": clip.embed_dim,
        "clip.image_resolution": clip.image_size,
        "clip.vision_layers": clip.layers,
        "clip.vision_width": clip.width,
        "clip.vision_patch_size": clip.patch_size,
        "clip.context_length": clip.context_length,
        "clip.transformer_width": clip.text_width,
        "clip.transformer_layers": clip.text_layers,
    }


def _fill(settings: Settings, default: Fill) -> Fill:
    name = _get(settings, "clip_adapter.MASK_FILL", str(default))
    if name not in _FILLS:
        raise ModelError(f"the configuration says clip_adapter.MASK_FILL = {name!r}; known are {', '.join(_FILLS)}.")
    return _FILLS[name]


def _ensemble(settings: Settings, default: EnsembleConfig) -> EnsembleConfig:
    """The official switches: no ensemble is query-only; an ensemble of weight exactly 0 is CLIP-only."""
    if not _get(settings, "clip_adapter.CLIP_ENSEMBLE", True):
        return replace(default, clip_weight=0.0)
    weight = _get(settings, "clip_adapter.CLIP_ENSEMBLE_WEIGHT", default.clip_weight)
    return replace(default, clip_weight=1.0 if weight == 0 else weight)


def _templates(settings: Settings) -> tuple[str, ...] | None:
    """The templates, or None for ViLD's, which are the default of every vocabulary."""
    kind = _get(settings, "clip_adapter.TEXT_TEMPLATES", "vild")
    if kind == "vild":
        return None
    sentences = _look_up(settings, "clip_adapter.PREDEFINED_PROMPT_TEMPLATES", None)
    if kind == "predefined" and isinstance(sentences, list) and sentences and all(type(s) is str for s in sentences):
        return tuple(sentences)
    raise ModelError(
        f"the configuration says clip_adapter.TEXT_TEMPLATES = {kind!r}; known are vild, and predefined with a list of "
        "PREDEFINED_PROMPT_TEMPLATES."
    )


def _get(settings: Settings, key: str, default: ValueT) -> ValueT:
    """A setting of the default's type; a whole number may stand for a float."""
    value = _look_up(settings, key, default)
    kind = type(default)
    if kind is float and type(value) is int:
        return cast(ValueT, float(value))
    if type(value) is not kind:
        raise ModelError(f"the configuration says {key} = {value!r}, where a {kind.__name__} is expected.")
    return value


def _look_up(settings: Settings, key: str, default: object) -> Any:
    """A setting by its section and name."""
    section, _, name = key.rpartition(".")
    values = settings.get(section, {}) if section else settings
    if not isinstance(values, Mapping):
        raise ModelError(f"the configuration's {section} must be a section of settings, got {values!r}.")
    return values.get(name, default)

"""Importing official Mask2Former checkpoints, and holding them against recorded outputs of the official program."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from lexiseg.core.errors import ModelError
from lexiseg.core.files import StagingFolder, real, writing
from lexiseg.core.frames import Frame
from lexiseg.core.messages import printable
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders import colours
from lexiseg.encoders.segmenters.detectron2 import read_detectron2
from lexiseg.encoders.segmenters.mask2former import Segmenter
from lexiseg.encoders.segmenters.mask2former_weights import ClosedSetWeights, read_mask2former, write_mask2former
from lexiseg.io.checkpoint import check_replaceable
from lexiseg.io.official_outputs import OfficialSettings, output_checks, read_settings_of_outputs, segment_classes
from lexiseg.io.verification import Check, Verification, agreement, all_compared, difference, read_reference

MAX_DIFFERENCE = 1e-4
"""Largest difference of two values."""
_NEEDED = ("image", *(f"backbone.res{stage}" for stage in (2, 3, 4, 5)), "mask_logits", "class_logits")
_STAGES = ["res2", "res3", "res4", "res5"]
_FIXED: Mapping[str, Any] = {
    "size_divisibility": 32,
    "input_format": "RGB",
    "pixel_mean": [123.675, 116.28, 103.53],
    "pixel_std": [58.395, 57.12, 57.375],
    "sem_seg_head.IN_FEATURES": _STAGES,
    "sem_seg_head.COMMON_STRIDE": 4,
    "sem_seg_head.NORM": "GN",
    "sem_seg_head.PIXEL_DECODER_NAME": "MSDeformAttnPixelDecoder",
    "sem_seg_head.DEFORMABLE_TRANSFORMER_ENCODER_IN_FEATURES": _STAGES[1:],
    "sem_seg_head.DEFORMABLE_TRANSFORMER_ENCODER_N_POINTS": 4,
    "mask_former.TRANSFORMER_IN_FEATURE": "multi_scale_pixel_decoder",
    "mask_former.TRANSFORMER_DECODER_NAME": "MultiScaleMaskedTransformerDecoder",
    "mask_former.PRE_NORM": False,
    "mask_former.ENFORCE_INPUT_PROJ": False,
    "backbone.PATCH_SIZE": 4,
    "backbone.MLP_RATIO": 4.0,
    "backbone.QKV_BIAS": True,
    "backbone.QK_SCALE": None,
    "backbone.APE": False,
    "backbone.PATCH_NORM": True,
    "backbone.STEM_TYPE": "basic",
    "backbone.STRIDE_IN_1X1": False,
    "backbone.NUM_GROUPS": 1,
    "backbone.RES4_DILATION": 1,
    "backbone.RES5_DILATION": 1,
    "backbone.DEFORM_ON_PER_STAGE": [False] * 4,
    "backbone.OUT_FEATURES": _STAGES,
}
"""Settings that all published Mask2Formers share, as far as the weights don't show them."""


def import_mask2former(
    path: Path, *, settings: Mapping[str, Any] | None = None, vocabulary: Vocabulary | None = None
) -> ClosedSetWeights:
    """Reads an official checkpoint in float32; see `read_detectron2`.

    Args:
        path: a .pth of detectron2, or a .pkl of its model zoo.
        settings: the official configuration, which is held against the weights and against what is supported; its
            "class_names" are the names of the classes. Settings of the training are passed over.
        vocabulary: the names of the classes, in the order of the class head.

    Raises:
        ModelError: if it can't be read, is another model's, or contradicts the settings or the vocabulary.
    """
    settings = settings or {}
    names = settings.get("class_names")
    if vocabulary is not None:
        names = [concept.name for concept in vocabulary.concepts]
    elif names is not None and (not isinstance(names, list) or not all(isinstance(name, str) for name in names)):
        raise ModelError(f"the configuration says class_names = {str(names)[:60]}, where a list of names is expected.")
    try:
        found = read_detectron2(path, names=names)
    except ValueError as error:
        raise ModelError(str(error)) from error
    _check_settings(settings, found, printable(path))
    return ClosedSetWeights(
        config=found.config,
        segmenter={k: v.float() if v.is_floating_point() else v for k, v in found.segmenter.items()},
        class_weight=found.class_weight,
        class_bias=found.class_bias,
        names=found.names,
    )


def write_imported(folder: Path, model: ClosedSetWeights, *, overwrite: bool = False) -> None:
    """Writes a model as a Mask2Former folder in transformers' layout, which `assemble` and transformers read.

    Args:
        folder: appears complete or not at all.
        model: what was imported.
        overwrite: replaces an earlier model folder; anything else is never replaced.

    Raises:
        ModelError: if it can't be written.
    """
    target = real(folder)
    with writing(target, ModelError, SafetensorError):
        check_replaceable(target, overwrite=overwrite)
        with StagingFolder(target.parent) as staging:
            write_mask2former(
                staging.path / target.name,
                model.config,
                model.segmenter,
                class_weight=model.class_weight,
                class_bias=model.class_bias,
                names=model.names,
            )
            staging.publish(target.name)


def _check_settings(settings: Mapping[str, Any], found: ClosedSetWeights, source: str) -> None:
    """Raises ModelError for a setting that is not supported or contradicts the weights."""
    config = found.config
    sizes: dict[str, Any] = {
        "num_classes": len(found.names),
        "sem_seg_head.NUM_CLASSES": len(found.names),
        "sem_seg_head.CONVS_DIM": config.hidden_dim,
        "sem_seg_head.MASK_DIM": config.mask_dim,
        "sem_seg_head.TRANSFORMER_ENC_LAYERS": config.encoder_layers,
        "sem_seg_head.DEFORMABLE_TRANSFORMER_ENCODER_N_HEADS": config.num_heads,
        "mask_former.NHEADS": config.num_heads,
        "mask_former.HIDDEN_DIM": config.hidden_dim,
        "mask_former.DIM_FEEDFORWARD": config.feedforward_dim,
        "mask_former.DEC_LAYERS": config.decoder_layers + 1,
        "mask_former.NUM_OBJECT_QUERIES": config.num_queries,
    }
    for key, value in {**_FIXED, **sizes}.items():
        section, _, name = key.rpartition(".")
        place = settings.get(section, {}) if section else settings
        if not isinstance(place, Mapping):
            raise ModelError(f"the configuration's {section} must be a section of settings, got {str(place)[:60]}.")
        if place.get(name, value) != value:
            raise ModelError(
                f"the configuration says {key} = {str(place[name])[:60]}, but {source} is read as a Mask2Former with "
                f"{value}: take the configuration of this checkpoint; other variants are not supported."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Recorded inputs and outputs of the official program for one picture, and what its configuration says of them."""

    tensors: Mapping[str, Tensor]
    outputs: OfficialSettings
    segments: Mapping[str, Mapping[int, int] | None]
    """The classes of the segments of each panoptic map, by the prefix of its name."""
    resized: tuple[int, int] | None
    """Height and width of the outputs under "resized."."""


def read_mask2former_reference(path: Path, settings: Mapping[str, Any]) -> Reference:
    """Reads recorded outputs; things, thresholds and segments are those of the configuration.

    Raises:
        ModelError: if the file is missing or damaged, or lacks what is always recorded, or the configuration is none.
    """
    tensors = read_reference(path, _NEEDED)
    try:
        size = settings.get("resized_output_size_hw")
        return Reference(
            tensors=tensors,
            outputs=read_settings_of_outputs(settings, tensors["class_logits"].shape[-1] - 1),
            segments={
                prefix: segment_classes(settings.get(f"{prefix.replace('.', '_')}segments_info"))
                for prefix in ("", "resized.")
            },
            resized=None if size is None else (int(size[0]), int(size[1])),
        )
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise ModelError(
            f"the configuration of the reference {printable(path)} can't be read ({error}): give the official one as "
            "JSON with --config, or as config.json beside it."
        ) from error


@torch.no_grad()
def verify_mask2former(folder: Path, reference: Reference) -> Verification:
    """Compares a written Mask2Former folder with a reference: all that was recorded, from picture to panoptic map.

    Raises:
        ValueError: if the folder can't be read, or the reference was made with a model of other sizes.
    """
    closed = read_mask2former(folder)
    model = Segmenter(closed.config).eval()
    model.load_state_dict(dict(closed.segmenter))
    classify = nn.Linear(closed.config.hidden_dim, len(closed.class_bias))
    classify.load_state_dict({"weight": closed.class_weight, "bias": closed.class_bias})
    image = reference.tensors["image"]
    height, width = image.shape[1:]
    frame = Frame.fit((height, width), longest=max(height, width))
    canvas = torch.tensor(colours.IMAGENET.mean)[:, None, None].repeat(1, *frame.padded)  # zero when normalised
    canvas[:, :height, :width] = image.float() / 255
    found = _outputs(model, classify, canvas)
    checks = [_check(name, found[name], expected) for name, expected in reference.tensors.items() if name in found]
    probs, masks = found["class_logits"].softmax(-1), found["mask_logits"]
    for prefix, size in (("", frame.original), ("resized.", reference.resized)):
        if size is not None:
            asked = Frame(original=size, resized=frame.resized, padded=frame.padded)
            classes = reference.segments[prefix]
            checks += output_checks(
                probs, masks, asked, reference.outputs, reference.tensors, prefix=prefix, segment_classes=classes
            )
    return all_compared(checks, reference.tensors)


def _check(name: str, found: Tensor, expected: Tensor) -> Check:
    if expected.dtype == torch.bool:
        return Check(name=name, overall=agreement(found, expected, name=name), limit=1.0, kind="agreement")
    return Check(name=name, overall=difference(found, expected, name=name), limit=MAX_DIFFERENCE)


def _outputs(model: Segmenter, classify: nn.Module, canvas: Tensor) -> dict[str, Tensor]:
    """What the reference records of a forward pass, by its names, listened to at the modules."""
    found: dict[str, Tensor] = {}
    pixels: Any = model.pixel_decoder
    queries: Any = model.query_decoder.decoder

    def keep(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: object, output: Tensor) -> None:
            found[name] = output[0]

        return hook

    def keep_blocked(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, given: Sequence[Tensor]) -> None:
            found[name] = given[3][0]

        return hook

    handles = [
        model.backbone.register_forward_hook(
            lambda _, __, output: found.update(
                {f"backbone.{name}": one[0] for name, one in zip(_STAGES, output.feature_maps, strict=True)}
            )
        ),
        pixels.mask_projection.register_forward_hook(keep("pixel_decoder.mask_features")),
        queries.mask_predictor.mask_embedder.register_forward_hook(keep("decoder.mask_embed")),
    ]
    for number, projection in enumerate(pixels.input_projections):
        handles.append(projection.register_forward_hook(keep(f"pixel_decoder.input_proj.{number}")))
    for number, layer in enumerate(pixels.encoder.layers):
        handles.append(layer.register_forward_hook(keep(f"pixel_decoder.encoder.layer.{number}")))
    for number, layer in enumerate(queries.layers):
        name = f"decoder.layer.{number}."
        handles += [
            layer.cross_attn.register_forward_pre_hook(keep_blocked(f"{name}attn_blocked")),
            layer.cross_attn_layer_norm.register_forward_hook(keep(f"{name}after_cross")),
            layer.self_attn_layer_norm.register_forward_hook(keep(f"{name}after_self")),
            layer.final_layer_norm.register_forward_hook(keep(f"{name}out")),
        ]
    try:
        proposals = model(canvas[None], every_layer=True)
    finally:
        for handle in handles:
            handle.remove()
    for number, layer in enumerate((*proposals.aux, proposals)):
        found[f"decoder.pred.{number}.class_logits"] = classify(layer.query_embed)[0]
    found |= {
        "decoder.final_normed": proposals.query_embed[0],
        "mask_logits": proposals.mask_logits[0],
        "class_logits": classify(proposals.query_embed)[0],
    }
    tokens = found[f"pixel_decoder.encoder.layer.{model.config.encoder_layers - 1}"]
    sizes = [found[f"pixel_decoder.input_proj.{number}"].shape for number in range(3)]
    levels = tokens.split([height * width for _, height, width in sizes])
    for number, (level, size) in enumerate(zip(levels, sizes, strict=True)):
        found[f"pixel_decoder.memory.{number}"] = level.T.reshape(-1, *size[1:])
    return found

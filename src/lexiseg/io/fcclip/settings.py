"""The official configuration of an FC-CLIP: settings that its weights do not show, and checks against those they do."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lexiseg.core.concepts import Concept
from lexiseg.core.errors import ModelError, VocabularyError
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.clip.convnext import ConvNextConfig
from lexiseg.encoders.clip.families import described_config
from lexiseg.encoders.clip.resnet import ClipConfig
from lexiseg.layers.ensemble import GeometricConfig
from lexiseg.layers.pixel_decoder import DecoderConfig
from lexiseg.models.fcclip import FCCLIPConfig

Settings = Mapping[str, Any]
_HEAD = "sem_seg_head"
_FIXED: Mapping[str, Any] = {
    "size_divisibility": 32,
    "input_format": "RGB",
    "mask_former.PRE_NORM": False,
    "mask_former.ENC_LAYERS": 0,
    "mask_former.ENFORCE_INPUT_PROJ": False,
    "mask_former.DROPOUT": 0.0,
    "mask_former.TRANSFORMER_IN_FEATURE": "multi_scale_pixel_decoder",
    f"{_HEAD}.COMMON_STRIDE": 4,
    f"{_HEAD}.NORM": "GN",
    f"{_HEAD}.PIXEL_DECODER_NAME": "MSDeformAttnPixelDecoder",
    f"{_HEAD}.DEFORMABLE_TRANSFORMER_ENCODER_N_POINTS": 4,
    f"{_HEAD}.DEFORMABLE_TRANSFORMER_ENCODER_IN_FEATURES": ["res3", "res4", "res5"],
}
"""Settings without a field in `FCCLIPConfig`: every FC-CLIP has these values."""


def with_settings(config: FCCLIPConfig, settings: Settings) -> FCCLIPConfig:
    """Replaces fields of a configuration by the official settings; fields without a setting stay.

    Raises:
        ModelError: if a setting has another type, or contradicts the weights.
    """
    decoder = replace(config.decoder, num_heads=_number(settings, "mask_former.NHEADS", config.decoder.num_heads))
    for key, value in {**_FIXED, **_sizes(decoder, config.clip.embed_dim)}.items():
        if (found := look_up(settings, key, value)) != value:
            raise ModelError(
                f"the configuration says {key} = {found!r}, but the checkpoint, or every FC-CLIP, has {value!r}: "
                "use the configuration that belongs to the checkpoint."
            )
    fusion, merge = config.fusion, config.merge
    assert isinstance(fusion, GeometricConfig)
    try:
        return replace(
            config,
            decoder=decoder,
            longest_side=_number(settings, "input.MAX_SIZE_TEST", config.longest_side),
            shortest_side=_number(settings, "input.MIN_SIZE_TEST", config.shortest_side or config.longest_side),
            fusion=replace(
                fusion,
                seen_clip_weight=_number(settings, "fc_clip.GEOMETRIC_ENSEMBLE_ALPHA", fusion.seen_clip_weight),
                clip_weight=_number(settings, "fc_clip.GEOMETRIC_ENSEMBLE_BETA", fusion.clip_weight),
                needs_region=bool(look_up(settings, "fc_clip.ENSEMBLE_ON_VALID_MASK", fusion.needs_region)),
            ),
            merge=replace(
                merge,
                score_threshold=_number(settings, "mask_former.TEST.OBJECT_MASK_THRESHOLD", merge.score_threshold),
                overlap_threshold=_number(settings, "mask_former.TEST.OVERLAP_THRESHOLD", merge.overlap_threshold),
            ),
        )
    except ModelError:
        raise
    except ValueError as error:
        raise ModelError(f"the configuration is refused: {error}") from error


def _sizes(decoder: DecoderConfig, embed_dim: int) -> dict[str, object]:
    """The official settings that follow from the sizes."""
    return {
        "mask_former.HIDDEN_DIM": decoder.hidden_dim,
        "mask_former.NUM_OBJECT_QUERIES": decoder.num_queries,
        "mask_former.DEC_LAYERS": decoder.decoder_layers + 1,
        "mask_former.DIM_FEEDFORWARD": decoder.feedforward_dim,
        f"{_HEAD}.CONVS_DIM": decoder.hidden_dim,
        f"{_HEAD}.MASK_DIM": decoder.mask_dim,
        f"{_HEAD}.TRANSFORMER_ENC_LAYERS": decoder.encoder_layers,
        f"{_HEAD}.DEFORMABLE_TRANSFORMER_ENCODER_N_HEADS": decoder.num_heads,
        "fc_clip.EMBED_DIM": embed_dim,
    }


def clip_settings(settings: Settings) -> ConvNextConfig | ClipConfig | None:
    """CLIP's sizes, where the configuration has them: "clip.open_clip_config", and "clip.trunk" of a ConvNeXt.

    Raises:
        ModelError: if they describe another kind of CLIP, or none.
    """
    document = look_up(settings, "clip.open_clip_config", None)
    if document is None:
        return None
    trunk = look_up(settings, "clip.trunk", {})
    try:
        vision = dict(document["vision_cfg"])
        if vision.get("timm_model_name") is not None and isinstance(trunk, Mapping) and "dims" in trunk:
            # a trunk that timm has no name for: some other one's words, and its own sizes
            named = {**document, "vision_cfg": {**vision, "timm_model_name": "convnext_tiny"}}
            config = described_config(named, "the configuration")
            assert isinstance(config, ConvNextConfig)
            own = {"dims": tuple(trunk["dims"]), "depths": tuple(trunk["depths"])}
            config = replace(config, norm_eps=float(trunk.get("layer_norm_eps", config.norm_eps)), **own)
        else:
            config = described_config(document, "the configuration")
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"the configuration's CLIP can't be read: {str(error).rstrip('.')}.") from error
    if not isinstance(config, ConvNextConfig | ClipConfig):
        raise ModelError("the configuration's CLIP is a Vision Transformer, and FC-CLIP's has stages: choose another.")
    return config


def vocabulary_settings(settings: Settings, name: str) -> Vocabulary | None:
    """One of the lists of names under "vocabularies", where the configuration has it.

    Names of a class stand between commas; classes in "thing_ids" are things. "templates" are its templates.

    Raises:
        ModelError: if it is no list of names.
    """
    words = look_up(settings, f"vocabularies.{name}", None)
    if words is None:
        return None
    try:
        things = set(words["thing_ids"])
        concepts = []
        for place, names in enumerate(words["class_names"]):
            first, *others = names.replace(", ", ",").split(",")
            concepts.append(Concept(first, tuple(others), place in things))
        vocabulary = Vocabulary(tuple(concepts))
        templates = look_up(settings, "templates", vocabulary.templates)
        return replace(vocabulary, templates=tuple(templates))
    except (KeyError, TypeError, AttributeError, VocabularyError) as error:
        raise ModelError(
            f"the configuration's vocabularies.{name} can't be read ({str(error).rstrip('.')}): expected class_names, "
            "each with its names between commas, and thing_ids."
        ) from error


def look_up(settings: Settings, key: str, default: Any) -> Any:
    """A setting by its sections and name, with dots between them.

    Raises:
        ModelError: if something that is no section stands in the place of one.
    """
    found: Any = settings
    for part in key.split("."):
        if not isinstance(found, Mapping):
            raise ModelError(f"the configuration has {found!r} where a section is expected, on the way to {key}.")
        if part not in found:
            return default
        found = found[part]
    return found


def _number(settings: Settings, key: str, default: Any) -> Any:
    """A setting of the default's type; a whole number may stand for a float."""
    value, kind = look_up(settings, key, default), type(default)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ModelError(f"the configuration says {key} = {value!r}, where a {kind.__name__} is expected.")
    return value

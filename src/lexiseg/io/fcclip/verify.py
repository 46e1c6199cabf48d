"""Verifying an imported FC-CLIP against recorded outputs of the official program: every tensor, per stage and whole."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.errors import ModelError
from lexiseg.core.frames import Frame
from lexiseg.core.messages import printable
from lexiseg.core.structures import BackboneMaps, ImageBatch, VocabularyEmbeddings
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders import colours
from lexiseg.encoders.clip.resnet import ClipConfig
from lexiseg.io.fcclip.settings import Settings, look_up, vocabulary_settings
from lexiseg.io.official_outputs import OfficialSettings, output_checks, segment_classes
from lexiseg.io.verification import Check, Verification, agreement, all_compared, difference, read_reference
from lexiseg.layers.deformable_attention import NUM_LEVELS
from lexiseg.layers.ensemble import GeometricConfig, geometric_logits
from lexiseg.layers.pixel_decoder import PixelFeatures
from lexiseg.layers.pooling import pool_inside
from lexiseg.layers.query_decoder import Level, proposals_of
from lexiseg.models.fcclip import FCCLIP

MAX_DIFFERENCE, MAX_WORD_DIFFERENCE = 1e-4, 1e-3
"""Largest difference of features and logits of the query; and of text and of CLIP's logits."""
TINY = 1e-8
"""What the official program adds to probabilities before it takes their logarithm."""
_RES = tuple(f"backbone.res{stage}" for stage in (2, 3, 4, 5))
_LAYER = "pixel_decoder.encoder.layer."
_Given = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Recorded tensors of one picture, and the words that they were recorded with."""

    tensors: Mapping[str, Tensor]
    vocabularies: Mapping[str, Vocabulary]
    """By the prefix of the tensors' names, without a dot."""
    settings: Settings


def read_fcclip_reference(path: Path, settings: Settings) -> Reference:
    """Reads recorded outputs of the official program; words and segments are those of the configuration.

    Raises:
        ModelError: if the file is missing or damaged, or lacks what is always recorded, or the configuration has none
            of its words.
    """
    tensors = read_reference(path, ("image", *_RES, "pixel_decoder.mask_features", "mask_logits"))
    found = {name: vocabulary_settings(settings, name) for name in look_up(settings, "vocabularies", {})}
    words = {name: one for name, one in found.items() if one is not None and f"{name}.panoptic_seg" in tensors}
    if not words:
        raise ModelError(
            f"the words of the reference {printable(path)} are unknown: give the configuration that it was made with, "
            'with its "vocabularies", as --config or as config.json beside it.'
        )
    return Reference(tensors=tensors, vocabularies=words, settings=settings)


@torch.no_grad()
def verify_fcclip(model: FCCLIP, reference: Reference) -> Verification:
    """Compares a model with a reference, from picture and words to panoptic maps.

    Args:
        model: on the CPU, in eval mode.
        reference: from `read_fcclip_reference`.

    Raises:
        ModelError: if the reference was made with a model of other sizes or with other words.
    """
    inputs = _Inputs.of(model, reference)
    expected = {
        name: value.bool() if name == "clip.valid" or name.endswith(".seen") else value
        for name, value in reference.tensors.items()
    }
    staged: dict[str, Tensor] = {}
    overall: dict[str, Tensor] = {}
    try:
        for stage in _stages(inputs):
            overall |= stage(inputs, overall)
            staged |= stage(inputs, expected)
    except (RuntimeError, KeyError, IndexError) as error:
        raise ModelError(
            "the reference was made with a model of other sizes, or lacks a tensor "
            f"({' '.join(str(error).split())[:160]})."
        ) from error
    checks = [_check(name, staged[name], overall[name], expected[name]) for name in overall if name in expected]
    return all_compared((*checks, *_outputs(inputs, overall, reference)), reference.tensors)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inputs:
    """Inputs of every stage: the model, the picture and the words."""

    model: FCCLIP
    images: ImageBatch
    words: Mapping[str, VocabularyEmbeddings]
    vocabularies: Mapping[str, Vocabulary]

    @staticmethod
    def of(model: FCCLIP, reference: Reference) -> "_Inputs":
        image = reference.tensors["image"]
        height, width = image.shape[1:]
        frame = Frame.fit((height, width), longest=max(height, width))
        canvas = torch.zeros(3, *frame.padded)
        canvas[:, :height, :width] = image.float() / 255
        return _Inputs(
            model=model,
            images=ImageBatch(pixel_values=canvas[None], frames=(frame,)),
            words={name: model.embed_vocabulary(v, negatives=False) for name, v in reference.vocabularies.items()},
            vocabularies=reference.vocabularies,
        )


def _stages(inputs: _Inputs) -> Iterator[Callable[[_Inputs, _Given], dict[str, Tensor]]]:
    """Every stage of the model, each of which computes from the tensors that earlier ones gave."""
    yield from (_backbone, _pixel_decoder)
    for number in range(inputs.model.config.decoder.encoder_layers):
        yield _encoder_layer(number)
    yield _mask_features
    for number in range(inputs.model.config.decoder.decoder_layers):
        yield from (_blocked(number), _look(number), _compare(number), _think(number))
    yield from (_masks, _class_embed, _regions, _clip_embed)
    for name in inputs.vocabularies:
        yield from (_text(name), _layer_logits(name), _logits(name), _log_probs(name))


def _backbone(inputs: _Inputs, given: _Given) -> dict[str, Tensor]:
    stages = inputs.model.stages(inputs.images)
    clip: Any = inputs.model.clip
    pixels = colours.CLIP.normalise(inputs.images.padded_with(colours.CLIP.mean))
    names = ["trunk.stem"]
    if isinstance(clip.config, ClipConfig):  # without its average pooling, as recorded
        names = [f"{part}{number}" for number in (1, 2, 3) for part in ("conv", "bn", "act")]
    for name in names:
        pixels = clip.visual.get_submodule(name)(pixels)
    found = {name: stage[0] for name, stage in zip(_RES, stages, strict=True)}
    return {"backbone.stem": pixels[0], **found, "backbone.clip_vis_dense": stages[-1][0]}


def _pixel_decoder(inputs: _Inputs, given: _Given) -> dict[str, Tensor]:
    levels = inputs.model.segmenter.pixel_decoder.levels(tuple(given[name][None] for name in _RES))
    return {f"pixel_decoder.input_proj.{number}": level[0] for number, level in enumerate(levels)}


def _encoder_layer(number: int) -> Callable[[_Inputs, _Given], dict[str, Tensor]]:
    def stage(inputs: _Inputs, given: _Given) -> dict[str, Tensor]:
        decoder = inputs.model.segmenter.pixel_decoder
        levels = [given[f"pixel_decoder.input_proj.{level}"] for level in range(3)]
        sizes = [(level.shape[1], level.shape[2]) for level in levels]
        tokens = torch.cat([level.flatten(1).T for level in levels]) if number == 0 else given[f"{_LAYER}{number - 1}"]
        after = next(decoder.encoded(tokens[None], sizes, start=number))
        if number < inputs.model.config.decoder.encoder_layers - 1:
            return {f"{_LAYER}{number}": after[0]}
        return {f"pixel_decoder.memory.{level}": one[0] for level, one in enumerate(decoder.cut(after, sizes))}

    return stage


def _memory(given: _Given) -> tuple[Tensor, ...]:
    return tuple(given[f"pixel_decoder.memory.{level}"][None] for level in range(3))


def _mask_features(inputs: _Inputs, given: _Given) -> dict[str, Tensor]:
    features = inputs.model.segmenter.pixel_decoder.finish(given[_RES[0]][None], _memory(given))
    return {"pixel_decoder.mask_features": features.mask_features[0]}


def _features(given: _Given) -> PixelFeatures:
    return PixelFeatures(mask_features=given["pixel_decoder.mask_features"][None], memory=_memory(given))


def _before(inputs: _Inputs, given: _Given, number: int) -> Float[Tensor, "1 Q C"]:
    """The queries before a layer."""
    first = inputs.model.segmenter.query_decoder.queries_features.weight
    return (first if number == 0 else given[f"decoder.layer.{number - 1}.out"])[None]


def _level(inputs: _Inputs, given: _Given, number: int) -> Level:
    """The map that a layer reads."""
    return inputs.model.segmenter.query_decoder.level(_features(given), number % NUM_LEVELS)


def _blocked(number: int) -> Callable[[_Inputs, _Given], dict[str, Tensor]]:
    def stage(inputs: _Inputs, given: _Given) -> dict[str, Tensor]:
        queries = inputs.model.segmenter.query_decoder
        _, mask_embed = queries.predict(_before(inputs, given, number))
        return {f"decoder.layer.{number}.attn_blocked": queries.blocked(mask_embed, _level(inputs, given, number))[0]}

    return stage


def _look(number: int) -> Callable[[_Inputs, _Given], dict[str, Tensor]]:
    def stage(inputs: _Inputs, given: _Given) -> dict[str, Tensor]:
        queries = inputs.model.segmenter.query_decoder
        layer: Any = queries.decoder.layers[number]
        blocked = given[f"decoder.layer.{number}.attn_blocked"][None]
        place, level = queries.queries_embedder.weight, _level(inputs, given, number)
        found = layer.look(_before(inputs, given, number), place, level, blocked)
        return {f"decoder.layer.{number}.after_cross": found[0]}

    return stage


def _compare(number: int) -> Callable[[_Inputs, _Given], dict[str, Tensor]]:
    def stage(inputs: _Inputs, given: _Given) -> dict[str, Tensor]:
        queries = inputs.model.segmenter.query_decoder
        layer: Any = queries.decoder.layers[number]
        found = layer.compare(given[f"decoder.layer.{number}.after_cross"][None], queries.queries_embedder.weight)
        return {f"decoder.layer.{number}.after_self": found[0]}

    return stage


def _think(number: int) -> Callable[[_Inputs, _Given], dict[str, Tensor]]:
    def stage(inputs: _Inputs, given: _Given) -> dict[str, Tensor]:
        layer: Any = inputs.model.segmenter.query_decoder.decoder.layers[number]
        return {f"decoder.layer.{number}.out": layer.think(given[f"decoder.layer.{number}.after_self"][None])[0]}

    return stage


def _masks(inputs: _Inputs, given: _Given) -> dict[str, Tensor]:
    queries = inputs.model.segmenter.query_decoder
    normed, mask_embed = queries.predict(_before(inputs, given, len(queries.decoder.layers)))
    return {
        "decoder.final_normed": normed[0],
        "decoder.mask_embed": mask_embed[0],
        "mask_logits": proposals_of(normed, mask_embed, _features(given)).mask_logits[0],
    }


def _class_embed(inputs: _Inputs, given: _Given) -> dict[str, Tensor]:
    head = inputs.model.head
    pooled = pool_inside(given["pixel_decoder.mask_features"][None], given["mask_logits"][None] > 0)
    projected = head.pool(pooled)
    return {
        "decoder.mask_pooled": pooled[0],
        "decoder.mask_pooled_projected": projected[0],
        "decoder.class_embed": head.project(given["decoder.final_normed"] + projected[0]),
    }


def _regions(inputs: _Inputs, given: _Given) -> dict[str, Tensor]:
    size = given["backbone.clip_vis_dense"].shape[-2:]
    resized = F.interpolate(given["mask_logits"][None], size, mode="bilinear", align_corners=False)[0]
    return {"clip.mask_logits_resized": resized, "clip.valid": (resized > 0).flatten(1).any(1)}


def _clip_embed(inputs: _Inputs, given: _Given) -> dict[str, Tensor]:
    dense, inside = given["backbone.clip_vis_dense"][None], given["clip.mask_logits_resized"][None] > 0
    return {
        "clip.mask_pooled": pool_inside(dense, inside)[0],
        "clip.mask_embedding": inputs.model.clip.embed_inside(dense, inside)[0],
    }


def _text(name: str) -> Callable[[_Inputs, _Given], dict[str, Tensor]]:
    def stage(inputs: _Inputs, given: _Given) -> dict[str, Tensor]:
        vocabulary, clip, words = inputs.vocabularies[name], inputs.model.clip, inputs.words[name]
        prompts = [template.replace("{}", row) for row in vocabulary.row_names() for template in vocabulary.templates]
        tokens = clip.tokenize(prompts)
        return {
            f"{name}.text.tokens": F.pad(tokens, (0, clip.config.context_length - tokens.shape[1])),
            f"{name}.text.prompt_embedding": clip.encode_text(prompts),
            f"{name}.text.rows": words.text_embed,
            f"{name}.text.rows_per_class": words.concept_index.bincount(),
            f"{name}.seen": words.is_seen,
            "text.void_row": F.normalize(inputs.model.head.void_embed, dim=0),
        }

    return stage


def _layer_logits(name: str) -> Callable[[_Inputs, _Given], dict[str, Tensor]]:
    """Class logits after every decoder layer."""

    def stage(inputs: _Inputs, given: _Given) -> dict[str, Tensor]:
        model, found = inputs.model, {}
        queries, features = model.segmenter.query_decoder, _features(given)
        maps = BackboneMaps(clip_map=given[_RES[-1]][None], mask_features=features.mask_features)
        for number in range(len(queries.decoder.layers) + 1):
            proposals = proposals_of(*queries.predict(_before(inputs, given, number)), features=features)
            logits = model.class_logits_with_void(model.class_embed(proposals, maps), inputs.words[name])
            found[f"{name}.decoder.pred.{number}.class_logits"] = logits[0]
        return found

    return stage


def _logits(name: str) -> Callable[[_Inputs, _Given], dict[str, Tensor]]:
    """Scaled cosines in and out of the vocabulary; CLIP's to no-object too, which decides nothing."""

    def stage(inputs: _Inputs, given: _Given) -> dict[str, Tensor]:
        model, words = inputs.model, inputs.words[name]
        embed = F.normalize(given["decoder.class_embed"], dim=-1)[None]
        clip_embed = F.normalize(given["clip.mask_embedding"], dim=-1)[None]
        void = model.head.void_cosines(clip_embed) * model.clip.clip.logit_scale.exp().clamp(max=100)
        return {
            f"{name}.class_logits": model.class_logits_with_void(embed, words)[0],
            f"{name}.clip.class_logits": torch.cat([model.clip_logits(clip_embed, words), void], -1)[0],
        }

    return stage


def _log_probs(name: str) -> Callable[[_Inputs, _Given], dict[str, Tensor]]:
    """The logarithm of the final probabilities, by the model's own rule about empty masks and by the official other."""

    def stage(inputs: _Inputs, given: _Given) -> dict[str, Tensor]:
        fusion = inputs.model.config.fusion
        assert isinstance(fusion, GeometricConfig)
        found = {}
        for ending, own in (("", fusion), ("_with_valid_rule", replace(fusion, needs_region=True))):
            logits, void = geometric_logits(
                given[f"{name}.class_logits"][None],
                given[f"{name}.clip.class_logits"][None, :, :-1],
                given["clip.valid"][None],
                inputs.words[name].is_seen,
                own,
            )
            probs = torch.cat([logits.softmax(-1) * (1 - void[..., None]), void[..., None]], -1)
            found[f"{name}.class_log_prob{ending}"] = (probs + TINY).log()[0]
        return found

    return stage


def _check(name: str, staged: Tensor, overall: Tensor, expected: Tensor) -> Check:
    """One tensor: what is counted or decided must be equal, numbers must be near."""
    if not expected.is_floating_point():
        values = (agreement(one, expected, name=name) for one in (staged, overall))
        return Check(name=name, staged=next(values), overall=next(values), limit=1.0, kind="agreement")
    is_of_words = ".text." in name or name.startswith("text.") or ".clip." in name
    return Check(
        name=name,
        staged=difference(staged, expected, name=name),
        overall=difference(overall, expected, name=name),
        limit=MAX_WORD_DIFFERENCE if is_of_words else MAX_DIFFERENCE,
    )


def _outputs(inputs: _Inputs, found: _Given, reference: Reference) -> list[Check]:
    """Semantic and panoptic maps and instances of every vocabulary, also at the other size."""
    (frame,), config, settings = inputs.images.frames, inputs.model.config, reference.settings
    size = look_up(settings, "resized_output_size_hw", None)
    checks: list[Check] = []
    for name, vocabulary in inputs.vocabularies.items():
        official = OfficialSettings(
            things=frozenset(place for place, concept in enumerate(vocabulary.concepts) if concept.is_thing),
            score_threshold=config.merge.score_threshold,
            overlap_threshold=config.merge.overlap_threshold,
            num_instances=int(look_up(settings, "detections_per_image", 100)),
        )
        asked = [(f"{name}.", frame)]
        if size is not None and f"{name}.resized.panoptic_seg" in reference.tensors:
            asked.append((f"{name}.resized.", replace(frame, original=(int(size[0]), int(size[1])))))
        for prefix, own in asked:
            listed = look_up(settings, f"segments_info.{'resized' if own is not frame else name}", None)
            overall, staged = (
                output_checks(
                    given[f"{name}.class_log_prob"].softmax(-1),  # as the official program does once more
                    given["mask_logits"],
                    own,
                    official,
                    reference.tensors,
                    prefix=prefix,
                    segment_classes=segment_classes(listed),
                )
                for given in (found, reference.tensors)
            )
            checks += [replace(one, staged=alone.overall) for one, alone in zip(overall, staged, strict=True)]
    return checks

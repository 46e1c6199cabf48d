"""FC-CLIP against its formulas, written out one number at a time, and what makes it a model like the others."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lexiseg.cli.options.shared import InferenceOptions
from lexiseg.cli.overrides import fusion_for
from lexiseg.core.errors import UsageError
from lexiseg.core.structures import MaskPrediction, VocabularyEmbeddings
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.clip.resnet import resize_positions
from lexiseg.io.models import load_model, save_model
from lexiseg.layers.ensemble import EnsembleConfig, GeometricConfig
from lexiseg.layers.modulation import QUERY_ONLY, ModulationConfig
from lexiseg.models.fcclip import FCCLIP
from lexiseg.models.postprocess.panoptic import panoptic_map
from tiny import CLIP, CONVNEXT, TRAINING, fcclip, pictures

OTHER = Vocabulary.of("cat, fish|kitten, Dog, sea:stuff", TRAINING.templates)
KINDS: dict[str, tuple[Any, GeometricConfig]] = {
    "convnext": (CONVNEXT, GeometricConfig()),
    "resnet": (replace(CLIP, dense_stride=32), GeometricConfig(needs_region=True)),
}


def by_hand(model: FCCLIP, pixel_values: Tensor, words: VocabularyEmbeddings, seen: list[bool]) -> Tensor:
    """Final probabilities (Q K+1) by the paper's and the official program's formulas, in loops."""
    config = model.config
    fusion = config.fusion
    assert isinstance(fusion, GeometricConfig)
    stages = model.clip.stages(pixel_values)
    features = model.segmenter.pixel_decoder(stages)
    proposals = model.segmenter.query_decoder(features)
    cells = stages[-1][0].flatten(1).T
    small = F.interpolate(proposals.mask_logits, stages[-1].shape[-2:], mode="bilinear", align_corners=False)[0]
    void = F.normalize(model.head.void_embed, dim=0)
    rows = []
    for query, mask, coarse in zip(proposals.query_embed[0], proposals.mask_logits[0], small, strict=True):
        inside = (mask > 0).float()
        pooled = torch.stack([(inside * part).sum() / (inside.sum() + 1e-8) for part in features.mask_features[0]])
        embed = F.normalize(model.head.project(query + model.head.pool(pooled)), dim=0)
        own = [cell for cell, is_in in zip(cells, (coarse > 0).flatten(), strict=True) if is_in]
        clip_embed = F.normalize(clip_by_hand(model, cells, own, stages[-1].shape[-2:], coarse > 0), dim=0)
        scale = min(float(model.head.logit_scale.exp()), 100.0)
        clip_scale = min(float(model.clip.clip.logit_scale.exp()), 100.0)
        best: list[tuple[float, float]] = []
        for concept in range(len(seen)):
            mine = [row for row, index in zip(words.text_embed, words.concept_index, strict=True) if index == concept]
            best.append(
                (max(scale * float(embed @ row) for row in mine), max(clip_scale * float(clip_embed @ r) for r in mine))
            )
        with_void = [math.exp(logit) for logit, _ in best] + [math.exp(scale * float(embed @ void))]
        p_void = with_void[-1] / sum(with_void)
        p_in = [value / sum(with_void[:-1]) for value in with_void[:-1]]
        p_out = [math.exp(logit) / sum(math.exp(other) for _, other in best) for _, logit in best]
        weighed = []
        for concept, is_seen in enumerate(seen):
            weight = fusion.seen_clip_weight if is_seen else fusion.clip_weight
            weight = 0.0 if fusion.needs_region and not own else weight
            weighed.append(p_in[concept] ** (1 - weight) * p_out[concept] ** weight)
        rows.append(torch.tensor([(1 - p_void) * value / sum(weighed) for value in weighed] + [p_void]))
    return torch.stack(rows)


def clip_by_hand(model: FCCLIP, cells: Tensor, own: list[Tensor], size: tuple[int, int], inside: Tensor) -> Tensor:
    visual = model.clip.visual
    if model.config.clip == CONVNEXT:
        mean = torch.stack(own).mean(0) if own else torch.zeros(cells.shape[1])
        norm = visual.trunk.head.norm
        return visual.head(F.layer_norm(mean, mean.shape, norm.weight, norm.bias, norm.eps))
    pool = visual.attnpool
    if not own:
        return pool.c_proj.bias
    positions = resize_positions(pool.positional_embedding, size)
    keys = (cells + positions[1:])[inside.flatten()]
    query = pool.q_proj(cells.mean(0) + positions[0])
    heads = []
    for part in torch.arange(len(query)).chunk(pool.num_heads):
        scores = torch.stack([query[part] @ pool.k_proj(key)[part] for key in keys]) / len(part) ** 0.5
        heads.append(scores.softmax(0) @ pool.v_proj(keys)[:, part])
    return pool.c_proj(torch.cat(heads))


def final(prediction: MaskPrediction) -> Tensor:
    """Q K+1, void last."""
    void = prediction.void_probs[0, :, None]
    return torch.cat([prediction.class_logits[0].softmax(-1) * (1 - void), void], -1)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("asked", "seen"), [(TRAINING, [True] * 5), (OTHER, [True, True, False, False])])
def test_every_probability_follows_the_formulas(kind: str, asked: Vocabulary, seen: list[bool]) -> None:
    clip, fusion = KINDS[kind]
    model = fcclip(clip=clip, fusion=fusion)
    images = pictures(64, 96, 1)
    words = model.embed_vocabulary(asked, negatives=False)

    found = final(model(images, words))

    assert words.is_seen.tolist() == seen  # "Dog" is not "dog", and a synonym counts
    torch.testing.assert_close(found, by_hand(model, images.pixel_values, words, seen), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.sum(-1), torch.ones(8))


@torch.no_grad()
def test_clip_is_run_once_for_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = fcclip(), pictures(64, 96, 2)
    words = model.embed_vocabulary(TRAINING, negatives=True)
    runs, stages = [], model.clip.stages
    monkeypatch.setattr(model.clip, "stages", lambda pixel_values: runs.append(1) or stages(pixel_values))

    whole = model(images, words)
    proposals = model.propose(images)
    anew = model.classify(images, replace(proposals, maps=None), words)

    assert len(runs) == 3  # once for the answer, once for the proposals, once for masks that bring no maps
    torch.testing.assert_close(anew.class_logits, whole.class_logits)


@torch.no_grad()
def test_modulation_of_the_same_parts_is_configuration() -> None:
    model, images = fcclip(), pictures(64, 96, 1)
    words = model.embed_vocabulary(OTHER, negatives=False)
    modulated = fcclip(fusion=ModulationConfig(alpha=2.5, beta=0.25))
    query_only, clip_only = GeometricConfig(clip_weight=0, seen_clip_weight=0), GeometricConfig(clip_only=True)

    torch.testing.assert_close(
        final(model(images, words, ModulationConfig(alpha=2.5, beta=0.25))), final(modulated(images, words))
    )
    torch.testing.assert_close(final(model(images, words, QUERY_ONLY)), final(model(images, words, query_only)))
    alone = model(images, words, clip_only)
    assert not alone.void_probs.any()
    assert not torch.allclose(alone.class_logits.softmax(-1), model(images, words).class_logits.softmax(-1))
    with pytest.raises(ValueError, match="expected a GeometricConfig or a ModulationConfig, got an EnsembleConfig"):
        model(images, words, EnsembleConfig())


def test_options_of_the_command_line_choose_the_fusion() -> None:
    model = fcclip()

    def asked(**options: Any) -> Any:
        return fusion_for(InferenceOptions(model="m", negatives=False, **options), model)

    assert asked() == model.config.fusion
    assert asked(alpha=3.0) == ModulationConfig(alpha=3.0)
    assert asked(clip_weight=0.5) == GeometricConfig(clip_weight=0.5, seen_clip_weight=0.5)
    assert asked(clip_only=True) == GeometricConfig(clip_only=True)
    with pytest.raises(UsageError, match="--beta and --clip-weight belong to different fusions"):
        asked(clip_weight=0.5, beta=1.0)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_folder_gives_back_the_model_and_its_answers(kind: str, tmp_path: Path) -> None:
    clip, fusion = KINDS[kind]
    for own in (fusion, ModulationConfig(alpha=1.0)):
        model, images = fcclip(clip=clip, fusion=own), pictures(64, 64, 1)
        words = model.embed_vocabulary(OTHER, negatives=True)

        loaded = load_model(save_model(model, tmp_path / type(own).__name__))

        assert isinstance(loaded, FCCLIP)
        assert loaded.config == model.config
        torch.testing.assert_close(loaded(images, words).class_logits, model(images, words).class_logits)


def test_training_moves_everything_but_clip() -> None:
    model, images = fcclip(), pictures(64, 64, 2)
    words = model.begin_training("cpu")

    layers = model.predict_layers(images, words)
    every = torch.arange(layers[0].mask_logits.shape[1])
    parts = [part for layer in layers for part in (layer.maps_of(0, every), layer.class_logits)]
    torch.stack([part.square().mean() for part in parts]).sum().backward()

    assert len(layers) == 3
    assert not any(p.requires_grad for p in model.clip.parameters())
    assert not model.clip.training
    still = [name for name, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert still == []


@torch.no_grad()
def test_an_empty_mask_takes_part_in_the_contest_for_pixels_and_is_no_segment() -> None:
    model, images = fcclip(), pictures(64, 64, 1)
    words = model.embed_vocabulary(TRAINING, negatives=False)
    prediction = model(images, words)
    empty = replace(prediction, mask_logits=torch.full_like(prediction.mask_logits, -1.0))

    found = panoptic_map(empty, 0, images.frames[0], TRAINING, model.config.merge)

    assert found.segments == ()
    assert prediction.iou_scores.min() == 1

"""The published configurations: their numbers, and at a tiny size the whole of what they compute."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import tiny
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.segmenters.mask2former import ResNetBackbone
from lexiseg.encoders.segmenters.maskformer import DeepResNetBackbone, MaskFormer
from lexiseg.io.models import load_model, save_model
from lexiseg.layers.ensemble import EnsembleConfig
from lexiseg.models import presets
from lexiseg.models.crops import cut_regions
from lexiseg.models.ovseg import CLIP_WEIGHTS, OVSeg, OVSegConfig
from lexiseg.models.postprocess.panoptic import MergeConfig, panoptic_map
from lexiseg.models.postprocess.semantic import soft_semantic_map
from lexiseg.training.recipes.ovseg import zegformer
from lexiseg.training.segmentation.recipe import Published
from tiny import scores

MIXED = "cat, sky:stuff, tiger, sea:stuff"
SEEN = torch.tensor([True, True, False, False])
SIZES = {"segmenter", "clip", "training_vocabulary", "longest_side", "shortest_side"}


def at_tiny_size(config: OVSegConfig) -> OVSeg:
    """A model with everything of a preset but its sizes."""
    own = {field.name: getattr(config, field.name) for field in fields(config) if field.name not in SIZES}
    return tiny.ovseg(**own | ({"head_hidden": 32} if config.head_hidden else {}))


def clip_cosines(model: OVSeg, text_embed: torch.Tensor) -> torch.Tensor:
    """What plain CLIP says of every proposal's crop, one at a time."""
    images, size = tiny.pictures(), model.config.clip.image_size
    found = torch.zeros(2, 8, len(text_embed))
    for crops in cut_regions(images, model.propose(images).mask_logits, model.config.regions, size):
        embeds = F.normalize(model.clip.encode_image(crops.pixel_values), dim=-1)
        found[crops.images, crops.queries] = embeds @ text_embed.T
    return found


def test_the_numbers_are_those_of_papers_and_code() -> None:
    large, small = presets.ovseg_swin_base_config(), presets.ovseg_r101_config()
    assert (large.regions.mask_threshold, small.regions.mask_threshold) == (0.4, 0.5)
    assert (large.shortest_side, large.longest_side, small.shortest_side, small.longest_side) == (640, 2560, 512, 2048)
    assert large.ensemble == small.ensemble == EnsembleConfig(clip_weight=0.7)
    assert (large.logit_scale, large.clip_logit_scale, large.regions.fill) == (100.0, 100.0, "mean")
    assert CLIP_WEIGHTS == {
        "ade20k": 0.7,
        "ade20k-full": 0.7,
        "pascal-context-59": 0.6,
        "pascal-context-459": 0.6,
        "pascal-voc": 0.45,
    }
    for config, patch, width in ((large, 256, 1024), (small, 196, 768)):
        assert config.clip.prompts is not None
        assert (config.clip.prompts.kind, config.clip.prompts.depth) == ("mask", 3)
        side = config.clip.image_size // config.clip.patch_size
        assert (side * side, config.clip.width) == (patch, width)
    sim, zeg = presets.simbaseline_config(), presets.zegformer_config()
    assert (sim.ensemble.clip_weight, sim.ensemble.seen_clip_weight, sim.prompt_length) == (0.8, 0.2, 16)
    assert EnsembleConfig(clip_weight=0.5) == presets.SIMBASELINE_CROSS_DATASET
    assert presets.simbaseline_config(learned_prompt=False).templates == ("a sculpture of a {}.",)
    assert (zeg.ensemble.clip_weight, zeg.ensemble.seen_clip_weight) == pytest.approx((2 / 3, 1 / 3))
    assert (zeg.ensemble.calibration, zeg.templates) == (0.1, ("A photo of a {} in the scene",))
    assert (zeg.regions.mask_threshold, zeg.regions.resampling, zeg.regions.fill) == (0.5, "roi_align", "mean")
    assert sim.clip.prompts is None is zeg.clip.prompts
    assert {(config.shortest_side, config.longest_side) for config in (sim, zeg)} == {(640, 2560)}


def test_two_backbones_are_dilated_as_in_their_code_and_zegformers_is_plain() -> None:
    for config in (presets.ovseg_r101_config(), presets.simbaseline_config()):
        assert config.segmenter.deep_resnet == DeepResNetBackbone(stem_width=64, multi_grid=(1, 2, 4))
    plain = presets.zegformer_config().segmenter
    assert (plain.deep_resnet, plain.resnet) == (None, ResNetBackbone(depths=(3, 4, 23, 3)))
    with torch.device("meta"):
        stem = MaskFormer(plain).backbone.embedder.embedder.convolution
    assert (stem.kernel_size, stem.stride, stem.out_channels) == ((7, 7), (2, 2), 64)
    assert zegformer().published == Published(
        backbone="microsoft/resnet-101", clip="timm/vit_base_patch16_clip_224.openai"
    )


@torch.no_grad()
def test_zegformer_is_what_its_paper_and_code_compute() -> None:
    model = at_tiny_size(presets.zegformer_config())
    model.head.void_embed.mul_(3.0)  # no unit vector, and must not be made one
    words = model.embed_vocabulary(Vocabulary.of(MIXED), negatives=False)
    sentences = [f"A photo of a {name} in the scene" for name in ("cat", "sky", "tiger", "sea")]
    text = F.normalize(model.clip.encode_text(sentences), dim=-1)
    queries = F.normalize(model.head.project(model.propose(tiny.pictures()).query_embed), dim=-1)
    void = queries @ model.head.void_embed
    p = torch.cat([100 * queries @ text.T, 100 * void[..., None]], -1).softmax(-1)[..., :-1]
    own_scale = model.clip.clip.logit_scale.exp()
    of_clip = torch.cat([own_scale * clip_cosines(model, text), 100 * void[..., None]], -1).softmax(-1)[..., :-1]
    mean_of_seen = of_clip[..., SEEN].mean(-1, keepdim=True)
    expected = torch.where(SEEN, p ** (2 / 3) * mean_of_seen ** (1 / 3), p ** (1 / 3) * of_clip ** (2 / 3))

    prediction = model(tiny.pictures(), words)

    assert prediction.counts is not None
    assert prediction.counts.encoded == 16
    torch.testing.assert_close(scores(prediction), expected)
    assert prediction.pixel_bias is not None
    torch.testing.assert_close(prediction.pixel_bias, 0.1 * SEEN.float())


@torch.no_grad()
def test_simbaseline_is_what_its_paper_and_code_compute() -> None:
    model = at_tiny_size(presets.simbaseline_config())
    words = model.embed_vocabulary(Vocabulary.of(MIXED), negatives=False)
    assert model.prompt is not None
    assert model.prompt.vectors.shape == (16, tiny.VIT.text_width)
    text = words.text_embed
    queries = F.normalize(model.head.project(model.propose(tiny.pictures()).query_embed), dim=-1)
    columns = torch.cat([text, F.normalize(model.head.void_embed, dim=0)[None]])
    p = (100 * queries @ columns.T).softmax(-1)[..., :-1]
    of_clip = (100 * clip_cosines(model, text)).softmax(-1)
    expected = torch.where(SEEN, p**0.8 * of_clip**0.2, p**0.2 * of_clip**0.8)
    torch.testing.assert_close(scores(model(tiny.pictures(), words)), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("preset", [presets.simbaseline_config, presets.zegformer_config])
@torch.no_grad()
def test_they_survive_their_folder_and_make_both_maps(preset, tmp_path: Path) -> None:
    unsure = replace(preset(), logit_scale=1.0)  # random weights are sure of no object otherwise
    model, vocabulary = at_tiny_size(unsure), Vocabulary.of(MIXED)
    again = load_model(save_model(model, tmp_path / "model"))
    assert isinstance(again, OVSeg)
    assert again.config == model.config
    made = [m(tiny.pictures(), m.embed_vocabulary(vocabulary, negatives=False)) for m in (model, again)]
    assert torch.equal(made[0].class_logits, made[1].class_logits)
    frame = tiny.pictures().frames[0]
    soft = soft_semantic_map(made[1], 0, frame)
    rules = MergeConfig(score_threshold=0.0, mask_threshold=0.0, overlap_threshold=0.0)
    found = panoptic_map(made[1], 0, frame, vocabulary, rules)
    assert soft.shape == found.segmentation.shape == frame.original
    assert set(np.unique(soft).tolist()) <= {0, 1, 2, 3}
    assert {segment.name for segment in found.segments} <= {"cat", "sky", "tiger", "sea"}
    assert found.segments

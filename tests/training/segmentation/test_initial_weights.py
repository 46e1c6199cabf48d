"""Published weights are read as they lie on the hub; what is lacking is told with the names to ask for."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from timm.models.resnet import Bottleneck, ResNet
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetForImageClassification, SwinConfig, SwinForImageClassification

import tiny
from lexiseg.encoders.clip.resnet import Clip
from lexiseg.encoders.clip.vit import VitClip
from lexiseg.encoders.segmenters.backbone_weights import is_backbone, load_backbone
from lexiseg.encoders.segmenters.mask2former import Segmenter, SegmenterConfig
from lexiseg.encoders.segmenters.mask2former_weights import write_mask2former
from lexiseg.encoders.segmenters.maskformer import DeepResNetBackbone, MaskFormer
from lexiseg.training.clip.folders import read_resnet_clip, read_vit_clip
from lexiseg.training.engine.run_settings import TrainSettings
from lexiseg.training.recipes.opsnet import opsnet_r50
from lexiseg.training.recipes.ovseg import maskformer_tiny, ovseg_r101
from lexiseg.training.segmentation.initial_weights import first_opsnet, first_ovseg, lacking_weights
from lexiseg.training.segmentation.recipe import Published

PUBLISHED = Published(backbone="somebody/backbone", clip="somebody/clip")
OPSNET = replace(
    opsnet_r50(),
    segmenter=tiny.RESNET,
    clip=tiny.CLIP,
    vocabulary=tiny.TRAINING,
    published=PUBLISHED,
    framing=replace(opsnet_r50().framing, image_size=64),
)
OVSEG = replace(
    maskformer_tiny(), model=replace(tiny.ovseg().config, training_vocabulary=tiny.TRAINING), published=PUBLISHED
)


def published(kind: str) -> tuple[nn.Module, dict[str, Any]]:
    """A classifier with the backbone of the tiny segmenters, and its config.json."""
    if kind == "timm":
        block: Any = Bottleneck
        model = ResNet(block, (1, 1, 1, 1), num_classes=5, stem_width=8, stem_type="deep", channels=(8, 8, 8, 8))
        return model, {"architecture": "resnet101s"}
    if kind == "swin":
        config = SwinConfig(
            embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4], window_size=4, image_size=64, num_labels=5
        )
        return SwinForImageClassification(config), json.loads(config.to_json_string())
    config = ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32, 32, 32], depths=[1, 1, 1, 1], layer_type="basic", num_labels=5
    )
    return ResNetForImageClassification(config), json.loads(config.to_json_string())


def write(folder: Path, kind: str) -> nn.Module:
    model, document = published(kind)
    tiny.seeded(model)
    folder.mkdir()
    if kind == "timm":
        save_file(model.state_dict(), folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(document))
    else:
        model.save_pretrained(folder)
    return model.eval()


def backbone_of(kind: str) -> nn.Module:
    if kind == "timm":
        deep = DeepResNetBackbone(stem_width=8, hidden_sizes=(32, 32, 32, 32), depths=(1, 1, 1, 1))
        return MaskFormer(replace(tiny.MASKFORMER, resnet=None, deep_resnet=deep)).backbone
    return Segmenter(tiny.SWIN if kind == "swin" else tiny.RESNET).backbone


@pytest.mark.parametrize("kind", ["resnet", "swin", "timm"])
@torch.no_grad()
def test_a_published_classifiers_backbone_computes_the_same_here(kind: str, tmp_path: Path) -> None:
    classifier: Any = write(tmp_path / "published", kind)
    backbone: Any = backbone_of(kind).eval()
    pixels = tiny.pictures(128, 128).pixel_values  # a smaller last map would not fill a Swin's window

    assert is_backbone(tmp_path / "published")
    load_backbone(backbone, tmp_path / "published")

    last: Tensor = backbone(pixels).feature_maps[-1]
    if kind == "timm":
        expected = classifier.forward_features(pixels)
    elif kind == "swin":
        states = classifier.swin(pixels, output_hidden_states=True).reshaped_hidden_states[-1]
        norm = backbone.hidden_states_norms["stage4"]
        expected = norm(states.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(last.shape)
    else:
        expected = classifier.resnet(pixels).last_hidden_state
    torch.testing.assert_close(last, expected)


def test_a_backbone_of_other_sizes_is_refused_in_one_sentence(tmp_path: Path) -> None:
    write(tmp_path / "swin", "swin")
    with pytest.raises(ValueError, match=r"is not the recipe's: model.safetensors lacks .* and \d+ more;") as caught:
        load_backbone(backbone_of("resnet"), tmp_path / "swin")
    assert "\n" not in str(caught.value)
    (tmp_path / "swin" / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"has no model\.safetensors or pytorch_model\.bin"):
        load_backbone(backbone_of("swin"), tmp_path / "swin")


def test_an_opsnet_begins_with_a_backbone_and_open_clips_weights(tmp_path: Path) -> None:
    write(tmp_path / "resnet", "resnet")
    clip = tiny.seeded(Clip(tiny.CLIP))
    (tmp_path / "clip").mkdir()
    save_file(clip.clip.state_dict(), tmp_path / "clip" / "open_clip_model.safetensors")
    settings = TrainSettings(out=tmp_path, clip=tmp_path / "clip", start=tmp_path / "resnet")

    model, origin = first_opsnet(OPSNET, settings)
    again, _ = first_opsnet(OPSNET, settings)
    expected: Any = Segmenter(tiny.RESNET)
    load_backbone(expected.backbone, tmp_path / "resnet")

    assert tiny.same(tiny.state(model.clip), tiny.state(clip))
    assert tiny.same(tiny.state(model.segmenter.backbone), tiny.state(expected.backbone))
    assert tiny.same(tiny.state(model), tiny.state(again))
    assert (model.config.longest_side, model.config.shortest_side) == (1333, 800)
    assert all(origin.values())


def test_a_whole_mask2former_must_have_the_recipes_sizes(tmp_path: Path) -> None:
    def write_start(config: SegmenterConfig) -> Path:
        folder = tmp_path / f"{config.num_queries}"
        weight = torch.zeros(3, config.hidden_dim)
        state = Segmenter(config).state_dict()
        write_mask2former(folder, config, state, class_weight=weight, class_bias=weight[:, 0], names=("a", "b"))
        return folder

    settings = TrainSettings(out=tmp_path, from_scratch=True, start=write_start(tiny.RESNET))
    first_opsnet(OPSNET, settings)
    with pytest.raises(ValueError, match="does not have the recipe's sizes"):
        first_opsnet(OPSNET, replace(settings, start=write_start(replace(tiny.RESNET, num_queries=9))))


def test_open_clips_vit_weights_are_read_without_further_words(tmp_path: Path) -> None:
    clip = tiny.seeded(
        VitClip(replace(tiny.VIT, prompts=None, head_width=64, quick_gelu=True, text_width=64, text_heads=1))
    )
    save_file(clip.clip.state_dict(), tmp_path / "clip.safetensors")

    found = read_vit_clip(tmp_path / "clip.safetensors")

    assert found.config == clip.config
    assert tiny.same(tiny.state(found), tiny.state(clip))


def test_open_clip_weights_of_another_resnet_are_refused(tmp_path: Path) -> None:
    save_file(Clip(tiny.CLIP).clip.state_dict(), tmp_path / "clip.safetensors")
    with pytest.raises(ValueError, match="don't fit the given sizes"):
        read_resnet_clip(tmp_path / "clip.safetensors", replace(tiny.CLIP, width=16))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, "pass --clip timm/resnet50_clip.openai and --start microsoft/resnet-50,"),
        ({"clip": Path("there")}, "pass --start microsoft/resnet-50,"),
        ({"start": Path("there")}, "pass --clip timm/resnet50_clip.openai,"),
    ],
)
def test_absent_weights_end_in_a_sentence_that_names_them(given: dict[str, Path], wanted: str, tmp_path: Path) -> None:
    sentence = lacking_weights(opsnet_r50(), TrainSettings(out=tmp_path, **given))
    assert sentence is not None
    assert wanted in sentence
    assert "--from-scratch" in sentence
    assert "\n" not in sentence


def test_each_paper_size_ovseg_names_its_weights(tmp_path: Path) -> None:
    sentence = lacking_weights(ovseg_r101(), TrainSettings(out=tmp_path))
    assert sentence is not None
    assert "--clip timm/vit_base_patch16_clip_224.openai and --start timm/resnet101s.gluon_in1k" in sentence


def test_from_scratch_is_random_from_the_seed(tmp_path: Path) -> None:
    settings = TrainSettings(out=tmp_path, from_scratch=True)

    one, origin = first_opsnet(OPSNET, settings)
    same, _ = first_opsnet(OPSNET, settings)
    other, _ = first_opsnet(replace(OPSNET, seed=1), settings)
    ovseg, _ = first_ovseg(OVSEG, settings)

    pool = one.clip.visual.attnpool
    assert tiny.same(tiny.state(one), tiny.state(same))
    assert not tiny.same(tiny.state(one), tiny.state(other))
    assert torch.allclose(one.adapter.weight, pool.c_proj.weight @ pool.v_proj.weight, atol=1e-6)
    assert origin["start"] is None
    assert ovseg.config.clip == tiny.VIT
    assert lacking_weights(replace(OPSNET, published=None), settings) is not None  # its CLIP's sizes may be unknown

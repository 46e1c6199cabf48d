"""MaskFormer's masks and queries are the official ones, after every layer and on every backbone."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from lexiseg.encoders.segmenters.mask2former import ResNetBackbone, SwinBackbone, freeze_batch_norm
from lexiseg.encoders.segmenters.maskformer import DeepResNetBackbone, MaskFormer, MaskFormerConfig
from lexiseg.io.ovseg.keys import from_official
from tiny import pictures, seeded

SIZES = {
    "pixel_dim": 32,
    "mask_dim": 16,
    "hidden_dim": 32,
    "decoder_layers": 3,
    "feedforward_dim": 64,
    "num_heads": 4,
    "num_queries": 6,
}
SWIN = MaskFormerConfig(
    swin=SwinBackbone(
        embed_dim=16, depths=(1, 2, 2, 1), num_heads=(1, 2, 2, 4), window_size=3, image_size=64, drop_path_rate=0.0
    ),
    **SIZES,
)
RESNET = MaskFormerConfig(
    resnet=ResNetBackbone(embedding_size=16, hidden_sizes=(16, 32, 32, 32), depths=(1, 1, 1, 1), layer_type="basic"),
    **SIZES,
)
DEEP_RESNET = MaskFormerConfig(
    deep_resnet=DeepResNetBackbone(stem_width=8, hidden_sizes=(16, 32, 32, 64), depths=(1, 1, 2, 1)), **SIZES
)
DILATED = replace(
    DEEP_RESNET,
    deep_resnet=DeepResNetBackbone(
        stem_width=8, hidden_sizes=(16, 32, 32, 64), depths=(1, 1, 1, 3), multi_grid=(1, 2, 4)
    ),
)
BACKBONES = {"swin": SWIN, "resnet": RESNET, "deep resnet": DEEP_RESNET, "dilated resnet": DILATED}


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@torch.no_grad()
def test_every_intermediate_tensor_is_the_official_programs(shared: Path) -> None:
    """Without the shared data `tests/io/ovseg/test_against_twin.py` holds the same against a slow twin."""
    folder = shared / "golden" / "ovseg-tiny"
    official = torch.load(folder / "checkpoint_fp16.pth", weights_only=True)["model"]
    reference = load_file(folder / "io.safetensors")
    config = MaskFormerConfig(
        swin=SwinBackbone(embed_dim=24, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), window_size=7, image_size=384),
        pixel_dim=64,
        mask_dim=64,
        hidden_dim=64,
        decoder_layers=3,
        feedforward_dim=128,
        num_heads=4,
        num_queries=12,
    )
    model = MaskFormer(config).eval()
    like = {f"segmenter.{name}": tensor for name, tensor in model.state_dict().items()}
    own = from_official(official, like)
    model.load_state_dict({name.removeprefix("segmenter."): tensor.float() for name, tensor in own.items()})

    features = model.features(reference["image"][None].float() / 255)
    found = model.decode(features)
    fed = model.decode(tuple(reference[f"backbone.res{stage}"][None] for stage in (2, 3, 4, 5)))

    for stage, feature in enumerate(features, 2):
        assert relative(feature[0], reference[f"backbone.res{stage}"]) <= 1e-3
    for proposals in (found, fed):
        assert relative(proposals.mask_logits[0], reference["mask_logits"]) <= 1e-3
        hidden = proposals.query_embed[0]
        for layer in (0, 1):
            key = f"sem_seg_head.predictor.class_embed.layers.{layer}"
            hidden = F.linear(hidden, official[f"{key}.weight"].float(), official[f"{key}.bias"].float())
            hidden = hidden.relu() if layer == 0 else hidden
        assert relative(hidden, reference["class_embed"]) <= 1e-3


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("size", [(32, 32), (64, 96), (160, 32)])
@torch.no_grad()
def test_any_picture_of_whole_strides_gets_masks_at_a_quarter(backbone: str, size: tuple[int, int]) -> None:
    model = seeded(MaskFormer(BACKBONES[backbone])).eval()
    found = model(pictures(*size).pixel_values, every_layer=True)
    assert [feature.shape[-1] for feature in model.features(pictures(*size).pixel_values)] == [
        size[1] // stride for stride in (4, 8, 16, 32)
    ]
    assert len(found.aux) == 2
    for layer in (found, *found.aux):
        assert layer.mask_logits.shape == (2, 6, size[0] // 4, size[1] // 4)
        assert layer.query_embed.shape == (2, 6, 32)
    assert found.aux[0].aux == ()
    assert model(pictures(*size).pixel_values).aux == ()


@pytest.mark.parametrize("backbone", BACKBONES)
@torch.no_grad()
def test_what_an_earlier_layer_predicts_is_the_answer_of_a_decoder_that_ends_there(backbone: str) -> None:
    model, images = seeded(MaskFormer(BACKBONES[backbone])).eval(), pictures().pixel_values
    found = model(images, every_layer=True)
    for layers, aux in enumerate(found.aux, 1):
        shallow = MaskFormer(replace(BACKBONES[backbone], decoder_layers=layers)).eval()
        shallow.load_state_dict({name: model.state_dict()[name] for name in shallow.state_dict()})
        expected = shallow(images)
        torch.testing.assert_close(aux.query_embed, expected.query_embed)
        torch.testing.assert_close(aux.mask_logits, expected.mask_logits)


@torch.no_grad()
def test_pictures_of_a_batch_do_not_disturb_one_another() -> None:
    model, images = seeded(MaskFormer(SWIN)).eval(), pictures().pixel_values
    together, alone = model(images), model(images[1:])
    torch.testing.assert_close(together.mask_logits[1:], alone.mask_logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_deep_supervision_reaches_every_parameter(backbone: str) -> None:
    model = MaskFormer(BACKBONES[backbone])
    found = model(pictures(64, 64).pixel_values, every_layer=True)
    sum(layer.mask_logits.square().sum() for layer in (found, *found.aux)).backward()  # type: ignore[union-attr]
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize(("stride", "place"), [(16, 2), (32, 3)])
@torch.no_grad()
def test_the_queries_look_at_the_map_of_the_decoders_stride_alone(stride: Literal[16, 32], place: int) -> None:
    model = seeded(MaskFormer(replace(RESNET, decoder_stride=stride))).eval()
    features = list(model.features(pictures(64, 96).pixel_values))
    expected = model.decode(tuple(features)).query_embed
    for other in {0, 1, 2, 3} - {place}:
        changed = list(features)
        changed[other] = changed[other].roll(1, 2)
        assert torch.equal(model.decode(tuple(changed)).query_embed, expected)
    features[place] = features[place].flip(3)
    assert not torch.allclose(model.decode(tuple(features)).query_embed, expected)


@torch.no_grad()
def test_dropout_is_as_configured() -> None:
    images, plain = pictures(64, 64).pixel_values, seeded(MaskFormer(replace(SWIN, dropout=0.0)))
    assert torch.equal(plain.train()(images).mask_logits, plain.eval()(images).mask_logits)
    dropped = MaskFormer(replace(SWIN, dropout=0.5))
    dropped.load_state_dict(plain.state_dict())
    assert torch.equal(dropped.eval()(images).mask_logits, plain(images).mask_logits)
    assert not torch.equal(dropped.train()(images).mask_logits, plain(images).mask_logits)


def test_the_backbones_parameters_are_some_of_all_and_its_batch_norms_can_be_frozen() -> None:
    model = seeded(MaskFormer(DEEP_RESNET)).train()
    assert {id(p) for p in model.backbone_parameters} < {id(p) for p in model.parameters()}
    freeze_batch_norm(model)
    before = {name: value.clone() for name, value in model.state_dict().items() if "running" in name}
    model(pictures().pixel_values)
    assert before
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_it_starts_as_detr_does() -> None:
    torch.manual_seed(0)
    model = MaskFormer(replace(SWIN, hidden_dim=64, num_queries=100))
    assert model.transformer.queries_embedder.weight.std().item() == pytest.approx(1.0, rel=0.05)
    layer = model.transformer.decoder.layers[0]
    assert layer.self_attn.k_proj.weight.abs().max().item() == pytest.approx((6 / (4 * 64)) ** 0.5, rel=0.02)
    assert layer.self_attn.o_proj.weight.abs().max().item() == pytest.approx((6 / (2 * 64)) ** 0.5, rel=0.02)


@torch.no_grad()
def test_dilations_change_the_last_map_alone_and_no_shape() -> None:
    assert DILATED.deep_resnet is not None
    dense = replace(DILATED, deep_resnet=replace(DILATED.deep_resnet, multi_grid=()))
    models, images = [seeded(MaskFormer(config)).eval() for config in (DILATED, dense)], pictures().pixel_values
    found = [model.features(images) for model in models]
    assert [torch.equal(*maps) for maps in zip(*found, strict=True)] == [True, True, True, False]
    assert found[0][3].shape == found[1][3].shape


def test_building_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    for config in BACKBONES.values():
        MaskFormer(config)
    assert capfd.readouterr() == ("", "")


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="exactly one backbone"):
        MaskFormerConfig()
    with pytest.raises(ValueError, match="exactly one backbone"):
        MaskFormerConfig(resnet=ResNetBackbone(), deep_resnet=DeepResNetBackbone())
    for wrong in ((1, 2), (1, 2, 4, 8), (1, 2, 0)):
        with pytest.raises(ValueError, match="multi_grid must have a positive dilation for each"):
            DeepResNetBackbone(multi_grid=wrong)
    with pytest.raises(ValueError, match="pixel_dim must be a multiple of 32"):
        replace(SWIN, pixel_dim=48)
    with pytest.raises(ValueError, match=r"hidden_dim must be a multiple of num_heads, got 32 and 5"):
        replace(SWIN, num_heads=5)
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\)"):
        replace(SWIN, dropout=1.0)

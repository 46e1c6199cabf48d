from dataclasses import replace

import pytest
import torch
from transformers import Mask2FormerForUniversalSegmentation, Mask2FormerModel

from lexiseg.encoders import colours
from lexiseg.encoders.segmenters.mask2former import (
    ResNetBackbone,
    Segmenter,
    SegmenterConfig,
    SwinBackbone,
    freeze_batch_norm,
    from_transformers,
    to_transformers,
)
from tiny import RESNET, SIZES, SWIN, pictures, seeded

BACKBONES = {"resnet": RESNET, "swin": SWIN}


@pytest.mark.parametrize("backbone", BACKBONES)
@torch.no_grad()
def test_masks_and_queries_after_every_layer_are_transformers_own(backbone: str) -> None:
    theirs = to_transformers(BACKBONES[backbone])
    theirs.num_labels, theirs.output_auxiliary_logits = 5, True
    reference = seeded(Mask2FormerForUniversalSegmentation(theirs)).eval()
    segmenter = Segmenter(BACKBONES[backbone]).eval()
    segmenter.mask2former.load_state_dict(reference.model.state_dict())
    images = pictures(64, 96).pixel_values
    expected = reference(
        (images - torch.tensor(colours.IMAGENET.mean).view(3, 1, 1)) / torch.tensor(colours.IMAGENET.std).view(3, 1, 1)
    )

    found = segmenter(images, every_layer=True)

    assert found.mask_logits.shape == (2, SIZES["num_queries"], 16, 24)
    assert len(found.aux) == SIZES["decoder_layers"]
    last = {
        "masks_queries_logits": expected.masks_queries_logits,
        "class_queries_logits": expected.class_queries_logits,
    }
    for ours, layer in zip((*found.aux, found), (*expected.auxiliary_logits, last), strict=True):
        torch.testing.assert_close(ours.mask_logits, layer["masks_queries_logits"], atol=1e-4, rtol=0)
        logits = reference.class_predictor(ours.query_embed)
        torch.testing.assert_close(logits, layer["class_queries_logits"], atol=1e-4, rtol=0)
        assert ours.factors is not None
        torch.testing.assert_close(ours.factors.of(1, torch.tensor([2, 0])), ours.mask_logits[1, [2, 0]])
    alone = segmenter(images)
    assert alone.aux == ()
    assert alone.factors is None
    torch.testing.assert_close(alone.mask_logits, found.mask_logits)


PUBLISHED = {
    "r50": SegmenterConfig(resnet=ResNetBackbone()),
    "swin-t": SegmenterConfig(swin=SwinBackbone(depths=(2, 2, 6, 2))),
    "swin-l": SegmenterConfig(
        swin=SwinBackbone(embed_dim=192, num_heads=(6, 12, 24, 48), window_size=12, image_size=384), num_queries=200
    ),
    "narrow pixel decoder": SegmenterConfig(resnet=ResNetBackbone(), mask_dim=128),
}


@pytest.mark.parametrize("size", PUBLISHED)
def test_weights_have_the_names_the_shapes_and_the_order_of_transformers(size: str) -> None:
    """Published files and checkpoints go by the names, what an optimiser has stored by the order."""
    with torch.device("meta"):
        ours = Segmenter(PUBLISHED[size]).mask2former
        theirs = Mask2FormerModel(to_transformers(PUBLISHED[size]))

    shapes = [(name, value.shape) for name, value in ours.named_parameters()]
    assert shapes == [(name, value.shape) for name, value in theirs.named_parameters()]
    assert ours.state_dict().keys() == theirs.state_dict().keys()


def test_maps_are_projected_for_queries_of_another_width() -> None:
    config = replace(RESNET, mask_dim=64)
    theirs, ours = seeded(Mask2FormerModel(to_transformers(config))).eval(), Segmenter(config).eval()
    ours.mask2former.load_state_dict(theirs.state_dict())
    images = pictures(64, 96).pixel_values

    with torch.no_grad():
        found, expected = ours(images), theirs(colours.IMAGENET.normalise(images))

    torch.testing.assert_close(found.mask_logits, expected.masks_queries_logits[-1], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "config",
    [RESNET, SWIN, SegmenterConfig(resnet=ResNetBackbone()), SegmenterConfig(swin=SwinBackbone(), num_queries=200)],
)
def test_sizes_come_back_from_transformers_words(config: SegmenterConfig) -> None:
    assert from_transformers(to_transformers(config).to_dict()) == config


def test_pictures_of_a_batch_do_not_disturb_one_another() -> None:
    segmenter, images = seeded(Segmenter(RESNET)).eval(), pictures().pixel_values
    with torch.no_grad():
        together, alone = segmenter(images), segmenter(images[1:])
    torch.testing.assert_close(together.mask_logits[1:], alone.mask_logits, atol=1e-4, rtol=1e-4)


def test_frozen_batch_norms_keep_their_statistics() -> None:
    segmenter = seeded(Segmenter(RESNET)).train()
    freeze_batch_norm(segmenter)
    before = {k: v.clone() for k, v in segmenter.state_dict().items() if "running" in k or "tracked" in k}
    segmenter(pictures().pixel_values).mask_logits.sum().backward()
    assert before
    assert all(torch.equal(segmenter.state_dict()[name], value) for name, value in before.items())


def test_the_backbones_parameters_are_some_of_all() -> None:
    segmenter = Segmenter(RESNET)
    backbone, whole = segmenter.backbone_parameters, list(segmenter.parameters())
    assert 0 < len(backbone) < len(whole)
    assert {id(p) for p in backbone} < {id(p) for p in whole}


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="exactly one backbone"):
        SegmenterConfig()
    with pytest.raises(ValueError, match="exactly one backbone"):
        SegmenterConfig(resnet=ResNetBackbone(), swin=SwinBackbone())
    with pytest.raises(ValueError, match="must be a multiple of 32"):
        SegmenterConfig(resnet=ResNetBackbone(), hidden_dim=48)

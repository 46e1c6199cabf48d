import pytest
import torch
from transformers import Mask2FormerForUniversalSegmentation

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
    torch.testing.assert_close(found.mask_logits, expected.masks_queries_logits)
    logits = reference.class_predictor(found.query_embed)
    torch.testing.assert_close(logits, expected.class_queries_logits)
    for ours, layer in zip(found.aux, expected.auxiliary_logits, strict=True):
        torch.testing.assert_close(ours.mask_logits, layer["masks_queries_logits"])
        torch.testing.assert_close(reference.class_predictor(ours.query_embed), layer["class_queries_logits"])
    assert segmenter(images).aux == ()


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

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.model import CLIP
from torch import nn

from lexiseg.encoders import colours
from lexiseg.encoders.clip.convnext import ConvNextClip, ConvNextConfig
from lexiseg.encoders.clip.resnet import Clip
from tiny import CLIP as RESNET
from tiny import CONVNEXT, pictures, seeded


def shapes(module: nn.Module) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in module.state_dict().items()}


def open_clips(name: str, **text: int) -> CLIP:
    config: Any = open_clip.get_model_config(name)
    return CLIP(**config | {"text_cfg": config["text_cfg"] | text})


@pytest.mark.parametrize("name", ["convnext_tiny", "convnext_base", "convnext_large_d_320", "convnext_xxlarge"])
def test_weights_have_open_clips_names_and_shapes(name: str) -> None:
    with torch.device("meta"):
        own, theirs = ConvNextClip(ConvNextConfig.named(name)).clip, open_clips(name)

    assert shapes(own) == shapes(theirs)


@torch.no_grad()
def test_pictures_are_embedded_as_open_clip_does() -> None:
    config = replace(ConvNextConfig.named("convnext_tiny"), text_width=32, text_heads=2, text_layers=1)
    own, theirs = seeded(ConvNextClip(config)).eval(), open_clips("convnext_tiny", width=32, heads=2, layers=1).eval()
    theirs.load_state_dict(own.clip.state_dict())
    pixel_values = pictures(64, 96, 2).pixel_values

    found = own.encode_image(pixel_values)

    expected = theirs.encode_image(colours.CLIP.normalise(pixel_values))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert found.std(0).mean() > 1e-3


def test_a_published_name_that_is_no_convnext_is_refused() -> None:
    with pytest.raises(ValueError, match="expected an open_clip model with a ConvNeXt, got 'RN50'"):
        ConvNextConfig.named("RN50")


@torch.no_grad()
def test_a_mask_over_the_whole_picture_is_the_picture() -> None:
    clip, images = seeded(ConvNextClip(CONVNEXT)).eval(), pictures(64, 96, 2).pixel_values
    inside = torch.ones(2, 1, 2, 3, dtype=torch.bool)

    found = clip.embed_inside(clip.dense_map(images), inside)

    torch.testing.assert_close(found[:, 0], clip.encode_image(images), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_stages_have_the_promised_strides_and_widths() -> None:
    convnext, resnet = seeded(ConvNextClip(CONVNEXT)).eval(), seeded(Clip(RESNET)).eval()
    clips: list[tuple[Any, tuple[int, ...]]] = [(convnext, CONVNEXT.stage_dims), (resnet, RESNET.stage_dims)]
    for clip, widths in clips:
        found = clip.stages(torch.zeros(1, 3, 64, 96))
        strides = (4, 8, 16, 32)
        assert [tuple(one.shape) for one in found] == [
            (1, width, 64 // stride, 96 // stride) for width, stride in zip(widths, strides, strict=True)
        ]


def test_the_clip_of_fc_clip_has_the_official_keys(shared: Path) -> None:
    listed = shared / "golden" / "official-full-size" / "fcclip_convnext_l_cocopan.keys.json"
    keys = json.loads(listed.read_text())["clip_keys"]

    with torch.device("meta"):
        own = ConvNextClip(ConvNextConfig.named("convnext_large_d_320")).clip

    assert shapes(own) == {key: value["shape"] for key, value in keys.items()}

"""Pictures of assembled models have the pixels that the published programs give them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from transformers import (
    EomtImageProcessor,
    Mask2FormerImageProcessor,
    MaskFormerImageProcessor,
    OneFormerImageProcessor,
)

from lexiseg.core.batches import to_image_batch
from lexiseg.encoders import colours
from lexiseg.encoders.segmenters.preparation import Preparation, Regime, read_preparation

SHAPES = [(97, 143), (143, 97), (61, 211), (211, 61), (120, 120), (64, 333), (48, 80)]
"""Height and width: odd, long enough to meet the longest side, square, and as large as they should be."""
SIZES: dict[str, Any] = {
    "square": {"height": 96, "width": 96},
    "edges": {"shortest_edge": 80, "longest_edge": 133},
    "the first": 80,
}


def photograph(shape: tuple[int, int]) -> np.ndarray:
    """Noise over a gradient: every rounding of a pixel shows."""
    rng = np.random.default_rng(shape)
    slope = np.linspace(0, 180, shape[1])[None, :, None]
    return (slope + rng.integers(0, 76, (*shape, 3))).astype(np.uint8)


def prepared(folder: Path, document: dict[str, Any] | None, regime: Regime, model_type: str = "mask2former", **of: Any):
    """Reads the preparation of a folder that holds a preprocessor's file."""
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, **of}))
    if document is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(document))
    return read_preparation(folder, num_classes=133, regime=regime)


def pixels(picture: np.ndarray, found: Preparation) -> torch.Tensor:
    """What the network sees."""
    sides = {"longest": found.longest_side, "shortest": found.shortest_side}
    images = to_image_batch([picture], **sides, resizing=found.resizing)
    padded = images.pixel_values if found.padding == "black" else images.padded_with(colours.IMAGENET.mean)
    return colours.IMAGENET.normalise(padded)[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theirs", [Mask2FormerImageProcessor, MaskFormerImageProcessor])
def test_in_the_published_regime_pixels_are_transformers_own(theirs: Any, size: str, shape: tuple[int, int], tmp_path):
    document = {"size": SIZES[size], "_max_size": 133, "size_divisor": 32}
    picture, processor = photograph(shape), theirs(size=SIZES[size], max_size=133 if size == "the first" else None)

    expected = processor([picture], return_tensors="pt")["pixel_values"][0]
    found = pixels(picture, prepared(tmp_path, document, "published"))

    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("regime", ["official", "published"])
def test_an_eomts_canvas_is_transformers_own_in_either_regime(regime: Regime, shape: tuple[int, int], tmp_path: Path):
    size = {"shortest_edge": 96, "longest_edge": 96}
    document, picture = {"size": size, "do_pad": True}, photograph(shape)

    expected = EomtImageProcessor(size=size, do_pad=True)([picture], return_tensors="pt")["pixel_values"][0]
    found = pixels(picture, prepared(tmp_path, document, regime, "eomt", image_size=96))

    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_oneformers_picture_is_transformers_own_and_its_canvas_made_of_whole_strides(
    shape: tuple[int, int], tmp_path
):
    size, picture = SIZES["edges"], photograph(shape)

    expected = OneFormerImageProcessor(size=size, num_labels=3)(
        [picture], task_inputs=["panoptic"], return_tensors="pt"
    )
    found = pixels(picture, prepared(tmp_path, {"size": size}, "published", "oneformer"))

    picture_values = expected["pixel_values"][0]
    height, width = picture_values.shape[-2:]
    torch.testing.assert_close(found[:, :height, :width], picture_values, atol=1e-5, rtol=0)
    assert found.shape[-2:] == (-(-height // 32) * 32, -(-width // 32) * 32)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", ["edges", "the first"])
def test_in_the_official_regime_pixels_are_pillows(size: str, shape: tuple[int, int], tmp_path: Path) -> None:
    """detectron2's ResizeShortestEdge, written anew; then normalised, then padded with zeros."""
    picture, (height, width) = photograph(shape), shape
    scale = 80 / min(shape)
    new_height, new_width = height * scale, width * scale
    if max(new_height, new_width) > 133:
        new_height, new_width = (side * 133 / max(new_height, new_width) for side in (new_height, new_width))
    new_height, new_width = int(new_height + 0.5), int(new_width + 0.5)
    resized = np.asarray(Image.fromarray(picture).resize((new_width, new_height), Image.Resampling.BILINEAR))
    values = torch.from_numpy(resized.copy()).permute(2, 0, 1)[None] / 255
    expected = F.pad(colours.IMAGENET.normalise(values)[0], (0, -new_width % 32, 0, -new_height % 32))

    found = pixels(picture, prepared(tmp_path, {"size": SIZES[size], "max_size": 133, "size_divisor": 32}, "official"))

    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("document", "regime", "complaint"),
    [
        (None, "published", "has no preprocessor_config.json"),
        ({"size": {"height": 384}}, "published", "expected height and width"),
        ({"size": {"height": 8, "width": 384}}, "published", "expected height and width"),
        ({"size": {"height": 384, "width": 1e9}}, "published", "expected height and width"),
        ({"size_divisor": 0}, "official", "size_divisor"),
        ({"size": 1500, "max_size": 64}, "official", "1500 and 64"),
        ({"image_mean": [0.5, 0.5, 0.5]}, "official", "image_mean"),
        ({"image_std": "none"}, "official", "image_std"),
    ],
)
def test_what_no_picture_can_be_prepared_by_ends_in_one_sentence(document, regime: Regime, complaint: str, tmp_path):
    with pytest.raises(ValueError, match=complaint) as caught:
        prepared(tmp_path, document, regime)
    assert str(caught.value).count("\n") == 0

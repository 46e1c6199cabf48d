"""The merge equals the panoptic maps of the official Mask2Former and FC-CLIP programs, pixel by pixel."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from lexiseg.core.frames import Frame
from lexiseg.core.structures import MaskPrediction, PanopticMap
from lexiseg.core.vocabulary import Concept, Vocabulary
from lexiseg.models.postprocess.panoptic import MergeConfig, panoptic_map

MASK2FORMER = MergeConfig(rank_by="class", score_threshold=0.8, void_competes=True)
FC_CLIP = MergeConfig(rank_by="class", score_threshold=0.0, void_competes=True)
"""The thresholds of the official configurations."""


@pytest.mark.parametrize("output", ["", "resized."])
@pytest.mark.parametrize("name", ["mask2former-swin-tiny", "mask2former-r50-tiny"])
def test_the_merge_equals_mask2formers(shared: Path, name: str, output: str) -> None:
    config, arrays = golden(shared, name)
    merged = merge(
        arrays["mask_logits"],
        arrays["class_logits"].softmax(-1),
        config["thing_contiguous_ids"],
        MASK2FORMER,
        frame_of(config, resized=bool(output)),
    )
    assert_same_map(merged, arrays[f"{output}panoptic_seg"], config[f"{output.replace('.', '_')}segments_info"])


@pytest.mark.parametrize("output", ["train", "other", "other.resized"])
@pytest.mark.parametrize("name", ["fcclip-tiny", "fcclip-rn-tiny"])
def test_the_merge_equals_fc_clips(shared: Path, name: str, output: str) -> None:
    config, arrays = golden(shared, name)
    vocabulary, is_resized = output.split(".")[0], "resized" in output
    merged = merge(
        arrays["mask_logits"],
        arrays[f"{vocabulary}.class_log_prob"].softmax(-1),
        config["vocabularies"][vocabulary]["thing_ids"],
        FC_CLIP,
        frame_of(config, resized=is_resized),
    )
    assert_same_map(merged, arrays[f"{output}.panoptic_seg"], config["segments_info"][output.split(".")[-1]])


def golden(shared: Path, name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    folder = shared / "golden" / name
    return json.loads((folder / "config.json").read_text()), load_file(folder / "io.safetensors")


def frame_of(config: dict[str, Any], *, resized: bool) -> Frame:
    fed, padded = tuple(config["image_size_hw"]), tuple(config["padded_size_hw"])
    return Frame(original=tuple(config["resized_output_size_hw"]) if resized else fed, resized=fed, padded=padded)


def merge(mask_logits: Tensor, probs: Tensor, things: list[int], config: MergeConfig, frame: Frame) -> PanopticMap:
    """Of the probabilities of K classes and of none, which stands last."""
    num_classes = probs.shape[-1] - 1
    prediction = MaskPrediction(
        mask_logits=mask_logits[None],
        class_logits=probs[None, :, :-1].log(),
        void_probs=probs[None, :, -1],
        iou_scores=torch.ones(1, len(probs)),
        num_concepts=num_classes,
    )
    concepts = tuple(Concept(name=f"class {k}", is_thing=k in things) for k in range(num_classes))
    return panoptic_map(prediction, 0, frame, Vocabulary(concepts), config)


def assert_same_map(merged: PanopticMap, official: Tensor, segments_info: list[dict[str, Any]]) -> None:
    """The same pixels in the same segments of the same classes; official ids follow the queries, ours the scores."""
    ids = official.numpy()
    assert merged.segmentation.shape == ids.shape
    assert ((merged.segmentation == 0) == (ids == 0)).all()
    class_of = {info["id"]: info["category_id"] for info in segments_info}
    ours = {segment.id: segment.class_id for segment in merged.segments}
    pairs = {(int(a), int(b)) for a, b in np.unique(np.stack([merged.segmentation, ids], -1).reshape(-1, 2), axis=0)}
    pairs -= {(0, 0)}
    assert len(pairs) == len(ours) == len(class_of)
    assert {(ours[a], b) for a, b in pairs} == {(class_id, b) for b, class_id in class_of.items()}

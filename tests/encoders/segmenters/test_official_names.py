"""The names of detectron2's Mask2Former and FC-CLIP: ours lead to all of them, and back."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lexiseg.encoders.segmenters.mask2former import ResNetBackbone, Segmenter, SegmenterConfig, SwinBackbone
from lexiseg.encoders.segmenters.official_names import (
    Renaming,
    decoder_sizes,
    in_current_names,
    pixel_decoder_rows,
    query_decoder_rows,
    resnet_rows,
    resnet_sizes,
    swin_rows,
    swin_sizes,
)
from tiny import RESNET, SWIN, same, seeded

OWN = "mask2former.pixel_level_module."
DECODERS = (*pixel_decoder_rows(f"{OWN}decoder."), *query_decoder_rows("mask2former.transformer_module."))
SWIN_NAMES = Renaming((*swin_rows(f"{OWN}encoder."), *DECODERS))
RESNET_NAMES = Renaming((*resnet_rows(f"{OWN}encoder."), *DECODERS))


def own_state(config: SegmenterConfig) -> dict[str, Tensor]:
    state = seeded(Segmenter(config)).state_dict()
    return {name: tensor for name, tensor in state.items() if ".swin.layernorm." not in name}


@pytest.mark.parametrize(("config", "names"), [(SWIN, SWIN_NAMES), (RESNET, RESNET_NAMES)], ids=["swin", "resnet"])
def test_names_lead_there_and_back_and_sizes_are_read_from_the_weights(
    config: SegmenterConfig, names: Renaming
) -> None:
    own = own_state(config)
    there = names.to_official(own)
    back = names.from_official(there, own)

    assert same(own, back)
    decoders = {name: size for name, size in decoder_sizes(there).items() if getattr(config, name) != size}
    backbone = config.swin or config.resnet
    read = swin_sizes(there) if config.swin else resnet_sizes(there)
    assert decoders == {"num_heads": 8} or decoders == {}
    assert {name: getattr(backbone, name) for name in read} == read


def test_all_three_generations_of_names_are_one() -> None:
    today = SWIN_NAMES.to_official(own_state(SWIN))
    model_zoo = {key.replace("query_feat", "static_query"): tensor for key, tensor in today.items()}
    oldest = {key.replace("sem_seg_head.pixel_decoder.", "sem_seg_head."): tensor for key, tensor in model_zoo.items()}

    assert "sem_seg_head.predictor.static_query.weight" in model_zoo
    assert "sem_seg_head.mask_features.weight" in oldest
    for generation in (today, model_zoo, oldest):
        assert same(in_current_names(generation), today)


FULL_SIZE = {
    "mask2former_swin_l_coco_panoptic": (SWIN_NAMES, {"embed_dim": 192, "window_size": 12, "depths": (2, 2, 18, 2)}),
    "mask2former_swin_b_in21k_coco_panoptic": (SWIN_NAMES, {"embed_dim": 128, "num_heads": (4, 8, 16, 32)}),
    "mask2former_r50_coco_panoptic": (RESNET_NAMES, {"hidden_sizes": (256, 512, 1024, 2048), "depths": (3, 4, 6, 3)}),
    "fcclip_convnext_l_cocopan": (Renaming(DECODERS), {}),
    "fcclip_r50_cocopan": (Renaming(DECODERS), {}),
}
ELSEWHERE = ("relative_position_index", "criterion.empty_weight", "void_embedding", "logit_scale", "_mask_pooling_proj")
"""What is no weight, or FC-CLIP's own; the class head is neither decoder's."""


@pytest.mark.parametrize("name", FULL_SIZE)
def test_every_name_of_the_official_full_size_models_is_known(name: str, shared: Path) -> None:
    names, expected = FULL_SIZE[name]
    keys = json.loads((shared / "golden" / "official-full-size" / f"{name}.keys.json").read_text())["keys"]
    official = {key: torch.empty(value["shape"], device="meta") for key, value in keys.items()}
    official = {k: v for k, v in official.items() if not any(part in k for part in (*ELSEWHERE, "class_embed"))}
    read: dict[str, Any] = {}
    config = SegmenterConfig(resnet=ResNetBackbone(), **decoder_sizes(official))  # pyright: ignore[reportArgumentType]
    if names is SWIN_NAMES:
        read = swin_sizes(official)
        config = replace(config, resnet=None, swin=SwinBackbone(**read))
    elif names is RESNET_NAMES:
        read = resnet_sizes(official)
    with torch.device("meta"):
        own = Segmenter(config).state_dict()
    own = {k: v for k, v in own.items() if ".swin.layernorm." not in k and "num_batches" not in k}
    if not read:  # FC-CLIP's backbone is a CLIP
        own = {k: v for k, v in own.items() if f"{OWN}encoder." not in k}

    there = names.to_official(own)

    assert expected.items() <= read.items()
    assert there.keys() == official.keys()
    widths = () if read else ("input_proj", "adapter_1.weight")  # of a backbone's maps
    others = [key for key in there if there[key].shape != official[key].shape]
    assert [key for key in others if not any(part in key for part in widths)] == []

"""What --show tells of a recipe is what the recipe is."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import tiny
from lexiseg.encoders.clip.resnet import ClipConfig
from lexiseg.encoders.segmenters.mask2former import SegmenterConfig
from lexiseg.training.launch import SEQUENCES, WHOLE, find_recipe, recipe_names
from lexiseg.training.recipes.storybook import mask2former_tiny
from lexiseg.training.recipes.summary import count_parameters, estimate_memory, list_answers, list_fields
from lexiseg.training.segmentation.closed_set import ClosedSet
from lexiseg.training.segmentation.opsnet import OPSNetRecipe, opsnet_config


def test_every_field_is_listed_once_by_its_dotted_name() -> None:
    recipe = replace(mask2former_tiny(), seed=12_345)
    listed = dict(list_fields(recipe))

    assert listed["seed"] == "12,345"
    assert listed["optim.lr"] == "0.001"
    assert listed["segmenter.resnet.depths"] == "(1, 1, 2, 1)"
    assert listed["segmenter.swin"] == "-"
    assert listed["vocabulary"].startswith("56 names (")
    assert len(listed) == len(list(list_fields(recipe)))


def test_every_recipe_can_be_listed_and_counted() -> None:
    for name in recipe_names():
        if name != WHOLE and name not in SEQUENCES:
            recipe = find_recipe(name)
            assert dict(list_fields(recipe))["seed"] == "0"
            assert (recipe.count_pictures() or 1) > 0


def test_what_an_opsnet_answers_with_is_what_its_config_will_say() -> None:
    recipe = find_recipe("opsnet-r50")
    assert isinstance(recipe, OPSNetRecipe)
    config = opsnet_config(recipe, ClipConfig())
    told = dict(list_answers(recipe))

    assert told["modulation.alpha"] == str(config.modulation.alpha)
    assert told["merge.rank_by"] == config.merge.rank_by
    assert {name.partition(".")[0] for name in told} == {"modulation", "merge"}
    assert (config.padding, config.enhancer_is_masked) == ("mean", True)
    assert list_answers(mask2former_tiny()) == []


def test_a_model_whose_clip_is_not_known_has_no_count() -> None:
    assert count_parameters(find_recipe("opsnet-tiny")) == ()


@pytest.mark.parametrize("segmenter", [tiny.RESNET, tiny.SWIN])
def test_estimated_activations_are_what_a_real_pass_keeps(segmenter: SegmenterConfig) -> None:
    recipe = replace(mask2former_tiny(), segmenter=segmenter)
    model = tiny.seeded(ClosedSet(segmenter, mask2former_tiny().vocabulary)).eval()
    side = recipe.framing.image_size
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    hooks: Any = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16):
        model.segmenter(torch.zeros(1, 3, side, side), every_layer=True)
    real = sum(t.untyped_storage().nbytes() for pointer, t in kept.items() if pointer not in own)
    estimate = estimate_memory(recipe)

    assert estimate is not None
    assert estimate.activations == pytest.approx(real, rel=0.02)
    assert estimate.weights == 16 * sum(p.numel() for p in model.parameters())

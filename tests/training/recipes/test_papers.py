"""Recipes at the papers' size: what they build, without memory, and that they learn."""

import functools
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import match_categories
from lexiseg.data.dataset import Category, Dataset
from lexiseg.data.formats.coco_panoptic import PanopticWriter, read_panoptic
from lexiseg.data.samples.segmentation import SegmentationDataset, collate
from lexiseg.data.samples.transforms import Framing
from lexiseg.encoders.clip.vit import VitClip
from lexiseg.models.opsnet import OPSNet
from lexiseg.models.ovseg import OVSeg
from lexiseg.training.launch import find_recipe
from lexiseg.training.recipes.summary import count_parameters
from lexiseg.training.segmentation.opsnet import OPSNetRecipe, new_opsnet
from lexiseg.training.segmentation.ovseg import OVSegRecipe, new_ovseg
from lexiseg.training.segmentation.task import SegmentationTask

OPSNETS = ("opsnet-r50", "opsnet-r101", "opsnet-swin-s", "opsnet-swin-l")
OVSEGS = ("ovseg-r101", "ovseg-swin-base")
SMALLEST = ("opsnet-r50", "ovseg-r101")
MASK2FORMER = {"opsnet-r50": 44.0, "opsnet-r101": 63.0, "opsnet-swin-s": 68.8, "opsnet-swin-l": 215.5}
"""Published sizes, in millions."""
CLASSES = 133
WORDS = Vocabulary.of("cat, sky:stuff", ("a {}.",))
"""Two words in place of the recipe's, and a text tower of one layer, which runs once before the first step."""


@functools.cache
def on_meta(name: str) -> nn.Module:
    with torch.device("meta"):
        model = find_recipe(name).build()
    assert model is not None
    return model


def million(*modules: nn.Module | None) -> float:
    return sum(p.numel() for module in modules if module is not None for p in module.parameters()) / 1e6


@pytest.mark.parametrize("name", OPSNETS)
def test_opsnet_adds_to_its_mask2former_what_the_paper_says(name: str) -> None:
    model = on_meta(name)
    assert isinstance(model, OPSNet)
    class_head = (model.config.segmenter.hidden_dim + 1) * (CLASSES + 1) / 1e6
    trunk = million(model.clip.visual) - million(model.clip.visual.attnpool)

    added = trunk + million(model.adapter, model.enhancer, model.head, model.iou_head) - class_head

    assert 26.5 <= added <= 27
    assert million(model.segmenter) + class_head == pytest.approx(MASK2FORMER[name], abs=0.1)
    assert len(model.config.training_vocabulary) == CLASSES


@pytest.mark.parametrize(("name", "shape"), [("ovseg-r101", (3, 196, 768)), ("ovseg-swin-base", (3, 256, 1024))])
def test_ovsegs_mask_prompts_have_the_papers_shape(name: str, shape: tuple[int, ...]) -> None:
    model = on_meta(name)
    assert isinstance(model, OVSeg)
    assert [tuple(p.shape) for p in model.clip.prompts.parameters()] == [shape]


@pytest.mark.parametrize("name", OPSNETS + OVSEGS)
def test_the_parts_of_a_recipe_add_up_to_its_model(name: str) -> None:
    parts = count_parameters(find_recipe(name))
    assert sum(p.num_trained + p.num_frozen for p in parts) == sum(p.numel() for p in on_meta(name).parameters())
    assert all(p.num_trained == 0 for p in parts if "CLIP" in p.name or p.name == "adapter")


@pytest.mark.parametrize(("name", "steps"), [("opsnet-r50", 368_750), ("opsnet-swin-l", 737_500)])
def test_the_rate_falls_twice_to_a_tenth_where_mask2formers_does(name: str, steps: int) -> None:
    recipe = find_recipe(name)
    assert isinstance(recipe, OPSNetRecipe)
    first, second = (round(share * steps) for share in (327_778 / 368_750, 355_092 / 368_750))

    assert recipe.steps == steps
    assert [recipe.optim_plan.lr_at(step) for step in (0, first - 1)] == [1e-4, 1e-4]
    assert [recipe.optim_plan.lr_at(step) for step in (first, second - 1)] == pytest.approx([1e-5, 1e-5])
    assert [recipe.optim_plan.lr_at(step) for step in (second, steps - 1)] == pytest.approx([1e-6, 1e-6])


def test_the_names_of_cocos_annotations_find_their_words() -> None:
    named = ("person", "floor-wood", "door-stuff", "Mirror-Stuff", "unicorn")
    categories = [Category(id=10 * i, name=name, is_thing=False) for i, name in enumerate(named)]
    coco = Vocabulary.of("coco")

    found = {key: coco.names[number] for key, number in match_categories(categories, coco).items()}

    assert found == {0: "person", 10: "wood floor", 20: "door", 30: "mirror"}


def test_words_of_the_drawn_world_are_found_by_their_names_alone() -> None:
    base, part = Vocabulary.of("storybook"), Vocabulary.of("storybook-part")
    categories = [Category(id=i, name=c.name, is_thing=c.is_thing) for i, c in enumerate(base.concepts)]
    for vocabulary in (base, part):
        places = {name: place for place, name in enumerate(vocabulary.names)}
        expected = {c.id: places[c.name] for c in categories if c.name in places}
        assert match_categories(categories, vocabulary) == expected


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two pictures of a cat under the sky."""
    root = tmp_path_factory.mktemp("coco")
    categories = (Category(id=17, name="cat", is_thing=True), Category(id=187, name="sky", is_thing=False))
    ids = np.ones((64, 64), np.int32)
    ids[32:, 16:48] = 2
    with PanopticWriter(root / "set", categories) as writer:
        for number in range(2):
            picture = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
            writer.add(number, Image.fromarray(picture), ids, {1: 187, 2: 17})
    return read_panoptic(root / "set")


def small_opsnet(recipe: OPSNetRecipe, data: Dataset) -> tuple[SegmentationTask[OPSNet], list[nn.Module]]:
    recipe = replace(recipe, framing=replace(recipe.framing, image_size=64), vocabulary=WORDS, batch_size=2)
    assert recipe.clip is not None
    model = new_opsnet(recipe, replace(recipe.clip, text_layers=1), None)
    assert model.enhancer is not None
    assert model.iou_head is not None
    trained = [model.segmenter.backbone, model.segmenter, model.enhancer, model.head, model.iou_head]
    return SegmentationTask(recipe, data, model, keeps_batch_norm=True, workers=0), trained


def small_ovseg(recipe: OVSegRecipe, data: Dataset) -> tuple[SegmentationTask[OVSeg], list[nn.Module]]:
    framing = Framing(image_size=64, scale_range=recipe.framing.scale_range, jitters_colour=True)
    clip = replace(recipe.model.clip, text_layers=1)
    recipe = replace(recipe, framing=framing, batch_size=2, model=replace(recipe.model, training_vocabulary=WORDS))
    model = new_ovseg(recipe, VitClip(clip))
    return SegmentationTask(recipe, data, model, keeps_batch_norm=True, workers=0), [
        model.segmenter.backbone,
        model.head,
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                name not in SMALLEST and "LEXISEG_FULL_SIZE" not in os.environ,
                reason="takes up to 6 GB and minutes; LEXISEG_FULL_SIZE=1 runs it",
            ),
        )
        for name in OPSNETS + OVSEGS
    ],
)
def test_one_step_moves_every_trained_part_and_leaves_clip_alone(name: str, coco: Dataset) -> None:
    recipe: Any = find_recipe(name)
    make: Callable[..., Any] = small_ovseg if isinstance(recipe, OVSegRecipe) else small_opsnet
    task, parts = make(recipe, coco)
    optimizer = task.optim_plan.optimizer(task.parameter_groups())
    before = [
        [p.detach().sum(dtype=torch.float64) for p in module.parameters()] for module in (task.model.clip, *parts)
    ]

    for group in optimizer.param_groups:
        group["lr"] = 1e-2
    loss = torch.stack(list(task.losses(next(task.batches(0)), 0).values())).sum()
    loss.backward()
    optimizer.step()

    after = [[p.detach().sum(dtype=torch.float64) for p in module.parameters()] for module in (task.model.clip, *parts)]
    moved = [any(one != other for one, other in zip(b, a, strict=True)) for b, a in zip(before, after, strict=True)]
    assert torch.isfinite(loss)
    assert moved == [False] + [True] * len(parts)


def test_pictures_of_any_size_are_cropped_to_one_canvas(coco: Dataset) -> None:
    recipe = find_recipe("opsnet-r50")
    assert isinstance(recipe, OPSNetRecipe)
    framing = replace(recipe.framing, image_size=64)
    data = SegmentationDataset(coco, match_categories(coco.categories, WORDS), framing)

    images, targets = collate([data[epoch, index] for epoch in range(4) for index in range(2)])

    assert images.pixel_values.shape == (8, 3, 64, 64)
    assert all(t.ignored.shape == (16, 16) for t in targets)
    assert len({frame.resized for frame in images.frames}) > 1
    assert match_categories(coco.categories, WORDS) == {17: 0, 187: 1}

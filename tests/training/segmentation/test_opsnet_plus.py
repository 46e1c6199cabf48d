"""OPSNet+ trainings, at the smallest size that is still whole."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tiny
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Dataset
from lexiseg.data.samples.labelled import with_labels
from lexiseg.data.samples.transforms import Framing
from lexiseg.encoders.clip.resnet import Clip
from lexiseg.models.opsnet import OPSNet
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.training.engine.microbatches import BatchSplit
from lexiseg.training.engine.task import EvaluatedTask, SharedTask
from lexiseg.training.engine.trainer import run
from lexiseg.training.recipes.opsnet_plus import (
    opsnet_plus_tiny,
    opsnet_plus_tiny_classes,
    opsnet_plus_tiny_control,
    plus,
)
from lexiseg.training.recipes.storybook import opsnet_tiny
from lexiseg.training.segmentation.batches import SegmentBatch
from lexiseg.training.segmentation.criterion import CriterionConfig
from lexiseg.training.segmentation.opsnet import new_opsnet
from lexiseg.training.segmentation.opsnet_plus import LabelSupervision, OPSNetPlusRecipe
from lexiseg.training.segmentation.task import SegmentationTask

RECIPE = replace(
    opsnet_plus_tiny(),
    segmenter=tiny.RESNET,
    vocabulary=Vocabulary.of("storybook", ("a {}",)),
    framing=Framing(image_size=64, flip_probability=0.5),
    steps=4,
    batch_size=2,
    labelled_batch_size=3,
    valid_iou=0.0,  # an untrained IoU head knows no good mask
    criterion=CriterionConfig(num_points=64),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("drawn") / "data"
    return write_storybook(StorybookSpec(role="base", split="train", count=4, size=(64, 64)), root)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("drawn") / "labels"
    return with_labels(write_storybook(StorybookSpec(role="image-level", split="train", count=4, size=(64, 48)), root))


def plus_task(
    data: Dataset, labelled: Dataset, recipe: OPSNetPlusRecipe = RECIPE, *, workers: int = 0
) -> SegmentationTask[OPSNet]:
    clip = tiny.seeded(Clip(tiny.CLIP))
    model = new_opsnet(recipe, tiny.CLIP, clip.state_dict())
    labels = LabelSupervision(recipe, labelled, model)
    return SegmentationTask(recipe, data, model, keeps_batch_norm=True, workers=workers, labels=labels)


def labelled_losses(task: SegmentationTask[OPSNet], batch: SegmentBatch) -> dict[str, Tensor]:
    """The terms that the pictures with labels add."""
    assert task.labels is not None
    assert batch.labelled is not None
    return task.labels.losses(task.model, batch.labelled)


def with_gradient(task: SegmentationTask[OPSNet]) -> set[str]:
    return {name for name, p in task.model.named_parameters() if p.grad is not None and p.grad.any()}


def parts(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def test_a_resumed_run_shows_the_losses_of_an_uninterrupted_one(
    data: Dataset, labelled: Dataset, tmp_path: Path
) -> None:
    whole = run(plus_task(data, labelled), tmp_path / "whole")

    first = run(plus_task(data, labelled), tmp_path / "parts", stop_after=2)
    second = run(plus_task(data, labelled), tmp_path / "parts", resume=True)

    assert first + second == whole


def test_a_step_trains_what_it_should_and_leaves_the_frozen_rest_bit_identical(
    data: Dataset, labelled: Dataset, tmp_path: Path
) -> None:
    task = plus_task(data, labelled, replace(RECIPE, steps=1))
    before = tiny.state(task.model)
    learned = {name for name, p in task.model.named_parameters() if p.requires_grad}

    run(task, tmp_path / "run")

    after = task.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed <= learned
    assert parts(changed) == {"segmenter", "enhancer", "head", "iou_head"}


def test_class_supervision_trains_names_and_not_masks(data: Dataset, labelled: Dataset) -> None:
    task = plus_task(data, labelled, replace(RECIPE, sum_weight=0.0))
    batch = next(task.batches(0))

    terms = labelled_losses(task, batch)
    terms["match"].backward()

    assert terms.keys() == {"match"}
    reached = with_gradient(task)
    assert parts(reached) == {"segmenter", "enhancer", "head"}
    assert not any("mask_embedder" in name or "void_embed" in name for name in reached)
    assert any("queries_features" in name for name in reached)


def test_mask_supervision_trains_masks_and_not_names(data: Dataset, labelled: Dataset) -> None:
    task = plus_task(data, labelled, replace(RECIPE, match_weight=0.0))
    batch = next(task.batches(0))

    terms = labelled_losses(task, batch)
    terms["sum"].backward()

    assert terms.keys() == {"sum"}
    reached = with_gradient(task)
    assert parts(reached) == {"segmenter"}
    assert any("mask_embedder" in name for name in reached)


def test_terms_carry_their_weights(data: Dataset, labelled: Dataset) -> None:
    task = plus_task(data, labelled)
    batch = next(task.batches(0))
    once = labelled_losses(task, batch)

    task.labels.recipe = replace(RECIPE, match_weight=3.0, sum_weight=1.2)
    thrice = labelled_losses(task, batch)

    assert thrice.keys() == {"match", "sum"}
    assert all(torch.allclose(thrice[name], 3 * once[name]) for name in thrice)


def test_losses_on_masks_are_those_without_labels(data: Dataset, labelled: Dataset) -> None:
    task = plus_task(data, labelled)
    clip = tiny.seeded(Clip(tiny.CLIP))
    model = new_opsnet(RECIPE, tiny.CLIP, clip.state_dict())
    control = SegmentationTask(RECIPE, data, model, keeps_batch_norm=True, workers=0)

    mixed = task.losses(next(task.batches(1)), 1)
    alone = control.losses(next(control.batches(1)), 1)

    assert mixed.keys() - alone.keys() == {"match", "sum"}
    assert all(torch.equal(mixed[name], alone[name]) for name in alone)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_steps_batch_is_a_function_of_seed_and_step_alone(data: Dataset, labelled: Dataset, workers: int) -> None:
    stream = plus_task(data, labelled).batches(0)
    first, second = next(stream), next(stream)
    again = next(plus_task(data, labelled, workers=workers).batches(1))

    assert torch.equal(again.labelled.images.pixel_values, second.labelled.images.pixel_values)
    assert torch.equal(again.labelled.labels, second.labelled.labels)
    assert torch.equal(again.images.pixel_values, second.images.pixel_values)
    assert not torch.equal(first.labelled.images.pixel_values, second.labelled.images.pixel_values)
    assert plus_task(data, labelled).pictures_in(again) == 2 + 3


def test_slices_of_a_batch_add_up_to_it(data: Dataset, labelled: Dataset) -> None:
    recipe = replace(RECIPE, batch_size=4, labelled_batch_size=4)
    task = plus_task(data, labelled, recipe)
    whole = task.losses(next(task.batches(0)), 0)

    slices = list(islice(task.batches(0, BatchSplit(num_slices=2)), 2))
    parts = [task.losses(part, 0) for part in slices]

    assert [task.pictures_in(part) for part in slices] == [4, 4]
    assert all(torch.allclose(parts[0][name] + parts[1][name], whole[name], rtol=0.02) for name in ("match", "sum"))
    assert len(task.pictures_of(0)) == 8


def test_a_copy_has_trained_weights_of_its_own(data: Dataset, labelled: Dataset) -> None:
    task = plus_task(data, labelled)
    assert isinstance(task, SharedTask)
    assert isinstance(task, EvaluatedTask)

    own = task.with_own_weights()

    assert own.module is not task.module
    assert own.model.head.project.weight is not task.model.head.project.weight
    assert own.model.clip.visual.conv1.weight is task.model.clip.visual.conv1.weight


def test_the_softmax_is_over_the_names_of_the_labels_alone(data: Dataset, labelled: Dataset) -> None:
    task = plus_task(data, labelled)

    assert task.labels.words.num_concepts == len(labelled.categories) > len(RECIPE.vocabulary)
    assert len(task.labels.words.similarity) == task.labels.words.num_concepts  # nothing competes from the other source
    assert 0 < task.labels.words.domain_similarity < 1  # to the names of the masks


def test_labels_that_no_class_carries_are_refused(data: Dataset, labelled: Dataset) -> None:
    stray = replace(labelled.samples[0], labels=(len(labelled.categories),))

    with pytest.raises(ValueError, match="labels must be places among the"):
        plus_task(data, replace(labelled, samples=(stray,)))


def test_each_row_of_table_3_differs_in_its_weights_alone() -> None:
    both, classes, control = (
        opsnet_plus_tiny(seed=3),
        opsnet_plus_tiny_classes(seed=3),
        opsnet_plus_tiny_control(seed=3),
    )

    assert (both.match_weight, both.sum_weight) == (1.0, 0.4)
    assert replace(classes, sum_weight=0.4) == both
    assert replace(control, match_weight=1.0, sum_weight=0.4) == both
    assert [r.learns_from_labels for r in (both, classes, control)] == [True, True, False]


def test_an_opsnet_plus_keeps_the_parts_of_its_opsnet() -> None:
    recipe = opsnet_tiny(seed=5)
    found = plus(recipe)

    assert (found.segmenter, found.vocabulary, found.framing, found.seed) == (
        recipe.segmenter,
        recipe.vocabulary,
        recipe.framing,
        5,
    )
    assert (found.steps, found.optim.lr) == (80_000, 1e-4)
    assert found.batch_size + found.labelled_batch_size == recipe.batch_size


@pytest.mark.parametrize("change", [{"match_weight": -1.0}, {"valid_iou": 1.0}, {"labelled_batch_size": 0}])
def test_numbers_that_make_no_sense_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        replace(RECIPE, **change)

"""Trainings of segmenters, at the smallest size that is still whole."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny
from lexiseg.core.random import fork_random
from lexiseg.core.structures import NAMELESS
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import own_vocabulary
from lexiseg.data.dataset import Dataset
from lexiseg.data.samples.transforms import Framing
from lexiseg.encoders.clip.resnet import Clip
from lexiseg.evaluation.evaluator import evaluate_dataset
from lexiseg.models.opsnet import OPSNet
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import BASE, STRANGER
from lexiseg.training.engine.run_settings import Precision, Reporters, TrainSettings
from lexiseg.training.engine.trainer import EngineConfig, run
from lexiseg.training.engine.validation import Validation
from lexiseg.training.recipes.storybook import opsnet_tiny, opsnet_tiny_plain
from lexiseg.training.segmentation.closed_set import ClosedSet
from lexiseg.training.segmentation.criterion import CriterionConfig
from lexiseg.training.segmentation.opsnet import OPSNetRecipe, new_opsnet, opsnet_to_go_on_with
from lexiseg.training.segmentation.run import training_data
from lexiseg.training.segmentation.task import SegmentationTask

RECIPE = replace(
    opsnet_tiny(),
    segmenter=tiny.RESNET,
    framing=Framing(image_size=64, flip_probability=0.5),
    num_pictures=6,
    steps=4,
    batch_size=2,
    criterion=CriterionConfig(num_points=64),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Six drawn pictures, written and read like COCO."""
    root = tmp_path_factory.mktemp("drawn") / "data"
    return write_storybook(StorybookSpec(role="base", split="train", count=6, size=(64, 64)), root)


def opsnet_task(data: Dataset, recipe: OPSNetRecipe = RECIPE) -> SegmentationTask[OPSNet]:
    """An OPSNet training around a random CLIP."""
    clip = tiny.seeded(Clip(tiny.CLIP))
    return SegmentationTask(recipe, data, new_opsnet(recipe, tiny.CLIP, clip.state_dict()), workers=0)


def closed_set_task(recipe: OPSNetRecipe, data: Dataset) -> SegmentationTask[ClosedSet]:
    """A closed-set training by a recipe of an OPSNet, which has all that one needs."""
    with fork_random(recipe.seed):
        model = ClosedSet(recipe.segmenter, recipe.vocabulary)
    return SegmentationTask(recipe, data, model, workers=0)


def test_a_resumed_run_shows_the_losses_of_an_uninterrupted_one(data: Dataset, tmp_path: Path) -> None:
    whole = run(opsnet_task(data), tmp_path / "whole")

    first = run(opsnet_task(data), tmp_path / "parts", stop_after=2)
    second = run(opsnet_task(data), tmp_path / "parts", resume=True)

    assert first + second == whole


def test_training_leaves_clip_and_its_buffers_bit_identical(data: Dataset, tmp_path: Path) -> None:
    task = opsnet_task(data)
    before = tiny.state(task.model.clip)
    adapter_before = tiny.state(task.model.adapter)

    run(task, tmp_path / "run")

    assert tiny.same(before, tiny.state(task.model.clip))
    assert tiny.same(adapter_before, tiny.state(task.model.adapter))
    assert not task.model.clip.training


def test_every_trained_part_of_an_opsnet_gets_a_gradient(data: Dataset) -> None:
    task = opsnet_task(data)
    batch = next(task.batches(0))

    sum(task.losses(batch, 0).values()).backward()

    untouched = [n for n, p in task.model.named_parameters() if p.requires_grad and p.grad is None]
    frozen = [n for n, p in task.model.named_parameters() if n.startswith(("clip.", "adapter.")) and p.grad is not None]
    assert frozen == []
    assert untouched == []


@pytest.mark.parametrize(
    ("precision", "has_units", "dtype"),
    [("bf16", True, torch.bfloat16), ("bf16", False, torch.float32), ("float32", True, torch.float32)],
)
def test_the_network_computes_in_the_recipes_precision_and_the_criterion_in_float32(
    data: Dataset, precision: Precision, has_units: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: has_units, raising=False)
    task = opsnet_task(data, replace(RECIPE, precision=precision))
    computed = tiny.dtypes_of_convolutions(task.model)

    layers = task.predict(next(task.batches(0)).images)

    assert computed == {dtype}
    assert {x.dtype for layer in layers for x in (layer.mask_logits, layer.class_logits)} == {torch.float32}


def test_a_pretrained_start_keeps_its_batch_norms(data: Dataset, tmp_path: Path) -> None:
    start = closed_set_task(RECIPE, data).model.segmenter.state_dict()
    clip = tiny.seeded(Clip(tiny.CLIP))
    model = new_opsnet(RECIPE, tiny.CLIP, clip.state_dict())
    model.segmenter.load_state_dict(start)
    task = SegmentationTask(RECIPE, data, model, keeps_batch_norm=True, workers=0)

    run(task, tmp_path / "run")

    after = task.model.segmenter.state_dict()
    norms = [name for name in after if "running_" in name]
    assert norms
    assert all(torch.equal(after[name], start[name]) for name in norms)
    assert not torch.equal(
        after["mask2former.transformer_module.queries_features.weight"],
        start["mask2former.transformer_module.queries_features.weight"],
    )


def test_an_opsnet_goes_on_under_other_words_with_the_same_weights(data: Dataset) -> None:
    model = opsnet_task(data).model
    before = tiny.state(model)
    words = Vocabulary.of("cat, sky")

    went_on = opsnet_to_go_on_with(replace(RECIPE, vocabulary=words), model)

    assert went_on.config.training_vocabulary == words
    assert tiny.same(before, tiny.state(went_on))


def test_an_opsnet_of_other_parts_is_no_start(data: Dataset) -> None:
    model = opsnet_task(data).model

    with pytest.raises(ValueError, match="whose segmenter and enhancer are the recipe's"):
        opsnet_to_go_on_with(replace(RECIPE, has_enhancer=False), model)


def test_the_closed_set_baseline_learns_two_pictures_by_heart(data: Dataset, tmp_path: Path) -> None:
    recipe = replace(RECIPE, steps=60, batch_size=2, optim=replace(RECIPE.optim, lr=3e-3, weight_decay=0.0))
    two = replace(data, samples=data.samples[:2])

    losses = run(closed_set_task(recipe, two), tmp_path / "run")

    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


@pytest.mark.slow
def test_a_model_in_training_is_measured_like_a_finished_one(data: Dataset, tmp_path: Path) -> None:
    task = opsnet_task(data)
    few = replace(data, samples=data.samples[:2])
    task.validation = Validation(data=few, vocabulary=own_vocabulary(data.categories), num_comparisons=1)
    drawn: list[Path] = []
    plain = run(opsnet_task(data), tmp_path / "plain")

    losses = run(
        task,
        tmp_path / "run",
        config=EngineConfig(evaluate_every=2, ema_decay=0.5),
        draw=lambda scene, path: drawn.append(path),
    )

    figures = evaluate_dataset(task.model, few, own_vocabulary(data.categories)).to_jsonable()
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    told = [line for line in lines if "val_pq" in line]
    assert [line["step"] for line in told] == [2, 4]
    assert told[-1]["val_pq"] == round(figures["pq"], 5)
    assert [path.name for path in drawn] == ["1-step-0000002.png", "1-step-0000004.png"]
    assert losses == plain


def test_a_step_knows_its_pictures(data: Dataset) -> None:
    task = opsnet_task(data)

    names = [name for step in range(3) for name in task.pictures_of(step)]

    assert sorted(names) == sorted(sample.file_name for sample in data.samples)


def test_strangers_are_targets_without_a_name_where_the_recipe_says_so(tmp_path: Path) -> None:
    data = write_storybook(StorybookSpec(role="strangers", split="train", count=4, size=(64, 64)), tmp_path / "drawn")
    recipe = replace(RECIPE, nameless=(STRANGER,))

    named, everything = (next(opsnet_task(data, one).batches(0)).targets for one in (RECIPE, recipe))

    for less, more in zip(named, everything, strict=True):
        is_named = more.class_ids != NAMELESS
        assert torch.equal(more.masks[is_named], less.masks)
        assert torch.equal(more.class_ids[is_named], less.class_ids)
        assert torch.equal(more.ignored | more.masks[~is_named].any(0), less.ignored)
    assert any((one.class_ids == NAMELESS).any() for one in everything)


def test_a_category_is_not_learned_with_its_name_and_without() -> None:
    with pytest.raises(ValueError, match=r"^'CAT' is a word of the vocabulary and one of `nameless`, but"):
        replace(RECIPE, nameless=(STRANGER, BASE.names[0].upper()))


def test_a_recipe_with_strangers_draws_them(tmp_path: Path) -> None:
    recipe = replace(RECIPE, num_pictures=2, nameless=(STRANGER,))
    drawn = training_data(recipe, TrainSettings(out=tmp_path, workers=0), Reporters())

    assert [c.name for c in drawn.categories] == [*BASE.names, STRANGER]
    assert {path.name for path in tmp_path.iterdir()} == {"strangers-2"}


def test_data_without_a_known_name_is_refused(data: Dataset) -> None:
    strangers = replace(data, categories=tuple(replace(c, name=f"x{c.name}") for c in data.categories))

    with pytest.raises(ValueError, match="no category of the training data"):
        next(opsnet_task(strangers).batches(0))


def test_the_recipe_without_enhancer_differs_in_nothing_else() -> None:
    plain = opsnet_tiny_plain()

    assert replace(plain, has_enhancer=True, steps=opsnet_tiny().steps) == opsnet_tiny()


def test_building_and_a_step_leave_torchs_generator_as_it_was(data: Dataset, tmp_path: Path) -> None:
    recipe = replace(RECIPE, segmenter=tiny.SWIN, steps=2)  # with stochastic depth
    clip = tiny.seeded(Clip(tiny.CLIP)).state_dict()

    def losses(name: str) -> list[float]:
        return run(SegmentationTask(recipe, data, new_opsnet(recipe, tiny.CLIP, clip), workers=0), tmp_path / name)

    before = torch.random.get_rng_state()
    first = losses("first")
    after = torch.random.get_rng_state()
    torch.rand(7)
    second = losses("second")

    assert torch.equal(after, before)
    assert first == second  # what others have drawn decides nothing

"""OVSeg's first stage, at the smallest size that is still whole."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Dataset
from lexiseg.data.samples.transforms import Framing
from lexiseg.encoders.clip.vit import VitClip
from lexiseg.encoders.segmenters.mask2former import Segmenter
from lexiseg.models.ovseg import OVSeg
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.training.engine.optim import scheduled_lr
from lexiseg.training.engine.trainer import run
from lexiseg.training.recipes import ovseg as recipes_ovseg
from lexiseg.training.recipes.ovseg import maskformer_tiny, ovseg_r101, ovseg_swin_base, simbaseline, zegformer
from lexiseg.training.segmentation.ovseg import OVSegRecipe, new_ovseg, ovseg_to_go_on_with, take_backbone
from lexiseg.training.segmentation.task import SegmentationTask

WHOLE = maskformer_tiny()
PLAIN = replace(tiny.VIT, prompts=None)
RECIPE = replace(
    WHOLE,
    model=replace(WHOLE.model, segmenter=replace(tiny.MASKFORMER, dropout=0.1), clip=PLAIN, head_hidden=32),
    framing=Framing(image_size=64, flip_probability=0.5),
    num_pictures=6,
    steps=4,
    batch_size=2,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Six drawn pictures, written and read like COCO."""
    root = tmp_path_factory.mktemp("drawn") / "data"
    return write_storybook(StorybookSpec(role="base", split="train", count=6, size=(64, 64)), root)


@pytest.fixture(scope="module")
def clip() -> VitClip:
    return tiny.seeded(VitClip(PLAIN)).eval()


def task(data: Dataset, clip: VitClip, recipe: OVSegRecipe = RECIPE) -> SegmentationTask[OVSeg]:
    """A training around a random CLIP."""
    return SegmentationTask(recipe, data, new_ovseg(recipe, clip), workers=0)


def test_a_resumed_run_with_dropout_shows_the_losses_of_an_uninterrupted_one(
    data: Dataset, clip: VitClip, tmp_path: Path
) -> None:
    whole = run(task(data, clip), tmp_path / "whole")

    first = run(task(data, clip), tmp_path / "parts", stop_after=2)
    torch.rand(17)  # whoever else draws from torch's own generator
    second = run(task(data, clip), tmp_path / "parts", resume=True)

    assert first + second == whole


def test_training_leaves_clip_bit_identical_and_gives_all_else_a_gradient(data: Dataset, clip: VitClip) -> None:
    training = task(data, clip)
    before = tiny.state(training.model.clip)

    sum(training.losses(next(training.batches(0)), 0).values()).backward()

    with_gradient = {n for n, p in training.model.named_parameters() if p.grad is not None}
    assert with_gradient == {n for n, _ in training.model.named_parameters() if not n.startswith("clip.")}
    assert tiny.same(before, tiny.state(training.model.clip))
    assert tiny.same(before, tiny.state(clip))
    assert not training.model.clip.training


def test_the_targets_are_one_mask_per_class(data: Dataset, clip: VitClip) -> None:
    targets = next(task(data, clip).batches(0)).targets

    assert all(len(t.class_ids) == len(t.class_ids.unique()) for t in targets)
    assert all((t.masks.sum(0) <= 1).all() for t in targets)


def test_it_learns_two_pictures_by_heart(data: Dataset, clip: VitClip, tmp_path: Path) -> None:
    optim = replace(RECIPE.optim, lr=3e-3, weight_decay=0.0)
    recipe = replace(RECIPE, steps=50, optim=optim, model=replace(RECIPE.model, segmenter=tiny.MASKFORMER))
    two = replace(data, samples=data.samples[:2])

    losses = run(task(two, clip, recipe), tmp_path)

    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


def test_a_model_begins_with_the_backbone_of_a_mask2former(clip: VitClip) -> None:
    trained = tiny.seeded(Segmenter(tiny.RESNET))
    model = new_ovseg(RECIPE, clip)
    before = tiny.state(model.segmenter.pixel_decoder)

    take_backbone(model, trained)

    assert tiny.same(tiny.state(model.segmenter.backbone), tiny.state(trained.backbone))
    assert tiny.same(tiny.state(model.segmenter.pixel_decoder), before)


def test_a_swin_begins_without_the_last_norm_that_nothing_reads(clip: VitClip) -> None:
    trained = tiny.seeded(Segmenter(tiny.SWIN))
    swin = replace(tiny.MASKFORMER, resnet=None, swin=tiny.SWIN.swin)
    model = new_ovseg(replace(RECIPE, model=replace(RECIPE.model, segmenter=swin)), clip)

    take_backbone(model, trained)

    found = trained.backbone.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in model.segmenter.backbone.state_dict().items())


def test_a_backbone_of_other_sizes_is_refused(clip: VitClip) -> None:
    with pytest.raises(ValueError, match="expected a start whose backbone is the recipe's"):
        take_backbone(new_ovseg(RECIPE, clip), Segmenter(tiny.SWIN))


def test_a_model_goes_on_under_the_recipes_words_with_the_same_weights(clip: VitClip) -> None:
    model = new_ovseg(RECIPE, clip)
    before = tiny.state(model)
    words = Vocabulary.of("cat, sky")

    went_on = ovseg_to_go_on_with(replace(RECIPE, model=replace(RECIPE.model, training_vocabulary=words)), model)

    assert went_on.config.training_vocabulary == words
    assert went_on.config.clip == PLAIN
    assert tiny.same(before, tiny.state(went_on))


def test_a_model_of_other_parts_is_no_start(clip: VitClip) -> None:
    with pytest.raises(ValueError, match="segmenter, head and learned prompt are the recipe's"):
        ovseg_to_go_on_with(replace(RECIPE, model=replace(RECIPE.model, head_hidden=None)), new_ovseg(RECIPE, clip))


def test_a_learned_prompt_goes_into_the_model_and_stays_as_it_is(data: Dataset, clip: VitClip, tmp_path: Path) -> None:
    recipe = replace(RECIPE, model=replace(RECIPE.model, prompt_length=4), steps=2)
    vectors = torch.randn(4, PLAIN.text_width, generator=torch.Generator().manual_seed(1))
    model = new_ovseg(recipe, clip, vectors)

    run(SegmentationTask(recipe, data, model, workers=0), tmp_path)

    assert model.prompt is not None
    assert torch.equal(model.prompt.vectors, vectors)


def test_a_model_with_a_learned_prompt_is_not_begun_without_one(clip: VitClip) -> None:
    with pytest.raises(ValueError, match="expected a learned prompt of 4 vectors, got 0"):
        new_ovseg(replace(RECIPE, model=replace(RECIPE.model, prompt_length=4)), clip)


@pytest.mark.parametrize("recipe", [ovseg_swin_base, ovseg_r101, simbaseline, zegformer])
def test_the_full_size_recipes_have_maskformers_schedule(recipe: Callable[[], OVSegRecipe]) -> None:
    built = recipe()
    rates = [scheduled_lr(built.optim, step, built.steps) for step in (1498, 1499, built.steps - 1)]

    assert rates[1] == pytest.approx(built.optim.lr)
    assert rates[0] < rates[1]
    assert rates[2] < 1e-4 * built.optim.lr
    assert built.optim.clip_norm == 0.01
    assert built.criterion.weights == recipes_ovseg.MASKFORMER_LOSSES
    assert built.num_pictures == 0


def test_the_papers_numbers_are_in_the_full_size_recipes() -> None:
    large, small = ovseg_swin_base(), ovseg_r101()
    assert (large.optim.lr, large.optim.weight_decay, large.backbone_lr_scale) == (6e-5, 1e-2, 1.0)
    assert (small.optim.lr, small.optim.weight_decay, small.backbone_lr_scale) == (2e-4, 1e-4, 0.1)
    assert (large.framing.image_size, small.framing.image_size, large.steps) == (640, 512, 120_000)
    assert len(large.model.training_vocabulary) == 171


def test_zero_shot_recipes_never_name_an_unseen_class() -> None:
    names = simbaseline().model.training_vocabulary.names
    assert len(names) == len(zegformer().model.training_vocabulary) == 156
    assert not {"cow", "giraffe", "grass", "tree", "river"} & set(names)
    assert len(simbaseline(is_zero_shot=False).model.training_vocabulary) == 171
    assert (simbaseline().steps, simbaseline(is_zero_shot=False).steps) == (60_000, 120_000)


def test_the_tiny_recipe_builds_a_segmenter_of_a_million_parameters() -> None:
    model = OVSeg(maskformer_tiny().model)
    assert 0.9e6 < sum(p.numel() for p in model.segmenter.parameters()) < 1.3e6

"""Adaptation of CLIP to masked crops: what learns, what stays, and what becomes of it."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import nn

import tiny
from drawn_pairs import write_pairs
from lexiseg.data.pairs.format import PairDataset
from lexiseg.encoders.clip.vit import PromptConfig, VitClip
from lexiseg.training.clip.adaptation import LARGEST_SCALE, AdaptationRecipe, AdaptationTask, clip_to_adapt, with_clip
from lexiseg.training.engine.trainer import run
from lexiseg.training.recipes.ovseg import adapt_ft, adapt_mpt, adapt_tiny_ft, adapt_tiny_joint, adapt_tiny_mpt

PLAIN = replace(tiny.VIT, prompts=None)
DEEP = PromptConfig(kind="mask", depth=2)
SMALL = {"batch_size": 8, "steps": 4}
FT = replace(adapt_tiny_ft(), **SMALL)
MPT = replace(adapt_tiny_mpt(prompts=DEEP), **SMALL)
JOINT = replace(adapt_tiny_joint(prompts=DEEP), **SMALL)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> PairDataset:
    return write_pairs(tmp_path_factory.mktemp("pairs") / "pairs")


def plain_clip() -> VitClip:
    """A CLIP without prompts."""
    return tiny.seeded(VitClip(PLAIN)).eval()


def changed(task: AdaptationTask, before: dict[str, torch.Tensor]) -> set[str]:
    """Names of the tensors that a training has changed; new ones are not among them."""
    after = task.clip.state_dict()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


@pytest.mark.parametrize("kind", ["mask", "token", "pixel", "visual"])
def test_in_prompt_tuning_all_but_prompts_and_scale_stays_bit_identical(
    kind: Literal["mask", "token", "pixel", "visual"], pairs: PairDataset, tmp_path: Path
) -> None:
    prompts = PromptConfig(kind=kind, num_tokens=3 if kind == "visual" else 0)
    task = AdaptationTask(replace(MPT, prompts=prompts), plain_clip(), pairs, workers=0)
    before = tiny.state(task.clip)

    run(task, tmp_path)

    assert changed(task, before) == {"prompts.prompt_embed", "clip.logit_scale"}
    assert [p.grad for n, p in task.clip.named_parameters() if n.startswith("clip.visual")].count(None) > 0


def test_fine_tuning_changes_the_whole_image_tower_and_no_text(pairs: PairDataset, tmp_path: Path) -> None:
    task = AdaptationTask(FT, plain_clip(), pairs, workers=0)
    before = tiny.state(task.clip)

    run(task, tmp_path)

    tower = {name for name, _ in task.clip.named_parameters() if name.startswith("clip.visual.")}
    assert changed(task, before) == tower | {"clip.logit_scale"}
    assert task.clip.prompts is None


def test_joint_adaptation_changes_tower_and_prompts(pairs: PairDataset, tmp_path: Path) -> None:
    task = AdaptationTask(JOINT, plain_clip(), pairs, workers=0)
    before = tiny.state(task.clip)

    run(task, tmp_path)

    tower = {name for name, _ in task.clip.named_parameters() if name.startswith("clip.visual.")}
    assert changed(task, before) == tower | {"clip.logit_scale", "prompts.prompt_embed"}


def test_fine_tuning_after_prompt_tuning_uses_the_prompts_and_keeps_them(pairs: PairDataset, tmp_path: Path) -> None:
    first = AdaptationTask(MPT, plain_clip(), pairs, workers=0)
    run(first, tmp_path / "mpt")
    task = AdaptationTask(FT, first.clip, pairs, workers=0)
    before = tiny.state(task.clip)
    batch = next(task.batches(0))

    with_prompts = task.losses(batch, 0)["contrast"]
    run(task, tmp_path / "ft")

    assert tiny.same(before, tiny.state(first.clip))
    assert "prompts.prompt_embed" not in changed(task, before)
    assert with_prompts != AdaptationTask(FT, plain_clip(), pairs, workers=0).losses(batch, 0)["contrast"]


@pytest.mark.parametrize("recipe", [FT, MPT, JOINT])
def test_a_resumed_adaptation_shows_the_losses_of_an_uninterrupted_one(
    recipe: AdaptationRecipe, pairs: PairDataset, tmp_path: Path
) -> None:
    whole = AdaptationTask(recipe, plain_clip(), pairs, workers=0)
    parts = AdaptationTask(recipe, plain_clip(), pairs, workers=0)
    losses = run(whole, tmp_path / "whole")

    first = run(AdaptationTask(recipe, plain_clip(), pairs, workers=0), tmp_path / "parts", stop_after=1)
    second = run(parts, tmp_path / "parts", resume=True)

    assert first + second == losses
    assert tiny.same(tiny.state(whole.clip), tiny.state(parts.clip))


def test_adaptation_teaches_what_the_pairs_say(pairs: PairDataset, tmp_path: Path) -> None:
    recipe = replace(FT, optim=replace(FT.optim, lr=2e-3), batch_size=4, steps=40)

    losses = run(AdaptationTask(recipe, plain_clip(), pairs, workers=0), tmp_path)

    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_the_logit_scale_never_passes_a_hundred(pairs: PairDataset) -> None:
    clip = plain_clip()
    clip.clip.logit_scale.data.fill_(7.0)
    task = AdaptationTask(FT, clip, pairs, workers=0)

    task.losses(next(task.batches(0)), 0)

    assert task.clip.clip.logit_scale.item() == pytest.approx(LARGEST_SCALE)
    assert clip.clip.logit_scale.item() == 7.0


def test_every_part_has_its_rate_and_prompts_have_no_weight_decay(pairs: PairDataset) -> None:
    task = AdaptationTask(JOINT, plain_clip(), pairs, workers=0)

    groups = task.optim_plan.optimizer(task.parameter_groups()).param_groups

    of = {id(p): group for group in groups for p in group["params"]}
    prompts, scale = of[id(task.clip.prompt_parameters[0])], of[id(task.clip.clip.logit_scale)]
    matrix = of[id(task.clip.visual.conv1.weight)]
    assert (prompts["weight_decay"], scale["weight_decay"], matrix["weight_decay"]) == (0.0, 0.0, 0.2)
    assert prompts["lr_scale"] * JOINT.optim.lr == pytest.approx(2e-2)
    assert len(of) == sum(p.requires_grad for p in task.clip.parameters())


def test_without_steps_a_recipe_runs_its_epochs(pairs: PairDataset) -> None:
    whole = replace(adapt_ft(), batch_size=8)
    assert AdaptationTask(whole, plain_clip(), pairs, workers=0).optim_plan.total_steps == 5 * 24 // 8


def test_the_papers_numbers_are_in_the_full_size_recipes() -> None:
    assert (adapt_ft().optim.lr, adapt_ft().optim.weight_decay, adapt_ft().batch_size) == (5e-6, 0.2, 256)
    assert (adapt_mpt().optim.lr, adapt_mpt().optim.weight_decay, adapt_mpt().batch_size) == (2e-2, 0.0, 256)


def test_prompts_of_another_kind_are_refused() -> None:
    clip = tiny.seeded(VitClip(tiny.VIT))
    other = replace(MPT, prompts=PromptConfig(kind="mask", depth=1))
    with pytest.raises(
        ValueError, match=r"the recipe's \(mask prompts of depth 1\), got one with mask prompts of depth 2"
    ):
        clip_to_adapt(other, clip)


def test_nonsense_in_a_recipe_is_refused() -> None:
    with pytest.raises(ValueError, match="scale_range must be ascending"):
        replace(FT, scale_range=(1.0, 0.9))
    with pytest.raises(ValueError, match=r"the template hold \{\} for the word"):
        replace(FT, template="a photo of a thing.")


def test_prompt_tuning_needs_prompts() -> None:
    with pytest.raises(ValueError, match="no prompts to train"):
        clip_to_adapt(replace(MPT, prompts=None), plain_clip())


def test_new_prompts_depend_on_the_seed_alone_and_the_start_is_left_alone() -> None:
    clip = plain_clip()
    before = tiny.state(clip)

    one, again, other = (clip_to_adapt(replace(MPT, seed=seed), clip) for seed in (0, 0, 1))

    assert tiny.same(tiny.state(one), tiny.state(again))
    assert not torch.equal(one.prompt_parameters[0], other.prompt_parameters[0])
    assert tiny.same(before, tiny.state(clip))
    assert all(p.requires_grad for p in clip.parameters())


def test_an_adapted_clip_takes_the_place_of_the_one_in_a_model(pairs: PairDataset, tmp_path: Path) -> None:
    model = tiny.ovseg(clip=PLAIN)
    before = tiny.state(model)
    task = AdaptationTask(MPT, model.clip, pairs, workers=0)
    run(task, tmp_path)

    adapted = with_clip(model, task.clip)

    assert adapted.config == replace(model.config, clip=tiny.VIT)
    assert tiny.same(tiny.state(adapted.clip), tiny.state(task.clip))
    assert not any(p.requires_grad for p in adapted.clip.parameters())
    kept = {name: value for name, value in adapted.state_dict().items() if not name.startswith("clip.")}
    assert all(torch.equal(before[name], value) for name, value in kept.items())
    assert tiny.same(before, tiny.state(model))


def test_a_clip_that_reads_words_otherwise_can_not_take_that_place() -> None:
    other = plain_clip()
    nn.init.zeros_(other.clip.token_embedding.weight)
    with pytest.raises(ValueError, match="expected a CLIP with the text tower that the model was trained with"):
        with_clip(tiny.ovseg(clip=PLAIN), other)

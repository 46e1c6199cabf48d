"""Training of CLIP on drawn pictures and captions, with a ResNet and with a Vision Transformer."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny
from lexiseg.encoders.clip.resnet import Clip, ClipConfig
from lexiseg.encoders.clip.vit import VitClip, VitConfig
from lexiseg.training.clip.contrastive import ClipRecipe, ClipTask, Phase, numbers_of_steps
from lexiseg.training.clip.run import threads_beside
from lexiseg.training.engine.trainer import run
from lexiseg.training.recipes.storybook import clip_tiny, clip_vit_tiny

VIT = replace(tiny.VIT, prompts=None)
PHASES = (
    Phase(steps=2, batch_size=6, image_size=32, view_share=0.0, lr=2e-3),
    Phase(steps=2, batch_size=4, image_size=32, view_share=1.0, lr=1e-4),
)
BOTH = pytest.mark.parametrize("model", [tiny.CLIP, VIT])


def recipe(model: ClipConfig | VitConfig, *, locks_text: bool = False) -> ClipRecipe:
    """Two short phases."""
    return ClipRecipe(model=model, phases=PHASES, optim=clip_tiny().optim, locks_text=locks_text)


@BOTH
def test_clip_learns_a_few_captions(model: ClipConfig | VitConfig) -> None:
    optim = replace(clip_tiny().optim, lr=2e-3, weight_decay=0.0)
    phases = (replace(PHASES[0], steps=30, batch_size=12),)
    task = ClipTask(ClipRecipe(model=model, phases=phases, optim=optim), workers=0)
    same_batch = next(task.batches(0))
    optimizer = task.optim_plan.optimizer(task.parameter_groups())

    losses = []
    for step in range(30):
        optimizer.zero_grad()
        loss = task.losses(same_batch, step)["contrast"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses[-1] < 0.5 * losses[0]


@BOTH
@pytest.mark.parametrize(("has_units", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_towers_compute_in_bf16_where_the_cpu_has_units_for_it(
    model: ClipConfig | VitConfig, has_units: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: has_units, raising=False)
    task = ClipTask(recipe(model), workers=0)
    computed = tiny.dtypes_of_convolutions(task.clip)

    task.losses(next(task.batches(0)), 0)

    assert computed == {dtype}


def test_processes_that_draw_get_cores_of_their_own_while_a_clip_is_trained() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with threads_beside(workers=1):
            assert torch.get_num_threads() == 2
        with threads_beside(workers=8):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_views_and_scenes_are_no_more_than_all_pictures() -> None:
    with pytest.raises(ValueError, match=r"shares of all pictures, got 0.7 and 0.5"):
        Phase(steps=1, batch_size=1, image_size=32, view_share=0.7, scene_share=0.5, lr=1e-3)


@BOTH
def test_a_resumed_run_shows_the_losses_of_an_uninterrupted_one(model: ClipConfig | VitConfig, tmp_path: Path) -> None:
    whole = run(ClipTask(recipe(model), workers=0), tmp_path / "whole")

    first = run(ClipTask(recipe(model), workers=0), tmp_path / "parts", stop_after=1)
    second = run(ClipTask(recipe(model), workers=0), tmp_path / "parts", resume=True)

    assert first + second == whole


def test_steps_go_on_where_a_run_stopped() -> None:
    phases = (PHASES[0], replace(PHASES[1], steps=1), replace(PHASES[1], steps=1, batch_size=3))
    whole = numbers_of_steps(phases, 0)

    assert [len(numbers) for numbers in whole] == [6, 6, 4, 3]
    assert [number for numbers in whole for number in numbers] == list(range(19))
    assert numbers_of_steps(phases, 2) == whole[2:]
    assert len(numbers_of_steps(phases, 2)) == 2


def test_a_locked_text_tower_is_that_of_the_source_and_never_changes(tmp_path: Path) -> None:
    source = tiny.seeded(Clip(tiny.CLIP))
    task = ClipTask(recipe(VIT, locks_text=True), text=source, workers=0)
    tower = tiny.state(task.clip.visual)

    run(task, tmp_path)

    text = {n: v for n, v in task.clip.clip.state_dict().items() if not n.startswith("visual.") and n != "logit_scale"}
    assert all(torch.equal(value, source.clip.state_dict()[name]) for name, value in text.items())
    assert not any(torch.equal(value, tower[name]) for name, value in task.clip.visual.state_dict().items())


def test_a_text_tower_to_lock_must_be_there_and_fit() -> None:
    wide = tiny.seeded(VitClip(replace(VIT, text_width=64)))

    for source in (None, wide):
        with pytest.raises(ValueError, match="takes over the text tower of a trained CLIP of the same widths"):
            ClipTask(recipe(VIT, locks_text=True), text=source, workers=0)


def test_a_vision_transformer_learns_from_pictures_of_its_own_size() -> None:
    with pytest.raises(ValueError, match=r"of 64 pixels learns from pictures of that size, got phases of \[32, 64\]"):
        replace(clip_vit_tiny(), phases=(*PHASES, *clip_vit_tiny().phases))


def test_the_phases_of_clip_follow_one_another() -> None:
    whole = clip_tiny()
    task = ClipTask(whole, workers=0)

    ends = [whole.phases[0].steps - 1, whole.phases[0].steps]
    assert task.optim_plan.total_steps == sum(p.steps for p in whole.phases)
    assert task.optim_plan.lr_at(ends[0]) < 0.05 * whole.phases[0].lr
    assert task.optim_plan.lr_at(ends[1]) < 0.2 * whole.phases[1].lr  # a warm-up of its own

"""Folders of CLIPs and learned prompts."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny
from lexiseg.core.errors import ModelError
from lexiseg.encoders.clip.resnet import Clip
from lexiseg.encoders.clip.vit import VitClip
from lexiseg.io.models import save_model
from lexiseg.models.learned_prompt import LearnedPrompt
from lexiseg.training.clip.folders import (
    read_clip,
    read_prompt,
    read_resnet_clip,
    read_vit_clip,
    write_clip,
    write_prompt,
)


@pytest.mark.parametrize("clip", [Clip(tiny.CLIP), VitClip(tiny.VIT), VitClip(replace(tiny.VIT, prompts=None))])
def test_a_clip_comes_back_as_it_was(clip: Clip | VitClip, tmp_path: Path) -> None:
    torch.random.default_generator.manual_seed(3)
    dice = torch.random.get_rng_state()

    back = read_clip(write_clip(tmp_path / "clip", clip))

    assert back.config == clip.config
    assert tiny.same(tiny.state(back), tiny.state(clip))
    assert not back.training
    assert torch.equal(dice, torch.random.get_rng_state())


def test_a_whole_model_gives_its_clip(tmp_path: Path) -> None:
    model = tiny.ovseg()
    save_model(model, tmp_path / "model")

    assert tiny.same(tiny.state(read_vit_clip(tmp_path / "model")), tiny.state(model.clip))


def test_a_clip_with_another_tower_is_refused_in_a_sentence(tmp_path: Path) -> None:
    resnet = write_clip(tmp_path / "resnet", Clip(tiny.CLIP))
    vit = write_clip(tmp_path / "vit", VitClip(tiny.VIT))

    with pytest.raises(ValueError, match="expected a CLIP with a Vision Transformer, got one with a ResNet"):
        read_vit_clip(resnet)
    with pytest.raises(ValueError, match="expected a CLIP with a ResNet, got one with a Vision Transformer"):
        read_resnet_clip(vit)


def test_a_learned_prompt_comes_back_as_it_was(tmp_path: Path) -> None:
    prompt = LearnedPrompt(4, 32)

    assert torch.equal(read_prompt(write_prompt(tmp_path / "prompt", prompt)), prompt.vectors)


@pytest.mark.parametrize(("old", "new"), [('"prompt_length": 4', '"prompt_length": -1'), ("32", "0")])
def test_a_learned_prompt_of_no_size_is_refused(tmp_path: Path, old: str, new: str) -> None:
    config = write_prompt(tmp_path / "prompt", LearnedPrompt(4, 32)) / "config.json"
    config.write_text(config.read_text().replace(old, new))

    with pytest.raises(ModelError, match="expected sizes above 0"):
        read_prompt(tmp_path / "prompt")


def test_a_clip_folder_is_no_learned_prompt(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="unknown fields"):
        read_prompt(write_clip(tmp_path / "vit", VitClip(tiny.VIT)))

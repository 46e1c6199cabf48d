"""From a recipe's name to a folder that the rest of the program takes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lexiseg.data.storybook.export import Order, write_storybook
from lexiseg.encoders.clip import Clip
from lexiseg.encoders.mask2former_folder import read_mask2former
from lexiseg.io.checkpoint import save_folder
from lexiseg.io.models import load_model
from lexiseg.io.shipped import shipped_folder
from lexiseg.training.commands import Reporters, TrainSettings, describe, recipe_names, train
from lexiseg.training.recipes import clip_tiny


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen pictures: one batch."""
    root = tmp_path_factory.mktemp("drawn") / "data"
    write_storybook(Order(role="base", split="train", count=16), root)
    return root


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained CLIP of the shipped size."""
    folder = tmp_path_factory.mktemp("clip") / "model"
    return save_folder(folder, clip_tiny().model, Clip(clip_tiny().model).state_dict())


@pytest.mark.slow
def test_a_mask2former_and_a_clip_become_an_opsnet_folder(drawn: Path, clip_folder: Path, tmp_path: Path) -> None:
    steps: list[int] = []
    settings = TrainSettings(out=tmp_path / "start", data=drawn, steps=1, workers=0)

    start = train("mask2former-tiny", settings, Reporters(progress=lambda now: steps.append(now.step)))
    whole = replace(settings, out=tmp_path / "opsnet", clip=clip_folder, start=start)
    model = load_model(train("opsnet-tiny", whole))

    assert steps == [1]
    assert read_mask2former(start).names == model.config.training_vocabulary.names
    assert model.config.has_enhancer


@pytest.mark.slow
def test_the_shipped_model_goes_on_without_another_clip(drawn: Path, tmp_path: Path) -> None:
    shipped = load_model(shipped_folder())
    settings = TrainSettings(out=tmp_path, data=drawn, start=shipped_folder(), steps=1, workers=0)

    model = load_model(train("opsnet-tiny-more", settings))

    names = shipped.state_dict().keys()
    frozen = [name for name in names if name.startswith(("clip.", "adapter.")) or "running_" in name]
    assert all(torch.equal(model.state_dict()[name], shipped.state_dict()[name]) for name in frozen)
    assert not torch.equal(model.head.project.weight, shipped.head.project.weight)


def test_an_opsnet_start_has_its_own_clip(clip_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leave --clip out"):
        train("opsnet-tiny-more", TrainSettings(out=tmp_path, clip=clip_folder, start=shipped_folder()))


def test_a_run_is_not_begun_twice_in_one_folder(drawn: Path, tmp_path: Path) -> None:
    settings = TrainSettings(out=tmp_path, data=drawn, steps=1, workers=0)
    (tmp_path / "training.pt").write_bytes(b"somebody's work")

    with pytest.raises(ValueError, match="already holds a training run: pass --resume"):
        train("mask2former-tiny", settings)

    assert (tmp_path / "training.pt").read_bytes() == b"somebody's work"


def test_an_opsnet_recipe_asks_for_its_clip(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a frozen CLIP"):
        train("opsnet-tiny", TrainSettings(out=tmp_path))


def test_data_that_are_not_there_are_not_drawn_instead(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="typo"):
        train("mask2former-tiny", TrainSettings(out=tmp_path / "run", data=tmp_path / "typo", workers=0))

    assert not (tmp_path / "typo").exists()


def test_an_unknown_recipe_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="opsnet-tiny"):
        train("opsnet-huge", TrainSettings(out=tmp_path))


def test_every_recipe_says_what_it_makes() -> None:
    assert all(describe(name).endswith((".", ":")) or "," in describe(name) for name in recipe_names())
    assert recipe_names()[0] == "storybook"

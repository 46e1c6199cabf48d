"""From a recipe's name to a folder that the rest of the program takes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import lexiseg
import tiny
from drawn_pairs import write_pairs
from lexiseg.encoders.clip.resnet import Clip
from lexiseg.encoders.clip.vit import PromptConfig, VitClip
from lexiseg.encoders.segmenters.mask2former_weights import read_mask2former
from lexiseg.io.checkpoint import save_folder
from lexiseg.io.models import load_model, save_model
from lexiseg.io.shipped import shipped_folder
from lexiseg.models.ovseg import OVSeg
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.training import launch as commands
from lexiseg.training.clip.folders import read_prompt, read_vit_clip, write_clip
from lexiseg.training.launch import (
    SEQUENCES,
    WHOLE_STEPS,
    Reporters,
    TrainSettings,
    describe,
    recipe_names,
    train,
    unused,
)
from lexiseg.training.recipes import RECIPES, grouped_names, named
from lexiseg.training.recipes.storybook import VIT_TINY, clip_tiny, mask2former_tiny


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen pictures: one batch."""
    root = tmp_path_factory.mktemp("drawn") / "data"
    write_storybook(StorybookSpec(role="base", split="train", count=16), root)
    return root


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained CLIP of the shipped size."""
    folder = tmp_path_factory.mktemp("clip") / "model"
    return save_folder(folder, clip_tiny().model, Clip(clip_tiny().model).state_dict())


@pytest.fixture(scope="module")
def vit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained ViT CLIP of tiny crops, without prompts."""
    clip = tiny.seeded(VitClip(replace(tiny.VIT, prompts=None)))
    return write_clip(tmp_path_factory.mktemp("vit") / "model", clip)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pairs."""
    root = tmp_path_factory.mktemp("pairs") / "pairs"
    write_pairs(root)
    return root


@pytest.mark.slow
def test_a_mask2former_and_a_clip_become_an_opsnet_folder(drawn: Path, clip_folder: Path, tmp_path: Path) -> None:
    steps: list[int] = []
    settings = TrainSettings(out=tmp_path / "start", data=(drawn,), steps=1, workers=0)

    start = train("mask2former-tiny", settings, Reporters(progress=lambda now: steps.append(now.step)))
    whole = replace(settings, out=tmp_path / "opsnet", clip=clip_folder, start=start)
    model = load_model(train("opsnet-tiny", whole))

    assert steps == [1]
    assert read_mask2former(start).names == model.config.training_vocabulary.names
    assert model.config.has_enhancer


@pytest.mark.slow
def test_the_shipped_model_goes_on_without_another_clip(drawn: Path, tmp_path: Path) -> None:
    shipped = load_model(shipped_folder())
    settings = TrainSettings(out=tmp_path, data=(drawn,), start=shipped_folder(), steps=1, workers=0)

    model = load_model(train("opsnet-tiny-more", settings))

    names = shipped.state_dict().keys()
    frozen = [name for name in names if name.startswith(("clip.", "adapter.")) or "running_" in name]
    assert all(torch.equal(model.state_dict()[name], shipped.state_dict()[name]) for name in frozen)
    assert not torch.equal(model.head.project.weight, shipped.head.project.weight)


@pytest.mark.slow
def test_an_opsnet_learns_from_pictures_with_labels_and_tells_how_many(drawn: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    write_storybook(StorybookSpec(role="image-level", split="train", count=8), labels)
    content = json.loads((labels / "panoptic.json").read_text())
    content["images"][3]["labels"] = []
    (labels / "panoptic.json").write_text(json.dumps(content))
    settings = TrainSettings(
        out=tmp_path / "run", data=(drawn,), labels=labels, start=shipped_folder(), steps=1, workers=0
    )
    told: list[str] = []

    model = load_model(train("opsnet-plus-tiny", settings, Reporters(note=told.append)))

    assert "7 pictures have labels; 1 have none and are left out." in told
    before = load_model(shipped_folder()).state_dict()
    frozen = [name for name in before if name.startswith(("clip.", "adapter.")) or "running_" in name]
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in frozen)
    assert not torch.equal(model.head.project.weight, before["head.project.weight"])
    with pytest.raises(ValueError, match="was begun otherwise"):  # the labels are part of what a run is resumed by
        train("opsnet-plus-tiny-classes", replace(settings, resume=True))


@pytest.mark.slow
def test_a_vit_clip_becomes_an_ovseg_folder_that_goes_on(drawn: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip", VitClip(VIT_TINY))
    settings = TrainSettings(out=tmp_path / "first", data=(drawn,), steps=1, workers=0)

    first = train("maskformer-tiny", replace(settings, clip=clip))
    model = load_model(train("maskformer-tiny", replace(settings, out=tmp_path / "more", start=first)))

    assert isinstance(model, OVSeg)
    assert model.config.clip == VIT_TINY
    assert tiny.same(tiny.state(model.clip), tiny.state(read_vit_clip(clip)))


@pytest.mark.slow
def test_an_ovseg_begins_with_the_backbone_of_an_opsnet(drawn: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip", VitClip(VIT_TINY))
    settings = TrainSettings(out=tmp_path / "run", data=(drawn,), clip=clip, start=shipped_folder(), steps=1, workers=0)

    model = load_model(train("maskformer-tiny", settings))

    shipped = load_model(shipped_folder()).segmenter.backbone.state_dict()
    made = model.segmenter.backbone.state_dict()
    norms = [name for name in made if "running_" in name]
    kernels = [name for name in made if name.endswith("convolution.weight")]
    assert norms
    assert all(torch.equal(made[name], shipped[name]) for name in norms)
    assert all((made[name] - shipped[name]).abs().max() < 0.01 for name in kernels)


def test_an_adapted_clip_is_a_clip_folder(vit_folder: Path, pairs: Path, tmp_path: Path) -> None:
    settings = TrainSettings(out=tmp_path, data=(pairs,), start=vit_folder, steps=1, workers=0)

    adapted = read_vit_clip(train("adapt-tiny-mpt", settings))

    assert adapted.config.prompts == PromptConfig(kind="mask", depth=3)
    assert tiny.same(tiny.state(adapted.visual), tiny.state(read_vit_clip(vit_folder).visual))


def test_an_adaptation_that_begins_from_an_ovseg_ends_as_one(pairs: Path, tmp_path: Path) -> None:
    before = tiny.ovseg(clip=replace(tiny.VIT, prompts=None))
    start = save_model(before, tmp_path / "start")
    settings = TrainSettings(out=tmp_path / "run", data=(pairs,), start=start, steps=1, workers=0)

    after = load_model(train("adapt-tiny-ft", settings))

    assert isinstance(after, OVSeg)
    assert tiny.same(tiny.state(after.segmenter), tiny.state(before.segmenter))
    assert not torch.equal(after.clip.visual.proj, before.clip.visual.proj)
    assert tiny.same(tiny.state(after.clip), tiny.state(read_vit_clip(tmp_path / "run" / "clip")))


@pytest.mark.parametrize("order", ["adapt-tiny-ft-mpt", "adapt-tiny-mpt-ft"])
def test_an_order_goes_on_from_each_result_and_can_be_resumed(
    order: str, vit_folder: Path, pairs: Path, tmp_path: Path
) -> None:
    settings = TrainSettings(out=tmp_path / "order", data=(pairs,), start=vit_folder, steps=1, workers=0)

    made = train(order, settings)
    again = train(order, replace(settings, resume=True))

    first, second = SEQUENCES[order]
    out = tmp_path / "by-hand"
    alone = train(first, replace(settings, out=out / "1"))
    by_hand = train(second, replace(settings, out=out / "2", start=alone, seed=1))
    assert made == again == tmp_path / "order" / f"2-{second}" / "model"
    assert tiny.same(tiny.state(read_vit_clip(made)), tiny.state(read_vit_clip(by_hand)))


def test_a_learned_prompt_is_a_folder_of_its_own(vit_folder: Path, pairs: Path, tmp_path: Path) -> None:
    settings = TrainSettings(out=tmp_path, data=(pairs,), start=vit_folder, steps=2, workers=0)

    assert read_prompt(train("prompt-tiny", settings)).shape == (16, tiny.VIT.text_width)


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("adapt-tiny-ft", {"data": "pairs"}, "goes on from a CLIP"),
        ("adapt-tiny-ft", {"start": "vit"}, "needs pairs of crops and words"),
        ("adapt-tiny-ft", {"start": "vit", "data": "drawn"}, "holds no finished pairs"),
        ("adapt-tiny-ft", {"start": "resnet", "data": "pairs"}, "expected a CLIP with a Vision Transformer"),
        ("prompt-tiny", {"data": "pairs"}, "goes on from a CLIP"),
        ("maskformer-tiny", {"data": "drawn"}, "needs a frozen CLIP"),
        ("maskformer-tiny", {"data": "drawn", "clip": "resnet"}, "expected a CLIP with a Vision Transformer"),
        ("maskformer-tiny", {"data": "drawn", "start": "shipped"}, "needs a frozen CLIP"),
        ("ovseg-swin-base", {"clip": "vit"}, "learns from photographs, which can't be drawn"),
        ("maskformer-tiny", {"data": "drawn", "start": "ovseg", "prompt": "vit"}, "leave --prompt out"),
        ("opsnet-tiny", {"data": "drawn", "clip": "vit"}, "expected a CLIP with a ResNet"),
        ("opsnet-tiny", {"data": "drawn", "start": "ovseg"}, "expected the folder of an OPSNet as --start"),
        ("opsnet-plus-tiny", {"data": "drawn"}, "goes on from an OPSNet"),
        ("opsnet-plus-tiny", {"data": "drawn", "start": "resnet"}, "goes on from an OPSNet"),
        ("opsnet-plus-tiny", {"data": "drawn", "start": "ovseg"}, "expected the folder of an OPSNet as --start"),
        ("opsnet-plus-tiny", {"start": "shipped", "labels": "drawn"}, "which is none of the .* categories"),
        ("opsnet-plus-tiny", {"start": "shipped", "labels": "pairs"}, "this is no data set that is known"),
    ],
)
def test_what_a_recipe_lacks_is_said_in_a_sentence(
    name: str,
    given: dict[str, str],
    sentence: str,
    drawn: Path,
    clip_folder: Path,
    vit_folder: Path,
    pairs: Path,
    tmp_path: Path,
) -> None:
    folders = {"drawn": drawn, "resnet": clip_folder, "vit": vit_folder, "pairs": pairs, "shipped": shipped_folder()}
    if "ovseg" in given.values():
        folders["ovseg"] = save_model(tiny.ovseg(), tmp_path / "ovseg")
    paths: dict[str, Any] = {key: folders[value] for key, value in given.items()}
    if "data" in paths:
        paths["data"] = (paths["data"],)
    settings = TrainSettings(out=tmp_path / "run", **paths)

    with pytest.raises(ValueError, match=sentence) as caught:
        train(name, settings)

    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_adaptations_join_several_folders_of_pairs(vit_folder: Path, pairs: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    write_pairs(more, 8)
    task = TrainSettings(out=tmp_path / "run", data=(pairs, more), start=vit_folder, steps=1, workers=0)

    train("adapt-tiny-ft", task)

    with pytest.raises(ValueError, match="another"):  # the pairs are part of what a run is resumed by
        train("adapt-tiny-ft", replace(task, data=(more,), resume=True))


@pytest.mark.parametrize("name", ["storybook", "mask2former-tiny", "opsnet-tiny", "maskformer-tiny"])
def test_other_recipes_refuse_several_data_sets_before_anything_is_done(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{name} learns from one data set, got 2: give --data once"):
        train(name, TrainSettings(out=tmp_path / "run", data=(tmp_path, tmp_path)))

    assert not (tmp_path / "run").exists()


def test_an_opsnet_takes_no_clip_that_embeds_words_otherwise(clip_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leave --clip out"):
        train("opsnet-tiny-more", TrainSettings(out=tmp_path, clip=clip_folder, start=shipped_folder()))


def test_an_ovseg_keeps_its_own_clip(clip_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has its own frozen CLIP: leave --clip out"):
        train("maskformer-tiny", TrainSettings(out=tmp_path, clip=clip_folder, start=shipped_folder("tiny-ovseg")))


def test_the_whole_hands_every_part_what_the_parts_before_have_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: dict[str, TrainSettings] = {}

    def note_down(name: str, settings: TrainSettings, _: Reporters) -> Path:
        made[name] = settings
        return settings.out / "model"

    monkeypatch.setattr(commands, "_train", note_down)
    model = commands._train_whole(TrainSettings(out=tmp_path, seed=3), Reporters())

    assert tuple(made) == WHOLE_STEPS
    assert model == tmp_path / "opsnet" / "model"
    assert made["clip-tiny-words"].start == tmp_path / "clip" / "model"
    assert made["opsnet-tiny"].clip == tmp_path / "clip-words" / "model"
    assert made["opsnet-tiny"].start == tmp_path / "mask2former" / "model"
    assert len({settings.out for settings in made.values()}) == len(WHOLE_STEPS)
    assert all(settings.seed == 3 and settings.drawn == tmp_path for settings in made.values())


def test_a_run_is_not_begun_twice_in_one_folder(drawn: Path, tmp_path: Path) -> None:
    settings = TrainSettings(out=tmp_path, data=(drawn,), steps=1, workers=0)
    (tmp_path / "training.pt").write_bytes(b"somebody's work")

    with pytest.raises(ValueError, match="already holds a training run: pass --resume"):
        train("mask2former-tiny", settings)

    assert (tmp_path / "training.pt").read_bytes() == b"somebody's work"


def test_an_opsnet_recipe_asks_for_its_clip(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a frozen CLIP"):
        train("opsnet-tiny", TrainSettings(out=tmp_path))


def test_data_that_are_not_there_are_not_drawn_instead(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="typo"):
        train("mask2former-tiny", TrainSettings(out=tmp_path / "run", data=(tmp_path / "typo",), workers=0))

    assert not (tmp_path / "typo").exists()


def test_an_unknown_recipe_is_answered_with_those_of_near_names(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no recipe 'opsnet-huge': .* such as opsnet-"):
        train("opsnet-huge", TrainSettings(out=tmp_path))


def test_settings_without_a_use_are_named(tmp_path: Path) -> None:
    settings = TrainSettings(out=tmp_path, steps=3, clip=tmp_path, start=tmp_path)

    assert unused("clip-vit-tiny", settings) == ("steps", "start")
    assert unused("adapt-tiny-ft-mpt", settings) == ("clip",)
    assert unused("maskformer-tiny", settings) == ()
    assert unused("opsnet-plus-tiny-control", replace(settings, labels=tmp_path)) == ("labels", "clip")


def test_every_recipe_says_what_it_makes() -> None:
    assert all(describe(name).endswith((".", ":")) or "," in describe(name) for name in recipe_names())


def test_every_name_stands_in_one_group() -> None:
    groups = grouped_names()

    assert list(groups) == ["Your own pictures", "The papers' sizes", "The drawn world"]
    assert groups["Your own pictures"] == ("finetune", "finetune-head")
    assert groups["The drawn world"][0] == "storybook"
    built_in = {name for recipes in RECIPES.values() for name in recipes}
    assert sorted(recipe_names()) == sorted({"storybook", *SEQUENCES, *built_in})


def test_every_kind_of_recipe_has_a_runner() -> None:
    kinds = {type(named(name)()) for recipes in RECIPES.values() for name in recipes}

    assert kinds == set(commands.RUNNERS)


def test_a_recipe_is_trained_from_python(drawn: Path, tmp_path: Path) -> None:
    told: list[int] = []
    small = replace(mask2former_tiny(), segmenter=tiny.RESNET, batch_size=2)

    reporters = Reporters(progress=lambda now: told.append(now.step))
    folder = lexiseg.train(small, tmp_path / "run", reporters, data=str(drawn), steps=1, workers=0)

    assert told == [1]
    assert folder == tmp_path / "run" / "model"
    assert read_mask2former(folder).config == tiny.RESNET
    again = TrainSettings(out=tmp_path / "run", data=(drawn,), workers=0)
    assert lexiseg.train(small, again, steps=1, resume=True) == folder
    with pytest.raises(ValueError, match="there is no recipe"):
        lexiseg.train("mask2former-huge", tmp_path / "run", data=drawn)
    with pytest.raises(TypeError, match="epochs"):
        lexiseg.train(small, tmp_path / "run", epochs=3)


@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        ({"device": "tpu9"}, lexiseg.DeviceError, "'tpu9'"),
        ({"device": "cuda:99"}, lexiseg.DeviceError, "no cuda:99"),
        ({"labels": "here", "clip": "run"}, lexiseg.UsageError, "no use for labels and clip"),
        ({"accumulate": 0}, ValueError, "accumulate"),
    ],
)
def test_python_gets_the_sentences_of_the_command_line(
    tmp_path: Path, settings: dict[str, Any], error: type[ValueError], sentence: str
) -> None:
    (tmp_path / "run").mkdir()
    settings = {key: str(tmp_path / "run") if value == "run" else value for key, value in settings.items()}

    with pytest.raises(error, match=sentence):
        lexiseg.train("mask2former-tiny", tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_settings_may_be_written_as_on_the_command_line(tmp_path: Path) -> None:
    settings = commands._settings(
        tmp_path, {"data": "pictures", "vocabulary": "cat, dog", "accumulate": 2, "sharding": "fsdp2"}
    )

    assert settings.data == (Path("pictures"),)
    assert settings.vocabulary is not None
    assert settings.vocabulary.names == ("cat", "dog")
    assert (settings.engine.accumulate, settings.engine.sharding) == (2, "fsdp2")
    assert settings.device in ("cpu", "cuda", "mps")

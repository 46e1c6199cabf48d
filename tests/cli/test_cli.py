import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_runs import Run
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.inference.predictor import Model
from lexiseg.inference.result_files import RECORD
from lexiseg.models.base import OpenVocabularySegmenter

COMMANDS = (
    "demo",
    "segment",
    "evaluate",
    "storybook",
    "vocabulary",
    "assemble",
    "import",
    "train",
    "mine",
    "reproduce",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run: Run, command: str) -> None:
    ran = run(command, "--help")

    assert ran.code == 0
    assert "Usage:" in ran.out


def test_help_names_every_command(run: Run) -> None:
    ran = run("--help")

    assert all(command in ran.out for command in COMMANDS)


@pytest.mark.parametrize("names", [("x.png", "x.overlay.png"), ("x.overlay.png", "x.png")])
def test_a_picture_that_is_called_like_an_overlay_has_results_of_its_own(
    ask: Run, picture: Path, tmp_path: Path, names: tuple[str, str]
) -> None:
    pictures = [shutil.copy(picture, tmp_path / name) for name in names]

    ran = ask(*pictures)

    assert ran.code == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {
        RECORD,
        "panoptic.json",
        "x.png",
        "x.overlay.png",
        "x-overlay.png",
        "x-overlay.overlay.png",
    }


def test_results_of_an_earlier_run_are_pictures_only_by_their_names(ask: Run, picture: Path, tmp_path: Path) -> None:
    assert ask(picture).code == 0
    shutil.move(tmp_path / "out", tmp_path / "earlier")

    refused = ask(tmp_path / "earlier")
    named = ask(*sorted((tmp_path / "earlier").glob("*.png")))

    assert (refused.code, "holds no pictures, results of earlier runs aside" in refused.err) == (1, True)
    assert named.code == 0
    document = json.loads((tmp_path / "out" / "panoptic.json").read_text())
    assert len({a["file_name"] for a in document["annotations"]}) == 2


def test_a_word_that_no_font_can_write_is_told_once(
    ask: Run, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lexiseg.cli.segment.is_drawable", lambda word: word != "dog")

    ran = ask(picture, shutil.copy(picture, tmp_path / "again.png"))

    assert ran.code == 0
    assert ran.err.count("no font here has all letters of") == 1


def test_what_segment_writes_is_coco_panoptic_format(ask: Run, picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    ran = ask(picture)

    assert ran.code == 0
    assert ran.err == "Taken for things: 'cat', 'dog' (:thing or :stuff after a word decides).\n"
    assert ran.out.splitlines()[0].startswith(f"{picture}: ")
    dataset = read_panoptic(out, annotations=out / "panoptic.json", masks=out, images=Path("/"))
    (sample,) = dataset.samples
    assert dataset.annotation(sample, strict=True).to_segmentation(()).ids.shape == (40, 60)
    assert len(sample.segments) > 0
    assert [(c.id, c.name, c.is_thing) for c in dataset.categories] == [
        (1, "cat", True),
        (2, "dog", True),
        (3, "sky", False),
    ]
    assert sorted(path.name for path in out.iterdir()) == [
        RECORD,
        "a picture.overlay.png",
        "a picture.png",
        "panoptic.json",
    ]


def test_a_second_run_replaces_the_first_and_gives_the_same_bytes(ask: Run, picture: Path, tmp_path: Path) -> None:
    ask(picture)
    first = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    ran = ask(picture)

    assert ran.code == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == first


def test_one_unreadable_picture_does_not_stop_the_rest(ask: Run, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("no picture")

    ran = ask(tmp_path / "bad.jpg", picture, "--json", "--batch-size", 2)

    assert ran.code == 3
    bad, good = (json.loads(line) for line in ran.out.splitlines())
    assert bad["picture"] == str(tmp_path / "bad.jpg")
    assert "not a picture" in bad["error"]
    assert good["picture"] == str(picture)
    assert Path(good["overlay"]).is_file()
    assert Path(good["panoptic"]).is_file()
    assert {"id", "name", "score", "is_thing", "area", "box", "guesses", "path"} == set(good["segments"][0])
    assert "bad.jpg" in ran.err
    assert "1 of 2 pictures failed" in ran.err
    assert len(json.loads((tmp_path / "out" / "panoptic.json").read_text())["images"]) == 1


def test_pictures_of_one_name_in_two_folders_keep_apart(ask: Run, tmp_path: Path) -> None:
    for folder, side in (("summer", 20), ("winter", 30)):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (side, side)).save(tmp_path / folder / "cat.png")

    ran = ask(tmp_path / "winter", tmp_path / "*er" / "cat.png")

    assert ran.code == 0
    document = json.loads((tmp_path / "out" / "panoptic.json").read_text())
    assert [(image["file_name"], image["width"]) for image in document["images"]] == [
        (str(tmp_path / "winter" / "cat.png"), 30),
        (str(tmp_path / "summer" / "cat.png"), 20),
    ]
    for annotation, side in zip(document["annotations"], (30, 20), strict=True):
        with Image.open(tmp_path / "out" / annotation["file_name"]) as ids:
            assert ids.size == (side, side)


def test_switches_reach_the_model(ask: Run, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}
    real = Model.segment_many

    def spy(self: Model, image: object, vocabulary: object, **settings: object) -> object:
        seen.update(settings)
        return real(self, image, vocabulary, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(Model, "segment_many", spy)
    compiled: list[object] = []
    monkeypatch.setattr(OpenVocabularySegmenter, "compile_parts", lambda self: compiled.append(self))
    ran = ask(picture, "--no-negatives", "--alpha", 3, "--beta", 0.25, "--rank-by", "class", "--compile")

    assert ran.code == 0
    assert len(compiled) == 1
    assert (seen["negatives"], seen["score_threshold"], seen["rank_by"]) == (False, 0, "class")
    modulation = seen["fusion"]
    assert (modulation.alpha, modulation.beta, modulation.clip_only) == (3, 0.25, False)  # type: ignore[attr-defined]
    assert ask(picture, "--clip-ratio", 2).code == 0
    assert (seen["fusion"].clip_ratio, seen["fusion"].beta) == (2, 0)  # type: ignore[attr-defined]
    assert ask(picture, "--clip-ratio", 0, "--beta", 0.5).code == 0
    assert (seen["fusion"].clip_ratio, seen["fusion"].beta) == (0, 0.5)  # type: ignore[attr-defined]


def test_without_a_threshold_the_models_own_decides(
    run: Run, tiny_folder: Path, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    real = Model.segment_many

    def spy(self: Model, image: object, vocabulary: object, **settings: object) -> object:
        seen.append(settings["score_threshold"])
        return real(self, image, vocabulary, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(Model, "segment_many", spy)
    out = tmp_path / "out"
    assert run("segment", picture, "-v", "cat", "--model", tiny_folder, "--device", "cpu", "--out", out).code == 0
    assert seen == [None]


def test_demo_shows_six_scenes_and_what_to_try_next(
    run: Run, tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lexiseg.cli.demo.load", lambda *_, **__: tiny)
    out = tmp_path / "demo"

    ran = run("demo", "--out", out)

    assert ran.code == 0, ran.err
    names = [f"{role}-{number}" for role in ("novel", "base") for number in (1, 2, 3)]
    assert all(name in ran.out for name in names)
    assert ran.out.count("  lexiseg ") == 3
    for name in names:
        with Image.open(out / f"{name}.picture.png") as drawn, Image.open(out / f"{name}.overlay.png") as overlay:
            assert overlay.width > 2 * drawn.width
    dataset = read_panoptic(out, annotations=out / "panoptic.json", masks=out, images=out)
    annotations = [dataset.annotation(sample, strict=True) for sample in dataset.samples]
    assert all(annotation.to_segmentation(()).ids.shape == (160, 160) for annotation in annotations)
    assert "--model" not in ran.out
    ran = run("demo", "--out", out, "--no-negatives", "--model", "tiny-ovseg")
    assert ran.code == 0
    assert ran.out.count(" --model tiny-ovseg ") == 2


def test_storybook_draws_a_data_set_and_refuses_to_spoil_it(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "world"
    command = ("storybook", "--role", "novel", "--split", "val", "--count", 2, "--size", "48x32", "--out", out)

    assert run(*command).code == 0
    first = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert run(*command).code == 1
    assert run(*command, "--overwrite").code == 0
    assert {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()} == first
    with Image.open(out / "images" / "000000000000.png") as scene:
        assert scene.size == (48, 32)


def test_vocabulary_shows_what_was_understood(run: Run) -> None:
    ran = run("vocabulary", "cat|kitten, sky, unicorn [red]")

    assert ran.code == 0
    assert "kitten" in ran.out
    assert "2 things and 1 stuff" in ran.out
    assert "unicorn [red]" in ran.err


def test_a_training_goes_on_from_models_by_name_as_segment_does(run: Run, tmp_path: Path) -> None:
    start = run("train", "adapt-tiny-ft", "--start", "storybook", "--data", tmp_path, "--out", tmp_path / "run")
    clip = run("train", "maskformer-tiny", "--clip", "storybook", "--out", tmp_path / "run")

    for ran in (start, clip):
        assert "expected a CLIP with a Vision Transformer, got one with a ResNet" in ran.err
    assert not (tmp_path / "run").exists()


def test_train_lists_its_recipes(run: Run) -> None:
    ran = run("train", "--list")

    assert ran.code == 0
    assert "opsnet-tiny" in ran.out
    assert "opsnet-swin-l" in ran.out
    assert "path/to/file.py:function" in ran.err


def test_train_shows_all_of_a_recipe(run: Run) -> None:
    ran = run("train", "mask2former-tiny", "--show", "--seed", 3)

    assert ran.code == 0
    for told in ("optim.lr", "framing.image_size", "56 names", "classify", "It looks at 38,400 pictures", "GiB"):
        assert told in ran.out
    assert re.search(r"\bseed +3\b", ran.out)


def test_train_shows_how_an_opsnet_will_answer(run: Run) -> None:
    ran = run("train", "opsnet-tiny", "--show")

    assert ran.code == 0
    for told in (r"modulation\.alpha +10\.0", r"modulation\.beta +0\.5", r"merge\.overlap_threshold +0\.8"):
        assert re.search(told, ran.out)


def test_train_checks_data_and_weights_without_training(run: Run, tmp_path: Path) -> None:
    run("storybook", "--count", 2, "--size", 64, "--out", tmp_path / "data")

    fine = run("train", "mask2former-tiny", "--check", "--data", tmp_path / "data")
    (tmp_path / "data" / "images" / "000000000000.png").unlink()
    flawed = run("train", "opsnet-r50", "--check", "--data", tmp_path / "data", "--clip", "owner/clip")

    assert (fine.code, flawed.code) == (0, 3)
    assert "The training can begin." in fine.out
    assert "Problem: 1 of 2 pictures are missing" in flawed.out
    assert "Note: --clip owner/clip will be fetched" in flawed.out
    assert "pass --start microsoft/resnet-50" in flawed.out


def test_train_runs_a_recipe_of_ones_own_and_says_what_a_smaller_batch_means(run: Run, tmp_path: Path) -> None:
    run("storybook", "--count", 2, "--size", 64, "--out", tmp_path / "data")
    file = tmp_path / "mine.py"
    file.write_text("from lexiseg.training.recipes.storybook import mask2former_tiny as mine\n")
    options = ("--data", tmp_path / "data", "--steps", 1, "--batch-size", 1, "--lr", 1e-5, "--workers", 0)

    ran = run("train", f"{file}:mine", *options, "--out", tmp_path / "run")

    assert ran.code == 0, ran.err
    assert "The batch is 1 instead of 16, and nothing is scaled with it: the rate is 1e-05." in ran.err
    assert (tmp_path / "run" / "model" / "config.json").is_file()
    assert "no use for --from-scratch" in run("train", "clip-tiny", "--from-scratch", "--out", tmp_path / "clip").err


def test_a_file_name_that_is_no_text_is_still_segmented(ask: Run, tmp_path: Path) -> None:
    path = tmp_path / b"caf\xe9.png".decode("utf-8", "surrogateescape")
    try:
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes only names that are text")

    assert ask(tmp_path).code == 0

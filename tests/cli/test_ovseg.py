"""An OVSeg asked through the same commands and calls as an OPSNet."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny as tiny_models
from command_runs import Run
from lexiseg.cli.evaluate import _tell_lambda
from lexiseg.cli.options.evaluate import EvaluateOptions
from lexiseg.cli.options.shared import InferenceOptions
from lexiseg.cli.overrides import fusion_for, regions_for
from lexiseg.core.errors import ModelError
from lexiseg.encoders.clip.vit import VitClip
from lexiseg.inference.predictor import Model, load
from lexiseg.io.checkpoint import save_folder
from lexiseg.io.models import save_model, system_of
from lexiseg.layers.ensemble import CLIP_BRANCH_ONLY, EnsembleConfig
from lexiseg.layers.modulation import ModulationConfig
from lexiseg.models import presets
from lexiseg.models.crops import RegionConfig
from lexiseg.models.ovseg import OVSeg, OVSegConfig
from lexiseg.storybook.export import StorybookSpec, write_storybook

WORDS = "cat, dog, sky:stuff"
EVERY_WORD = "cat, dog, bird, sky:stuff, grass:stuff, background, object"
"""All that the tiny models know, so that no background word is left."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights that find something in noise."""
    config = OVSegConfig(
        segmenter=tiny_models.MASKFORMER,
        clip=tiny_models.VIT,
        training_vocabulary=tiny_models.TRAINING,
        longest_side=64,
        shortest_side=None,
        head_hidden=32,
        logit_scale=1.0,
        clip_logit_scale=1.0,
        regions=RegionConfig(mask_threshold=0.0),
    )
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return save_model(OVSeg(config), tmp_path_factory.mktemp("models") / "ovseg")


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load(folder, device="cpu")


@pytest.fixture
def scene() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_a_folder_says_which_system_it_holds(folder: Path, tiny_folder: Path, tmp_path: Path) -> None:
    assert (system_of(folder), system_of(tiny_folder), system_of(tmp_path)) == ("ovseg", "opsnet", None)


def test_segment_answers_with_an_ovseg(model: Model, scene: np.ndarray) -> None:
    result = model.segment(scene, WORDS, score_threshold=0.0, negatives=False)
    assert result.segmentation.shape == (40, 60)
    assert {segment.name for segment in result.segments} <= {"cat", "dog", "sky"}
    again = model.segment(scene, WORDS, score_threshold=0.0, negatives=False)
    np.testing.assert_array_equal(again.segmentation, result.segmentation)


def test_find_gives_each_word_at_most_one_region(model: Model, scene: np.ndarray) -> None:
    result = model.find(scene, EVERY_WORD)
    names = [segment.name for segment in result.segments]
    assert names
    assert len(names) == len(set(names))


def test_find_works_with_an_opsnet_too(tiny: Model, scene: np.ndarray) -> None:
    names = [segment.name for segment in tiny.find(scene, EVERY_WORD).segments]
    assert len(names) == len(set(names)) > 0


def test_the_command_segments_and_switches_reach_the_ensemble(
    run: Run, folder: Path, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, object] = {}
    real = Model.segment_many

    def spy(self: Model, image: object, vocabulary: object, **settings: object) -> object:
        seen.update(settings)
        return real(self, image, vocabulary, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(Model, "segment_many", spy)
    common = ("segment", picture, "-v", WORDS, "-m", folder, "--device", "cpu", "--score-threshold", 0)
    assert run(*common, "--out", tmp_path / "a", "--clip-weight", 0.25).code == 0
    assert seen["fusion"].clip_weight == 0.25  # type: ignore[attr-defined]
    assert run(*common, "--out", tmp_path / "b", "--clip-only").code == 0
    assert seen["fusion"].is_clip_only  # type: ignore[attr-defined]
    assert json.loads((tmp_path / "b" / "panoptic.json").read_text())["images"]


def test_the_best_region_of_each_word_by_command(run: Run, folder: Path, picture: Path, tmp_path: Path) -> None:
    ran = run(
        "segment",
        picture,
        "-v",
        EVERY_WORD,
        "-m",
        folder,
        "--device",
        "cpu",
        "--best-only",
        "--json",
        "--out",
        tmp_path / "o",
    )
    assert ran.code == 0, ran.err
    names = [segment["name"] for segment in json.loads(ran.out)["segments"]]
    assert len(names) == len(set(names)) > 0


@pytest.mark.parametrize(
    ("of_opsnet", "switch", "advice"),
    [(False, "--alpha", "--clip-weight"), (False, "--beta", "--clip-weight"), (True, "--min-object", "no option")],
)
def test_a_switch_of_the_other_system_is_refused_with_the_way_out(
    run: Run, folder: Path, tiny_folder: Path, picture: Path, tmp_path: Path, of_opsnet: bool, switch: str, advice: str
) -> None:
    chosen = tiny_folder if of_opsnet else folder
    ran = run("segment", picture, "-v", WORDS, "-m", chosen, "--device", "cpu", switch, 0.5, "--out", tmp_path / "o")
    assert ran.code == 2
    assert switch in ran.err
    assert advice in ran.err


def test_evaluate_measures_by_summed_soft_masks_and_says_what_clip_looked_at(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    write_storybook(StorybookSpec(role="semantic-only", split="val", count=3, size=(48, 48)), data)
    common = ("evaluate", "--model", folder, "--device", "cpu", "--data", data, "--task", "semantic", "--workers", 0)
    ran = run(*common, "--out", tmp_path / "soft")
    assert ran.code == 0, ran.err
    report = json.loads((tmp_path / "soft" / "report.json").read_text())
    assert report["settings"]["semantic_rule"] == "soft"
    assert report["settings"]["fusion"]["clip_weight"] == 0.7
    seen, unseen, both = (report[name] for name in ("miou_seen", "miou_unseen", "hiou"))
    assert both == pytest.approx(2 * seen * unseen / max(seen + unseen, 1e-9))
    assert report["crops"]["mask_threshold"] == 0.0
    regions = report["regions"]
    assert regions["proposals"] == 3 * 8
    assert regions["encoded"] + regions["empty"] + regions["skipped"] == 3 * 8
    assert f"Of 24 proposals CLIP looked at {regions['encoded']}" in ran.out
    assert run(*common, "--out", tmp_path / "merged", "--semantic-rule", "merged").code == 0
    merged = json.loads((tmp_path / "merged" / "report.json").read_text())
    assert merged["settings"]["semantic_rule"] == "merged"


def test_a_diagnosis_of_an_ovseg_names_true_masks_by_both_branches(run: Run, folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_storybook(StorybookSpec(role="novel", split="val", count=2, size=(48, 48)), data)
    ran = run(
        "evaluate", "--model", folder, "--device", "cpu", "--data", data, "--diagnose", "--score-threshold", 0,
        "--workers", 0, "--out", tmp_path / "out",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "diagnosis" in json.loads((tmp_path / "out" / "report.json").read_text())


def test_region_switches_reach_the_crops_and_a_picture_without_any_is_void(
    run: Run, folder: Path, tiny_folder: Path, picture: Path, tmp_path: Path
) -> None:
    common = ("segment", picture, "-v", WORDS, "--device", "cpu", "--json")
    none = run(*common, "-m", folder, "--region-threshold", 1, "--out", tmp_path / "none", "--score-threshold", 0)
    assert none.code == 0, none.err
    assert json.loads(none.out)["segments"] == []
    best = run(*common, "-m", folder, "--region-threshold", 1, "--out", tmp_path / "best", "--best-only")
    assert best.code == 0, best.err
    assert json.loads(best.out)["segments"] == []
    refused = run(*common, "-m", tiny_folder, "--crops-per-pass", 2, "--out", tmp_path / "o")
    assert refused.code == 2
    assert "--crops-per-pass means nothing to an OPSNet" in refused.err
    assert regions_for(InferenceOptions(min_object=0.25, crops_per_pass=3), RegionConfig(fill="keep")) == RegionConfig(
        fill="keep", min_object_prob=0.25, crops_per_pass=3
    )


def test_evaluate_tells_the_authors_lambda_where_the_model_has_another(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("lexiseg.cli.evaluate.note", told.append)
    asked = EvaluateOptions(name="pascal-voc", out=Path("out"))
    ovseg = tiny_models.ovseg(ensemble=presets.ovseg_r101_config().ensemble)
    _tell_lambda(asked, ovseg)
    assert told[0].startswith("lexiseg: OVSeg's authors take lambda 0.45 on pascal-voc, and this model's own is 0.7:")
    for options, model in (
        (replace(asked, name="ade20k"), ovseg),
        (replace(asked, clip_weight=0.7), ovseg),
        (replace(asked, clip_only=True), ovseg),
        (asked, tiny_models.ovseg(ensemble=presets.ZEGFORMER_ENSEMBLE)),
        (asked, tiny_models.model()),
        (replace(asked, name="cityscapes"), ovseg),
    ):
        _tell_lambda(options, model)
    assert len(told) == 1


def test_the_wrong_fusion_is_refused_from_python_too(model: Model, tiny: Model, scene: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected an EnsembleConfig, got a ModulationConfig"):
        model.segment(scene, WORDS, fusion=ModulationConfig())
    with pytest.raises(ValueError, match="got an EnsembleConfig"):
        tiny.segment(scene, WORDS, fusion=model.network.config.fusion)


def test_simbaselines_one_lambda_weighs_seen_and_unseen_words_from_both_sides() -> None:
    asked = InferenceOptions(model="m", negatives=False, clip_weight=0.8)
    assert fusion_for(
        asked, tiny_models.ovseg(ensemble=EnsembleConfig(clip_weight=0.5, seen_clip_weight=0.5))
    ).weights == pytest.approx((0.8, 0.2))  # type: ignore[union-attr]
    assert fusion_for(asked, tiny_models.ovseg(ensemble=EnsembleConfig())).weights == (0.8, 0.8)  # type: ignore[union-attr]


def test_clip_only_leaves_nothing_of_zegformers_fusion() -> None:
    asked = InferenceOptions(model="m", negatives=False, clip_only=True)
    assert fusion_for(asked, tiny_models.ovseg(ensemble=presets.ZEGFORMER_ENSEMBLE)) == CLIP_BRANCH_ONLY


@pytest.mark.parametrize(
    "switch", [("--score-threshold", 0.5), ("--rank-by", "iou"), ("--clip-weight", 0.5), ("--batch-size", 2)]
)
def test_what_the_best_region_has_no_use_for_is_refused(
    run: Run, folder: Path, picture: Path, tmp_path: Path, switch: tuple[str, object]
) -> None:
    ran = run("segment", picture, "-v", WORDS, "-m", folder, "--best-only", *switch, "--out", tmp_path / "o")
    assert ran.code == 2
    assert switch[0] in ran.err


def test_regions_are_drawn_as_clip_was_shown_them(model: Model, scene: np.ndarray) -> None:
    low = replace(model.network.config, regions=RegionConfig(mask_threshold=0.0))
    high = replace(model.network.config, regions=RegionConfig(mask_threshold=1.0))
    assert isinstance(model.network, OVSeg)
    for config, found in ((low, True), (high, False)):
        model.network.config = config  # type: ignore[assignment]
        assert bool(model.find(scene, EVERY_WORD).segments) is found
    model.network.config = low  # type: ignore[assignment]


def test_words_of_find_are_encoded_once(model: Model, scene: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    model.find(scene, "zebra, gnu")
    monkeypatch.setattr(model.network, "embed_vocabulary", lambda *_, **__: pytest.fail("encoded again"))
    model.find(scene, "zebra, gnu")


def test_a_clip_alone_is_no_model(tmp_path: Path) -> None:
    clip = VitClip(tiny_models.VIT)
    with pytest.raises(ModelError, match="of a CLIP alone"):
        load(save_folder(tmp_path / "clip", clip.config, clip.state_dict()))

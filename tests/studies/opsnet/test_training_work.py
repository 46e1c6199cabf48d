"""The trainings and measurements of the tables, on the smallest models."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from lexiseg.encoders.segmenters.mask2former_weights import read_mask2former
from lexiseg.evaluation.evaluator import evaluate_dataset
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.io.checkpoint import weights_hash
from lexiseg.io.config_json import to_jsonable
from lexiseg.io.models import load_model, save_model
from lexiseg.io.shipped import shipped_folder
from lexiseg.models.opsnet import OPSNet
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import BASE
from lexiseg.studies.opsnet import costs, training_figures, training_work
from lexiseg.studies.opsnet.training_figures import count
from lexiseg.studies.opsnet.trainings import MODULATED, QUERY_CLASS
from lexiseg.studies.worlds import open_pictures
from lexiseg.training.recipes.opsnet_plus import opsnet_plus_tiny
from lexiseg.training.recipes.storybook import mask2former_tiny, opsnet_tiny_short

SMALL: dict[str, Any] = {"steps": 2, "batch_size": 2, "segmenter": tiny.RESNET}
COCO = {"data": "COCO", "drawn": "pictures/base"}
CHOICE = {"val": COCO, "thresholds": [0.05, 0.4]}
MASKS, START = "pictures/base", "starts/closed"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two pictures of each kind, an untrained model of the drawn world, and an untrained closed set."""
    root = tmp_path_factory.mktemp("files")
    for role in ("base", "image-level"):
        spec = StorybookSpec(role=role, split="val", count=2, size=(64, 64))
        write_storybook(spec, root / "pictures" / role)
    network = tiny.model()
    network.config = replace(network.config, training_vocabulary=BASE, longest_side=64)
    save_model(network, root / "given" / "model")
    save_model(load_model(shipped_folder("tiny-ovseg")), root / "ovseg" / "original" / "model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_work, "run", lambda task, out, resume: None)
        recipe = small(mask2former_tiny(seed=5))
        training_work.train_closed_set(root, root / START, recipe=recipe, start=None, pictures=MASKS)
    return root


GIVEN = {"unit": "given"}


def small(recipe: Any) -> dict[str, Any]:
    framing = replace(recipe.framing, image_size=64)
    return to_jsonable(replace(recipe, **SMALL, framing=framing, num_pictures=2))


def test_a_closed_set_and_an_opsnet_begin_from_one_segmenter(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = load_model(files / "given" / "model")
    monkeypatch.setattr(training_work, "run", lambda task, out, resume: None)
    shared: dict[str, Any] = {"start": START, "pictures": MASKS}

    training_work.train_closed_set(files, files / "closed", recipe=small(mask2former_tiny(seed=1)), **shared)
    for seed in (1, 2):
        recipe = small(opsnet_tiny_short(seed=seed))
        training_work.train_opsnet(files, files / f"short-{seed}", recipe=recipe, model=GIVEN, **shared)

    start, closed = (read_mask2former(files / name / "model").segmenter for name in (START, "closed"))
    short, later = (load_model(files / f"short-{seed}" / "model") for seed in (1, 2))
    assert all(isinstance(network, OPSNet) for network in (given, short, later))
    for other in (closed, short.segmenter.state_dict(), later.segmenter.state_dict()):
        assert all(torch.equal(value, other[name]) for name, value in start.items())
    assert weights_hash(short.clip.state_dict()) == weights_hash(given.clip.state_dict())
    assert short.config.modulation == given.config.modulation
    heads = [weights_hash({"void": network.state_dict()["head.void_embed"]}) for network in (given, short, later)]
    assert len(set(heads)) == 3  # heads begin from nothing, by the recipe's seed


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on_and_its_figures_are_the_evaluators(files: Path) -> None:
    settings: Any = {"recipe": small(opsnet_tiny_short(seed=1)), "model": GIVEN, "start": START, "pictures": MASKS}
    training_work.train_opsnet(files, files / "trained", **settings)
    kept = weights_hash(load_model(files / "trained" / "model").state_dict())
    assert not list((files / "trained").glob("training*.pt"))

    rows = {"modulated": MODULATED, "query, Cls": QUERY_CLASS}
    network = load_model(files / "trained" / "model")
    found = training_figures.measure_opsnet(
        files, files / "x", model={"unit": "trained"}, rows=rows, **CHOICE, tests=[COCO]
    )

    assert json.loads(json.dumps(found)) == found
    merge = replace(network.config.merge, score_threshold=found["thresholds"]["modulated"])
    dataset = open_pictures(files, COCO)[0]
    report = evaluate_dataset(network, dataset, BASE, EvaluationSettings(merge=merge))
    figures = found["arms"]["modulated"]
    assert figures["COCO PQ"]["value"] == 100 * report.quality.all.pq
    assert len(figures["COCO PQ"]["blocks"]) == 2
    training_work.train_opsnet(files, files / "trained", **settings)
    assert weights_hash(load_model(files / "trained" / "model").state_dict()) == kept


@pytest.mark.slow
def test_every_baseline_is_trained_and_measured(files: Path) -> None:
    recipe = small(opsnet_tiny_short(seed=1))
    training_work.train_lseg(files, files / "lseg", recipe=recipe, model=GIVEN, start=START, pictures=MASKS)
    training_work.train_closed_set(
        files, files / "closed-set", recipe=small(mask2former_tiny(seed=1)), start=START, pictures=MASKS
    )
    plus = replace(opsnet_plus_tiny(), **SMALL, labelled_batch_size=2)
    plus = replace(plus, framing=replace(plus.framing, image_size=64))
    training_work.train_plus(
        files,
        files / "plus",
        recipe=to_jsonable(plus),
        model=GIVEN,
        pictures=MASKS,
        labels="pictures/image-level",
    )

    out, asked = files / "x", {"arm": "it", "tests": [COCO]}
    lseg = training_figures.measure_lseg(files, out, unit="lseg", recipe=recipe, model=GIVEN, **asked)
    closed: dict[str, Any] = {"unit": "closed-set", "original": "ovseg/original", "longest_side": 64, **CHOICE}
    by_layer = training_figures.measure_closed_set(files, out, names="class layer", **closed, **asked)
    covered = training_figures.measure_coverage(
        files, out, model={"unit": "plus"}, arm="it", labels="pictures/image-level", longest_side=64
    )

    assert lseg["arms"]["it"].keys() == {"COCO mIoU"}
    by_tokens = training_figures.measure_closed_set(files, out, names="mask tokens", **closed, **asked)
    assert {"COCO PQ", "COCO PQ things", "COCO mIoU"} <= by_layer["arms"]["it"].keys() == by_tokens["arms"]["it"].keys()
    assert sum(about["value"] for about in covered["arms"]["it"].values()) == pytest.approx(100)


def test_a_given_model_that_was_changed_since_the_plan_is_not_trained_further(files: Path) -> None:
    settings = {"model": str(files / "given" / "model"), "weights": "of another"}

    with pytest.raises(ValueError, match="was changed since this began"):
        training_work.train_plus(
            files, files / "late", recipe=to_jsonable(opsnet_plus_tiny()), model=settings, pictures=MASKS, labels=MASKS
        )


def test_counts_of_any_model_are_those_of_the_evaluator(files: Path) -> None:
    network = tiny.ovseg()
    merge = replace(network.config.merge, score_threshold=0.001)

    found = count(network, open_pictures(files, COCO), {"": (network.config.fusion, merge)})[""]

    dataset = open_pictures(files, COCO)[0]
    settings = EvaluationSettings(merge=merge, task="semantic")
    assert found["mIoU"]["value"] == 100 * evaluate_dataset(network, dataset, BASE, settings).quality.miou


def test_pooling_is_one_pass_of_clip_and_cropping_one_for_each_mask(files: Path) -> None:
    found = costs.count_passes(files, files / "x", model=GIVEN, pictures=COCO)

    passes = {arm: about["passes of CLIP"]["value"] for arm, about in found["arms"].items()}
    assert passes[costs.POOLED] == 1
    assert 1 < passes[costs.CROPPED] <= tiny.RESNET.num_queries

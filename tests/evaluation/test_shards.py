"""Evaluations that are interrupted, resumed and shared by processes give the digits of one that was not."""

import copy
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Dataset
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.evaluation import shards
from lexiseg.evaluation.evaluator import evaluate_dataset
from lexiseg.evaluation.plan import plan_evaluation
from lexiseg.evaluation.report import EvaluationSettings, Report
from lexiseg.evaluation.shards import shards_of
from lexiseg.io.models import load_model, save_model
from lexiseg.models.opsnet import OPSNet, OPSNetConfig
from lexiseg.models.postprocess.panoptic import MergeConfig
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import NOVEL

ONE_TEMPLATE = ("a photo of a {}.",)
WORDS = Vocabulary.of(NOVEL, ONE_TEMPLATE)
LOOSE = EvaluationSettings(merge=MergeConfig(score_threshold=0.0, overlap_threshold=0.1), batch_size=2)
PICTURES = 9

# What a process of its own runs: three pictures a shard, and a pause after every batch in which it can be killed.
SCRIPT = f"""
import sys, time
from pathlib import Path
from lexiseg.evaluation import shards
shards.SHARD = 3
import torch
torch.set_num_threads(1)
from lexiseg.core import processes
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.storybook.roles import NOVEL
from lexiseg.evaluation.evaluator import evaluate_dataset
from lexiseg.evaluation.report import EvaluationSettings, write_report
from lexiseg.io.models import load_model
from lexiseg.models.postprocess.panoptic import MergeConfig
root, pause = Path(sys.argv[1]), float(sys.argv[2])
settings = EvaluationSettings(merge=MergeConfig(score_threshold=0.0, overlap_threshold=0.1), batch_size=2)
with processes.process_group():
    report = evaluate_dataset(
        load_model(root / "model"), read_panoptic(root / "data"), Vocabulary.of(NOVEL, {ONE_TEMPLATE!r}), settings,
        shards_dir=root / "parts", report=lambda done, total: time.sleep(pause),
    )
    write_report(report, root / f"report-{{processes.rank()}}")
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights, and nine drawn pictures."""
    folder = tmp_path_factory.mktemp("evaluation")
    write_storybook(StorybookSpec(role="novel", split="val", count=PICTURES, size=(64, 64)), folder / "data")
    config = OPSNetConfig(
        segmenter=replace(tiny.RESNET, num_queries=5),
        clip=tiny.CLIP,
        training_vocabulary=Vocabulary.of("storybook", ONE_TEMPLATE),
        longest_side=64,
    )
    with torch.random.fork_rng(devices=()):
        torch.random.default_generator.manual_seed(0)
        save_model(OPSNet(config), folder / "model")
    return folder


@pytest.fixture
def model(root: Path) -> OPSNet:
    return load_model(root / "model")


@pytest.fixture
def dataset(root: Path) -> Dataset:
    return read_panoptic(root / "data")


@pytest.fixture(autouse=True)
def _three_pictures_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD", 3)


@pytest.fixture
def whole(model: OPSNet, dataset: Dataset) -> dict[str, Any]:
    return plain(evaluate_dataset(model, dataset, WORDS, LOOSE))


def plain(report: Report) -> dict[str, Any]:
    """A report without the one figure that no two runs share."""
    document = json.loads(json.dumps(report.to_jsonable()))
    del document["images_per_second"]
    assert document["pq"] is not None
    assert sum(c["fp"] for c in document["per_class"]) > 0  # there is something to count
    return document


class StoppedError(Exception):
    pass


def stop_at(picture: int) -> Any:
    def report(done: int, total: int) -> None:
        if done >= picture:
            raise StoppedError

    return report


def test_shards_cover_every_picture_once() -> None:
    assert [list(part) for part in shards_of(7)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert shards_of(0) == ()


def test_an_interrupted_evaluation_resumes_to_the_same_digits(
    model: OPSNet, dataset: Dataset, whole: dict[str, Any], tmp_path: Path
) -> None:
    parts = tmp_path / "parts"
    with pytest.raises(StoppedError):
        evaluate_dataset(model, dataset, WORDS, LOOSE, shards_dir=parts, report=stop_at(5))
    assert sorted(file.name for file in parts.glob("0*.json")) == ["000000.json"]
    told: list[int] = []

    report = evaluate_dataset(
        model, dataset, WORDS, LOOSE, shards_dir=parts, resume=True, report=lambda done, total: told.append(done)
    )

    assert plain(report) == whole
    assert min(told) > 3  # the first shard was not counted again


def test_without_resume_everything_is_counted_anew(
    model: OPSNet, dataset: Dataset, whole: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(StoppedError):
        evaluate_dataset(model, dataset, WORDS, LOOSE, shards_dir=tmp_path / "parts", report=stop_at(5))
    told: list[int] = []

    report = evaluate_dataset(
        model, dataset, WORDS, LOOSE, shards_dir=tmp_path / "parts", report=lambda done, total: told.append(done)
    )

    assert plain(report) == whole
    assert told[0] <= 2


def test_parts_of_another_evaluation_are_not_resumed(model: OPSNet, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        evaluate_dataset(model, dataset, WORDS, LOOSE, shards_dir=tmp_path / "parts", report=stop_at(5))

    with pytest.raises(ValueError, match="another model, data or settings"):
        evaluate_dataset(
            model, dataset, WORDS, replace(LOOSE, negatives=True), shards_dir=tmp_path / "parts", resume=True
        )


def test_parts_of_a_model_that_answered_otherwise_are_not_resumed(
    model: OPSNet, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(StoppedError):
        evaluate_dataset(model, dataset, WORDS, LOOSE, shards_dir=tmp_path / "parts", report=stop_at(5))
    changed = copy.copy(model)  # the same weights
    changed.config = replace(model.config, longest_side=model.config.longest_side // 2)

    with pytest.raises(ValueError, match="another model, data or settings"):
        evaluate_dataset(changed, dataset, WORDS, LOOSE, shards_dir=tmp_path / "parts", resume=True)


@pytest.mark.parametrize("earlier", [{"rules": 1}, {}, []])
def test_parts_that_were_counted_by_other_rules_are_counted_anew(
    earlier: Any, model: OPSNet, dataset: Dataset, whole: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(StoppedError):
        evaluate_dataset(model, dataset, WORDS, LOOSE, shards_dir=tmp_path / "parts", report=stop_at(5))
    file = tmp_path / "parts" / "plan.json"
    plan = json.loads(file.read_text())
    file.write_text(json.dumps({**plan, **earlier} if earlier else earlier))
    told: list[int] = []

    resumed = evaluate_dataset(
        model,
        dataset,
        WORDS,
        LOOSE,
        shards_dir=tmp_path / "parts",
        resume=True,
        report=lambda done, _: told.append(done),
    )

    assert plain(resumed) == whole
    assert told[0] <= 2


def test_parts_of_other_pictures_of_the_same_names_are_not_resumed(
    model: OPSNet, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(StoppedError):
        evaluate_dataset(model, dataset, WORDS, LOOSE, shards_dir=tmp_path / "parts", report=stop_at(5))
    other = write_storybook(
        StorybookSpec(role="novel", split="val", count=PICTURES, size=(64, 64), seed=1), tmp_path / "other"
    )

    assert [s.file_name for s in other.samples] == [s.file_name for s in dataset.samples]
    with pytest.raises(ValueError, match="another model, data or settings"):
        evaluate_dataset(model, other, WORDS, LOOSE, shards_dir=tmp_path / "parts", resume=True)


def test_what_could_not_be_read_is_tried_again_on_resume(
    model: OPSNet, dataset: Dataset, whole: dict[str, Any], tmp_path: Path
) -> None:
    mended = tmp_path / "mended.png"
    mended.write_bytes(bytes(dataset.samples[0].image_path.stat().st_size))
    first = replace(dataset.samples[0], image_path=mended)
    one_broken = replace(dataset, samples=(first, *dataset.samples[1:]))
    report = evaluate_dataset(model, one_broken, WORDS, LOOSE, shards_dir=tmp_path / "parts")
    assert len(report.unreadable) == 1
    mended.write_bytes(dataset.samples[0].image_path.read_bytes())

    assert plain(evaluate_dataset(model, one_broken, WORDS, LOOSE, shards_dir=tmp_path / "parts", resume=True)) == whole


def test_a_damaged_part_is_counted_again(
    model: OPSNet, dataset: Dataset, whole: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(StoppedError):
        evaluate_dataset(model, dataset, WORDS, LOOSE, shards_dir=tmp_path / "parts", report=stop_at(5))
    (tmp_path / "parts" / "000000.json").write_text('{"number": 0, "tal')

    assert plain(evaluate_dataset(model, dataset, WORDS, LOOSE, shards_dir=tmp_path / "parts", resume=True)) == whole


def test_parts_that_cannot_be_written_end_in_one_sentence(model: OPSNet, dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")

    with pytest.raises(ValueError, match=r"can't be written .*; choose a folder that can"):
        evaluate_dataset(model, dataset, WORDS, LOOSE, shards_dir=tmp_path / "taken" / "parts")


def test_pictures_read_by_other_processes_change_no_digit(
    model: OPSNet, dataset: Dataset, whole: dict[str, Any]
) -> None:
    assert plain(evaluate_dataset(model, dataset, WORDS, LOOSE, workers=2)) == whole


@pytest.mark.parametrize("tally", ["zero", "some"])
def test_a_tally_survives_as_plain_data(model: OPSNet, dataset: Dataset, tally: str) -> None:
    measure = plan_evaluation(model, dataset, WORDS, LOOSE).measure
    kept = measure.zero()
    if tally == "some":
        kept = kept.from_jsonable([[3, 2**53 - 1, 2, 1, 0], [7, 0, 0, 4, 1]])

    assert kept.from_jsonable(json.loads(json.dumps(kept.to_jsonable()))) == kept


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@pytest.mark.slow
def test_a_killed_evaluation_loses_only_the_shard_in_work(
    root: Path, model: OPSNet, dataset: Dataset, whole: dict[str, Any], environment: dict[str, str]
) -> None:
    (root / "script.py").write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, root / "script.py", root, "0.3"], env=environment)
    deadline = time.monotonic() + 120
    while not (root / "parts" / "000001.json").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (root / "parts" / "000001.json").exists()
    assert not (root / "parts" / "000002.json").exists()
    told: list[int] = []

    report = evaluate_dataset(
        model,
        dataset,
        WORDS,
        LOOSE,
        shards_dir=root / "parts",
        resume=True,
        report=lambda done, total: told.append(done),
    )

    assert plain(report) == whole
    assert min(told) > 6


@pytest.mark.slow
def test_two_processes_under_torchrun_give_the_digits_of_one(
    root: Path, whole: dict[str, Any], environment: dict[str, str]
) -> None:
    (root / "script.py").write_text(SCRIPT)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0"]

    subprocess.run(
        [*torchrun, "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", str(root / "script.py"), str(root), "0"],
        env=environment,
        check=True,
        timeout=200,
    )

    for rank in range(2):
        found = json.loads((root / f"report-{rank}" / "report.json").read_text())
        del found["images_per_second"]
        assert found == whole

"""The study of OVSeg: jobs are done once and in order, figures are the evaluator's, verdicts need more than chance."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from lexiseg.core.structures import MaskProposals
from lexiseg.data.dataset import Dataset
from lexiseg.data.id_maps import load_ids
from lexiseg.evaluation.evaluator import evaluate_dataset
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.io.models import save_model
from lexiseg.layers.ensemble import EnsembleConfig
from lexiseg.models.crops import RegionConfig
from lexiseg.models.ovseg import OVSeg
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import ALL

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import study_ovseg
from ovseg_study import claims, measure, plan
from ovseg_study.verdicts import METRICS
from study import runner
from study.verdicts import Comparison, verdict

sys.path.pop(0)

FOLDER = {"clip": None, "maskformer": "none", "weights": []}


@pytest.fixture(scope="module")
def model() -> OVSeg:
    """A tiny OVSeg whose CLIP has the four blocks that the plan's prompts need."""
    return tiny.ovseg(clip=replace(tiny.VIT, layers=4, prompts=None))


@pytest.fixture
def pictures(tmp_path: Path) -> Dataset:
    return write_storybook(
        StorybookSpec(role="semantic-only", split="val", count=2, size=(64, 64)), tmp_path / "pictures"
    )


@pytest.fixture
def calls() -> Iterator[list[str]]:
    """What `note` was called for."""
    CALLS.clear()
    yield CALLS
    CALLS.clear()


CALLS: list[str] = []


def note(root: Path, out: Path, *, value: int) -> Any:
    """A job that fails for a negative value."""
    CALLS.append(out.name)
    if value < 0:
        raise ValueError("as asked for")
    return {"value": value}


def chain(**values: int) -> list[runner.Job]:
    """Jobs of which each needs the one before."""
    names = list(values)
    return [
        runner.Job(name=name, act=note, settings={"value": values[name]}, needs=tuple(names[max(0, place - 1) : place]))
        for place, name in enumerate(names)
    ]


def run_chain(root: Path, **values: int) -> list[str]:
    return runner.run_all(chain(**values), root, workers=1, report=lambda line: None)


def test_finished_jobs_are_not_done_again(tmp_path: Path, calls: list[str]) -> None:
    assert run_chain(tmp_path, one=1, two=2) == ["one", "two"]
    assert run_chain(tmp_path, one=1, two=2, three=3) == ["three"]
    assert calls == ["one", "two", "three"]


def test_a_job_of_other_settings_is_done_again_with_all_that_need_it(tmp_path: Path) -> None:
    run_chain(tmp_path, one=1, two=2, three=3)
    (tmp_path / "two").mkdir()
    assert run_chain(tmp_path, one=1, two=5, three=3) == ["two", "three"]
    record = runner.record_of(tmp_path, "two")
    assert record is not None
    assert record["result"] == {"value": 5}
    assert not (tmp_path / "two").exists()  # what the earlier settings left is gone


def test_an_interrupted_study_goes_on_with_the_job_that_failed(tmp_path: Path, calls: list[str]) -> None:
    with pytest.raises(ValueError, match="as asked for"):
        run_chain(tmp_path, one=1, two=-2, three=3)
    record = runner.record_of(tmp_path, "two")
    assert record is not None
    assert not record["is_finished"]
    assert run_chain(tmp_path, one=1, two=2, three=3) == ["two", "three"]
    assert calls == ["one", "two", "two", "three"]


def test_a_record_says_how_its_figures_were_made(tmp_path: Path) -> None:
    run_chain(tmp_path, one=1, two=2)
    record = json.loads((tmp_path / "two.json").read_text())
    assert record["settings"] == {"value": 2}
    assert record["needs"] == ["one"]
    assert {"commit", "machine", "versions", "seconds"} < record.keys()


def test_each_claim_compares_figures_that_the_plan_makes() -> None:
    jobs, _ = plan.jobs_of({arm.name for arm in plan.ARMS}, [0], plan.Sizes(), [FOLDER])
    for comparison in (c for claim in claims.CLAIMS for c in claim.comparisons):
        for arm, figure in (comparison.higher, comparison.lower):
            settings = jobs[f"runs/{arm}-0"].settings
            rows = [f"{row['name']} {metric}" for row in settings["rows"] for metric in METRICS]
            kinds = [f"{kind}, {view} {g}" for kind in ("clean", "noisy") for view in settings["views"] for g in GROUPS]
            assert figure in rows + kinds


GROUPS = ("all", "seen", "unseen")


def test_an_arm_comes_after_what_it_starts_from_and_seeds_share_nothing_but_the_model() -> None:
    jobs, runs = plan.jobs_of({"ft-mpt"}, [0, 1], plan.Sizes(), [FOLDER])
    assert runs == ["runs/ft-mpt-0", "runs/ft-mpt-1"]
    names = [job.name for job in runner.in_order(jobs, runs)]
    assert names.index("pairs/caption-0") < names.index("adapt/ft-0") < names.index("adapt/ft-mpt-0")
    assert [name for name in names if not name.endswith(("-0", "-1"))] == []
    seeds = [jobs[f"adapt/{name}"].settings["recipe"]["seed"] for name in ("ft-0", "ft-mpt-0", "ft-1", "ft-mpt-1")]
    assert len(set(seeds)) == 4


def test_without_folders_one_clip_and_one_maskformer_are_trained_for_all_seeds() -> None:
    jobs, runs = plan.jobs_of({"original"}, [0, 1, 2], plan.Sizes(), [])
    names = [job.name for job in runner.in_order(jobs, runs)]
    assert names[:3] == ["parts/clip", "parts/maskformer", "model-0"]
    assert sum(name.startswith(("parts/", "model-")) for name in names) == 3


def test_two_steps_and_their_controls_see_as_many_samples() -> None:
    jobs, _ = plan.jobs_of((), [0], plan.Sizes(), [FOLDER])

    def samples(arm: str) -> int:
        settings = jobs[f"adapt/{arm}-0"].settings
        start = settings["start"]
        own = settings["recipe"]["steps"] * settings["recipe"]["batch_size"]
        return own + (samples(start.removeprefix("adapt/").removesuffix("-0")) if start else 0)

    assert samples("ft-mpt") == samples("ft-ft") == samples("mpt-ft") == samples("joint") == 2 * samples("ft")


def test_figures_are_those_of_the_evaluator(model: OVSeg, pictures: Dataset) -> None:
    ensemble, regions = EnsembleConfig(clip_weight=0.35), RegionConfig(mask_threshold=0.4)
    answering = measure.Answering(masks="proposed", regions=regions, ensemble=ensemble, clip_logit_scale=100.0)
    found = measure.count(model, pictures, [answering])[0][answering]
    own = tiny.ovseg(clip=replace(tiny.VIT, layers=4, prompts=None), regions=regions)
    settings = EvaluationSettings(task="semantic", semantic_rule="soft", fusion=ensemble)
    report = evaluate_dataset(own, pictures, ALL, settings, groups={"unseen": measure.UNSEEN})
    assert found["mIoU"] == pytest.approx(100 * report.quality.miou)
    assert found["hIoU"] == pytest.approx(100 * report.quality.hiou)


class Truthful(torch.nn.Module):
    """Proposes the segments of one picture."""

    def __init__(self, masks: torch.Tensor) -> None:
        super().__init__()
        self.masks = masks

    def forward(self, pixel_values: torch.Tensor, *, every_layer: bool = False) -> MaskProposals:
        logits = torch.where(self.masks, 9.0, -9.0)[None]
        return MaskProposals(mask_logits=logits, query_embed=torch.zeros(1, len(self.masks), 32))


def test_with_true_masks_the_oracle_is_perfect_and_noisy_is_clean(pictures: Dataset) -> None:
    sample = pictures.samples[0]
    ids = torch.from_numpy(load_ids(sample.mask_path))
    model = tiny.ovseg(longest_side=64)
    model.segmenter = Truthful(torch.stack([ids == segment.id for segment in sample.segments]))  # type: ignore[assignment]
    one = replace(pictures, samples=(sample,))
    oracle = measure.Answering(masks="oracle", regions=RegionConfig(), ensemble=EnsembleConfig(), clip_logit_scale=None)
    figures, named = measure.count(model, one, [oracle], plan.VIEWS)
    assert figures[oracle]["mIoU"] == pytest.approx(100)
    assert named["clean, mask"] == named["noisy, mask"]
    assert named["clean, mask"]["masks"] == len(sample.segments)


def test_a_row_takes_what_is_best_on_val(model: OVSeg, pictures: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def figures(_: Any, __: Any, answerings: Any) -> tuple[Mapping[measure.Answering, Mapping[str, float]], Any]:
        return {a: {"mIoU": a.ensemble.clip_weight, "hIoU": a.regions.mask_threshold} for a in answerings}, {}

    monkeypatch.setattr(measure, "count", figures)
    by_miou = plan.ENSEMBLE
    by_hiou = replace(by_miou, name="other", chosen_by="hIoU")
    chosen = measure.choose(model, pictures, [by_miou, by_hiou, plan.TRUE_MASKS])
    assert chosen["ensemble"].ensemble.clip_weight == max(plan.LAMBDAS)
    assert chosen["other"].regions.mask_threshold == 0.5
    assert chosen["true masks"].masks == "true"


@pytest.mark.parametrize(
    ("higher", "lower", "margin", "word"),
    [
        ((50.0, 51.0, 52.0), (40.0, 41.0, 42.0), 0.0, "holds"),
        ((40.0, 41.0, 42.0), (50.0, 51.0, 52.0), 0.0, "reversed"),
        ((40.0, 45.0, 50.0), (45.0, 43.0, 42.0), 0.0, "not shown"),
        ((49.5, 49.4, 49.6), (50.0, 50.0, 50.0), 1.0, "holds"),
        ((50.0,), (40.0,), 0.0, "one seed"),
    ],
)
def test_an_order_holds_beyond_two_standard_deviations(
    higher: tuple[float, ...], lower: tuple[float, ...], margin: float, word: str
) -> None:
    comparison = Comparison(higher=("ft", "x"), lower=("mpt", "x"), margin=margin)
    found = verdict(comparison, {"ft": {"x": higher}, "mpt": {"x": lower}})
    assert found is not None
    assert found["verdict"] == word
    assert verdict(comparison, {"ft": {"x": higher}}) is None


def test_the_command_goes_on_after_an_interruption_and_writes_the_table(
    model: OVSeg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        plan, "ROWS_OF_ORIGINAL", (*plan.ROWS_OF_ORIGINAL[: len(plan.ROWS) + 1], plan.ROWS_OF_ORIGINAL[-1])
    )
    save_model(model, tmp_path / "ovseg")
    out = tmp_path / "study"
    sizes = {"pictures": 3, "val": 1, "test": 1, "steps": 1, "batch-size": 4, "seeds": 3, "only": "V3", "jobs": 1}
    command = ["--out", str(out), "--maskformer", str(tmp_path / "ovseg")]
    command += [f"--{name}={value}" for name, value in sizes.items()]
    with monkeypatch.context() as broken:
        broken.setattr(plan.work, "adapt", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            study_ovseg.main(command)
    done = {path: path.read_bytes() for path in (out / "runs").glob("*.json")}
    assert {path.name for path in done} == {"original-3.json", "original-fixed-3.json"}
    with pytest.raises(SystemExit):
        study_ovseg.main(command)
    assert "pass --resume" in capsys.readouterr().err
    study_ovseg.main([*command, "--resume"])
    assert all(path.read_bytes() == content for path, content in done.items())
    table = (out / "study.md").read_text()
    assert "| original |" in table
    assert "| ft-mpt |" in table
    verdict = json.loads((out / "study.json").read_text())["claims"][2]["comparisons"]
    assert [found["verdict"] for found in verdict] == ["one seed"] * len(claims.CLAIMS[2].comparisons)


def _interrupt(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt

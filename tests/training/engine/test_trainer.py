import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.io import checkpoint
from lexiseg.io.config_json import to_jsonable
from lexiseg.training.engine import parallel, trainer
from lexiseg.training.engine.checkpoints import trained_state
from lexiseg.training.engine.log import TrainingProgress
from lexiseg.training.engine.optim import OptimConfig, OptimPlan, Stage, decay_groups, scheduled_lr
from lexiseg.training.engine.trainer import run
from toy import OPTIM, Toy


def test_a_resumed_run_shows_the_losses_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole_task, second_task = Toy(), Toy()
    whole = run(whole_task, tmp_path / "whole")
    first = run(Toy(), tmp_path / "parts", stop_after=11)
    second = run(second_task, tmp_path / "parts", resume=True)

    assert (len(first), len(second)) == (11, 19)
    assert first + second == whole
    assert whole[-1] < 0.5 * whole[0]
    one, other = whole_task.module.state_dict(), second_task.module.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_finished_run_has_nothing_left_to_resume(tmp_path: Path) -> None:
    run(Toy(), tmp_path)
    assert run(Toy(), tmp_path, resume=True) == []


def test_resuming_where_nothing_is_starts_anew(tmp_path: Path) -> None:
    assert len(run(Toy(5), tmp_path / "new", resume=True)) == 5


def test_an_existing_run_is_not_overwritten_unasked(tmp_path: Path) -> None:
    run(Toy(), tmp_path, stop_after=3)
    before = (tmp_path / "training.pt").read_bytes()
    with pytest.raises(ValueError, match=r"already holds a training run: pass --resume"):
        run(Toy(), tmp_path)
    assert (tmp_path / "training.pt").read_bytes() == before


def test_a_checkpoint_of_another_recipe_is_refused_in_one_sentence(tmp_path: Path) -> None:
    run(Toy(), tmp_path, stop_after=3)
    with pytest.raises(ValueError, match="belongs to another recipe") as caught:
        run(Toy(width=5), tmp_path, resume=True)
    assert "\n" not in str(caught.value)


def test_a_run_is_resumed_only_with_what_it_was_begun_with(tmp_path: Path) -> None:
    run(Toy(), tmp_path, origin={"seed": 0}, stop_after=3)
    with pytest.raises(ValueError, match="was begun otherwise") as caught:
        run(Toy(), tmp_path, origin={"seed": 1}, resume=True)

    assert "\n" not in str(caught.value)
    assert json.loads((tmp_path / "recipe.json").read_text()) == {"seed": 0}
    assert len(run(Toy(), tmp_path, origin={"seed": 0}, resume=True)) == 27


def test_a_run_that_dies_while_it_saves_keeps_its_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(Toy(), tmp_path, stop_after=3)
    before = (tmp_path / "training.pt").read_bytes()

    def dies(obj: object, file: object) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint.torch, "save", dies)
        with pytest.raises(KeyboardInterrupt):
            run(Toy(), tmp_path, resume=True)

    assert (tmp_path / "training.pt").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "recipe.json", "training.pt"]
    assert len(run(Toy(), tmp_path, resume=True)) == 27


def test_checkpoints_are_written_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "SAVE_EVERY_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run(Toy(breaks_at=9), tmp_path)
    assert len(run(Toy(), tmp_path, resume=True)) == 21


def test_frozen_parts_stay_out_of_the_checkpoint() -> None:
    assert set(trained_state(Toy().module)) == {
        "1.weight",
        "1.bias",
        "1.running_mean",
        "1.running_var",
        "1.num_batches_tracked",
        "2.weight",
        "2.bias",
    }


def test_the_log_and_the_report_tell_the_same(tmp_path: Path) -> None:
    reports: list[TrainingProgress] = []
    all_losses = run(Toy(50), tmp_path, report=reports.append)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [20, 40, 50] == [r.step for r in reports]
    assert [line["loss"] for line in lines] == [round(all_losses[step - 1], 5) for step in (20, 40, 50)]
    assert lines[0]["loss"] == pytest.approx(lines[0]["square"] + lines[0]["size"], abs=1e-4)
    assert reports[-1].seconds_left == 0
    assert all(line["images_per_second"] > 0 for line in lines)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    run(Toy(), tmp_path, stop_after=3)
    before = (tmp_path / "training.pt").read_bytes()
    task = Toy()
    task.losses = lambda batch, step: {"bad": task.module(batch).sum() * float("nan")}
    with pytest.raises(ValueError, match="the loss is nan at step 3"):
        run(task, tmp_path, resume=True)
    assert (tmp_path / "training.pt").read_bytes() == before


def test_the_rate_climbs_then_falls_to_its_share() -> None:
    rates = [scheduled_lr(OPTIM, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(OPTIM.lr / 4)
    assert max(rates) == rates[3] == rates[4] == OPTIM.lr
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[-1] == pytest.approx(OPTIM.lr * OPTIM.final_share, rel=0.05)


def test_poly_falls_to_nothing_as_a_power_of_what_is_left() -> None:
    poly = OptimConfig(lr=1.0, weight_decay=0.0, schedule="poly", warmup_share=0.2, final_share=0.0)
    rates = [scheduled_lr(poly, step, 100) for step in range(100)]
    assert rates[:20] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert rates[20:] == pytest.approx([((100 - step) / 80) ** 0.9 for step in range(20, 100)])


def test_a_long_run_has_no_longer_warm_up_than_its_limit() -> None:
    limited = OptimConfig(lr=1.0, weight_decay=0.0, warmup_share=0.1, warmup_limit=100)
    assert scheduled_lr(limited, 29, 300) == 1.0 > scheduled_lr(limited, 28, 300)
    assert scheduled_lr(limited, 99, 10_000) == 1.0 > scheduled_lr(limited, 98, 10_000)


def test_without_a_norm_gradients_are_not_clipped(tmp_path: Path) -> None:
    class Unclipped(Toy):
        optim = replace(OPTIM, clip_norm=None)

    class Loose(Toy):
        optim = replace(OPTIM, clip_norm=1e9)

    class Tight(Toy):
        optim = replace(OPTIM, clip_norm=1e-3)

    unclipped, loose, tight = (run(toy(), tmp_path / toy.__name__) for toy in (Unclipped, Loose, Tight))

    assert unclipped == pytest.approx(loose)
    assert unclipped != pytest.approx(tight)


def test_weight_decay_spares_vectors_and_frozen_parts() -> None:
    matrices, vectors = decay_groups(Toy().module, 0.1)
    assert [p.ndim for p in matrices["params"]] == [2]
    assert [p.ndim for p in vectors["params"]] == [1, 1, 1]
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.1, 0.0)


def test_a_run_of_several_stages_warms_up_in_each_and_drops_where_it_is_told() -> None:
    plan = OptimPlan(config=OPTIM, stages=(Stage(steps=50), Stage(steps=100, lr=0.01)), rate_drops=(0.5,))

    assert plan.total_steps == 150
    assert [plan.lr_at(step) for step in range(50)] == [scheduled_lr(OPTIM, step, 50) for step in range(50)]
    second = [plan.lr_at(step) / scheduled_lr(OPTIM, step - 50, 100) for step in range(50, 150)]
    assert second == pytest.approx([0.2] * 25 + [0.02] * 75)
    with pytest.raises(IndexError):
        plan.lr_at(150)


OF_FE5387F = {"steps": 4, "vocabulary": ["cat"], "is_closed_set": True, "has_enhancer": True}
OF_FE5387F |= {"enhancer_shares_projection": True, "clip": None, "test_sides": None}

COCO = Vocabulary(Vocabulary.of("coco").concepts[:3])
OF_8734233 = to_jsonable(COCO)
for _entry, _path in zip(OF_8734233["concepts"], (["thing"], ["thing", "vehicle"], ["thing", "vehicle"]), strict=True):
    _entry["path"] = _path


@pytest.mark.parametrize(
    ("earlier", "now"),
    [
        (OF_FE5387F, {"vocabulary": ["cat"], "steps": 4}),
        (
            OF_FE5387F | {"is_closed_set": False},
            {key: value for key, value in OF_FE5387F.items() if key != "is_closed_set"},
        ),
        ({"steps": 4, "criterion": {}}, {"steps": 4, "criterion": {}, "nameless": []}),
        ({"vocabulary": OF_8734233}, {"vocabulary": to_jsonable(COCO)}),
        ({"model": {"training_vocabulary": OF_8734233}}, {"model": {"training_vocabulary": to_jsonable(COCO)}}),
    ],
    ids=["closed set", "OPSNet", "before nameless", "places of words", "places of a model's words"],
)
def test_a_run_of_an_earlier_version_goes_on(
    earlier: dict[str, object], now: dict[str, object], tmp_path: Path
) -> None:
    run(Toy(), tmp_path, origin={"recipe": earlier, "clip": "1"}, stop_after=3)

    with pytest.raises(ValueError, match="was begun otherwise"):
        run(Toy(), tmp_path, origin={"recipe": now | {"steps": 5}, "clip": "1"}, resume=True)
    assert len(run(Toy(), tmp_path, origin={"recipe": now, "clip": "1"}, resume=True)) == 27


def test_a_fine_tuning_goes_on_with_words_of_other_places_and_not_with_other_words(tmp_path: Path) -> None:
    run(Toy(), tmp_path, origin={"words": OF_8734233}, stop_after=3)

    with pytest.raises(ValueError, match="was begun otherwise"):
        run(Toy(), tmp_path, origin={"words": to_jsonable(Vocabulary.of("person, bicycle, bus"))}, resume=True)
    assert len(run(Toy(), tmp_path, origin={"words": to_jsonable(COCO)}, resume=True)) == 27


def test_a_run_leaves_torchs_generator_as_it_was(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()

    run(Toy(3), tmp_path)

    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_first_process_alone_keeps_what_is_gathered_for_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sharded(Tensor):
        """Stands for a DTensor."""

        def full_tensor(self) -> Tensor:
            return torch.ones(3)

    monkeypatch.setattr(parallel, "DTensor", Sharded)
    state = {"weights": [torch.zeros(1).as_subclass(Sharded)], "step": 3}

    kept = parallel.whole(state, in_first=True)
    monkeypatch.setattr(parallel.processes, "rank", lambda: 1)
    elsewhere = parallel.whole(state, in_first=True)

    assert kept["weights"][0].tolist() == [1.0, 1.0, 1.0]
    assert (len(elsewhere["weights"][0]), elsewhere["step"]) == (0, 3)
    assert len(parallel.whole(state)["weights"][0]) == 3


def test_activations_are_checkpointed_without_another_forward() -> None:
    block = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Tanh())
    names, pictures = list(block.state_dict()), torch.ones(2, 3)
    calls: list[int] = []
    block[0].register_forward_hook(lambda *_: calls.append(1))

    parallel.checkpoint_activations([block])
    block(pictures).sum().backward()

    assert len(calls) == 2  # again on the way back
    assert "forward" not in vars(block)
    assert list(block.state_dict()) == names

import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from lexiseg.core.errors import ModelError
from lexiseg.io.checkpoint import atomic_save, load_folder, load_into, load_training, save_folder, weights_hash
from lexiseg.io.config_json import from_jsonable


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    width: int = 4
    names: tuple[str, ...] = ("cat", "猫")


@pytest.fixture
def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


@pytest.fixture
def model(tmp_path: Path, net: nn.Module) -> Path:
    return save_folder(tmp_path / "a model", Config(), net.state_dict())


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.name.startswith("."))


# Folders


def test_a_folder_comes_back_as_it_was_saved(model: Path, net: nn.Module) -> None:
    doc, weights = load_folder(model)

    assert from_jsonable(Config, doc) == Config()
    assert weights.keys() == net.state_dict().keys()
    assert all(torch.equal(weights[key], tensor) for key, tensor in net.state_dict().items())
    assert sorted(path.name for path in model.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_a_matter_of_storage_alone(tmp_path: Path, net: nn.Module, dtype: torch.dtype) -> None:
    folder = save_folder(tmp_path / "half", Config(), net.state_dict(), dtype=dtype)

    _, weights = load_folder(folder)

    assert weights["0.weight"].dtype == torch.float32
    assert weights["1.num_batches_tracked"].dtype == torch.int64
    assert torch.equal(weights["0.weight"], net.state_dict()["0.weight"].to(dtype).float())


def test_values_too_large_for_half_precision_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="scale holds values too large"):
        save_folder(tmp_path / "m", Config(), {"scale": torch.tensor([1e6])}, dtype=torch.float16)

    assert list(tmp_path.iterdir()) == []


def test_shared_and_strided_weights_can_be_saved(tmp_path: Path) -> None:
    weight = torch.arange(6.0).reshape(2, 3)

    save_folder(tmp_path / "m", {}, {"a": weight, "b": weight, "c": weight.T, "d": weight[:, 1]})

    _, weights = load_folder(tmp_path / "m")
    assert torch.equal(weights["a"], weights["b"])
    assert torch.equal(weights["c"], weight.T)
    assert torch.equal(weights["d"], weight[:, 1])


def test_extra_files_lie_beside_the_weights(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "m", {}, {}, extra_files={"README.md": "# 猫\n"})

    assert (folder / "README.md").read_text(encoding="utf-8") == "# 猫\n"


@pytest.mark.parametrize("name", ["../escape.txt", "/tmp/escape.txt", "config.json", "..", ""])
def test_extra_files_never_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="plain name"):
        save_folder(tmp_path / "m", {}, {}, extra_files={name: "x"})

    assert list(tmp_path.iterdir()) == []


def test_a_full_folder_is_overwritten_only_when_told(model: Path) -> None:
    before = weights_hash(load_folder(model)[1])

    with pytest.raises(ModelError, match="is not empty"):
        save_folder(model, Config(), {"w": torch.ones(1)})
    assert weights_hash(load_folder(model)[1]) == before

    save_folder(model, Config(width=5), {"w": torch.ones(1)}, overwrite=True)
    doc, weights = load_folder(model)
    assert doc["width"] == 5
    assert list(weights) == ["w"]
    assert [path.name for path in model.parent.iterdir()] == [model.name]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()

    save_folder(tmp_path / "m", Config(), {})

    assert load_folder(tmp_path / "m")[0]["width"] == 4


def test_a_folder_of_other_things_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")

    with pytest.raises(ModelError, match="other than a model"):
        save_folder(tmp_path, Config(), {}, overwrite=True)

    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_failed_save_leaves_the_earlier_model_and_nothing_else(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    before = weights_hash(load_folder(model)[1])
    monkeypatch.setattr("lexiseg.io.checkpoint.save_file", full)

    with pytest.raises(ModelError, match="No space left"):
        save_folder(model, Config(), {"w": torch.ones(1)}, overwrite=True)

    assert weights_hash(load_folder(model)[1]) == before
    assert left_behind(model.parent) == []


def test_a_failed_swap_puts_the_earlier_model_back(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename, calls = Path.rename, []

    def second_fails(self: Path, target: Path) -> Path:
        calls.append(self)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", second_fails)

    with pytest.raises(ModelError, match="Input/output error"):
        save_folder(model, Config(width=9), {"w": torch.ones(1)}, overwrite=True)

    assert load_folder(model)[0]["width"] == 4
    assert left_behind(model.parent) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ModelError, match=r"file' is a file"):
        save_folder(tmp_path / "file", Config(), {})
    with pytest.raises(ModelError, match=r"m' can't be written \(Not a directory|File exists"):
        save_folder(tmp_path / "file" / "m", Config(), {})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no model.safetensors"),
        (lambda folder: (folder / "config.json").write_text("{"), "this is no JSON"),
        (lambda folder: (folder / "config.json").write_text("[" * 100_000), "this is no JSON"),
        (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe{"), "this is no JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "must hold an object"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "damaged or cut off"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 99), "damaged or cut"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(
                (folder / "model.safetensors").read_bytes()[:-10]
            ),
            "damaged or cut off",
        ),
    ],
)
def test_a_damaged_folder_is_one_sentence(model: Path, damage, message: str) -> None:
    damage(model)

    with pytest.raises(ModelError, match=message) as caught:
        load_folder(model)

    assert "a model" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_says_what_a_folder_holds(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model folder .*gone.* config\.json"):
        load_folder(tmp_path / "gone")


def test_the_config_is_readable_by_people(model: Path) -> None:
    text = (model / "config.json").read_text(encoding="utf-8")

    assert "猫" in text
    assert json.loads(text) == {"width": 4, "names": ["cat", "猫"]}


# Weights into modules


def test_weights_that_fit_are_copied(model: Path) -> None:
    other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

    load_into(other, load_folder(model)[1], model)

    assert weights_hash(other.state_dict()) == weights_hash(load_folder(model)[1])


def test_weights_that_do_not_fit_are_named_and_change_nothing(net: nn.Module) -> None:
    weights = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    weights["0.weight"] = torch.zeros(4, 3, 5, 5)
    del weights["1.bias"], weights["1.weight"], weights["1.running_mean"], weights["1.running_var"]
    weights["strange"] = torch.zeros(1)
    before = weights_hash(net.state_dict())

    with pytest.raises(ModelError) as caught:
        load_into(net, weights, "somewhere")

    message = str(caught.value)
    assert "somewhere" in message
    assert "lacks 1.weight, 1.bias, 1.running_mean and 1 more" in message
    assert "unknown strange" in message
    assert "0.weight [4, 3, 5, 5] instead of [4, 3, 3, 3]" in message
    assert weights_hash(net.state_dict()) == before


def test_the_hash_knows_names_shapes_types_and_values_but_not_order() -> None:
    one, two = torch.zeros(2, 3), torch.tensor(1.0)
    base = weights_hash({"a": one, "b": two})

    assert base == weights_hash({"b": two, "a": one})
    assert len(base) == 16
    assert base == weights_hash({"a": torch.zeros(3, 2).T, "b": two})
    others = [
        {"a": one, "c": two},
        {"a": one.T, "b": two},
        {"a": one.int(), "b": two},
        {"a": one, "b": two + 1e-6},
        {"a": one},
        {"a": one, "b": two, "c": torch.zeros(0)},
        {},
    ]
    assert len({base, *map(weights_hash, others)}) == len(others) + 1


# Training checkpoints


def test_a_training_checkpoint_comes_back(tmp_path: Path, net: nn.Module) -> None:
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.ones(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    state = {
        "model": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": 7,
        "log": [0.5],
    }

    path = atomic_save(state, tmp_path / "new folder" / "last.pt")

    back = load_training(path)
    assert back["step"] == 7
    assert back["log"] == [0.5]
    assert weights_hash(back["model"]) == weights_hash(net.state_dict())
    assert torch.equal(back["optimizer"]["state"][0]["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])


def test_a_failed_save_keeps_the_earlier_checkpoint(tmp_path: Path) -> None:
    path = atomic_save({"step": 1}, tmp_path / "last.pt")

    with pytest.raises((AttributeError, pickle.PicklingError)):
        atomic_save({"step": lambda: 2}, path)

    assert load_training(path) == {"step": 1}
    assert left_behind(tmp_path) == []


class Trap:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("this must never be printed",))


def test_a_foreign_pickle_runs_no_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"step": Trap()}, tmp_path / "trap.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Trap()))

    for name in ("trap.pt", "plain.pt"):
        with pytest.raises(ModelError, match=f"{name}' is damaged or was not written by lexiseg"):
            load_training(tmp_path / name)

    assert capsys.readouterr().out == ""


def test_missing_and_truncated_checkpoints_are_one_sentence(tmp_path: Path) -> None:
    path = atomic_save({"w": torch.ones(1000)}, tmp_path / "last.pt")
    path.write_bytes(path.read_bytes()[:1000])

    with pytest.raises(ModelError, match="damaged"):
        load_training(path)
    with pytest.raises(ModelError, match="no training checkpoint"):
        load_training(tmp_path / "none.pt")

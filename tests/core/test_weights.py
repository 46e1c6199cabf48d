"""Weights read in every layout, held against what a network needs, and loaded into a part of one."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lexiseg.core.files import WEIGHT_FILES
from lexiseg.core.weights import load_part, read_tensors, weight_complaint

EXPECTED = {"a": torch.zeros(2, 3), "b": torch.zeros(1), "count": torch.zeros(())}


def test_weights_that_fit_have_no_complaint() -> None:
    assert weight_complaint(EXPECTED, EXPECTED) == ""


def test_missing_unknown_and_reshaped_weights_are_named_together() -> None:
    found = {"a": torch.zeros(3, 2), "c": torch.zeros(1), "count": torch.zeros(())}

    assert weight_complaint(found, EXPECTED) == (
        "lacks b, and holds the unknown c, and has another shape in a [3, 2] instead of [2, 3]"
    )


def test_what_may_be_missing_or_there_is_no_complaint() -> None:
    found = {"a": torch.zeros(2, 3), "b": torch.zeros(1), "extra": torch.zeros(1)}

    assert weight_complaint(found, EXPECTED, is_optional="count".__eq__, is_ignored="extra".__eq__) == ""


def test_a_part_is_loaded_and_the_rest_stays() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    bias = torch.tensor([3.0, 4.0])

    load_part(net, {"0.bias": bias})

    for name, value in net.state_dict().items():
        assert torch.equal(value, bias if name == "0.bias" else before[name])


@pytest.mark.parametrize(("name", "size", "said"), [("2.bias", 2, "Unexpected key"), ("0.bias", 3, "size mismatch")])
def test_a_part_of_something_else_is_refused(name: str, size: int, said: str) -> None:
    with pytest.raises(RuntimeError, match=said):
        load_part(nn.Sequential(nn.Linear(2, 2)), {name: torch.zeros(size)})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (torch.tensor([float("nan")]), "has NaN or infinity in b"),
        (torch.tensor([float("-inf")]), "has NaN or infinity in b"),
        (torch.tensor([3]), "has whole numbers in b"),
        (torch.tensor([True]), "has whole numbers in b"),
    ],
)
def test_weights_that_no_training_gives_are_a_complaint(wrong: torch.Tensor, said: str) -> None:
    assert weight_complaint({**EXPECTED, "b": wrong}, EXPECTED) == said


def put(folder: Path, layout: str, weights: dict[str, torch.Tensor]) -> None:
    """Writes weights in one of the layouts in which people keep them."""
    names = sorted(weights)
    parts = [dict.fromkeys(names[:1]), dict.fromkeys(names[1:])] if "index" in layout else [dict.fromkeys(names)]
    ending = "safetensors" if "safetensors" in layout else "bin"
    files = [f"part-{number}.{ending}" for number in range(2)] if "index" in layout else [layout]
    for file, part in zip(files, parts, strict=True):
        content = {name: weights[name] for name in part}
        save_file(content, folder / file) if ending == "safetensors" else torch.save(content, folder / file)
    if "index" in layout:
        places = {name: file for file, part in zip(files, parts, strict=True) for name in part}
        (folder / layout).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))


@pytest.mark.parametrize("layout", WEIGHT_FILES)
def test_every_layout_of_a_folder_gives_the_same_weights(layout: str, tmp_path: Path) -> None:
    weights = {"a": torch.rand(2, 3), "b": torch.rand(1), "c": torch.arange(3)}
    put(tmp_path, layout, weights)

    for place in (tmp_path, tmp_path / layout):
        found = read_tensors(place)
        assert found.keys() == weights.keys()
        assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_shards_that_are_lost_or_elsewhere_are_named(tmp_path: Path) -> None:
    put(tmp_path, WEIGHT_FILES[1], {"a": torch.rand(1), "b": torch.rand(1)})
    index = tmp_path / WEIGHT_FILES[1]
    document = json.loads(index.read_text())

    document["weight_map"]["c"] = "part-0.safetensors"
    index.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"the shards beside .* lack c"):
        read_tensors(tmp_path)
    for stray in ("../part-0.safetensors", "", "..", index.name):
        document["weight_map"]["c"] = stray
        index.write_text(json.dumps(document))
        with pytest.raises(ValueError, match="must lie beside their index"):
            read_tensors(tmp_path)
    (tmp_path / "part-1.safetensors").unlink()
    document["weight_map"].pop("c")
    index.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"no weights at .*part-1"):
        read_tensors(tmp_path)
    index.write_text("{}")
    with pytest.raises(ValueError, match="lists no shards"):
        read_tensors(tmp_path)


class _Program:
    """What a hostile pickle holds."""

    def __reduce__(self) -> tuple[object, ...]:
        return print, ("run",)


def test_a_pickle_that_would_run_is_not_opened(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    torch.save({"a": _Program()}, tmp_path / "pytorch_model.bin")

    with pytest.raises(ValueError, match="holds more than tensors"):
        read_tensors(tmp_path)
    assert capfd.readouterr().out == ""

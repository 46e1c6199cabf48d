"""Shipped weights give the numbers that they gave when they were shipped."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from lexiseg.io.shipped import SHIPPED, shipped_folder


@pytest.fixture(scope="module")
def numbers() -> ModuleType:
    """The script that computes and records them."""
    path = Path(__file__).with_name("record.py")
    spec = importlib.util.spec_from_file_location("golden_record", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("model", SHIPPED)
def test_a_shipped_model_gives_its_golden_numbers(model: str, numbers: ModuleType) -> None:
    found, golden = numbers.compute(model), json.loads(numbers.record_of(model).read_text())

    for name, expected in golden.items():
        got = found[name]
        assert got["domain_similarity"] == pytest.approx(expected["domain_similarity"], abs=1e-3)
        # A cell on the edge of a mask may flip between processors, and with it a pooled embedding moves a little.
        np.testing.assert_allclose(got["mask_cells"], expected["mask_cells"], atol=4)
        np.testing.assert_allclose(got["class_logits"], expected["class_logits"], atol=0.5)
        np.testing.assert_allclose(got["void_probs"], expected["void_probs"], atol=0.02)
        np.testing.assert_allclose(got["iou_scores"], expected["iou_scores"], atol=0.01)
        same = np.array(got["class_ids"]) == np.array(expected["class_ids"])
        assert same.mean() >= 0.95


@pytest.mark.parametrize(("model", "megabytes"), [("storybook", 20), ("tiny-ovseg", 12)])
def test_a_shipped_folder_is_whole_and_small(model: str, megabytes: int) -> None:
    files = {path.name: path.stat().st_size for path in shipped_folder(model).iterdir()}

    assert {"config.json", "model.safetensors", "README.md"} <= files.keys()
    assert sum(files.values()) < megabytes * 1_000_000

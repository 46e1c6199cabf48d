"""Weights held against what a network needs, and loaded into a part of one."""

import pytest
import torch
from torch import nn

from lexiseg.core.weights import load_part, weight_complaint

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

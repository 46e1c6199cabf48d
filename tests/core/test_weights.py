"""Weights held against what a network needs."""

import torch

from lexiseg.core.weights import weight_complaint

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

"""Holding an imported model against recorded outputs of the official program: the checks, their table and JSON."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from lexiseg.core.errors import ModelError
from lexiseg.core.messages import few, printable
from lexiseg.core.weights import read_tensors

Kind = Literal["relative difference", "difference", "agreement"]
_TITLES: Mapping[Kind, str] = {
    "relative difference": "Largest relative difference",
    "difference": "Largest difference",
    "agreement": "Pixels that agree, in %",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One output of a model, held against the reference's."""

    name: str
    overall: float
    """The value of the whole model, from picture and words: the largest difference, or the share that agrees."""
    staged: float | None = None
    """Likewise of the stage that computes it alone, from the reference's own inputs of that stage; None: not asked."""
    limit: float
    """The largest difference, or the least share, that holds."""
    kind: Kind = "difference"
    stage_decides: bool = False
    """Whether `staged` alone decides."""

    @property
    def holds(self) -> bool:
        """Whether it is within the limit; what is no number is not."""
        values = [value for value in (self.staged, None if self.stage_decides else self.overall) if value is not None]
        if self.kind == "agreement":
            return all(value >= self.limit for value in values)
        return all(value <= self.limit for value in values)

    @property
    def values(self) -> tuple[float, ...]:
        """Alone, where that was asked, and in a row."""
        return (self.overall,) if self.staged is None else (self.staged, self.overall)

    def shown(self, value: float) -> str:
        """A value as the table shows it."""
        return f"{100 * value:.3f}" if self.kind == "agreement" else f"{value:.1e}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """All checks of a model against one reference."""

    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Whether every check holds."""
        return all(check.holds for check in self.checks)

    @property
    def tensors(self) -> tuple[Check, ...]:
        """The checks of differences."""
        return tuple(check for check in self.checks if check.kind != "agreement")

    @property
    def maps(self) -> tuple[Check, ...]:
        """The checks of agreement."""
        return tuple(check for check in self.checks if check.kind == "agreement")

    def tables(self) -> list[tuple[str, list[tuple[str, ...]]]]:
        """Titles and rows for a terminal, the first row the heading; shares in percent.

        All but the first and the last column are numbers.
        """
        tables: list[tuple[str, list[tuple[str, ...]]]] = []
        for checks, first, verdict in ((self.tensors, "tensor", "too large"), (self.maps, "map", "too few")):
            if not checks:
                continue
            sides = ("in a row",) if checks[0].staged is None else ("stage alone", "in a row")
            rows = [(c.name, *map(c.shown, (*c.values, c.limit)), "" if c.holds else verdict) for c in checks]
            tables.append((_TITLES[checks[0].kind], [(first, *sides, "limit", ""), *rows]))
        return tables

    def to_jsonable(self) -> dict[str, object]:
        """Fractions; null where a value is no number."""

        def sides(check: Check) -> dict[str, float | None]:
            names = ("alone", "in_a_row")[-len(check.values) :]
            values = zip(names, check.values, strict=True)
            return {side: value if math.isfinite(value) else None for side, value in values}

        return {
            "holds": self.holds,
            "differences": {check.name: sides(check) for check in self.tensors},
            "agreements": {check.name: sides(check) for check in self.maps},
        }


def read_reference(path: Path, needed: Iterable[str]) -> dict[str, Tensor]:
    """Reads recorded inputs and outputs of an official program; `image` among them is 3 x H x W bytes.

    Raises:
        ModelError: if the file is missing or damaged, or lacks one of the needed tensors.
    """
    name = printable(path)
    if not path.is_file():
        raise ModelError(f"there is no reference {name}; give a .safetensors file.")
    try:
        found = read_tensors(path)
    except ValueError as error:
        raise ModelError(f"the reference {name} is damaged or no safetensors file; copy it again.") from error
    if missing := [key for key in needed if key not in found]:
        raise ModelError(f"the reference {name} lacks {', '.join(missing)}; record it again.")
    if found["image"].ndim != 3 or len(found["image"]) != 3 or found["image"].dtype != torch.uint8:
        raise ModelError(f"the image of the reference {name} must be 3 x H x W bytes; record it again.")
    return found


def all_compared(checks: Iterable[Check], reference: Mapping[str, Tensor]) -> Verification:
    """The checks, if there is one of every recorded tensor but the picture.

    Raises:
        ModelError: if the reference holds tensors that nothing was compared with.
    """
    checks = tuple(checks)
    compared = {check.name for check in checks}
    if left := [name for name in reference if name != "image" and name not in compared]:
        raise ModelError(
            f"the reference holds {few(left)}, which nothing of this model is compared with: take the reference of "
            "such a model, or leave these tensors out."
        )
    return Verification(checks=checks)


def difference(found: Tensor, expected: Tensor, *, name: str, relative: bool = False) -> float:
    """The largest difference of two tensors; relative to the expected one's largest magnitude where asked.

    Raises:
        ModelError: if the shapes differ.
    """
    check_shape(found, expected, name)
    if not expected.numel():
        return 0.0
    found, expected = found.float(), expected.float()
    scale = float(expected.abs().max()) if relative else 1.0
    return float((found - expected).abs().max()) / (scale if scale > 0 else 1)


def agreement(found: Tensor, expected: Tensor, *, name: str) -> float:
    """The share of equal values in [0, 1]; raises ModelError if the shapes differ."""
    check_shape(found, expected, name)
    return float((found == expected).float().mean())


def check_shape(found: Tensor, expected: Tensor, name: str) -> None:
    """Raises ModelError if an output and its reference have different shapes."""
    if found.shape != expected.shape:
        raise ModelError(
            f"the reference's {name} has the shape {list(expected.shape)}, the model's {list(found.shape)}: it was "
            "made with another model or with other words."
        )

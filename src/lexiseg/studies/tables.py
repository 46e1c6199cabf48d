"""The papers' tables: their numbers, and where ours are found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

NOT_TRIED = "not tried: "
"""How the arm of a row begins that has the paper's figures alone: a model that is not tried here."""
Paper = Literal["OPSNet", "OVSeg", "ZegFormer", "SimBaseline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperRow:
    """One row."""

    name: str
    arm: str
    """Whose figures stand beside the paper's."""
    figures: Mapping[str, float | None]
    """The paper's, in percent: "ADE20K PQ" ...; None where it has a dash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTable:
    """One table."""

    name: str
    """As it is typed: "Table 4", "OVSeg Table 2"."""
    paper: Paper
    says: str
    """What it compares, in a line."""
    columns: tuple[str, ...]
    """The paper's figures."""
    rows: tuple[PaperRow, ...]
    more: tuple[str, ...] = ()
    """Figures of ours beside those of the paper, such as "ADE20K PQ unseen"."""

    @property
    def all_columns(self) -> tuple[str, ...]:
        """The paper's figures, and ours beside them."""
        return self.columns + self.more

    @property
    def arms(self) -> frozenset[str]:
        """What must have been measured."""
        return frozenset(row.arm for row in self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperFigure:
    """One figure: pictures that a unit leaves."""

    name: str
    """As it is typed: "Figure 4"."""
    paper: Paper
    says: str
    """Its caption."""
    unit: str
    """The unit whose pictures are shown."""
    arms: tuple[str, ...] = ()
    """Arms whose figures are shown in a table below."""
    columns: tuple[str, ...] = ()
    """Their figures."""


def rows_of(
    columns: tuple[str, ...], prefix: str, rows: Mapping[str, tuple[float | None, ...]]
) -> tuple[PaperRow, ...]:
    """Rows written as a name and its numbers; the arm of each is `PREFIX: NAME`."""
    return tuple(
        PaperRow(name=name, arm=f"{prefix}: {name}", figures=dict(zip(columns, numbers, strict=True)))
        for name, numbers in rows.items()
    )

"""Claims of a paper as sums of figures that it would have above zero, and what the figures say to them."""

import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

RULE = (
    "A contrast is a sum of figures that the paper would have above zero, taken within a seed and on the same "
    "pictures. Its spread is the larger of two: the standard deviation where there are three or more seeds (each a "
    "training; of OVSeg, also pictures of its own, and where nothing was trained, those alone), and the delete-one "
    "jackknife's standard error over 20 blocks of test pictures (of seed 0; for Figure 4, of classes). With d the "
    "mean over the seeds, and a margin where the claim allows one: d + margin above twice the spread holds, below "
    "minus twice the spread it does not hold, and in between it is too close to call, as it is without a spread. "
    "Equalities hold if every digit is equal. A claim holds if all its contrasts hold, does not hold if one does not, "
    "and else is too close to call, or run in part where some of its contrasts were not run; nothing is allowed for "
    "their number, so that of many contrasts one may fail by chance. Controls, for which the papers have no order, "
    "never count."
)
"""How every verdict is found."""

TallyT = TypeVar("TallyT")
FEWEST_SEEDS = 3
"""Trainings whose spread means something."""
Verdict = Literal["holds", "does not hold", "too close to call", "not run"]
"""Of a contrast."""
ClaimVerdict = Literal[Verdict, "run in part"]
Kind = Literal["above", "equal", "control"]
SpreadOf = Literal["trainings", "pictures"]
Term = tuple[float, str, str]
"""A coefficient, an arm and a figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One figure of one arm."""

    seeds: tuple[float, ...]
    """Its value for each training."""
    blocks: tuple[float, ...] = ()
    """Of the first training: the value without the first, the second ... block of test pictures."""


Figures = Mapping[str, Mapping[str, Measured]]
"""By arm and by name of the figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """A sum of figures that the paper would have above zero."""

    says: str
    """What is above what, and where."""
    terms: tuple[Term, ...]
    margin: float = 0.0
    """Points by which it may fall short."""
    kind: Kind = "above"
    """"equal": zero in every digit. "control": not the paper's; no order is expected, and no verdict counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim of a paper."""

    name: str
    """Such as O7."""
    says: str
    """What is claimed, with the paper's figures."""
    contrasts: tuple[Contrast, ...]

    @property
    def arms(self) -> frozenset[str]:
        """What must have been measured."""
        return frozenset(arm for c in self.contrasts for _, arm, _ in c.terms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the figures say to a contrast."""

    contrast: Contrast
    gains: tuple[float, ...]
    """For each training."""
    spread: float | None
    spread_of: SpreadOf | None
    verdict: Verdict

    def to_jsonable(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {
            "says": self.contrast.says,
            "kind": self.contrast.kind,
            "margin": self.contrast.margin,
            "terms": [list(term) for term in self.contrast.terms],
            "gains": list(self.gains),
            "spread": self.spread,
            "spread_of": self.spread_of,
            "verdict": self.verdict,
        }


def above(figure: str, higher: str, lower: str, *, margin: float = 0.0, kind: Kind = "above") -> Contrast:
    """One arm above another by a figure."""
    signs = {"above": "above", "equal": "equal to", "control": "against"}
    terms = ((1.0, higher, figure), (-1.0, lower, figure))
    return Contrast(says=f"{figure}: {higher} {signs[kind]} {lower}", terms=terms, margin=margin, kind=kind)


def rising(figures: Sequence[str], *arms: str, margin: float = 0.0, kind: Kind = "above") -> tuple[Contrast, ...]:
    """Each arm above the one before, by each figure."""
    return tuple(
        above(figure, higher, lower, margin=margin, kind=kind)
        for figure in figures
        for lower, higher in itertools.pairwise(arms)
    )


def find(contrast: Contrast, figures: Figures) -> Finding:
    """Adds up a contrast and says what it shows, by `RULE`."""
    found = [(weight, figures.get(arm, {}).get(name)) for weight, arm, name in contrast.terms]
    terms = [(weight, measured) for weight, measured in found if measured is not None]
    if len(terms) < len(found):
        return Finding(contrast=contrast, gains=(), spread=None, spread_of=None, verdict="not run")
    # What needs no training has one value, which stands beside every seed of the others.
    num_seeds = max(len(measured.seeds) for _, measured in terms)
    gains = tuple(
        sum(weight * measured.seeds[min(seed, len(measured.seeds) - 1)] for weight, measured in terms)
        for seed in range(num_seeds)
    )
    spreads: list[tuple[float, SpreadOf]] = []
    if num_seeds >= FEWEST_SEEDS:
        spreads.append((statistics.stdev(gains), "trainings"))
    if len(lengths := {len(measured.blocks) for _, measured in terms}) == 1 and (blocks := lengths.pop()) > 1:
        without = [sum(weight * measured.blocks[b] for weight, measured in terms) for b in range(blocks)]
        spreads.append((jackknife(without), "pictures"))
    width, of = max(spreads, default=(None, None), key=lambda one: one[0])
    verdict = _verdict(contrast, gains, width)
    return Finding(contrast=contrast, gains=gains, spread=width, spread_of=of, verdict=verdict)


def jackknife(without: Sequence[float]) -> float:
    """The standard error of a figure by its values without each of n blocks: sqrt((n - 1) x their variance)."""
    return ((len(without) - 1) * statistics.pvariance(without)) ** 0.5


def spread(measured: Measured) -> tuple[float | None, SpreadOf | None]:
    """The spread of a figure, and of what: of trainings, or of pictures where those are too few."""
    if len(measured.seeds) >= FEWEST_SEEDS:
        return statistics.stdev(measured.seeds), "trainings"
    return (jackknife(measured.blocks), "pictures") if len(measured.blocks) > 1 else (None, None)


def with_blocks(
    blocks: Sequence[TallyT], figures_of: Callable[[TallyT], Mapping[str, float]]
) -> dict[str, dict[str, Any]]:
    """Figures of all pictures, and without each block of them, as the result of a measuring unit has them.

    Args:
        blocks: what was counted in each block of test pictures; counts add up.
        figures_of: figures by name, in percent.
    """

    def total(parts: Sequence[Any]) -> Any:
        return sum(parts[1:], parts[0])

    whole = figures_of(total(blocks))
    without = [figures_of(total([*blocks[:b], *blocks[b + 1 :]])) for b in range(len(blocks))] if blocks[1:] else []
    return {name: {"value": value, "blocks": [one[name] for one in without]} for name, value in whole.items()}


def of_data(data: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures under the name of their data set too: "ADE20K PQ" ..."""
    return {f"{data} {name}": about for name, about in figures.items()}


def _verdict(contrast: Contrast, gains: Sequence[float], spread: float | None) -> Verdict:
    if contrast.kind == "equal":
        return "holds" if not any(gains) else "does not hold"
    mean = statistics.mean(gains)
    if spread is None or abs(mean + contrast.margin) <= 2 * spread:
        return "too close to call"
    return "holds" if mean + contrast.margin > 0 else "does not hold"


def judge(claim: Claim, figures: Figures) -> tuple[ClaimVerdict, tuple[Finding, ...]]:
    """The verdict of a claim, and what each of its contrasts shows."""
    findings = tuple(find(contrast, figures) for contrast in claim.contrasts)
    return _together({one.verdict for one in findings if one.contrast.kind != "control"}), findings


def _together(verdicts: set[Verdict]) -> ClaimVerdict:
    """What the verdicts of contrasts that count make of their claim."""
    if "does not hold" in verdicts:
        return "does not hold"
    if verdicts <= {"not run"}:
        return "not run"
    if "not run" in verdicts:
        return "run in part"
    return "holds" if verdicts == {"holds"} else "too close to call"

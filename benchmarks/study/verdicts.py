"""Claims of a paper as comparisons between figures of the runs, and what the runs say to them."""

import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from study.runner import record_of

Figures = Mapping[str, Mapping[str, Sequence[float]]]
"""By arm and by name of the figure: one value for each seed, in percent."""
Place = tuple[str, str]
"""An arm and a figure's name."""
Role = Literal["paper", "control"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One figure that the paper would have above another one."""

    higher: Place
    lower: Place
    margin: float = 0.0
    """Points by which it may fall short."""
    role: Role = "paper"
    """"paper", or "control": not the paper's, but the same number of samples; no order is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim of the paper."""

    name: str
    says: str
    """What is claimed, with the paper's figures."""
    comparisons: tuple[Comparison, ...]

    @property
    def arms(self) -> frozenset[str]:
        """What must have been run."""
        return frozenset(arm for c in self.comparisons for arm, _ in (c.higher, c.lower))


def rising(figures: Sequence[str], *arms: str, margin: float = 0.0, role: Role = "paper") -> tuple[Comparison, ...]:
    """Each arm above the one before, by each figure."""
    return tuple(
        Comparison(higher=(higher, figure), lower=(lower, figure), margin=margin, role=role)
        for figure in figures
        for lower, higher in itertools.pairwise(arms)
    )


WORDS = {"paper": ("holds", "reversed", "not shown"), "control": ("higher", "lower", "no difference shown")}


def collect(
    root: Path, runs: Sequence[str], figures_of: Callable[[Mapping[str, Any]], Mapping[str, float]]
) -> dict[str, dict[str, list[float]]]:
    """The figures of the finished runs, "runs/ARM-SEED"; arms that lack a seed are left out."""
    figures: dict[str, dict[str, list[float]]] = {}
    by_arm: dict[str, list[str]] = {}
    for run in runs:
        by_arm.setdefault(run.removeprefix("runs/").rpartition("-")[0], []).append(run)
    for arm, names in by_arm.items():
        records = [record_of(root, name) for name in names]
        found = [figures_of(record["result"]) for record in records if record is not None and record["is_finished"]]
        if len(found) == len(names):
            figures[arm] = {
                name: [one[name] for one in found] for name in found[0] if all(name in one for one in found)
            }
    return figures


def verdict(comparison: Comparison, figures: Figures) -> dict[str, Any] | None:
    """The difference over seeds and what it shows; None if something was not run.

    A difference counts if its mean, margin included, is more than twice its standard deviation over the seeds.
    """
    sides = [figures.get(arm, {}).get(figure, ()) for arm, figure in (comparison.higher, comparison.lower)]
    if not sides[0] or len(sides[0]) != len(sides[1]):
        return None
    gains = [high - low for high, low in zip(*sides, strict=True)]
    mean, deviation = statistics.mean(gains), _spread(gains)
    above, below, neither = WORDS[comparison.role]
    if deviation is None:
        word = "one seed"
    elif abs(mean + comparison.margin) <= 2 * deviation:
        word = neither
    else:
        word = above if mean + comparison.margin > 0 else below
    return {
        "higher": list(comparison.higher),
        "lower": list(comparison.lower),
        "margin": comparison.margin,
        "role": comparison.role,
        "gains": gains,
        "mean": mean,
        "deviation": deviation,
        "verdict": word,
    }


def document(figures: Figures, claims: Sequence[Claim]) -> dict[str, Any]:
    """Mean and spread of every figure, and every verdict, as JSON has it."""
    spreads = {
        arm: {name: {"mean": statistics.mean(v), "deviation": _spread(v), "seeds": list(v)} for name, v in by.items()}
        for arm, by in figures.items()
    }
    found = [
        {
            "name": claim.name,
            "says": claim.says,
            "comparisons": [v for c in claim.comparisons if (v := verdict(c, figures)) is not None],
        }
        for claim in claims
    ]
    return {"figures": spreads, "claims": found}


def claims_markdown(figures: Figures, claims: Sequence[Claim]) -> str:
    """Every claim with its comparisons, for people."""
    parts: list[str] = []
    for claim in claims:
        found = [(c, v) for c in claim.comparisons if (v := verdict(c, figures)) is not None]
        rows = table([("higher", "lower", "difference", "verdict"), *(_claim_row(c, v) for c, v in found)])
        parts.append(f"## {claim.name}\n\n{claim.says}\n\n{rows if found else 'Not run.'}")
    return "\n\n".join(parts)


def _claim_row(comparison: Comparison, found: Mapping[str, Any]) -> tuple[str, ...]:
    (high, figure), (low, other) = comparison.higher, comparison.lower
    sides = (f"{high}: {figure}", low if figure == other else f"{low}: {other}")
    spread = "" if found["deviation"] is None else f" ± {found['deviation']:.2f}"
    allowed = f" (may lack {comparison.margin:g})" if comparison.margin else ""
    control = "control: " if comparison.role == "control" else ""
    return *sides, f"{found['mean']:+.2f}{spread}{allowed}", control + found["verdict"]


def cell(figures: Mapping[str, Sequence[float]], name: str) -> str:
    """Mean and standard deviation of one figure of an arm."""
    if name not in figures:
        return "-"
    spread = _spread(figures[name])
    return f"{statistics.mean(figures[name]):.1f}" + ("" if spread is None else f" ± {spread:.1f}")


def _spread(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def table(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the first row is the heading."""
    head, *body = rows
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

"""What the runs say to the claims: differences over seeds, and the tables."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ovseg_study.claims import CLAIMS, MIOU, SEEN, UNSEEN, Comparison

Figures = Mapping[str, Mapping[str, Sequence[float]]]
"""By arm and by name of the figure: one value for each seed, in percent."""

SUMMARY = (
    *MIOU,
    "ensemble mIoU seen",
    "ensemble mIoU unseen",
    "ensemble hIoU",
    "true masks mIoU",
    *SEEN[1:],
    *UNSEEN[1:],
)
"""The columns of the table of arms."""
METRICS = ("mIoU", "mIoU seen", "mIoU unseen", "hIoU")
WORDS = {"paper": ("holds", "reversed", "not shown"), "control": ("higher", "lower", "no difference shown")}


def flat_figures(result: Mapping[str, Any]) -> dict[str, float]:
    """The figures of one run by their names: "ensemble mIoU", "noisy, mask unseen things"."""
    parts = {**result["rows"], **result["top-1"]}
    return {
        f"{part} {name}": value for part, about in parts.items() for name, value in about.items() if name != "choice"
    }


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


def document(figures: Figures) -> dict[str, Any]:
    """Mean and spread of every figure, and every verdict, as JSON has it."""
    spreads = {
        arm: {name: {"mean": statistics.mean(v), "deviation": _spread(v), "seeds": list(v)} for name, v in by.items()}
        for arm, by in figures.items()
    }
    claims = [
        {
            "name": claim.name,
            "says": claim.says,
            "comparisons": [found for c in claim.comparisons if (found := verdict(c, figures)) is not None],
        }
        for claim in CLAIMS
    ]
    return {"figures": spreads, "claims": claims}


def markdown(figures: Figures) -> str:
    """The same for people: the arms, the rows that need no training, then the claims."""
    arms = [(arm, *(_cell(by, name) for name in SUMMARY)) for arm, by in figures.items()]
    original = figures.get("original", {})
    rows = [name.removesuffix(" hIoU") for name in original if name.endswith(" hIoU")]
    asked = [(row, *(_cell(original, f"{row} {metric}") for metric in METRICS)) for row in rows]
    parts = [
        "Percent; mean ± standard deviation over the seeds.",
        _table([("CLIP", *SUMMARY), *arms]),
        _table([("original CLIP", *METRICS), *asked]),
    ]
    for claim in CLAIMS:
        found = [(c, v) for c in claim.comparisons if (v := verdict(c, figures)) is not None]
        table = _table([("higher", "lower", "difference", "verdict"), *(_claim_row(c, v) for c, v in found)])
        parts.append(f"## {claim.name}\n\n{claim.says}\n\n{table if found else 'Not run.'}")
    return "\n\n".join(parts) + "\n"


def _claim_row(comparison: Comparison, found: Mapping[str, Any]) -> tuple[str, ...]:
    (high, figure), (low, other) = comparison.higher, comparison.lower
    sides = (f"{high}: {figure}", low if figure == other else f"{low}: {other}")
    spread = "" if found["deviation"] is None else f" ± {found['deviation']:.2f}"
    allowed = f" (may lack {comparison.margin:g})" if comparison.margin else ""
    control = "control: " if comparison.role == "control" else ""
    return *sides, f"{found['mean']:+.2f}{spread}{allowed}", control + found["verdict"]


def _cell(figures: Mapping[str, Sequence[float]], name: str) -> str:
    if name not in figures:
        return "-"
    spread = _spread(figures[name])
    return f"{statistics.mean(figures[name]):.1f}" + ("" if spread is None else f" ± {spread:.1f}")


def _spread(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

"""The figures of the runs by name, and the tables of CLIPs and rows."""

from collections.abc import Mapping
from typing import Any

from study.verdicts import Figures, cell, claims_markdown, table

from ovseg_study.claims import CLAIMS, MIOU, SEEN, UNSEEN
from ovseg_study.plan import ENSEMBLE_FIXED, FIXED

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


def flat_figures(result: Mapping[str, Any]) -> dict[str, float]:
    """The figures of one run by their names: "ensemble mIoU", "noisy, mask unseen things"."""
    parts = {**result["rows"], **result["top-1"]}
    return {
        f"{part} {name}": value for part, about in parts.items() for name, value in about.items() if name != "choice"
    }


def markdown(figures: Figures) -> str:
    """The same for people: the arms, the rows that need no training, then the claims."""
    arms = [(arm, *(cell(by, name) for name in SUMMARY)) for arm, by in figures.items() if not arm.endswith(FIXED)]
    fixed = [
        (arm.removesuffix(FIXED), *(cell(by, f"{ENSEMBLE_FIXED.name} {metric}") for metric in METRICS))
        for arm, by in figures.items()
        if arm.endswith(FIXED)
    ]
    original = figures.get("original", {})
    rows = [name.removesuffix(" hIoU") for name in original if name.endswith(" hIoU")]
    asked = [(row, *(cell(original, f"{row} {metric}") for metric in METRICS)) for row in rows]
    parts = [
        "Percent; mean ± standard deviation over the seeds.",
        table([("CLIP", *SUMMARY), *arms]),
        table([("ensemble, one setting for all", *METRICS), *fixed]),
        table([("original CLIP", *METRICS), *asked]),
        claims_markdown(figures, CLAIMS),
    ]
    return "\n\n".join(parts) + "\n"

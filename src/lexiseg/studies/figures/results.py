"""Charts of tables: what a row of numbers hides."""

import statistics
from collections.abc import Callable, Mapping, Sequence

from lexiseg.studies.figures.charts import Bars, HeatMap, Lines, chart
from lexiseg.studies.figures.drawing import Drawing
from lexiseg.studies.verdicts import Figures, Measured, spread

RATIOS = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0)
"""Weights k of CLIP beside the query in Table 4."""
ALPHAS, BETAS = (0.0, 5.0, 10.0, 15.0), (0.0, 0.25, 0.5, 0.75, 1.0)
"""The grid of Table 6."""
MODULATED, QUERY = "Table 4: EF + LD", "Table 4: query-only"
LADDER = {"original": "original", "mpt": "mask prompts", "ft": "fine-tuning", "ft-mpt": "both"}
"""OVSeg's ways of adapting CLIP, by arm."""
_BY = "By lexiseg reproduce."
_SOURCE = f"{_BY[:-1]}; error bars as in the tables: over trainings, or over pictures where there is one."


def result_charts(figures: Figures) -> dict[str, Drawing]:
    """The charts for which figures are there, by file name without its ending.

    Args:
        figures: what was measured.
    """
    made: Mapping[str, Callable[[Figures], Drawing | None]] = {
        "table-4-ratios": over_ratios,
        "table-4-gains": gains_of_modulation,
        "table-6-grid": grid,
        "ovseg-table-3-ladder": ladder,
    }
    return {name: drawing for name, make in made.items() if (drawing := make(figures)) is not None}


def over_ratios(figures: Figures) -> Drawing | None:
    """Table 4: fixed mixtures of query and CLIP over the weight of CLIP, with modulation across."""
    arms = [QUERY if k == 0 else f"Table 4: query + {k:g} CLIP" for k in RATIOS]
    names = _known(figures, [*arms, MODULATED], ("COCO PQ", "ADE20K PQ", "Cityscapes PQ", "Pascal Context mIoU"))
    if not names:
        return None
    lines = Lines(
        x=RATIOS,
        series={name: [_mean(figures[arm][name]) for arm in arms] for name in names},
        errors={name: [_error(figures[arm][name]) for arm in arms] for name in names},
        references={name: _mean(figures[MODULATED][name]) for name in names},
        reference="modulated",
        x_label="k in query + k CLIP",
        y_label="%",
    )
    says = "Fixed weights k of CLIP beside the query. Dashed: modulation, whose weight follows from the words."
    return chart("Fixed mixtures against modulation", [lines], panel_height=340, says=says, source=_SOURCE)


def gains_of_modulation(figures: Figures) -> Drawing | None:
    """Table 4: what embedding fusion, and with it logits debiasing, add to the query alone."""
    ways = {"embedding fusion": "Table 4: EF", "fusion and debiasing": MODULATED}
    wanted = ("COCO PQ", "Cityscapes PQ", "ADE20K PQ", "ADE20K PQ unseen", "Pascal Context mIoU")
    names = _known(figures, [*ways.values(), QUERY], wanted)
    if not names:
        return None
    gains = {
        way: [_difference(figures[arm][name], figures[QUERY][name]) for name in names] for way, arm in ways.items()
    }
    bars = Bars(
        groups=names,
        series={way: [_mean(one) for one in found] for way, found in gains.items()},
        errors={way: [_error(one) for one in found] for way, found in gains.items()},
        y_label="points above the query alone",
    )
    return chart("What modulation adds", [bars], panel_height=300, source=_SOURCE)


def grid(figures: Figures) -> Drawing | None:
    """Table 6: PQ over the weight of fusion and the exponent of debiasing."""
    names = [
        [f"Table 6: {_named('alpha', alpha, 'EF')}, {_named('beta', beta, 'LD')}" for beta in BETAS] for alpha in ALPHAS
    ]
    if not _known(figures, [arm for row in names for arm in row], ("ADE20K PQ",)):
        return None
    cells = HeatMap(
        rows=tuple(_named("", alpha, "EF") for alpha in ALPHAS),
        columns=tuple(_named("", beta, "LD") for beta in BETAS),
        values=[[_mean(figures[arm]["ADE20K PQ"]) for arm in row] for row in names],
        x_label="beta",
        y_label="alpha",
    )
    says = "ADE20K PQ in percent, darker where it is higher; the highest has a frame."
    return chart("Fusion and debiasing together", [cells], panel_height=250, width=520, says=says, source=_BY)


def ladder(figures: Figures) -> Drawing | None:
    """OVSeg, Table 3: CLIP as it was, and adapted in three ways."""
    wanted = ("A-847 mIoU", "A-150 mIoU", "PC-59 mIoU")
    names = _known(figures, list(LADDER), wanted)
    if not names:
        return None
    bars = Bars(
        groups=names,
        series={way: [_mean(figures[arm][name]) for name in names] for arm, way in LADDER.items()},
        errors={way: [_error(figures[arm][name]) for name in names] for arm, way in LADDER.items()},
        y_label="mIoU, %",
    )
    return chart("Adapting CLIP to masked crops", [bars], panel_height=300, source=_SOURCE)


def _known(figures: Figures, arms: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The figures that all of the arms have."""
    return tuple(name for name in names if all(name in figures.get(arm, {}) for arm in arms))


def _named(name: str, value: float, part: str) -> str:
    return f"{name} {value:g}".strip() if value else f"w/o {part}"


def _mean(measured: Measured) -> float:
    return statistics.mean(measured.seeds)


def _error(measured: Measured) -> float | None:
    return spread(measured)[0]


def _difference(higher: Measured, lower: Measured) -> Measured:
    """The gain, training by training and block by block."""
    pairs = (higher.seeds, lower.seeds), (higher.blocks, lower.blocks)
    seeds, blocks = (tuple(a - b for a, b in zip(*pair, strict=False)) for pair in pairs)
    return Measured(seeds=seeds, blocks=blocks)

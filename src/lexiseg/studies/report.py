"""The results of a reproduction, for programs (results.json) and for people (RESULTS.md)."""

import json
import math
import shutil
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from lexiseg.core.files import write_atomically
from lexiseg.core.tables import markdown_table
from lexiseg.studies.figures.drawing import Drawing
from lexiseg.studies.figures.results import result_charts
from lexiseg.studies.tables import PaperFigure, PaperTable
from lexiseg.studies.units import Plan, Store
from lexiseg.studies.verdicts import RULE, Claim, ClaimVerdict, Figures, Finding, Measured, SpreadOf, judge, spread

Records = Mapping[str, Mapping[str, Any]]
"""Of finished units, by their names."""
RESULTS_JSON, RESULTS_MD, PICTURES = "results.json", "RESULTS.md", "pictures"
_UNITS = (
    "Figures are percentages, except GMAC, M parameters, passes of CLIP and seconds, and cosines, which are times 100."
)
_LEGEND = (
    f"{_UNITS} Ours ± its spread (over trainings, or in italics over pictures), and the paper's in brackets, which are "
    "of other pictures and larger models: orders can be compared, numbers can't."
)
_LEGEND_REAL = f"{_UNITS} Ours ± its spread over pictures, in italics, and the paper's in brackets."


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for."""

    tables: Sequence[PaperTable]
    figures: Sequence[PaperFigure]
    claims: Sequence[Claim]
    about: Mapping[str, Any]
    """Plain data: the command, the preset, the model ..."""
    is_drawn: bool = True


def collect(records: Records, plan: Plan, arms: Iterable[str]) -> dict[str, dict[str, Measured]]:
    """The figures of arms, of the seeds that are finished for all of them; an arm without a finished seed has none."""
    planned = {arm: seeds for arm in arms if (seeds := plan.arms.get(arm, ()))}
    finished = {
        arm: list(takewhile(lambda units: all(unit in records for unit in units), seeds))
        for arm, seeds in planned.items()
    }
    # Contrasts are taken within a seed, so that what has several has the same ones.
    common = min((len(seeds) for arm, seeds in finished.items() if seeds and len(planned[arm]) > 1), default=1)
    figures: dict[str, dict[str, Measured]] = {}
    for arm, seeds in finished.items():
        parts = [_together(records[unit]["result"]["arms"].get(arm, {}) for unit in units) for units in seeds[:common]]
        if parts:
            figures[arm] = {
                name: Measured(
                    seeds=tuple(part[name]["value"] for part in parts), blocks=tuple(first.get("blocks", ()))
                )
                for name, first in parts[0].items()
                if all(name in part for part in parts)
            }
    return figures


def _together(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: about for part in parts for name, about in part.items()}


def write_results(store: Store, plan: Plan, asked: Asked) -> Path:
    """Writes both files of what is finished, and copies the pictures beside them.

    Returns:
        RESULTS.md.

    Raises:
        ValueError: if they can't be written.
    """
    tables, claims = asked.tables, asked.claims
    records = {name: record for name in store.units if (record := store.record(name)) is not None}
    arms = sorted({arm for one in (*tables, *asked.figures, *claims) for arm in one.arms})
    figures = collect(records, plan, arms)
    verdicts = {claim.name: judge(claim, figures) for claim in claims}
    pictures = {figure.name: _copy_pictures(store, records, figure) for figure in asked.figures}
    commits = sorted({record["commit"] or "unknown" for record in records.values()})
    document = {
        **asked.about,
        "commits": commits,
        "rule": RULE,
        "claims": [
            {
                "name": claim.name,
                "says": claim.says,
                "verdict": verdicts[claim.name][0],
                "contrasts": [finding.to_jsonable() for finding in verdicts[claim.name][1]],
            }
            for claim in claims
        ],
        "choices": {
            name: record["result"]["choices"] for name, record in records.items() if "choices" in record["result"]
        },
        "measured": {arm: {name: _jsonable(one) for name, one in named.items()} for arm, named in figures.items()},
        "tables": [_jsonable_table(table, figures) for table in tables],
        "figures": [
            {"name": figure.name, "says": figure.says, "pictures": pictures[figure.name]} for figure in asked.figures
        ],
    }
    write_atomically(store.root / RESULTS_JSON, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    seeds = _told_seeds((len(plan.arms.get(arm, ())) for arm in arms), figures)
    parts = [_head(asked, commits, seeds), _claims_overview(claims, verdicts)]
    parts += [_table_section(table, figures) for table in tables]
    parts += [_figure_section(figure, pictures[figure.name], figures) for figure in asked.figures]
    if charts := result_charts(figures):
        parts.append("\n\n".join(["## Charts", *(_drawn(store, name, one) for name, one in charts.items())]))
    parts += [_claim_section(claim, *verdicts[claim.name]) for claim in claims]
    write_atomically(store.root / RESULTS_MD, "\n\n".join(filter(None, parts)) + "\n")
    return store.root / RESULTS_MD


def _copy_pictures(store: Store, records: Records, figure: PaperFigure) -> list[str]:
    """The pictures of a finished unit, as paths below the results."""
    names: list[str] = []
    for name in records[figure.unit]["result"].get("pictures", ()) if figure.unit in records else ():
        source, target = store.files / figure.unit / name, store.root / PICTURES / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        names += [f"{PICTURES}/{name}"] * target.is_file()
    return names


def _drawn(store: Store, name: str, drawing: Drawing) -> str:
    """Draws a chart beside the results, and shows it."""
    png, _ = drawing.write(store.root / PICTURES / name)
    return f"![{name}]({PICTURES}/{png})"


def _jsonable(measured: Measured) -> dict[str, Any]:
    return {"mean": statistics.mean(measured.seeds), "spread": spread(measured)[0], "seeds": list(measured.seeds)}


def _jsonable_table(table: PaperTable, figures: Figures) -> dict[str, Any]:
    rows = [
        {
            "name": row.name,
            "arm": row.arm,
            "paper": dict(row.figures),
            "ours": {
                column: _jsonable(found)
                for column in table.all_columns
                if (found := figures.get(row.arm, {}).get(column)) is not None
            },
        }
        for row in table.rows
    ]
    about = {"name": table.name, "paper": table.paper, "says": table.says}
    return {**about, "columns": table.all_columns, "rows": rows}


def cell(measured: Measured | None, paper: float | None = None) -> str:
    """Ours with its spread, the paper's in brackets; a dash where there is neither."""
    parts: list[str] = []
    if measured is not None:
        mean, (width, of) = statistics.mean(measured.seeds), spread(measured)
        digits = _digits(mean, width, least=1)
        parts.append(f"{mean:.{digits}f}{_plus_minus(width, of, digits=digits)}")
    elif paper is not None:
        parts.append("-")
    if paper is not None:
        parts.append(f"({paper:g})")
    return " ".join(parts) or "-"


def _digits(mean: float, width: float | None, *, least: int) -> int:
    """Digits behind the point: more where a figure and its spread are so small that less than two would count."""
    size = max(abs(mean), width or 0.0)
    return max(least, 1 - math.floor(math.log10(size))) if size else least


def _plus_minus(width: float | None, of: SpreadOf | None, *, digits: int) -> str:
    """A spread behind its figure: plain over trainings, in italics over pictures."""
    mark = "*" if of == "pictures" else ""
    return "" if width is None else f" {mark}± {width:.{digits}f}{mark}"


def _head(asked: Asked, commits: Sequence[str], seeds: str) -> str:
    about = asked.about
    return "\n\n".join(
        [
            "# Results",
            f"`{about['command']}` with lexiseg {about['lexiseg']}, model {about['model']}; {_told_commits(commits)}.",
            f"**Pictures.** {about['pictures']}",
            f"**Seeds.** {seeds}",
            _LEGEND if asked.is_drawn else _LEGEND_REAL,
            *about.get("notes", ()),
            f"**How verdicts are found.** {RULE}",
        ]
    )


def _told_seeds(planned: Iterable[int], figures: Figures) -> str:
    """How many there are, given how many each arm shall have."""
    wanted = max(planned, default=1)
    if wanted == 1:
        return "One, so that every ± is over pictures."
    finished = max((len(one.seeds) for named in figures.values() for one in named.values()), default=0)
    of = "" if finished == wanted else f", {finished} of which are finished and stand below"
    return f"{wanted} of what is trained{of}."


def _told_commits(commits: Sequence[str]) -> str:
    if len(commits) > 1:
        return f"commits {', '.join(commits)}: where code changed between them, figures may not belong together"
    return f"commit {', '.join(commits) or 'none yet'}"


def _claims_overview(claims: Sequence[Claim], verdicts: Mapping[str, tuple[ClaimVerdict, tuple[Finding, ...]]]) -> str:
    if not claims:
        return ""
    rows = []
    for claim in claims:
        verdict, findings = verdicts[claim.name]
        counted = [one for one in findings if one.contrast.kind != "control"]
        against = [one.contrast.says for one in counted if one.verdict == "does not hold"]
        not_run = sum(one.verdict == "not run" for one in counted)
        share = f"{sum(one.verdict == 'holds' for one in counted)} of {len(counted)}"
        share += f", {not_run} not run" if not_run else ""
        rows.append((claim.name, verdict, share, "; ".join(against)))
    tally = Counter(verdict for verdict, _ in verdicts.values())
    told = ", ".join(f"{verdict}: {number}" for verdict, number in tally.most_common())
    lines = [f"Of {len(claims)}, {told}. What each says and all its contrasts stand at the end of this page."]
    heading = ("claim", "verdict", "contrasts that hold", "contrasts that do not hold")
    return "\n".join(["## Claims", "", *lines, "", *markdown_table(heading, rows)])


def _table_section(table: PaperTable, figures: Figures) -> str:
    rows = [
        (row.name, *(cell(figures.get(row.arm, {}).get(name), row.figures.get(name)) for name in table.all_columns))
        for row in table.rows
    ]
    title = table.name if table.paper in table.name else f"{table.paper}, {table.name}"
    return "\n".join([f"## {title}", "", table.says, "", *markdown_table(("", *table.all_columns), rows)])


def _figure_section(figure: PaperFigure, pictures: Sequence[str], figures: Figures) -> str:
    shown = [f"![{figure.name}]({name})" for name in pictures if name.endswith(".png")]
    rows = [(arm, *(cell(figures.get(arm, {}).get(column)) for column in figure.columns)) for arm in figure.arms]
    lines = [f"## {figure.paper}, {figure.name}", "", figure.says, ""]
    lines += shown or ["Not made."]
    return "\n".join([*lines, *(["", *markdown_table(("", *figure.columns), rows)] if rows else [])])


def _claim_section(claim: Claim, verdict: ClaimVerdict, findings: Sequence[Finding]) -> str:
    rows = [(one.contrast.says, _difference(one), _word(one)) for one in findings]
    heading = ("contrast", "difference", "verdict")
    return "\n".join([f"## {claim.name}: {verdict}", "", claim.says, "", *markdown_table(heading, rows)])


def _difference(finding: Finding) -> str:
    if not finding.gains:
        return "-"
    mean = statistics.mean(finding.gains)
    digits = _digits(mean, finding.spread, least=2)
    width = _plus_minus(finding.spread, finding.spread_of, digits=digits)
    allowed = finding.contrast.margin
    margin = "" if not allowed else f" (may lack {allowed:g})" if allowed > 0 else f" (must pass {-allowed:g})"
    return f"{mean:+.{digits}f}{width}{margin}"


def _word(finding: Finding) -> str:
    """The verdict; of a control, which has no order to hold, what is higher."""
    if finding.contrast.kind != "control":
        return finding.verdict
    words = {"holds": "higher", "does not hold": "lower", "too close to call": "no difference shown"}
    return f"control: {words.get(finding.verdict, finding.verdict)}"

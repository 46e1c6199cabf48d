"""What modulation gains over each of its branches, in the mean of several trainings.

Usage: python tools/gain.py MODEL... [--val 100] [--test 200] [--first-chooses]

Every model, or the first for all, chooses on val how each branch is used (see choose.py), then answers once on test.
A gain counts if its mean over the trainings is more than twice its standard deviation.
"""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from choose import choose, measure

from lexiseg import load_model
from lexiseg.models.opsnet import OPSNet
from lexiseg.studies.opsnet.ablations import StudyRow


def figures(model: OPSNet, rows: Mapping[str, StudyRow], test: int) -> dict[str, tuple[float, float, float]]:
    """PQ in percent on base, novel and novel's unseen names, for every branch."""
    chosen = list(rows.values())
    base, novel = measure(model, "base", "test", test, chosen), measure(model, "novel", "test", test, chosen)
    table: dict[str, tuple[float, float, float]] = {}
    for branch, row in rows.items():
        home, abroad, unseen = base[row.name]["all"], novel[row.name]["all"], novel[row.name]["unseen"]
        print(f"  base {home:5.1f}   novel {abroad:5.1f}   unseen {unseen:5.1f}   {branch} ({row.name})", flush=True)
        table[branch] = home, abroad, unseen
    return table


def describe(gains: Sequence[float]) -> str:
    """Mean and standard deviation of the gains of several trainings."""
    if len(gains) < 2:
        return f"{gains[0]:+5.1f}"
    mean, deviation = statistics.mean(gains), statistics.stdev(gains)
    verdict = "counts" if mean > 2 * deviation else "does not count"
    return f"{mean:+5.2f} +- {deviation:.2f} ({verdict}): {', '.join(f'{gain:+.1f}' for gain in gains)}"


def main() -> None:
    """Reads the arguments, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    parser.add_argument("--val", type=int, default=100)
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--first-chooses", action="store_true")
    wanted = parser.parse_args()
    tables: list[dict[str, tuple[float, float, float]]] = []
    rows: dict[str, StudyRow] = {}
    for folder in wanted.models:
        print(f"{folder}:")
        model = load_model(folder)
        assert isinstance(model, OPSNet), f"{folder} is no OPSNet"
        if not (rows and wanted.first_chooses):
            rows = {branch: found[0][0] for branch, found in choose(model, wanted.val).items()}
        tables.append(figures(model, rows, wanted.test))
    for branch in ("query-only", "CLIP-only"):
        pairs = [(table["modulated"], table[branch]) for table in tables]
        print(f"modulated above {branch}:")
        print(f"  novel                  {describe([ours[1] - other[1] for ours, other in pairs])}")
        both = [(ours[0] + ours[1] - other[0] - other[1]) / 2 for ours, other in pairs]
        print(f"  mean of base and novel {describe(both)}")


if __name__ == "__main__":
    main()

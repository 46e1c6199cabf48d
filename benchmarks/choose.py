"""Chooses thresholds and modulation on val: every combination, on base and novel, by the mean of the two PQs.

Usage: python benchmarks/choose.py MODEL [--count 100]

Prints the best combinations, and the paper's alpha and beta beside them. Test splits are never looked at.
"""

import argparse
import itertools
import tempfile
from pathlib import Path

from lexiseg import MergeConfig, ModulationConfig, load_model
from lexiseg.data.storybook.export import Order, write_storybook
from lexiseg.data.storybook.kinds import CASTS, Role
from lexiseg.evaluation.study import StudyRow, study
from lexiseg.models.opsnet import OPSNet

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4)
MODULATIONS = tuple(itertools.product((5.0, 10.0, 15.0, 20.0), (0.0, 0.25, 0.5)))


def rows() -> list[StudyRow]:
    """Every combination of modulation, ranking and threshold."""
    return [
        StudyRow(
            name=f"alpha {alpha:g}, beta {beta:g}, {rank_by}, threshold {threshold:g}",
            modulation=ModulationConfig(alpha=alpha, beta=beta),
            merge=MergeConfig(rank_by=rank_by, score_threshold=threshold),
        )
        for (alpha, beta), rank_by, threshold in itertools.product(MODULATIONS, ("class", "product"), THRESHOLDS)
    ]


def measure(model: OPSNet, role: Role, count: int, folder: Path) -> dict[str, float]:
    """PQ of every row on a role's val."""
    dataset = write_storybook(Order(role=role, split="val", count=count), folder)
    found = study(model, dataset, CASTS[role].vocabulary, rows())
    return {result.row.name: 100 * result.quality.all.pq for result in found.results}


def main() -> None:
    """Reads the arguments, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--count", type=int, default=100)
    wanted = parser.parse_args()
    model = load_model(wanted.model)
    with tempfile.TemporaryDirectory() as folder:
        base = measure(model, "base", wanted.count, Path(folder) / "base")
        novel = measure(model, "novel", wanted.count, Path(folder) / "novel")
    ranked = sorted(base, key=lambda name: base[name] + novel[name], reverse=True)
    paper = next(name for name in ranked if name.startswith("alpha 10, beta 0.5"))
    for name in [*ranked[:12], paper]:
        print(f"base {base[name]:5.1f}   novel {novel[name]:5.1f}   {name}")


if __name__ == "__main__":
    main()

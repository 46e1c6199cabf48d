"""Chooses on val how a model answers: ranking and thresholds of each branch; for modulation, alpha and beta too.

Usage: python tools/choose.py MODEL [--count 100]

Every branch gets its own choice, by the mean PQ of base and novel, so that none is weakened to make another look
good. Test splits are never looked at.
"""

import argparse
import itertools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from lexiseg import MergeConfig, ModulationConfig, load_model
from lexiseg.layers.modulation import CLIP_ONLY, QUERY_ONLY
from lexiseg.models.opsnet import OPSNet
from lexiseg.storybook.choices import Role, Split
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import ROLE_CONTENTS, UNSEEN
from lexiseg.studies.opsnet.ablations import StudyRow, study

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4)
MASK_THRESHOLDS = (0.35, 0.4, 0.5)
OVERLAP_THRESHOLDS = (0.7, 0.8)
BRANCHES: Mapping[str, Mapping[str, ModulationConfig]] = {
    "modulated": {
        f"modulated, alpha {alpha:g}, beta {beta:g}": ModulationConfig(alpha=alpha, beta=beta)
        for alpha, beta in itertools.product((1.25, 2.5, 5.0, 10.0, 20.0), (0.0, 0.25, 0.5))
    },
    "as in the paper": {"modulated, alpha 10, beta 0.5": ModulationConfig()},
    "query-only": {"query-only": QUERY_ONLY},
    "CLIP-only": {"CLIP-only": CLIP_ONLY},
}
"""What is compared, and the settings among which each may choose."""


def rows_of(branch: str) -> list[StudyRow]:
    """Every setting of a branch with every ranking and every pair of thresholds."""
    return [
        StudyRow(
            name=f"{name}, {rank_by}, threshold {threshold:g}, masks {cut:g}, overlap {overlap:g}",
            modulation=modulation,
            merge=MergeConfig(
                rank_by=rank_by, score_threshold=threshold, mask_threshold=cut, overlap_threshold=overlap
            ),
        )
        for (name, modulation), rank_by, threshold, cut, overlap in itertools.product(
            BRANCHES[branch].items(), ("class", "product"), THRESHOLDS, MASK_THRESHOLDS, OVERLAP_THRESHOLDS
        )
    ]


def measure(
    model: OPSNet, role: Role, split: Split, count: int, rows: Sequence[StudyRow]
) -> dict[str, dict[str, float]]:
    """PQ in percent of every row by its name: over all names, and on novel over the unseen alone."""
    groups = {"unseen": UNSEEN} if role == "novel" else {}
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_storybook(StorybookSpec(role=role, split=split, count=count), Path(folder) / "data")
        found = study(model, dataset, ROLE_CONTENTS[role].vocabulary, rows, groups=groups)
    return {
        result.row.name: {
            name: 100 * quality.all.pq for name, quality in {"all": result.quality, **result.groups}.items()
        }
        for result in found.results
    }


def choose(model: OPSNet, count: int) -> dict[str, list[tuple[StudyRow, float, float]]]:
    """For each branch its rows with their PQ on base and novel, the best first."""
    rows = {branch: rows_of(branch) for branch in BRANCHES}
    every = [row for branch in rows.values() for row in branch]
    base, novel = measure(model, "base", "val", count, every), measure(model, "novel", "val", count, every)
    return {
        branch: sorted(
            ((row, base[row.name]["all"], novel[row.name]["all"]) for row in branch_rows),
            key=lambda found: found[1] + found[2],
            reverse=True,
        )
        for branch, branch_rows in rows.items()
    }


def main() -> None:
    """Reads the arguments, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--count", type=int, default=100)
    wanted = parser.parse_args()
    model = load_model(wanted.model)
    if not isinstance(model, OPSNet):
        parser.error(f"expected an OPSNet, got {type(model).__name__}: choose_ovseg.py chooses for an OVSeg.")
    for branch, found in choose(model, wanted.count).items():
        print(f"{branch}:")
        for row, base, novel in found[:4]:
            print(f"  base {base:5.1f}   novel {novel:5.1f}   {row.name}")


if __name__ == "__main__":
    main()

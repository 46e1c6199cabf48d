"""Query and CLIP of an FC-CLIP combined in several ways, on the drawn world, over several trainings.

Usage: python tools/fcclip_fusions.py OUT MODEL [MODEL ...] [--count 100]

Every model answers each picture once; what is compared is what is made of its two embeddings. The exponent of seen
words is chosen for each model on base val. Nothing else can be chosen there: on words that were all trained, unseen
words' exponent and modulation's alpha and beta change nothing, so these are the papers', and the shipped OPSNet's.
Writes OUT/fcclip_fusions.json and prints a table: PQ in percent, the mean over the models and their standard deviation.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lexiseg import GeometricConfig, ModulationConfig, load_model
from lexiseg.core.tables import markdown_table
from lexiseg.models.base import Fusion, OpenVocabularySegmenter
from lexiseg.models.fcclip import FCCLIP
from lexiseg.storybook.choices import Role, Split
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import ROLE_CONTENTS
from lexiseg.studies.opsnet.training_figures import count

SEEN_WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Among which each model chooses its exponent of seen words."""
ROLES: tuple[Role, ...] = ("base", "novel", "dusk")
PARTS = (("base", "PQ"), ("novel", "PQ"), ("novel", "PQ seen"), ("novel", "PQ unseen"), ("dusk", "PQ"))
"""Columns of the table."""


def geometric(seen: float, unseen: float = 0.8) -> GeometricConfig:
    """FC-CLIP's ensemble as its ModifiedResNets have it."""
    return GeometricConfig(seen_clip_weight=seen, clip_weight=unseen, needs_region=True)


def fusions(chosen: float) -> dict[str, Fusion]:
    """What is compared."""
    return {
        "query alone": geometric(0.0, 0.0),
        "CLIP alone, no void": GeometricConfig(clip_only=True),
        "CLIP's names, the query's void": geometric(1.0, 1.0),
        "geometric, 0.4 and 0.8 (FC-CLIP)": geometric(0.4),
        "geometric, chosen and 0.8": geometric(chosen),
        "modulation, alpha 10, beta 0.5 (OPSNet)": ModulationConfig(),
        "modulation, alpha 2.5, beta 0.25": ModulationConfig(alpha=2.5, beta=0.25),
    }


def measure(
    model: OpenVocabularySegmenter, role: Role, split: Split, number: int, asked: Mapping[str, Fusion]
) -> dict[str, dict[str, float]]:
    """Figures in percent of every fusion by its name: "PQ", and where a role mixes words "PQ seen", "PQ unseen" ..."""
    ways = {name: (fusion, model.config.merge) for name, fusion in asked.items()}
    with tempfile.TemporaryDirectory() as folder:
        data = write_storybook(StorybookSpec(role=role, split=split, count=number), Path(folder) / "data")
        found = count(model, (data, ROLE_CONTENTS[role].vocabulary), ways)
    return {name: {part: one["value"] for part, one in figures.items()} for name, figures in found.items()}


def study(model: FCCLIP, number: int) -> dict[str, Any]:
    """The exponent that base val chooses, and all figures on the test splits."""
    val = measure(model, "base", "val", number, {str(weight): geometric(weight) for weight in SEEN_WEIGHTS})
    chosen = max(SEEN_WEIGHTS, key=lambda weight: val[str(weight)]["PQ"])
    return {
        "val": {weight: found["PQ"] for weight, found in val.items()},
        "chosen": chosen,
        "test": {role: measure(model, role, "test", number, fusions(chosen)) for role in ROLES},
    }


def main() -> None:
    """Reads the arguments, measures, writes and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=100)
    wanted = parser.parse_args()
    runs = []
    for path in wanted.models:
        model = load_model(path)
        assert isinstance(model, FCCLIP), f"{path} is no FC-CLIP"
        runs.append(study(model, wanted.count))
    wanted.out.mkdir(parents=True, exist_ok=True)
    document = {"models": list(map(str, wanted.models)), "count": wanted.count, "runs": runs}
    (wanted.out / "fcclip_fusions.json").write_text(json.dumps(document, indent=1) + "\n")
    rows = []
    for name in fusions(0.0):
        figures = [[run["test"][role][name][part] for run in runs] for role, part in PARTS]
        spread = (statistics.stdev(one) if len(one) > 1 else 0.0 for one in figures)
        cells = zip(map(statistics.mean, figures), spread, strict=True)
        rows.append((name, *(f"{mean:.1f} ± {deviation:.1f}" for mean, deviation in cells)))
    heading = ("", *map(" ".join, PARTS))
    print(f"Seen words' exponents chosen on base val: {', '.join(str(run['chosen']) for run in runs)}\n")
    print("\n".join(markdown_table(heading, rows)))


if __name__ == "__main__":
    main()

"""What an assembled model gains or loses by each alternative to modulation, in the drawn world.

Usage: python tools/alternatives.py MASK2FORMER... --keep FILE [--val 50] [--test 100]

Every Mask2Former, trained on base alone with another seed, is joined with the shipped CLIP, whose folder leaves its
attention pool out: a crop's embedding is the mean of the adapter's cells. The score threshold of every row, and the
geometric ensemble's weight of seen words, are chosen by PQ on base's val split; what base can't show, since all its
words are trained, keeps its published value (alpha, beta, the weight of unseen words, the gain). Then each row answers
once on test: base, novel and dusk. FILE keeps the figures of every folder, so that a second run goes on.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from lexiseg import MergeConfig, ModulationConfig
from lexiseg.core.files import write_atomically
from lexiseg.core.tables import markdown_table
from lexiseg.evaluation.loading import Skipped
from lexiseg.evaluation.metrics.panoptic_quality import PanopticTally
from lexiseg.evaluation.plan import inference, plan_evaluation, planned_batches
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.io.finding import find_model
from lexiseg.layers.ensemble import GeometricConfig
from lexiseg.layers.modulation import CLIP_ONLY, QUERY_ONLY
from lexiseg.models.alternatives import Alternatives, SurvivorCrops
from lexiseg.models.assemble import assemble
from lexiseg.models.opsnet import OPSNet
from lexiseg.storybook.choices import Role, Split
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import ROLE_CONTENTS, UNSEEN
from lexiseg.training.clip.folders import read_clip

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
SEEN_WEIGHTS = (0.0, 0.4)
CROPS = SurvivorCrops(min_score=0.1)
BASELINE = "modulation, alpha 10, beta 0.5"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to answer."""

    fusion: ModulationConfig | GeometricConfig = field(default_factory=ModulationConfig)
    alternatives: Alternatives = field(default_factory=Alternatives)


MAPPED, LIFTED, CROPPED = Alternatives(mapped_head=True), Alternatives(certainty_gain=0.5), Alternatives(crops=CROPS)
GEOMETRIC = GeometricConfig()
ROWS: Mapping[str, Row] = {
    BASELINE: Row(),
    "modulation, alpha 2.5, beta 0.25": Row(fusion=ModulationConfig(alpha=2.5, beta=0.25)),
    "query only": Row(fusion=QUERY_ONLY),
    "CLIP only": Row(fusion=CLIP_ONLY),
    "mapped head only": Row(fusion=QUERY_ONLY, alternatives=MAPPED),
    "geometric, query's embedding": Row(fusion=GEOMETRIC),
    "geometric, mapped head": Row(fusion=GEOMETRIC, alternatives=MAPPED),
    "modulation + crops": Row(alternatives=CROPPED),
    "geometric + crops": Row(fusion=GEOMETRIC, alternatives=CROPPED),
    "modulation + certainty": Row(alternatives=LIFTED),
    "geometric + certainty": Row(fusion=GEOMETRIC, alternatives=LIFTED),
    "geometric, mapped head + certainty": Row(fusion=GEOMETRIC, alternatives=replace(MAPPED, certainty_gain=0.5)),
}


def joined(folder: Path) -> OPSNet:
    """The Mask2Former of a folder with the shipped CLIP."""
    clip: Any = read_clip(find_model("storybook"))
    with tempfile.TemporaryDirectory() as place:
        weights = Path(place) / "clip.safetensors"
        save_file({name: value.contiguous().clone() for name, value in clip.clip.state_dict().items()}, weights)
        return assemble(folder, clip.config, weights)


def measured(
    model: OPSNet,
    role: Role,
    split: Split,
    count: int,
    rows: Mapping[str, Row],
    merges: Mapping[str, list[MergeConfig]],
) -> dict[tuple[str, MergeConfig], dict[str, float]]:
    """PQ in percent of every row with each of its merges: over all names, and on novel over the unseen."""
    groups = {"unseen": UNSEEN} if role == "novel" else {}
    own = model.config
    skipped: list[Skipped] = []
    tallies = {(name, merge): PanopticTally() for name in rows for merge in merges[name]}
    with tempfile.TemporaryDirectory() as folder, inference(model):
        data = write_storybook(StorybookSpec(role=role, split=split, count=count), Path(folder) / "data")
        settings = EvaluationSettings()
        plan = plan_evaluation(model, data, ROLE_CONTENTS[role].vocabulary, settings, groups)
        for batch in planned_batches(model, plan, settings, skipped, lambda done, total: None):
            model.config = replace(own, alternatives=CROPPED)
            encoded = model.encode(batch.images)  # every region is cut out once, whichever rows want it
            for name, row in rows.items():
                model.config = replace(own, geometric=GEOMETRIC, alternatives=row.alternatives)
                prediction = model.answer(encoded, plan.words, row.fusion)
                for merge in merges[name]:
                    tallies[name, merge] += plan.tally(prediction, merge, batch)
    model.config = own
    found: dict[tuple[str, MergeConfig], dict[str, float]] = {}
    for key, tally in tallies.items():
        quality, by_group = plan.summarise(tally)
        found[key] = {"all": 100 * quality.all.pq, **{g: 100 * q.all.pq for g, q in by_group.items()}}
    return found


def candidates() -> dict[str, tuple[str, Row]]:
    """Every row with every weight of seen words that it may choose, by a name of its own; and what row it is of."""
    found: dict[str, tuple[str, Row]] = {}
    for name, row in ROWS.items():
        if isinstance(row.fusion, GeometricConfig):
            for seen in SEEN_WEIGHTS:
                fusion = replace(row.fusion, seen_clip_weight=seen)
                found[f"{name}, seen {seen:g}"] = name, replace(row, fusion=fusion)
        else:
            found[name] = name, row
    return found


def figures(folder: Path, val: int, test: int) -> dict[str, dict[str, Any]]:
    """Chooses on val, measures on test; plain data."""
    model = joined(folder)
    tried = candidates()
    rows = {name: row for name, (_, row) in tried.items()}
    merges = [replace(model.config.merge, score_threshold=threshold) for threshold in THRESHOLDS]
    on_val = measured(model, "base", "val", val, rows, dict.fromkeys(rows, merges))
    chosen: dict[str, tuple[str, MergeConfig]] = {}
    for of_row in ROWS:
        options = product((name for name, (row, _) in tried.items() if row == of_row), merges)
        chosen[of_row] = max(options, key=lambda option: on_val[option]["all"])
    taken = {name: rows[chosen[name][0]] for name in ROWS}
    taken_merges = {name: [chosen[name][1]] for name in ROWS}
    table: dict[str, dict[str, Any]] = {
        name: {"chosen": f"{chosen[name][0]}, threshold {chosen[name][1].score_threshold:g}"} for name in ROWS
    }
    for role in ("base", "novel", "dusk"):
        for (name, _), qualities in measured(model, role, "test", test, taken, taken_merges).items():
            table[name] |= {role if group == "all" else group: pq for group, pq in qualities.items()}
    return table


def shown(values: list[float], *, signed: bool = False) -> str:
    """Mean and standard deviation."""
    sign = "+" if signed else ""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{sign}.1f}{spread}"


def main() -> None:
    """Reads the arguments, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="MASK2FORMER")
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--val", type=int, default=50)
    parser.add_argument("--test", type=int, default=100)
    wanted = parser.parse_args()
    kept: dict[str, dict[str, dict[str, Any]]] = json.loads(wanted.keep.read_text()) if wanted.keep.is_file() else {}
    for folder in wanted.folders:
        if str(folder) not in kept:
            kept[str(folder)] = figures(folder, wanted.val, wanted.test)
            write_atomically(wanted.keep, json.dumps(kept, indent=1))
        for name, row in kept[str(folder)].items():
            print(f"{folder}: {name}: {row['chosen']}", flush=True)
    tables = [kept[str(folder)] for folder in wanted.folders]
    columns = ("base", "novel", "unseen", "dusk")
    lines = [
        (
            name,
            *(shown([table[name][column] for table in tables]) for column in columns),
            *(
                shown([table[name][column] - table[BASELINE][column] for table in tables], signed=True)
                for column in ("base", "novel", "dusk")
            ),
        )
        for name in ROWS
    ]
    heading = ("PQ", *columns, "base above modulation", "novel", "dusk")
    print("\n".join(markdown_table(heading, lines)))


if __name__ == "__main__":
    main()

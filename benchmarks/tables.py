"""The paper's tables on the drawn world: every row of Tables 1, 4, 5, 6 and 7, and two upper bounds, in one pass.

Usage: python benchmarks/tables.py MODEL OUT [--role base|novel|dusk] [--split test] [--count 200]

Writes OUT/ROLE.json and OUT/ROLE.md; the pictures are drawn into a temporary folder. A model without CLIP's attention
pool, such as the shipped one, has no Table 5: crops need it.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lexiseg import Vocabulary, load_model
from lexiseg.core.tables import markdown_table, percent
from lexiseg.data.dataset import Dataset
from lexiseg.evaluation.study import TABLES, Study, StudyRow, at_thresholds, study
from lexiseg.evaluation.upper_bounds import TopOne, true_mask_top1
from lexiseg.models.opsnet import OPSNet
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import ROLE_CONTENTS, SHARED, UNSEEN


def groups_of(role: str) -> dict[str, Sequence[str]]:
    """The names of role novel, apart by whether segmentation training has seen them."""
    return {"shared": SHARED, "unseen": UNSEEN} if role == "novel" else {}


def top1_table(rows: Sequence[TopOne]) -> list[tuple[str, ...]]:
    """True masks named by CLIP: one line per group and kind, one column per size."""
    found = {(row.group, row.is_thing, row.size): row for row in rows}
    lines = [("true masks, CLIP", "all sizes", "small", "medium", "large", "segments")]
    for group, is_thing in dict.fromkeys((row.group, row.is_thing) for row in rows):
        cells = [found[group, is_thing, size] for size in ("all", "small", "medium", "large")]
        shares = [percent(cell.accuracy if cell.count else None) for cell in cells]
        lines.append((f"{group} {'things' if is_thing else 'stuff'}", *shares, str(cells[0].count)))
    return lines


def tables_of(model: OPSNet) -> dict[str, tuple[StudyRow, ...]]:
    """The tables that the model can fill, with its own thresholds."""
    return {
        name: at_thresholds(rows, model.config.merge)
        for name, rows in TABLES.items()
        if name != "5" or model.config.clip.has_pool
    }


def measure(model: OPSNet, dataset: Dataset, vocabulary: Vocabulary, role: str) -> tuple[Study, list[TopOne]]:
    """Runs all rows in one pass, then names the true masks."""
    rows = [row for table in tables_of(model).values() for row in table]
    groups = groups_of(role)
    everything = study(model, dataset, vocabulary, rows, groups=groups)
    return everything, list(true_mask_top1(model, dataset, vocabulary, groups=groups))


def main() -> None:
    """Reads the arguments, measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--role", choices=["base", "novel", "dusk"], default="novel")
    parser.add_argument("--split", choices=["val", "test"], default="test")
    parser.add_argument("--count", type=int, default=200)
    wanted = parser.parse_args()
    model, vocabulary = load_model(wanted.model), ROLE_CONTENTS[wanted.role].vocabulary
    with tempfile.TemporaryDirectory() as folder:
        order = StorybookSpec(role=wanted.role, split=wanted.split, count=wanted.count)
        dataset = write_storybook(order, Path(folder) / "data")
        everything, top1 = measure(model, dataset, vocabulary, wanted.role)
    table = everything.table()
    parts, first = [f"{wanted.count} scenes of {wanted.role} {wanted.split}; s = {everything.domain_similarity:.3f}"], 1
    for name, rows in tables_of(model).items():
        parts.append(
            f"### {'Table ' if name.isdigit() else ''}{name}\n\n"
            + "\n".join(markdown_table(table[0], table[first : first + len(rows)]))
        )
        first += len(rows)
    heading, *named = top1_table(top1)
    parts.append("### True masks\n\n" + "\n".join(markdown_table(heading, named)))
    wanted.out.mkdir(parents=True, exist_ok=True)
    (wanted.out / f"{wanted.role}.md").write_text("\n\n".join(parts) + "\n")
    document = {
        "domain_similarity": everything.domain_similarity,
        "rows": [r.to_jsonable() for r in everything.results],
    }
    (wanted.out / f"{wanted.role}.json").write_text(json.dumps(document, indent=1) + "\n")
    print("\n\n".join(parts))


if __name__ == "__main__":
    main()

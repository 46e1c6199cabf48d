"""OPSNet+ in the drawn world: Table 3 and the OPSNet+ rows of Table 8, by one command, resumable.

Usage: python benchmarks/study_plus.py --out DIR [--seeds 0,1,2] [--start OPSNET...] [--resume] [--jobs 2]

An OPSNet (the shipped one if none is given; seeds take several in turn) is trained further in three ways: on masks
alone (base), with class supervision on pictures with labels, and with mask supervision on them too (both). All take as
many steps, on the same pictures with masks in the same order; what has labels comes on top. The start itself is
measured as well. Labels are of role image-level, which shows everything and names it, as ImageNet names what COCO does
not; its pictures are of no test set.

A seed decides order and augmentation; all seeds see the same pictures, so the spread is that of trainings. The score
threshold is chosen on base val, for each run alone; figures are from test. Fusion stays as the start has it.

DIR/runs holds one JSON per run; DIR/study.md and study.json are written anew after every call. Three seeds take about
five core-hours; with --steps 500, two.
"""

import argparse
import json
from pathlib import Path

from plus_study.plan import CLAIMS, SUMMARY, Sizes, jobs_of
from study.runner import in_order, run_all
from study.verdicts import Figures, cell, claims_markdown, collect, document, table

from lexiseg.io.checkpoint import weights_hash
from lexiseg.io.models import load_model
from lexiseg.io.shipped import shipped_folder


def markdown(figures: Figures) -> str:
    """The arms, then what they say to the claims."""
    arms = [(arm, *(cell(by, name) for name in SUMMARY)) for arm, by in figures.items()]
    parts = [
        "Percent; mean ± standard deviation over the seeds.",
        table([("", *SUMMARY), *arms]),
        claims_markdown(figures, CLAIMS),
    ]
    return "\n\n".join(parts) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Reads the arguments, does what is not done yet, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--start", type=Path, nargs="+", default=[shipped_folder()], help="folders of OPSNets")
    parser.add_argument("--resume", action="store_true", help="go on in a folder that holds a study")
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--masks", type=int, help="pictures with masks, if not as many as the recipe's")
    parser.add_argument("--labels", type=int, help="pictures with labels, likewise")
    parser.add_argument("--val", type=int, default=Sizes().val)
    parser.add_argument("--test", type=int, default=Sizes().test, help="pictures of each role")
    parser.add_argument("--steps", type=int, help="if not the recipe's")
    parser.add_argument("--batch-size", type=int, help="of each kind of picture, likewise")
    wanted = parser.parse_args(arguments)
    if not wanted.resume and wanted.out.is_dir() and any(wanted.out.iterdir()):
        parser.error(f"{wanted.out} is not empty: pass --resume to go on with it, or choose another --out.")
    sizes = Sizes(
        masks=wanted.masks,
        labels=wanted.labels,
        val=wanted.val,
        test=wanted.test,
        steps=wanted.steps,
        batch_size=wanted.batch_size,
    )
    try:
        starts = [
            {"start": str(folder.resolve()), "weights": weights_hash(load_model(folder).state_dict())}
            for folder in wanted.start
        ]
    except ValueError as error:
        parser.error(str(error))
    jobs, runs = jobs_of(wanted.seeds, sizes, starts, wanted.device)
    wanted.out.mkdir(parents=True, exist_ok=True)
    run_all(in_order(jobs, runs), wanted.out, workers=wanted.jobs)
    figures = collect(wanted.out, runs, lambda result: result["figures"])
    (wanted.out / "study.json").write_text(json.dumps(document(figures, CLAIMS), indent=1) + "\n")
    (wanted.out / "study.md").write_text(markdown(figures))
    print(f"{wanted.out / 'study.md'}")


if __name__ == "__main__":
    main()

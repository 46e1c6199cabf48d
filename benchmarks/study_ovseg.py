"""The claims of OVSeg, SimBaseline and ZegFormer in the drawn world: one command, resumable.

Usage: python benchmarks/study_ovseg.py --out DIR [--seeds 0,1,2] [--only V2,V4] [--resume] [--jobs 2]
       [--maskformer OVSEG... [--clip CLIP...]]

A seed decides the pictures of all splits, so the mined pairs too, and the batches and first prompts of the adaptations.
It does not decide CLIP and MaskFormer: three of each would take most of the time. Either one of each is trained here
for all seeds, or folders are given, which the seeds take in turn: with as many as seeds, they vary too. The spread is
thus that of pictures and adaptations (for what needs no adaptation, V1, V2, Z1, of pictures alone), and differences are
taken within a seed, on the same pictures.

lambda, gamma and the mask threshold are chosen on val, for each run and row alone; figures are from test. Pictures are
of role semantic-only, whose names are "seen" if they are in the vocabulary `storybook`, MaskFormer's. Pairs come from
pictures of role captions, which show everything; masks and labels there are of seen names alone.

DIR/runs holds one JSON per CLIP and seed; DIR/study.md and study.json are written anew after every call. Three seeds
take about two and a half hours on two cores, and 80 minutes more if CLIP and MaskFormer are trained here.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from ovseg_study.claims import CLAIMS
from ovseg_study.plan import Sizes, jobs_of
from ovseg_study.verdicts import flat_figures, markdown
from study.runner import in_order, run_all
from study.verdicts import collect, document

from lexiseg.io.checkpoint import weights_hash
from lexiseg.io.models import load_model
from lexiseg.training.clip.folders import read_vit_clip


def given_folders(maskformers: list[Path], clips: list[Path]) -> list[dict[str, Any]]:
    """The pairs of MaskFormer and CLIP that the seeds take in turn."""
    if clips and len(clips) != len(maskformers):
        raise ValueError(
            f"expected as many --clip as --maskformer, got {len(clips)} and {len(maskformers)}: each CLIP goes into "
            "the OVSeg whose MaskFormer was trained with its text tower."
        )
    given: list[dict[str, Any]] = []
    for place, maskformer in enumerate(maskformers):
        clip = clips[place] if clips else None
        states = [load_model(maskformer).state_dict()] + ([] if clip is None else [read_vit_clip(clip).state_dict()])
        given.append(
            {
                "maskformer": str(maskformer.resolve()),
                "clip": None if clip is None else str(clip.resolve()),
                "weights": [weights_hash(state) for state in states],
            }
        )
    return given


def main(arguments: list[str] | None = None) -> None:
    """Reads the arguments, does what is not done yet, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--only", default=",".join(claim.name for claim in CLAIMS), help="claims, such as V2,V4")
    parser.add_argument("--resume", action="store_true", help="go on in a folder that holds a study")
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--maskformer", type=Path, nargs="+", default=[], help="folders of OVSegs")
    parser.add_argument(
        "--clip", type=Path, nargs="+", default=[], help="folders of CLIPs, in place of the OVSegs' own"
    )
    parser.add_argument("--pictures", type=int, default=Sizes().pictures, help="to mine pairs from")
    parser.add_argument("--val", type=int, default=Sizes().val)
    parser.add_argument("--test", type=int, default=Sizes().test)
    parser.add_argument("--steps", type=int, help="of an adaptation, if not the recipe's")
    parser.add_argument("--batch-size", type=int, help="likewise")
    wanted = parser.parse_args(arguments)
    claims = {claim.name: claim for claim in CLAIMS}
    names = wanted.only.split(",")
    if unknown := [name for name in names if name not in claims]:
        parser.error(f"there is no claim {unknown[0]}: choose out of {', '.join(claims)}.")
    if not wanted.resume and wanted.out.is_dir() and any(wanted.out.iterdir()):
        parser.error(f"{wanted.out} is not empty: pass --resume to go on with it, or choose another --out.")
    sizes = Sizes(
        pictures=wanted.pictures,
        val=wanted.val,
        test=wanted.test,
        steps=wanted.steps,
        batch_size=wanted.batch_size,
    )
    try:
        folders = given_folders(wanted.maskformer, wanted.clip)
    except ValueError as error:
        parser.error(str(error))
    arms = frozenset[str]().union(*(claims[name].arms for name in names))
    jobs, runs = jobs_of(arms, wanted.seeds, sizes, folders)
    wanted.out.mkdir(parents=True, exist_ok=True)
    run_all(in_order(jobs, runs), wanted.out, workers=wanted.jobs)
    every = jobs_of(frozenset[str]().union(*(claim.arms for claim in CLAIMS)), wanted.seeds, sizes, folders)[1]
    figures = collect(wanted.out, every, flat_figures)
    (wanted.out / "study.json").write_text(json.dumps(document(figures, CLAIMS), indent=1) + "\n")
    (wanted.out / "study.md").write_text(markdown(figures))
    print(f"{wanted.out / 'study.md'}")


if __name__ == "__main__":
    main()

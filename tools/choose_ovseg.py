"""Chooses on val how an OVSeg answers: lambda, CLIP's scale and the region threshold, then the thresholds of the merge.

Usage: python tools/choose_ovseg.py OVSEG [--count 100]

The first three by mIoU of soft semantic maps on the role semantic-only, where seen and unseen names mix; the merge's by
the mean PQ of base and novel. Test splits are never looked at.
"""

import argparse
import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

from lexiseg import EnsembleConfig, MergeConfig, OVSeg, load_model
from lexiseg.data.dataset import Dataset
from lexiseg.storybook.choices import Role
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import ALL, ROLE_CONTENTS
from lexiseg.studies.opsnet.training_figures import count
from lexiseg.studies.ovseg.measure import Answering, Row, groups_of, iou_figures, tally_rows

LAMBDAS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0)
SCALES = (25.0, 50.0, 100.0)
REGION_THRESHOLDS = (0.4, 0.5)
SCORE_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
MASK_THRESHOLDS = (0.35, 0.4, 0.5)
OVERLAP_THRESHOLDS = (0.6, 0.7, 0.8)


def draw(role: Role, number: int, folder: Path) -> Dataset:
    """Validation pictures."""
    return write_storybook(StorybookSpec(role=role, split="val", count=number), folder / role)


def choose_ensemble(model: OVSeg, val: Dataset) -> list[tuple[float, float, Answering]]:
    """Each way of answering with its mIoU and hIoU in percent, the best first."""
    ways = Row(
        name="ensemble",
        regions=model.config.regions,
        ensembles=tuple(EnsembleConfig(clip_weight=weight) for weight in LAMBDAS),
        thresholds=REGION_THRESHOLDS,
        clip_logit_scales=SCALES,
    )
    found = tally_rows(model, val, ALL, ways.candidates())
    figures = {
        answering: iou_figures(blocks[0], groups_of(found.is_seen)) for answering, blocks in found.pixels.items()
    }
    return sorted(
        ((one["mIoU"], one["hIoU"], answering) for answering, one in figures.items()),
        key=lambda one: one[0],
        reverse=True,
    )


def choose_merge(model: OVSeg, vals: dict[Role, Dataset]) -> list[tuple[dict[str, float], MergeConfig]]:
    """PQ in percent of every setting of the merge, the best mean first; one pass over the pictures."""
    merges = [
        replace(model.config.merge, score_threshold=score, mask_threshold=cut, overlap_threshold=overlap)
        for score, cut, overlap in itertools.product(SCORE_THRESHOLDS, MASK_THRESHOLDS, OVERLAP_THRESHOLDS)
    ]
    ways = {merge: (model.config.ensemble, merge) for merge in merges}
    found = {role: count(model, (val, ROLE_CONTENTS[role].vocabulary), ways) for role, val in vals.items()}
    figures = [({role: one[merge]["PQ"]["value"] for role, one in found.items()}, merge) for merge in merges]
    return sorted(figures, key=lambda one: sum(one[0].values()), reverse=True)


def main() -> None:
    """Reads the arguments, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--count", type=int, default=100)
    wanted = parser.parse_args()
    model = load_model(wanted.model)
    if not isinstance(model, OVSeg):
        parser.error(f"expected an OVSeg, got {type(model).__name__}: choose.py chooses for an OPSNet.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        found = choose_ensemble(model, draw("semantic-only", wanted.count, folder))
        for miou, hiou, answering in found[:6]:
            print(
                f"mIoU {miou:5.1f}  hIoU {hiou:5.1f}   scale {answering.clip_logit_scale:g}, "
                f"lambda {answering.ensemble.clip_weight:g}, regions {answering.regions.mask_threshold:g}"
            )
        best = found[0][2]
        model.config = replace(
            model.config, clip_logit_scale=best.clip_logit_scale, ensemble=best.ensemble, regions=best.regions
        )
        vals: dict[Role, Dataset] = {role: draw(role, wanted.count, folder) for role in ("base", "novel")}
        for figures, merge in choose_merge(model, vals)[:4]:
            shown = "   ".join(f"{role} {pq:5.1f}" for role, pq in figures.items())
            print(
                f"{shown}   score threshold {merge.score_threshold:g}, masks {merge.mask_threshold:g}, "
                f"overlap {merge.overlap_threshold:g}"
            )


if __name__ == "__main__":
    main()

"""What half precision costs: the difference in scores, and PQ, of weights stored in it and of computing in it.

Usage: python tools/precision.py MODEL [--count 100]

A score is a word's probability times one minus void's, of each proposal, as it is before the merge. Scenes are of val.
"""

import argparse
import copy
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from lexiseg import load_model
from lexiseg.core.devices import DTYPES, Precision, computing
from lexiseg.core.structures import MaskPrediction
from lexiseg.core.tables import markdown_table
from lexiseg.evaluation.loading import Skipped
from lexiseg.evaluation.plan import inference, plan_evaluation, planned_batches
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.io.finding import find_model
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.storybook.choices import Role
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import ROLE_CONTENTS

STORED: Mapping[str, tuple[Precision, Precision]] = {
    "float32": ("float32", "float32"),
    "stored in fp16": ("fp16", "float32"),
    "stored in bf16": ("bf16", "float32"),
    "computed in bf16": ("float32", "bf16"),
}
"""Each row, with what its weights are stored in and what they are computed in."""


def rounded(model: OpenVocabularySegmenter, precision: Precision) -> OpenVocabularySegmenter:
    """The model as it comes back from a folder whose weights are stored in a precision."""
    other = copy.deepcopy(model)
    state = model.state_dict()
    other.load_state_dict(
        {k: v.to(DTYPES[precision]).float() if v.is_floating_point() else v for k, v in state.items()}
    )
    return other


def scores(prediction: MaskPrediction) -> torch.Tensor:
    """The score of every word for every proposal, in [0, 1]."""
    return prediction.class_logits.softmax(-1) * (1 - prediction.void_probs)[..., None]


def measure(model: OpenVocabularySegmenter, role: Role, count: int) -> list[tuple[str, ...]]:
    """A row for each of `STORED`: PQ, and the mean and largest difference of scores and of mask probabilities."""
    settings, skipped = EvaluationSettings(), list[Skipped]()
    variants = {name: rounded(model, stored) for name, (stored, _) in STORED.items()}
    worst = {name: torch.zeros(3, dtype=torch.float64) for name in STORED}
    with tempfile.TemporaryDirectory() as folder, inference(model):
        data = write_storybook(StorybookSpec(role=role, split="val", count=count), Path(folder) / "data")
        words = ROLE_CONTENTS[role].vocabulary
        plans = {name: plan_evaluation(variant.eval(), data, words, settings) for name, variant in variants.items()}
        tallies = {name: plan.measure.zero() for name, plan in plans.items()}
        for batch in planned_batches(model, plans["float32"], settings, skipped, lambda done, total: None):
            exact = None
            for name, variant in variants.items():
                with computing(torch.device("cpu"), STORED[name][1]):
                    found = variant(batch.images, plans[name].words, plans[name].fusion)
                tallies[name] += plans[name].tally(found, plans[name].merge, batch)
                exact = exact or found
                off = (scores(found) - scores(exact)).abs().double()
                masks = (found.mask_logits.sigmoid() - exact.mask_logits.sigmoid()).abs().mean().double()
                share = len(batch.annotations) / count
                worst[name] += torch.stack([off.amax(-1).mean() * share, torch.zeros(()).double(), masks * share])
                worst[name][1] = max(worst[name][1], off.max())
    return [
        (
            f"{role}, {name}",
            f"{100 * plans[name].summarise(tallies[name])[0].all.pq:.2f}",
            *(f"{value:.1e}" for value in worst[name].tolist()),
        )
        for name in STORED
    ]


def main() -> None:
    """Reads the arguments and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--count", type=int, default=100)
    asked = parser.parse_args()
    model = load_model(find_model(asked.model))
    heading = ("", "PQ", "score, mean of largest", "score, largest", "mask, mean")
    rows = [row for role in ("base", "novel") for row in measure(model, role, asked.count)]
    print("\n".join(markdown_table(heading, rows)))


if __name__ == "__main__":
    main()

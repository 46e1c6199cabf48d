"""PQ of a closed-set Mask2Former on the drawn world's base, by the same merge and metric as OPSNet.

Usage: python benchmarks/closed_set.py MASK2FORMER_FOLDER [--split test] [--count 200]
"""

import argparse
import tempfile
from pathlib import Path

import torch

from lexiseg import MergeConfig
from lexiseg.core.structures import MaskPrediction
from lexiseg.core.tables import markdown_table
from lexiseg.encoders.segmenters.mask2former import Segmenter
from lexiseg.encoders.segmenters.mask2former_weights import read_mask2former
from lexiseg.evaluation.loading import Skipped, batched, open_all
from lexiseg.evaluation.measure import Answer
from lexiseg.evaluation.measures import measure_of
from lexiseg.evaluation.metrics.panoptic_quality import PanopticQuality
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import BASE

LONGEST = 160
"""Side of the pictures in training."""


@torch.inference_mode()
def measure(folder: Path, split: str, count: int, merge: MergeConfig) -> PanopticQuality:
    """Ranks by class probability, as Mask2Former does: it has no IoU head."""
    weights = read_mask2former(folder)
    segmenter = Segmenter(weights.config).eval()
    segmenter.load_state_dict(dict(weights.segmenter))
    with tempfile.TemporaryDirectory() as drawn:
        data = write_storybook(StorybookSpec(role="base", split=split, count=count), Path(drawn) / "data")
        counting = measure_of(data, "panoptic")
        tally = counting.zero()
        for batch in batched(open_all(counting.open, data.samples), longest=LONGEST, batch_size=8):
            if isinstance(batch, Skipped):
                raise ValueError(batch.reason)
            proposals = segmenter(batch.images.pixel_values)
            logits = proposals.query_embed @ weights.class_weight.T + weights.class_bias
            prediction = MaskPrediction(
                mask_logits=proposals.mask_logits,
                class_logits=logits[..., :-1],
                void_probs=logits.softmax(-1)[..., -1],
                iou_scores=torch.ones_like(logits[..., 0]),
                num_concepts=len(BASE),
            )
            for index, truth in enumerate(batch.annotations):
                answer = Answer(
                    prediction=prediction,
                    index=index,
                    frame=batch.images.frames[index],
                    vocabulary=BASE,
                    category_ids=tuple(category.id for category in data.categories),
                    merge=merge,
                    semantic_rule="merged",
                )
                tally += counting.tally(answer, truth)
        return counting.summarise(tally, data.categories)


def main() -> None:
    """Reads the arguments, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", choices=["val", "test"], default="test")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--score-threshold", type=float, default=0.2)
    wanted = parser.parse_args()
    merge = MergeConfig(rank_by="class", score_threshold=wanted.score_threshold)
    quality = measure(wanted.folder, wanted.split, wanted.count, merge)
    rows = [(name, *mean.cells()) for name, mean in quality.means.items()]
    print("\n".join(markdown_table(("", "PQ", "SQ", "RQ"), rows)))


if __name__ == "__main__":
    main()

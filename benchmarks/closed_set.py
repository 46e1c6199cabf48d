"""PQ of a closed-set Mask2Former on the drawn world's base, by the same merge and metric as OPSNet.

Usage: python benchmarks/closed_set.py MASK2FORMER_FOLDER [--split test] [--count 200]
"""

import argparse
import tempfile
from pathlib import Path

import torch

from lexiseg import MergeConfig
from lexiseg.core.structures import MaskPrediction
from lexiseg.data.formats.coco_panoptic import SegmentInfo
from lexiseg.encoders.segmenters.mask2former import Segmenter
from lexiseg.encoders.segmenters.mask2former_weights import read_mask2former
from lexiseg.evaluation.loading import Skipped, read_batches
from lexiseg.evaluation.metrics.panoptic_quality import PanopticQuality, PanopticTally, summarise, tally_pair
from lexiseg.models.postprocess.panoptic import panoptic_map
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.kinds import BASE

LONGEST = 160
"""Side of the pictures in training."""


@torch.inference_mode()
def measure(folder: Path, split: str, count: int, merge: MergeConfig) -> PanopticQuality:
    """Ranks by class probability, as Mask2Former does: it has no IoU head."""
    weights = read_mask2former(folder)
    segmenter = Segmenter(weights.config).eval()
    segmenter.load_state_dict(dict(weights.segmenter))
    tally = PanopticTally()
    with tempfile.TemporaryDirectory() as drawn:
        data = write_storybook(StorybookSpec(role="base", split=split, count=count), Path(drawn) / "data")
        numbers = [category.id for category in data.categories]
        for batch in read_batches(data, longest=LONGEST, batch_size=8):
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
            for index, truth in enumerate(batch.truths):
                found = panoptic_map(prediction, index, batch.images.frames[index], BASE, merge)
                segments = [
                    SegmentInfo(id=s.id, category_id=numbers[s.class_id], area=s.area, box=s.box)
                    for s in found.segments
                ]
                tally += tally_pair(truth.ids, truth.sample.segments, found.segmentation, segments, data.categories)
        return summarise(tally, data.categories)


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
    for name, part in (("all", quality.all), ("things", quality.things), ("stuff", quality.stuff)):
        print(f"{name:7} PQ {100 * part.pq:5.1f}   SQ {100 * part.sq:5.1f}   RQ {100 * part.rq:5.1f}")


if __name__ == "__main__":
    main()

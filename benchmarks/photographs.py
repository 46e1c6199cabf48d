"""What a photograph costs beside transformers' own Mask2Former, and what the first words cost.

Run `python benchmarks/photographs.py [--backbone swin-l|r50] [--rounds 5]`. Random weights of full size in the
published layout, a picture of 640 x 480 at that size, one thread, CPU time, in turns in one process: the assembled
model with CLIP RN50 and its merge, and transformers' forward pass with its panoptic post-processing. Then COCO's 133
names with 14 templates, without a cache.
"""

import argparse
import resource
import sys
import tempfile
from pathlib import Path

import alternating
import numpy as np
import torch
from transformers import Mask2FormerForUniversalSegmentation, Mask2FormerImageProcessor

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.clip.resnet import Clip, ClipConfig
from lexiseg.encoders.segmenters.mask2former import ResNetBackbone, SegmenterConfig, SwinBackbone, to_transformers
from lexiseg.inference.predictor import Model
from lexiseg.models.assemble import assemble

SIZES = {
    "r50": SegmenterConfig(resnet=ResNetBackbone(), num_queries=100),
    "swin-l": SegmenterConfig(
        swin=SwinBackbone(embed_dim=192, num_heads=(6, 12, 24, 48), window_size=12, image_size=384), num_queries=200
    ),
}


def main() -> None:
    """Writes seconds, their difference, and the memory of the whole run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", choices=SIZES, default="swin-l")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    alternating.ROUNDS = options.rounds
    torch.set_num_threads(1)
    torch.random.default_generator.manual_seed(0)
    names = Vocabulary.of("coco").names
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    with tempfile.TemporaryDirectory() as folder:
        mask2former, clip = Path(folder) / "mask2former", Path(folder) / "clip.pt"
        document = to_transformers(SIZES[options.backbone])
        document.id2label = dict(enumerate(names))
        theirs = Mask2FormerForUniversalSegmentation(document).eval()
        theirs.save_pretrained(mask2former)
        torch.save(Clip(ClipConfig.named("RN50")).clip.state_dict(), clip)
        network = assemble(mask2former, "RN50", clip, longest_side=640)
    model = Model(network)
    vocabulary = Vocabulary.of("coco")
    words = alternating.seconds(lambda: network.embed_vocabulary(vocabulary, negatives=False))
    processor = Mask2FormerImageProcessor(size={"shortest_edge": 480, "longest_edge": 640})

    def ours() -> object:
        return model.segment(picture, vocabulary)

    @torch.inference_mode()
    def peer() -> object:
        out = theirs(**processor(picture, return_tensors="pt"))
        return processor.post_process_panoptic_segmentation(out, target_sizes=[picture.shape[:2]])

    ours(), peer()
    mine, yours, _ = alternating.compare(ours, peer)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sys.stdout.write(
        f"{options.backbone} + RN50, 640 x 480: assembled {mine:.2f} s, transformers {yours:.2f} s, "
        f"{mine - yours:+.2f} s; COCO's {len(names)} names without a cache {words:.1f} s; "
        f"peak memory with both models {peak:.1f} GiB\n"
    )


if __name__ == "__main__":
    main()

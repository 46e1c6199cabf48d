"""Times the streaming panoptic merge against Hugging Face's post-processing, on the same synthetic masks.

Run `python benchmarks/merge.py`. Both run in turns in one process on one thread; what is told is the median of the
ratios of CPU time, so that a busy machine changes little. The two follow different rules (see
`lexiseg.models.postprocess.panoptic`), so only their cost is compared here.
"""

import sys
from types import SimpleNamespace

import alternating
import torch
from torch.nn import functional as F
from transformers import Mask2FormerImageProcessor

from lexiseg.core.frames import Frame
from lexiseg.core.structures import MaskPrediction
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.models.postprocess.panoptic import MergeConfig, panoptic_map

CASES = ((100, 640, 640), (200, 640, 640), (100, 1024, 2048))
KEPT = 30


def blobs(num_queries: int, height: int, width: int) -> torch.Tensor:
    """Smooth mask logits at stride 4: each query wins a region of its own, the rest are low everywhere."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, num_queries, 8, 8, generator=generator)
    smooth = F.interpolate(coarse, (height // 4, width // 4), mode="bicubic", align_corners=False)[0]
    return 6 * (smooth - smooth[:KEPT].amax(0)) + 3


def compare(num_queries: int, height: int, width: int) -> tuple[float, float, float]:
    """Median milliseconds of both, and the median ratio, over rounds in alternating order."""
    vocabulary = Vocabulary.of("coco")
    num_classes = len(vocabulary)
    mask_logits = blobs(num_queries, height, width)[None]
    class_logits = torch.zeros(1, num_queries, num_classes)
    class_logits[0, torch.arange(num_queries), torch.arange(num_queries) % num_classes] = 20.0
    void_probs = torch.ones(1, num_queries)
    void_probs[:, :KEPT] = 0.0
    prediction = MaskPrediction(
        mask_logits=mask_logits,
        class_logits=class_logits,
        void_probs=void_probs,
        iou_scores=torch.ones(1, num_queries),
        num_concepts=num_classes,
    )
    void_logits = torch.where(void_probs > 0.5, 40.0, -40.0)[..., None]
    outputs = SimpleNamespace(
        masks_queries_logits=mask_logits, class_queries_logits=torch.cat([class_logits, void_logits], -1)
    )
    processor = Mask2FormerImageProcessor()
    stuff = {index for index, concept in enumerate(vocabulary.concepts) if not concept.is_thing}
    frame = Frame(original=(height, width), resized=(height, width), padded=(height, width))
    config = MergeConfig(rank_by="class", score_threshold=0.8)

    def ours() -> object:
        return panoptic_map(prediction, 0, frame, vocabulary, config)

    def theirs() -> object:
        return processor.post_process_panoptic_segmentation(
            outputs, threshold=0.8, target_sizes=[(height, width)], label_ids_to_fuse=stuff
        )

    ours(), theirs()
    mine, peer, ratio = alternating.compare(ours, theirs)
    return 1000 * mine, 1000 * peer, ratio


def main() -> None:
    """Writes one line per case."""
    torch.set_num_threads(1)
    for case in CASES:
        mine, peer, ratio = compare(*case)
        queries, height, width = case
        sys.stdout.write(
            f"{queries} masks, {height} x {width}: streaming {mine:.0f} ms, "
            f"Hugging Face {peer:.0f} ms, {ratio:.1f} times as fast\n"
        )


if __name__ == "__main__":
    main()

"""Semantic segmentation: the panoptic map merged by category (OPSNet), or a sum of soft masks (OVSeg)."""

import numpy as np
import torch
from jaxtyping import Int32

from lexiseg.core.frames import Frame
from lexiseg.core.structures import MaskPrediction, PanopticMap
from lexiseg.models.postprocess.panoptic import mask_probs_of

SOFT_BUDGET = 2**25  # numbers of the soft rule in memory: 128 MiB of masks; 100 proposals of 640 x 480 are one block
SUMS_SHARE = 64  # sums take this part of them: what stays near the processor is twice as fast


def semantic_map(panoptic: PanopticMap, num_concepts: int, *, void: int = -1) -> Int32[np.ndarray, "H W"]:
    """Merges a panoptic map by category, as OPSNet does (section 4.1).

    Args:
        panoptic: the map.
        num_concepts: concepts in the vocabulary.
        void: the value of pixels without a segment: -1, or 255 for files of fewer classes.

    Returns:
        Class ids, `void` where there is none.

    Raises:
        ValueError: if `void` is itself a class id, or a segment's class is not in the vocabulary.
    """
    if 0 <= void < num_concepts:
        raise ValueError(f"void must not be one of the {num_concepts} class ids, got {void}; use -1.")
    table = np.full(1 + max((s.id for s in panoptic.segments), default=0), void, dtype=np.int32)
    for segment in panoptic.segments:
        if not 0 <= segment.class_id < num_concepts:
            raise ValueError(
                f"Segment {segment.id} has class {segment.class_id}, but the vocabulary has "
                f"{num_concepts} concepts; pass the vocabulary that made the map."
            )
        table[segment.id] = segment.class_id
    return table[panoptic.segmentation]


def soft_semantic_map(
    prediction: MaskPrediction, index: int, frame: Frame, *, budget: int = SOFT_BUDGET
) -> Int32[np.ndarray, "h0 w0"]:
    """Gives each pixel the class of the largest sum over proposals of class score x mask probability (OVSeg).

    y_k(h, w) = sum_i q_ik m_i(h, w), where q is the softmax over concepts and negatives times (1 - p_void) and m the
    soft mask at the picture's own size. No proposal is filtered, and every pixel gets a class of the vocabulary, the
    first one where all sums are zero. A `pixel_bias` is subtracted from the sums (ZegFormer's calibrated stacking).

    Rows and pixels are taken in blocks, so memory does not grow with concepts times pixels. Sums are formed in
    float64 and compared in float32, so neither the blocks nor the order in which a library adds decides a tie.

    Args:
        prediction: a model's output for a batch.
        index: which picture of the batch.
        frame: how that picture was resized and padded.
        budget: numbers in memory at once, of the masks and of the sums; smaller is slower.

    Returns:
        Class ids.

    Raises:
        ValueError: if there is no concept, or `budget` is not positive.
    """
    num_concepts = prediction.num_concepts
    if num_concepts < 1 or budget < 1:
        raise ValueError(
            f"the soft rule needs one concept or more and a positive budget, got {num_concepts} and {budget}."
        )
    # Apple's GPUs know no float64.
    device = torch.device("cpu") if prediction.mask_logits.device.type == "mps" else prediction.mask_logits.device
    class_probs = prediction.class_logits[index].float().softmax(-1)[:, :num_concepts]
    scores = (class_probs * (1 - prediction.void_probs[index].float())[:, None]).to(device, torch.float64)  # Q K
    bias = scores.new_zeros(num_concepts)
    if prediction.pixel_bias is not None:
        bias += prediction.pixel_bias[:num_concepts].to(bias)
    height, width = frame.original
    rows = max(1, budget // max(1, width * len(scores)))
    pixels = max(1, budget // SUMS_SHARE // num_concepts)
    labels = torch.empty(frame.original, dtype=torch.int32, device=device)
    for top in range(0, height, rows):
        # Where the masks do not fit, they are resized once per block: a cut before resizing would change digits.
        masks = torch.empty(len(scores), min(rows, height - top), width, device=device)
        for mask, mask_logits in zip(masks, prediction.mask_logits[index], strict=True):
            mask.copy_(mask_probs_of(mask_logits, frame)[top : top + rows])
        flat = masks.flatten(1)
        best = [
            (flat[:, start : start + pixels].T.to(torch.float64) @ scores - bias).float().argmax(-1)
            for start in range(0, flat.shape[1], pixels)
        ]
        labels[top : top + rows] = torch.cat(best).view(-1, width)
    return labels.cpu().numpy()

"""Instance segmentation: things with whole masks, which may overlap."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lexiseg.core.frames import Frame
from lexiseg.core.structures import MaskPrediction
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.models.postprocess.panoptic import MergeConfig, box_of, mask_probs_of, rank_proposals


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Instance:
    """One thing with its own mask; masks of different instances may overlap."""

    mask: np.ndarray
    """bool (H, W)."""
    class_id: int
    name: str
    score: float
    """The ranking score in [0, 1]."""
    box: tuple[int, int, int, int]
    """x, y, width, height in pixels."""


def instances(
    prediction: MaskPrediction,
    index: int,
    frame: Frame,
    vocabulary: Vocabulary,
    config: MergeConfig | None = None,
    *,
    limit: int = 100,
) -> tuple[Instance, ...]:
    """Returns one picture's things, each with its whole mask, best first.

    Masks do not compete for pixels: the overlap threshold does not apply, and empty masks are left out.

    Args:
        prediction: a model's output for a batch.
        index: which picture of the batch.
        frame: how that picture was resized and padded.
        vocabulary: the concepts that the prediction was made for.
        config: ranking, score threshold and mask threshold.
        limit: the largest number of instances.

    Raises:
        ValueError: if the prediction was made for another number of concepts.
    """
    config = config or MergeConfig()
    ranking = rank_proposals(prediction, index, vocabulary, config)
    found: list[Instance] = []
    for query, class_id, score in zip(ranking.queries, ranking.class_ids, ranking.scores, strict=True):
        if len(found) == limit:
            break
        if class_id >= prediction.num_concepts or not vocabulary.concepts[class_id].is_thing:
            continue
        mask = (mask_probs_of(ranking.mask_logits[query], frame) >= config.mask_threshold).cpu()
        pixels = mask.numpy()
        if not pixels.any():
            continue
        box = box_of(ndimage.find_objects(pixels.view(np.uint8))[0])
        name = vocabulary.concepts[class_id].name
        found.append(Instance(mask=pixels, class_id=class_id, name=name, score=score, box=box))
    return tuple(found)

"""Instance segmentation: things with whole masks, which may overlap."""

from dataclasses import dataclass

import numpy as np

from lexiseg.core.frames import Frame
from lexiseg.core.structures import MaskPrediction
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.models.postprocess.assignment import cut_masks
from lexiseg.models.postprocess.panoptic import MergeConfig, rank_proposals
from lexiseg.models.postprocess.runs import Extents


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
    num_concepts = prediction.num_concepts
    things = [k for k, c in enumerate(ranking.class_ids) if c < num_concepts and vocabulary.concepts[c].is_thing]
    found: list[Instance] = []
    names = vocabulary.names
    masks = cut_masks(ranking, things, frame, config.mask_threshold)
    for rank, mask in zip(things, masks, strict=True):
        if len(found) == limit:
            break
        extents = Extents.of(mask.view(np.uint8), 2)
        if extents.pixels[1]:
            class_id, score = ranking.class_ids[rank], ranking.scores[rank]
            name = names[class_id]
            found.append(Instance(mask=mask, class_id=class_id, name=name, score=score, box=extents.box(1)))
    return tuple(found)

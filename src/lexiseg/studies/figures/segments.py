"""Annotated segments as an OPSNet sees them: as true masks, and as masks of its own that match them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, UInt8

from lexiseg.core.batches import to_image_batch
from lexiseg.core.frames import Frame
from lexiseg.core.structures import MaskProposals
from lexiseg.data.dataset import Annotation, Dataset, Segmentation, SegmentInfo, describe_segments
from lexiseg.data.id_maps import compact
from lexiseg.evaluation.loading import Skipped, open_all
from lexiseg.evaluation.metrics.panoptic_quality import mask_overlaps
from lexiseg.evaluation.upper_bounds import as_proposed, enter_canvas
from lexiseg.models.opsnet import EncodedRegions, OPSNet
from lexiseg.storybook.scene import draw_scene

UNANNOTATED = -1
"""Category of a thing that the annotation leaves out."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shown:
    """A picture and its segments; crowds are left out."""

    number: int
    """Its place in the data set."""
    picture: UInt8[np.ndarray, "H W 3"]
    truth: Segmentation
    segments: tuple[SegmentInfo, ...]
    strangers: Mapping[int, str]
    """Names of segments that the annotation leaves out: things of drawn scenes that are in no training vocabulary."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What a model makes of a picture."""

    shown: Shown
    frame: Frame
    own: EncodedRegions
    """Its own masks."""
    true: EncodedRegions
    """The true masks, in the order of the segments; only CLIP's embedding means something, as they have no query."""
    queries: tuple[int | None, ...]
    """For each segment the best of the model's own masks that match it (IoU above one half), by predicted IoU."""


def show_all(dataset: Dataset, scenes: Mapping[str, Any] | None = None) -> Iterator[Shown]:
    """Reads pictures; those that can't be read are left out.

    Args:
        dataset: with masks of every pixel.
        scenes: role, split and seed of drawn pictures, whose strangers are then segments, too; None: of no picture.
    """
    for number, loaded in enumerate(open_all(dataset.load, dataset.samples)):
        if isinstance(loaded, Skipped):
            continue
        truth, strangers = loaded.annotation.to_segmentation(dataset.categories), dict[int, str]()
        if scenes is not None:
            truth, strangers = _with_strangers(loaded.annotation, truth, scenes)
        segments = tuple(s for s in truth.segments if not s.is_crowd)
        yield Shown(number=number, picture=loaded.picture, truth=truth, segments=segments, strangers=strangers)


def _with_strangers(
    annotation: Annotation, truth: Segmentation, scenes: Mapping[str, Any]
) -> tuple[Segmentation, dict[int, str]]:
    """Draws the scene again for the things in it that its annotation leaves void."""
    scene = draw_scene(scenes["role"], scenes["split"], int(annotation.sample.key), seed=scenes["seed"])
    ids, names = truth.ids.copy(), dict[int, str]()
    for segment in scene.segments:
        here = scene.ids == segment.id
        if segment.is_distractor and not ids[here].any():
            names[int(ids.max()) + 1] = segment.name
            ids[here] = ids.max() + 1
    category_ids = {s.id: s.category_id for s in truth.segments} | dict.fromkeys(names, UNANNOTATED)
    crowd = {s.id for s in truth.segments if s.is_crowd}
    return Segmentation(ids=ids, segments=describe_segments(ids, category_ids, crowd=crowd)), names


@torch.no_grad()
def look(model: OPSNet, shown: Shown) -> Seen:
    """Encodes a picture once, and embeds its true masks and the model's own."""
    sides = {"longest": model.config.longest_side, "shortest": model.config.shortest_side}
    images = to_image_batch([shown.picture], **sides, resizing=model.resizing)
    frame = images.frames[0]
    proposals, clip_map = model.propose(images), model.clip_map(images)
    logits = as_proposed(enter_canvas(torch.from_numpy(_masks(shown)), frame)).to(clip_map)
    no_query = proposals.query_embed.new_zeros(1, logits.shape[1], proposals.query_embed.shape[-1])
    asked = MaskProposals(mask_logits=logits, query_embed=no_query)
    own, true = (
        EncodedRegions(proposals=one, regions=model.embed(one, clip_map), iou_scores=model.iou_scores(one))
        for one in (proposals, asked)
    )
    return Seen(shown=shown, frame=frame, own=own, true=true, queries=_matches(shown, own, frame))


def _masks(shown: Shown) -> Bool[np.ndarray, "N H W"]:
    places = compact(shown.truth.ids, [s.id for s in shown.segments])
    return places[None] == np.arange(len(shown.segments))[:, None, None]


def _matches(shown: Shown, own: EncodedRegions, frame: Frame) -> tuple[int | None, ...]:
    # Half a probability is a logit of zero: the rule of the merge's mask cut.
    masks = ((frame.leave(logits.float()[None])[0] >= 0).numpy() for logits in own.proposals.mask_logits[0])
    found: dict[int, int] = {}
    for query, place in enumerate(mask_overlaps(shown.truth.ids, shown.segments, masks).matched()):
        if place is not None and (place not in found or own.iou_scores[0, query] > own.iou_scores[0, found[place]]):
            found[place] = query
    return tuple(found.get(place) for place in range(len(shown.segments)))

"""Ids that stay the same from frame to frame of a video.

The rule: two segments show one thing if they have one name and their masks overlap. The things of a frame are paired,
name by name, with those remembered so that the intersections over union (IoU) of the pairs sum up to the most; a pair
whose IoU is below `LEAST_IOU` is none. Who is paired keeps the id; who is left has an id that nothing in this video
ever had. What a frame does not show is remembered for `MEMORY` more frames, with the mask that it had last. Stuff stays
where it is: the stuff of one name has one id in the whole video.
"""

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int32
from scipy.optimize import linear_sum_assignment

from lexiseg.core.structures import PanopticMap, Segment

LEAST_IOU = 0.05
"""Little suffices: on drawn walks of which every fifth frame is taken, 0.2 loses one of twenty things, this none."""
MEMORY = 5
"""Frames. On drawn walks, of things that the shipped model misses and finds again, one of five keeps its id without a
memory, and four of five with this; twice as many frames give more things the id of another one of their name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A thing as the last frame that shows it has it."""

    id: int
    frame: int
    box: tuple[int, int, int, int]
    mask: Bool[np.ndarray, "h w"]
    """Inside the box alone."""

    @staticmethod
    def of(segment: Segment, segmentation: Int32[np.ndarray, "H W"], number: int, frame: int) -> "_Seen":
        """A segment under the number that it has in the video."""
        mask = _inside(segmentation, segment.box) == segment.id
        return _Seen(id=number, frame=frame, box=segment.box, mask=mask)


class Tracker:
    """Gives the segments of a video's maps, one frame after the other, ids that stay the same.

    Usage: `tracker = Tracker()`, then `tracker.follow(panoptic)` for the map of every frame, in their order.
    """

    def __init__(self) -> None:
        """Begins a video."""
        self._frame = 0
        self._size: tuple[int, ...] = ()
        self._things: dict[str, list[_Seen]] = {}
        self._stuff: dict[tuple[str, int], int] = {}
        self._free = 1

    def follow(self, panoptic: PanopticMap) -> PanopticMap:
        """The next frame's map with ids that its segments keep; maps of two sizes have no thing in common."""
        things, stuff = _by_name(panoptic, is_thing=True), _by_name(panoptic, is_thing=False)
        self._turn_to(panoptic.segmentation.shape)
        number_of: dict[int, int] = {}
        for name, segments in things.items():
            if seen := self._things.get(name):
                number_of |= _paired(seen, segments, panoptic.segmentation)
        for name, segments in stuff.items():
            known = {segment.id: self._stuff.get((name, place)) for place, segment in enumerate(segments)}
            number_of |= {raw: number for raw, number in known.items() if number is not None}
        for segment in panoptic.segments:
            if segment.id not in number_of:
                number_of[segment.id] = self._free
                self._free += 1
        self._remember(panoptic, number_of)
        return _renumbered(panoptic, number_of)

    def recall(self, panoptic: PanopticMap) -> None:
        """Takes the next frame's map as it is, which `follow` gave in an earlier run."""
        self._turn_to(panoptic.segmentation.shape)
        self._remember(panoptic, {segment.id: segment.id for segment in panoptic.segments})

    def _turn_to(self, size: tuple[int, ...]) -> None:
        """Forgets the masks of frames of another size."""
        if size != self._size:
            self._things.clear()
            self._size = size

    def _remember(self, panoptic: PanopticMap, number_of: dict[int, int]) -> None:
        self._frame += 1
        shown = set(number_of.values())
        self._free = max((self._free, *(number + 1 for number in shown)))
        for name, seen in self._things.items():
            self._things[name] = [s for s in seen if s.id not in shown and self._frame - s.frame <= MEMORY]
        for name, segments in _by_name(panoptic, is_thing=True).items():
            new = [_Seen.of(s, panoptic.segmentation, number_of[s.id], self._frame) for s in segments]
            self._things[name] = [*self._things.get(name, []), *new]
        for name, segments in _by_name(panoptic, is_thing=False).items():
            self._stuff |= {(name, place): number_of[segment.id] for place, segment in enumerate(segments)}


def _paired(seen: list[_Seen], segments: list[Segment], segmentation: Int32[np.ndarray, "H W"]) -> dict[int, int]:
    """The numbers of a frame's things of one name that are among those seen before, by their ids in the map."""
    ious = np.array([[_iou(one, segment, segmentation) for segment in segments] for one in seen])
    rows, columns = linear_sum_assignment(np.where(ious < LEAST_IOU, 0.0, ious), maximize=True)
    return {
        segments[column].id: seen[row].id
        for row, column in zip(rows, columns, strict=True)
        if ious[row, column] >= LEAST_IOU
    }


def _iou(seen: _Seen, segment: Segment, segmentation: Int32[np.ndarray, "H W"]) -> float:
    common = np.count_nonzero(seen.mask & (_inside(segmentation, seen.box) == segment.id))
    return common / (np.count_nonzero(seen.mask) + segment.area - common)


def _inside(segmentation: Int32[np.ndarray, "H W"], box: tuple[int, int, int, int]) -> Int32[np.ndarray, "h w"]:
    left, top, width, height = box
    return segmentation[top : top + height, left : left + width]


def _by_name(panoptic: PanopticMap, *, is_thing: bool) -> dict[str, list[Segment]]:
    found: defaultdict[str, list[Segment]] = defaultdict(list)
    for segment in panoptic.segments:
        if segment.is_thing == is_thing:
            found[segment.name].append(segment)
    return found


def _renumbered(panoptic: PanopticMap, number_of: dict[int, int]) -> PanopticMap:
    table = np.zeros(1 + max(number_of, default=0), np.int32)
    table[list(number_of)] = list(number_of.values())
    segments = tuple(replace(segment, id=number_of[segment.id]) for segment in panoptic.segments)
    return PanopticMap(segmentation=table[panoptic.segmentation], segments=segments)

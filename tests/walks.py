"""Drawn walks: things of the drawn world that move over a ground, with the true map of every frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lexiseg.core.structures import PanopticMap, Segment
from lexiseg.storybook.drawings.pen import random_look
from lexiseg.storybook.roles import ROLE_CONTENTS
from lexiseg.storybook.scene import compose, sprite

LEAST_PIXELS = 16
"""A thing of which a frame shows less counts as hidden there, in the truth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnFrame:
    """A frame of a walk, and what is where on it."""

    picture: np.ndarray
    truth: PanopticMap
    """Ids are those of the walk's things, the same in all frames."""


def draw_walk(
    seed: int, *, frames: int = 60, size: tuple[int, int] = (160, 160), num_things: int = 5, names: Sequence[str] = ()
) -> list[DrawnFrame]:
    """Draws things of role `base` that walk over a ground, before and behind one another, and leave the picture.

    Args:
        seed: the same seed gives the same bytes.
        frames: how many.
        size: height and width in pixels.
        num_things: how many walk.
        names: of the things; chosen at random if not given, about one in three like the one before.
    """
    rng = np.random.default_rng(seed)
    contents = ROLE_CONTENTS["base"]
    while True:
        ground = compose(rng, contents, size, num_things=0)
        if all(segment.name in contents.stuff for segment in ground.segments):
            break  # no crowd
    kinds = {segment.id: (segment.name, False) for segment in ground.segments}
    walkers: list[tuple[int, np.ndarray, np.ndarray, np.ndarray]] = []
    chosen: list[str] = []
    for place in range(num_things):
        is_like_the_last = bool(chosen) and rng.random() < 1 / 3
        name = names[place % len(names)] if names else ""
        name = name or (chosen[-1] if is_like_the_last else str(rng.choice(contents.things)))
        chosen.append(name)
        drawn = sprite(rng, name, float(rng.uniform(0.3, 0.55) * min(size)), random_look(rng))
        start = rng.uniform(0.0, 0.7, 2) * size
        step = rng.uniform(-1.0, 1.0, 2) * (0.6, 2.5)  # pixels a frame: more to the side than up and down
        number = len(ground.segments) + 1 + place
        kinds[number] = (name, True)
        walkers.append((number, drawn, start, step))
    return [_frame(ground.picture, ground.ids, walkers, kinds, time) for time in range(frames)]


def _frame(
    ground: np.ndarray,
    ids: np.ndarray,
    walkers: Sequence[tuple[int, np.ndarray, np.ndarray, np.ndarray]],
    kinds: dict[int, tuple[str, bool]],
    time: int,
) -> DrawnFrame:
    picture, ids = ground.astype(np.float32), ids.copy()
    height, width = ids.shape
    for number, drawn, start, step in walkers:
        top, left = np.rint(start + step * time + (2 * np.sin(0.5 * time + number), 0)).astype(int).tolist()
        y0, x0 = max(0, top), max(0, left)
        y1, x1 = min(height, top + drawn.shape[0]), min(width, left + drawn.shape[1])
        if y1 <= y0 or x1 <= x0:
            continue
        part = drawn[y0 - top : y1 - top, x0 - left : x1 - left]
        alpha = part[..., 3:].astype(np.float32) / 255
        picture[y0:y1, x0:x1] += (part[..., :3] - picture[y0:y1, x0:x1]) * alpha
        ids[y0:y1, x0:x1][part[..., 3] >= 128] = number
    for number in np.flatnonzero(np.bincount(ids.ravel()) < LEAST_PIXELS).tolist():
        ids[ids == number] = 0
    return DrawnFrame(picture=np.clip(picture, 0, 255).astype(np.uint8), truth=map_of(ids, kinds))


def map_of(ids: np.ndarray, kinds: dict[int, tuple[str, bool]]) -> PanopticMap:
    """A map with the segments that its ids show."""
    segments: list[Segment] = []
    for number in np.unique(ids[ids > 0]).tolist():
        rows, columns = np.nonzero(ids == number)
        name, is_thing = kinds[number]
        box = int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1
        about = {"class_id": 0, "score": 1.0, "area": len(rows), "box": box}
        segments.append(Segment(id=number, name=name, is_thing=is_thing, **about))
    return PanopticMap(segmentation=ids.astype(np.int32), segments=tuple(segments))

"""Things of one picture, pasted into another."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lexiseg.data.samples.copy_paste import PASTED_SCALES, AnnotatedImage, TrueSegment, paste_things

RED, GREEN = (200, 0, 0), (0, 200, 0)
CAT, DOG = 4, 9


def segment(number: int, class_id: int | None, *, is_thing: bool = True, is_crowd: bool = False) -> TrueSegment:
    return TrueSegment(id=number, class_id=class_id, is_thing=is_thing, is_crowd=is_crowd)


def donor() -> AnnotatedImage:
    """A red cat and a green dog side by side, and what must stay behind: stuff, a crowd, a stranger."""
    picture, ids = np.full((40, 60, 3), 90, np.uint8), np.full((40, 60), 5, np.int32)
    picture[8:24, 10:26], ids[8:24, 10:26] = RED, 1
    picture[8:24, 26:42], ids[8:24, 26:42] = GREEN, 2
    ids[30:34], ids[36:] = 3, 4
    others = segment(3, CAT, is_crowd=True), segment(4, None), segment(5, 0, is_thing=False)
    return AnnotatedImage(picture=picture, ids=ids, segments=(segment(1, CAT), segment(2, DOG), *others))


def host(size: tuple[int, int] = (48, 32)) -> AnnotatedImage:
    picture = np.random.default_rng(0).integers(0, 80, (*size, 3), np.uint8)
    return AnnotatedImage(picture=picture, ids=np.full(size, 7, np.int32), segments=(segment(7, 1, is_thing=False),))


def paste(scene: AnnotatedImage, seed: int, other: AnnotatedImage | None = None) -> AnnotatedImage:
    return paste_things(scene, other or donor(), torch.Generator().manual_seed(seed))


@given(seed=st.integers(0, 10**6), height=st.integers(1, 70), width=st.integers(1, 70))
def test_only_things_with_a_class_come_and_the_rest_stays_to_the_byte(seed: int, height: int, width: int) -> None:
    scene = host((height, width))
    found = paste(scene, seed)
    new = found.segments[1:]
    assert found.segments[0] == scene.segments[0]
    assert {s.class_id for s in new} <= {CAT, DOG}
    assert [s.id for s in new] == list(range(8, 8 + len(new)))
    assert all(s.is_thing and not s.is_crowd for s in new)
    assert set(np.unique(found.ids).tolist()) <= {7, *(s.id for s in new)}
    is_old = found.ids == 7
    assert np.array_equal(found.picture[is_old], scene.picture[is_old])
    assert (scene.ids == 7).all()  # the host itself is not touched


def test_each_pixel_shows_the_thing_that_owns_it() -> None:
    checked = 0
    for seed in range(40):
        found = paste(host(), seed)
        for new in found.segments[1:]:
            inner = found.ids == new.id
            colour = np.array(RED if new.class_id == CAT else GREEN)
            own = (np.abs(found.picture[inner].astype(int) - colour).max(-1) < 110).mean() if inner.any() else 1
            assert own > 0.9  # edges blend with what is beside them
            checked += bool(inner.any())
    assert checked > 20


def test_things_keep_their_neighbours_and_grow_within_bounds() -> None:
    whole = host((400, 600))  # large enough to hold them where they are not cut off
    seen_flips = set()
    for seed in range(60):
        found = paste(whole, seed)
        boxes = {s.class_id: np.argwhere(found.ids == s.id) for s in found.segments[1:]}
        if set(boxes) != {CAT, DOG} or min(map(len, boxes.values())) == 0:
            continue
        (cat_top, cat_left), (dog_top, dog_left) = boxes[CAT].min(0), boxes[DOG].min(0)
        height = len(set(boxes[CAT][:, 0].tolist()))
        if cat_top > 0 and boxes[CAT].max(0)[0] < 399:
            assert 160 * PASTED_SCALES[0] - 1 <= height <= 160 * PASTED_SCALES[1] + 1
            assert cat_top == dog_top
        seen_flips.add(bool(cat_left < dog_left))
    assert seen_flips == {True, False}


@pytest.mark.parametrize("bare", [(), (segment(1, CAT, is_thing=False),), (segment(1, None),)])
def test_where_there_is_nothing_to_paste_the_scene_stays(bare: tuple[TrueSegment, ...]) -> None:
    other = AnnotatedImage(picture=donor().picture, ids=donor().ids, segments=bare)
    scene = host()
    assert all(paste(scene, seed, other) is scene for seed in range(5))

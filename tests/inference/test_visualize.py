import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lexiseg.core.structures import PanopticMap, Segment
from lexiseg.inference.labels import Wish, place_labels, shorten, text_size
from lexiseg.inference.visualize import GAP, READABLE, legend_entries, overlay, side_by_side


def scene(height, width, names=("cat", "sky"), score=0.9):
    """A picture cut into columns, one segment each; the last name is stuff, the last column void."""
    ids = np.arange(width) * (len(names) + 1) // max(width, 1) + 1
    ids[ids > len(names)] = 0
    segmentation = np.tile(ids.astype(np.int32), (height, 1))
    segments = tuple(
        Segment(
            id=i,
            class_id=i - 1,
            name=name,
            score=score,
            is_thing=i < len(names),
            area=int((segmentation == i).sum()),
            box=(0, 0, 1, 1),
        )
        for i, name in enumerate(names, start=1)
        if (segmentation == i).any()
    )
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return picture, PanopticMap(segmentation=segmentation, segments=segments)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (50, 20000), (20000, 50), (481, 479), (37, 91)])
def test_every_size_of_picture_is_drawn(size):
    picture, panoptic = scene(*size)
    bare, whole = overlay(picture, panoptic, legend=False), overlay(picture, panoptic)
    assert bare.mode == whole.mode == "RGB"
    assert max(bare.size) >= READABLE
    assert (bare.width % size[1], bare.height % size[0]) == (0, 0)
    assert whole.width * whole.height > bare.width * bare.height
    assert np.array_equal(np.asarray(whole)[: bare.height, : bare.width], np.asarray(bare))


def test_the_same_input_gives_the_same_drawing_and_keeps_the_input():
    picture, panoptic = scene(60, 80)
    before = picture.copy()
    first, second = overlay(picture, panoptic), overlay(picture, panoptic)
    assert np.array_equal(np.asarray(first), np.asarray(second))
    assert np.array_equal(picture, before)


def test_segments_are_tinted_and_void_is_grey():
    picture, panoptic = scene(600, 900)
    picture[:] = (40, 120, 200)
    drawn = np.asarray(overlay(picture, panoptic, legend=False)).astype(int)
    void, cat = drawn[5, 895], drawn[5, 100]
    assert np.ptp(void) == 0
    assert np.abs(cat - (40, 120, 200)).max() > 20


@pytest.mark.parametrize("name", ["红灯笼", "🦄", "קשת", "a\nb\tc", "x" * 10_000, "\u200b", "\ud800", "   "])
def test_no_word_breaks_the_drawing(name):
    picture, panoptic = scene(200, 300, names=(name, "sky"))
    assert overlay(picture, panoptic).width >= 480


def test_many_names_fit_into_the_legend():
    names = tuple(f"name {i}" for i in range(120))
    for size in ((300, 500), (500, 300)):
        picture, panoptic = scene(*size, names=names)
        drawn = overlay(picture, panoptic)
        assert max(drawn.size) < 6000


def test_an_empty_map_is_drawn():
    picture = np.zeros((40, 50, 3), np.uint8)
    panoptic = PanopticMap(segmentation=np.zeros((40, 50), np.int32))
    assert overlay(picture, panoptic).height > overlay(picture, panoptic, legend=False).height


def test_a_map_of_another_size_is_refused():
    picture, panoptic = scene(40, 50)
    with pytest.raises(ValueError, match=r"^the picture is 50 x 39 pixels, its map 50 x 40: "):
        overlay(picture[:-1], panoptic)
    with pytest.raises(ValueError, match="at least one pixel, got 0 x 40"):
        overlay(picture[:, :0], PanopticMap(segmentation=panoptic.segmentation[:, :0]))


def test_a_segment_of_one_pixel_survives_enlargement():
    picture, _ = scene(60, 60)
    segmentation = np.ones((60, 60), np.int32)
    segmentation[30, 30] = 2
    common = {"class_id": 0, "score": 0.5, "box": (0, 0, 1, 1)}
    segments = (
        Segment(id=1, name="sky", is_thing=False, area=3599, **common),
        Segment(id=2, name="star", is_thing=True, area=1, **common),
    )
    picture[:] = 128
    with_star = overlay(picture, PanopticMap(segmentation=segmentation, segments=segments))
    without = overlay(
        picture,
        PanopticMap(segmentation=np.ones((60, 60), np.int32), segments=segments),
    )
    centre = (slice(240, 248), slice(240, 248))
    assert not np.array_equal(np.asarray(with_star)[centre], np.asarray(without)[centre])


def test_the_legend_counts_and_puts_things_first():
    common = {"class_id": 0, "area": 1, "box": (0, 0, 1, 1)}
    segments = (
        Segment(id=1, name="sky", is_thing=False, score=0.99, **common),
        Segment(id=2, name="cat", is_thing=True, score=0.5, **common),
        Segment(id=3, name="dog", is_thing=True, score=0.6, **common),
        Segment(id=4, name="cat", is_thing=True, score=0.7, **common),
    )
    panoptic = PanopticMap(segmentation=np.zeros((2, 2), np.int32), segments=segments)
    entries = [(e.name, e.count, e.score) for e in legend_entries(panoptic)]
    assert entries == [("cat", 2, 0.7), ("dog", 1, 0.6), ("sky", 1, 0.99)]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    height=st.integers(1, 900),
    width=st.integers(1, 900),
    count=st.integers(1, 15),
)
def test_labels_never_overlap_nor_leave_the_picture(seed, height, width, count):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, count + 1, (4, 5)).astype(np.uint8)
    ids = np.asarray(Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST))
    sizes = {i: ((int(rng.integers(5, 160)), int(rng.integers(5, 40))),) for i in range(1, count)}
    wishes = [Wish(segment_id=i, sizes=size, may_stand_outside=i % 2 == 0) for i, size in sizes.items()]
    places = place_labels(ids.astype(np.int32), wishes, set(range(1, count, 2)))
    boxes = [(p.left, p.top, *sizes[p.segment_id][p.form]) for p in places]
    for left, top, w, h in boxes:
        assert left >= 0
        assert top >= 0
        assert left + w <= width
        assert top + h <= height
    for (ax, ay, aw, ah), (bx, by, bw, bh) in itertools.combinations(boxes, 2):
        assert ax + aw <= bx or bx + bw <= ax or ay + ah <= by or by + bh <= ay


def test_a_label_lies_deep_inside_its_segment():
    ids = np.zeros((300, 300), np.int32)
    ids[100:250, 50:260] = 1
    wish = Wish(segment_id=1, sizes=((60, 20),), may_stand_outside=False)
    (place,) = place_labels(ids, [wish], {1})
    assert abs(place.left + 30 - 155) < 35
    assert abs(place.top + 10 - 175) < 10


def test_a_small_thing_is_named_from_outside_and_small_stuff_in_the_legend_only():
    ids = np.zeros((300, 300), np.int32)
    ids[150:160, 150:160] = 1
    outside = Wish(segment_id=1, sizes=((60, 20),), may_stand_outside=True)
    (place,) = place_labels(ids, [outside], {1})
    assert place.top + 20 <= 150
    inside = Wish(segment_id=1, sizes=((60, 20),), may_stand_outside=False)
    assert place_labels(ids, [inside], set()) == []


@settings(max_examples=60, deadline=None)
@given(words=st.text(max_size=100), width=st.integers(60, 300))
def test_a_shortened_word_fits(words, width):
    line = shorten(words, 16, width)
    assert line
    assert len(line) == 4 or text_size(line, 16)[0] <= width


def test_drawings_side_by_side_share_their_colours():
    names = ("lamp", "flag", "car", "tree", "tiles", "stone wall", "boat", "kite", "owl", "sky")
    picture, truth = scene(600, 1100, names)
    picture[:] = 128
    lamp = PanopticMap(
        segmentation=np.where(truth.segmentation == 1, 1, 0).astype(np.int32), segments=truth.segments[:1]
    )

    sheet = np.asarray(side_by_side(picture, truth, lamp))

    assert sheet.shape[1] == 3 * 1100 + 2 * GAP
    first, second = (sheet[30, start + 10 : start + 90] for start in (1100 + GAP, 2 * (1100 + GAP)))
    assert np.array_equal(first, second)
    assert not np.array_equal(np.asarray(overlay(picture, lamp))[30, 10:90], second)  # alone it has another colour

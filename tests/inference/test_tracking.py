"""Ids that stay the same, on drawn walks: with true masks, and with those that the shipped model finds."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest

from lexiseg.core.structures import PanopticMap
from lexiseg.inference.predictor import load
from lexiseg.inference.tracking import MEMORY, Tracker
from walks import DrawnFrame, draw_walk, map_of

WALK = 100
"""Not one of the walks on which the thresholds were chosen."""


def squares(*places: tuple[int, str, int, int], size: tuple[int, int] = (40, 60)) -> PanopticMap:
    """Squares of ten pixels as things: id, name, top and left; one that is called sky is stuff."""
    ids = np.zeros(size, np.int32)
    for number, _, top, left in places:
        ids[top : top + 10, left : left + 10] = number
    return map_of(ids, {number: (name, name != "sky") for number, name, _, _ in places})


def numbers(tracker: Tracker, *maps: PanopticMap) -> list[list[int]]:
    """The ids of every map's segments, after a look at whether its pixels have them too."""
    found: list[list[int]] = []
    for panoptic in maps:
        followed = tracker.follow(panoptic)
        for before, after in zip(panoptic.segments, followed.segments, strict=True):
            same = (panoptic.segmentation == before.id) == (followed.segmentation == after.id)
            assert same.all()
        found.append([segment.id for segment in followed.segments])
    return found


def pairs_that_keep(maps: Iterable[PanopticMap], walk: Iterable[DrawnFrame]) -> tuple[int, int]:
    """Of true things that two consecutive frames both find, how many keep their id, and how many there are."""
    kept = total = 0
    tracker, before = Tracker(), {}
    for panoptic, frame in zip(maps, walk, strict=True):
        now = found_things(tracker.follow(panoptic), frame.truth)
        both = before.keys() & now.keys()
        kept += sum(before[thing] == now[thing] for thing in both)
        total += len(both)
        before = now
    return kept, total


def found_things(panoptic: PanopticMap, truth: PanopticMap) -> dict[int, int]:
    """The segment of each true thing that is found: of its name, with an IoU above one half."""
    found: dict[int, int] = {}
    for thing in truth.segments:
        for segment in panoptic.segments:
            common = np.count_nonzero((panoptic.segmentation == segment.id) & (truth.segmentation == thing.id))
            if thing.is_thing and segment.name == thing.name and 2 * common > thing.area + segment.area - common:
                found[thing.id] = segment.id
    return found


@pytest.fixture(scope="module")
def walk() -> list[DrawnFrame]:
    return draw_walk(WALK, num_things=6)


def test_with_true_masks_every_thing_keeps_its_id(walk: list[DrawnFrame], tell: Callable[[str], None]) -> None:
    shuffle = np.random.default_rng(0)

    def renumbered(truth: PanopticMap) -> PanopticMap:  # a model numbers every picture anew
        new = dict(zip((s.id for s in truth.segments), shuffle.permutation(len(truth.segments)) + 1, strict=True))
        ids = np.vectorize(lambda number: new.get(number, 0))(truth.segmentation)
        return map_of(ids, {int(new[s.id]): (s.name, s.is_thing) for s in truth.segments})

    kept, total = pairs_that_keep([renumbered(frame.truth) for frame in walk], walk)

    tell(f"tracking: with true masks {kept} of {total} things of two consecutive frames keep their id")
    assert total > 200
    assert kept == total


def test_what_the_shipped_model_finds_twice_keeps_its_id(walk: list[DrawnFrame], tell: Callable[[str], None]) -> None:
    results = load("storybook", device="cpu").segment_many([frame.picture for frame in walk], "storybook", batch_size=4)

    kept, total = pairs_that_keep((result.panoptic for result in results), walk)

    tell(f"tracking: as the shipped model finds them, {kept} of {total} keep their id")
    assert total > 100
    assert kept >= 0.95 * total


def test_two_of_one_name_that_cross_keep_their_ids() -> None:
    steps = range(0, 41, 2)
    crossing = [squares((1, "cat", 5, 5 + step), (2, "cat", 12, 45 - step)) for step in steps]

    assert numbers(Tracker(), *crossing) == [[1, 2]] * len(crossing)


def test_a_new_thing_never_has_an_id_that_was_used_before() -> None:
    alone, gone = squares((7, "cat", 5, 5)), squares()

    found = numbers(Tracker(), alone, *[gone] * (MEMORY + 1), alone, squares((7, "dog", 5, 5)))

    assert found == [[1], *[[]] * (MEMORY + 1), [2], [3]]


def test_a_thing_that_is_hidden_for_some_frames_is_remembered() -> None:
    shown, other = squares((4, "cat", 5, 5)), squares((4, "dog", 20, 5))

    assert numbers(Tracker(), shown, *[other] * MEMORY, shown) == [[1], *[[2]] * MEMORY, [1]]


def test_stuff_has_one_id_wherever_it_is() -> None:
    maps = [squares((3, "sky", 0, 0), (9, "cat", 20, 20)), squares((5, "cat", 20, 20)), squares((2, "sky", 30, 50))]

    first, second, third = numbers(Tracker(), *maps)

    assert (first, second, third) == ([1, 2], [2], [1])


def test_two_segments_of_one_stuff_have_two_ids() -> None:
    halves = squares((3, "sky", 0, 0), (9, "sky", 20, 20))

    assert numbers(Tracker(), halves, halves) == [[1, 2], [1, 2]]


def test_frames_of_another_size_have_no_thing_in_common() -> None:
    large, small = squares((1, "cat", 30, 45)), squares((1, "cat", 5, 5), size=(30, 30))
    tracker = Tracker()

    tracker.recall(large)
    tracker.recall(small)

    assert numbers(tracker, large, small, small) == [[2], [3], [3]]


def test_a_tracker_goes_on_where_another_has_stopped(walk: list[DrawnFrame]) -> None:
    whole, first, second = Tracker(), Tracker(), Tracker()
    expected = [whole.follow(frame.truth) for frame in walk[:20]]
    for frame in walk[:12]:
        second.recall(first.follow(frame.truth))

    found = [second.follow(frame.truth) for frame in walk[12:20]]

    for one, other in zip(found, expected[12:], strict=True):
        np.testing.assert_array_equal(one.segmentation, other.segmentation)
        assert one.segments == other.segments

"""Runs, compact numbers and measures of id maps, against what one would write first."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexiseg.core.errors import FormatError
from lexiseg.data.id_maps import MAX_ID, compact, load_ids, run_lengths, segments_of

SEEDS = st.integers(0, 2**32 - 1)


def coarse_map(seed: int) -> np.ndarray:
    """A map of a few wide segments, with ids of up to 24 bits or of few."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(0, 9, 2)
    names = rng.choice(rng.choice([7, MAX_ID]), 5, replace=False)
    return np.repeat(rng.choice(names, (height, width)), 3, axis=1).astype(np.int32)


@given(SEEDS)
def test_runs_spell_out_the_maps_that_they_were_cut_from(seed: int) -> None:
    one = coarse_map(seed)
    other = np.random.default_rng(seed).permuted(one)

    (first, second), lengths = run_lengths(one, other)

    assert (np.repeat(first, lengths) == one.ravel()).all()
    assert (np.repeat(second, lengths) == other.ravel()).all()


@given(SEEDS)
def test_no_two_neighbouring_runs_are_alike(seed: int) -> None:
    (values,), lengths = run_lengths(coarse_map(seed))

    assert (values[1:] != values[:-1]).all()
    assert (lengths > 0).all()


@given(SEEDS, st.booleans())
def test_compact_numbers_are_places_in_the_list(seed: int, many: bool) -> None:
    ids = coarse_map(seed)
    known = np.random.default_rng(seed).permutation(np.unique(ids))[: None if many else 2].tolist()

    places = compact(ids, known)

    assert places.tolist() == [[known.index(i) if i in known else -1 for i in row] for row in ids.tolist()]


@given(SEEDS)
def test_areas_and_boxes_are_those_of_the_pixels(seed: int) -> None:
    ids = coarse_map(seed)

    for name, (area, (x, y, width, height)) in segments_of(ids).items():
        rows, columns = (ids == name).nonzero()
        assert area == len(rows)
        assert (x, y) == (columns.min(), rows.min())
        assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)


def test_an_id_map_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ids.png")

    with pytest.raises(FormatError, match=r"ids\.png: this is no readable segmentation \(.*not a regular file\)"):
        load_ids(tmp_path / "ids.png")

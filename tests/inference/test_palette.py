import subprocess
import sys
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lexiseg.inference.palette import (
    ALIKE,
    LARGEST_PALETTE,
    NEAR,
    PALETTE_SIZE,
    _pairwise,
    at_lightness,
    name_colours,
    oklab,
    palette,
)


def test_a_name_has_one_colour_in_every_process():
    code = "from lexiseg.inference.palette import name_colours; print(name_colours(['cat'])['cat'])"
    results = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert results == {str(name_colours(["cat"])["cat"])}


def test_the_palette_has_no_colour_twice():
    assert len(set(palette())) == PALETTE_SIZE


def test_the_usual_palettes_colours_are_not_alike():
    assert _pairwise(palette())[~np.eye(PALETTE_SIZE, dtype=bool)].min() > ALIKE


def test_the_first_dozen_is_told_apart_by_every_eye():
    distances = _pairwise(palette()[:12])
    assert distances[~np.eye(12, dtype=bool)].min() >= NEAR


@settings(max_examples=50, deadline=None)
@given(names=st.lists(st.text(max_size=8), max_size=60))
def test_order_and_repeats_do_not_matter(names):
    assert name_colours(names) == name_colours([*reversed(names), *names])


@settings(max_examples=50, deadline=None)
@given(names=st.sets(st.text(max_size=8), min_size=2, max_size=PALETTE_SIZE))
def test_no_two_names_of_a_picture_share_a_colour(names):
    assert len(set(name_colours(names).values())) == len(names)


def test_a_few_names_stay_apart_whatever_they_are():
    for start in range(60):
        colours = list(name_colours(f"word {start + i}" for i in range(4)).values())
        assert _pairwise(colours)[~np.eye(4, dtype=bool)].min() >= NEAR


def test_more_names_than_colours_are_coloured():
    names = [f"name {i}" for i in range(200)]
    assert set(name_colours(names)) == set(names)


def test_oklab_knows_white_and_grey():
    lab = oklab(np.array([[1.0, 1.0, 1.0], [0.5, 0.5, 0.5]]))
    assert np.allclose(lab[0], [1, 0, 0], atol=1e-3)
    assert np.allclose(lab[1, 1:], 0, atol=1e-3)


def test_a_shade_has_the_lightness_that_was_asked_for():
    for colour in palette():
        for lightness in (0.3, 0.6, 0.95):
            lab = oklab(np.array([at_lightness(colour, lightness)]) / 255)
            assert abs(lab[0, 0] - lightness) < 0.02


def test_a_word_looks_alike_in_every_picture_of_the_same_words():
    asked = [f"word {i}" for i in range(24)]
    whole = name_colours(asked, asked)

    for start in range(0, 24, 6):
        shown = asked[start : start + 6]
        assert name_colours(shown, asked) == {name: whole[name] for name in shown}


def test_among_many_words_hardly_one_leaves_its_colour_and_none_is_taken_for_another(np_rng):
    asked = [f"word {i}" for i in range(90)]
    seen: dict[str, Counter] = {name: Counter() for name in asked}
    for _ in range(60):
        shown = np_rng.choice(asked, 8, replace=False).tolist()
        colours = name_colours(shown, asked)
        assert _pairwise(list(colours.values()))[~np.eye(8, dtype=bool)].min() >= ALIKE
        for name, colour in colours.items():
            seen[name][colour] += 1

    usual = sum(counts.most_common(1)[0][1] for counts in seen.values() if counts)
    assert usual > 0.85 * 60 * 8


def test_words_that_no_palette_can_hold_are_left_aside():
    asked = [f"word {i}" for i in range(LARGEST_PALETTE + 1)]
    assert name_colours(["sky"], asked) == name_colours(["sky"])

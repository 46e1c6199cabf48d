"""Every drawing works, varies, and stays as it is.

The hashes are golden: a change of the drawings changes the world on which the shipped CLIP was trained, so whoever
changes a hash here trains that CLIP again and ships the new weights with it.
"""

import functools
import hashlib

import numpy as np
import pytest

from lexiseg.storybook.drawings.pen import PATTERNS, Look, Pen, random_look
from lexiseg.storybook.roles import DRAWINGS, THINGS
from lexiseg.storybook.scene import sprite

RED, BLUE = (214, 58, 54), (70, 120, 204)

GOLDEN = {
    "cat": "f392ab8236120353",
    "snake": "e655f209b0db5ad5",
    "duck": "cb3ce9233a677da8",
    "person": "a1e67aab31ef9fdb",
    "flower": "37588e77d126154e",
    "car": "545fb6ecb87765d0",
    "castle": "6edd2a3812fc0f62",
    "apple": "644f19bda37fd771",
    "lamp": "99d2c6de790ba3c7",
    "guitar": "5b6e28bc268165a8",
}
"""One thing of each module: the hash of three sprites."""
ROUND = ("ball", "clock")
"""Discs whatever the seed, perhaps with bells: what varies is what is on them, and their pose."""


def look(pattern: str) -> Look:
    return Look(main=RED, second=BLUE, colour="red", pattern=pattern)


@functools.cache
def drawn(name: str, pattern: str, seed: int = 0) -> np.ndarray:
    """One thing at 120 pixels without a pose, before it is halved."""
    pen = Pen(120, look(pattern), np.random.default_rng(seed))
    DRAWINGS[name](pen)
    return pen.finish()


def digest(name: str) -> str:
    content = hashlib.sha256()
    for seed in range(3):
        rng = np.random.default_rng(seed)
        picture = sprite(rng, name, 60.0, random_look(rng))
        content.update(repr(picture.shape).encode() + picture.tobytes())
    return content.hexdigest()[:16]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_thing_draws_in_every_pattern(pattern: str):
    for name in THINGS:
        picture = drawn(name, pattern)
        visible = picture[..., 3] > 0

        assert picture.dtype == np.uint8, name
        assert max(picture.shape[:2]) >= 60, name
        assert visible.mean() > 0.2, name
        assert set(np.unique(picture[..., 3])) <= {0, 255}, name


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_main_colour_shows_on_every_thing(pattern: str):
    for name in THINGS:
        picture = drawn(name, pattern)
        share = (picture == (*RED, 255)).all(-1).sum() / (picture[..., 3] > 0).sum()

        assert share > 0.1, (name, share)


@pytest.mark.parametrize("pattern", PATTERNS[1:])
def test_a_pattern_changes_colours_and_no_shape(pattern: str):
    for name in THINGS:
        plain, patterned = drawn(name, "plain"), drawn(name, pattern)
        changed = (plain != patterned).any(-1)

        np.testing.assert_array_equal(plain[..., 3], patterned[..., 3], err_msg=name)
        assert changed.any(), name
        assert (plain[changed] == (*RED, 255)).all(), name


def test_no_two_seeds_draw_the_same_shape():
    for name in THINGS:
        masks = [drawn(name, "plain", seed)[..., 3] > 0 for seed in range(8)]
        different = {(mask.shape, mask.tobytes()) for mask in masks}

        assert name in ROUND or len(different) == 8, name


@pytest.mark.parametrize("name", ROUND)
def test_round_things_vary_in_their_pose_and_in_what_is_on_them(name: str):
    pictures = {drawn(name, "plain", seed).tobytes() for seed in range(8)}
    posed = [sprite(np.random.default_rng(seed), name, 60.0, look("plain"))[..., 3] >= 128 for seed in range(8)]

    assert len(pictures) >= 3
    assert len({(mask.shape, mask.tobytes()) for mask in posed}) == 8


@pytest.mark.parametrize(("name", "expected"), GOLDEN.items())
def test_the_drawings_have_not_changed(name: str, expected: str):
    assert digest(name) == expected

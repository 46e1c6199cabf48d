"""A picture is looked at once for any number of questions, and several pictures at once give the answers of one."""

import sys
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import tiny as networks
from lexiseg.core.errors import PictureError, VocabularyError
from lexiseg.inference.encoded import LOOK_AHEAD
from lexiseg.inference.predictor import Model
from lexiseg.inference.result import Result
from lexiseg.layers.ensemble import EnsembleConfig, GeometricConfig
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.models.crops import RegionConfig

SYSTEMS: dict[str, OpenVocabularySegmenter] = {
    "opsnet": networks.model(),
    "ovseg": networks.ovseg(regions=RegionConfig(min_object_prob=0.12)),  # which crops are seen depends on the words
    "fcclip": networks.fcclip(),
}
QUESTIONS = ("cat, dog, sky:stuff", "lamp|lantern", "cat, dog, sky:stuff", "tiger, sea:stuff, mountain:stuff")
WORDS = QUESTIONS[0]
SETTINGS: dict[str, Any] = {"score_threshold": 0.0, "negatives": False}


def untrained(system: str) -> Model:
    """A model that is not as sure of its masks as those of `tiny` are, with rules that let segments be."""
    kind = SYSTEMS[system]
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        network = type(kind)(kind.config)
    network.config = replace(kind.config, merge=replace(kind.config.merge, mask_threshold=0.0, overlap_threshold=0.0))
    return Model(network)


def drawn(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)


def same(one: Result, other: Result) -> bool:
    """Whether two answers agree in every pixel and, but for rounding, in every score."""
    pairs = zip(one.segments, other.segments, strict=True)
    return np.array_equal(one.segmentation, other.segmentation) and all(
        (a.name, a.area, a.box) == (b.name, b.area, b.box) and a.score == pytest.approx(b.score, abs=1e-5)
        for a, b in pairs
    )


def test_an_encoded_picture_keeps_its_own_pixels_alone() -> None:
    given = drawn(40, 60)
    left = weakref.ref(given)

    encoded = untrained("opsnet").encode_image(given)
    del given

    assert encoded.picture.shape == (40, 60, 3)
    assert left() is None


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_picture_is_looked_at_once_and_answers_are_those_of_segment(
    system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, picture = untrained(system), drawn(40, 60)
    expected = [model.segment(picture, words, with_instances=True, **SETTINGS) for words in QUESTIONS]
    best = model.find(picture, WORDS)

    encoded = model.encode_image(picture)
    monkeypatch.setattr(model.network, "propose", lambda *_: pytest.fail("the picture was looked at again"))
    found = [encoded.segment(words, with_instances=True, **SETTINGS) for words in QUESTIONS]

    assert encoded.size == (40, 60)
    assert repr(encoded).startswith("<EncodedImage of 60 x 40 pixels, by <Model model")
    assert all(result.segments for result in found)
    assert all(map(same, found, expected))
    assert [len(a.instances or ()) for a in found] == [len(b.instances or ()) for b in expected]
    assert same(encoded.find(WORDS), best)
    assert encoded.segment(WORDS, score_threshold=1.0).segments == ()
    with pytest.raises(ValueError, match="takes no other fusion"):
        encoded.segment(WORDS, fusion=GeometricConfig() if system == "ovseg" else EnsembleConfig())


@pytest.mark.parametrize("system", ["opsnet", "ovseg"])
def test_threads_may_ask_the_same_picture(system: str) -> None:
    model, picture = untrained(system), drawn(40, 60)
    expected = [model.segment(picture, words, **SETTINGS) for words in QUESTIONS]
    encoded, found = Model(model.network).encode_image(picture), dict[int, Result]()
    interval = sys.getswitchinterval()

    def ask(place: int) -> None:
        found[place] = encoded.segment(QUESTIONS[place % 4], **SETTINGS)

    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=ask, args=(place,)) for place in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    finally:
        sys.setswitchinterval(interval)

    assert len(found) == 8
    assert all(same(result, expected[place % 4]) for place, result in found.items())


def test_batches_give_the_answers_of_single_pictures_in_their_order(
    tiny: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [(40, 60), (60, 40), (40, 60), (28, 60), (60, 28), (60, 60), (60, 40), (40, 60), (40, 60)]
    pictures = [drawn(*size, seed=seed) for seed, size in enumerate(sizes)]
    settings = {**SETTINGS, "with_instances": True}
    expected = [tiny.segment(picture, WORDS, **settings) for picture in pictures]
    batches, encode = [], tiny.network.encode
    monkeypatch.setattr(tiny.network, "encode", lambda images: batches.append(len(images.frames)) or encode(images))
    bad: list[object] = []

    given = [*pictures[:2], "nowhere.png", *pictures[2:]]
    found = list(tiny.segment_many(given, WORDS, batch_size=3, on_error=lambda one, error: bad.append(one), **settings))

    assert all(map(same, found, expected))
    assert [len(one.instances or ()) for one in found] == [len(one.instances or ()) for one in expected]
    assert bad == ["nowhere.png"]
    assert sorted(batches) == [1, 1, 1, 3, 3]  # seven on a canvas of 64 x 64, one on 32 x 64 and one on 64 x 32
    early = tiny.segment_many(given, WORDS, batch_size=3, **settings)
    assert same(next(early), expected[0])
    assert same(next(early), expected[1])
    with pytest.raises(PictureError, match="does not exist"):
        next(early)
    with pytest.raises(ValueError, match="batch_size must be positive"):
        next(tiny.segment_many(pictures, WORDS, batch_size=0))


def test_an_endless_list_is_read_a_few_batches_ahead(tiny: Model) -> None:
    taken: list[int] = []

    def endless() -> Iterator[np.ndarray]:
        yield drawn(60, 28)  # no other picture of its canvas will come
        while True:
            taken.append(1)
            yield drawn(40, 60)

    stream = tiny.segment_many(endless(), WORDS, batch_size=2)
    assert next(stream).picture.shape == (60, 28, 3)
    assert len(taken) < LOOK_AHEAD * 2
    for _ in range(20):
        next(stream)
    assert len(taken) < 20 + LOOK_AHEAD * 2


@pytest.mark.parametrize("system", SYSTEMS)
def test_paths_are_found_by_the_names_of_inner_nodes_where_that_is_asked_for(system: str) -> None:
    model, picture = untrained(system), drawn(40, 60)
    places = [{"name": "cat", "path": ["thing", "pet"]}, {"name": "dog", "path": ["thing", "pet"]}]
    words = [*places, {"name": "sky", "is_thing": False, "path": ["stuff"]}]

    by_sums = model.segment(picture, words, **SETTINGS)
    by_names = model.segment(picture, words, tree=True, **SETTINGS)
    (again,) = model.segment_many([picture], words, tree=True, **SETTINGS)

    assert same(by_sums, by_names)
    assert [segment.path for segment in again.segments] == [segment.path for segment in by_names.segments]
    ways = {("thing", "pet", "cat"), ("thing", "pet", "dog"), ("stuff", "sky")}
    assert by_names.segments
    for one, other in zip(by_sums.segments, by_names.segments, strict=True):
        assert {tuple(step.name for step in segment.path) for segment in (one, other)} <= ways
        assert one.path[0].score != other.path[0].score
    with pytest.raises(VocabularyError, match="needs words with places in one"):
        model.segment(picture, WORDS, tree=True)

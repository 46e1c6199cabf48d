"""Kept pictures: bounded by bytes, the least recently used go first."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lexiseg.inference.predictor import Model
from lexiseg.server import cache as cache_module
from lexiseg.server.cache import HANDLE, Cache, Kept, bytes_of
from lexiseg.server.errors import RequestError


@pytest.fixture
def picture(tiny: Model) -> Any:
    return tiny.encode_image(np.zeros((64, 48, 3), np.uint8))


def kept(image: Any) -> Kept:
    return Kept(image=image, seconds=0.1)


def test_pixels_masks_and_features_count_each_storage_once(picture: Any) -> None:
    encoded = picture.encoded
    held = [encoded.proposals.mask_logits, encoded.proposals.query_embed, encoded.iou_scores]
    held += [encoded.regions.class_embed, encoded.regions.clip_embed]

    size = bytes_of(picture)

    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in held}
    assert size == 64 * 48 * 3 + sum(storages.values())


def test_what_a_model_remembers_of_crops_counts_too() -> None:
    from lexiseg.inference.predictor import load

    image = load("tiny-ovseg", device="cpu").encode_image(np.full((64, 64, 3), 200, np.uint8))
    before = bytes_of(image)

    image.segment("cat, dog", score_threshold=0.0)

    assert bytes_of(image) > before


def test_handles_are_128_random_bits(picture: Any) -> None:
    cache = Cache(10 * bytes_of(picture))

    handles = {cache.put(kept(picture)) for _ in range(8)}

    assert len(handles) == len(cache) == 8
    assert all(re.fullmatch(HANDLE, handle) for handle in handles)


def test_the_least_recently_used_goes_first(picture: Any) -> None:
    cache = Cache(2 * bytes_of(picture))
    first, second = (cache.put(kept(picture)) for _ in range(2))
    cache.get(first)

    third = cache.put(kept(picture))

    assert cache.get(first)
    assert cache.get(third)
    assert cache.bytes == 2 * bytes_of(picture)
    with pytest.raises(RequestError, match="not kept any more") as gone:
        cache.get(second)
    with pytest.raises(RequestError) as guessed:
        cache.get("0" * 32)
    assert (gone.value.status, gone.value.sentence) == (guessed.value.status, guessed.value.sentence)
    assert gone.value.status == 410


def test_pictures_are_counted_too(picture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "MOST_PICTURES", 2)
    cache = Cache(9 * bytes_of(picture))

    first, *_ = [cache.put(kept(picture)) for _ in range(3)]

    assert (len(cache), cache.bytes) == (2, 2 * bytes_of(picture))
    with pytest.raises(RequestError, match="not kept any more"):
        cache.get(first)


def test_a_picture_that_does_not_fit_alone_is_refused_and_leaves_the_others(picture: Any, tiny: Model) -> None:
    cache = Cache(bytes_of(picture))
    small = cache.put(kept(picture))
    large = tiny.encode_image(np.zeros((400, 300, 3), np.uint8))

    with pytest.raises(RequestError, match="smaller") as refused:
        cache.put(kept(large))

    assert refused.value.status == 413
    assert cache.get(small)
    assert cache.bytes == bytes_of(picture)


def test_what_grows_with_questions_is_counted_anew(picture: Any) -> None:
    cache = Cache(2 * bytes_of(picture))
    first, second = (cache.put(kept(picture)) for _ in range(2))
    grown = replace(picture, encoded=replace(picture.encoded, iou_scores=torch.zeros(1, 4_096)))
    cache._kept[second] = kept(grown)

    cache.measure(second)
    cache.measure("0" * 32)  # one that is gone is nothing to measure

    assert (len(cache), cache.bytes) == (1, bytes_of(grown))
    with pytest.raises(RequestError):
        cache.get(first)

"""Pairs as a training sees them: through windows that are drawn anew in every epoch."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from drawn_pairs import BACKGROUND, SIZE, write_pairs
from lexiseg.core.errors import FormatError
from lexiseg.data.pairs.format import PairDataset
from lexiseg.training.clip.pair_batches import CroppedPairs, draw_window, pair_batches


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> PairDataset:
    return write_pairs(tmp_path_factory.mktemp("pairs") / "pairs")


def test_a_whole_window_shows_the_stored_crop_and_mask(pairs: PairDataset) -> None:
    crop, mask, word = CroppedPairs(pairs, SIZE, scale_range=(1.0, 1.0), seed=0)[(0, 5)]

    assert np.array_equal((crop * 255).round().permute(1, 2, 0).numpy(), pairs[5].crop)
    assert np.array_equal(mask.numpy(), pairs[5].mask)
    assert pairs.words[word] == pairs[5].word


def test_after_a_random_window_the_background_is_still_where_the_mask_says(pairs: PairDataset) -> None:
    views = CroppedPairs(pairs, 64, scale_range=(0.5, 0.6), seed=3)
    fill = torch.tensor(BACKGROUND).view(3, 1, 1) / 255

    for number in range(len(pairs)):
        crop, mask, _ = views[(0, number)]
        # bicubic interpolation reaches two of the stored pixels across an edge: up to eight of the enlarged ones
        near = torch.nn.functional.max_pool2d(mask[None, None].float(), 17, stride=1, padding=8)[0, 0] > 0
        far_inside = torch.nn.functional.max_pool2d(1 - mask[None, None].float(), 17, stride=1, padding=8)[0, 0] == 0

        torch.testing.assert_close(crop * ~near, fill * ~near, atol=1e-5, rtol=0)
        assert ((crop - fill).abs().amax(0)[far_inside] > 0.1).all()
        assert crop.shape == (3, 64, 64)


def test_a_stored_mask_without_a_pixel_is_named(pairs: PairDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    read = PairDataset.__getitem__
    monkeypatch.setattr(
        PairDataset, "__getitem__", lambda self, index: replace(read(self, index), mask=np.zeros((SIZE, SIZE), bool))
    )

    with pytest.raises(FormatError, match=r"pair 5 \('dog' of '5\.png'\) has an empty mask"):
        CroppedPairs(pairs, SIZE, scale_range=(0.9, 1.0), seed=0)[(0, 5)]


def test_every_epoch_draws_other_windows_and_the_same_key_the_same_one(pairs: PairDataset) -> None:
    views = CroppedPairs(pairs, SIZE, scale_range=(0.5, 0.9), seed=0)
    again = CroppedPairs(pairs, SIZE, scale_range=(0.5, 0.9), seed=0)
    other = CroppedPairs(pairs, SIZE, scale_range=(0.5, 0.9), seed=1)

    assert torch.equal(views[(0, 1)][0], again[(0, 1)][0])
    assert not torch.equal(views[(0, 1)][0], views[(1, 1)][0])
    assert not torch.equal(views[(0, 1)][0], other[(0, 1)][0])


def test_batches_go_on_where_a_run_stopped(pairs: PairDataset) -> None:
    views = CroppedPairs(pairs, SIZE, scale_range=(0.9, 1.0), seed=0)
    whole = list(islice(pair_batches(views, 5, seed=0, start=0, workers=0), 8))
    rest = list(islice(pair_batches(views, 5, seed=0, start=3, workers=0), 5))

    for one, other in zip(whole[3:], rest, strict=True):
        assert torch.equal(one.crops, other.crops)
        assert torch.equal(one.masks, other.masks)
        assert torch.equal(one.word_ids, other.word_ids)


@given(seed=st.integers(0, 2**32), low=st.floats(0.05, 1.0), side=st.integers(8, 300))
def test_windows_lie_inside_and_have_the_asked_area_and_shape(seed: int, low: float, side: int) -> None:
    rows, columns = draw_window(side, (low, 1.0), torch.Generator().manual_seed(seed))

    height, width = rows.stop - rows.start, columns.stop - columns.start
    slack = 2 / side  # rounding to whole pixels
    assert 0 <= rows.start <= rows.stop <= side
    assert 0 <= columns.start <= columns.stop <= side
    assert height * width >= (low - slack) * side**2 - side
    assert max(height, width) - 1 <= 4 / 3 * (min(height, width) + 1)

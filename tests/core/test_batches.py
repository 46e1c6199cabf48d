import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from lexiseg.core.batches import to_image_batch


@given(
    sizes=st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)), min_size=1, max_size=3),
    stride=st.sampled_from([1, 8, 32]),
    seed=st.integers(0, 99),
)
def test_every_picture_lies_on_one_canvas_and_finds_its_way_back(
    sizes: list[tuple[int, int]], stride: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pictures = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]

    batch = to_image_batch(pictures, longest=64, stride=stride)

    height, width = batch.pixel_values.shape[-2:]
    assert height % stride == 0
    assert width % stride == 0
    assert batch.pixel_values.min() >= 0
    assert batch.pixel_values.max() <= 1
    for frame, size, values in zip(batch.frames, sizes, batch.pixel_values, strict=True):
        assert frame.original == size
        assert frame.padded == (height, width)
        assert max(frame.resized) == 64
        assert frame.leave(values).shape == (3, *size)
        assert values[:, frame.resized[0] :].abs().sum() == 0
        assert values[:, :, frame.resized[1] :].abs().sum() == 0


def test_pixels_that_need_no_resizing_come_back_exactly(np_rng: np.random.Generator) -> None:
    wide = np_rng.integers(0, 256, (30, 64, 3), dtype=np.uint8)
    tall = np_rng.integers(0, 256, (64, 20, 3), dtype=np.uint8)

    batch = to_image_batch([wide, tall], longest=64)

    assert batch.pixel_values.shape == (2, 3, 64, 64)
    for picture, frame, values in zip((wide, tall), batch.frames, batch.pixel_values, strict=True):
        back = (frame.leave(values) * 255).round().to(torch.uint8)
        assert np.array_equal(back.permute(1, 2, 0).numpy(), picture)


def test_a_picture_alone_equals_itself_in_company(np_rng: np.random.Generator) -> None:
    wide = np_rng.integers(0, 256, (40, 100, 3), dtype=np.uint8)
    tall = np_rng.integers(0, 256, (100, 30, 3), dtype=np.uint8)

    alone = to_image_batch([wide], longest=64).pixel_values[0]
    together = to_image_batch([wide, tall], longest=64).pixel_values[0]

    assert torch.equal(together[:, : alone.shape[1], : alone.shape[2]], alone)


def test_read_only_and_flipped_arrays_are_left_alone(np_rng: np.random.Generator) -> None:
    picture = np_rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    picture.flags.writeable = False

    batch = to_image_batch([picture, picture[::-1]], longest=32)

    assert torch.allclose(batch.pixel_values[0].flip(1), batch.pixel_values[1], atol=1e-6)


@pytest.mark.parametrize(("shape", "longest"), [((700, 600), 96), ((300, 1800), 500), ((300, 1800), 2000)])
def test_large_pictures_are_resized_as_if_at_once(
    np_rng: np.random.Generator, shape: tuple[int, int], longest: int
) -> None:
    picture = np_rng.integers(0, 256, (*shape, 3), dtype=np.uint8)

    batch = to_image_batch([picture], longest=longest)

    height, width = batch.frames[0].resized
    whole = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
    whole = F.interpolate(whole, (height, width), mode="bilinear", antialias=True)[0]
    assert torch.equal(batch.pixel_values[0, :, :height, :width], whole.clamp(0, 1))


def test_very_long_pictures_keep_at_least_one_row() -> None:
    batch = to_image_batch([np.full((50, 20_000, 3), 255, np.uint8)], longest=64)

    assert batch.frames[0].resized == (1, 64)
    assert batch.pixel_values[0, :, 0].min() > 0.99


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        to_image_batch([], longest=64)

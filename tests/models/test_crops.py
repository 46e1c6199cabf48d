from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.frames import Frame
from lexiseg.core.structures import ImageBatch
from lexiseg.encoders.colours import CLIP
from lexiseg.models.crops import RegionConfig, cut_region, cut_regions

SIZE = 16
PICTURE = torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(0))


def box_mask(top: int, left: int, bottom: int, right: int) -> Tensor:
    mask = torch.zeros(24, 32)
    mask[top:bottom, left:right] = 1
    return mask


def cut(mask: Tensor, **config: object) -> tuple[Tensor, Tensor]:
    found = cut_region(PICTURE, mask, RegionConfig(**config), SIZE)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_a_crop_is_the_tight_box_of_the_mask() -> None:
    crop, mask = cut(box_mask(4, 6, 20, 22))
    assert torch.equal(crop, PICTURE[:, 4:20, 6:22])  # 16 x 16 pixels need no resizing
    assert mask.all()


def test_the_background_of_the_box_is_filled() -> None:
    mask = box_mask(4, 6, 20, 22)
    mask[4:12, 6:14] = 0
    hole = torch.zeros(16, 16, dtype=torch.bool)
    hole[:8, :8] = True
    inside = PICTURE[:, 4:20, 6:22]
    mean = torch.tensor(CLIP.mean)[:, None].expand(3, 64)
    for fill, expected in (("mean", mean), ("zero", torch.zeros(3, 64)), ("keep", inside[:, hole])):
        crop, seen = cut(mask, fill=fill)
        assert torch.equal(seen, ~hole)
        torch.testing.assert_close(crop[:, hole], expected)
        torch.testing.assert_close(crop[:, ~hole], inside[:, ~hole])


def test_a_soft_fill_mixes_by_probability() -> None:
    probs = box_mask(4, 6, 20, 22) * 0.75
    crop, mask = cut(probs, fill="soft")
    mean = torch.tensor(CLIP.mean)[:, None, None]
    torch.testing.assert_close(crop, PICTURE[:, 4:20, 6:22] * 0.75 + mean * 0.25)
    assert mask.all()


def test_the_threshold_decides_what_belongs_to_the_region() -> None:
    probs = torch.full((24, 32), 0.3)
    probs[4:20, 6:22] = 0.45
    assert cut_region(PICTURE, probs, RegionConfig(mask_threshold=0.5), SIZE) is None
    crop, _ = cut(probs, mask_threshold=0.4)
    assert torch.equal(crop, PICTURE[:, 4:20, 6:22])


def test_the_whole_picture_is_shown_where_the_extent_says_so() -> None:
    mask = box_mask(0, 0, 12, 16)
    crop, seen = cut(mask, extent="picture", fill="zero")
    assert torch.equal(seen, torch.nn.functional.interpolate(mask[None, None], (SIZE, SIZE))[0, 0] > 0)
    assert (crop[:, :8, :8] > 0).any()
    assert (crop[:, 10:, 10:] == 0).all()


@pytest.mark.parametrize("resampling", ["bicubic", "antialiased", "roi_align"])
def test_one_pixel_and_a_mask_that_touches_every_edge_make_crops(resampling: str) -> None:
    one = box_mask(7, 9, 8, 10)
    crop, mask = cut(one, resampling=resampling)
    torch.testing.assert_close(crop, PICTURE[:, 7, 9, None, None].expand(3, SIZE, SIZE))
    assert mask.all()
    frame = torch.zeros(24, 32)
    frame[[0, -1]] = 1
    frame[:, [0, -1]] = 1
    crop, mask = cut(frame, resampling=resampling)
    assert crop.shape == (3, SIZE, SIZE)
    assert mask[0].all()
    assert not mask[8, 8]


def test_roi_align_gives_a_constant_back_and_stays_in_range() -> None:
    crop, _ = cut(box_mask(1, 1, 22, 29), resampling="roi_align", fill="keep")
    assert crop.min() >= 0
    assert crop.max() <= 1
    flat = cut_region(torch.full((3, 24, 32), 0.25), box_mask(3, 3, 9, 20), RegionConfig(resampling="roi_align"), SIZE)
    assert flat is not None
    torch.testing.assert_close(flat[0], torch.full((3, SIZE, SIZE), 0.25))


def batch() -> tuple[ImageBatch, Tensor]:
    """Two pictures on one canvas, three proposals each; the second of the first picture is empty."""
    frame = Frame(original=(24, 32), resized=(24, 32), padded=(32, 32))
    pixels = torch.zeros(2, 3, 32, 32)
    pixels[:, :, :24] = PICTURE
    pixels[:, :, 24:] = 7.0  # padding must never be seen
    logits = torch.full((2, 3, 8, 8), -9.0)
    logits[:, 0, 1:5, 1:6] = 9.0
    logits[1, 1, 4:8, :] = 9.0  # reaches into the padding
    logits[:, 2, :2, 3:7] = 9.0
    return ImageBatch(pixel_values=pixels, frames=(frame, frame)), logits


def test_passes_are_bounded_and_change_nothing() -> None:
    images, logits = batch()
    whole = list(cut_regions(images, logits, RegionConfig(), SIZE))
    assert [len(crops.pixel_values) for crops in whole] == [5]
    parts = list(cut_regions(images, logits, RegionConfig(crops_per_pass=2), SIZE))
    assert [len(crops.pixel_values) for crops in parts] == [2, 2, 1]
    for field in ("pixel_values", "masks", "images", "queries"):
        assert torch.equal(torch.cat([getattr(crops, field) for crops in parts]), getattr(whole[0], field))
    assert whole[0].images.tolist() == [0, 0, 1, 1, 1]
    assert whole[0].queries.tolist() == [0, 2, 0, 1, 2]
    assert whole[0].pixel_values.max() < 2  # not the padding; bicubic overshoots


def test_unwanted_proposals_are_not_cut() -> None:
    images, logits = batch()
    wanted = torch.tensor([[False, True, True], [False, False, True]])
    (crops,) = cut_regions(images, logits, RegionConfig(), SIZE, wanted=wanted)
    assert list(zip(crops.images.tolist(), crops.queries.tolist(), strict=True)) == [(0, 2), (1, 2)]
    assert list(cut_regions(images, logits, RegionConfig(), SIZE, wanted=torch.zeros(2, 3, dtype=torch.bool))) == []


def plainly_cut(images: ImageBatch, logits: Tensor, config: RegionConfig) -> list[tuple[Tensor, Tensor, int, int]]:
    """Every mask brought to the whole picture, thresholded and cut out, with nothing saved."""
    found = []
    for image, frame in enumerate(images.frames):
        height, width = frame.resized
        picture = images.pixel_values[image, :, :height, :width]
        for query, mask_logits in enumerate(logits[image]):
            full = F.interpolate(mask_logits[None, None].float(), frame.padded, mode="bilinear", align_corners=False)
            probs = full[0, 0, :height, :width].sigmoid()
            mask = probs > config.mask_threshold
            if not mask.any():
                continue
            rows, columns = mask.any(1).nonzero().flatten().tolist(), mask.any(0).nonzero().flatten().tolist()
            top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
            if config.extent == "picture":
                top, bottom, left, right = 0, height, 0, width
            inside, weights = mask[top:bottom, left:right], probs[top:bottom, left:right]
            mean, region = torch.tensor(CLIP.mean)[:, None, None], picture[:, top:bottom, left:right]
            region = {
                "keep": region,
                "zero": region * inside,
                "mean": torch.where(inside, region, mean),
                "soft": region * weights + mean * (1 - weights),
            }[config.fill]
            crop = F.interpolate(region[None], (SIZE, SIZE), mode="bicubic", align_corners=False)[0]
            square = F.interpolate(inside[None, None].float(), (SIZE, SIZE), mode="nearest")[0, 0] > 0
            found.append((crop, square, image, query))
    return found


def random_masks(rng: torch.Generator, height: int, width: int) -> Tensor:
    """Fourteen for each of two pictures: from smooth blobs to noise, near the threshold, single cells, edges, empty."""
    masks = []
    for _ in range(2):
        grids = [torch.randn(1, 1, n, n, generator=rng) * 6 - 6 for n in (2, 3, 4, 6, 9, 14)]
        masks += [F.interpolate(grid, (height, width), mode="bicubic")[0, 0] for grid in grids]
        masks += [torch.randn(height, width, generator=rng), torch.randn(height, width, generator=rng) * 1e-5]
        for row, column in ((0, 0), (height - 1, width - 1), (height // 2, 1)):
            single = torch.full((height, width), -8.0)
            single[row, column] = 8.0
            masks.append(single)
        border = torch.full((height, width), -8.0)
        border[[0, -1]] = border[:, [0, -1]] = 3.0
        masks += [border, torch.full((height, width), -8.0), torch.zeros(height, width)]
    return torch.stack(masks).view(2, -1, height, width)


@pytest.mark.parametrize(
    ("dtype", "config"),
    [
        (torch.bfloat16, {}),
        (torch.float32, {"fill": "soft", "mask_threshold": 0.35}),
        (torch.float32, {"fill": "zero", "extent": "picture"}),
    ],
)
@pytest.mark.parametrize(
    ("canvas", "stride"),
    [((96, 160), 4), ((256, 128), 4), ((96, 192), 1), ((160, 160), 8), ((96, 192), 3), ((64, 96), 4), ((32, 96), 2)],
)
def test_crops_are_those_of_masks_on_the_whole_picture_to_the_last_bit(
    rng: torch.Generator, canvas: tuple[int, int], stride: int, dtype: torch.dtype, config: dict[str, Any]
) -> None:
    settings = RegionConfig(crops_per_pass=100, **config)
    height, width = canvas
    frames = tuple(
        Frame(original=resized, resized=resized, padded=canvas) for resized in (canvas, (height - 27, width - 13))
    )
    images = ImageBatch(pixel_values=torch.rand(2, 3, *canvas, generator=rng), frames=frames)
    logits = random_masks(rng, height // stride, width // stride).to(dtype)
    expected = plainly_cut(images, logits, settings)
    assert 15 <= len(expected) < 28  # some are empty or lie in the padding
    (crops,) = cut_regions(images, logits, settings, SIZE)
    assert list(zip(crops.images.tolist(), crops.queries.tolist(), strict=True)) == [
        (image, query) for _, _, image, query in expected
    ]
    assert torch.equal(crops.masks, torch.stack([mask for _, mask, _, _ in expected]))
    assert torch.equal(crops.pixel_values, torch.stack([crop for crop, _, _, _ in expected]))


@pytest.mark.parametrize("wrong", [{"mask_threshold": 1.5}, {"min_object_prob": -0.1}, {"crops_per_pass": 0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RegionConfig(**wrong)  # type: ignore[arg-type]

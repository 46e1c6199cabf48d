import colorsys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lexiseg.data.samples.colour_jitter import ColourChange, change_colours, draw_colours

UNIT = st.floats(0, 1, width=32)


@given(st.tuples(UNIT, UNIT, UNIT), st.floats(0.5, 1.5), st.floats(-0.1, 0.1))
def test_saturation_and_hue_change_as_in_pythons_own_hsv(
    colour: tuple[float, float, float], saturation: float, hue: float
) -> None:
    h, s, v = colorsys.rgb_to_hsv(*colour)
    expected = colorsys.hsv_to_rgb((h + hue) % 1, min(1, s * saturation), v)

    pixel = torch.tensor(colour).view(3, 1, 1)
    found = change_colours(pixel, ColourChange(saturation=saturation, hue=hue)).flatten().tolist()

    assert found == pytest.approx(expected, abs=2e-5)


def test_no_change_gives_back_the_picture_itself(rng: torch.Generator) -> None:
    pixels = torch.rand(3, 5, 7, generator=rng)
    assert change_colours(pixels, ColourChange()) is pixels


def test_brightness_is_added_and_contrast_multiplies_before_or_behind_the_hue() -> None:
    grey = torch.full((3, 2, 2), 0.5)
    red = torch.tensor([0.8, 0.2, 0.2]).view(3, 1, 1)

    assert change_colours(grey, ColourChange(brightness=0.1)).unique().tolist() == pytest.approx([0.6])
    assert change_colours(grey, ColourChange(contrast=1.5)).unique().tolist() == pytest.approx([0.75])
    early = change_colours(red, ColourChange(contrast=1.5, saturation=0.5, contrast_first=True))
    late = change_colours(red, ColourChange(contrast=1.5, saturation=0.5, contrast_first=False))
    assert early.flatten().tolist() == pytest.approx([1.0, 0.65, 0.65])  # 1.2 was clipped to 1 first
    assert late.flatten().tolist() == pytest.approx([1.0, 0.75, 0.75])


def test_each_change_happens_half_the_time_within_its_bounds_and_pixels_stay_in_range(rng: torch.Generator) -> None:
    changes = [draw_colours(rng) for _ in range(400)]
    pixels = torch.rand(3, 8, 8, generator=rng)

    for field, neutral, low, high in (
        ("brightness", 0, -32 / 255, 32 / 255),
        ("contrast", 1, 0.5, 1.5),
        ("saturation", 1, 0.5, 1.5),
        ("hue", 0, -0.1, 0.1),
        ("contrast_first", True, False, True),
    ):
        values = [getattr(change, field) for change in changes]
        assert low <= min(values) < neutral <= max(values) <= high
        assert 0.4 < sum(value != neutral for value in values) / len(values) < 0.6
    for change in changes[:50]:
        changed = change_colours(pixels, change)
        assert 0 <= changed.min() <= changed.max() <= 1


def test_the_same_generator_draws_the_same_change() -> None:
    one, other = (draw_colours(torch.Generator().manual_seed(3)) for _ in range(2))
    assert one == other

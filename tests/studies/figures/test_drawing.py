"""Marks on a sheet, as pixels and as SVG."""

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lexiseg.inference.labels import text_size
from lexiseg.inference.visualize import PAPER
from lexiseg.studies.figures.drawing import Box, Dot, Drawing, Photo, Stroke, Text, number, ticks, tint, wrapped

RED = (200, 30, 30)
SVG = "{http://www.w3.org/2000/svg}"


def sheet(*marks: Box | Stroke | Dot | Text | Photo) -> Drawing:
    return Drawing(width=80, height=60, marks=marks)


def test_a_box_is_painted_where_it_says_and_nowhere_else() -> None:
    pixels = np.asarray(sheet(Box(left=20, top=10, width=30, height=20, fill=RED)).picture())

    assert pixels.shape == (60, 80, 3)
    is_red = (pixels == RED).all(-1)
    rows, columns = np.flatnonzero(is_red.any(1)), np.flatnonzero(is_red.any(0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (10, 29, 20, 49)
    assert (pixels[~is_red] == PAPER).all()


def test_a_translucent_box_lets_the_paper_through() -> None:
    pixels = np.asarray(sheet(Box(left=0, top=0, width=80, height=60, fill=(0, 0, 0), opacity=0.5)).picture())

    assert np.abs(pixels[30, 40].astype(int) - np.array(PAPER) // 2).max() <= 1


def test_every_mark_is_an_element_of_valid_xml_without_scripts_or_links() -> None:
    photo = np.full((4, 6, 3), 90, np.uint8)
    drawing = sheet(
        Box(left=1, top=1, width=5, height=5, fill=RED, radius=2),
        Stroke(points=((0, 0), (10, 10)), is_dashed=True),
        Stroke(points=((0, 0), (10, 10), (0, 10)), fill_opacity=0.3),
        Dot(x=9, y=9, radius=3, fill=RED),
        Text(x=5, y=5, words="<b>cats & dogs</b>\x07", is_turned=True),
        Photo(left=0, top=0, width=30, height=20, pixels=photo),
    )

    root = ET.fromstring(drawing.svg())
    kinds = [element.tag.removeprefix(SVG) for element in root.iter()]
    assert kinds == ["svg", "rect", "rect", "polyline", "polyline", "circle", "text", "image"]
    assert root.find(f"{SVG}text").text == "<b>cats & dogs</b> "  # type: ignore[union-attr]
    (href,) = [element.get("href") for element in root.iter() if element.get("href")]
    assert href is not None
    assert href.startswith("data:image/png;base64,")


def test_text_stands_at_its_start_its_middle_or_its_end_and_can_be_turned() -> None:
    def extent(text: Text) -> tuple[int, int, int, int]:
        dark = np.asarray(sheet(text).picture().convert("L")) < 150
        rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
        return int(columns[0]), int(columns[-1]), int(rows[0]), int(rows[-1])

    start, middle, end = (extent(Text(x=40, y=30, words="mmm", anchor=a)) for a in ("start", "middle", "end"))
    assert 39 <= start[0] <= 42
    assert abs(middle[0] + middle[1] - 80) <= 2
    assert 38 <= end[1] <= 41
    left, right, top, bottom = extent(Text(x=40, y=30, words="mmm", anchor="middle", is_turned=True))
    assert right - left < bottom - top
    assert abs(top + bottom - 60) <= 2


def test_the_same_marks_are_the_same_bytes(tmp_path: Path) -> None:
    drawing = sheet(Text(x=5, y=20, words="owl"), Dot(x=40, y=40, radius=5, fill=RED))

    assert drawing.write(tmp_path / "one") == ("one.png", "one.svg")
    drawing.write(tmp_path / "deep" / "other")
    for ending in (".png", ".svg"):
        one = (tmp_path / "one").with_suffix(ending).read_bytes()
        assert one == (tmp_path / "deep" / "other").with_suffix(ending).read_bytes()
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.size == (80, 60)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 12.3, (0, 2.5, 5, 7.5, 10, 12.5)),
        (40, 51, (40, 42.5, 45, 47.5, 50, 52.5)),
        (-0.6, 1, (-1, -0.5, 0, 0.5, 1)),
        (0, 100, (0, 20, 40, 60, 80, 100)),
        (3, 3, (3, 3.2, 3.4, 3.6, 3.8, 4)),
    ],
)
def test_ticks_are_round_and_enclose_what_is_shown(low: float, high: float, expected: tuple[float, ...]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_ticks_are_few_for_every_span() -> None:
    for low, high in np.random.default_rng(0).normal(0, 300, (200, 2)):
        found = ticks(low, max(low + 1e-3, high))
        assert 2 <= len(found) <= 6
        assert found[0] <= low + 1e-6
        assert found[-1] >= high - 1e-6


def test_lines_of_a_paragraph_fit() -> None:
    lines = wrapped("every owl in the wood hears what the others say", 13, 90)

    assert " ".join(lines) == "every owl in the wood hears what the others say"
    assert all(text_size(line, 13)[0] <= 90 for line in lines)
    assert wrapped("incomprehensibilities", 13, 20) == ["incomprehensibilities"]


def test_numbers_have_a_real_minus_sign_and_no_needless_zeros() -> None:
    assert [number(value) for value in (-0.5, 0.0, 12.50, 100)] == ["\u22120.5", "0", "12.5", "100"]


def test_a_tint_is_lighter_and_keeps_its_hue() -> None:
    light = tint(RED, 0.9)

    assert light[0] > light[1] == pytest.approx(light[2], abs=12)
    assert min(light) > 180

"""Charts and rows of pictures."""

import xml.etree.ElementTree as ET
from collections.abc import Callable

import numpy as np
import pytest

from lexiseg.inference.labels import text_size
from lexiseg.inference.palette import oklab
from lexiseg.studies.figures.charts import Bars, HeatMap, Histogram, Lines, chart
from lexiseg.studies.figures.drawing import SERIES, Box, Dot, Drawing, Stroke, Text
from lexiseg.studies.figures.picture_rows import Line, Note, PictureRow, picture_rows
from lexiseg.studies.figures.results import result_charts
from lexiseg.studies.verdicts import Measured

VALUES = {"words": [0.3, 0.4, 0.5, 0.9, 7.0], "learned": [-0.1, 0.0, 0.1]}


def histograms() -> Drawing:
    panels = [Histogram(title=t, series=VALUES, limits=(-1, 1), bins=10, x_label="cosine", y_label="%") for t in "abc"]
    return chart("Cosines", panels, columns=2, says="How alike.", source="a test")


def bars() -> Drawing:
    series = {"names": [63.2, None, -4.0], "sums": [99.9, 90.0, 12.5]}
    return chart("Levels", [Bars(groups=("a", "b", "c"), series=series, errors={"names": [2.0, None, 1.0]})])


def lines() -> Drawing:
    one = Lines(
        x=(0, 1, 2), series={"COCO": [70, 60, 50], "ADE20K": [40, None, 45]}, references={"COCO": 71}, reference="ours"
    )
    return chart("Over k", [one], width=500)


def grid() -> Drawing:
    one = HeatMap(rows=("low", "high"), columns=("1", "2"), values=[[10.0, 20.0], [None, 30.0]], x_label="b")
    return chart("Grid", [one], width=400)


def rows() -> Drawing:
    picture = np.full((20, 30, 3), 128, np.uint8)
    names = tuple(Line(words=name * 5, value="0.50", share=0.5, is_right=True, depth=1) for name in ("owl", "bird"))
    notes = (Note(heading="a very long name indeed, longer than a note", number="1", aside="aside", lines=names),) * 3
    row = PictureRow(
        pictures=(picture, picture), captions=("one", "two " * 30), notes=notes, marked=((1, 0.5, 0.5, "1", SERIES[0]),)
    )
    return picture_rows("Pictures", [row, row], says="What is there.", source="a test")


@pytest.mark.parametrize("make", [histograms, bars, lines, grid, rows])
def test_all_that_is_written_lies_on_the_sheet_and_the_sheet_is_not_blank(make: Callable[[], Drawing]) -> None:
    drawing = make()

    for mark in drawing.marks:
        if isinstance(mark, Text) and mark.words and not mark.is_turned:
            wide = text_size(mark.words, mark.size)[0]
            left = mark.x - {"start": 0, "middle": 0.5, "end": 1}[mark.anchor] * wide
            assert left >= -1, mark.words
            assert left + wide <= drawing.width + 1, mark.words
            assert 0 <= mark.y <= drawing.height, mark.words
    assert len(np.unique(np.asarray(drawing.picture()).reshape(-1, 3), axis=0)) > 20
    assert drawing.svg() == make().svg()
    ET.fromstring(drawing.svg())


def test_a_histogram_has_shares_in_percent_and_outliers_in_its_last_bins() -> None:
    one = Histogram(series=VALUES, limits=(-1, 1), bins=4)

    assert one.shares("words").tolist() == [0, 0, 40, 60]
    assert one.shares("learned").tolist() == pytest.approx([0, 100 / 3, 200 / 3, 0])


def test_the_means_of_a_histogram_are_dashed_lines_at_their_place() -> None:
    one = chart("Cosines", [Histogram(series={"words": [0.25] * 4}, limits=(-1, 1))], width=456)
    (dashed,) = [m for m in one.marks if isinstance(m, Stroke) and m.is_dashed]
    outline = max((m for m in one.marks if isinstance(m, Stroke) and m.fill_opacity), key=lambda m: len(m.points))
    left, right = outline.points[0][0], outline.points[-1][0]

    assert dashed.points[0][0] == pytest.approx(left + (right - left) * 1.25 / 2)


def test_bars_are_as_high_as_their_values_and_begin_at_zero() -> None:
    heights = {
        mark.top: mark.height
        for mark in chart("Two", [Bars(groups=("a", "b"), series={"x": [20.0, -10.0]})]).marks
        if isinstance(mark, Box) and mark.radius == 2
    }
    (above, high), (below, low) = sorted(heights.items())

    assert high == pytest.approx(2 * low)
    assert above + high == pytest.approx(below)


def test_the_best_place_of_a_line_is_told_and_gaps_stay_gaps() -> None:
    marks = lines().marks
    told = [mark.words for mark in marks if isinstance(mark, Text)]

    assert {"70.0", "45.0", "ours 71.0"} <= set(told)
    assert sum(isinstance(mark, Dot) for mark in marks) == 5


def test_a_grid_is_darker_for_greater_values_and_frames_the_greatest() -> None:
    marks = grid().marks
    cells = [mark for mark in marks if isinstance(mark, Box)]
    (frame,) = [mark for mark in marks if isinstance(mark, Stroke) and len(mark.points) == 5]
    lightness = oklab(np.array([cell.fill for cell in cells]) / 255)[:, 0]

    assert len(cells) == 3
    assert (np.diff(lightness) < -0.1).all()
    assert frame.points[0] == (cells[-1].left, cells[-1].top)


def test_the_colours_of_series_differ_in_lightness_or_hue_for_every_eye() -> None:
    lab = oklab(np.array(SERIES) / 255)
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)

    assert apart[~np.eye(len(SERIES), dtype=bool)].min() > 0.1


def figure(value: float) -> Measured:
    return Measured(seeds=(value,), blocks=(value - 1, value, value + 1))


def test_charts_of_tables_are_made_where_their_figures_are() -> None:
    names = ("COCO PQ", "ADE20K PQ")
    arms = ["Table 4: query-only", "Table 4: EF", "Table 4: EF + LD"]
    arms += [f"Table 4: query + {k:g} CLIP" for k in (0.5, 1, 2, 3, 4)]
    alphas, betas = ("w/o EF", "alpha 5", "alpha 10", "alpha 15"), ("w/o LD", "beta 0.25", "beta 0.5", "beta 0.75")
    cells = [f"Table 6: {alpha}, {beta}" for alpha in alphas for beta in (*betas, "beta 1")]
    figures = {arm: {name: figure(50 + place) for name in names} for place, arm in enumerate([*arms, *cells])}

    assert list(result_charts(figures)) == ["table-4-ratios", "table-4-gains", "table-6-grid"]
    assert result_charts({arm: figures[arm] for arm in cells}).keys() == {"table-6-grid"}
    assert result_charts({}) == {}
    ladder = {arm: {"A-150 mIoU": figure(20)} for arm in ("original", "mpt", "ft", "ft-mpt")}
    assert result_charts(ladder).keys() == {"ovseg-table-3-ladder"}


def test_the_gain_of_modulation_is_taken_block_by_block() -> None:
    figures = {
        "Table 4: query-only": {"COCO PQ": figure(50)},
        "Table 4: EF": {"COCO PQ": figure(51)},
        "Table 4: EF + LD": {"COCO PQ": figure(53)},
    }
    drawing = result_charts(figures)["table-4-gains"]
    told = {mark.words for mark in drawing.marks if isinstance(mark, Text)}

    assert {"1.0", "3.0"} <= told
    assert not any(isinstance(mark, Stroke) and len(mark.points) == 6 for mark in drawing.marks)

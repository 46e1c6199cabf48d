"""Charts, described by frozen values and laid out on a `Drawing`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from lexiseg.inference.labels import shorten, text_size
from lexiseg.inference.palette import RGB
from lexiseg.inference.visualize import FAINT_INK, INK, PAPER
from lexiseg.studies.figures.axes import Area, Scale, ends_of, labels_of, points_of, title_of
from lexiseg.studies.figures.drawing import (
    SERIES,
    Box,
    Dot,
    Drawing,
    Mark,
    Stroke,
    Text,
    legend,
    number,
    paragraph,
    ticks,
    tint,
)

MARGIN, GAP = 28, 26
WIDTH = 860


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How often values occur, one outline over the other; the dashed lines are the means."""

    series: Mapping[str, Sequence[float]]
    limits: tuple[float, float]
    """Of the horizontal axis; values outside count in the first and the last bin."""
    bins: int = 40
    title: str = ""
    x_label: str = ""
    y_label: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The series."""
        return tuple(self.series)

    def shares(self, name: str) -> Float[np.ndarray, " bins"]:
        """The share of a series in each bin, in percent."""
        values = np.clip(np.asarray(self.series[name], float), *self.limits)
        return 100 * np.histogram(values, self.bins, self.limits)[0] / max(1, len(values))

    def marks(self, area: Area, colours: Mapping[str, RGB]) -> list[Mark]:
        """The chart inside an area."""
        shares = {name: self.shares(name) for name in self.series}
        scale = Scale.of(area, self.title, (0, max(s.max() for s in shares.values())), self.x_label, self.y_label)
        marks, plot = scale.marks(), scale.plot
        low, high = self.limits
        step = plot.width / self.bins
        for name, heights in shares.items():
            edges: list[tuple[float, float]] = [(plot.left, plot.bottom)]
            for place, height in enumerate(heights.tolist()):
                left, top = plot.left + place * step, scale.y(height)
                edges += [(left, top), (left + step, top)]
            outline = (*edges, (plot.right, plot.bottom))
            marks.append(Stroke(points=outline, colour=colours[name], width=1.6, fill_opacity=0.35))
        for name, values in self.series.items():
            x = plot.left + plot.width * (float(np.mean(values)) - low) / (high - low)
            marks.append(
                Stroke(points=((x, plot.top), (x, plot.bottom)), colour=colours[name], width=1.6, is_dashed=True)
            )
        shown = [tick for tick in ticks(low, high) if low <= tick <= high]
        return marks + scale.x_axis({number(t): plot.left + plot.width * (t - low) / (high - low) for t in shown})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Groups of bars with their values, and error bars where a spread is known."""

    groups: tuple[str, ...]
    series: Mapping[str, Sequence[float | None]]
    """A value for each group; None draws nothing."""
    errors: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    """The spread of each value, drawn up and down."""
    title: str = ""
    x_label: str = ""
    y_label: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The series."""
        return tuple(self.series)

    def marks(self, area: Area, colours: Mapping[str, RGB]) -> list[Mark]:
        """The chart inside an area."""
        points = points_of(self.series, self.errors)
        ends = [0.0, *ends_of(points)]
        limits = min(ends), max(ends)
        scale = Scale.of(area, self.title, limits, self.x_label, self.y_label)
        marks, plot = scale.marks(), scale.plot
        room = plot.width / len(self.groups)
        wide = min(54.0, 0.8 * room / len(self.series))
        for index, (name, known) in enumerate(points.items()):
            for point in known:
                middle = plot.left + (point.place + 0.5) * room + (index - (len(points) - 1) / 2) * wide
                top, bottom = sorted((scale.y(point.value), scale.y(0)))
                bar = Area(left=middle - 0.46 * wide, top=top, width=0.92 * wide, height=bottom - top)
                marks += [_box(bar, colours[name], radius=2), *scale.whisker(middle, point)]
                beyond = scale.y(point.high) - 9 if point.value >= 0 else scale.y(point.low) + 9
                words = _tenths(point.value) if wide >= 30 else number(round(point.value))
                marks.append(Text(x=middle, y=beyond, words=words, size=11, anchor="middle"))
        if limits[0] < 0:
            marks.append(Stroke(points=((plot.left, scale.y(0)), (plot.right, scale.y(0))), colour=FAINT_INK))
        centres = {shorten(g, 13, int(room) - 4): plot.left + (i + 0.5) * room for i, g in enumerate(self.groups)}
        return marks + scale.x_axis(centres)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Figures over a setting, evenly spaced or to scale; the best of each line is marked by its value."""

    x: tuple[float, ...]
    series: Mapping[str, Sequence[float | None]]
    """A value for each place of `x`."""
    errors: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    references: Mapping[str, float] = field(default_factory=dict)
    """What another way reaches, by series: a dashed line across in the colour of the series."""
    reference: str = ""
    """The other way's name, written on its lines."""
    is_even: bool = False
    """Whether the places of `x` are equally far apart, whatever their values."""
    title: str = ""
    x_label: str = ""
    y_label: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The series."""
        return tuple(self.series)

    def marks(self, area: Area, colours: Mapping[str, RGB]) -> list[Mark]:
        """The chart inside an area."""
        points = points_of(self.series, self.errors)
        ends = [*ends_of(points), *self.references.values()]
        room = 0.08 * (max(ends) - min(ends))
        limits = min(ends) - room, max(ends) + room
        scale = Scale.of(area, self.title, limits, self.x_label, self.y_label)
        marks, plot = scale.marks(), scale.plot
        span = len(self.x) - 1 if self.is_even else self.x[-1] - self.x[0]
        shares = [(i if self.is_even else v - self.x[0]) / (span or 1) for i, v in enumerate(self.x)]
        tags = {name: f"{self.reference} {_tenths(value)}".strip() for name, value in self.references.items()}
        room = max((text_size(words, 11)[0] + 12 for words in tags.values()), default=0)  # right of the last place
        across = [plot.left + 14 + share * (plot.width - 28 - room) for share in shares]
        told: list[Mark] = []
        for name, value in self.references.items():
            line = (plot.left, scale.y(value)), (plot.right, scale.y(value))
            marks.append(Stroke(points=line, colour=colours[name], width=1.6, is_dashed=True))
            middle = plot.right - 4 - text_size(tags[name], 11)[0] / 2
            told += _on_paper(middle, scale.y(value), tags[name], colours[name])
        for name, known in points.items():
            places = tuple((across[point.place], scale.y(point.value)) for point in known)
            marks.append(Stroke(points=places, colour=colours[name], width=2.2))
            for (x, y), point in zip(places, known, strict=True):
                marks += [*scale.whisker(x, point, colours[name]), Dot(x=x, y=y, radius=3.6, fill=colours[name])]
        best = [max(known, key=lambda point: point.value) for known in points.values() if known]
        labels: list[tuple[float, float]] = []
        for point in sorted(best, key=lambda point: -point.value):
            x, above = across[point.place], scale.y(point.value) - 14
            is_free = all(abs(x - other_x) > 30 or abs(above - other_y) > 13 for other_x, other_y in labels)
            labels.append((x, above if is_free else above + 28))
            told += _on_paper(*labels[-1], _tenths(point.value), INK)
        return marks + told + scale.x_axis({number(v): x for v, x in zip(self.x, across, strict=True)})


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """A grid of figures, darker for greater ones; the greatest has a frame."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: Sequence[Sequence[float | None]]
    title: str = ""
    x_label: str = ""
    y_label: str = ""
    colour: RGB = SERIES[0]

    @property
    def names(self) -> tuple[str, ...]:
        """None: a grid says what it shows on its edges."""
        return ()

    def marks(self, area: Area, colours: Mapping[str, RGB]) -> list[Mark]:
        """The chart inside an area."""
        marks = title_of(area, self.title)
        wide = max(text_size(row, 13)[0] for row in self.rows)
        left = area.left + wide + 12 + (20 if self.y_label else 0)
        top = area.top + (26 if self.title else 4)
        plot = Area(
            left=left, top=top, width=area.right - left, height=area.bottom - top - 24 - 20 * bool(self.x_label)
        )
        known = [value for row in self.values for value in row if value is not None]
        low, high = min(known), max(known)
        cell = plot.width / len(self.columns), plot.height / len(self.rows)
        best: list[Mark] = []
        for line, row in enumerate(self.values):
            y = plot.top + line * cell[1]
            marks.append(Text(x=plot.left - 8, y=y + cell[1] / 2, words=self.rows[line], anchor="end"))
            for place, value in enumerate(row):
                if value is None:
                    continue
                x, share = plot.left + place * cell[0], (value - low) / ((high - low) or 1)
                inner = Area(left=x + 1, top=y + 1, width=cell[0] - 2, height=cell[1] - 2)
                marks.append(_box(inner, tint(self.colour, 0.97 - 0.57 * share), radius=3))
                ink = PAPER if share > 0.55 else INK
                marks.append(
                    Text(x=x + cell[0] / 2, y=y + cell[1] / 2, words=_tenths(value), colour=ink, anchor="middle")
                )
                if value == high > low:
                    best.append(_frame(inner))
        for place, name in enumerate(self.columns):
            marks.append(Text(x=plot.left + (place + 0.5) * cell[0], y=plot.bottom + 13, words=name, anchor="middle"))
        return marks + best + labels_of(area, plot, self.x_label, self.y_label)


Panel = Histogram | Bars | Lines | HeatMap
"""One chart of a figure; its `names` are the series in the legend that all share."""


def chart(
    title: str,
    panels: Sequence[Panel],
    *,
    columns: int = 1,
    panel_height: int = 260,
    width: int = WIDTH,
    says: str = "",
    source: str = "",
) -> Drawing:
    """Lays charts out below a title, a sentence, and the legend that they share.

    Args:
        title: of the whole.
        panels: the charts.
        columns: charts side by side.
        panel_height: of each chart with its axes, in pixels.
        width: of the sheet, in pixels.
        says: what to see in it.
        source: where the figures come from, below.
    """
    head, top = head_of(title, says, width)
    names = list(dict.fromkeys(name for panel in panels for name in panel.names))
    colours = {name: SERIES[place % len(SERIES)] for place, name in enumerate(names)}
    if len(names) > 1:
        entries, height = legend(list(colours.items()), MARGIN, top, width - 2 * MARGIN)
        head += entries
        top += height + 12
    wide = (width - 2 * MARGIN - (columns - 1) * GAP) / columns
    for place, panel in enumerate(panels):
        left = MARGIN + place % columns * (wide + GAP)
        area = Area(left=left, top=top + place // columns * (panel_height + GAP), width=wide, height=panel_height)
        head += panel.marks(area, colours)
    top += -(-len(panels) // columns) * (panel_height + GAP) - 10
    return with_source(head, top, width, source)


def _tenths(value: float) -> str:
    return f"{value:.1f}".replace("-", "\u2212")


def _on_paper(x: float, y: float, words: str, colour: RGB) -> list[Mark]:
    """Words that lines run behind."""
    wide = text_size(words, 11)[0] + 6
    back = Box(left=x - wide / 2, top=y - 8, width=wide, height=16, fill=PAPER, opacity=0.85, radius=4)
    return [back, Text(x=x, y=y, words=words, size=11, colour=colour, anchor="middle")]


def head_of(title: str, says: str, width: int) -> tuple[list[Mark], float]:
    """Title and sentence, and where the rest begins."""
    marks, high = paragraph(MARGIN, 20, title, 20, width - 2 * MARGIN)
    lines, taken = paragraph(MARGIN, 24 + high, says, 13, width - 2 * MARGIN, FAINT_INK)
    return marks + lines, 24 + high + taken + 14


def with_source(marks: list[Mark], top: float, width: int, source: str) -> Drawing:
    """The drawing, with its source below."""
    lines, taken = paragraph(MARGIN, top, source, 11, width - 2 * MARGIN, FAINT_INK)
    return Drawing(width=width, height=round(top + taken + 16), marks=(*marks, *lines))


def _box(area: Area, fill: RGB, radius: float) -> Box:
    return Box(left=area.left, top=area.top, width=area.width, height=area.height, fill=fill, radius=radius)


def _frame(area: Area) -> Stroke:
    corners = (area.left, area.top), (area.right, area.top), (area.right, area.bottom), (area.left, area.bottom)
    return Stroke(points=(*corners, corners[0]), colour=SERIES[1], width=2.5)

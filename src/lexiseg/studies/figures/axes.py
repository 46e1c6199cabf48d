"""What a chart has around its plot: axes, grid and words; and its points with their error bars."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lexiseg.inference.labels import text_size
from lexiseg.inference.palette import RGB
from lexiseg.inference.visualize import FAINT_INK, INK
from lexiseg.studies.figures.drawing import Mark, Stroke, Text, number, ticks


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """A rectangle of the sheet, in pixels."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Its right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return self.top + self.height


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A value of a series with its error bar."""

    place: int
    """Its group, or its place on the horizontal axis."""
    value: float
    spread: float
    """Zero where none is known."""

    @property
    def low(self) -> float:
        """The lower end of the error bar."""
        return self.value - self.spread

    @property
    def high(self) -> float:
        """The upper end."""
        return self.value + self.spread


def points_of(
    series: Mapping[str, Sequence[float | None]], errors: Mapping[str, Sequence[float | None]]
) -> dict[str, list[Point]]:
    """What is known of each series."""
    return {
        name: [
            Point(place=place, value=value, spread=spread or 0.0)
            for place, (value, spread) in enumerate(zip(values, errors.get(name, [None] * len(values)), strict=True))
            if value is not None
        ]
        for name, values in series.items()
    }


def ends_of(points: Mapping[str, Sequence[Point]]) -> list[float]:
    """Both ends of every error bar."""
    return [end for known in points.values() for point in known for end in (point.low, point.high)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A chart's axes: its plot, and heights of values."""

    area: Area
    plot: Area
    y_ticks: tuple[float, ...]
    title: str
    x_label: str
    y_label: str

    @staticmethod
    def of(area: Area, title: str, limits: tuple[float, float], x_label: str, y_label: str) -> "Scale":
        """Room for what is written around the plot."""
        y_ticks = ticks(*limits)
        left = area.left + max(text_size(number(t), 12)[0] for t in y_ticks) + 10 + (20 if y_label else 0)
        top = area.top + (36 if title else 16)
        plot = Area(left=left, top=top, width=area.right - left, height=area.bottom - top - 24 - (20 if x_label else 0))
        return Scale(area=area, plot=plot, y_ticks=y_ticks, title=title, x_label=x_label, y_label=y_label)

    def y(self, value: float) -> float:
        """Where a value lies."""
        low, high = self.y_ticks[0], self.y_ticks[-1]
        return self.plot.bottom - self.plot.height * (value - low) / (high - low)

    def whisker(self, x: float, point: Point, colour: RGB = INK) -> list[Mark]:
        """An error bar with short ends, where there is a spread."""
        low, high = self.y(point.low), self.y(point.high)
        bar = (x - 4, low), (x + 4, low), (x, low), (x, high), (x - 4, high), (x + 4, high)
        return [Stroke(points=bar, colour=colour, width=1.2)] if point.spread else []

    def marks(self) -> list[Mark]:
        """Title, grid, and what is written along the axes."""
        marks = title_of(self.area, self.title)
        for tick in self.y_ticks:
            y = self.y(tick)
            marks.append(Stroke(points=((self.plot.left, y), (self.plot.right, y))))
            marks.append(Text(x=self.plot.left - 7, y=y, words=number(tick), size=12, colour=FAINT_INK, anchor="end"))
        return marks + labels_of(self.area, self.plot, self.x_label, self.y_label)

    def x_axis(self, places: Mapping[str, float]) -> list[Mark]:
        """The base line with what is written below it."""
        ends = (self.plot.left, self.plot.bottom), (self.plot.right, self.plot.bottom)
        marks: list[Mark] = [] if self.y_ticks[0] < 0 else [Stroke(points=ends, colour=FAINT_INK)]
        for words, x in places.items():
            marks.append(Text(x=x, y=self.plot.bottom + 13, words=words, size=12, colour=FAINT_INK, anchor="middle"))
        return marks


def title_of(area: Area, words: str) -> list[Mark]:
    """A chart's title, if it has one."""
    return [Text(x=area.left, y=area.top + 9, words=words, size=14)] if words else []


def labels_of(area: Area, plot: Area, x_label: str, y_label: str) -> list[Mark]:
    """What both axes are called."""
    middle = plot.left + plot.width / 2, plot.top + plot.height / 2
    below = Text(x=middle[0], y=area.bottom - 7, words=x_label, size=12, anchor="middle")
    beside = Text(x=area.left + 8, y=middle[1], words=y_label, size=12, anchor="middle", is_turned=True)
    return [mark for mark in (below, beside) if mark.words]

"""The pen of all drawings: filled shapes and strokes in a unit square, in one colouring and pose."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Rng = np.random.Generator
RGB = tuple[int, int, int]
Point = tuple[float, float]

COLOURS: dict[str, RGB] = {
    "red": (214, 58, 54),
    "orange": (240, 143, 48),
    "yellow": (244, 205, 70),
    "green": (96, 170, 84),
    "turquoise": (62, 178, 172),
    "blue": (70, 120, 204),
    "purple": (138, 92, 178),
    "pink": (238, 142, 172),
    "brown": (146, 98, 62),
    "white": (244, 240, 230),
    "grey": (148, 150, 156),
    "black": (62, 60, 68),
}
PATTERNS = ("plain", "striped", "spotted", "checked")
INK: RGB = (48, 42, 52)
PAPER: RGB = (252, 248, 238)


def shade(colour: RGB, amount: float) -> RGB:
    """Mixes a colour with ink (amount < 0) or paper (amount > 0); 1 or -1 is all ink or paper."""
    goal = PAPER if amount > 0 else INK
    weight = abs(amount)
    mixed = [round(c + (g - c) * weight) for c, g in zip(colour, goal, strict=True)]
    return mixed[0], mixed[1], mixed[2]


def spline(p0: np.ndarray, p1: np.ndarray, p2: np.ndarray, p3: np.ndarray) -> np.ndarray:
    """Points of a Catmull-Rom curve (6 n, 2): six from each of n knots p1 on to p2, with neighbours p0 and p3."""
    t = np.linspace(0, 1, 6, endpoint=False)[:, None, None]
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    return curve.transpose(1, 0, 2).reshape(-1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The colouring of one drawn thing."""

    main: RGB
    second: RGB
    colour: str
    """Name of the main colour, for captions."""
    pattern: str
    """One of PATTERNS; lies on every surface that was filled with `main`."""


def random_look(rng: Rng) -> Look:
    """Draws a main colour with a little jitter, a different second colour, and a pattern (half are plain)."""
    names = tuple(COLOURS)
    first, other = rng.choice(len(names), size=2, replace=False)
    jitter = rng.integers(-14, 15, size=(2, 3))

    def jittered(name: str, by: np.ndarray) -> RGB:
        r, g, b = (int(np.clip(c + d, 0, 255)) for c, d in zip(COLOURS[name], by, strict=True))
        return r, g, b

    pattern = PATTERNS[0] if rng.random() < 0.5 else PATTERNS[1 + int(rng.integers(3))]
    main, second = jittered(names[first], jitter[0]), jittered(names[other], jitter[1])
    return Look(main=main, second=second, colour=names[first], pattern=pattern)


class Pen:
    """Draws one thing in the unit square, x to the right and y down, onto a transparent canvas without antialiasing.

    A drawing fills about [0.05, 0.95] along its longer side and stands on y = 0.95. Pose (tilt, flip, stretch)
    is applied to the points, so nothing is resampled and the mask is exact.
    """

    def __init__(
        self, size: int, look: Look, rng: Rng, *, tilt: float = 0.0, flip: bool = False, stretch: float = 1.0
    ) -> None:
        self.look = look
        self.main, self.second = look.main, look.second
        self.dark, self.light = shade(look.main, -0.35), shade(look.main, 0.45)
        self._size = size
        self._rng = rng
        cos, sin = math.cos(tilt) * size, math.sin(tilt) * size
        x_scale, y_scale = min(stretch, 1.0), min(1.0 / stretch, 1.0)
        x_scale = -x_scale if flip else x_scale
        self._matrix = np.array([[cos * x_scale, -sin * y_scale], [sin * x_scale, cos * y_scale]])
        self._margin = size // 4  # a tilted square needs room at its corners
        side = size + 2 * self._margin
        self._image = Image.new("RGBA", (side, side))
        self._draw = ImageDraw.Draw(self._image)
        self._outline = max(1, round(size * 0.018))

    def vary(self, low: float, high: float) -> float:
        """A uniform random proportion."""
        return float(self._rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self._rng.random() < probability)

    def count(self, low: int, high: int) -> int:
        """A uniform random integer, both ends included."""
        return int(self._rng.integers(low, high + 1))

    def polygon(self, points: Sequence[Point] | np.ndarray, fill: RGB, *, outline: bool = True) -> None:
        """Fills a closed polygon and, by default, inks its edge."""
        corners = self._place(points)
        self._draw.polygon(corners, fill=fill)
        if outline:
            self._draw.line([*corners, corners[0], corners[1]], fill=shade(fill, -0.6), width=self._outline)

    def ellipse(
        self, cx: float, cy: float, rx: float, ry: float, fill: RGB, *, angle: float = 0.0, outline: bool = True
    ) -> None:
        """Fills an ellipse with half-axes rx and ry, turned by `angle` radians (clockwise on the page)."""
        turn = np.linspace(0, 2 * math.pi, 28, endpoint=False)
        x, y = rx * np.cos(turn), ry * np.sin(turn)
        cos, sin = math.cos(angle), math.sin(angle)
        self.polygon(np.stack([cx + x * cos - y * sin, cy + x * sin + y * cos], 1), fill, outline=outline)

    def circle(self, cx: float, cy: float, r: float, fill: RGB, *, outline: bool = True) -> None:
        """Fills a circle."""
        self.ellipse(cx, cy, r, r, fill, outline=outline)

    def box(
        self, x0: float, y0: float, x1: float, y1: float, fill: RGB, *, round_by: float = 0.0, outline: bool = True
    ) -> None:
        """Fills an upright rectangle, its corners cut round by a radius."""
        if round_by <= 0:
            self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill, outline=outline)
            return
        r = min(round_by, (x1 - x0) / 2, (y1 - y0) / 2)
        quarter = np.linspace(0, math.pi / 2, 5)
        corners = [(x1 - r, y1 - r, 0), (x0 + r, y1 - r, 1), (x0 + r, y0 + r, 2), (x1 - r, y0 + r, 3)]
        points = [
            (cx + r * math.cos(a + q * math.pi / 2), cy + r * math.sin(a + q * math.pi / 2))
            for cx, cy, q in corners
            for a in quarter
        ]
        self.polygon(points, fill, outline=outline)

    def blob(self, points: Sequence[Point] | np.ndarray, fill: RGB, *, outline: bool = True) -> None:
        """Fills a smooth closed curve through the points (Catmull-Rom)."""
        knots = np.asarray(points, dtype=float)
        self.polygon(spline(*(np.roll(knots, shift, axis=0) for shift in (1, 0, -1, -2))), fill, outline=outline)

    def line(self, points: Sequence[Point] | np.ndarray, width: float, fill: RGB) -> None:
        """Draws a stroke of `width` (in units) with round joints."""
        thick = max(1, round(width * self._size))
        self._draw.line(self._place(points), fill=fill, width=thick, joint="curve")

    def eye(self, x: float, y: float, r: float = 0.04) -> None:
        """An eye: white with a dark pupil."""
        self.circle(x, y, r, PAPER)
        self.circle(x, y, r * 0.55, INK, outline=False)

    def wheel(self, x: float, y: float, r: float) -> None:
        """A tyre with a hub."""
        self.circle(x, y, r, INK)
        self.circle(x, y, r * 0.5, (190, 190, 196), outline=False)

    def finish(self) -> np.ndarray:
        """Lays the pattern on the main surfaces and returns the drawing, cropped: uint8 (h, w, 4), alpha 0 or 255."""
        canvas = np.array(self._image)
        box = self._image.getbbox()
        assert box is not None, "a drawing must leave something on the canvas"
        left, top, right, bottom = box
        canvas = canvas[top:bottom, left:right]
        if self.look.pattern != "plain":
            surface = (canvas == (*self.main, 255)).all(-1)
            canvas[surface & self._pattern(canvas.shape[0], canvas.shape[1]), :3] = self._pattern_ink()
        return canvas

    def _place(self, points: Sequence[Point] | np.ndarray) -> list[Point]:
        centred = np.asarray(points, dtype=float) - 0.5
        placed = centred @ self._matrix.T + (self._size / 2 + self._margin)
        return [(x, y) for x, y in placed.tolist()]

    def _pattern_ink(self) -> RGB:
        return shade(self.main, -0.3 if sum(self.main) > 330 else 0.4)

    def _pattern(self, height: int, width: int) -> np.ndarray:
        period = self._size * self.vary(0.09, 0.15)
        angle = self.vary(0.0, math.pi)
        y, x = np.mgrid[:height, :width] / period
        u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
        if self.look.pattern == "striped":
            return np.mod(u, 1) < 0.4
        if self.look.pattern == "checked":
            return (np.mod(u, 1) < 0.5) ^ (np.mod(v, 1) < 0.5)
        return (np.mod(u, 1) - 0.5) ** 2 + (np.mod(v, 1) - 0.5) ** 2 < 0.08

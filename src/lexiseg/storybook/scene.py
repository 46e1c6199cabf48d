"""Drawing scenes and close-ups: layout, occlusion, and the segment of every pixel."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lexiseg.storybook.choices import ROLES, SPLITS, Role, Split
from lexiseg.storybook.drawings.pen import COLOURS, Look, Pen, Rng, random_look
from lexiseg.storybook.drawings.stuff import TEXTURES
from lexiseg.storybook.drawings.unnamed import pattern
from lexiseg.storybook.roles import DRAWINGS, FLYING, PATTERN, ROLE_CONTENTS, STUFF, THINGS, RoleContents

SKIES, FAR = ("sky", "night sky"), ("mountain", "hedge", "brick wall", "stone wall")
GROUNDS, BANDS = ("grass", "sand", "dirt", "snow"), ("water", "road")
WALLS, FLOORS = ("wallpaper", "brick wall", "stone wall"), ("wooden floor", "tiles")

DUSKS = (
    ((0.72, 0.64, 0.88), (20, 6, 16)),
    ((0.60, 0.74, 0.78), (4, 14, 22)),
    ((0.86, 0.70, 0.56), (26, 10, 4)),
)
"""Evening lights: a factor and an offset per colour channel."""
SCENE_SIZES = (0.36, 0.75)
"""Least and largest size of a thing in a scene, as a share of the picture's shorter side."""
VIEW_SIZES = (0.33, 0.95)
"""Least and largest size of a thing in a small scene, likewise."""
CROWD_SHARE = 0.08
"""Share of scenes with a crowd region, as in COCO."""
LEAST_VISIBLE = 0.5
"""Least share of a thing's pixels that stays visible behind later things."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnSegment:
    """One segment of a drawn picture."""

    id: int
    """Value of its pixels in `ids`."""
    name: str
    """The drawing's name in `roles.CONCEPTS`."""
    is_crowd: bool = False
    is_distractor: bool = False
    """Whether it is in the picture but in no segmentation vocabulary: void."""
    colour: str = ""
    pattern: str = "plain"
    hidden: float = 0.0
    """Share of its pixels that others cover, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A drawn picture and its segments."""

    picture: np.ndarray
    """uint8 (H, W, 3), RGB."""
    ids: np.ndarray
    """int32 (H, W): every pixel's segment; 0 only on the plain ground of a close-up."""
    segments: tuple[DrawnSegment, ...]


def generator(role: Role, split: Split, seed: int, index: int, *more: int) -> Rng:
    """The random generator of one picture, seeded by role, split, seed and index.

    `more` numbers seed another generator of the same picture, such as that of its captions.
    """
    return np.random.default_rng([ROLES.index(role), SPLITS.index(split), seed, index, *more])


def draw_scene(role: Role, split: Split, index: int, *, seed: int = 0, size: tuple[int, int] = (160, 160)) -> Scene:
    """Draws picture `index` of a role's split; the same arguments give the same bytes in any process.

    Args:
        role: decides which concepts appear; "captions" and "image-level" mix all of them, and every second picture of
            "captions" is a close-up.
        split: the splits share no picture.
        index: number of the picture, from 0.
        seed: every seed gives other pictures.
        size: height and width in pixels, each at least 16.

    Raises:
        ValueError: if a size is under 16 pixels.
    """
    if min(size) < 16:
        raise ValueError(f"a scene needs at least 16 x 16 pixels, got {size[0]} x {size[1]}.")
    rng = generator(role, split, seed, index)
    if role == "captions" and index % 2:
        return draw_close_up(rng, size)
    return compose(rng, ROLE_CONTENTS[role], size, num_things=int(rng.integers(3, 8)))


def compose(rng: Rng, contents: RoleContents, size: tuple[int, int], *, num_things: int) -> Scene:
    """Draws a scene: layers of stuff, then things from back to front.

    Args:
        rng: source of all choices.
        contents: the role's concepts.
        size: height and width in pixels.
        num_things: how many things are tried; those without room are left out.
    """
    stage = _Stage(size)
    unit = float(min(size))
    horizon = _lay_stuff(stage, rng, contents, unit)
    if contents.pattern_share and rng.random() < 3 * contents.pattern_share:
        _lay_patch(stage, rng, unit)
    if rng.random() < CROWD_SHARE:
        _place_crowd(stage, rng, contents, horizon, unit)
    for name, is_distractor in _choose_things(rng, contents, num_things):
        _place_thing(stage, rng, contents, name, is_distractor, horizon, SCENE_SIZES)
    return stage.scene(rng, is_dusk=contents.is_dusk)


class _Stage:
    """A picture while it is drawn: colours, segment ids, and each segment's pixels before others cover it."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.picture = np.zeros((*size, 3), np.float32)
        self.ids = np.zeros(size, np.int32)
        self.segments: list[DrawnSegment] = []
        self.areas: list[int] = []
        self.boxes: list[tuple[float, float, float]] = []

    def add_stuff(self, name: str, where: np.ndarray, texture: np.ndarray, top: int = 0) -> None:
        """Paints a layer of stuff, from row `top` on; two layers of the same stuff are one segment, of patterns two."""
        known = [s.id for s in self.segments if s.name == name != PATTERN]
        number = known[0] if known else len(self.segments) + 1
        rows = slice(top, top + where.shape[0])
        np.copyto(self.picture[rows], texture, where=where[..., None])
        np.copyto(self.ids[rows], number, where=where)
        if not known:
            self.segments.append(DrawnSegment(id=number, name=name))
            self.areas.append(0)

    def visible_after(self, sprite: np.ndarray, top: int, left: int) -> bool:
        """Whether every thing stays visible enough, and the new one inside enough, if the sprite goes here."""
        part, window = self._inside(sprite, top, left)
        mask = part[..., 3] >= 128
        if mask.sum() < 0.7 * (sprite[..., 3] >= 128).sum():
            return False
        covered = np.bincount(self.ids[window][mask], minlength=len(self.segments) + 1)
        now = np.bincount(self.ids.ravel(), minlength=len(self.segments) + 1)
        return all(
            now[i + 1] - covered[i + 1] >= LEAST_VISIBLE * area
            for i, area in enumerate(self.areas)
            if area and covered[i + 1]
        )

    def add_sprite(self, sprite: np.ndarray, top: int, left: int, number: int) -> int:
        """Blends a sprite and gives its pixels to a segment; returns how many."""
        part, window = self._inside(sprite, top, left)
        mask = part[..., 3] >= 128
        alpha = part[..., 3:].astype(np.float32) / 255
        self.picture[window] += (part[..., :3] - self.picture[window]) * alpha
        self.ids[window][mask] = number
        return int(mask.sum())

    def scene(self, rng: Rng, *, is_dusk: bool) -> Scene:
        """The finished picture; segments without a visible pixel are left out."""
        visible = np.bincount(self.ids.ravel(), minlength=len(self.segments) + 1)
        segments = tuple(
            replace(segment, hidden=float(1 - visible[segment.id] / area if area else 0.0))
            for segment, area in zip(self.segments, self.areas, strict=True)
            if visible[segment.id]
        )
        picture = self.picture
        if is_dusk:
            light, glow = DUSKS[rng.integers(len(DUSKS))]
            fade = np.linspace(0.8, 1.05, self.size[0], dtype=np.float32)[:, None, None]
            picture = picture * (np.array(light, np.float32) * fade) + np.array(glow, np.float32)
        picture = picture + rng.normal(0, 3.0, (*self.size, 1)).astype(np.float32)
        return Scene(picture=np.clip(picture, 0, 255).astype(np.uint8), ids=self.ids, segments=segments)

    def _inside(self, sprite: np.ndarray, top: int, left: int) -> tuple[np.ndarray, tuple[slice, slice]]:
        """The part of a sprite that lies in the picture, and where."""
        y0, x0 = max(0, top), max(0, left)
        y1 = max(y0, min(self.size[0], top + sprite.shape[0]))
        x1 = max(x0, min(self.size[1], left + sprite.shape[1]))
        return sprite[y0 - top : y1 - top, x0 - left : x1 - left], (slice(y0, y1), slice(x0, x1))


def _lay_stuff(stage: _Stage, rng: Rng, contents: RoleContents, unit: float) -> float:
    """Paints the layers of stuff and returns the height of the horizon, in pixels."""
    height, width = stage.size
    y, x = np.mgrid[:height, :width]
    coarseness = 1.6 if contents.is_dusk else 1.0

    def one_of(names: tuple[str, ...]) -> str | None:
        allowed = [name for name in names if name in contents.stuff]
        return allowed[rng.integers(len(allowed))] if allowed else None

    def lay(name: str | None, where: np.ndarray) -> None:
        rows = np.flatnonzero(where.any(1))
        if name is not None and len(rows):
            top, bottom = int(rows[0]), int(rows[-1]) + 1
            if contents.pattern_share and rng.random() < contents.pattern_share:
                name = PATTERN
            draw = pattern if name == PATTERN else TEXTURES[name]
            texture = draw(rng, (bottom - top, width), unit * coarseness)
            stage.add_stuff(name, where[top:bottom], texture, top)

    def edge(level: float, wobble: float) -> np.ndarray:
        phase, waves = rng.uniform(0, 2 * math.pi, 2), rng.uniform(0.5, 2.5, 2)
        across = np.arange(width) / width * 2 * math.pi
        return level * height + wobble * unit * (
            np.sin(across * waves[0] + phase[0]) + 0.5 * np.sin(across * waves[1] * 2 + phase[1])
        )

    everywhere = np.ones(stage.size, bool)
    can_be_indoors = one_of(WALLS) is not None and one_of(FLOORS) is not None
    horizon = rng.uniform(0.32, 0.6)
    if can_be_indoors and rng.random() < 0.4:
        lay(one_of(WALLS), everywhere)
        lay(one_of(FLOORS), y >= horizon * height)
        if "carpet" in contents.stuff and rng.random() < 0.6:
            middle, half = rng.uniform(0.3, 0.7) * width, rng.uniform(0.25, 0.42) * width
            depth = np.clip((y / height - horizon - 0.08) / max(0.1, 0.85 - horizon), 0, 1)
            inside = (y > (horizon + 0.08) * height) & (y < rng.uniform(0.8, 0.95) * height)
            lay("carpet", inside & (np.abs(x - middle) < half * (0.75 + 0.4 * depth)))
        if "curtain" in contents.stuff and rng.random() < 0.6:
            reach = rng.uniform(0.16, 0.3) * width
            at_left = rng.random() < 0.5
            lay("curtain", ((x < reach) if at_left else (x > width - reach)) & (y < (horizon + 0.05) * height))
        return horizon * height
    lay(one_of(SKIES), everywhere)
    far = one_of(FAR)
    if far is not None and rng.random() < 0.55:
        top = edge(horizon - rng.uniform(0.1, 0.22), 0.06 if far == "mountain" else 0.012)
        lay(far, y >= top)
    ground, band = one_of(GROUNDS), one_of(BANDS)
    line = edge(horizon, 0.02)
    lay(ground if ground is not None else band, y >= line)
    if band is not None and ground is not None and rng.random() < 0.5:
        at_front = rng.random() < 0.5
        low = edge(rng.uniform(0.74, 0.84), 0.02) if at_front else edge(horizon + rng.uniform(0.14, 0.22), 0.015)
        lay(band, (y >= low) if at_front else ((y >= line) & (y < low)))
    return horizon * height


def _lay_patch(stage: _Stage, rng: Rng, unit: float) -> None:
    """Paints a region of any place, size and slant with a pattern."""
    height, width = stage.size
    y, x = np.mgrid[:height, :width]
    cx, cy, slant = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(-0.5, 0.5)
    rx, ry = rng.uniform(0.12, 0.6, 2) * (width, height)
    u, v = (x - cx + slant * (y - cy)) / rx, (y - cy) / ry
    where = (u * u + v * v < 1) if rng.random() < 0.3 else (np.maximum(abs(u), abs(v)) < 1)
    stage.add_stuff(PATTERN, where, pattern(rng, stage.size, unit))


def _choose_things(rng: Rng, contents: RoleContents, number: int) -> list[tuple[str, bool]]:
    def choose(is_distractor: bool) -> tuple[str, bool]:
        pool = contents.distractors if is_distractor else contents.things
        return pool[rng.integers(len(pool))], is_distractor

    return [choose(rng.random() < contents.distractor_share) for _ in range(number)]


def sprite(rng: Rng, name: str, pixels: float, look: Look) -> np.ndarray:
    """Draws one thing in a random pose, about `pixels` large: uint8 (h, w, 4), antialiased edges."""
    tilt = rng.normal(0, 0.12)
    pen = Pen(
        max(8, round(2 * pixels)),
        look,
        rng,
        tilt=float(np.clip(tilt, -0.35, 0.35)),
        flip=bool(rng.random() < 0.5),
        stretch=float(rng.uniform(0.82, 1.22)),
    )
    DRAWINGS[name](pen)
    return _halve(pen.finish())


def _halve(drawing: np.ndarray) -> np.ndarray:
    """Halves a drawing; colours are weighted by alpha, so edges carry no fringe."""
    height, width = drawing.shape[0] + drawing.shape[0] % 2, drawing.shape[1] + drawing.shape[1] % 2
    even = np.zeros((height, width, 4), np.float32)
    even[: drawing.shape[0], : drawing.shape[1]] = drawing
    even[..., :3] *= even[..., 3:] / 255
    small = even.reshape(height // 2, 2, width // 2, 2, 4).mean((1, 3))
    small[..., :3] *= 255 / np.maximum(small[..., 3:], 1)
    return np.clip(small, 0, 255).astype(np.uint8)


def _height_for(rng: Rng, name: str, horizon: float, height: int) -> float:
    """Where the thing's lowest point goes: in the air, or standing below the horizon."""
    if name in FLYING and rng.random() < 0.85:
        return rng.uniform(0.2 * height, max(0.45 * height, horizon))
    return rng.uniform(min(horizon + 0.06 * height, 0.9 * height), height)


def _place_thing(
    stage: _Stage,
    rng: Rng,
    contents: RoleContents,
    name: str,
    is_distractor: bool,
    horizon: float,
    sizes: tuple[float, float],
) -> None:
    """Places one thing, about half of the time close to another; leaves it out after six places without room."""
    height, width = stage.size
    look = random_look(rng)
    smallest, largest = (share * min(stage.size) for share in sizes)
    pixels = float(np.exp(rng.uniform(math.log(smallest), math.log(largest))))
    drawn = sprite(rng, name, pixels, look)
    for _ in range(6):
        bottom, middle = _height_for(rng, name, horizon, height), rng.uniform(0.02, 0.98) * width
        if stage.boxes and rng.random() < 0.45:
            x, y, size = stage.boxes[rng.integers(len(stage.boxes))]
            middle = x + rng.uniform(-0.6, 0.6) * (size + pixels) * 0.5
            bottom = y + rng.uniform(-0.15, 0.35) * (size + pixels) * 0.5
        top, left = round(bottom - drawn.shape[0]), round(middle - drawn.shape[1] / 2)
        if stage.visible_after(drawn, top, left):
            break
    else:
        return
    number = len(stage.segments) + 1
    area = stage.add_sprite(drawn, top, left, number)
    if area == 0:
        return
    stage.segments.append(
        DrawnSegment(id=number, name=name, is_distractor=is_distractor, colour=look.colour, pattern=look.pattern)
    )
    stage.areas.append(area)
    stage.boxes.append((middle, bottom, pixels))


def _place_crowd(stage: _Stage, rng: Rng, contents: RoleContents, horizon: float, unit: float) -> None:
    """A row of many small things of one name, annotated as one crowd region."""
    name = contents.things[rng.integers(len(contents.things))]
    pixels, number = unit * rng.uniform(0.1, 0.14), len(stage.segments) + 1
    start = rng.uniform(0.1, 0.5) * stage.size[1]
    bottom = _height_for(rng, name, horizon, stage.size[0])
    area = 0
    for place in range(int(rng.integers(6, 11))):
        drawn = sprite(rng, name, pixels, random_look(rng))
        left = round(start + 0.55 * place * pixels)
        area += stage.add_sprite(drawn, round(bottom - drawn.shape[0] + rng.uniform(-0.3, 0.3) * pixels), left, number)
    if area:
        stage.segments.append(DrawnSegment(id=number, name=name, is_crowd=True))
        stage.areas.append(0)


def draw_close_up(
    rng: Rng, size: tuple[int, int], names: Sequence[str] = (*THINGS, *STUFF), *, smallest: float = 0.6
) -> Scene:
    """Draws one thing that fills the picture, or one stuff.

    Args:
        rng: source of all choices.
        size: height and width in pixels.
        names: the concepts to choose from.
        smallest: the thing's least size as a share of the picture's shorter side.
    """
    stage = _Stage(size)
    name = names[int(rng.integers(len(names)))]
    side = min(size)
    unit = side * rng.uniform(1.0, 2.5)
    everywhere = np.ones(size, bool)
    if name in TEXTURES:
        stage.add_stuff(name, everywhere, TEXTURES[name](rng, size, unit))
        return stage.scene(rng, is_dusk=rng.random() < 0.1)
    if rng.random() < 0.6:
        ground = STUFF[rng.integers(len(STUFF))]
        stage.add_stuff(ground, everywhere, TEXTURES[ground](rng, size, unit))
    else:
        colours = tuple(COLOURS.values())
        stage.picture[:] = colours[rng.integers(len(colours))] + rng.uniform(-20, 20, 3)
    look = random_look(rng)
    drawn = sprite(rng, name, side * rng.uniform(smallest, 1.0), look)
    number = len(stage.segments) + 1
    slack = [size[0] - drawn.shape[0], size[1] - drawn.shape[1]]
    top, left = (round(s * rng.uniform(0.1, 0.9) if s > 0 else s / 2) for s in slack)
    stage.areas.append(stage.add_sprite(drawn, top, left, number))
    stage.segments.append(DrawnSegment(id=number, name=name, colour=look.colour, pattern=look.pattern))
    return stage.scene(rng, is_dusk=rng.random() < 0.1)


def draw_small_scene(rng: Rng, size: int) -> Scene:
    """Draws one to four things on one or two kinds of stuff, in a square of `size` pixels."""
    stage = _Stage((size, size))
    split = round(size * rng.uniform(0.25, 0.75))
    for part in range(int(rng.integers(1, 3))):
        name = STUFF[rng.integers(len(STUFF))]
        where = np.zeros(stage.size, bool)
        where[part * split :] = True
        stage.add_stuff(name, where, TEXTURES[name](rng, stage.size, size * rng.uniform(1.0, 1.7)))
    contents = ROLE_CONTENTS["captions"]
    for _ in range(int(rng.integers(1, 5))):
        name = THINGS[rng.integers(len(THINGS))]
        _place_thing(stage, rng, contents, name, False, size * 0.3, VIEW_SIZES)
    return stage.scene(rng, is_dusk=rng.random() < 0.15)

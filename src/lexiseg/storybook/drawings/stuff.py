"""Textures of stuff: each fills a rectangle, of which the scene keeps the layer's outline."""

import math
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from lexiseg.storybook.drawings.pen import RGB, Rng

Texture = UInt8[np.ndarray, "h w 3"]


def noise(rng: Rng, size: tuple[int, int], cells: float) -> Float[np.ndarray, "h w"]:
    """Smooth noise in [-1, 1] with about `cells` bumps along the shorter side."""
    height, width = size
    step = max(1.0, min(size) / cells)
    grid = rng.uniform(-1, 1, (max(2, round(height / step)), max(2, round(width / step)))).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))


def _tint(rng: Rng, *choices: RGB, jitter: int = 12) -> np.ndarray:
    """One of the colours, a little off."""
    return np.array(choices[rng.integers(len(choices))], dtype=np.float32) + rng.integers(-jitter, jitter + 1, 3)


def _paint(colour: np.ndarray, light: np.ndarray) -> Texture:
    """Shades one colour by a map in about [-1, 1]: 1 is 40 levels lighter."""
    return np.clip(colour + 40 * light[..., None], 0, 255).astype(np.uint8)


def mixed(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> Texture:
    """Colour a, and colour b where the map is 1."""
    return np.clip(a + (b - a) * where[..., None], 0, 255).astype(np.uint8)


def _canvas(colour: np.ndarray, size: tuple[int, int]) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (size[1], size[0]), _rgb(colour))
    return image, ImageDraw.Draw(image)


def _rgb(colour: np.ndarray, light: float = 0.0) -> RGB:
    red, green, blue = (min(255, max(0, int(c + 40 * light))) for c in colour.tolist())
    return red, green, blue


def _oval(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, fill: RGB, outline: RGB) -> None:
    draw.ellipse((x - r, y - r * 0.7, x + r, y + r * 0.7), fill=fill, outline=outline)


def _depth(size: tuple[int, int]) -> np.ndarray:
    """0 in the top row to 1 in the bottom row."""
    return np.linspace(0, 1, size[0], dtype=np.float32)[:, None] * np.ones((1, size[1]), np.float32)


def grid(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of every pixel."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    return y, x


def sky(rng: Rng, size: tuple[int, int], unit: float) -> Texture:
    """A soft gradient with streaks."""
    top = _tint(rng, (120, 178, 232), (150, 205, 240), (240, 176, 150), (160, 214, 210), (190, 170, 220))
    return mixed(top, np.array([250, 240, 225]), 0.75 * _depth(size) + 0.1 * noise(rng, size, 3))


def night_sky(rng: Rng, size: tuple[int, int], unit: float) -> Texture:
    """A dark gradient with points of light."""
    ground = _tint(rng, (24, 30, 72), (44, 28, 80), (14, 44, 66))
    picture = mixed(ground, ground + 60, _depth(size) + 0.1 * noise(rng, size, 3))
    count = max(1, int(size[0] * size[1] / (unit * unit * 0.012)))
    y, x = rng.integers(0, size[0], count), rng.integers(0, size[1], count)
    picture[y, x] = (250, 246, 214)
    picture[y, np.minimum(x + 1, size[1] - 1)] = (220, 216, 200)
    return picture


def grass(rng: Rng, size: tuple[int, int], unit: float) -> Texture:
    """Short upright blades."""
    colour = _tint(rng, (116, 176, 84), (150, 186, 84), (88, 150, 92), (186, 184, 96))
    image, draw = _canvas(colour, size)
    blade = max(2.0, unit * 0.035)
    for _ in range(int(size[0] * size[1] / (blade * blade * 2.2)) + 1):
        x, y = rng.uniform(0, size[1]), rng.uniform(0, size[0] + blade)
        draw.line((x, y, x + rng.uniform(-0.4, 0.4) * blade, y - blade), fill=_rgb(colour, rng.uniform(-1, 0.8)))
    return np.asarray(image)


def hedge(rng: Rng, size: tuple[int, int], unit: float) -> Texture:
    """Overlapping round leaves."""
    colour = _tint(rng, (70, 122, 70), (96, 134, 62), (52, 104, 92), (128, 92, 66))
    image, draw = _canvas(colour - 25, size)
    r = max(2.0, unit * 0.04)
    for _ in range(int(size[0] * size[1] / (r * r * 1.6)) + 1):
        x, y = rng.uniform(0, size[1]), rng.uniform(0, size[0])
        _oval(draw, x, y, r, _rgb(colour, rng.uniform(-0.7, 1)), _rgb(colour, -1.2))
    return np.asarray(image)


def sand(rng: Rng, size: tuple[int, int], unit: float) -> Texture:
    """Long ripples and fine grain."""
    y, _ = grid(size)
    bend = noise(rng, size, 2)
    ripple = np.sin((y + bend * unit * 0.15) / (unit * rng.uniform(0.018, 0.03))) * 0.28
    grain = rng.uniform(-0.3, 0.3, size).astype(np.float32)
    return _paint(_tint(rng, (236, 212, 150), (226, 190, 140), (244, 226, 186), (214, 184, 160)), ripple + grain)


def dirt(rng: Rng, size: tuple[int, int], unit: float) -> Texture:
    """Clods and pebbles."""
    colour = _tint(rng, (150, 110, 78), (122, 92, 74), (172, 130, 92), (134, 120, 104))
    image = Image.fromarray(_paint(colour, 0.5 * noise(rng, size, 12)))
    draw = ImageDraw.Draw(image)
    for _ in range(int(size[0] * size[1] / (unit * unit * 0.012)) + 1):
        x, y, r = rng.uniform(0, size[1]), rng.uniform(0, size[0]), unit * rng.uniform(0.008, 0.022)
        _oval(draw, x, y, r, _rgb(colour, rng.uniform(0.5, 1.4)), _rgb(colour, -1))
    return np.asarray(image)


def snow(rng: Rng, size: tuple[int, int], unit: float) -> Texture:
    """Soft mounds and sparkles."""
    y, _ = grid(size)
    mounds = np.sin(y / (unit * 0.16) + 3 * noise(rng, size, 2.5))
    picture = _paint(_tint(rng, (226, 232, 240), (212, 222, 240), (236, 228, 236), jitter=6), 0.35 * mounds)
    picture[rng.random(size) < 0.012] = (255, 255, 255)
    return picture


def mountain(rng: Rng, size: tuple[int, int], unit: float) -> Texture:
    """Sloping facets, lighter towards the left."""
    y, x = grid(size)
    period = unit * rng.uniform(0.35, 0.6)
    fold = np.abs(np.mod((x + 0.3 * y + unit * 0.2 * noise(rng, size, 4)) / period, 1) - 0.5) * 2
    colour = _tint(rng, (128, 132, 156), (150, 128, 118), (110, 140, 130), (150, 140, 170))
    facet = np.where(fold > 0.5, 0.5, -0.5) + 0.4 * (0.5 - y / size[0]) + 0.15 * noise(rng, size, 14)
    return _paint(colour, facet.astype(np.float32))


def water(rng: Rng, size: tuple[int, int], unit: float) -> Texture:
    """Rows of scalloped waves."""
    y, x = grid(size)
    row_height, wave = unit * rng.uniform(0.05, 0.075), unit * rng.uniform(0.09, 0.14)
    row = np.floor(y / row_height)
    scallop = np.abs(np.sin(math.pi * (x / wave + 0.5 * row)))
    crest = (np.mod(y / row_height, 1) - 0.75 * (1 - scallop)).astype(np.float32)
    light = np.where(np.abs(crest) < 0.16, 1.1, -0.35 * np.mod(row, 2) + 0.1)
    return _paint(_tint(rng, (72, 140, 196), (70, 164, 178), (60, 108, 160), (120, 170, 200)), light.astype(np.float32))


def road(rng: Rng, size: tuple[int, int], unit: float) -> Texture:
    """Asphalt grain with a dashed line."""
    light = rng.uniform(-0.25, 0.25, size).astype(np.float32)
    picture = _paint(_tint(rng, (112, 114, 122), (90, 92, 104), (138, 134, 132)), light)
    middle, half = int(size[0] * rng.uniform(0.4, 0.6)), max(1, round(unit * 0.012))
    dash = max(2, round(unit * rng.uniform(0.1, 0.16)))
    dashes = np.arange(size[1]) // dash % 2 == 0
    picture[max(0, middle - half) : middle + half, dashes] = (240, 232, 200) if rng.random() < 0.6 else (240, 200, 80)
    return picture


def tiles(rng: Rng, size: tuple[int, int], unit: float) -> Texture:
    """A chequerboard with grout."""
    y, x = grid(size)
    side = unit * rng.uniform(0.09, 0.14)
    u, v = x / side, y / side * rng.uniform(1.0, 1.5)
    colour = _tint(rng, (206, 120, 96), (120, 170, 180), (226, 214, 190), (120, 130, 150), (170, 190, 130))
    board = mixed(colour, np.array([240, 234, 222]) * 0.97, (np.floor(u) + np.floor(v)) % 2)
    board[(np.mod(u, 1) < 0.09) | (np.mod(v, 1) < 0.09)] = (150, 144, 140)
    return board


def wooden_floor(rng: Rng, size: tuple[int, int], unit: float) -> Texture:
    """Long planks with seams and grain."""
    y, x = grid(size)
    plank, length = unit * rng.uniform(0.06, 0.09), unit * rng.uniform(0.5, 0.8)
    row = np.floor(y / plank)
    shift = np.mod(row * 0.37, 1) * length
    tone = np.sin(row * 12.9 + np.floor((x + shift) / length) * 4.1) * 0.4
    grain = 0.25 * np.sin(y / max(1.0, unit * 0.006) + 3 * noise(rng, size, 4))
    seam = (np.mod(y / plank, 1) < 0.1) | (np.mod((x + shift) / length, 1) < 0.02)
    colour = _tint(rng, (190, 140, 92), (160, 112, 76), (214, 178, 130), (150, 140, 134))
    return _paint(colour, np.where(seam, -1.3, tone + grain).astype(np.float32))


def carpet(rng: Rng, size: tuple[int, int], unit: float) -> Texture:
    """Woven diamonds in two colours."""
    y, x = grid(size)
    side = unit * rng.uniform(0.12, 0.18)
    u, v = np.mod((x + y) / side, 1), np.mod((x - y) / side, 1)
    motif = ((np.abs(u - 0.5) < 0.2) & (np.abs(v - 0.5) < 0.2)) | (u < 0.12) | (v < 0.12)
    colour = _tint(rng, (176, 64, 72), (84, 92, 150), (88, 134, 110), (190, 140, 70), (150, 90, 150))
    weave = 14 * np.mod(x + y, 2)[..., None]
    woven = mixed(colour, _tint(rng, (240, 224, 190), (230, 190, 100), (40, 44, 70)), motif) - weave
    return np.clip(woven, 0, 255).astype(np.uint8)


def brick_wall(rng: Rng, size: tuple[int, int], unit: float) -> Texture:
    """Rows of offset bricks with mortar."""
    y, x = grid(size)
    height = unit * rng.uniform(0.055, 0.08)
    width = height * rng.uniform(2.0, 2.6)
    row = np.floor(y / height)
    u = x / width + 0.5 * np.mod(row, 2)
    tone = 0.35 * np.sin(row * 7.3 + np.floor(u) * 12.7)
    colour = _tint(rng, (182, 96, 76), (170, 130, 110), (200, 160, 110), (130, 110, 120))
    wall = _paint(colour, tone.astype(np.float32))
    wall[(np.mod(u, 1) < 0.07) | (np.mod(y / height, 1) < 0.14)] = (222, 212, 200)
    return wall


def stone_wall(rng: Rng, size: tuple[int, int], unit: float) -> Texture:
    """Rounded stones of many sizes in dark joints."""
    colour = _tint(rng, (150, 148, 144), (168, 152, 132), (130, 140, 150))
    image, draw = _canvas(colour - 70, size)
    pitch = unit * rng.uniform(0.09, 0.13)
    for i in range(int(size[0] / pitch) + 2):
        for j in range(int(size[1] / pitch) + 2):
            cx = (j + 0.5 * (i % 2) + rng.uniform(-0.18, 0.18)) * pitch
            cy = (i + rng.uniform(-0.15, 0.15)) * pitch
            rx, ry = pitch * rng.uniform(0.42, 0.58), pitch * rng.uniform(0.38, 0.52)
            box = (cx - rx, cy - ry, cx + rx, cy + ry)
            draw.rounded_rectangle(box, radius=min(rx, ry) * 0.7, fill=_rgb(colour, rng.uniform(-0.6, 0.9)))
    return np.asarray(image)


def wallpaper(rng: Rng, size: tuple[int, int], unit: float) -> Texture:
    """Broad stripes with a row of dots."""
    y, x = grid(size)
    band = unit * rng.uniform(0.12, 0.2)
    colour = _tint(rng, (232, 200, 190), (190, 212, 220), (220, 224, 180), (216, 196, 226), (236, 220, 180))
    stripe = np.mod(x / band, 2) < 1
    u, v = np.mod(x / band, 1) - 0.5, np.mod(y / band, 1) - 0.5
    picture = mixed(colour, colour + 18, stripe)
    picture[u * u + v * v < 0.02] = _rgb(colour, -1.6)
    return picture


def curtain(rng: Rng, size: tuple[int, int], unit: float) -> Texture:
    """Hanging folds."""
    y, x = grid(size)
    fold = unit * rng.uniform(0.05, 0.08)
    wave = np.sin(2 * math.pi * (x + unit * 0.03 * np.sin(y / (unit * 0.3))) / fold)
    colour = _tint(rng, (186, 76, 84), (90, 120, 170), (214, 178, 90), (120, 150, 110), (176, 120, 176))
    return _paint(colour, (0.9 * wave).astype(np.float32))


_OUTDOORS = (sky, night_sky, grass, hedge, sand, dirt, snow, mountain, water, road)
_INDOORS = (tiles, wooden_floor, carpet, brick_wall, stone_wall, wallpaper, curtain)
TEXTURES: Mapping[str, Callable[[Rng, tuple[int, int], float], Texture]] = {
    function.__name__.replace("_", " "): function for function in (*_OUTDOORS, *_INDOORS)
}
"""Texture functions by name: of a generator, height and width in pixels, and the size of the marks in pixels."""

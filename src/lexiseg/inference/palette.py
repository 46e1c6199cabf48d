"""Colours of names: constant across pictures with one vocabulary, and distinct in colour-deficient vision too.

Colours are chosen in OKLCH, a perceptually uniform space. Their distance is the least under normal vision and simulated
protanopia, deuteranopia and tritanopia.
"""

import hashlib
import math
from collections.abc import Iterable
from functools import cache

import numpy as np
from jaxtyping import Float

RGB = tuple[int, int, int]

PALETTE_SIZE = 40
LARGEST_PALETTE = 160
"""More colours than these would hardly differ."""
NEAR = 0.05  # OKLab distance from which two soft fills are clearly distinct in all kinds of vision
ALIKE = 0.0145  # below it, two fills look the same in some kind of vision; the usual palette's are farther apart

_LIGHTNESS = (0.55, 0.65, 0.75, 0.85)  # steps that survive when hues do not
_CHROMA = 0.14  # soft, yet no grey; less where the sRGB gamut ends earlier
_GOLDEN_ANGLE = math.tau * (1 - 2 / (1 + math.sqrt(5)))

_VISIONS = np.array(  # on linear RGB, full severity (Machado, Oliveira and Fernandes, 2009)
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ]
)
_RGB_TO_LMS = np.array(  # OKLab (Ottosson, 2020)
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LMS_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def name_colours(names: Iterable[str], among: Iterable[str] = ()) -> dict[str, RGB]:
    """Assigns distinct colours to the names of one picture, as far as the palette is large enough.

    A name keeps its own colour unless that of another name in the picture looks the same; then the later one in
    alphabetical order takes the next free colour of the palette.

    Args:
        names: of the picture, in any order, repeats allowed; neither changes the result.
        among: the whole vocabulary's names. Their own colours are kept distinct, so that a name has the same colour in
            all pictures; more than `LARGEST_PALETTE` are ignored.

    Returns:
        A colour for each name.
    """
    shown = sorted(set(names))
    everything = {*shown, *among}
    if len(everything) > LARGEST_PALETTE:
        everything = set(shown)
    size = min(max(PALETTE_SIZE, len(everything)), LARGEST_PALETTE)
    own = _spread(tuple(sorted(everything)), size)
    distances = _distances(size)
    taken: list[int] = []
    colours: dict[str, RGB] = {}
    for name in shown:
        slot = own[name]
        if taken and distances[slot, taken].min() < ALIKE:
            slot = _free(slot, taken, distances)
        taken.append(slot)
        colours[name] = palette(size)[slot]
    return colours


@cache
def _spread(names: tuple[str, ...], size: int) -> dict[str, int]:
    """The palette index of each name: distinct while the palette lasts, and far apart while there is room."""
    taken: list[int] = []
    for name in names:
        start = _slot(name)
        taken.append(_free(start, taken, _distances(size)) if len(taken) < size else start)
    return dict(zip(names, taken, strict=True))


def _free(start: int, taken: list[int], distances: Float[np.ndarray, "N N"]) -> int:
    """The first index from `start` on whose colour is not near a taken one; or else the farthest."""
    if not taken:
        return start
    slots = [(start + step) % len(distances) for step in range(len(distances))]
    room = [float(distances[slot, taken].min()) for slot in slots]
    clear = [slot for slot, distance in zip(slots, room, strict=True) if distance >= NEAR]
    return clear[0] if clear else slots[int(np.argmax(room))]


def at_lightness(colour: RGB, lightness: float, *, chroma: float = 1.0) -> RGB:
    """Returns the same hue at another lightness.

    Args:
        colour: sRGB.
        lightness: of OKLCH, in [0, 1].
        chroma: factor on the colour's own chroma, not negative.
    """
    _, a, b = oklab(np.array(colour, dtype=np.float64)[None] / 255)[0]
    return _from_oklch(lightness, math.hypot(a, b) * chroma, math.atan2(b, a))


def oklab(rgb: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
    """Converts sRGB in [0, 1] to OKLab: lightness in [0, 1], then green-red and blue-yellow."""
    return _lab_of_linear(_to_linear(rgb))


@cache
def palette(size: int = PALETTE_SIZE) -> tuple[RGB, ...]:
    """Returns a palette of so many colours, best separated ones first.

    Of all hues at golden angles and four lightnesses, the next colour is the one with the largest distance to its
    nearest earlier colour (farthest-point sampling).
    """
    candidates = sorted(
        {_from_oklch(lightness, _CHROMA, step * _GOLDEN_ANGLE) for step in range(48) for lightness in _LIGHTNESS}
    )
    distances = _pairwise(candidates)
    chosen = [0]
    while len(chosen) < size:
        chosen.append(int(distances[:, chosen].min(axis=1).argmax()))
    return tuple(candidates[i] for i in chosen)


@cache
def _distances(size: int) -> Float[np.ndarray, "N N"]:
    """Distances between a palette's colours."""
    return _pairwise(palette(size))


def _slot(name: str) -> int:
    """Hashes a name (Python's own hash differs between processes) to a place in the palette."""
    digest = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % PALETTE_SIZE


def _pairwise(colours: Iterable[RGB]) -> Float[np.ndarray, "N N"]:
    """Returns OKLab distances, each the least over kinds of vision.

    Distances in normal vision, the most frequent, are halved: they must be twice as large.
    """
    linear = _to_linear(np.array(list(colours), dtype=np.float64) / 255)
    seen = [_lab_of_linear(np.clip(linear @ vision.T, 0, 1)) for vision in _VISIONS]
    apart = [np.linalg.norm(lab[:, None] - lab[None], axis=-1) for lab in seen]
    return np.minimum(apart[0] / 2, np.min(apart[1:], axis=0))


def _lab_of_linear(linear: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
    return np.cbrt(linear @ _RGB_TO_LMS.T) @ _LMS_TO_LAB.T


def _to_linear(rgb: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
    """Undoes sRGB's transfer curve."""
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _from_oklch(lightness: float, chroma: float, hue: float) -> RGB:
    """Converts to sRGB; chroma shrinks until the colour exists on a screen."""
    while True:
        lab = np.array([lightness, chroma * math.cos(hue), chroma * math.sin(hue)])
        linear = np.linalg.solve(_RGB_TO_LMS, np.linalg.solve(_LMS_TO_LAB, lab) ** 3)
        if chroma < 1e-3 or (linear.min() >= -1e-4 and linear.max() <= 1 + 1e-4):
            break
        chroma *= 0.95
    linear = np.clip(linear, 0, 1)
    rgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = np.round(rgb * 255).astype(int).tolist()
    return red, green, blue

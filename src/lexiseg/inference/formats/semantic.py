"""Semantic maps: a PNG per picture whose values are places in the vocabulary, and one legend.

The legend is a `classes.json` as `lexiseg` reads it beside the label maps of a data set.
"""

import json
from collections.abc import Iterator

import numpy as np
from PIL import Image

from lexiseg.inference.formats.format import NamedResult, Run, encoded, word_colours

VOID, VOID_16 = 255, 65535
"""Values of pixels without a segment: of up to 255 words, and of more."""
VOID_COLOUR = (236, 235, 231)


def semantic_files(named: NamedResult) -> dict[str, bytes]:
    """The map: 8-bit with a palette for up to 255 words, else 16-bit grey.

    Raises:
        ValueError: if the words are more than 16 bits can tell apart.
    """
    numbers = named.categories.numbers
    if len(numbers) > VOID_16:
        raise ValueError(
            f"a semantic map has 16 bits, for {VOID_16:,} words at most, got {len(numbers):,}: leave that format out."
        )
    place_of = {word: place for place, word in enumerate(numbers)}
    segments, ids = named.result.segments, named.result.segmentation
    void = void_value(len(numbers))
    values = np.full(1 + max((segment.id for segment in segments), default=0), void, np.min_scalar_type(void))
    for segment in segments:
        values[segment.id] = place_of[segment.name, segment.is_thing]
    picture = Image.fromarray(values[ids])
    if void == VOID:
        picture.putpalette(_palette(named.categories.words))
    return {f"semantic/{named.stem}.png": encoded(picture)}


def semantic_legend(run: Run) -> Iterator[str]:
    """The text of the legend: the word of every value, whether it is a thing, and its colour where there is one."""
    words = run.categories.words
    colours = word_colours(words) if void_value(len(words)) == VOID else ()
    lines = [
        {"id": value, "name": name, "isthing": int(is_thing)} | ({"color": list(colours[value])} if colours else {})
        for value, (name, is_thing) in enumerate(run.categories.numbers)
    ]
    yield "[\n" + ",\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n]\n"


def void_value(num_words: int) -> int:
    """The value of pixels without a segment."""
    return VOID if num_words <= VOID else VOID_16


def _palette(words: tuple[str, ...]) -> list[int]:
    """The colours of all 256 values, channel by channel; those without a word have that of void."""
    colours = word_colours(words)
    return [channel for colour in [*colours, *[VOID_COLOUR] * (256 - len(colours))] for channel in colour]

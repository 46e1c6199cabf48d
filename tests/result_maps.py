"""Results of every odd form that formats must hold: what is read back of them is equal."""

from pathlib import Path

import numpy as np

from lexiseg.core.structures import Guess, Segment
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.id_maps import segments_of
from lexiseg.inference.result import Result

ODD = (
    "void",
    "one",
    "many words",
    "strange letters",
    "specks",
    "holes",
    "one pixel",
    "corners",
    "random",
    "scattered ids",
)


def result_of(
    ids: np.ndarray, names: dict[int, str], words: str, *, picture: np.ndarray | None = None, tree: bool = False
) -> Result:
    """A result with this map; scores fall with the ids."""
    vocabulary = Vocabulary.of(words)
    places = {name: place for place, name in enumerate(vocabulary.names)}
    ids = ids.astype(np.int32)
    segments = tuple(
        Segment(
            id=number,
            class_id=places[names[number]],
            name=names[number],
            score=0.95 / (1 + place),
            is_thing=vocabulary.concepts[places[names[number]]].is_thing,
            area=area,
            box=box,
            guesses=(Guess(name=names[number], score=0.6), Guess(name=vocabulary.names[-1], score=0.2)),
            path=(Guess(name="living <b>", score=0.99), Guess(name=names[number], score=0.75)) if tree else (),
        )
        for place, (number, (area, box)) in enumerate(segments_of(ids).items())
    )
    height, width = ids.shape
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Result(
        segmentation=ids,
        segments=segments,
        vocabulary=vocabulary,
        picture=noise if picture is None else picture,
        source=Path("photos/tom.jpg"),
    )


def odd_result(kind: str) -> Result:
    """One of `ODD`."""
    rng = np.random.default_rng(7)
    ids = np.zeros((24, 40), np.int32)
    words, names = "cat, dog, sky:stuff", {}
    if kind == "one":
        ids[:], names = 1, {1: "sky"}
    elif kind == "many words":
        ids[4:20, 4:30], ids[6:9, 8:12], names = 5, 9, {5: "word 299", 9: "word 3"}
        words = ", ".join(f"word {n}:{'thing' if n % 2 else 'stuff'}" for n in range(300))
    elif kind == "strange letters":
        ids[2:9, 3:30], ids[12:20, 5:9] = 1, 2
        words, names = "Katze & <Hund>, 猫/犬, é\"'{$}", {1: "猫/犬", 2: "é\"'{$}"}
    elif kind == "specks":
        for number, (y, x) in enumerate([(0, 0), (0, 39), (23, 0), (23, 39), (11, 20)], start=1):
            ids[y, x], names[number] = number, "cat" if number % 2 else "sky"
    elif kind == "holes":
        ids[2:22, 2:22], ids[4:20, 4:20], ids[8:16, 8:16], ids[10, 10] = 1, 0, 1, 0
        ids[3:10, 25:38], ids[5:7, 27:30], ids[14:16, 30], names = 2, 3, 2, {1: "cat", 2: "dog", 3: "sky"}
    elif kind == "one pixel":
        ids, names = np.ones((1, 1), np.int32), {1: "dog"}
    elif kind == "corners":  # pixels that touch by their corners alone, in both directions
        ys, xs = np.mgrid[:24, :40]
        ids, names = (1 + (ys + xs) % 2) * (ys < 12), {1: "cat", 2: "sky"}
    elif kind == "random":
        ids, names = rng.integers(0, 4, (24, 40)), {1: "cat", 2: "dog", 3: "sky"}
    elif kind == "scattered ids":
        ids[:9], ids[9:18, 7:], names = 256 * 3, 70_000, {256 * 3: "sky", 70_000: "cat"}
    else:
        assert kind == "void", kind
    return result_of(ids, names, words)


def masks_of(result: Result) -> dict[int, np.ndarray]:
    """The mask of each segment, by its id."""
    return {segment.id: result.segmentation == segment.id for segment in result.segments}

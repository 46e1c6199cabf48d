"""Captions of drawn pictures: names, synonyms, attributes and places, in random sentences."""

from collections.abc import Sequence
from dataclasses import dataclass

from lexiseg.storybook.drawings.pen import Rng
from lexiseg.storybook.roles import CONCEPTS, DUSK_DRAWINGS
from lexiseg.storybook.scene import DrawnSegment, Scene

FRAMES = (
    "{}",
    "a photo of {}.",
    "a picture of {}",
    "a drawing of {}.",
    "This is a photo of {}",
    "There is {} in the scene",
    "look at {}",
)
SIZE_WORDS = ("small", "medium", "large")
PLACES = ("on the", "near the", "by the", "in front of the", "with")

_OTHER_NAMES: dict[str, tuple[str, ...]] = {
    drawing: tuple(n for n, d in DUSK_DRAWINGS.items() if d == drawing) for drawing in CONCEPTS
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """A phrase or sentence, with its nouns."""

    text: str
    nouns: tuple[str, ...]
    """Names of segments in the text, in its order; attributes and frames such as "a photo" are left out."""


def word_for(rng: Rng, drawing: str) -> str:
    """A name of the drawing: mostly its first, sometimes a synonym, sometimes its name at dusk."""
    concept, others = CONCEPTS[drawing], _OTHER_NAMES[drawing]
    draw = rng.random()
    if concept.synonyms and draw < 0.25:
        return concept.synonyms[rng.integers(len(concept.synonyms))]
    if others and draw > 0.85:
        return others[rng.integers(len(others))]
    return concept.name


def size_word(scene: Scene, segment: DrawnSegment) -> str:
    """One of `SIZE_WORDS`, by the segment's share of the picture."""
    share = float((scene.ids == segment.id).mean())
    return SIZE_WORDS[(share > 0.06) + (share > 0.2)]


def phrase_for(rng: Rng, scene: Scene, segment: DrawnSegment, *, detail: float = 1.0) -> Wording:
    """A noun phrase: "a small red striped cat", "many duck" for a crowd; stuff goes without an article."""
    word = word_for(rng, segment.name)
    if not CONCEPTS[segment.name].is_thing:
        return Wording(text=word, nouns=(word,))
    if segment.is_crowd:
        return Wording(text=f"many {word}", nouns=(word,))
    attributes = []
    if rng.random() < 0.4 * detail:
        attributes.append(size_word(scene, segment))
    if rng.random() < 0.4 * detail:
        attributes.append(segment.colour)
    if segment.pattern != "plain" and rng.random() < 0.5 * detail:
        attributes.append(segment.pattern)
    text = " ".join([*attributes, word])
    return Wording(text=f"{'an' if text[0] in 'aeiou' else 'a'} {text}", nouns=(word,))


def caption(rng: Rng, scene: Scene, *, detail: float = 1.0) -> str:
    """The text of `worded_caption`."""
    return worded_caption(rng, scene, detail=detail).text


def worded_caption(rng: Rng, scene: Scene, *, detail: float = 1.0) -> Wording:
    """One sentence for a picture: its things in random order, then, often, what is around them.

    Args:
        rng: source of the random choices.
        scene: the picture and its segments.
        detail: how often sizes, colours, patterns and the surroundings are named, relative to the usual 0.4, 0.4, 0.5
            and 0.7.
    """
    things = [s for s in scene.segments if CONCEPTS[s.name].is_thing]
    stuff = [s for s in scene.segments if not CONCEPTS[s.name].is_thing]
    rng.shuffle(things)
    phrases = [phrase_for(rng, scene, s, detail=detail) for s in things]
    text = _join([phrase.text for phrase in phrases])
    if stuff and (not things or rng.random() < 0.7 * detail):
        around = phrase_for(rng, scene, stuff[rng.integers(len(stuff))])
        text = f"{text} {PLACES[rng.integers(len(PLACES))]} {around.text}" if things else around.text
        phrases.append(around)
    return Wording(
        text=FRAMES[rng.integers(len(FRAMES))].format(text),
        nouns=tuple(noun for phrase in phrases for noun in phrase.nouns),
    )


def named_words(rng: Rng, scene: Scene) -> tuple[str, ...]:
    """Random names of all segments, distractors too, as in captions; sorted, without repeats."""
    return tuple(sorted({word_for(rng, segment.name) for segment in scene.segments}))


def _join(phrases: Sequence[str]) -> str:
    """Joins phrases to a list: "a cat", "a cat and a dog", "a cat, a dog and a bee"."""
    if len(phrases) < 2:
        return "".join(phrases)
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def labels(scene: Scene) -> tuple[str, ...]:
    """The image-level labels: the drawings' names of all segments, without repeats, sorted."""
    return tuple(sorted({segment.name for segment in scene.segments}))

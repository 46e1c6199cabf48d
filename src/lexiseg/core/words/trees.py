"""Places in a taxonomy for the words of any vocabulary, by WordNet's relations between kinds."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from lexiseg.core.concepts import Concept, same_word
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.core.words.wordnet import WordNet

_SAY_LITTLE = (
    "entity, physical entity, abstraction, thing, object, whole, matter, unit, part, instrumentality, living thing, "
    "organism, causal agent, chordate, vertebrate, placental, domestic animal, artifact, psychological feature, "
    "attribute, relation, group, process, physical process, substance, vascular plant, instrumentation, natural "
    "object, aquatic vertebrate, craft, fluid, solid, passerine, oscine, invertebrate, creation, way, communication, "
    "measure, arrangement"
)
LEFT_OUT = frozenset(_SAY_LITTLE.split(", "))
"""Nodes that say too little, or say it too learnedly, to be a step of a path."""


def with_places(vocabulary: Vocabulary, wordnet: WordNet, senses: Mapping[str, str] | None = None) -> Vocabulary:
    """The vocabulary with WordNet's places of its words: "thing" or "stuff", then kinds, from wide to narrow.

    A kind is a step only where it parts the words: one with a single child is left out, and so are those of `LEFT_OUT`.
    A word that is itself a kind of other words here is a leaf below its own node, as are words of one sense. A word's
    sense is the one with its id; or of its name, of a synonym, or of their last words ("oak tree" is a tree) the one
    that can be seen, is no single person or place, and shares most names with it; of equal ones the most frequent.
    Words that WordNet lacks stay right below the root.

    Args:
        vocabulary: the words; places that they have are replaced.
        wordnet: the nouns.
        senses: ids by name, for words whose first sense is another.

    Raises:
        VocabularyError: if WordNet's files are damaged.
    """
    chosen = [_sense(concept, wordnet, senses or {}) for concept in vocabulary.concepts]
    ways = [
        [] if sense is None else [(one, wordnet.synset(one).lemmas[0]) for one in (*wordnet.ancestors(sense), sense)]
        for sense in chosen
    ]
    chains = [
        ["thing" if concept.is_thing else "stuff", *(name for _, name in way if name not in LEFT_OUT)]
        for concept, way in zip(vocabulary.concepts, ways, strict=True)
    ]
    count = Counter(tuple(chain[:depth]) for chain in chains for depth in range(1, len(chain) + 1))
    paths = [chain if count[tuple(chain)] > 1 or len(chain) == 1 else chain[:-1] for chain in chains]
    kept = _joined(paths)
    concepts = [replace(c, path=kept[tuple(path)]) for c, path in zip(vocabulary.concepts, paths, strict=True)]
    return replace(vocabulary, concepts=tuple(concepts))


def _sense(concept: Concept, wordnet: WordNet, senses: Mapping[str, str]) -> str | None:
    """The id of a concept's sense; None if WordNet has none."""
    if known := senses.get(concept.name) or (concept.id if concept.id in wordnet else ""):
        return known
    asked = set(map(same_word, concept.names))

    def merit(sense: str) -> tuple[bool, int]:
        shared = asked & set(map(same_word, wordnet.synset(sense).lemmas))
        return wordnet.is_seen(sense), len(shared)

    last_words = [name.split()[-1] for name in concept.names]
    for name in (*concept.names, *last_words):
        forms = (name, name.removesuffix("s"), name.removesuffix("es"))
        if found := [sense for form in dict.fromkeys(forms) for sense in wordnet.senses(form)]:
            return max(found, key=merit)  # of equal ones the first, which is the most frequent
    return None


def _joined(paths: Iterable[list[str]]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """For each path the one without nodes that have a single child, the root excepted."""
    children: dict[tuple[str, ...], set[object]] = {}
    for place, path in enumerate(paths):
        for depth in range(1, len(path)):
            children.setdefault(tuple(path[:depth]), set()).add(path[depth])
        children.setdefault(tuple(path), set()).add(place)
    return {
        tuple(path): tuple(
            name for depth, name in enumerate(path, 1) if depth == 1 or len(children[tuple(path[:depth])]) > 1
        )
        for path in paths
    }

"""Writes the places of the concepts of coco, ade20k and imagenet into their lists, made from WordNet's relations.

    python tools/places.py /usr/share/wordnet

The folder is that of Debian's package wordnet-base. A list that is written once more comes out the same.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from lexiseg.core import vocabulary as lists
from lexiseg.core.concepts import same_word
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.core.words.trees import with_places
from lexiseg.core.words.wordnet import WordNet

FOLDER = Path(lists.__file__).with_name("vocabularies")
SENSES = {
    "coco": {
        "wine glass": "n04592099",  # and not the material
        "banana": "n07753592",  # the fruit; WordNet's first sense is the plant, as of the next two
        "broccoli": "n07714990",
        "carrot": "n07730207",
        "hot dog": "n07697537",  # food, and no show-off
        "cake": "n07628870",  # baked, and no bar of soap
        "potted plant": "n00017222",  # flora, and no factory
        "toilet": "n04446521",  # the fixture, and not the room
        "tv": "n04405907",  # the receiver, and not broadcasting
        "mouse": "n03793489",  # of a computer, as COCO has it among electronics
        "keyboard": "n03085013",  # likewise, and not of a piano
        "cell phone": "n02992529",
        "microwave": "n03761084",  # the oven, and no wave
        "toaster": "n04442312",  # the appliance, and no person
        "book": "n02870092",  # the object, and not the work
        "fruit": "n07705931",  # edible
        "light": "n03665366",  # a lamp, and no radiation
        "net": "n03819994",  # of strings, and not the internet
        "food": "n07555863",  # solid food
    },
    "ade20k": {
        "plant": "n00017222",  # flora, and no factory
        "seat": "n04161981",  # furniture
        "cushion": "n03151500",  # a soft bag, and no shock absorber
        "runway": "n04120842",  # of an airport
        "blind": "n02851099",  # at a window, and no hunters' hide
        "bar": "n02789487",  # the counter, and not the room
        "light": "n03665366",  # a lamp, and no radiation
        "tv": "n04405907",  # the receiver, and not broadcasting
        "poster": "n06793426",  # on a wall, and no person who puts it there
        "van": "n04520170",  # on a road, and not on rails
        "canopy": "n02951843",  # a roof of cloth, and not of a cockpit
        "falls": "n09475292",  # of water, and no petals
        "microwave": "n03761084",  # the oven, and no wave
        "pot": "n03991062",  # with flowers, as most of them are there
        "screen": "n04152387",  # between parts of a room
        "sconce": "n04148579",  # on a wall, and no fort
        "plate": "n03959485",  # with food, and no base of baseball
        "monitor": "n03782190",  # a display, and no person
        "bulletin board": "n02916538",  # on a wall, and no computer
        "radiator": "n04041069",  # of a room
        "book": "n02870092",  # the object, and not the work
    },
}
"""The senses that a person had to choose, as WordNet's most frequent one is not what the data set means."""


def with_ids(vocabulary: Vocabulary, wordnet: WordNet) -> Vocabulary:
    """ImageNet's classes with their synsets: those that ascend as they do, share most names, and add fewest.

    Raises:
        ValueError: if a class has none.
    """
    best: list[tuple[int, str, tuple[str, ...]]] = [(0, "", ())]  # merit, the last synset, the way to it
    for concept in vocabulary.concepts:
        names = set(map(same_word, concept.names))
        last_words = [name.split()[-1] for name in concept.names]
        senses = dict.fromkeys(sense for name in (*concept.names, *last_words) for sense in wordnet.senses(name))
        found: dict[str, tuple[int, str, tuple[str, ...]]] = {}
        for sense in senses:
            lemmas = set(map(same_word, wordnet.synset(sense).lemmas))
            merit = 3 * len(names & lemmas) - len(lemmas)  # an altar is not a communion table, too
            ways = [(score + merit, sense, (*way, sense)) for score, last, way in best if last < sense]
            if ways:
                found[sense] = max(ways, key=lambda way: way[0])
        if not found:
            raise ValueError(f"no synset for {concept.name}")
        best = list(found.values())
    ids = max(best, key=lambda way: way[0])[2]
    concepts = tuple(replace(concept, id=one) for concept, one in zip(vocabulary.concepts, ids, strict=True))
    return replace(vocabulary, concepts=concepts)


def main(folder: Path) -> None:
    """Writes the lists."""
    wordnet = WordNet.read(folder)
    for listed in ("coco", "ade20k", "imagenet"):
        file = FOLDER / f"{listed}.json"
        document = json.loads(file.read_text("utf-8"))
        vocabulary = Vocabulary.of(listed)
        vocabulary = with_ids(vocabulary, wordnet) if listed == "imagenet" else vocabulary
        placed = with_places(vocabulary, wordnet, SENSES.get(listed)).concepts
        for entry, concept in zip(document["concepts"], placed, strict=True):
            entry["path"] = list(concept.path)
            if concept.id:
                entry["id"] = concept.id
        head = json.dumps({key: value for key, value in document.items() if key != "concepts"}, ensure_ascii=False)
        lines = ",\n".join(f"    {json.dumps(entry, ensure_ascii=False)}" for entry in document["concepts"])
        file.write_text(f'{head[:-1]}, "concepts": [\n{lines}\n]}}\n', "utf-8")
        deep = sum(len(concept.path) >= 2 for concept in placed)
        print(
            f"{listed}: {deep} of {len(placed)} concepts lie at depth 3 or more, the deepest at "
            f"{1 + max(len(concept.path) for concept in placed)}"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Class names of published closed-set heads as a vocabulary.

Every data set has its own way to write them: "sky-other-merged", "wall-brick", "windowpane, window", "Traffic Sign
(Front)", "construction--flat--road". They are matched to the built-in lists, which say what is a thing, and cleaned
where no list fits, because CLIP reads them as they are written.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from lexiseg.core.concepts import Concept, same_word
from lexiseg.core.vocabulary import Vocabulary, builtin_names, is_thing

_SUFFIX = re.compile(r"-(?:other-merged|other|merged|stuff)$")
"""What COCO adds to names that it has merged, that stand for a rest, or that are a thing too."""
_TURNED = re.compile(r"(wall|floor|ceiling)-(\w+)")
"""COCO's "wall-brick"."""
_CITED_FIRST = ("coco", "ade20k", "cityscapes")
"""Lists with official stuff, asked first for a part of their classes, such as COCO's 80 things."""
_ADE20K = {
    "window": "windowpane",
    "tub": "bathtub",
    "rail": "railing",
    "street lamp": "streetlight",
    "tv": "television receiver",
    "plane": "airplane",
    "clothes": "apparel",
    "pool": "swimming pool",
    "falls": "waterfall",
    "trash can": "ashcan",
}
"""Ten names of the built-in ade20k, which are those of the panoptic challenge, as WordNet and the hub spell them."""
_MAPILLARY = """animal--bird|Bird:bird; animal--ground-animal|Ground Animal:animal; construction--barrier--curb|Curb-curb;
construction--barrier--fence|Fence-fence; construction--barrier--guard-rail|Guard Rail-guard rail;
construction--barrier--other-barrier|Barrier-barrier; construction--barrier--wall|Wall-wall;
construction--flat--bike-lane|Bike Lane-bike lane; construction--flat--crosswalk-plain|Crosswalk - Plain:crosswalk;
construction--flat--curb-cut|Curb Cut-curb cut; construction--flat--parking|Parking-parking lot;
construction--flat--pedestrian-area|Pedestrian Area-pedestrian area; construction--flat--rail-track|Rail Track-rail track;
construction--flat--road|Road-road; construction--flat--service-lane|Service Lane-service lane;
construction--flat--sidewalk|Sidewalk-sidewalk; construction--structure--bridge|Bridge-bridge;
construction--structure--building|Building-building; construction--structure--tunnel|Tunnel-tunnel;
human--person|Person:person; human--rider--bicyclist|Bicyclist:bicyclist;
human--rider--motorcyclist|Motorcyclist:motorcyclist; human--rider--other-rider|Other Rider:rider;
marking--crosswalk-zebra|Lane Marking - Crosswalk:zebra crossing; marking--general|Lane Marking - General-lane marking;
nature--mountain|Mountain-mountain; nature--sand|Sand-sand; nature--sky|Sky-sky; nature--snow|Snow-snow;
nature--terrain|Terrain-terrain; nature--vegetation|Vegetation-vegetation; nature--water|Water-water;
object--banner|Banner:banner; object--bench|Bench:bench; object--bike-rack|Bike Rack:bike rack;
object--billboard|Billboard:billboard; object--catch-basin|Catch Basin:catch basin;
object--cctv-camera|CCTV Camera:CCTV camera; object--fire-hydrant|Fire Hydrant:fire hydrant;
object--junction-box|Junction Box:junction box; object--mailbox|Mailbox:mailbox; object--manhole|Manhole:manhole;
object--phone-booth|Phone Booth:phone booth; object--pothole|Pothole-pothole;
object--street-light|Street Light:street light; object--support--pole|Pole:pole;
object--support--traffic-sign-frame|Traffic Sign Frame:traffic sign frame;
object--support--utility-pole|Utility Pole:utility pole; object--traffic-light|Traffic Light:traffic light;
object--traffic-sign--back|Traffic Sign (Back):back of a traffic sign;
object--traffic-sign--front|Traffic Sign (Front):traffic sign; object--trash-can|Trash Can:trash can;
object--vehicle--bicycle|Bicycle:bicycle; object--vehicle--boat|Boat:boat; object--vehicle--bus|Bus:bus;
object--vehicle--car|Car:car; object--vehicle--caravan|Caravan:caravan;
object--vehicle--motorcycle|Motorcycle:motorcycle; object--vehicle--on-rails|On Rails-train;
object--vehicle--other-vehicle|Other Vehicle:vehicle; object--vehicle--trailer|Trailer:trailer;
object--vehicle--truck|Truck:truck; object--vehicle--wheeled-slow|Wheeled Slow:handcart;
void--car-mount|Car Mount-car mount; void--ego-vehicle|Ego Vehicle-ego vehicle; void--unlabeled|Unlabeled-unlabeled"""
"""Mapillary Vistas 1.2: label, readable name, ":" before a thing or "-" before stuff, and what CLIP may read; 37 things,
28 stuff, and the unlabelled rest, which some heads have a row for."""
_ENTRY = re.compile(r"(?P<label>[\w-]+)\|(?P<readable>.+?)(?P<kind>[:-])(?P<spoken>[\w ]+)")


def training_vocabulary(labels: Sequence[str]) -> Vocabulary:
    """The concepts of a class head's rows, in their order, one for each.

    They are those of the first that knows every label: a built-in list of just these classes; Mapillary Vistas; a
    built-in list of more, such as coco for COCO's 80 things. If none does, they are the labels' own cleaned names,
    things unless a list knows them as stuff.

    Args:
        labels: as id2label has them; at least one.
    """
    lists = [*_CITED_FIRST, *(name for name in builtin_names() if name not in _CITED_FIRST)]
    known = {name: Vocabulary.of(name).concepts for name in lists}
    same_length = [concepts for concepts in known.values() if len(concepts) == len(labels)]
    longer = [concepts for concepts in known.values() if len(concepts) > len(labels)]
    for concepts in (*same_length, _mapillary(), *longer):
        if (chosen := _matched(labels, concepts)) is not None:
            return Vocabulary(tuple(chosen))
    return Vocabulary(tuple(_cleaned(labels)))


def without_raw_forms(vocabulary: Vocabulary) -> Vocabulary:
    """The vocabulary without synonyms that are a data set's way to write another name, such as "sky-other-merged"."""
    return replace(
        vocabulary,
        concepts=tuple(
            replace(concept, synonyms=tuple(name for name in concept.synonyms if not _is_raw(name, concept)))
            for concept in vocabulary.concepts
        ),
    )


def _is_raw(name: str, concept: Concept) -> bool:
    """Whether a synonym has COCO's suffix, or is another name turned round, hyphened or written as one word."""
    if _SUFFIX.search(name):
        return True
    spoken = _spoken(name)[0]
    is_written_so = spoken != name or " " not in name
    return is_written_so and any(_letters(spoken) == _letters(other) for other in concept.names if other != name)


def _spoken(label: str) -> tuple[str, ...]:
    """The names in a label as people write them; several where commas part them."""
    readable = label.split("--")[-1].replace("-", " ") if "--" in label else label
    found: list[str] = []
    for part in re.split("[,;|]", readable):
        name = _SUFFIX.sub("", " ".join(part.replace("_", " ").split()))
        name = _TURNED.sub(r"\2 \1", name) if _TURNED.fullmatch(name) else name
        found += [name.lower() if name.istitle() else name] if name else []
    return tuple({same_word(name): name for name in found}.values())


def _cleaned(labels: Sequence[str]) -> Iterator[Concept]:
    """Concepts of the labels' own names; a name goes to the first that has it."""
    used: set[str] = set()
    for place, label in enumerate(labels):
        names = [name for name in (*_spoken(label), " ".join(label.split())) if same_word(name) not in used]
        spoken = [name for name in _spoken(label) if name in names] or names[:1] or [f"class {place}"]
        used |= set(map(same_word, spoken))
        yield Concept(spoken[0], tuple(spoken[1:]), is_thing(spoken))


def _matched(labels: Sequence[str], concepts: Sequence[Concept]) -> list[Concept] | None:
    """Each label's concept; None unless all have one, and all another.

    A label's first name is looked for first, as its other names may be another label's: ADE20K has "screen door,
    screen" and "screen"; then the others; then all of them in another number, or with other spaces and hyphens.
    """
    chosen: dict[int, int] = {}
    taken: set[int] = set()
    first: Callable[[str], tuple[str, ...]] = lambda label: _label_names(label)[:1]
    for names_of, key in ((first, same_word), (_label_names, same_word), (_label_names, _singular)):
        places: dict[str, int] = {}
        for place, concept in enumerate(concepts):
            if place not in taken:
                for name in _concept_names(concept):
                    places.setdefault(key(name), place)
        for number, label in enumerate(labels):
            found = [place for name in names_of(label) if (place := places.get(key(name))) is not None]
            free = [place for place in found if place not in taken]
            if number not in chosen and free:
                chosen[number] = free[0]
                taken.add(free[0])
    return [concepts[chosen[number]] for number in range(len(labels))] if len(chosen) == len(labels) else None


def _label_names(label: str) -> tuple[str, ...]:
    """Names by which a label may be known: the whole of it, those that commas part, and those that people write."""
    parts = (" ".join(part.split()) for part in re.split("[,;|]", label))
    return tuple(dict.fromkeys(part for part in (*parts, *_spoken(label)) if part))


def _concept_names(concept: Concept) -> tuple[str, ...]:
    """A concept's names, and how ADE20K and Mapillary spell it elsewhere."""
    other = _ADE20K.get(concept.name)
    return concept.names if other is None else (*concept.names, other)


def _mapillary() -> list[Concept]:
    """Mapillary's classes; a label and its readable name are both names for a match, and none for CLIP."""
    found = map(_ENTRY.fullmatch, _MAPILLARY.replace("\n", " ").split("; "))
    return [
        Concept(entry["spoken"], (), entry["kind"] == ":", (entry["label"], entry["readable"]))
        for entry in found
        if entry is not None
    ]


def _letters(name: str) -> str:
    """A name's letters and digits alone."""
    return re.sub(r"[\W_]", "", same_word(name))


def _singular(name: str) -> str:
    """Letters of a name whose last word may stand in the plural; what is no plural is cut alike on both sides."""
    letters = _letters(name)
    for ending, other in (("ies", "y"), ("ves", "f"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"), ("ss", "ss")):
        if letters.endswith(ending):
            return letters.removesuffix(ending) + other
    return letters.removesuffix("s")

"""Class names of published closed-set heads as a vocabulary.

Every data set has its own way to write them: "sky-other-merged", "wall-brick", "windowpane, window", "Traffic Sign
(Front)", "construction--flat--road". They are matched to the built-in lists, which say what is a thing, and cleaned
where no list fits, because CLIP reads them as they are written.
"""

import re
from collections.abc import Iterator, Sequence
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
_MAPILLARY = """\
animal--bird|Bird:bird; animal--ground-animal|Ground Animal:animal; construction--barrier--curb|Curb-curb;
construction--barrier--fence|Fence-fence; construction--barrier--guard-rail|Guard Rail-guard rail;
construction--barrier--other-barrier|Barrier-barrier; construction--barrier--wall|Wall-wall;
construction--flat--bike-lane|Bike Lane-bike lane;
construction--flat--crosswalk-plain|Crosswalk - Plain:crosswalk; construction--flat--curb-cut|Curb Cut-curb cut;
construction--flat--parking|Parking-parking lot;
construction--flat--pedestrian-area|Pedestrian Area-pedestrian area;
construction--flat--rail-track|Rail Track-rail track; construction--flat--road|Road-road;
construction--flat--service-lane|Service Lane-service lane; construction--flat--sidewalk|Sidewalk-sidewalk;
construction--structure--bridge|Bridge-bridge; construction--structure--building|Building-building;
construction--structure--tunnel|Tunnel-tunnel; human--person|Person:person;
human--rider--bicyclist|Bicyclist:bicyclist; human--rider--motorcyclist|Motorcyclist:motorcyclist;
human--rider--other-rider|Other Rider:rider; marking--crosswalk-zebra|Lane Marking - Crosswalk:zebra crossing;
marking--general|Lane Marking - General-lane marking; nature--mountain|Mountain-mountain;
nature--sand|Sand-sand; nature--sky|Sky-sky; nature--snow|Snow-snow; nature--terrain|Terrain-terrain;
nature--vegetation|Vegetation-vegetation; nature--water|Water-water; object--banner|Banner:banner;
object--bench|Bench:bench; object--bike-rack|Bike Rack:bike rack; object--billboard|Billboard:billboard;
object--catch-basin|Catch Basin:catch basin; object--cctv-camera|CCTV Camera:CCTV camera;
object--fire-hydrant|Fire Hydrant:fire hydrant; object--junction-box|Junction Box:junction box;
object--mailbox|Mailbox:mailbox; object--manhole|Manhole:manhole; object--phone-booth|Phone Booth:phone booth;
object--pothole|Pothole-pothole; object--street-light|Street Light:street light;
object--support--pole|Pole:pole; object--support--traffic-sign-frame|Traffic Sign Frame:traffic sign frame;
object--support--utility-pole|Utility Pole:utility pole; object--traffic-light|Traffic Light:traffic light;
object--traffic-sign--back|Traffic Sign (Back):back of a traffic sign;
object--traffic-sign--front|Traffic Sign (Front):traffic sign; object--trash-can|Trash Can:trash can;
object--vehicle--bicycle|Bicycle:bicycle; object--vehicle--boat|Boat:boat; object--vehicle--bus|Bus:bus;
object--vehicle--car|Car:car; object--vehicle--caravan|Caravan:caravan;
object--vehicle--motorcycle|Motorcycle:motorcycle; object--vehicle--on-rails|On Rails-train;
object--vehicle--other-vehicle|Other Vehicle:vehicle; object--vehicle--trailer|Trailer:trailer;
object--vehicle--truck|Truck:truck; object--vehicle--wheeled-slow|Wheeled Slow:handcart;
void--car-mount|Car Mount-car mount; void--ego-vehicle|Ego Vehicle-ego vehicle;
void--unlabeled|Unlabeled-unlabeled"""
"""Mapillary Vistas 1.2: label, readable name, ":" before a thing or "-" before stuff, and what CLIP may read.

37 things, 28 stuff, and the unlabelled rest, which some heads have a row for."""
_ENTRY = re.compile(r"(?P<label>[\w-]+)\|(?P<readable>.+?)(?P<kind>[:-])(?P<spoken>[\w ]+)")


def training_vocabulary(labels: Sequence[str]) -> Vocabulary:
    """The concepts of a class head's rows, in their order, one for each.

    They are those of the first that knows every label: a list of just these classes, or one of more, such as coco for
    COCO's 80 things; lists are the built-in ones and Mapillary Vistas. If none does, they are the labels' own cleaned
    names, things unless a list knows them as stuff.

    Args:
        labels: as id2label has them; at least one.
    """
    others = (name for name in builtin_names() if name not in _CITED_FIRST)
    cited, rest = ([_listed(name) for name in names] for names in (_CITED_FIRST, others))
    known = [*cited, _mapillary(), *rest]
    for classes in (*(one for one in known if len(one) == len(labels)), *known):
        if (chosen := _matched(labels, classes)) is not None:
            return Vocabulary(tuple(chosen))
    return Vocabulary(tuple(_cleaned(labels)))


def without_raw_forms(vocabulary: Vocabulary) -> Vocabulary:
    """The vocabulary without synonyms that are a data set's way to write another name, such as "sky-other-merged"."""
    kept = [tuple(name for name in concept.synonyms if not _is_raw(name, concept)) for concept in vocabulary.concepts]
    concepts = tuple(
        concept if len(names) == len(concept.synonyms) else replace(concept, synonyms=names)
        for concept, names in zip(vocabulary.concepts, kept, strict=True)
    )
    return vocabulary if concepts == vocabulary.concepts else replace(vocabulary, concepts=concepts)


def _is_raw(name: str, concept: Concept) -> bool:
    """Whether a synonym has COCO's suffix, or is another name turned round, hyphened or written as one word."""
    if _SUFFIX.search(name):
        return True
    spoken = _spoken(name)[0]
    is_written_so = spoken != name or " " not in name
    others = (other for other in concept.names if other != name and min(map(len, other.split())) > 1)
    return is_written_so and any(_letters(spoken) == _letters(other) for other in others)


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


_Class = tuple[Concept, tuple[str, ...]]
"""A concept, and the names by which a data set may call it."""


def _matched(labels: Sequence[str], classes: Sequence[_Class]) -> list[Concept] | None:
    """Each label's concept; None unless all have one, and all another.

    Where each label shares a name with the class in its place, that is it: ADE20K's 847 have several whose first name
    is another's, such as "bag, handbag, pocketbook, purse". Otherwise order does not matter.
    First names are compared first, as other names may be another label's: ADE20K has "screen door, screen" and
    "screen"; then the others; then all of them in another number, or with other spaces and hyphens.
    """
    if len(labels) == len(classes):
        ours, theirs = (
            [set(map(same_word, names)) for names in side]
            for side in (map(_label_names, labels), (names for _, names in classes))
        )
        if not any(map(set.isdisjoint, ours, theirs)):
            return [concept for concept, _ in classes]
    chosen: dict[int, int] = {}
    for of_class, of_label, key in (
        (1, 1, same_word),
        (None, 1, same_word),
        (None, None, same_word),
        (None, None, _singular),
    ):
        free: dict[str, list[int]] = {}
        for place, (_, names) in enumerate(classes):
            for name in names[:of_class] if place not in chosen.values() else ():
                free.setdefault(key(name), []).append(place)
        for number, label in enumerate(labels):
            places = [place for name in _label_names(label)[:of_label] for place in free.get(key(name), ())]
            found = next((place for place in places if place not in chosen.values()), None)
            if number not in chosen and found is not None:
                chosen[number] = found
    return [classes[chosen[number]][0] for number in range(len(labels))] if len(chosen) == len(labels) else None


def _label_names(label: str) -> tuple[str, ...]:
    """Names by which a label may be known: those that commas part, the whole of it, and those that people write."""
    parts = (" ".join(part.split()) for part in (*re.split("[,;|]", label), label))
    return tuple(dict.fromkeys(part for part in (*parts, *_spoken(label)) if part))


def _listed(name: str) -> list[_Class]:
    """The classes of a built-in list."""
    other = _ADE20K if name == "ade20k" else {}
    concepts = Vocabulary.of(name).concepts
    return [(one, (*one.names, *((other[one.name],) if one.name in other else ()))) for one in concepts]


def _mapillary() -> list[_Class]:
    """Mapillary's classes: labels and readable names are known, and CLIP reads neither."""
    found = map(_ENTRY.fullmatch, re.split(r";\s+", _MAPILLARY))
    return [
        (Concept(entry["spoken"], (), entry["kind"] == ":"), (entry["label"], entry["readable"], entry["spoken"]))
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

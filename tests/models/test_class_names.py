"""Class names of published heads, however they are written, are one concept each, in their order, thing or stuff."""

import json
from pathlib import Path

import pytest

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.models.class_names import training_vocabulary, without_raw_forms

TEN = {
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
"""ADE20K's names in the label files of the hub, where they differ from the panoptic challenge's."""
WORDNET = {
    "window": "windowpane, window ",
    "person": "person, individual, someone, somebody, mortal, soul",
    "car": "car, auto, automobile, machine, motorcar",
    "tub": "bathtub, bathing tub, bath, tub",
    "tv": "television receiver, television, television set, tv, tv set, idiot box, boob tube, telly, goggle box",
    "pool": "swimming pool, swimming bath, natatorium",
    "screen door": "screen door, screen",
    "screen": "screen, silver screen, projection screen",
    "buffet": "buffet, counter, sideboard",
    "step": "step, stair",
    "stairs": "stairs, steps",
}
MAPILLARY = {  # a label, its readable name: what stands in the vocabulary, and whether it is a thing
    ("construction--flat--road", "Road"): ("road", False),
    ("construction--flat--crosswalk-plain", "Crosswalk - Plain"): ("crosswalk", True),
    ("construction--barrier--fence", "Fence"): ("fence", False),
    ("marking--general", "Lane Marking - General"): ("lane marking", False),
    ("object--support--pole", "Pole"): ("pole", True),
    ("object--traffic-light", "Traffic Light"): ("traffic light", True),
    ("object--traffic-sign--back", "Traffic Sign (Back)"): ("back of a traffic sign", True),
    ("object--traffic-sign--front", "Traffic Sign (Front)"): ("traffic sign", True),
    ("object--vehicle--on-rails", "On Rails"): ("train", False),
    ("void--ego-vehicle", "Ego Vehicle"): ("ego vehicle", False),
}


def official(name: str) -> list[str]:
    return list(Vocabulary.of(name).names)


@pytest.mark.parametrize("name", ["coco", "ade20k", "cityscapes", "coco-stuff", "ade20k-full", "pascal-context-59"])
def test_a_lists_own_names_bring_the_list(name: str) -> None:
    raw = [concept.names[-1] for concept in Vocabulary.of(name).concepts]  # COCO's "wall-brick", ADE20K's last synonym
    assert training_vocabulary(official(name)) == Vocabulary.of(name)
    assert training_vocabulary([word.title() for word in official(name)]) == Vocabulary.of(name)
    assert training_vocabulary([word.replace(" ", "_") for word in official(name)]) == Vocabulary.of(name)
    assert training_vocabulary(raw) == Vocabulary.of(name)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("coco_panoptic_133", "coco"),
        ("ade20k_panoptic_150", "ade20k"),
        ("cityscapes_panoptic_19", "cityscapes"),
        ("coco_stuff_171", "coco-stuff"),
        ("ade20k_full_847", "ade20k-full"),
        ("pascal_context_59", "pascal-context-59"),
        ("pascal_context_459", "pascal-context-459"),
        ("pascal_voc_20", "pascal-voc"),
    ],
)
def test_the_true_names_of_data_sets_bring_their_list(shared: Path, file: str, name: str) -> None:
    categories = json.loads((shared / f"classes/{file}.json").read_text())["categories"]

    found = training_vocabulary([category["name"] for category in categories])

    assert found == Vocabulary.of(name)
    if "isthing" in categories[0]:
        assert [concept.is_thing for concept in found.concepts] == [bool(c["isthing"]) for c in categories]


@pytest.mark.parametrize("spelt", [TEN, WORDNET], ids=["ten other spellings", "WordNet's"])
def test_ade20ks_other_spellings_bring_its_list(spelt: dict[str, str]) -> None:
    assert training_vocabulary([spelt.get(name, name) for name in official("ade20k")]) == Vocabulary.of("ade20k")


@pytest.mark.parametrize(("name", "number"), [("coco", 80), ("ade20k", 100), ("cityscapes", 8)])
def test_the_things_of_a_data_set_are_a_vocabulary_of_things(name: str, number: int) -> None:
    things = tuple(concept for concept in Vocabulary.of(name).concepts if concept.is_thing)

    found = training_vocabulary([concept.name for concept in reversed(things)])

    assert len(things) == number
    assert found.concepts == things[::-1]


@pytest.mark.parametrize("form", [0, 1], ids=["labels", "readable"])
@pytest.mark.parametrize("unlabelled", [False, True])
def test_mapillarys_classes_are_what_its_data_calls_them(form: int, unlabelled: bool) -> None:
    labels = [names[form] for names in MAPILLARY] + (["void--unlabeled", "Unlabeled"][form : form + 1] * unlabelled)

    concepts = training_vocabulary(labels).concepts

    assert [(c.name, c.is_thing) for c in concepts[: len(MAPILLARY)]] == list(MAPILLARY.values())
    assert not any(concept.synonyms for concept in concepts)  # nothing but words is read by CLIP


def test_all_of_mapillary_has_37_things_and_28_stuff() -> None:
    from lexiseg.models.class_names import _mapillary

    classes = _mapillary()
    for form in (0, 1):
        found = training_vocabulary([names[form] for _, names in classes[:65]])
        assert [sum(c.is_thing is kind for c in found.concepts) for kind in (True, False)] == [37, 28]
        assert len(set(found.names)) == 65
    assert len(classes) == 66


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["gizmo-other-merged", "wall-gizmo", "a_very_odd word "], ["gizmo", "gizmo wall", "a very odd word"]),
        (["group--odd-gizmo", "gizmos; widgets", "T-shirt"], ["odd gizmo", "gizmos|widgets", "T-shirt"]),
        (["gizmo", "gizmo-other", "Gizmo"], ["gizmo", "gizmo-other", "class 2"]),
        (["gizmo, thing", "widget, thing"], ["gizmo|thing", "widget"]),
    ],
)
def test_labels_that_no_list_knows_are_cleaned_and_stay_apart(labels: list[str], names: list[str]) -> None:
    assert ["|".join(concept.names) for concept in training_vocabulary(labels).concepts] == names


def test_of_labels_that_no_list_has_together_each_is_what_the_lists_say() -> None:
    found = training_vocabulary(["traffic light", "sky-other-merged", "gizmo", "wall-brick", "door-stuff"])
    assert [(concept.name, concept.is_thing) for concept in found.concepts] == [
        ("traffic light", True),
        ("sky", False),
        ("gizmo", True),
        ("brick wall", False),
        ("door", True),
    ]


def test_raw_forms_are_left_out_and_synonyms_that_people_write_stay() -> None:
    for name in ("coco", "coco-stuff"):
        spoken = without_raw_forms(Vocabulary.of(name))
        assert spoken.names == Vocabulary.of(name).names
        assert spoken.row_names() == spoken.names
    for name in ("ade20k", "cityscapes", "storybook"):
        assert without_raw_forms(Vocabulary.of(name)) == Vocabulary.of(name)
    asked = Vocabulary.of("t-shirt|tee, sky-other-merged|sky:stuff, hot dog|hotdog|hot-dog|frankfurter")
    assert without_raw_forms(asked).row_names() == (
        "t-shirt",
        "tee",
        "sky-other-merged",
        "sky",
        "hot dog",
        "frankfurter",
    )

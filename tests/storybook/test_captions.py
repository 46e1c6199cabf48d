"""Captions of drawn pictures, and the nouns that they were made of."""

import hashlib

from lexiseg.storybook.captions import caption, worded_caption
from lexiseg.storybook.choices import ROLES
from lexiseg.storybook.roles import CONCEPTS, DUSK_DRAWINGS
from lexiseg.storybook.scene import draw_scene, generator


def test_captions_are_those_that_were_always_drawn() -> None:
    digest = hashlib.sha256()
    for role in ROLES[: ROLES.index("strangers")]:
        for index in range(2):
            scene, rng = draw_scene(role, "train", index, size=(32, 32)), generator(role, "train", 0, index, 1)
            for detail in (1.0, 1.0, 0.5, 0.0):
                digest.update(caption(rng, scene, detail=detail).encode())
            digest.update(str(rng.bit_generator.state).encode())

    assert digest.hexdigest()[:16] == "7c8f15c32b9ad5e2"


def test_the_nouns_of_a_caption_are_names_that_stand_in_it_in_their_order() -> None:
    names = {name for concept in CONCEPTS.values() for name in concept.names} | set(DUSK_DRAWINGS)
    for index in range(6):
        scene, rng = draw_scene("base", "val", index, size=(32, 32)), generator("base", "val", 0, index, 1)

        wording = worded_caption(rng, scene)

        start = 0
        for noun in wording.nouns:
            assert noun in names
            start = wording.text.index(noun, start) + len(noun)
        assert len(wording.nouns) >= sum(CONCEPTS[s.name].is_thing for s in scene.segments)

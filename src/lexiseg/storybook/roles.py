"""Roles of drawn scenes, such as base and novel: the concepts, distractors and names of each."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lexiseg.core.vocabulary import Concept, Vocabulary
from lexiseg.storybook.choices import Role
from lexiseg.storybook.drawings import (
    buildings,
    figures_and_sky,
    food,
    garden,
    household,
    mammals,
    sea_and_air,
    small_animals,
    tools_and_toys,
    vehicles,
)
from lexiseg.storybook.drawings.pen import Pen
from lexiseg.storybook.drawings.stuff import TEXTURES
from lexiseg.storybook.drawings.unnamed import figure

ALL = Vocabulary.of("storybook-all")
BASE = Vocabulary.of("storybook")
NOVEL = Vocabulary.of("storybook-novel")
PART = Vocabulary.of("storybook-part")
DUSK = Vocabulary.of("storybook-dusk")

DUSK_DRAWINGS: Mapping[str, str] = json.loads(
    Path(__file__).with_name("dusk_drawings.json").read_text(encoding="utf-8")
)
"""The drawing of each near-synonym in role dusk."""

FIGURE, PATTERN = "figure", "pattern"
"""What role strangers draws at random: things and stuff without a name of their own."""
CONCEPTS: Mapping[str, Concept] = {
    concept.name: concept
    for concept in (*ALL.concepts, Concept(FIGURE, is_thing=True), Concept(PATTERN, is_thing=False))
}
THINGS: tuple[str, ...] = tuple(c.name for c in ALL.concepts if c.is_thing)
STUFF: tuple[str, ...] = tuple(TEXTURES)
SEEN: frozenset[str] = frozenset(BASE.names)
SHARED: tuple[str, ...] = tuple(name for name in NOVEL.names if name in SEEN)
"""Names of role novel that are in role base."""
UNSEEN: tuple[str, ...] = tuple(name for name in NOVEL.names if name not in SEEN)
"""Names of role novel that are not in role base."""
DISTRACTORS: tuple[str, ...] = tuple(name for name in THINGS if name not in SEEN and name not in NOVEL.names)
"""Things in no segmentation vocabulary: void in the masks, named in the captions."""

FLYING = frozenset({"airplane", "helicopter", "balloon", "rocket", "kite", "butterfly", "bee", "owl"}) | frozenset(
    {"star", "moon", "sun", "cloud", "bell", "flag"}
)
"""Things that are mostly placed in the air."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleContents:
    """The concepts of one role's scenes."""

    vocabulary: Vocabulary
    things: tuple[str, ...]
    """Drawings of the annotated things."""
    stuff: tuple[str, ...]
    distractors: tuple[str, ...] = ()
    """Drawings that are in the picture but not in the vocabulary: void."""
    distractor_share: float = 0.0
    """Expected share of distractors among the things."""
    names: Mapping[str, str] | None = None
    """Drawing to annotated name, where they differ (dusk)."""
    is_dusk: bool = False
    pattern_share: float = 0.0
    """How probably a layer of stuff is drawn at random instead, in [0, 1]."""

    def name_of(self, drawing: str) -> str:
        """The annotated name of a drawing."""
        return drawing if self.names is None else self.names.get(drawing, drawing)


def _contents(vocabulary: Vocabulary, drawings: Iterable[str], distractor_share: float = 0.0) -> RoleContents:
    drawings = tuple(drawings)
    return RoleContents(
        vocabulary=vocabulary,
        things=tuple(d for d in drawings if CONCEPTS[d].is_thing),
        stuff=tuple(d for d in drawings if not CONCEPTS[d].is_thing),
        distractors=DISTRACTORS if distractor_share else (),
        distractor_share=distractor_share,
    )


_EVERYTHING = _contents(ALL, ALL.names)
STRANGER = "object"
"""The one name of all that role strangers annotates beside the names of base."""
_STRANGERS = (*DISTRACTORS, *(FIGURE for _ in range(16)))
ROLE_CONTENTS: Mapping[Role, RoleContents] = {
    "base": _contents(BASE, BASE.names, 0.2),
    "novel": _contents(NOVEL, NOVEL.names, 0.1),
    "dusk": replace(
        _contents(DUSK, DUSK_DRAWINGS.values()),
        names={drawing: name for name, drawing in DUSK_DRAWINGS.items()},
        is_dusk=True,
    ),
    "semantic-only": _EVERYTHING,
    "image-level": _EVERYTHING,
    "captions": _EVERYTHING,
    "strangers": replace(
        _contents(BASE, BASE.names),
        vocabulary=Vocabulary((*BASE.concepts, Concept(STRANGER, is_thing=True))),
        things=(*(name for name in BASE.names if CONCEPTS[name].is_thing), *_STRANGERS),
        stuff=(*(name for name in BASE.names if not CONCEPTS[name].is_thing), PATTERN),
        names=dict.fromkeys((*_STRANGERS, PATTERN), STRANGER),
        pattern_share=0.08,
    ),
}

_MODULES = (
    mammals,
    small_animals,
    sea_and_air,
    figures_and_sky,
    garden,
    vehicles,
    buildings,
    food,
    household,
    tools_and_toys,
)


def _drawing(name: str) -> Callable[[Pen], None]:
    function = name.replace(" ", "_")
    found = [getattr(module, function) for module in _MODULES if function in vars(module)]
    assert len(found) == 1, f"{name!r} needs exactly one drawing, found {len(found)}"
    return found[0]


DRAWINGS: Mapping[str, Callable[[Pen], None]] = {**{name: _drawing(name) for name in THINGS}, FIGURE: figure}

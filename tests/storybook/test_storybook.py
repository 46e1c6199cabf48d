"""The drawn world keeps its promises: no toy that colour solves, exact truth, the same bytes everywhere."""

import hashlib
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import vocabulary_categories
from lexiseg.data.dataset import Dataset
from lexiseg.storybook.captions import labels
from lexiseg.storybook.choices import ROLES, SPLITS, Role
from lexiseg.storybook.drawings.pen import COLOURS, PATTERNS, Look, random_look
from lexiseg.storybook.export import CAPTIONS_PER_PICTURE, StorybookSpec, write_storybook
from lexiseg.storybook.roles import (
    ALL,
    BASE,
    CONCEPTS,
    DISTRACTORS,
    DUSK,
    DUSK_DRAWINGS,
    FIGURE,
    NOVEL,
    PART,
    PATTERN,
    ROLE_CONTENTS,
    SEEN,
    SHARED,
    STRANGER,
    STUFF,
    THINGS,
    UNSEEN,
)
from lexiseg.storybook.scene import Scene, draw_close_up, draw_scene, generator, sprite

SMALL = (64, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """What a nearest neighbour may know of one annotated thing, and what it should guess."""

    name: str
    features: tuple[float, float, float, float]
    """Mean red, green and blue; the square root of the area."""
    hidden: float
    colouring: tuple[str, str]


def things_of(scene: Scene) -> list[Thing]:
    """The things of a scene that carry a name in the masks."""
    found = []
    for segment in scene.segments:
        if segment.is_distractor or segment.is_crowd or not CONCEPTS[segment.name].is_thing:
            continue
        mask = scene.ids == segment.id
        red, green, blue = scene.picture[mask].mean(0).tolist()
        found.append(
            Thing(
                name=segment.name,
                features=(red, green, blue, float(np.sqrt(mask.sum()))),
                hidden=segment.hidden,
                colouring=(segment.colour, segment.pattern),
            )
        )
    return found


@pytest.fixture(scope="module")
def base_train() -> list[Scene]:
    return [draw_scene("base", "train", index, size=(128, 128)) for index in range(320)]


@pytest.fixture(scope="module")
def base_test() -> list[Scene]:
    return [draw_scene("base", "test", index, size=(128, 128)) for index in range(160)]


def digest(scene: Scene) -> str:
    content = scene.picture.tobytes() + scene.ids.tobytes() + repr(scene.segments).encode()
    return hashlib.sha256(content).hexdigest()


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def segments_with_names(dataset: Dataset) -> Iterator[list[str]]:
    names = {category.id: category.name for category in dataset.categories}
    for sample in dataset.samples:
        yield [names[segment.category_id] for segment in sample.segments]


def test_mean_colour_and_area_of_the_true_masks_do_not_name_the_things(
    base_train: list[Scene], base_test: list[Scene], tell: Callable[[str], None]
) -> None:
    known = [thing for scene in base_train for thing in things_of(scene)]
    asked = [thing for scene in base_test for thing in things_of(scene)][:500]
    assert len(known) >= 1000
    assert len(asked) == 500
    spread = np.array([thing.features for thing in known]).std(0)
    train = np.array([thing.features for thing in known]) / spread
    test = np.array([thing.features for thing in asked]) / spread

    nearest = ((test[:, None] - train[None]) ** 2).sum(-1).argmin(1).tolist()
    top1 = np.mean([known[found].name == thing.name for found, thing in zip(nearest, asked, strict=True)])

    most = Counter(thing.name for thing in asked).most_common(1)[0][1] / len(asked)
    tell(
        f"nearest neighbour on mean colour and area, {len(known)} training things, {len(asked)} test things: "
        f"{100 * top1:.1f} % top-1 (always the commonest name: {100 * most:.1f} %)"
    )
    assert top1 < 0.25


@pytest.mark.parametrize("role", ["base", "novel"])
def test_scenes_are_full_and_a_quarter_of_the_things_is_hidden(
    role: Role, base_test: list[Scene], tell: Callable[[str], None]
) -> None:
    scenes = base_test
    if role == "novel":
        scenes = [draw_scene(role, "test", index, size=(128, 128)) for index in range(60)]
    hidden = [thing.hidden for scene in scenes for thing in things_of(scene)]
    numbers = [sum(not s.is_distractor for s in scene.segments) for scene in scenes]

    share = np.mean([value >= 0.2 for value in hidden])
    tell(
        f"{role}: {np.mean(numbers):.1f} annotated segments a scene, "
        f"{100 * share:.0f} % of {len(hidden)} things at least 20 % hidden"
    )
    assert np.mean(numbers) >= 6
    assert share >= 0.25
    assert max(hidden) <= 0.6 + 1e-6  # a child must still be able to name it


def test_every_thing_of_base_comes_in_six_colourings_or_more(base_train: list[Scene]) -> None:
    colourings: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for scene in base_train:
        for thing in things_of(scene):
            colourings[thing.name].add(thing.colouring)

    assert set(colourings) == {c.name for c in BASE.concepts if c.is_thing}
    assert min(len(found) for found in colourings.values()) >= 6


@pytest.mark.parametrize("name", THINGS)
def test_a_colouring_shows_on_the_drawing(name: str) -> None:
    """The same pose in the twelve colours: at least six mean colours that differ by more than the jitter does."""
    means: list[np.ndarray] = []
    for colour, main in COLOURS.items():
        look = Look(main=main, second=(128, 128, 128), colour=colour, pattern="plain")
        drawn = sprite(np.random.default_rng(5), name, 24.0, look)
        mean = drawn[drawn[..., 3] >= 128][:, :3].mean(0)
        if all(np.abs(mean - other).max() > 6 for other in means):
            means.append(mean)

    assert len(means) >= 6


@pytest.mark.parametrize("name", THINGS)
def test_shapes_of_one_name_vary(name: str) -> None:
    look = random_look(np.random.default_rng(0))
    drawings = [sprite(np.random.default_rng(seed), name, 24.0, look)[..., 3] >= 128 for seed in range(4)]

    assert len({(mask.shape, mask.tobytes()) for mask in drawings}) == 4
    assert all(mask.mean() > 0.1 for mask in drawings)


def test_looks_use_every_colour_and_every_pattern() -> None:
    rng = np.random.default_rng(0)
    looks = [random_look(rng) for _ in range(400)]

    assert {look.colour for look in looks} == set(COLOURS)
    assert {look.pattern for look in looks} == set(PATTERNS)


def test_there_are_enough_names_and_each_has_a_place_in_the_taxonomy() -> None:
    assert len(THINGS) >= 48
    assert len(STUFF) >= 14
    assert set(STUFF) == {c.name for c in ALL.concepts if not c.is_thing}
    assert all(len(concept.path) >= 2 for concept in ALL.concepts)  # with the name itself: depth 3
    assert all(concept.path[0] == ("thing" if concept.is_thing else "stuff") for concept in ALL.concepts)


def test_roles_share_and_part_as_they_say() -> None:
    assert set(SHARED) | set(UNSEEN) == set(NOVEL.names)
    assert not set(UNSEEN) & SEEN
    assert SHARED
    assert len(UNSEEN) > len(SHARED)
    assert not set(DISTRACTORS) & {*BASE.names, *NOVEL.names}
    assert DISTRACTORS
    assert not {same.casefold() for same in DUSK.names} & {same.casefold() for same in ALL.names}
    assert set(DUSK_DRAWINGS) == set(DUSK.names)
    assert set(PART.names) < set(BASE.names)
    assert 1 - len(PART) / len(BASE) == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("role", ROLES)
def test_the_segments_of_a_scene_are_exactly_the_ids_of_its_map(role: Role) -> None:
    for index in range(6):
        scene = draw_scene(role, "train", index, size=SMALL)
        on_the_map = set(np.unique(scene.ids).tolist())
        plain_ground = {0} if role == "captions" and index % 2 else set()  # a close-up before a plain colour
        assert on_the_map - plain_ground == {segment.id for segment in scene.segments}
        cast = ROLE_CONTENTS[role]
        own = {*cast.things, *cast.stuff}
        assert all((segment.name in own) != segment.is_distractor for segment in scene.segments)


def test_strangers_are_all_annotated_under_one_name_and_are_two_fifths_of_the_things(tmp_path: Path) -> None:
    data = write_storybook(StorybookSpec(role="strangers", split="train", count=40, size=SMALL), tmp_path / "data")
    scenes = [draw_scene("strangers", "train", index, size=SMALL) for index in range(40)]
    drawn = [s.name for scene in scenes for s in scene.segments]
    things = [name for name in drawn if CONCEPTS[name].is_thing]

    assert [c.name for c in data.categories] == [*BASE.names, STRANGER]
    assert not {*drawn} - {*BASE.names, *DISTRACTORS, FIGURE, PATTERN}
    assert 0.3 < sum(name not in SEEN for name in things) / len(things) < 0.5
    assert things.count(FIGURE) > 10
    assert drawn.count(PATTERN) > 10
    for sample, scene in zip(data.samples, scenes, strict=True):
        told = {segment.id: data.categories[segment.category_id - 1].name for segment in sample.segments}
        assert told == {s.id: s.name if s.name in SEEN else STRANGER for s in scene.segments}


def test_about_a_fifth_of_base_things_are_nobodys(base_train: list[Scene]) -> None:
    things = [s for scene in base_train for s in scene.segments if CONCEPTS[s.name].is_thing and not s.is_crowd]
    strangers = [s for s in things if s.is_distractor]

    assert 0.15 < len(strangers) / len(things) < 0.25
    assert {s.name for s in strangers} <= set(DISTRACTORS)
    assert any(s.is_crowd for scene in base_train for s in scene.segments)


def test_the_same_arguments_give_the_same_bytes_in_another_process() -> None:
    cases = [("base", "train", 3), ("dusk", "test", 1), ("novel", "val", 2)]
    code = (
        "import hashlib\n"
        "from lexiseg.storybook.scene import draw_scene\n"
        f"for role, split, index in {cases!r}:\n"
        "    s = draw_scene(role, split, index, seed=7, size=(64, 64))\n"
        "    content = s.picture.tobytes() + s.ids.tobytes() + repr(s.segments).encode()\n"
        "    print(hashlib.sha256(content).hexdigest())\n"
    )

    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    here = [digest(draw_scene(role, split, index, seed=7, size=SMALL)) for role, split, index in cases]
    assert other.stdout.split() == here


def test_the_number_of_workers_changes_no_byte(tmp_path: Path) -> None:
    spec = StorybookSpec(role="base", split="val", count=5, seed=3, size=SMALL)

    write_storybook(spec, tmp_path / "one", workers=1)
    write_storybook(spec, tmp_path / "two", workers=2)

    one = files_of(tmp_path / "one")
    assert one == files_of(tmp_path / "two")
    assert sum(name.startswith("images") for name in one) == 5


def test_no_two_pictures_share_random_numbers() -> None:
    keys = [
        (role, split, seed, index) for role in ROLES for split in SPLITS for seed in (0, 1, 2) for index in range(8)
    ]

    first = {tuple(generator(*key).integers(0, 2**62, 4).tolist()) for key in keys}

    assert len(first) == len(keys)


@settings(max_examples=12)
@given(st.integers(16, 90), st.integers(16, 90), st.sampled_from(ROLES), st.integers(0, 10**6))
def test_any_resolution_has_a_scene_without_a_gap(height: int, width: int, role: Role, index: int) -> None:
    scene = draw_scene(role, "train", index, size=(height, width))

    assert scene.picture.shape == (height, width, 3)
    assert scene.ids.shape == (height, width)
    assert scene.ids.min() >= 1
    assert all(0 <= segment.hidden <= 1 for segment in scene.segments)


def test_a_size_under_sixteen_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 x 16"):
        draw_scene("base", "train", 0, size=(64, 15))


def test_void_and_crowd_are_written_as_coco_has_them(tmp_path: Path) -> None:
    spec = StorybookSpec(role="base", split="train", count=30, seed=4, size=SMALL)
    dataset = write_storybook(spec, tmp_path / "data")
    scenes = [draw_scene("base", "train", index, seed=4, size=SMALL) for index in range(30)]
    strangers, crowds = 0, 0

    for sample, scene in zip(dataset.samples, scenes, strict=True):
        ids = dataset.annotation(sample, strict=True).to_segmentation(()).ids
        named = np.isin(scene.ids, [s.id for s in scene.segments if not s.is_distractor])
        assert ((ids > 0) == named).all()
        assert {s.id for s in sample.segments if s.is_crowd} == {s.id for s in scene.segments if s.is_crowd}
        assert np.array_equal(np.asarray(Image.open(sample.image_path)), scene.picture)
        strangers += not named.all()
        crowds += any(segment.is_crowd for segment in sample.segments)

    assert strangers > 0
    assert crowds > 0


def test_captions_and_labels_name_what_the_masks_leave_out(tmp_path: Path) -> None:
    dataset = write_storybook(StorybookSpec(role="base", split="train", count=12, size=SMALL), tmp_path / "data")
    named = 0

    for index, sample in enumerate(dataset.samples):
        scene = draw_scene("base", "train", index, size=SMALL)
        captions = sample.extras["captions"]
        assert len(captions) == CAPTIONS_PER_PICTURE
        assert sample.extras["labels"] == list(labels(scene))
        for segment in scene.segments:
            if not segment.is_distractor:
                continue
            concept = CONCEPTS[segment.name]
            assert segment.name in sample.extras["labels"]
            assert all(any(name in text for name in concept.names) for text in captions)
            named += 1

    assert named > 0


def test_the_part_annotation_leaves_out_a_fifth_of_the_names_and_nothing_else(tmp_path: Path) -> None:
    whole = write_storybook(StorybookSpec(role="base", split="val", count=8, size=SMALL), tmp_path / "whole")
    part = write_storybook(
        StorybookSpec(role="base", split="val", count=8, size=SMALL, vocabulary=PART), tmp_path / "part"
    )

    assert {c.name for c in part.categories} == set(PART.names)
    left_out = 0
    for one, other, names in zip(whole.samples, part.samples, segments_with_names(whole), strict=True):
        full = whole.annotation(one, strict=True).to_segmentation(()).ids
        less = part.annotation(other, strict=True).to_segmentation(()).ids
        kept = [s.id for s, name in zip(one.segments, names, strict=True) if name in PART.names]
        assert np.array_equal(less, np.where(np.isin(full, kept), full, 0))
        assert one.image_path.read_bytes() == other.image_path.read_bytes()
        left_out += len(one.segments) - len(other.segments)
    assert left_out > 0


def test_the_semantic_role_has_one_segment_per_name_and_no_things(tmp_path: Path) -> None:
    dataset = write_storybook(StorybookSpec(role="semantic-only", split="val", count=12, size=SMALL), tmp_path / "data")

    assert not any(category.is_thing for category in dataset.categories)
    assert not any(segment.is_crowd for sample in dataset.samples for segment in sample.segments)
    for names in segments_with_names(dataset):
        assert len(set(names)) == len(names)
    scenes = [draw_scene("semantic-only", "val", index, size=SMALL) for index in range(12)]
    assert any(len({s.name for s in scene.segments}) < len(scene.segments) for scene in scenes)


def test_the_image_level_role_labels_everything_that_is_seen(tmp_path: Path) -> None:
    dataset = write_storybook(StorybookSpec(role="image-level", split="val", count=6, size=SMALL), tmp_path / "data")

    for sample, names in zip(dataset.samples, segments_with_names(dataset), strict=True):
        assert sample.extras["labels"] == sorted(set(names))


def test_dusk_uses_its_own_names_in_masks_and_labels(tmp_path: Path) -> None:
    dataset = write_storybook(StorybookSpec(role="dusk", split="val", count=6, size=SMALL), tmp_path / "data")

    assert [category.name for category in dataset.categories] == list(DUSK.names)
    assert all(set(names) <= set(DUSK.names) for names in segments_with_names(dataset))
    assert all(set(sample.extras["labels"]) <= set(DUSK.names) for sample in dataset.samples)


def test_categories_are_numbered_from_one_in_the_order_of_the_words() -> None:
    categories = vocabulary_categories(Vocabulary.of("cat, sky:stuff"))

    assert [(c.id, c.name, c.is_thing) for c in categories] == [(1, "cat", True), (2, "sky", False)]


def test_a_folder_that_is_not_empty_is_refused_unless_told_to_overwrite(tmp_path: Path) -> None:
    root = tmp_path / "a folder"
    write_storybook(StorybookSpec(role="base", split="val", count=1, size=SMALL), root)
    before = files_of(root)
    progress: list[int] = []

    with pytest.raises(ValueError, match="not empty"):
        write_storybook(StorybookSpec(role="base", split="val", count=2, size=SMALL), root)
    assert files_of(root) == before
    again = write_storybook(
        StorybookSpec(role="base", split="val", count=2, size=SMALL), root, overwrite=True, report=progress.append
    )

    assert len(again.samples) == 2
    assert progress == [1, 2]
    with pytest.raises(ValueError, match="one picture or more"):
        write_storybook(StorybookSpec(role="base", split="val", count=0), tmp_path / "none")


def test_a_close_up_shows_one_name() -> None:
    for seed in range(30):
        scene = draw_close_up(np.random.default_rng(seed), (48, 48))
        things = [segment for segment in scene.segments if CONCEPTS[segment.name].is_thing]
        assert len(things) <= 1
        assert len(scene.segments) <= 2
        assert scene.picture.shape == (48, 48, 3)
        assert things or len(scene.segments) == 1

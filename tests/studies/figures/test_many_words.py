"""Figure 3: names of masks among many words."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from lexiseg.core.vocabulary import Concept, Vocabulary
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.storybook.roles import BASE, DISTRACTORS
from lexiseg.storybook.scene import draw_scene
from lexiseg.studies.figures.examples import deepest, is_worth_showing, most_telling, with_masks
from lexiseg.studies.figures.many_words import NUM_DISTRACTORS, Asked, among_many, count, row_of, shares
from lexiseg.studies.figures.segments import UNANNOTATED, Seen, look, show_all
from lexiseg.studies.worlds import Pictures

SCENES = {"role": "base", "split": "test", "seed": 0}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> list[Seen]:
    """Four test pictures of role base as a tiny model sees them."""
    folder = tmp_path_factory.mktemp("files")
    shown = Pictures(data="COCO", split="test", count=4)
    shown.unit.act(folder, folder / shown.unit.name, **shown.unit.settings)
    return [look(tiny.model(), one) for one in show_all(read_panoptic(folder / shown.unit.name), SCENES)]


def test_known_concepts_come_before_distractors_and_no_name_stands_twice() -> None:
    own = Vocabulary.of("cat|kitten, sky:stuff")

    many, number = among_many(own, (Concept("Kitten"), Concept("owl", ("barn owl",)), Concept("vase")))

    assert many.names[:4] == ("cat", "sky", "owl", "vase")
    assert number == 4
    assert len(many) == 4 + NUM_DISTRACTORS
    assert "vase" not in many.names[4:]
    assert many.templates == own.templates


def test_things_that_the_annotation_leaves_out_are_segments_under_their_names(seen: list[Seen]) -> None:
    for one in seen:
        shown = one.shown
        scene = draw_scene("base", "test", shown.number)
        left_out = {s.name for s in scene.segments if s.is_distractor}
        assert set(shown.strangers.values()) == left_out
        assert all(s.category_id == UNANNOTATED for s in shown.segments if s.id in shown.strangers)
        for number, name in shown.strangers.items():
            (drawn,) = [s.id for s in scene.segments if s.is_distractor and s.name == name][:1]
            assert (scene.ids == drawn).any()
            assert (shown.truth.ids == number).sum() > 0
    assert any(one.shown.strangers for one in seen)
    assert set(DISTRACTORS).isdisjoint(BASE.names)


def test_true_masks_are_embedded_one_by_one_and_own_masks_matched_once(seen: list[Seen]) -> None:
    for one in seen:
        assert one.true.regions.clip_embed.shape[1] == len(one.shown.segments) == len(one.queries)
        found = [query for query in one.queries if query is not None]
        assert len(found) == len(set(found))


def test_ranks_are_counted_apart_for_what_is_not_annotated(seen: list[Seen]) -> None:
    one = next(one for one in seen if one.shown.strangers)
    number = len(one.shown.segments)
    words = Vocabulary(tuple(Concept(f"word {place}") for place in range(8)), tiny.TRAINING.templates)
    asked = Asked(vocabulary=words, words=tiny.words(tiny.model(), words), num_known=6)
    right_last = torch.arange(8.0)  # the true concept, 0, is the last of all; a distractor is first
    rows = [right_last.flip(0)] * number
    is_stranger = [s.id in one.shown.strangers for s in one.shown.segments]
    rows = [None if stranger else row for row, stranger in zip(rows, is_stranger, strict=True)]

    counts = count({"own masks": rows, "true masks": [right_last] * number}, one, [0] * number, asked)

    strangers, others = sum(is_stranger), number - sum(is_stranger)
    assert counts["own masks"] == Counter(
        {"all": others, "masks": others, "top-1": others, "top-5": others, "unannotated all": strangers}
    )
    found = shares(counts["true masks"], "COCO", ("", "unannotated "))
    assert found["COCO top-5"] == found["COCO unannotated top-1"] == 0
    assert found["COCO distractor first"] == found["COCO unannotated distractor first"] == 100
    own = shares(counts["own masks"], "COCO", ("", "unannotated "))
    assert (own["COCO masks"], own["COCO top-1"], own["COCO unannotated masks"]) == (100, 100, 0)


def test_a_segment_without_a_known_name_is_not_counted(seen: list[Seen]) -> None:
    one, number = seen[0], len(seen[0].shown.segments)
    words = Vocabulary.of("cat, dog", tiny.TRAINING.templates)
    asked = Asked(vocabulary=words, words=tiny.words(tiny.model(), words), num_known=2)

    counts = count({"true masks": [torch.zeros(2)] * number}, one, [None] * number, asked)

    assert counts["true masks"] == Counter()


def test_a_row_of_the_figure_has_numbered_masks_and_five_names_each(seen: list[Seen]) -> None:
    one = next(one for one in seen if one.shown.strangers)
    queries = tuple(range(len(one.shown.segments)))
    full = replace(one, queries=queries)
    words = Vocabulary(tuple(Concept(f"word {place}") for place in range(8)), tiny.TRAINING.templates)
    logits = [torch.arange(8.0) for _ in queries]

    row = row_of(full, logits, [7] * len(queries), words, "COCO")

    assert is_worth_showing(full, is_drawn=True)
    assert not is_worth_showing(replace(full, queries=(0, 1, *[None] * (len(queries) - 2))), is_drawn=True)
    first = most_telling(full)[0]
    assert one.shown.segments[first].id in one.shown.strangers
    assert [note.number for note in row.notes] == ["1", "2", "3", "4"][: len(row.notes)]
    assert row.notes[0].aside == "unlabelled"
    assert [line.words for line in row.notes[0].lines] == ["word 7", "word 6", "word 5", "word 4", "word 3"]
    assert [line.is_right for line in row.notes[0].lines] == [True, False, False, False, False]
    assert len(row.marked) == len(row.notes)


def test_numbers_stand_deepest_inside_and_masks_keep_their_colour() -> None:
    mask = np.zeros((20, 20), bool)
    mask[2:9, 10:17] = True
    picture = np.full((20, 20, 3), 200, np.uint8)

    across, down = deepest(mask)
    painted = with_masks(picture, [mask], [(0, 107, 171)], side=40)

    assert (across, down) == pytest.approx((13.5 / 20, 5.5 / 20))
    assert painted.shape == (40, 40, 3)
    outside = painted[35, 5]
    assert outside.min() == outside.max()
    inside = painted[11, 27].astype(int)
    assert inside[2] > inside[0] + 20


def test_pictures_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    shown = Pictures(data="COCO", split="test", count=2)
    shown.unit.act(tmp_path, tmp_path / "data", **shown.unit.settings)
    dataset = read_panoptic(tmp_path / "data")
    dataset.samples[0].image_path.write_bytes(b"no picture")

    assert [one.number for one in show_all(dataset)] == [1]
    assert list(show_all(replace(dataset, samples=dataset.samples[:1]))) == []

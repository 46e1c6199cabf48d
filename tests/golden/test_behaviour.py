"""What a user may expect of the shipped model, on pictures that it was not trained on."""

import pytest

import lexiseg
from lexiseg.storybook import draw_scene


@pytest.fixture(scope="module")
def model() -> lexiseg.Model:
    """The shipped model."""
    return lexiseg.load()


def without(name: str, count: int) -> list[int]:
    """The first pictures of role base, split val, that do not show a thing."""
    found = (n for n in range(1000) if all(s.name != name for s in draw_scene("base", "val", n).segments))
    return [next(found) for _ in range(count)]


def test_cat_on_scenes_without_cats_returns_void(model: lexiseg.Model) -> None:
    for number in without("cat", 12):
        result = model.segment(draw_scene("base", "val", number).picture, "cat")
        assert not result.segments
        assert not result.segmentation.any()


def test_without_negatives_more_is_taken_for_a_cat(model: lexiseg.Model) -> None:
    pictures = [draw_scene("base", "val", n).picture for n in without("cat", 5)]
    alone = [model.segment(picture, "cat", negatives=False, score_threshold=0.05) for picture in pictures]
    among_others = [model.segment(picture, "cat", score_threshold=0.05) for picture in pictures]

    assert sum(r.segmentation.astype(bool).sum() for r in alone) > sum(
        r.segmentation.astype(bool).sum() for r in among_others
    )


def share_of_names_found(model: lexiseg.Model, scenes: int) -> float:
    """Of the names that show in each of some scenes, the share that the model finds there."""
    wanted, found = 0, 0
    for number in range(scenes):
        scene = draw_scene("base", "val", number)
        names = {s.name for s in scene.segments if not s.is_distractor and not s.is_crowd and s.hidden < 0.3}
        seen = {segment.name for segment in model.segment(scene.picture, "storybook").segments}
        wanted, found = wanted + len(names), found + len(names & seen)
    return found / wanted


def test_what_is_in_the_picture_is_found(model: lexiseg.Model) -> None:
    assert share_of_names_found(model, 8) > 0.7  # these weights: 41 of 44


def test_the_shipped_ovseg_finds_much_of_a_picture() -> None:
    assert share_of_names_found(lexiseg.load("tiny-ovseg"), 6) > 0.4


def test_another_vocabulary_in_between_changes_nothing(model: lexiseg.Model) -> None:
    picture = draw_scene("novel", "val", 1).picture
    before = model.segment(picture, "storybook-novel")
    model.segment(picture, [f"word {n}" for n in range(50)])
    after = model.segment(picture, "storybook-novel")

    assert (before.segmentation == after.segmentation).all()
    assert before.segments == after.segments

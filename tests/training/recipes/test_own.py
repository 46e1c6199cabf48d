"""A recipe in one's own file is as good as a built-in one, and its mistakes are told in sentences."""

from pathlib import Path

import pytest

from lexiseg.encoders.segmenters.mask2former_weights import read_mask2former
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.training.launch import TrainSettings, find_recipe, train, unused
from lexiseg.training.recipes.storybook import mask2former_tiny
from lexiseg.training.segmentation.closed_set import ClosedSetRecipe

GOOD = """
from dataclasses import dataclass, fields, replace

import steps_of_mine
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.training.recipes import mask2former_tiny


@dataclass
class Mine:
    words: str = "owl, sky:stuff"


def short(*, seed=0):
    return replace(mask2former_tiny(seed=seed), steps=steps_of_mine.STEPS, batch_size=2)


def no_seed():
    return mask2former_tiny()


def wrong():
    return {"steps": 3}


class Cousin(type(mask2former_tiny())):
    pass


def cousin():
    own = mask2former_tiny()
    return Cousin(**{field.name: getattr(own, field.name) for field in fields(own)})


def fails():
    return mask2former_tiny(speed=3)


number = 3
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "steps_of_mine.py").write_text("STEPS = 1\n")
    file = tmp_path / "my recipes.py"
    file.write_text(GOOD)
    return file


def test_a_function_of_a_file_returns_a_recipe_with_the_seed(mine: Path) -> None:
    recipe = find_recipe(f"{mine}:short", seed=5)
    assert isinstance(recipe, ClosedSetRecipe)
    assert (recipe.seed, recipe.steps) == (5, 1)
    assert find_recipe(f"{mine}:no_seed", seed=5) == mask2former_tiny()


def test_it_trains_as_its_kind_does(mine: Path, tmp_path: Path) -> None:
    write_storybook(StorybookSpec(role="base", split="train", count=2, size=(64, 64)), tmp_path / "data")
    settings = TrainSettings(out=tmp_path / "run", data=(tmp_path / "data",), workers=0)

    folder = train(f"{mine}:short", settings)

    assert read_mask2former(folder).names == mask2former_tiny().vocabulary.names
    assert unused(f"{mine}:short", TrainSettings(out=tmp_path, clip=tmp_path, steps=3)) == ("clip",)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("my recipes.py:absent", "has no function absent"),
        ("my recipes.py:number", "has no function number"),
        ("my recipes.py:wrong", "must return a recipe .* got dict"),
        ("my recipes.py:cousin", "must return a recipe .*ClosedSetRecipe, .* got Cousin"),
        ("my recipes.py:fails", "fails in .* failed .TypeError"),
        ("nowhere.py:short", "there is no file"),
        ("my recipes.py", "expected a recipe of your own as path/to/file.py:function"),
        ("broken.py:short", "can't be run .ZeroDivisionError"),
    ],
)
def test_mistakes_are_told_in_one_sentence(name: str, sentence: str, mine: Path) -> None:
    (mine.parent / "broken.py").write_text("1 / 0\n")

    with pytest.raises(ValueError, match=sentence) as caught:
        find_recipe(f"{mine.parent}/{name}", seed=0)

    assert "\n" not in str(caught.value)


def test_several_recipes_in_a_row_are_none_to_be_shown() -> None:
    with pytest.raises(ValueError, match="several recipes in a row: take one of clip-tiny, clip-tiny-words, "):
        find_recipe("storybook")

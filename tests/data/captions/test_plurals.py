"""Plurals back to singulars."""

import pytest

from lexiseg.data.captions.plurals import singular


@pytest.mark.parametrize(
    ("plural", "expected"),
    [
        ("dogs", "dog"),
        ("knives", "knife"),
        ("olives", "olive"),
        ("leaves", "leaf"),
        ("children", "child"),
        ("people", "person"),
        ("snowmen", "snowman"),
        ("buses", "bus"),
        ("octopuses", "octopus"),
        ("houses", "house"),
        ("horses", "horse"),
        ("dresses", "dress"),
        ("boxes", "box"),
        ("benches", "bench"),
        ("brushes", "brush"),
        ("ponies", "pony"),
        ("cookies", "cookie"),
        ("pies", "pie"),
        ("skies", "sky"),
        ("skis", "ski"),
        ("potatoes", "potato"),
        ("shoes", "shoe"),
        ("bananas", "banana"),
        ("tvs", "tv"),
    ],
)
def test_a_plural_becomes_its_singular(plural: str, expected: str) -> None:
    assert singular(plural) == expected
    assert singular(expected) == expected


@pytest.mark.parametrize(
    "word", ["sheep", "fish", "grass", "bus", "octopus", "tennis", "scissors", "jeans", "gas", "lens", "ramen", "s", ""]
)
def test_what_is_no_plural_stays(word: str) -> None:
    assert singular(word) == word

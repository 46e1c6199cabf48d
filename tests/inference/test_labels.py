"""Words on pictures in letters that the usual font lacks."""

import pytest
from PIL import ImageFont

from lexiseg.inference import labels
from lexiseg.inference.labels import is_drawable, shorten, text_size


@pytest.fixture
def only_pillows_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without fonts."""
    monkeypatch.setattr(labels, "_faces", lambda size: (ImageFont.load_default(size),))


@pytest.mark.usefixtures("only_pillows_font")
def test_letters_that_no_font_has_lose_their_accents_or_are_told_by_their_numbers() -> None:
    words = ("cat", "café", "猫", "a 犬", "①", "½")

    assert [shorten(word, 16, 300) for word in words] == ["cat", "cafe", "<732B>", "a <72AC>", "<2460>", "<BD>"]
    assert [is_drawable(word) for word in words] == [True, False, False, False, False, False]


def test_letters_that_some_font_has_stay_beside_one_that_none_has(monkeypatch: pytest.MonkeyPatch) -> None:
    usual, other = ImageFont.load_default(16), ImageFont.load_default(17)
    monkeypatch.setattr(labels, "_faces", lambda size: (usual, other))
    monkeypatch.setattr(labels, "_has", lambda face, letter: letter.isascii() or (face is other and letter != "猫"))

    assert shorten("кот 猫", 16, 300) == "кот <732B>"


@pytest.mark.usefixtures("only_pillows_font")
def test_a_long_word_in_numbers_still_fits() -> None:
    line = shorten("猫" * 40, 16, 120)

    assert line.endswith("...")
    assert text_size(line, 16)[0] <= 120


def test_what_only_picks_a_look_is_no_letter_that_a_font_could_lack() -> None:
    assert is_drawable("cat\ufe0f")
    assert shorten("cat\ufe0f", 16, 300) == "cat"


def test_letters_and_marks_that_make_one_letter_are_drawn_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "_has", lambda face, letter: letter != "\u0301")

    assert shorten("cafe\u0301", 16, 300) == "café"


def test_a_font_of_the_system_is_taken_where_it_has_the_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = ImageFont.load_default(16), ImageFont.load_default(40)
    monkeypatch.setattr(labels, "_faces", lambda size: (small, large))
    monkeypatch.setattr(labels, "_has", lambda face, letter: face is large or letter != "Ж")

    assert labels.font_for("cat", 16) is small
    assert labels.font_for("Жук", 16) is large

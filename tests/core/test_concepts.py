"""Lists of words as other programs and other systems write them."""

import json
import logging
import os
from pathlib import Path

import pytest

from lexiseg.core.concepts import Concept, same_word
from lexiseg.core.errors import VocabularyError
from lexiseg.core.vocabulary import Vocabulary

WORDS = ("disc", "traffic light", "meadow")


@pytest.mark.parametrize(
    "text", ["disc\ntraffic light\nmeadow", "disc\r\n\r\ntraffic light,\r\nmeadow,\n", "\ndisc,traffic light\nmeadow"]
)
def test_lines_separate_words(text: str, caplog: pytest.LogCaptureFixture) -> None:
    assert Vocabulary.of(text).names == WORDS
    assert caplog.messages == []


@pytest.mark.parametrize(
    "text",
    [
        "disc; traffic light;meadow",
        "disc；traffic light；meadow",
        "disc . traffic light . meadow .",
        "disc. traffic light. meadow.",
        '["disc", "traffic light", "meadow"]',
        "[disc, traffic light, 'meadow']",
    ],
)
def test_separators_of_other_programs_are_read_and_a_note_gives_the_right_form(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert Vocabulary.of(text).names == WORDS

    (note,) = caplog.messages
    assert "is read as 'disc, traffic light, meadow', which is the form to write" in note


def test_dots_within_a_word_are_no_separators(caplog: pytest.LogCaptureFixture) -> None:
    assert Vocabulary.of("St. Bernard, U.S. flag, no. 5").names == ("St. Bernard", "U.S. flag", "no. 5")
    assert Vocabulary.of("St. Bernard dog").names == ("St. Bernard dog",)
    assert Vocabulary.of("Mt. Fuji. St. Bernard dog.").names == ("Mt. Fuji", "St. Bernard dog")
    caplog.clear()
    assert Vocabulary.of("[cat], [dog]").names == ("[cat]", "[dog]")
    assert caplog.messages == []


def test_a_misspelt_list_is_a_word_with_a_question(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert Vocabulary.of("coco_stuff").names == ("coco_stuff",)
        assert Vocabulary.of("couch").names == ("couch",)  # a word that lists know

    (note,) = caplog.messages
    assert "did you mean coco-stuff, a built-in list?" in note


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "disc\ntraffic light\nmeadow\n"),
        ("classes.txt", "\ufeffdisc\r\ntraffic light\r\nmeadow"),
        ("classes.txt", "7 disc\n8: traffic light\n11, meadow\n"),
        ("words.txt", "disc, traffic light, meadow"),
        ("words.csv", "disc\ntraffic light\nmeadow\n"),
        ("words.csv", "id,name,count\n1,disc,9\n2,traffic light,3\n3,meadow,1\n"),
        ("words.csv", "\ufeff1;disc\n2;traffic light\n3;meadow\n"),
        ("words.csv", '"disc","traffic light","meadow"'),
        ("words.csv", "id,class\n0,disc\n1,traffic light\n2,meadow\n"),
    ],
)
def test_text_files_and_tables_are_vocabularies(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")

    assert Vocabulary.of(str(tmp_path / name)).names == WORDS


def test_a_table_has_synonyms_and_one_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    table = tmp_path / "words.csv"
    table.write_text("Idx,Name\n1,door;double door\n2,sky\n")
    assert [concept.names for concept in Vocabulary.of(table).concepts] == [("door", "double door"), ("sky",)]
    table.write_text('name\n"' + "cat\n" * 50_000)
    with pytest.raises(VocabularyError, match="the table of words can't be read"):
        Vocabulary.of(table)


def test_a_pipe_is_no_vocabulary(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "words.txt")
    with pytest.raises(VocabularyError, match="cannot read the vocabulary file"):
        Vocabulary.of(tmp_path / "words.txt")


def test_the_categories_of_a_coco_json_are_a_vocabulary(tmp_path: Path) -> None:
    categories = [
        {"id": 0, "name": "disc", "supercategory": "none"},
        {"id": 1, "name": "disc", "supercategory": "disc"},  # Roboflow's root has the name of a class
        {"id": 2, "name": "door; double door", "isthing": 1},
        {"id": 9, "name": "curtain", "isthing": 0},
        {"id": 10, "name": "sky"},
    ]
    (tmp_path / "coco.json").write_text(json.dumps({"images": [], "annotations": [], "categories": categories}))

    assert Vocabulary.of(tmp_path / "coco.json").concepts == (
        Concept("disc"),
        Concept("door", ("double door",)),
        Concept("curtain", is_thing=False),
        Concept("sky", is_thing=False),
    )
    (tmp_path / "coco.json").write_text(json.dumps({"categories": [{"id": 1}]}))
    with pytest.raises(VocabularyError, match=r'entry 1 has the unknown key|needs a "name"'):
        Vocabulary.of(tmp_path / "coco.json")


@pytest.mark.parametrize(
    "written", ["\ufeffsky", "sky\u200b", "s\u00adky", "\u2060sky\u200d", "sk\u034fy", "\u202esky", " sky\u00a0"]
)
def test_invisible_letters_are_no_part_of_a_name(written: str) -> None:
    (concept,) = Vocabulary.of(written).concepts

    assert concept == Concept("sky", is_thing=False)
    assert same_word(written) == "sky"


def test_joiners_stay_where_they_join() -> None:
    assert Vocabulary.of("👩\u200d🌾, می\u200cخواهم").names == ("👩\u200d🌾", "می\u200cخواهم")

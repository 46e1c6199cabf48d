import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lexiseg.core.concepts import kinds_of
from lexiseg.core.errors import VocabularyError
from lexiseg.core.vocabulary import (
    VILD_TEMPLATES,
    Concept,
    Vocabulary,
    are_apart,
    builtin_names,
    builtin_places,
    is_thing,
    label_table,
)

OFFICIAL = {
    "coco": "coco_panoptic_133.json",
    "ade20k": "ade20k_panoptic_150.json",
    "cityscapes": "cityscapes_panoptic_19.json",
}

letters = st.characters(exclude_categories=("Cc", "Cs", "Cn"))
words = st.text(letters, min_size=1, max_size=12).filter(lambda word: any(char.isalnum() for char in word))
concepts = st.builds(
    lambda names, is_thing, path: (names, is_thing, tuple(path)),
    st.lists(words, min_size=1, max_size=3),
    st.booleans(),
    st.lists(words, max_size=3),
)


def error_of(spec: object) -> str:
    with pytest.raises(VocabularyError) as caught:
        Vocabulary.of(spec)  # pyright: ignore[reportArgumentType]
    return str(caught.value)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_string_gives_names_synonyms_and_marks_in_order():
    found = Vocabulary.of("cat|kitten,  dog , sky:stuff, grass:thing")

    assert found.concepts == (
        Concept("cat", ("kitten",)),
        Concept("dog"),
        Concept("sky", is_thing=False),
        Concept("grass", is_thing=True),
    )
    assert found.templates == VILD_TEMPLATES
    assert len(found) == 4
    assert found.names == ("cat", "dog", "sky", "grass")


def test_rows_are_all_names_with_the_concept_of_each():
    found = Vocabulary.of("cat|kitten, dog, sky|heaven|air")

    assert found.row_names() == ("cat", "kitten", "dog", "sky", "heaven", "air")
    assert found.row_concepts() == (0, 0, 1, 2, 2, 2)


@pytest.mark.parametrize(
    ("word", "is_thing"),
    [
        ("cat", True),
        ("unicorn", True),
        ("sky", False),
        ("Grass", False),
        ("lawn", False),  # a synonym in a built-in list
        ("meadow|grass", False),
        ("wall-brick", False),  # the dataset's own spelling
        ("cat:stuff", False),
        ("desk", True),  # stuff in COCO-Stuff, which is not asked
        ("flower", True),  # stuff in COCO, a thing in ADE20K
        ("traffic light", True),  # stuff in Cityscapes alone
        ("banner", False),  # stuff under its first name, a thing as a synonym of flag
        ("banner pole", True),
        ("newspaper", True),
        ("sky:thing", True),
        ("sky : THING", True),
    ],
)
def test_an_unmarked_word_is_a_thing_unless_the_lists_that_know_it_agree_on_stuff(word: str, is_thing: bool):
    assert Vocabulary.of(word).concepts[0].is_thing is is_thing


def test_a_list_takes_entries_and_concepts_together():
    tree = Concept("oak", path=("thing", "plant"))

    assert Vocabulary.of(["cat|kitten", tree]).concepts == (Concept("cat", ("kitten",)), tree)
    assert Vocabulary.of(("cat",)) == Vocabulary.of("cat")


def test_a_vocabulary_passes_through_and_takes_other_templates():
    found = Vocabulary.of("cat")

    assert Vocabulary.of(found) is found
    assert Vocabulary.of(found, templates=("{}",)) == Vocabulary(found.concepts, ("{}",))


def test_chinese_commas_separate_and_any_script_is_a_word():
    found = Vocabulary.of("猫，狗、天空:stuff, 🤷🏽‍♀️, café")

    assert found.names == ("猫", "狗", "天空", "🤷🏽‍♀️", "café")


def test_equal_vocabularies_are_one_dictionary_key():
    assert {Vocabulary.of("cat, dog"): 1}[Vocabulary.of(["cat", "dog"])] == 1


def test_five_thousand_words_are_read_in_a_moment():
    start = time.process_time()
    found = Vocabulary.of(", ".join(f"word {index}" for index in range(5000)))

    assert len(found) == 5000
    assert time.process_time() - start < 2


@pytest.mark.parametrize("name", ["words.yaml", "words.YML", "my words.json"])
@pytest.mark.parametrize("as_text", [True, False])
def test_a_file_holds_a_list_or_a_document(tmp_path: Path, name: str, as_text: bool):
    dump = json.dumps if name.endswith("json") else yaml.safe_dump
    document = {
        "source": "a test",
        "templates": ["{}!"],
        "concepts": ["cat|kitten", {"name": "sky", "path": ["stuff"]}],
    }
    plain = written(tmp_path, name, dump(["cat|kitten", "lake:stuff"]))
    full = written(tmp_path, f"full {name}", dump(document))

    read = [Vocabulary.of(str(path) if as_text else path) for path in (plain, full)]

    assert read[0].concepts == (Concept("cat", ("kitten",)), Concept("lake", is_thing=False))
    assert read[1].concepts == (Concept("cat", ("kitten",)), Concept("sky", (), False, ("stuff",)))
    assert read[1].templates == ("{}!",)


@given(st.lists(concepts, min_size=1, max_size=4), st.lists(words, min_size=1, max_size=2))
def test_json_keeps_every_vocabulary(drawn: list[tuple[list[str], bool, tuple[str, ...]]], sentences: list[str]):
    seen: set[str] = set()
    kept = []
    for index, (names, kind, path) in enumerate(drawn):
        unique = [f"{name} {index} {place}" for place, name in enumerate(names)]
        kept.append(Concept(unique[0], tuple(unique[1:]), kind, path))
        seen.update(unique)
    templates = tuple(sentence.replace("{}", "") + "{}" for sentence in sentences)
    vocabulary = Vocabulary(tuple(kept), templates)

    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary


@given(st.lists(st.text(st.characters(exclude_characters=",，、|:"), max_size=8), min_size=1, max_size=5))
def test_any_text_is_read_or_refused_in_one_sentence(entries: list[str]):
    message, found = "", None
    try:
        found = Vocabulary.of(", ".join(entries))
    except VocabularyError as error:
        message = str(error)

    assert bool(message) is (found is None)
    assert len(message.splitlines()) <= 1
    assert len(message) < 400
    assert found is None or found.row_concepts()[-1] == len(found) - 1


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("", ["at least one word"]),
        ("  \n", ["at least one word"]),
        ([], ["at least one word"]),
        ("cat,,dog", ["entry 2", "empty name"]),
        ("cat,", ["entry 2", "empty name"]),
        ("cat|", ["entry 1", "empty name"]),
        (":stuff", ["entry 1", "empty name"]),
        ("cat,\u200b", ["entry 2", "empty name"]),
        ("cat:stuf", ["':stuf'", 'did you mean ":stuff"?']),
        ("cat:things", ["':things'", 'did you mean ":thing"?']),
        ("cat:red", ["':red'", '":thing"', '":stuff"']),
        ("a|b:stuff|c", ["before its last name"]),
        ("a:b:stuff", ["two colons"]),
        ("cat, dog, Cat", ["'Cat' stands twice", "entry 1", "entry 3"]),
        ("cat|kitten, dog|kitten", ["'kitten' stands twice", "entry 1 ('cat')", "entry 2 ('dog')"]),
        ("cat|kitten|cat", ["'cat' stands twice", "its name", "synonym 2"]),
        ("caf\u00e9, cafe\u0301", ["stands twice"]),
        (["cat, dog"], ["entry 1", "holds a comma"]),
        ("a\x00b", ["control character"]),
        ("a\ud800b", ["control character"]),
    ],
)
def test_words_that_make_no_vocabulary_are_refused_with_the_place(spec: object, parts: list[str]):
    message = error_of(spec)

    assert [part for part in parts if part not in message] == []
    assert len(message) < 300


def test_a_word_of_ten_thousand_characters_ends_in_one_short_sentence():
    for spec in ("x" * 10_000, ["x" * 10_000], "cat:" + "x" * 10_000, "x" * 10_000 + ".json"):
        assert len(error_of(spec)) < 250
    assert "200" in error_of("x" * 10_000)
    assert Vocabulary.of("x" * 200).names == ("x" * 200,)


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("a.yaml", "", ["nothing", '"concepts"']),
        ("a.yaml", "[cat, [dog]]", ["entry 2", "list"]),
        ("a.yaml", "[cat, no]", ["entry 2", "'False'", "quotes"]),
        ("a.yaml", "- sky: stuff", ["unknown key 'sky'"]),
        ("a.yaml", "cat: [unclosed", ["no valid YAML"]),
        ("a.yaml", "!!python/object/apply:os.getcwd []", ["no valid YAML"]),
        ("a.json", "{cat", ["no valid JSON"]),
        ("a.json", "[" * 100_000, ["no valid JSON"]),
        ("a.json", '"cat"', ["a str", '"concepts"']),
        ("a.json", '{"names": ["cat"]}', ["'names'", '"concepts"']),
        ("a.json", '{"concepts": ["cat"], "template": []}', ["'template'", 'did you mean "templates"?']),
        ("a.json", '{"concepts": ["cat"], "templates": "a {}"}', ["list of texts"]),
        ("a.json", '{"concepts": ["cat"], "templates": []}', ["at least one template"]),
        ("a.json", '{"concepts": ["cat"], "templates": ["a photo"]}', ["'a photo'", "0 times"]),
        ("a.json", '{"concepts": [{"name": 7}]}', ["entry 1", '"name"']),
        ("a.json", '{"concepts": [{"synonyms": ["a"]}]}', ["entry 1", '"name"']),
        ("a.json", '{"concepts": [{"name": "a", "synonym": []}]}', ['did you mean "synonyms"?']),
        ("a.json", '{"concepts": [{"name": "a", "synonyms": "b"}]}', ['"synonyms"', "list of texts"]),
        ("a.json", '{"concepts": [{"name": "a", "is_thing": 1}]}', ['"is_thing"', "true or false"]),
        ("a.json", '{"concepts": []}', ["at least one word"]),
    ],
)
def test_a_file_of_another_structure_is_refused_with_what_is_expected(
    tmp_path: Path, name: str, text: str, parts: list[str]
):
    message = error_of(written(tmp_path, name, text))

    assert [part for part in parts if part not in message] == []


def test_files_that_cannot_be_read_say_why(tmp_path: Path):
    (tmp_path / "latin.yaml").write_bytes(b"- caf\xe9")

    assert "No such file" in error_of(str(tmp_path / "missing.yaml"))
    assert "no UTF-8" in error_of(tmp_path / "latin.yaml")
    assert ".yaml" in error_of(tmp_path / "words.doc")
    (tmp_path / "folder.json").mkdir()
    assert "it is a folder" in error_of(tmp_path / "folder.json")


def test_an_unknown_builtin_is_just_a_word_and_a_known_one_is_a_list():
    assert Vocabulary.of("lvis").names == ("lvis",)
    assert len(Vocabulary.of(" COCO ")) == 133


def test_every_builtin_reads_and_its_paths_agree_with_its_marks():
    assert {*OFFICIAL, "storybook", "storybook-novel", "storybook-all"} <= set(builtin_names())
    for name in builtin_names():
        for concept in Vocabulary.of(name).concepts:
            assert concept.path[:1] == (("thing",) if concept.is_thing else ("stuff",)), (name, concept)


@pytest.mark.parametrize("part", ["storybook", "storybook-novel", "storybook-part"])
def test_a_subset_takes_its_concepts_whole(part: str):
    assert set(Vocabulary.of(part).concepts) < set(Vocabulary.of("storybook-all").concepts)


@pytest.mark.parametrize(
    ("name", "kinds", "known"),
    [
        ("coco", "t" * 80 + "s" * 53, {0: "person", 15: "cat", 79: "toothbrush", 80: "banner", 119: "sky", 132: "rug"}),
        ("cityscapes", "s" * 11 + "t" * 8, {0: "road", 10: "sky", 11: "person", 18: "bicycle"}),
        ("ade20k", None, {0: "wall", 2: "sky", 7: "bed", 12: "person", 149: "flag"}),
    ],
)
def test_a_dataset_list_has_its_published_size_kinds_and_places(name: str, kinds: str | None, known: dict[int, str]):
    """The next test holds every name against the recorded lists, where the shared data is."""
    found = Vocabulary.of(name).concepts

    if kinds is not None:
        assert "".join("t" if concept.is_thing else "s" for concept in found) == kinds
    for place, word in known.items():
        assert word in found[place].names


@pytest.mark.parametrize("name", OFFICIAL)
def test_a_dataset_list_has_the_official_names_order_and_marks(name: str, shared: Path):
    official = json.loads((shared / "classes" / OFFICIAL[name]).read_text())["categories"]
    found = Vocabulary.of(name).concepts

    assert [concept.is_thing for concept in found] == [bool(entry["isthing"]) for entry in official]
    for concept, entry in zip(found, official, strict=True):
        own = [part.strip() for part in entry["name"].split(",")] if name == "ade20k" else [entry["name"]]
        assert own[0] in concept.names
        assert set(concept.names) <= set(own) or name == "coco"


def test_lists_that_are_not_asked_for_unmarked_words_add_no_stuff():
    asked = {"ade20k", "cityscapes", "coco", *(name for name in builtin_names() if name.startswith("storybook"))}
    known: dict[str, tuple[list[bool], list[bool]]] = {}
    for concept in (concept for one in asked for concept in Vocabulary.of(one).concepts):
        for name in concept.names:
            known.setdefault(name.casefold(), ([], []))[name != concept.name].append(concept.is_thing)

    for listed in builtin_names():
        for name in Vocabulary.of(listed).row_names():
            first, other = known.get(name.casefold(), ([True], []))
            assert Vocabulary.of([name]).concepts[0].is_thing == any(first or other), (listed, name)


def test_what_the_model_was_trained_with_says_first_what_an_unmarked_word_is():
    trained = kinds_of(Vocabulary.of("bloom|flower:stuff, sky:thing").concepts)

    assert not is_thing(("Flower",), trained)
    assert is_thing(("sky",), trained)
    assert not is_thing(("grass",), trained)
    assert not is_thing(("sky", "flower"), trained)  # of the concept that comes first
    taken: list[tuple[str, ...]] = []
    Vocabulary.of("cat|kitten, dog:stuff, sky", unmarked=lambda names: not taken.append(names))
    assert taken == [("cat", "kitten"), ("sky",)]


def test_names_of_one_concept_are_the_same_and_of_two_apart_in_every_builtin_list():
    for listed in builtin_names():
        concepts = Vocabulary.of(listed).concepts
        for concept, other in itertools.pairwise(concepts):
            assert not any(are_apart(concept.name, synonym) for synonym in concept.synonyms)
            one = set(builtin_places(concept.name)) & set(builtin_places(other.name))
            assert are_apart(concept.name, other.name) is not bool(one), (listed, concept.name, other.name)


@pytest.mark.parametrize(
    ("name", "first", "last", "num_unseen"),
    [
        ("coco-stuff", 0, 181, 15),
        ("ade20k-full", 2978, 3148, 0),
        ("pascal-context-59", 2, 458, 0),
        ("pascal-context-459", 1, 459, 0),
        ("pascal-voc", 1, 20, 0),
    ],
)
def test_a_data_sets_list_knows_the_values_of_its_label_maps(name: str, first: int, last: int, num_unseen: int):
    table = label_table(name)

    assert (table.values[0], table.values[-1]) == (first, last)
    assert len(set(table.values)) == len(table.values) == len(Vocabulary.of(name))
    assert len(table.unseen) == num_unseen
    assert table.unseen <= set(Vocabulary.of(name).names)


def test_a_list_without_label_values_says_so_by_its_absence():
    with pytest.raises(KeyError):
        label_table("storybook")


def test_coco_phrases_are_natural_and_no_suffix_is_left():
    found = Vocabulary.of("coco")

    assert not [name for name in found.names if "-" in name]
    assert Concept("brick wall", ("wall-brick",), False, ("stuff", "structure", "wall")) in found.concepts


def test_the_words_import_without_torch():
    code = "import sys, lexiseg.core.taxonomy; print('torch' in sys.modules, 'yaml' in sys.modules)"
    environment = {"PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src")}

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)

    assert answer.stdout.split() == ["False", "False"]

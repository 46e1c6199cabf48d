"""Lists of synsets, as ImageNet's names are published, and concepts that share a name."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lexiseg.core.concepts import Concept
from lexiseg.core.errors import VocabularyError
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import match_categories, match_vocabulary, vocabulary_categories, vocabulary_for
from lexiseg.data.dataset import Category
from lexiseg.inference.result_files import Categories
from lexiseg.io.config_json import from_jsonable, to_jsonable
from lexiseg.training.segmentation.finetune import join_vocabularies

CAT = Concept("Egyptian cat", ("tabby", "house cat"), id="n02124075")
CRANES = (Concept("crane", id="n02012849"), Concept("crane", ("hoist",), id="n03126707"))


@pytest.mark.parametrize(
    "text",
    [
        "n02124075 Egyptian cat, tabby,house cat\nn02012849 crane\nn03126707 crane, hoist\n",
        "n02124075\tEgyptian cat, tabby, house cat, Tabby\r\nn02012849\tcrane\r\n\r\nn03126707\tcrane, hoist",
        "n02124075,Egyptian cat,tabby,house cat\nn02012849,crane\nn03126707,crane,hoist",
        "n02124075 Egyptian cat|tabby|house cat, n02012849 crane, n03126707: crane, hoist",
    ],
)
@pytest.mark.parametrize("is_file", [True, False])
def test_synsets_are_read_with_their_ids_as_words_txt_and_synset_words_txt_have_them(
    text: str, is_file: bool, tmp_path: Path
) -> None:
    (tmp_path / "words.txt").write_text(text, newline="")

    vocabulary = Vocabulary.of(tmp_path / "words.txt" if is_file else text)

    assert vocabulary.concepts == (CAT, *CRANES)


def test_an_entry_of_any_list_may_have_an_id(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(json.dumps([{"name": "crane", "id": "n02012849"}, "n09436708 sky:stuff"]))

    assert Vocabulary.of(tmp_path / "own.json").concepts == (CRANES[0], Concept("sky", (), False, id="n09436708"))
    assert Vocabulary.of("cat, n02012849 crane").concepts == (Concept("cat"), CRANES[0])


def test_lemmas_and_ids_in_two_files_side_by_side_are_one_list(tmp_path: Path) -> None:
    lemmas = tmp_path / "imagenet21k_wordnet_lemmas.txt"
    lemmas.write_text("Egyptian cat, tabby, house cat\ncrane\ncrane, hoist\n")
    ids = tmp_path / "imagenet21k_wordnet_ids.txt"
    ids.write_text("n02124075\nn02012849\nn03126707\n")

    assert Vocabulary.of(lemmas).concepts == (CAT, *CRANES)
    ids.write_text("n02124075\nn02012849\n")
    with pytest.raises(VocabularyError, match=r"has 4 lines and .* 3: bring both of one release"):
        Vocabulary.of(lemmas)
    ids.write_text("n02124075\n\nn03126707\n")
    with pytest.raises(VocabularyError, match=r"^line 2 of '.*_ids.txt' is empty and that of '.*_lemmas.txt' is not"):
        Vocabulary.of(lemmas)


@pytest.mark.parametrize("strange", ["crane", "n02012849", "n0201284 crane, bird", "# cranes"])
def test_one_bad_line_does_not_turn_a_list_of_synsets_into_other_words(strange: str, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text(f"n02124075 Egyptian cat, tabby\n{strange}\nn03126707 crane, hoist\n")

    with pytest.raises(VocabularyError, match=rf"but '{strange}' has not: correct or remove it"):
        Vocabulary.of(tmp_path / "words.txt")


def test_a_comment_may_stand_before_synsets_and_words_without_commas_may_have_an_id_or_none(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("# two cats\nn02124075 Egyptian cat, tabby, house cat\nn1 crane, hoist\n")
    (tmp_path / "mixed.txt").write_text("cat\nn02012849 crane\nn03126707 crane|hoist\n")

    assert Vocabulary.of("# a cat\nn02124075 Egyptian cat, tabby, house cat").concepts == (CAT,)
    assert Vocabulary.of(tmp_path / "mixed.txt").concepts == (Concept("cat"), *CRANES)


def test_concepts_may_share_a_name_only_where_both_have_an_id() -> None:
    assert Vocabulary(CRANES).names == ("crane (n02012849)", "crane (n03126707)")
    assert Vocabulary((*CRANES, CAT)).names[2] == "Egyptian cat"
    assert Vocabulary(CRANES).row_names() == ("crane", "crane", "hoist")
    with pytest.raises(VocabularyError, match="'Crane' stands twice, in entry 1"):
        Vocabulary((CRANES[0], Concept("Crane")))
    with pytest.raises(VocabularyError, match="the id 'n02012849' stands twice, in entries 1 and 2"):
        Vocabulary((CRANES[0], Concept("stork", id="n02012849")))
    with pytest.raises(VocabularyError, match=r"^'crane \(n02012849\)' is what one of several words 'crane' is called"):
        Vocabulary((*CRANES, Concept("crane (n02012849)")))


def test_ids_are_kept_by_json_and_leave_no_trace_where_there_are_none() -> None:
    vocabulary = Vocabulary((*CRANES, Concept("cat")))

    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary
    assert from_jsonable(Vocabulary, to_jsonable(vocabulary)) == vocabulary
    assert [list(concept) for concept in to_jsonable(vocabulary)["concepts"]][1:] == [
        ["name", "synonyms", "is_thing", "path", "id"],
        ["name", "synonyms", "is_thing", "path"],
    ]


def test_a_shared_name_is_no_category_and_shown_names_are_each_their_own() -> None:
    vocabulary = Vocabulary((*CRANES, Concept("cat", ("tabby",), id="n1"), Concept("tabby", id="n2")))
    names = ("crane (n03126707)", "crane", "tabby", "cat")
    asked = [Category(id=number, name=name, is_thing=True) for number, name in enumerate(names)]

    assert match_categories(asked, vocabulary) == {0: 1, 2: 3, 3: 2}
    assert [category.name for category in vocabulary_categories(vocabulary)] == list(vocabulary.names)
    assert list(Categories.of(vocabulary).numbers.values()) == [1, 2, 3, 4]


def test_a_category_with_a_shared_name_is_told_the_names_to_choose_from() -> None:
    crane = (Category(id=1, name="crane", is_thing=True),)

    told = r"category 'crane' has the name of several words \(call it 'crane \(n02012849\)' or 'crane \(n03126707\)'\)"
    with pytest.raises(ValueError, match=told):
        vocabulary_for(crane, Vocabulary(CRANES), ("{}",))
    with pytest.raises(ValueError, match=told):
        match_vocabulary(crane, Vocabulary(CRANES))


def test_concepts_of_one_name_stay_two_when_a_model_learns_them() -> None:
    joined = join_vocabularies(Vocabulary((CRANES[0], CAT)), Vocabulary((CRANES[1], Concept("tabby"))))

    assert joined.concepts == (CRANES[0], CAT, CRANES[1])
    assert join_vocabularies(Vocabulary(CRANES), Vocabulary((CRANES[0],))).concepts == CRANES


@pytest.mark.parametrize(
    ("old", "new", "joined"),
    [
        ("n1 bird, n9 crane", "n1 heron, n2 crane", ["n1 bird|heron", "n9 crane", "n2 crane"]),
        ("n1 crane, n2 crane", "crane|lifter", ["n1 crane|lifter", "n2 crane"]),
        ("crane", "n1 crane, n2 crane|hoist", ["n1 crane", "n2 crane|hoist"]),
        ("dog", "n1 crane|bird, n2 crane, hoist", ["dog", "n1 crane|bird", "n2 crane", "hoist"]),
    ],
)
def test_ids_count_before_names_and_the_first_of_a_name_takes_what_has_no_id(
    old: str, new: str, joined: list[str]
) -> None:
    both = join_vocabularies(*(Vocabulary(tuple(map(concept, words.split(", ")))) for words in (old, new)))

    assert both.concepts == tuple(map(concept, joined))


def concept(written: str) -> Concept:
    *number, names = written.split()
    name, *synonyms = names.split("|")
    return Concept(name, tuple(synonyms), id="".join(number))


READ = """
import sys, time
from lexiseg.core.vocabulary import Vocabulary
began = time.process_time()
vocabulary = Vocabulary.of(sys.argv[1])
assert len(vocabulary) == len(set(vocabulary.names)) == 21_841
assert vocabulary.concepts[0].synonyms == ("other 0",)
assert "torch" not in sys.modules
print(time.process_time() - began)
"""


def test_as_many_synsets_as_imagenet_21k_has_are_read_in_a_moment(tmp_path: Path, tell: Callable[[str], None]) -> None:
    names = ((number, f"name {number % 20_000}, other {number}, Name {number % 20_000}") for number in range(21_841))
    (tmp_path / "words.txt").write_text("\n".join(f"n{number:08d}\t{name}" for number, name in names))

    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / "words.txt")], capture_output=True, text=True, check=True
    )  # in a process of its own, in which types are not checked

    tell(f"words: 21,841 synsets are read in {float(done.stdout):.2f} s")
    assert float(done.stdout) < 4


@pytest.mark.parametrize(
    ("entry", "told"),
    [({"name": "crane", "id": 5}, '"id" of entry 1'), ({"name": "crane", "id": "a\x07"}, "control character")],
)
def test_an_id_that_is_none_is_refused(entry: object, told: str) -> None:
    with pytest.raises(VocabularyError, match=told):
        Vocabulary.of([entry])

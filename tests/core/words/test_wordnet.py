"""WordNet's own files: what they say of words, and what is wrong with damaged ones."""

import re
from pathlib import Path

import pytest

from lexiseg.core.errors import VocabularyError
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.core.words import wordnet
from lexiseg.core.words.wordnet import WordNet, is_wordnet
from little_wordnet import write_wordnet

DEBIAN = Path("/usr/share/wordnet")


def names(net: WordNet, ids: tuple[str, ...]) -> list[str]:
    return [net.synset(one).lemmas[0] for one in ids]


@pytest.fixture
def net(tmp_path: Path) -> WordNet:
    return WordNet.read(write_wordnet(tmp_path / "dict"))


def test_words_have_senses_and_senses_ways_up_to_the_root(net: WordNet) -> None:
    (siamese,) = net.senses("siamese CAT")

    assert net.synset(siamese).lemmas == ("Siamese cat", "Siamese")
    assert names(net, net.ancestors(siamese)) == ["entity", "physical entity", "animal", "mammal", "feline", "cat"]
    assert names(net, net.ancestors(net.senses("dog")[0])) == ["entity", "physical entity", "animal", "mammal"]
    assert net.senses("teapot") == ()
    assert "n00000001" not in net
    assert siamese in net


def test_a_single_person_is_told_from_kinds(net: WordNet) -> None:
    cranes = [net.synset(one) for one in net.senses("crane")]

    assert [(c.lemmas[-1], names(net, c.hypernyms), c.is_instance) for c in cranes] == [
        ("crane", ["bird"], False),
        ("crane", ["machine"], False),
        ("Stephen Crane", ["writer"], True),
    ]


def test_the_folder_or_the_one_around_it_is_a_vocabulary_of_all_kinds(net: WordNet, tmp_path: Path) -> None:
    vocabulary = Vocabulary.of(tmp_path)

    assert Vocabulary.of(net.folder) == vocabulary
    assert len(vocabulary) == 20
    assert [name for name in vocabulary.names if "crane" in name.lower()] == [
        f"crane ({c})" for c in net.senses("crane")[:2]
    ]
    assert not next(c for c in vocabulary.concepts if c.name == "sky").is_thing


def test_a_number_of_senses_of_thousands_of_digits_is_none(net: WordNet) -> None:
    index = (net.folder / "index.noun").read_text()
    (net.folder / "index.noun").write_text(index.replace("crane n 3", f"crane n {'9' * 5_000}"))

    assert len(net.senses("crane")) == 3
    assert WordNet.read(net.folder).senses("crane") == ()


def test_a_circle_is_found(tmp_path: Path) -> None:
    net = WordNet.read(write_wordnet(tmp_path, [("hen", ("egg",)), ("egg", ("hen",))]))

    with pytest.raises(VocabularyError, match="leads in a circle from 'n0"):
        net.ancestors(net.senses("egg")[0])


@pytest.mark.parametrize(
    ("pattern", "instead", "told"),
    [
        (r" 05 n 02 Siamese_cat", " 05 n zz Siamese_cat", "is damaged at '0"),
        (r" 05 n 02 Siamese_cat", " 05 n ff Siamese_cat", "is damaged at '0"),
        (r" 001 (@ \d+ n 0000) \| what Siamese", r" 009 \1 | what Siamese", "is damaged at '0"),
        (r"Siamese_cat", "Siamese\xffcat", "is damaged at '0"),
        (r"@ \d{8} (n 0000 \| what Siamese)", r"@ 99999999 \1", "has no noun 'n99999999': take WordNet 3.0"),
        (r"@ \d{8} (n 0000 \| what Siamese)", r"@ 00000003 \1", "has no noun 'n00000003'"),
    ],
)
def test_damaged_lines_are_refused_in_a_sentence(net: WordNet, pattern: str, instead: str, told: str) -> None:
    content, number = re.subn(pattern, instead, net.data.decode(), count=1)
    (net.folder / "data.noun").write_bytes(content.encode("latin-1"))
    damaged = WordNet.read(net.folder)

    assert number == 1
    with pytest.raises(VocabularyError, match=told):
        damaged.ancestors(damaged.senses("siamese")[0])


def test_an_index_that_leads_nowhere_knows_no_senses(net: WordNet) -> None:
    (net.folder / "index.noun").write_text("cat n x\ndog n 2 1 @ 2 0 00000007 abc\nowl\n")

    damaged = WordNet.read(net.folder)

    assert [damaged.senses(word) for word in ("cat", "dog", "owl")] == [(), (), ()]


def test_what_is_no_wordnet_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(VocabularyError, match=r"is no WordNet folder: expected one with data\.noun and index\.noun"):
        WordNet.read(tmp_path)
    (tmp_path / "data.noun").mkdir()
    (tmp_path / "index.noun").touch()
    assert not is_wordnet(tmp_path)
    monkeypatch.setattr(wordnet, "LARGEST", 1000)
    with pytest.raises(VocabularyError, match="is larger than 0 MB"):
        WordNet.read(write_wordnet(tmp_path / "whole"))


@pytest.mark.skipif(not is_wordnet(DEBIAN), reason="WordNet is not installed (Debian's package wordnet-base)")
def test_the_published_files_are_read_whole() -> None:
    net = WordNet.read(DEBIAN)
    kinds = list(net.kinds())

    assert len(kinds) == 74_390
    assert net.synset("n02124075").lemmas == ("Egyptian cat",)
    assert names(net, net.ancestors("n02121620"))[-4:] == ["mammal", "placental", "carnivore", "feline"]
    assert {"n02012849", "n03126707"} < set(net.senses("crane"))
    assert max(len(net.ancestors(one.id)) for one in kinds[::50]) < 20

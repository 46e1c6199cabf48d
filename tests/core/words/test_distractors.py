"""Names that are none of the asked ones."""

from pathlib import Path

import pytest

from lexiseg.core.concepts import same_word
from lexiseg.core.errors import VocabularyError
from lexiseg.core.vocabulary import Concept, Vocabulary
from lexiseg.core.words.distractors import distractor_names
from lexiseg.core.words.wordnet import WordNet
from little_wordnet import write_wordnet

DRAWN = Vocabulary.of("storybook-all")


def test_built_in_lists_give_two_thousand_names_beside_those_of_the_drawn_world() -> None:
    names = distractor_names(1_800, besides=DRAWN)

    assert len({same_word(name) for name in names}) == 1_800
    assert {same_word(name) for name in DRAWN.row_names()}.isdisjoint(map(same_word, names))
    assert names[:1_000] == distractor_names(1_000, besides=DRAWN)
    assert len(Vocabulary((*DRAWN.concepts, *map(Concept, names)))) == len(DRAWN) + 1_800


def test_a_concept_that_shares_any_name_with_an_asked_one_is_no_distractor() -> None:
    names = distractor_names(1_500, besides=Vocabulary.of("bathing cap, swimming cap"))

    assert "bathing cap" not in names
    assert "bathing cap" in distractor_names(1_500, besides=Vocabulary.of("cat"))


def test_wordnets_nouns_follow_where_the_lists_end(tmp_path: Path) -> None:
    wordnet = WordNet.read(write_wordnet(tmp_path))
    with pytest.raises(
        VocabularyError, match=r"expected 9000 distractors, but there are only \d+: take fewer, or give"
    ):
        distractor_names(9_000)
    with pytest.raises(VocabularyError, match=r"only \d+: take fewer\.$") as error:
        distractor_names(9_000, wordnet=wordnet)

    most = int(str(error.value).split()[-3].rstrip(":"))
    names = distractor_names(most, wordnet=wordnet)
    assert {"mammal", "feline"} <= set(names[-20:])
    assert {"entity", "Stephen Crane"}.isdisjoint(names)

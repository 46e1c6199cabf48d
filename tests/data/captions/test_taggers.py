"""Taggers: the one that is there, and what those say that lack their library or their data."""

import sys
from types import SimpleNamespace
from typing import ClassVar

import pytest

from lexiseg.data.captions.taggers import TAGGERS, LexiconTagger, NltkTagger, SpacyTagger


def test_the_offline_tagger_gives_a_tag_for_every_word() -> None:
    tagger = LexiconTagger()

    assert tagger(["two", "dogs", "and", "a", "red", "cat", "."]) == ["CD", "NNS", "CC", "DT", "JJ", "NN", "."]
    assert tagger(["a/b", "/", "u-boat", "."])[-1] == "."
    assert len(tagger(["a/b", "/", "u-boat", ".", "é"])) == 5
    assert tagger([]) == []
    assert tagger.name.startswith("textblob ")


@pytest.mark.parametrize(
    ("name", "module", "way_out"),
    [
        ("textblob", "textblob.en", r"pip install 'lexiseg\[text\]'"),
        ("nltk", "nltk", "pip install nltk"),
        ("spacy", "spacy", "pip install spacy"),
    ],
)
def test_without_its_library_a_tagger_says_how_to_get_it(
    name: str, module: str, way_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(ValueError, match=f"{name}, which is not installed: {way_out}"):
        TAGGERS[name]()


def test_nltk_without_its_data_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    nltk = pytest.importorskip("nltk")
    monkeypatch.setattr(nltk.data, "path", [])

    with pytest.raises(ValueError, match="averaged_perceptron_tagger_eng"):
        NltkTagger()


def test_nltk_tags_where_its_data_are(monkeypatch: pytest.MonkeyPatch) -> None:
    nltk = pytest.importorskip("nltk")
    monkeypatch.setattr(nltk, "pos_tag", lambda words: [(word, "NN") for word in words])

    assert NltkTagger()(("a", "cat")) == ["NN", "NN"]


class Pipeline:
    """Stands in for a pipeline of spaCy."""

    vocab = "vocab"
    meta: ClassVar = {"version": "3"}

    def __call__(self, words: list[str]) -> list[SimpleNamespace]:
        return [SimpleNamespace(tag_=f"tag of {word}") for word in words]


def test_spacy_is_told_what_the_words_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(pipeline: str) -> object:
        if pipeline != "there":
            raise OSError("no such pipeline")

        return Pipeline()

    monkeypatch.setitem(sys.modules, "spacy", SimpleNamespace(load=load))
    monkeypatch.setitem(sys.modules, "spacy.tokens", SimpleNamespace(Doc=lambda vocab, words: words))

    tagger = SpacyTagger("there")

    assert tagger(["a", "cat"]) == ["tag of a", "tag of cat"]
    assert tagger.name == "spacy there 3"
    with pytest.raises(ValueError, match="python -m spacy download missing"):
        SpacyTagger("missing")

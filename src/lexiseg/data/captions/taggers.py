"""Part-of-speech taggers: one that works offline, and adapters of those that need data of their own."""

import importlib
import importlib.metadata
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Tagger(Protocol):
    """What `NounFinder` needs: any part-of-speech tagger that takes a sentence as a list of words."""

    @property
    def name(self) -> str:
        """What tells its answers from those of another tagger, its version among it."""
        ...

    def __call__(self, tokens: Sequence[str]) -> list[str]:
        """A tag of the Penn Treebank for each token (NN, NNS, VB, JJ ...); tokens are in lower case."""
        ...


class LexiconTagger:
    """Brill's lexicon and rules as textblob carries them: no corpus is needed, a caption takes 20 microseconds.

    `textblob.en.tag` is called itself; textblob's own classes would ask for corpora that have to be downloaded.
    """

    def __init__(self) -> None:
        """Reads the lexicon.

        Raises:
            ValueError: if textblob is not installed.
        """
        english = _module("textblob.en", "pip install 'lexiseg[text]'")
        self.name = f"textblob {importlib.metadata.version('textblob')}"
        self._tag: Callable[..., list[tuple[str, str]]] = english.tag
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # it leaves its files to the garbage collector
            self._tag("a word", tokenize=False)

    def __call__(self, tokens: Sequence[str]) -> list[str]:
        """A tag for each token."""
        return [tag for _, tag in self._tag(" ".join(tokens), tokenize=False)] if tokens else []


class NltkTagger:
    """NLTK's averaged perceptron, which OVSeg's authors used; its data have to be there."""

    def __init__(self) -> None:
        """Loads the data.

        Raises:
            ValueError: if NLTK or its data are missing.
        """
        nltk = _module("nltk", "pip install nltk")
        self.name = f"nltk {importlib.metadata.version('nltk')}"
        self._tag: Callable[[list[str]], list[tuple[str, str]]] = nltk.pos_tag
        try:
            self._tag(["word"])
        except LookupError as error:
            raise ValueError(
                "NLTK's tagger data are not there: run `python -m nltk.downloader averaged_perceptron_tagger_eng` "
                "where there is a network, or take the textblob tagger."
            ) from error

    def __call__(self, tokens: Sequence[str]) -> list[str]:
        """A tag for each token."""
        return [tag for _, tag in self._tag(list(tokens))]


class SpacyTagger:
    """A pipeline of spaCy that has a tagger, such as en_core_web_sm; it has to be installed."""

    def __init__(self, pipeline: str = "en_core_web_sm") -> None:
        """Loads the pipeline.

        Raises:
            ValueError: if spaCy or the pipeline is missing.
        """
        spacy = _module("spacy", "pip install spacy")
        try:
            self._nlp: Any = spacy.load(pipeline)
        except OSError as error:
            raise ValueError(
                f"spaCy has no pipeline {pipeline!r}: run `python -m spacy download {pipeline}` where there is a "
                "network, or take the textblob tagger."
            ) from error
        self._doc: Callable[..., Any] = importlib.import_module("spacy.tokens").Doc
        self.name = f"spacy {pipeline} {self._nlp.meta['version']}"

    def __call__(self, tokens: Sequence[str]) -> list[str]:
        """A tag for each token."""
        return [token.tag_ for token in self._nlp(self._doc(self._nlp.vocab, words=list(tokens)))]


TAGGERS: Mapping[str, Callable[[], Tagger]] = {"textblob": LexiconTagger, "nltk": NltkTagger, "spacy": SpacyTagger}
"""By the name of the library."""


def _module(name: str, way_out: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        library = name.partition(".")[0]
        raise ValueError(f"nouns are to be found with {library}, which is not installed: {way_out}.") from error

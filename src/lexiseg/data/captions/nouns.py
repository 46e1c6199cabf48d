"""The nouns of a caption: what a picture might show (OVSeg, section 3.2).

Words come from two sources that mend each other's errors. A word list knows its own names, of several words too, and
the longest one wins; a tagger knows the rest of the language. Articles, prepositions and other words of closed classes
are never nouns. Two kinds of open words are left out on purpose:

- attributes: "a small orange striped cat" shows a cat. They count only where they are all that an article has to
  introduce, as in "an orange and a cat".
- words about the picture: "a photo", "in the scene", "in front of", "a pair of".
"""

import json
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.captions.plurals import singular
from lexiseg.data.captions.taggers import Tagger

_TOKEN = re.compile(r"[^\W_]+(?:-[^\W_]+)*(?:'(?!s\b)[^\W_]+)?|'s\b|[^\w\s]")  # "dog's" is "dog" and "'s"

_LISTS: dict[str, list[str]] = json.loads(Path(__file__).with_name("english.json").read_text(encoding="utf-8"))
DETERMINERS = frozenset(_LISTS["determiners"])
"""What opens a noun phrase: articles, pronouns that own, numbers."""
CLOSED_CLASS = DETERMINERS | frozenset(_LISTS["other_closed_class"])
"""Articles, pronouns, prepositions, conjunctions, auxiliaries: no nouns, whatever a tagger says."""
ATTRIBUTES = frozenset(_LISTS["attributes"])
"""Colours, patterns and sizes: they describe what is named."""
ABOUT_THE_PICTURE = frozenset(_LISTS["about_the_picture"])
"""Frames, places and amounts, which no mask shows."""
_NEVER_HEADS = ("RB", "JJR", "JJS", "VBG")


@dataclass(frozen=True, slots=True, kw_only=True)
class NounFinder:
    """Finds the nouns of captions.

    Raises:
        ValueError: if there is neither a tagger nor a word list.
    """

    tagger: Tagger | None = None
    """None: the names of the word list alone."""
    vocabulary: Vocabulary | None = None
    """The word list: names and synonyms that are known; None: the tagger alone."""
    _names: dict[tuple[str, ...], str] = field(init=False, repr=False, compare=False)
    """Each known name in lower case, by its tokens in singular and plural."""
    _longest: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.tagger is None and self.vocabulary is None:
            raise ValueError("finding nouns needs a tagger, a word list or both: give one of them.")
        names = _known_names(self.vocabulary.row_names() if self.vocabulary is not None else ())
        object.__setattr__(self, "_names", names)
        object.__setattr__(self, "_longest", max(map(len, names), default=0))

    def __call__(self, caption: str) -> tuple[str, ...]:
        """The nouns in their order, each once, in the singular and in lower case.

        A name of the word list stands as it is listed: "traffic light", and "scissors", "hills" or "mice" if the list
        says so.
        """
        texts = _TOKEN.findall(_lower(caption).replace("’", "'"))
        phrases = list(_opened_phrases(texts))
        found = self._listed(texts, {phrase[-1] for phrase in phrases})
        if self.tagger is not None:
            taken = {place for start, (_, length) in found.items() for place in range(start, start + length)}
            for place in _tagged(texts, self.tagger(texts), phrases, taken):
                found[place] = singular(texts[place]), 1
        return tuple(dict.fromkeys(found[place][0] for place in sorted(found)))

    def of_all(self, captions: Sequence[str]) -> tuple[str, ...]:
        """The nouns of several captions of one picture, each once."""
        return tuple(dict.fromkeys(noun for caption in captions for noun in self(caption)))

    def _listed(self, texts: Sequence[str], heads: Collection[int]) -> dict[int, tuple[str, int]]:
        """Names of the word list with their lengths, by their first places; the longest at each place."""
        found: dict[int, tuple[str, int]] = {}
        start = 0
        while start < len(texts):
            for length in range(min(self._longest, len(texts) - start), 0, -1):
                name = self._name_of(texts[start : start + length], start in heads)
                if name is not None:
                    found[start] = name, length
                    break
            start += found[start][1] if start in found else 1
        return found

    def _name_of(self, texts: Sequence[str], is_head: bool) -> str | None:
        *first, last = texts
        if not first and (last in ABOUT_THE_PICTURE or (last in ATTRIBUTES and not is_head)):
            return None
        return self._names.get((*first, last)) or self._names.get((*first, singular(last)))


def _known_names(names: Sequence[str]) -> dict[tuple[str, ...], str]:
    """Every name by its tokens, and by those of its regular plurals ("wine glasses") where no name stands there."""
    known = {tuple(_TOKEN.findall(name)): name for name in map(_lower, names)}
    known.pop((), None)  # a name without a letter or mark
    for (*first, last), name in list(known.items()):
        for ending in ("s", "es"):
            known.setdefault((*first, f"{last}{ending}"), name)
    return known


def _lower(text: str) -> str:
    """Lower case in which no letter is two characters: a token ends at an accent that stands alone."""
    return unicodedata.normalize("NFC", text).replace("İ", "i").lower()  # lower() makes "İ" an i and a dot


def _opened_phrases(texts: Sequence[str]) -> Iterator[range]:
    """Places of the words of open classes that follow an article or its like without a break."""
    start = None
    for place, text in enumerate(texts):
        if _is_open(text) or _joins_attributes(texts, place):
            continue
        if start is not None and place > start:
            yield range(start, place)
        start = place + 1 if text in DETERMINERS else None
    if start is not None and len(texts) > start:
        yield range(start, len(texts))


def _tagged(texts: Sequence[str], tags: Sequence[str], phrases: Sequence[range], taken: set[int]) -> set[int]:
    """Places of nouns by their tags; and the last word of a phrase that an article opens, if it has no other noun.

    The second rule finds "a drum", which Brill's lexicon knows as a verb alone.
    """
    nouns = {
        place
        for place, (text, tag) in enumerate(zip(texts, tags, strict=True))
        if tag.startswith("NN") and place not in taken and _is_open(text)
        if text not in ATTRIBUTES and text not in ABOUT_THE_PICTURE
    }
    for phrase in phrases:
        last = phrase[-1]
        is_unnamed = taken.isdisjoint(phrase) and nouns.isdisjoint(phrase)
        if is_unnamed and texts[last] not in ABOUT_THE_PICTURE and not tags[last].startswith(_NEVER_HEADS):
            nouns.add(last)
    return nouns


def _joins_attributes(texts: Sequence[str], place: int) -> bool:
    """Whether a word stands between two attributes of one thing: "a black and white cat"."""
    neighbours = texts[max(0, place - 1) : place + 2 : 2]
    return texts[place] in ("and", "or", ",") and len(neighbours) == 2 and ATTRIBUTES.issuperset(neighbours)


def _is_open(text: str) -> bool:
    return len(text) > 1 and text not in CLOSED_CLASS and "'" not in text and any(map(str.isalpha, text))

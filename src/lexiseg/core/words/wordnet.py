"""WordNet's nouns, read from its own files: `data.noun` and `index.noun`, as WordNet itself and Debian ship them.

The format is that of the manual page wndb(5WN). A file is hostile until it is read: lines are found by offsets that the
files themselves give, so every offset, number and circle is checked.
"""

import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lexiseg.core.concepts import Concept, same_word
from lexiseg.core.errors import VocabularyError
from lexiseg.core.files import file_mode, open_regular
from lexiseg.core.messages import shown
from lexiseg.core.words.entries import Rule

LARGEST = 64 << 20  # bytes of a file; the largest of WordNet 3.1 has 16 million
PHYSICAL = "physical entity"
"""WordNet's node above all that can be seen."""
MAX_DEPTH = 64
"""Steps up to the root; WordNet's own longest way has under twenty."""
MAX_DIGITS = 6
"""Of a number of senses; no word has a hundred."""
_ID = re.compile(r"n\d{8}")
_KIND, _INSTANCE = "@", "@i"


@dataclass(frozen=True, slots=True, kw_only=True)
class Synset:
    """One meaning, with all words for it."""

    id: str
    """ "n" and its place in WordNet 3.0, "n02124075", as ImageNet has it."""
    lemmas: tuple[str, ...]
    """Best one first, with spaces."""
    hypernyms: tuple[str, ...]
    """Ids of what it is a kind of, WordNet's first one first; of a single person or place, what that is one of."""
    is_instance: bool
    """Whether it is such a single person or place, and no kind."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class WordNet:
    """The nouns of a WordNet folder, in memory."""

    folder: Path
    data: bytes
    index: Mapping[bytes, bytes]
    """Lines of `index.noun` by their word."""
    _known: dict[str, Synset] = field(default_factory=dict)

    @staticmethod
    def read(folder: Path) -> "WordNet":
        """Reads a folder with `data.noun` and `index.noun`, or one that has it as `dict`.

        Raises:
            VocabularyError: if it is none, or a file can't be read or is too large.
        """
        home = _home(folder)
        if home is None:
            raise VocabularyError(
                f"{shown(folder, 80)} is no WordNet folder: expected one with data.noun and index.noun, such as "
                "/usr/share/wordnet of Debian's package wordnet-base."
            )
        lines = _content(home / "index.noun").split(b"\n")
        index = {line[: line.find(b" ")]: line for line in lines if line and line[:1] != b" "}
        return WordNet(folder=home, data=_content(home / "data.noun"), index=index)

    def __contains__(self, identifier: object) -> bool:
        if not isinstance(identifier, str) or not _ID.fullmatch(identifier):
            return False
        start = int(identifier[1:])
        starts_line = start == 0 or self.data[start - 1 : start] == b"\n"
        return starts_line and self.data[start : start + 9] == identifier[1:].encode() + b" "

    def synset(self, identifier: str) -> Synset:
        """The synset with an id.

        Raises:
            VocabularyError: if there is none, or its line is damaged.
        """
        if identifier not in self._known:
            if identifier not in self:
                raise VocabularyError(f"{shown(self.folder, 80)} has no noun {shown(identifier)}: take WordNet 3.0.")
            start = int(identifier[1:])
            stop = self.data.find(b"\n", start)
            self._known[identifier] = self._parse(self.data[start : stop if stop >= 0 else None])
        return self._known[identifier]

    def senses(self, name: str) -> tuple[str, ...]:
        """The ids of a word's meanings, the most frequent first; none if it is no noun of WordNet."""
        line = self.index.get(same_word(name).replace(" ", "_").encode("utf-8", "replace"))
        if line is None:
            return ()
        cells = line.split()
        count = int(cells[2]) if len(cells) > 2 and cells[2].isdigit() and len(cells[2]) < MAX_DIGITS else 0
        offsets = [cell.decode("ascii", "replace") for cell in cells[-count:]] if count else []
        return tuple(f"n{offset}" for offset in offsets if f"n{offset}" in self)

    def ancestors(self, identifier: str) -> tuple[str, ...]:
        """The ids on the way from the root down to the parent; where a synset has several parents, by the first.

        Raises:
            VocabularyError: if the way leads in a circle, or out of the files.
        """
        way: list[str] = []
        parents = self.synset(identifier).hypernyms
        while parents:
            if len(way) == MAX_DEPTH:
                raise VocabularyError(
                    f"{shown(self.folder, 80)} leads in a circle from {shown(identifier)}: copy it anew."
                )
            way.append(parents[0])
            parents = self.synset(parents[0]).hypernyms
        return tuple(reversed(way))

    def is_seen(self, identifier: str) -> bool:
        """Whether a synset is a kind of what can be seen: no feeling or number, and no single person or place.

        Raises:
            VocabularyError: as `ancestors` does.
        """
        kinds = (self.synset(one).lemmas[0] for one in self.ancestors(identifier))
        return not self.synset(identifier).is_instance and PHYSICAL in kinds

    def kinds(self) -> Iterator[Synset]:
        """All synsets but single persons and places, in the files' order.

        Raises:
            VocabularyError: if a line is damaged.
        """
        for found in re.finditer(rb"^\d{8} [^\n]*", self.data, re.MULTILINE):
            synset = self._parse(found[0])
            if not synset.is_instance:
                yield synset

    def concepts(self, unmarked: Rule) -> tuple[Concept, ...]:
        """A concept of every one of `kinds`, with its id; `unmarked` says which are things.

        Raises:
            VocabularyError: if a line is damaged, or there is none.
        """
        return tuple(Concept(s.lemmas[0], s.lemmas[1:], unmarked(s.lemmas), id=s.id) for s in self.kinds())

    def _parse(self, line: bytes) -> Synset:
        """Reads a line such as `02124075 05 n 02 Egyptian_cat 0 tabby 0 002 @ 02121808 n 0000 ~ ... | gloss`."""
        try:
            cells = line.partition(b"|")[0].decode("utf-8").split()
            count = int(cells[3], 16)
            words = cells[4 : 4 + 2 * count : 2]
            pointers = cells[5 + 2 * count :]
            if len(words) != count or not count or int(cells[4 + 2 * count]) * 4 != len(pointers):
                raise ValueError
            links = [(pointers[at], f"n{pointers[at + 1]}") for at in range(0, len(pointers), 4)]
        except (ValueError, IndexError) as error:
            raise VocabularyError(
                f"{shown(self.folder / 'data.noun', 80)} is damaged at {shown(line[:40].decode('utf-8', 'replace'))}: "
                "copy it anew."
            ) from error
        kinds = tuple(target for symbol, target in links if symbol == _KIND)
        single = tuple(target for symbol, target in links if symbol == _INSTANCE)
        lemmas: dict[str, str] = {}
        for word in words:
            lemmas.setdefault(same_word(word.replace("_", " ")), word.replace("_", " "))
        return Synset(
            id=f"n{cells[0]}",
            lemmas=tuple(lemmas.values()),
            hypernyms=(*kinds, *single),
            is_instance=bool(single) and not kinds,
        )


def is_wordnet(folder: Path) -> bool:
    """Whether a folder has the files of WordNet's nouns, or a folder `dict` with them."""
    return _home(folder) is not None


def _home(folder: Path) -> Path | None:
    for place in (folder, folder / "dict"):
        if all(stat.S_ISREG(file_mode(place / name)) for name in ("data.noun", "index.noun")):
            return place
    return None


def _content(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise VocabularyError(f"cannot read {shown(path, 80)}: {error.strerror}.") from error
    if len(content) > LARGEST:
        raise VocabularyError(f"{shown(path, 80)} is larger than {LARGEST >> 20} MB, and no file of WordNet is.")
    return content

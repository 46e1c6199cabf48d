"""WordNet in a few lines: nouns with their kinds, written as WordNet's own files."""

from collections.abc import Sequence
from pathlib import Path

LICENCE = "  1 This software and database is being provided to you, the LICENSEE, by  \n  2 nobody in particular.  \n"
ANIMALS = (
    ("entity", ()),
    ("physical_entity", ("entity",)),
    ("animal", ("physical_entity",)),
    ("mammal", ("animal",)),
    ("feline", ("mammal",)),
    ("cat", ("feline",)),
    ("big_cat", ("feline",)),
    ("Siamese_cat Siamese", ("cat",)),
    ("tabby", ("cat",)),
    ("lion", ("big_cat",)),
    ("dog", ("mammal", "animal")),
    ("bird", ("animal",)),
    ("crane", ("bird",)),
    ("machine", ("physical_entity",)),
    ("crane", ("machine",)),
    ("drum", ("machine",)),
    ("writer", ("physical_entity",)),
    ("Crane Stephen_Crane", ("+writer",)),
    ("matter", ("physical_entity",)),
    ("sky", ("matter",)),
    ("grass", ("matter",)),
)
"""Words of a synset, and its parents by their first word; "+" before a parent marks a single person."""


def write_wordnet(folder: Path, synsets: Sequence[tuple[str, Sequence[str]]] = ANIMALS) -> Path:
    """Writes `data.noun` and `index.noun`.

    Args:
        folder: is made.
        synsets: words and parents; of a word's senses the first is the most frequent.

    Returns:
        The folder.
    """
    blank = [_line("00000000", words, parents, {}) for words, parents in synsets]
    starts, at = [], len(LICENCE)
    for line in blank:
        starts.append(f"{at:08d}")
        at += len(line)
    offset_of: dict[str, str] = {}
    senses: dict[str, list[str]] = {}
    for (words, _), start in zip(synsets, starts, strict=True):
        offset_of.setdefault(words.split()[0], start)
        for word in words.split():
            senses.setdefault(word.lower(), []).append(start)
    lines = [_line(start, *one, offset_of) for start, one in zip(starts, synsets, strict=True)]
    index = [f"{word} n {len(at)} 1 @ {len(at)} 0 {' '.join(at)}  \n" for word, at in sorted(senses.items())]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.noun").write_text(LICENCE + "".join(lines), newline="\n")
    (folder / "index.noun").write_text(LICENCE + "".join(index), newline="\n")
    return folder


def _line(start: str, words: str, parents: Sequence[str], offset_of: dict[str, str]) -> str:
    listed = words.split()
    pointers = [f"{'@i' if p[0] == '+' else '@'} {offset_of.get(p.lstrip('+'), '00000000')} n 0000" for p in parents]
    told = " ".join(f"{word} 0" for word in listed)
    return f"{start} 05 n {len(listed):02x} {told} {len(pointers):03d} {' '.join(pointers)} | what {listed[0]} is  \n"

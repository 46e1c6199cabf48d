"""Where the files of a data set lie, in our own folders and in those of other tools; what its JSON says, or lacks."""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from string import digits
from typing import Any

from lexiseg.core.errors import FormatError
from lexiseg.core.files import no_collection
from lexiseg.core.messages import few
from lexiseg.core.picture_files import SUFFIXES

_ENDS = tuple(SUFFIXES)
ELSEWHERE = "files that are not where the list says, but were found by the end of their names: {n}, first {first}."
COCO_2014 = re.compile(r"^coco_(train|val|test)2014_")
"""What the names of COCO's pictures began with in 2014, and in LVIS v0.5."""
DEPTH = 4
"""How many folders inside one another are looked into for a file that is not where its list says."""

LABEL_FOLDERS = ("labels", "annotations", "masks", "SegmentationClassPNG", "SegmentationClass")
"""Where label maps lie, and never pictures."""
SPLIT_WORDS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""What tools call a split."""

FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "none": False, "": False}
"""What a flag that is written as text means."""


class Remarks:
    """Counts what a reader met, by kind, and keeps the first place of each."""

    def __init__(self) -> None:
        """Begins with nothing."""
        self._places: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    def add(self, sentence: str, place: str) -> None:
        """Counts one more; `{n}` of the sentence is the number in the end, and `{first}` the first place."""
        self._places.setdefault(sentence, place)
        self._counts[sentence] += 1

    def sentences(self) -> tuple[str, ...]:
        """One for each kind, in the order in which they were met."""
        return tuple(kind.format(n=self._counts[kind], first=first) for kind, first in self._places.items())


class FileFinder:
    r"""Finds files by the names that a list has for them, wherever the list was written.

    A name is looked for as it stands in each of the folders, with `/` for `\\`, too; one without a folder in the one
    that holds most of them; every folder is listed once. What is not there is looked for below the folders by the end
    of its path, whatever its letters' case and however they are composed (NFC, NFD): it is the one file that shares
    most of that path, if no other name means that file.
    """

    def __init__(self, folders: Iterable[Path], *, skip: Path | None = None, strange: Collection[str] = ()) -> None:
        """Keeps the folders, the best first.

        Args:
            folders: where files may lie.
            skip: a folder in which nothing is looked for, such as that of the masks.
            strange: names of folders, as `_family` has them, in which nothing is looked for whose name does not tell.
        """
        self._folders = [str(folder) for folder in dict.fromkeys(folders)]
        self._skip = None if skip is None else str(skip)
        self._strange = frozenset(strange)
        self._listed: dict[str, frozenset[str]] = {}

    def find_all(self, names: Sequence[str], remarks: Remarks | None = None) -> list[Path]:
        """The place of each file; of one that is nowhere, where it should be.

        Args:
            names: as the list has them.
            remarks: are told of files that are elsewhere; without, those are not looked for.
        """
        bare = {name for name in names if not {"/", "\\"} & {*name}}
        home = max(self._folders, key=lambda folder: len(bare & self._names_in(folder)))
        found = [self._find(name, home) for name in names]
        if None in found and remarks is not None:
            taken = {os.path.normpath(path) for path in found if path is not None}
            moved = {name: path for name, path in zip(names, found, strict=True) if path is None}
            ends = {name: path for name in moved if (path := self._by_end(name)) is not None and path not in taken}
            claims = Counter(ends.values())
            for place, name in enumerate(names):
                if found[place] is None and claims[ends.get(name, "")] == 1:
                    found[place] = ends[name]
                    remarks.add(ELSEWHERE, f"{name} as {ends[name]}")
        return [Path(self._expected(name) if path is None else path) for name, path in zip(names, found, strict=True)]

    def _find(self, name: str, home: str) -> str | None:
        head, slash, last = name.rpartition("/")
        for folder in self._folders if slash else (home,):
            where = os.path.join(folder, head or slash)  # noqa: PTH118
            if last in self._names_in(where):
                return f"{where.rstrip('/')}/{last}"
        return self._find(name.replace("\\", "/"), home) if "\\" in name else None

    def _names_in(self, folder: str) -> frozenset[str]:
        if folder not in self._listed:
            try:
                self._listed[folder] = frozenset(os.listdir(folder))  # noqa: PTH208
            except (OSError, ValueError):
                self._listed[folder] = frozenset()
        return self._listed[folder]

    def _by_end(self, name: str) -> str | None:
        """The file that shares most of the end of its path with a name; none if two share as much."""
        *folders, last = _parts(name)
        found = self._below.get(last) or self._below.get(last := COCO_2014.sub("", last), [])
        top = len(_parts(os.path.commonpath(self._folders)))
        shared = [(_common_end([*folders, last], _parts(path)), path) for path in found]
        shared = [(n, path) for n, path in shared if self._strange.isdisjoint(map(_family, _parts(path)[top:-n]))]
        best = [path for count, path in shared if count == max(shared)[0]]
        return best[0] if len(best) == 1 else None

    @cached_property
    def _below(self) -> Mapping[str, list[str]]:
        """All pictures below the folders, by the last part of their names, folded."""
        found: dict[str, set[str]] = defaultdict(set)
        for top in self._folders:
            for folder, inside, files in os.walk(top):
                is_deep = folder[len(top) :].count(os.sep) >= DEPTH
                inside[:] = [one for one in inside if not is_deep and one[0] != "." and f"{folder}/{one}" != self._skip]
                for file in files:
                    if _is_picture(file):
                        found[fold(file)].add(f"{folder}/{file}")
        return {last: sorted(paths) for last, paths in found.items()}

    def _expected(self, name: str) -> str:
        """Where a file that is nowhere is missed: in the folder that its name has, or else in the likeliest one."""
        name = name.replace("\\", "/")
        head, _, last = name.rpartition("/")
        if head and not name.startswith("/") and name[1:2] != ":":
            named = next((folder for folder in self._folders if self._names_in(f"{folder}/{head}")), self._likeliest)
            return f"{named}/{name}"
        return f"{self._likeliest}/{last}"

    @cached_property
    def _likeliest(self) -> str:
        """The first folder with pictures; the first that is there, beside that of the JSON; or the first."""
        pictures = [folder for folder in self._folders if any(map(_is_picture, self._names_in(folder)))]
        return [*pictures, *filter(os.path.isdir, self._folders[1:]), *self._folders][0]


def _family(folder: str) -> str:
    """What a folder is called, without the year of its split: val of Val2017."""
    return fold(folder).rstrip(digits)


def _is_picture(name: str) -> bool:
    return name.lower().endswith(_ENDS)


def what_is_there(path: Path) -> str:
    """What a person sees where a file was expected: the first names in the nearest folder that is there."""
    folder = next((folder for folder in path.parents if folder.is_dir()), path.parent)
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208
    except OSError:
        names = []
    return f"{folder} holds {few(names) or 'nothing'}"


def fold(text: str) -> str:
    """A name without the case of its letters, however they are composed."""
    return unicodedata.normalize("NFC", text).casefold()


def _parts(path: str) -> list[str]:
    return fold(path.replace("\\", "/")).split("/")


def _common_end(one: list[str], other: list[str]) -> int:
    count = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        count += 1
    return count


def picture_finder(annotations: Path, masks: Path | None = None) -> FileFinder:
    """Knows the folders in which the pictures of a JSON may lie, the best first.

    Beside the JSON and in a folder of its name; then in the data set's folder: `images/`, a folder of the split's name
    there or in `images/`, where val2017 is the split of instances_val2017.json; then in any other but those of
    label maps and of other splits.
    """
    beside, stem = annotations.parent, annotations.stem
    root = beside.parent if beside.name == "annotations" else beside
    words = stem.split("_")
    splits = ["_".join(words[first:]) for first in range(len(words)) if words[first]]
    usual = [root / "images", *(folder / split for split in splits for folder in (root, root / "images"))]
    own = {split for split, its in SPLIT_WORDS.items() if not {*its}.isdisjoint(map(_family, re.split(r"[\W_]", stem)))}
    strange = {fold(name) for name in LABEL_FOLDERS}
    strange.update(*(its for split, its in SPLIT_WORDS.items() if own and split not in own))
    there = (path for path in root.glob("*") if path.is_dir() and not path.name.startswith("."))
    others = sorted(path for path in there if _family(path.name) not in strange)
    folders = (folder for folder in (beside, beside / stem, *usual, *others, root) if folder != masks)
    return FileFinder(folders, skip=masks, strange=strange)


def name_of(picture: Mapping[str, Any]) -> str:
    """The file of a picture; LVIS has its address instead, which ends in the split's folder and the file."""
    return str(picture.get("file_name") or "/".join(str(picture["coco_url"]).split("/")[-2:]))


def to_id(written: Any) -> int | str:
    """COCO's numbers, also where they are written as text, and other programs' names."""
    return written if isinstance(written, str) and not written.isdecimal() else int(written)


def category_number(entry: Mapping[str, Any]) -> int:
    """The id of a category.

    Raises:
        ValueError: if it is no number.
    """
    try:
        return int(entry["id"])
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"the id of the category {entry['name']!r} must be a number, got {entry['id']!r}") from error


def to_flag(written: Any) -> bool:
    """A flag, also where it is written as text.

    Raises:
        ValueError: if it is neither true nor false.
    """
    flag = FLAGS.get(written.strip().casefold()) if isinstance(written, str) else bool(written)
    if flag is None or not (isinstance(written, str) or written in (0, 1, None)):
        raise ValueError(f"{written!r} is neither true nor false")
    return flag


@contextmanager
def in_format(path: Path, form: str, content: Any, **needed: Sequence[str]) -> Generator[None, None, None]:
    """Turns what goes wrong while the content of a JSON is taken apart into a sentence that names file and entry.

    Args:
        path: the JSON.
        form: what it should be: COCO panoptic format.
        content: of the JSON.
        needed: its lists, and the keys that an entry of each must have, with `|` between those that do as well.

    Raises:
        FormatError: if it is not.
    """
    try:
        with no_collection():
            yield
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        reason = _first_lack(content, needed) or str(error).strip('"') or "a value makes no sense"
        raise FormatError(f"{path}: not in {form}: {reason}.") from error


def _first_lack(content: Any, needed: Mapping[str, Sequence[str]]) -> str | None:
    """The first thing that a JSON lacks."""
    if not isinstance(content, Mapping):
        return f"expected an object with {', '.join(needed)}, got {type(content).__name__}"
    for part, keys in needed.items():
        if not isinstance(content.get(part), list):
            return f"it has no list '{part}'"
        for number, entry in enumerate(content[part], start=1):
            if not isinstance(entry, Mapping):
                return f"entry {number} of '{part}' must be an object, got {type(entry).__name__}"
            for key in keys:
                if not any(one in entry for one in key.split("|")):
                    return f"entry {number} of '{part}' has no {' or '.join(map(repr, key.split('|')))}"
    return None


def find_annotations(root: Path) -> Path:
    """Finds the one JSON of a folder: `panoptic.json`, or one with masks in a folder of its name.

    Raises:
        FormatError: if there is none, or more than one.
    """
    if not root.is_dir():
        raise FormatError(f"{root}: there is no such folder. Name the folder of a data set.")
    if (root / "panoptic.json").is_file():
        return root / "panoptic.json"
    files = sorted([*root.glob("*.json"), *root.glob("annotations/*.json")])
    found = [path for path in files if path.with_suffix("").is_dir()]
    if not found:
        raise FormatError(
            f"{root}: found no panoptic.json, and no JSON beside a folder of id PNGs of the same "
            "name. Name the JSON, the pictures and the masks."
        )
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(root)) for path in found)
        raise FormatError(f"{root}: found several data sets ({names}). Name the JSON that is meant.")
    return found[0]

"""Finding picture files from paths, folders and globs, and unique names for output files."""

import glob
import os
import re
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path

from lexiseg.core.errors import PictureError
from lexiseg.core.files import file_mode
from lexiseg.core.messages import printable

SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".dib", ".gif", ".tif",
    ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".jp2", ".avif", ".heic", ".heif", ".hif",
))  # fmt: skip
VIDEO_SUFFIXES = frozenset((
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".3gp", ".ogv", ".wmv", ".flv",
))  # fmt: skip

OVERLAY_MARK = ".overlay"
"""Suffix of an overlay's stem, after its picture's name."""
MOST_BYTES_OF_A_NAME = 180  # with what is put behind it, a file system still takes it
_FRAME = re.compile(r"(.+)-([0-9]{6,12})", re.DOTALL)


def find_pictures(
    argument: str, *, recursive: bool = False, results_in: Callable[[Path], Container[str]] = lambda folder: ()
) -> list[Path]:
    """Expands a file, a folder or a glob to a list of files, in which `page2` comes before `page10`.

    - A file is taken as it is, whatever its suffix. So is a path at which there is nothing: opening
      it raises, and one missing picture of many does not stop the others.
    - A folder gives the pictures that lie directly in it, hidden files left out. Folders inside it
      are not searched unless that is asked for; `'folder/**/*.jpg'` searches them too. A link to nothing is
      a picture that can't be opened.
    - A glob (`*`, `?`, `[...]`, and `**` for any depth) gives the files with a picture's suffix
      that match; and videos if it ends in the suffix of a video.

    Args:
        argument: as it was typed.
        recursive: searches the folders inside of folders, too, but no hidden ones, and follows no links to folders.
        results_in: gives the paths in a folder, with slashes, that are no pictures but results; asked of each folder
            that is searched.

    Raises:
        PictureError: if a folder or glob holds no picture.
    """
    path = Path(argument)
    mode = file_mode(path)
    if stat.S_ISDIR(mode):
        try:
            inside = _pictures(_below(path) if recursive else path.iterdir(), path, results_in)
        except OSError as error:
            raise PictureError(
                f"the folder {printable(path)} can't be read ({error.strerror}); check its permissions."
            ) from error
        if not inside:
            below = "" if recursive else "; or search the folders inside it, too (--recursive, or '**/*' behind it)"
            raise PictureError(
                f"the folder {printable(path)} holds no pictures, results of earlier runs aside; name another one, "
                f"or its videos ('*.mp4'){below}."
            )
        return inside
    if mode or not glob.has_magic(argument):
        return [path]
    folder = Path(*takewhile(lambda part: not glob.has_magic(part), path.parts))
    # Not Path.glob, which takes no absolute patterns.
    found = map(Path, glob.iglob(argument, recursive=True))  # noqa: PTH207
    matches = _pictures(found, folder, results_in, path.suffix.lower())
    if not matches:
        raise PictureError(
            f"the pattern {printable(argument)} matches no pictures, results of earlier runs aside; check it, "
            "and keep it in quotes so that the shell leaves it alone."
        )
    return matches


def unique_names(paths: Sequence[Path], known: Mapping[int, str] | None = None) -> list[str]:
    """One unique name without suffix per picture, for its output files.

    A stem that no other picture has is kept. Where several have it, the folder's name is added if
    their folders differ, and that of the folder around it if these have one name, and the suffix if
    their suffixes differ (`summer-cat`, `cat-png`); a number makes the rest unique. One that ends like
    an overlay's (`cat.overlay`) ends in `-overlay` instead. No name of another one is that of a video
    with a number behind it (`walk-000012`), as its frames have.
    Case is ignored, as some file systems ignore it.

    Args:
        paths: of the pictures.
        known: names that some have already, by their places; the first keeps a name that several have.
    """
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        groups[_fold(_stem(path))].append(path)
    kept: dict[str, int] = {}
    for place, name in (known or {}).items():
        kept.setdefault(_fold(name), place)
    own = {place: known[place] for place in kept.values()} if known else {}
    taken = dict.fromkeys(kept, 1)
    taken |= {key: 1 for key, members in groups.items() if len(members) == 1 and key not in kept}
    differ = {
        key: (_depth({path.parent for path in members}), len({path.suffix for path in members}) > 1)
        for key, members in groups.items()
        if len(members) > 1 or key in kept
    }
    names = [own[place] if place in own else _name(path, differ, taken) for place, path in enumerate(paths)]
    like_frames = {_fold(video) for name in names if (video := frame_of(name)[0])}
    for place, path in enumerate(paths):
        while path.suffix.lower() in VIDEO_SUFFIXES and _fold(names[place]) in like_frames:
            names[place] = _free(f"{names[place]}-{path.suffix[1:]}", taken)
    return names


def frame_of(name: str) -> tuple[str, int]:
    """The video and the number of the frame whose result files have this name; an empty name if it is that of none."""
    match = _FRAME.fullmatch(name)
    return (match[1], int(match[2])) if match else ("", -1)


def film_name(video: str) -> str:
    """The file in which the overlays of a video's frames are joined, by the video's name."""
    return f"{video}{OVERLAY_MARK}.mp4"


def pair_names(names: Iterable[str], others: Iterable[str]) -> dict[str, str]:
    """Pairs names of files of the same pictures: the same names, then last parts, then those without their endings.

    Case and the form of Unicode decide nothing, nor which slash parts folders. What several share pairs none of them.
    """
    mine, theirs = set(names), set(others)
    found = {name: name for name in mine & theirs}
    for part in (_whole, _last, lambda name: Path(_last(name)).stem):
        mine, theirs = mine - found.keys(), theirs.difference(found.values())
        ours, others_by = (_by_part(side, part) for side in (mine, theirs))
        found |= {ones[0]: others_by[key][0] for key, ones in ours.items() if len(ones) == len(others_by[key]) == 1}
    return found


def _by_part(names: Iterable[str], part: Callable[[str], str]) -> defaultdict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        found[part(name)].append(name)
    return found


def _whole(name: str) -> str:
    return _fold(name.replace("\\", "/"))


def _last(name: str) -> str:
    return _whole(name).rpartition("/")[2]


def _below(folder: Path) -> Iterator[Path]:
    """All files in a folder and in those inside it."""
    # Not Path.walk, which Python 3.11 lacks.
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in names)


def _pictures(
    paths: Iterable[Path], searched: Path, results_in: Callable[[Path], Container[str]], asked: str = ""
) -> list[Path]:
    """The pictures among files below a folder, in natural order; and videos of the suffix that was asked for."""
    suffixes = SUFFIXES | (VIDEO_SUFFIXES & {asked})

    def is_result(path: Path) -> bool:
        above = path.parents[: len(path.parts) - len(searched.parts)]
        return any(path.relative_to(folder).as_posix() in results_in(folder) for folder in above)

    kept = (
        path
        for path in paths
        if path.suffix.lower() in suffixes
        and not path.name.startswith(".")
        and ((mode := file_mode(path)) == 0 or stat.S_ISREG(mode))
        and not is_result(path)
    )
    return sorted(kept, key=_natural)


def _natural(path: Path) -> tuple[list[str | int], str]:
    """A sort key in which numbers count as numbers; ties are ordered by the plain text."""
    text = path.as_posix()
    parts = re.split(r"([0-9]+)", text.casefold())  # odd places are numbers, so like meets like
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], text


def _stem(path: Path) -> str:
    """The name without suffix; `cat.overlay.png` must not get the name that the overlay of `cat.png` will have."""
    stem = _cut(path.stem) or "picture"
    bare = stem[: -len(OVERLAY_MARK)]
    return f"{bare}-{OVERLAY_MARK[1:]}" if _fold(stem).endswith(OVERLAY_MARK) else stem


def _cut(name: str) -> str:
    content = name.encode("utf-8", "surrogateescape")
    return name if len(content) <= MOST_BYTES_OF_A_NAME else content[:MOST_BYTES_OF_A_NAME].decode("utf-8", "ignore")


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _depth(folders: set[Path]) -> int:
    """How many of the last parts of their paths tell folders apart; two at most."""
    return 0 if len(folders) == 1 else 1 if len({folder.name for folder in folders}) == len(folders) else 2


def _name(path: Path, differ: Mapping[str, tuple[int, bool]], taken: dict[str, int]) -> str:
    """The name of one picture; `differ` says of stems that several have how many folders join, and if suffixes do."""
    stem = _stem(path)
    if (key := _fold(stem)) not in differ:
        return stem
    depth, suffixes_differ = differ[key]
    folders = [folder.name.lstrip(".") for folder in path.parents[:depth]]  # a name with a dot before it is hidden
    parts = *reversed(folders), stem, path.suffix[1:] if suffixes_differ else ""
    return _free(_cut("-".join(filter(None, parts))), taken)


def _free(plain: str, taken: dict[str, int]) -> str:
    """A name that is not taken yet, with a number behind it if need be; notes the last number of each name."""
    key = _fold(plain)
    number = taken.get(key, 0) + 1
    while (folded := _fold(name := plain if number == 1 else f"{plain}-{number}")) in taken:
        number += 1
    taken[key] = number
    taken.setdefault(folded, 1)
    return name

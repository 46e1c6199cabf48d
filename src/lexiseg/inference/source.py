"""One source of pictures: files, folders, patterns, lists, addresses, videos, the standard input, arrays.

What is typed is listed first, and nothing of it is opened yet (`Source`). It gives one item after the other: a video
has an item for every frame. What is given from Python gives items at once (`items_of`), also of an iterable without an
end.
"""

import glob
import hashlib
import stat
import sys
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from lexiseg.core.errors import PictureError
from lexiseg.core.files import file_mode, read_text, real
from lexiseg.core.images import open_picture
from lexiseg.core.messages import printable
from lexiseg.core.picture_files import OVERLAY_MARK, VIDEO_SUFFIXES, find_pictures, frame_of, unique_names
from lexiseg.core.structures import PanopticMap
from lexiseg.inference.addresses import MOST_BYTES, fetch, is_address, name_of
from lexiseg.inference.result_record import results_in
from lexiseg.inference.tracking import Tracker
from lexiseg.inference.video import facts_of, frames_of

STDIN = "-"
LIST_SUFFIX = ".txt"
MOST_LIST_BYTES = 64_000_000

EarlierMaps: TypeAlias = Iterator[tuple[str, Callable[[], PanopticMap]]]
"""What reads the maps of an earlier run, by the names of their pictures."""
EarlierFrames: TypeAlias = Iterator[tuple[int, Callable[[], PanopticMap]]]
"""Likewise of a video, by the numbers of its frames."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Item:
    """A picture that is not opened yet."""

    name: str
    """Of its result files, without an ending."""
    shown: str
    """What messages and documents call it."""
    given: Any
    """What was given: a picture itself, a path, an address; `shown` of what was found by it."""
    open: Callable[[], UInt8[np.ndarray, "H W 3"]]
    """Gives it as RGB bytes, upright, or raises a PictureError."""
    source: Path | None = None
    """Its file, where it is one; a frame's video."""
    follow: Callable[[PanopticMap], PanopticMap] | None = None
    """Of a frame: gives its segments the ids that they have in the frames before."""


Picture: TypeAlias = str | Path | bytes | Image.Image | np.ndarray | Item


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A picture or a video before anything is opened."""

    name: str
    """Of its result files, without an ending; those of frames go on with a number."""
    shown: str
    """What messages and documents call it."""
    identity: str
    """The same wherever a run starts: the real path, the address, or a digest of the standard input."""
    content: Path | str | bytes
    """A file, an address, or what a file would hold."""

    @property
    def is_video(self) -> bool:
        """Whether it has frames."""
        return isinstance(self.content, Path) and self.content.suffix.lower() in VIDEO_SUFFIXES

    @property
    def file(self) -> Path | None:
        """The file, where it is one."""
        return self.content if isinstance(self.content, Path) else None

    def open(self) -> UInt8[np.ndarray, "H W 3"]:
        """Opens a picture.

        Raises:
            PictureError: if it can't be had.
        """
        if isinstance(self.content, Path):
            return open_picture(self.content)
        content = fetch(self.content) if isinstance(self.content, str) else self.content
        called = "the picture on the standard input" if self.shown == STDIN else printable(self.shown)
        if len(content) > MOST_BYTES:
            raise PictureError(f"{called} is too large (the limit is {MOST_BYTES:,} bytes); make it smaller first.")
        return open_picture(content, called=called)

    def item(self) -> Item:
        """A picture as an item."""
        return Item(name=self.name, shown=self.shown, given=self.shown, open=self.open, source=self.file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a run takes, listed."""

    origins: Mapping[str, Origin]
    """By their names, in the order in which they were given."""
    every: int = 1
    """Of a video, every so many-th frame is taken."""

    @staticmethod
    def of(
        arguments: Sequence[str | Path],
        *,
        recursive: bool = False,
        every: int = 1,
        earlier: Iterable[tuple[str, str]] = (),
    ) -> "Source":
        """Lists what was typed; what stands twice is taken once.

        Args:
            arguments: files, folders and patterns, as `find_pictures` takes them, without results that lie among them;
                http(s) addresses; lists, which are texts (.txt) with one of these in a line, relative to the text,
                where empty lines and those that begin with # are left out; `-` for a picture on the standard input,
                which is read here.
            recursive: searches the folders inside of folders, too.
            every: of a video, takes every so many-th frame, beginning with the first.
            earlier: identities of pictures and frames, and the names that they keep.

        Raises:
            PictureError: if there are no arguments, or one of them stands for no picture.
        """
        if not arguments:
            raise PictureError("no picture was given; name at least one file, folder, pattern or address.")
        found: dict[str, Path | str | bytes] = {}
        search = partial(find_pictures, recursive=recursive, results_in=cache(results_in))
        for argument in dict.fromkeys(arguments):  # the standard input is there once
            for content in _contents(argument, search):
                found.setdefault(_key(content), content)
        identities = [str(real(content)) if isinstance(content, Path) else key for key, content in found.items()]
        names = unique_names([_like_a_file(content) for content in found.values()], _known(identities, earlier))
        origins = [
            Origin(
                name=name,
                shown=STDIN if isinstance(content, bytes) else str(content),
                identity=identity,
                content=content,
            )
            for name, identity, content in zip(names, identities, found.values(), strict=True)
        ]
        return Source(origins={origin.name: origin for origin in origins}, every=every)

    @property
    def videos(self) -> list[Origin]:
        """Those with frames."""
        return [origin for origin in self.origins.values() if origin.is_video]

    def identity_of(self, name: str) -> str | None:
        """What has result files of this name: the identity of a picture or a frame; None if it is none of these."""
        origin = self.origins.get(name)
        if origin is not None and not origin.is_video:
            return origin.identity
        video, number = frame_of(name)
        origin = self.origins.get(video)
        return f"{origin.identity}#{number}" if origin is not None and origin.is_video else None

    def names_in(self, folder: Path) -> list[str]:
        """The names that results have or may have there: those of pictures, and of frames that have files already."""
        pictures = [name for name, origin in self.origins.items() if not origin.is_video]
        there = folder.iterdir() if self.videos and folder.is_dir() else ()
        stems = {path.name.removesuffix(".png").removesuffix(OVERLAY_MARK) for path in there}
        return pictures + [stem for stem in sorted(stems) if self.identity_of(stem) and stem not in self.origins]

    def count(self) -> int | None:
        """How many pictures and frames there are, as far as the headers of videos tell; None if one does not tell."""
        numbers = [_count(origin, self.every) for origin in self.origins.values()]
        return None if None in numbers else sum(number for number in numbers if number is not None)

    def items(
        self, finished: Container[str] = (), earlier: Callable[[], EarlierMaps] = lambda: iter(())
    ) -> Iterator[Item]:
        """Gives the pictures and frames, one by one.

        Args:
            finished: names of those that are left out.
            earlier: gives the maps of finished frames, in their order; segments of frames behind them have their ids.
        """
        for origin in self.origins.values():
            if origin.is_video and origin.file is not None:
                yield from _frames(origin, origin.file, self.every, finished, earlier())
            elif origin.name not in finished:
                yield origin.item()


def items_of(source: Picture | Iterable[Picture], *, recursive: bool = False, every: int = 1) -> Iterator[Item]:
    """Gives the items of one or many pictures, one by one; the iterable may be endless.

    Names are unique among the pictures that one path or pattern stands for.

    Args:
        source: a picture, a text as `Source.of` takes it, or an iterable of these.
        recursive: as `Source.of` takes it.
        every: likewise.

    Raises:
        ValueError: if `every` is not positive.
    """
    if every < 1:
        raise ValueError(f"every must be positive, got {every}; 1 takes every frame of a video.")
    is_stack = isinstance(source, np.ndarray) and not _is_picture(source)
    if isinstance(source, Iterable) and (is_stack or not isinstance(source, Picture)):
        named = ((picture, f"picture-{number:06d}") for number, picture in enumerate(source))
    else:
        named = iter([(source, "picture")])
    return (item for picture, name in named for item in _items_of_one(picture, name, recursive, every))


def item_of(picture: Any, name: str = "picture") -> Item:
    """One picture as an item.

    Args:
        picture: as `open_picture` takes it, or an address; what that refuses, the item refuses.
        name: its name, where it is no file.
    """
    if isinstance(picture, Item):
        return picture
    if is_address(picture):
        (name,) = unique_names([_like_a_file(picture)])
        return Origin(name=name, shown=picture, identity=picture, content=picture).item()
    source = Path(picture) if isinstance(picture, str | Path) else None
    name = name if source is None else source.stem or name
    return Item(name=name, shown=name, given=picture, open=partial(open_picture, picture), source=source)


class _VideoIds:
    """The ids of a video's segments, where a part of its frames may be finished already."""

    def __init__(self, video: str, earlier: EarlierMaps) -> None:
        """Takes the maps that are finished, of which none is read yet."""
        self._tracker = Tracker()
        self._earlier = ((frame_of(name)[1], read) for name, read in earlier if frame_of(name)[0] == video)
        self._waiting: list[tuple[int, Callable[[], PanopticMap]]] = []
        self._last = -1

    def follow(self, number: int, panoptic: PanopticMap) -> PanopticMap:
        """The map of a frame with ids that its segments keep, after what is finished of the frames before it."""
        for place, read in self._before(number):
            if place > self._last:  # and not of this run, whose maps come to be finished, too
                self._tracker.recall(read())
                self._last = place
        self._last = number
        return self._tracker.follow(panoptic)

    def _before(self, number: int) -> EarlierFrames:
        """The finished frames up to that of a number; the first behind them waits."""
        while True:
            if not self._waiting:
                self._waiting += islice(self._earlier, 1)
            if not self._waiting or self._waiting[0][0] >= number:
                return
            yield self._waiting.pop()


def _count(origin: Origin, every: int) -> int | None:
    """How many items an origin has; None if that can't be known."""
    if not origin.is_video or origin.file is None:
        return 1
    try:
        number = facts_of(origin.file).num_frames
    except PictureError:  # which is one item
        return 1
    return None if number is None else -(-number // every)


def _frames(origin: Origin, path: Path, every: int, finished: Container[str], earlier: EarlierMaps) -> Iterator[Item]:
    """The frames that are taken of a video; where it breaks off, an item that says so follows."""
    ids = _VideoIds(origin.name, earlier)
    try:
        for frame in frames_of(path):
            name, shown = f"{origin.name}-{frame.number:06d}", f"{origin.shown}#{frame.number}"
            if frame.number % every == 0 and name not in finished:
                follow = partial(ids.follow, frame.number)
                yield Item(name=name, shown=shown, given=shown, open=frame.open, source=path, follow=follow)
    except PictureError as error:
        yield replace(origin.item(), open=partial(_fail, error))


def _items_of_one(picture: Any, name: str, recursive: bool, every: int) -> Iterator[Item]:
    if not isinstance(picture, str | Path):
        yield item_of(picture, name)
        return
    try:
        listed = Source.of([picture], recursive=recursive, every=every)
    except ValueError as error:
        yield replace(item_of(picture, name), open=partial(_fail, error))
        return
    for item in listed.items():
        yield replace(item, given=picture) if Path(item.shown) == Path(picture) else item


def _fail(error: ValueError) -> UInt8[np.ndarray, "H W 3"]:
    raise error


def _is_picture(array: np.ndarray) -> bool:
    """Whether this is one picture, maybe with its channels in a wrong place, and not a stack of them."""
    return array.ndim < 3 or (array.ndim == 3 and (array.shape[2] in (3, 4) or array.shape[0] in (3, 4)))


def _contents(argument: str | Path, search: Callable[[str], list[Path]]) -> Iterator[Path | str | bytes]:
    """What an argument stands for."""
    if argument == STDIN:
        yield _read_stdin()
    elif isinstance(argument, str) and is_address(argument):
        yield argument
    elif Path(argument).suffix.lower() == LIST_SUFFIX and not stat.S_ISDIR(file_mode(Path(argument)) or stat.S_IFDIR):
        yield from _listed(Path(argument), search)
    else:
        yield from search(str(argument))


def _listed(path: Path, search: Callable[[str], list[Path]]) -> Iterator[Path | str]:
    """What the lines of a list stand for; one without a picture stands for itself, which can't be opened."""
    if path.stat().st_size > MOST_LIST_BYTES:
        raise PictureError(f"{printable(path)} is no list (the limit is {MOST_LIST_BYTES:,} bytes); give several.")
    try:
        lines = [line.strip() for line in read_text(path).splitlines()]
    except ValueError as error:
        raise PictureError(
            f"the list {printable(path)} can't be read; give a text in UTF-8 with a path or an address in each line."
        ) from error
    kept = [line for line in lines if line and not line.startswith("#")]
    if not kept:
        raise PictureError(f"the list {printable(path)} names no pictures; put a path or an address in each line.")
    for line in kept:
        if is_address(line):
            yield line
            continue
        place = path.parent / line
        try:
            yield from search(str(place if file_mode(place) else Path(glob.escape(str(path.parent)), line)))
        except PictureError:
            yield place


def _read_stdin() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise PictureError(
            "- stands for a picture on the standard input, and there is none; pipe one into the command."
        )
    return sys.stdin.buffer.read(MOST_BYTES + 1)


def _key(content: Path | str | bytes) -> str:
    """What two spellings of the same have in common."""
    if isinstance(content, bytes):
        return f"{STDIN}:{hashlib.sha256(content).hexdigest()}"
    return content if isinstance(content, str) else str(real(content.parent) / content.name)


def _known(identities: Sequence[str], earlier: Iterable[tuple[str, str]]) -> dict[int, str]:
    """The names that pictures and videos have already, by their places; two links to one picture have none."""
    times = Counter(identities)
    places = {identity: place for place, identity in enumerate(identities) if times[identity] == 1}
    known: dict[int, str] = {}
    for identity, name in earlier:
        video, number = frame_of(name)
        for one, called in ((identity, name), (identity.removesuffix(f"#{number}"), video)):
            if one in places:
                known.setdefault(places[one], called)
    return known


def _like_a_file(content: Path | str | bytes) -> Path:
    """What is named after a file, with the host of an address, and a digest of its query, in the place of folders."""
    if isinstance(content, bytes):
        return Path("stdin")
    if isinstance(content, Path):
        return content
    query = content.partition("?")[2]
    return Path(
        content.split("/")[2], hashlib.sha256(query.encode()).hexdigest()[:6] if query else "", name_of(content)
    )

"""Reading files and writing them atomically; OS errors become one sentence for the user."""

import errno
import gc
import json
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from lexiseg.core.errors import FormatError, ModelError
from lexiseg.core.messages import printable

try:
    import fcntl
except ImportError:  # Windows: nothing is locked, and nothing that a killed run left is taken for its own
    fcntl = None


def file_mode(path: Path) -> int:
    """The mode bits of what a path points to; 0 if there is nothing, or the path is invalid."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):  # also a name that is too long, or holds a null byte
        return 0


def real(path: Path) -> Path:
    """The absolute path without links; one in a circle of links, or with a null byte, stays as it is."""
    try:
        return Path(os.path.realpath(path))
    except ValueError:
        return path


def open_regular(path: Path) -> BinaryIO:
    """Opens a file for reading bytes; a pipe or device, which might never end, is refused.

    Raises:
        OSError: if there is none, it can't be read, or it is something else.
    """
    try:
        mode = path.stat().st_mode
    except ValueError as error:  # a null byte
        raise FileNotFoundError(errno.ENOENT, "no file has such a name") from error
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a regular file")
    return path.open("rb")


def read_text(path: Path) -> str:
    """The content of a text, with a byte order mark or without.

    Raises:
        FormatError: if it can't be read.
    """
    try:
        with open_regular(path) as file:
            return file.read().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'no UTF-8 text'}).") from error


def read_lines(path: Path) -> list[str]:
    """The lines of a list of names, empty ones left out.

    Raises:
        FormatError: if it can't be read.
    """
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


@contextmanager
def no_collection() -> Generator[None, None, None]:
    """Switches off Python's search for cycles, which would look at the millions of objects of a list ever again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            if not gc.get_freeze_count():  # what was made counts as old from now on, without a look at it
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def read_json(path: Path, error: type[ValueError] = FormatError) -> Any:
    """The content of a JSON, with a byte order mark or without.

    Raises:
        FormatError: if it can't be read or is none; or the `error` that is named.
    """
    try:
        with no_collection(), open_regular(path) as file:
            return json.loads(file.read().decode("utf-8-sig"))
    except OSError as cause:
        raise error(f"{path}: cannot be read ({cause.strerror or cause}).") from cause
    except (ValueError, RecursionError) as cause:  # bad UTF-8 and bad JSON are ValueErrors
        raise error(f"{path}: this is no JSON ({cause}). Copy or download it again.") from cause


def read_json_object(path: Path, error: type[ValueError] = FormatError) -> dict[str, Any]:
    """The content of a JSON that must be an object: keys with values.

    Raises:
        FormatError: if it can't be read or is none; or the `error` that is named.
    """
    content = read_json(path, error)
    if not isinstance(content, dict):
        raise error(f"{path}: must hold an object, got a {type(content).__name__}. Copy or download it again.")
    return content


@contextmanager
def writing(
    target: Path,
    error: type[ValueError] = ModelError,
    *causes: type[Exception],
    way_out: str = "choose a folder that can",
) -> Generator[None, None, None]:
    """Turns an error of writing into one sentence.

    Args:
        target: what is to be written; the sentence names it.
        error: the type that is raised instead.
        causes: further types that a library raises where it can't write, beside OSError.
        way_out: what the sentence recommends.
    """
    try:
        yield
    except (OSError, UnicodeEncodeError, *causes) as cause:
        # torch raises another error while it closes a file to which it could not write
        first = cause.__context__ if isinstance(cause.__context__, OSError) else cause
        reason = getattr(first, "strerror", None) or str(cause)
        raise error(f"{printable(target)} can't be written ({reason}); {way_out}.") from cause


@contextmanager
def replacing(
    target: Path, error: type[ValueError] = ValueError, *, is_durable: bool = False
) -> Generator[Path, None, None]:
    """Yields a temporary path to write to, and renames it to the target at the end of the block.

    A reader sees the earlier file, the new one or none; a block that fails leaves nothing behind.

    Args:
        target: the file; its folder is made.
        error: the type that an OSError is raised as, see `writing`.
        is_durable: syncs the file to disk first, so that not even a power cut leaves a damaged file.
    """
    # in the target's own folder, so that a rename stays on one file system
    hidden = target.parent / f".{target.name[:100]}.{secrets.token_hex(6)}.tmp"
    with writing(target, error):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            yield hidden
            if is_durable:  # a rename must not reach the disk before what it names
                with hidden.open("rb") as file:
                    os.fsync(file.fileno())
            hidden.replace(target)
        finally:
            hidden.unlink(missing_ok=True)


def write_atomically(target: Path, content: str | bytes, error: type[ValueError] = ValueError) -> None:
    """Writes a whole file, text as UTF-8, as `replacing` does."""
    with replacing(target, error) as hidden:
        hidden.write_bytes(content.encode() if isinstance(content, str) else content)


def lock(path: Path) -> int | None:
    """Takes a folder, or a file that is made for it, for this process alone.

    The system takes the lock away with the process, however that ends: there is none that nobody holds.

    Returns:
        What `os.close` gives free; None if another process, or another part of this one, holds it.

    Raises:
        OSError: if there is no such thing, or the file system knows no locks.
    """
    if fcntl is None:
        raise OSError(errno.ENOTSUP, "this system locks no folders")
    held = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        return None
    except OSError:
        os.close(held)
        raise
    return held


STAGED = ".partial-"
"""How the names of staging folders begin; a run that is killed leaves them behind, unlocked."""


class StagingFolder:
    """A hidden folder inside another, in which files and folders gather until all are there.

    It is locked while its process lives. What killed runs have left of theirs goes when the next one is made beside it.

    Usage: `with StagingFolder(folder) as staging:` write into `staging.path`, then `staging.publish(...)`. At the end
    of the block, after a failure as well, whatever has not been published goes.
    """

    def __init__(self, folder: Path, *, inherit: Callable[[Path, Path], None] = lambda left, own: None) -> None:
        """Makes the staging folder, and the folder around it if need be.

        Args:
            folder: the folder around.
            inherit: called with what a killed run has left, before that goes, and with the new staging folder.

        Raises:
            OSError: if they can't be made.
        """
        self.folder = folder
        self._is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        # under its own name only once it is locked, so that nobody takes it for left behind
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
        self._held: int | None = None
        with suppress(OSError):  # of a file system without locks
            self._held = lock(made)
        self.path = made.replace(made.with_name(made.name.replace(".new-", STAGED)))
        for left in leftovers(folder):
            inherit(left, self.path)
            shutil.rmtree(left, ignore_errors=True)

    def publish(
        self, *names: str, before: Callable[[], Iterable[str]] = tuple, without: Callable[[], Iterable[str]] = tuple
    ) -> None:
        """Moves what has these names into the folder around, in the place of what has them there.

        What was there leaves in the opposite order, so that the last name leaves first and arrives last: where it
        stands, the others stand too. What was there is deleted only after all has worked, or else put back.

        Args:
            names: of files and folders, or paths of those in folders, which are made.
            before: whenever it is called, gives further names, which arrive before these and leave after them; so many
                that no list of them is made.
            without: likewise gives names of what only leaves.

        Raises:
            OSError: if something can't be moved, or a file would take the place of a folder.
        """
        for name in chain(before(), names):
            if (self.folder / name).is_dir() > (self.path / name).is_dir():
                raise IsADirectoryError(None, f"a folder is called {name}")
        old = Path(tempfile.mkdtemp(prefix=".replaced-", dir=self.folder))  # which nobody clears away
        has_left = False
        try:
            for name in chain(reversed(names), before(), without()):
                _move(self.folder / name, old / name)
            has_left = True
            for name in chain(before(), names):
                _move(self.path / name, self.folder / name, missing_ok=False)
        except BaseException:
            if has_left:  # so that what lies there now has come from here
                for name in chain(reversed(names), before()):
                    _move(self.folder / name, self.path / name)
            for name in chain(without(), before(), names):
                _move(old / name, self.folder / name)
                remove_empty((self.folder / name).parent, self.folder)
            shutil.rmtree(old)  # of which folders alone are left
            raise
        shutil.rmtree(old, ignore_errors=True)
        for name in without():
            remove_empty((self.folder / name).parent, self.folder)

    def discard(self) -> None:
        """Removes what has not been published; also the folder around, if it was made for it and holds nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.leave()
        if self._is_new:
            with suppress(OSError):  # it is not empty, as a rule
                self.folder.rmdir()

    def leave(self) -> None:
        """Lets go of what has not been published, for the next one that is made beside it to inherit."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def __enter__(self) -> "StagingFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


def remove_empty(folder: Path, below: Path) -> None:
    """Removes a folder and those around it up to another one, as far as nothing is in them."""
    with suppress(OSError):  # something is, as a rule
        while folder != below:
            folder.rmdir()
            folder = folder.parent


def _move(source: Path, target: Path, *, missing_ok: bool = True) -> None:
    """Gives a file or folder another path, in a folder that is made."""
    if missing_ok and not source.exists():
        return
    try:
        source.rename(target)
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)


def leftovers(folder: Path) -> list[Path]:
    """The staging folders in a folder whose processes have ended without removing them."""
    return [path for path in sorted(folder.glob(f"{STAGED}*")) if _is_left(path)]


def _is_left(path: Path) -> bool:
    try:
        held = lock(path)
    except OSError:  # nobody knows
        return False
    if held is None:
        return False
    os.close(held)
    return True


WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""What a folder's weights are called, whole or in shards, in the order in which they are looked for."""
CLIP_CONFIG = "open_clip_config.json"
"""The sizes beside weights of open_clip's on the Hugging Face hub."""
CLIP_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""What the weights are called there, whole or, with .index.json behind, in shards; the first that is there is taken."""


def kind_of_text(path: Path) -> str:
    """What a download has brought in the place of weights, "a Git-LFS pointer" or "a web page"; empty if neither."""
    with path.open("rb") as file:
        start = file.read(200).lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        return "a Git-LFS pointer"
    return "a web page" if start.startswith((b"<!doctype html", b"<html", b"<?xml")) else ""


def find_weights(folder: Path) -> Path | None:
    """The file in a folder that holds its weights, or lists their shards; None if there is none."""
    return next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)


def read_shard_names(weights: Path) -> list[str]:
    """The files that an .index.json lists, which lie beside it; of any other file, none.

    Raises:
        ValueError: if it can't be read, or lists something elsewhere.
    """
    return sorted(set(shard_of_each(weights).values())) if weights.name.endswith(".index.json") else []


def shard_of_each(index: Path) -> dict[str, str]:
    """The file of every weight in an .index.json, all of which lie beside it.

    Raises:
        ValueError: if it can't be read, or lists something elsewhere.
    """
    places = read_json_object(index, ValueError).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise ValueError(f'{printable(index)} lists no shards: expected "weight_map", the file of each weight.')
    files = sorted(set(places.values()))
    if strays := [file for file in files if Path(file).name != file or file in ("", "..") or file.endswith(".json")]:
        raise ValueError(f"{printable(index)} lists {printable(strays[0])}: shards must lie beside their index.")
    return places

"""Folders of pairs written: shard by shard, by several processes, in several goes, whole or not at all."""

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lexiseg.core.errors import FormatError
from lexiseg.core.files import read_json, replacing, write_atomically, writing
from lexiseg.core.messages import printable, shown
from lexiseg.data.pairs.format import FORMAT, INDEX, MEMBERS, PairRecord, read_index, to_bytes

PLAN = "plan.json"
"""What decides every byte, while the folder is not finished; then it stands in the index."""
_SHARD = "[0-9]" * 6
_SHARDS = (f"{_SHARD}.tar", f"{_SHARD}.json")
_LEFTOVERS = (".partial-*", *(f".{name}.*.tmp" for name in (INDEX, PLAN, *_SHARDS)))
"""Files of a run that was killed; the first are of earlier releases."""


class PairWriter:
    """Writes a folder that `PairDataset` reads.

    A shard appears whole or not at all, in any order, and the folder is one of pairs only when `close` has written the
    index. Other files in the folder are never touched, unless `begin` is told to overwrite those of its names.
    """

    def __init__(self, folder: Path, *, crop_size: int, plan: Mapping[str, Any]) -> None:
        """Names a folder; nothing is read or written yet.

        Args:
            folder: where the shards go.
            crop_size: S, the side of crops and masks in pixels.
            plan: plain data that decide every byte: weights, settings, pictures.
        """
        self.folder = folder
        self._crop_size = crop_size
        self._plan = json.dumps(plan, ensure_ascii=False, sort_keys=True)

    def begin(self, *, resume: bool = False, overwrite: bool = False) -> bool:
        """Makes the folder ready for `write`; in one process, before the others begin.

        Args:
            resume: keeps the shards that an interrupted run has finished; a finished folder stays as it is.
            overwrite: removes earlier pairs, and writes over files of others that have their names.

        Returns:
            Whether there is nothing left to do.

        Raises:
            ValueError: as `check_free`, if resuming would join pairs of different plans, or if it can't be written.
        """
        check_free(self.folder, resume=resume, overwrite=overwrite)
        earlier = _earlier(self.folder)
        with writing(self.folder, ValueError, way_out="choose another folder"):
            if earlier is not None and resume:
                if earlier[0] != self._plan:
                    raise ValueError(
                        f"{printable(self.folder)} holds pairs of another model, data or settings: repeat those to "
                        "resume them, or choose another folder."
                    )
                _remove(_matching(self.folder, _LEFTOVERS))
                return (self.folder / INDEX).is_file()
            self.folder.mkdir(parents=True, exist_ok=True)
            _remove(() if earlier is None else earlier[1])
            _remove((self.folder / INDEX,))  # whoever wrote it, a run that stops must not leave it
        self._write(PLAN, {"format": FORMAT, "plan": json.loads(self._plan)})
        return False

    def finished(self, number: int) -> Mapping[str, Any] | None:
        """What `write` was told of a shard; None if the shard is not there."""
        part = self._part(number)
        return None if part is None else part["about"]

    def write(self, number: int, records: Iterable[PairRecord], about: Mapping[str, Any]) -> None:
        """Writes one shard; the same records give the same bytes.

        Args:
            number: of the shard, from 0.
            records: its pairs; there may be none.
            about: plain data that the index keeps beside the shard.

        Raises:
            ValueError: if a crop is not of the folder's size, a mask is empty, or the shard can't be written.
        """
        part: dict[str, Any] = {"about": dict(about), "words": [], "scores": [], "spans": []}
        with replacing(self.folder / f"{number:06}.tar") as hidden:
            with hidden.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                for place, record in enumerate(records):
                    if len(record.mask) != self._crop_size:
                        raise ValueError(f"crops must be {self._crop_size} pixels wide, got {len(record.mask)}.")
                    if not record.mask.any():
                        raise ValueError(
                            f"a region {shown(record.word)} of {shown(record.picture)} has an empty mask: leave it out."
                        )
                    part["words"].append(record.word)
                    part["scores"].append(record.score)
                    part["spans"].append(_add(tar, f"{number:06}-{place:05}", to_bytes(record)))
            part["bytes"] = hidden.stat().st_size
        self._write(f"{number:06}.json", part)

    def close(self, num_shards: int) -> None:
        """Writes the index, when all shards are there; in one process, after the others have written.

        Raises:
            ValueError: if a shard is missing, or the index can't be written.
        """
        parts: list[dict[str, Any]] = []
        for number in range(num_shards):
            part = self._part(number)
            if part is None:
                raise ValueError(f"{printable(self.folder)} lacks shard {number}: resume the run that writes it.")
            parts.append({"name": f"{number:06}.tar", **part})
        words = sorted({word for part in parts for word in part["words"]})
        row_of = {word: row for row, word in enumerate(words)}
        index = {
            "format": FORMAT,
            "crop_size": self._crop_size,
            "plan": json.loads(self._plan),
            "words": words,
            "shards": [part | {"words": [row_of[word] for word in part["words"]]} for part in parts],
        }
        self._write(INDEX, index, separators=(",", ":"))
        with writing(self.folder, ValueError, way_out="choose another folder"):
            _remove([self.folder / PLAN, *(self.folder / f"{number:06}.json" for number in range(num_shards))])

    def _part(self, number: int) -> dict[str, Any] | None:
        """A finished shard's share of the index; None where it or the shard is missing or damaged."""
        try:
            part = read_json(self.folder / f"{number:06}.json")
            is_whole = (self.folder / f"{number:06}.tar").stat().st_size == part["bytes"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return part if is_whole else None

    def _write(self, name: str, content: Mapping[str, Any], separators: tuple[str, str] | None = None) -> None:
        write_atomically(self.folder / name, json.dumps(content, ensure_ascii=False, separators=separators))


def check_free(folder: Path, *, resume: bool = False, overwrite: bool = False) -> None:
    """Refuses a folder in which a `PairWriter` would write over other files.

    Args:
        folder: where the shards are to go.
        resume: earlier pairs may be there.
        overwrite: anything may be.

    Raises:
        ValueError: if it holds pairs, or files of others under the names of a `PairWriter`'s.
    """
    is_ours = _earlier(folder) is not None
    taken = sorted(path.name for path in _matching(folder, (INDEX, PLAN, *_SHARDS)))
    if taken and not (overwrite or (is_ours and resume)):
        what, ways = ("pairs", "--resume or ") if is_ours else (f"{taken[0]}, which is none of pairs'", "")
        raise ValueError(f"{printable(folder)} already holds {what}: choose another --out, or pass {ways}--overwrite.")


def _earlier(folder: Path) -> tuple[str, list[Path]] | None:
    """The plan of pairs that a folder holds already, finished or not, and all files that they consist of.

    The plan is "" if they are damaged. None where neither index nor plan is one of pairs: whatever else lies there,
    others have put there.
    """
    index, plan = _document(folder / INDEX), _document(folder / PLAN)
    if plan is None and index is None:
        return None
    files = [folder / INDEX] if index is not None else []
    if plan is not None:
        files += _matching(folder, (PLAN, *_SHARDS, *_LEFTOVERS))
    elif index is not None:
        files += _shards(folder, index)
    try:
        kept = read_index(folder)["plan"] if index is not None else (plan or {})["plan"]
    except (FormatError, KeyError):
        return "", files
    return json.dumps(kept, ensure_ascii=False, sort_keys=True), files


def _matching(folder: Path, patterns: Iterable[str]) -> list[Path]:
    return [path for pattern in patterns for path in folder.glob(pattern)]


def _document(path: Path) -> dict[str, Any] | None:
    """An index or a plan, of any version; None if it is not there or somebody else's."""
    try:
        document = read_json(path)
    except ValueError:
        return None
    is_ours = isinstance(document, dict) and str(document.get("format", "")).startswith(FORMAT.rpartition(" ")[0])
    return document if is_ours else None


def _shards(folder: Path, index: Mapping[str, Any]) -> list[Path]:
    """The shards that an index names and that are there."""
    listed = index.get("shards")
    names = {str(shard.get("name")) for shard in listed if isinstance(shard, dict)} if isinstance(listed, list) else ()
    return [path for path in folder.glob(_SHARDS[0]) if path.name in names]


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _add(tar: tarfile.TarFile, key: str, contents: Iterable[bytes]) -> list[tuple[int, int]]:
    """Adds the members of a pair; returns where the content of each begins, and its length."""
    spans = []
    for member, content in zip(MEMBERS, contents, strict=True):
        info = tarfile.TarInfo(f"{key}.{member}")  # owner, time and mode are the same for all
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
        blocks = -(-len(content) // tarfile.BLOCKSIZE)
        spans.append((tar.offset - blocks * tarfile.BLOCKSIZE, len(content)))
    return spans

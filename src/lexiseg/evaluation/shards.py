"""Finished parts of a long evaluation, kept on disk so that an interrupted one can go on."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lexiseg.core.messages import printable

SHARD = 32
"""Pictures that are counted together. Batches never reach over a shard's end, so which process counts it, and when,
changes no digit."""

_PLAN = "plan.json"


def shards_of(number: int) -> tuple[range, ...]:
    """Places of the pictures of each shard, of `number` pictures."""
    return tuple(range(start, min(start + SHARD, number)) for start in range(0, number, SHARD))


class ShardStore:
    """A folder of finished shards, one JSON file for each; a file appears whole or not at all."""

    def __init__(self, folder: Path, plan: Mapping[str, Any]) -> None:
        """Names a folder; nothing is read or written yet.

        Args:
            folder: of its own.
            plan: plain data that decide every digit: model, words, settings, pictures.
        """
        self.folder = folder
        self._plan = json.dumps(plan, indent=1, ensure_ascii=False, sort_keys=True)

    def open(self, *, resume: bool) -> None:
        """Begins anew, or goes on with what is there.

        Raises:
            ValueError: if the folder holds parts of another evaluation, or can't be written.
        """
        plan = self.folder / _PLAN
        try:
            if resume and plan.exists():
                if plan.read_text(encoding="utf-8") != self._plan:
                    raise ValueError(
                        f"{printable(self.folder)} holds parts of an evaluation with another model, data or settings: "
                        "repeat those to resume it, or leave --resume out to begin anew."
                    )
                return
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            _write(plan, self._plan)
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def load(self, number: int) -> dict[str, Any] | None:
        """A finished shard, or None; a file that can't be read counts as none."""
        try:
            return json.loads(self._file(number).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def save(self, number: int, content: Mapping[str, Any]) -> None:
        """Keeps a finished shard.

        Raises:
            ValueError: if it can't be written.
        """
        try:
            _write(self._file(number), json.dumps(content))
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06}.json"


def digest(names: Sequence[str]) -> str:
    """A short name for a long list."""
    return hashlib.sha256("\n".join(names).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _write(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", delete=False, encoding="utf-8") as file:
        file.write(text)
    Path(file.name).replace(path)


def _unwritable(folder: Path, error: OSError) -> ValueError:
    return ValueError(f"{printable(folder)} cannot be written ({error.strerror}); choose another folder.")

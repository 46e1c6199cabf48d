"""Finished shards of a long evaluation, kept on disk so that an interrupted one can go on."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lexiseg.core.files import read_json, read_text, write_atomically
from lexiseg.core.messages import printable

SHARD = 32
"""Pictures that are counted together. Batches never reach over a shard's end, so which process counts it, and when,
changes no digit."""

SHARDS_FOLDER = ".parts"
"""Finished shards, inside the report's folder while the evaluation runs."""
_PLAN = "plan.json"


def shards_of(number: int) -> tuple[range, ...]:
    """Places of the pictures of each shard, of `number` pictures."""
    return tuple(range(start, min(start + SHARD, number)) for start in range(0, number, SHARD))


class ShardStore:
    """A folder of finished shards, one JSON file for each."""

    def __init__(
        self, folder: Path, plan: Mapping[str, Any], renewed: Callable[[Any], Mapping[str, Any]] = lambda plan: plan
    ) -> None:
        """Names a folder; nothing is read or written yet.

        Args:
            folder: of its own.
            plan: plain data that decide every digit: model, vocabulary, settings, pictures.
            renewed: says what an earlier release wrote as it would be written now; any error means that it can't be.
        """
        self.folder = folder
        self._plan, self._renewed = _text(plan), renewed

    def open(self, *, resume: bool) -> None:
        """Begins anew, or goes on with what is there.

        Raises:
            ValueError: if the folder holds shards of another evaluation, or can't be read or written.
        """
        plan = self.folder / _PLAN
        earlier = read_text(plan) if resume and plan.exists() else None
        if earlier is None:
            shutil.rmtree(self.folder, ignore_errors=True)
            write_atomically(plan, self._plan)
        elif not self._is_own(earlier):
            raise ValueError(
                f"{printable(self.folder)} holds shards of an evaluation with another model, data or settings: "
                "repeat those to resume it, or leave --resume out to begin anew."
            )

    def _is_own(self, earlier: str) -> bool:
        """Whether a plan is this one, or was before there were fields that have come since."""
        try:
            return earlier == self._plan or _text(self._renewed(json.loads(earlier))) == self._plan
        except (ValueError, LookupError, TypeError):
            return False

    def load(self, number: int) -> dict[str, Any] | None:
        """A finished shard, or None; a file that can't be read counts as none."""
        try:
            return read_json(self._file(number))
        except ValueError:
            return None

    def save(self, number: int, content: Mapping[str, Any]) -> None:
        """Keeps a finished shard.

        Raises:
            ValueError: if it can't be written.
        """
        write_atomically(self._file(number), json.dumps(content))

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06}.json"


def _text(plan: Mapping[str, Any]) -> str:
    return json.dumps(plan, indent=1, ensure_ascii=False, sort_keys=True)


def digest(names: Sequence[str]) -> str:
    """A short name for a long list."""
    return hashlib.sha256("\n".join(names).encode("utf-8", "surrogatepass")).hexdigest()[:16]

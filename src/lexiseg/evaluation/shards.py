"""Finished shards of a long evaluation, kept on disk so that an interrupted one can go on."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
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


def _rules(plan: str) -> object:
    """By what rules the shards of a plan are counted."""
    try:
        return json.loads(plan).get("rules")
    except (ValueError, AttributeError):
        return None


def shards_of(number: int) -> tuple[range, ...]:
    """Places of the pictures of each shard, of `number` pictures."""
    return tuple(range(start, min(start + SHARD, number)) for start in range(0, number, SHARD))


class ShardStore:
    """A folder of finished shards, one JSON file for each."""

    def __init__(self, folder: Path, plan: Mapping[str, Any]) -> None:
        """Names a folder; nothing is read or written yet.

        Args:
            folder: of its own.
            plan: plain data that decide every digit: model, vocabulary, settings, pictures.
        """
        self.folder = folder
        self._plan = json.dumps(plan, indent=1, ensure_ascii=False, sort_keys=True)

    def open(self, *, resume: bool) -> None:
        """Begins anew, also where what is there was counted by other rules, or goes on with it.

        Raises:
            ValueError: if the folder holds shards of another evaluation, or can't be read or written.
        """
        plan = self.folder / _PLAN
        earlier = read_text(plan) if resume and plan.exists() else None
        if earlier is None or _rules(earlier) != _rules(self._plan):
            shutil.rmtree(self.folder, ignore_errors=True)
            write_atomically(plan, self._plan)
        elif earlier != self._plan:
            raise ValueError(
                f"{printable(self.folder)} holds shards of an evaluation with another model, data or settings: "
                "repeat those to resume it, or leave --resume out to begin anew."
            )

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


def digest(names: Sequence[str]) -> str:
    """A short name for a long list."""
    return hashlib.sha256("\n".join(names).encode("utf-8", "surrogatepass")).hexdigest()[:16]

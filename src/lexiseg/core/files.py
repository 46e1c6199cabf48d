"""Files, read and asked after; whatever is wrong with them becomes one sentence."""

import json
import os
from pathlib import Path
from typing import Any

from lexiseg.core.errors import FormatError
from lexiseg.core.messages import printable


def file_mode(path: Path) -> int:
    """The mode bits of what a path points to; 0 if there is nothing, or never can be."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):  # also a name that is too long, or holds a null byte
        return 0


def read_lines(path: Path) -> list[str]:
    """The lines of a list of names, empty ones left out.

    Raises:
        FormatError: if it can't be read.
    """
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'no UTF-8 text'}).") from error


def read_json(path: Path) -> Any:
    """The content of a JSON.

    Raises:
        FormatError: if it can't be read or is none.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: this is no JSON ({error}). Copy or download it again.") from error


def write_atomically(path: Path, text: str, error: type[ValueError] = ValueError) -> None:
    """Writes a text file that appears whole or not at all; an earlier one is replaced, a missing folder made.

    Args:
        path: of the file.
        text: written as UTF-8.
        error: raised if the file can't be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as reason:
        raise error(
            f"{printable(path.parent)} cannot be written ({reason.strerror}); choose another folder."
        ) from reason

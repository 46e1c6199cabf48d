"""Files, read and asked after; whatever is wrong with them becomes one sentence."""

import json
from pathlib import Path
from typing import Any

from lexiseg.core.errors import FormatError


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
    """The content of a JSON, with a byte order mark or without.

    Raises:
        FormatError: if it can't be read or is none.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: this is no JSON ({error}). Copy or download it again.") from error

"""JSON lines: a line per picture, with all that is known of its segments."""

import json
from collections.abc import Iterator
from typing import Any

from lexiseg.inference.formats.format import NamedResult, Run

JSON = "json"


def json_entry(named: NamedResult) -> dict[str, Any]:
    """Height, width and segments with their scores, guesses and paths."""
    return named.result.to_jsonable()


def json_document(run: Run) -> Iterator[str]:
    """The text: a line per picture, with the files that were written of it."""
    return (
        json.dumps({"picture": one.image["file_name"], "files": list(one.files), **one.entries[JSON]}) + "\n"
        for one in run.pictures()
    )

"""The format of config.json in a model folder: its number, what stands around a configuration, and older formats.

To change it: raise `FORMAT`, and add to `MIGRATIONS` what turns a document of the format before into one of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexiseg import __version__
from lexiseg.core.errors import ModelError
from lexiseg.core.files import read_json_object
from lexiseg.core.messages import printable
from lexiseg.io.config_json import from_jsonable, to_jsonable
from lexiseg.io.shipped import CONFIG_FILE
from lexiseg.models.provenance import Provenance

FORMAT = 2
"""Format 1 had no number, and no word on where a model comes from. Format 2 has both beside the configuration."""
Document = dict[str, Any]


def _from_1(document: Document) -> Document:
    """A folder without the name of a system was written before there was another than OPSNet."""
    return {"system": "opsnet", **document}


MIGRATIONS: Mapping[int, Callable[[Document], Document]] = {1: _from_1}
"""What turns a document of a format into one of the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderConfig:
    """What a model folder's config.json says."""

    system: str
    """The name of the kind of model."""
    config: Document
    """The configuration as plain data."""
    provenance: Provenance
    sources: Document | None
    """Where weights lie that the folder does not hold itself; None for a whole folder."""
    place: str
    """The file, for messages."""


def document_of(system: str, config: Any, provenance: Provenance, *, sources: Document | None = None) -> Document:
    """The plain data of a config.json in today's format."""
    around = {"format": FORMAT, "lexiseg": __version__, "system": system, "provenance": to_jsonable(provenance)}
    return around | ({} if sources is None else {"sources": sources}) | to_jsonable(config)


def read_config(folder: str | Path) -> FolderConfig:
    """Reads a model folder's config.json, of this format or an earlier one.

    Raises:
        ModelError: if it is missing or damaged, or of a later format.
    """
    place = f"{CONFIG_FILE} in {printable(folder)}"
    return parse_config(read_json_object(Path(folder) / CONFIG_FILE, ModelError), place)


def parse_config(document: Mapping[str, Any], place: str) -> FolderConfig:
    """The same of what was read already.

    Raises:
        ModelError: if it is damaged, or of a later format.
    """
    current = dict(document)
    number = current.pop("format", 1)
    if type(number) is not int or number < 1:
        raise ModelError(f"{place}: format must be a whole number from 1 to {FORMAT}, got {number!r}; copy it again.")
    if number > FORMAT:
        raise ModelError(
            f"{place} is of format {number}, and this lexiseg {__version__} reads formats up to {FORMAT}: "
            "update it (pip install -U lexiseg)."
        )
    for older in range(number, FORMAT):
        current = MIGRATIONS[older](current)
    written_by = current.pop("lexiseg", None)
    if written_by not in (None, __version__):
        place = f"{place} (written by lexiseg {printable(str(written_by))}, this is {__version__})"
    provenance = from_jsonable(Provenance, current.pop("provenance", {}), source=f"{place}, provenance")
    sources = current.pop("sources", None)
    if not isinstance(sources, dict | None):
        raise ModelError(f"{place}: sources must be an object with named fields; copy the folder again.")
    system = str(current.pop("system", "none"))
    return FolderConfig(system=system, config=current, provenance=provenance, sources=sources, place=place)

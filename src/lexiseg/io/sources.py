"""Weights that lie elsewhere: what a small model folder's config.json says of them, and a model built of them.

Such a folder holds what was derived when it was made, such as the embeddings of training names; everything else is read
from the published files, which stay where they are. "sources" in its config.json has a `Part` for each.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lexiseg.core.errors import ModelError
from lexiseg.core.files import CLIP_WEIGHTS, find_weights, read_json_object, read_shard_names, real
from lexiseg.core.messages import printable
from lexiseg.encoders.clip.published import read_clip
from lexiseg.encoders.segmenters.published import read_closed_set
from lexiseg.io.config_json import from_jsonable, to_jsonable
from lexiseg.io.fcclip.checkpoint import import_fcclip
from lexiseg.io.hub import cached_folder
from lexiseg.io.ovseg.checkpoint import import_ovseg
from lexiseg.io.shipped import CONFIG_FILE
from lexiseg.models.assemble import weights_of_parts
from lexiseg.models.fcclip import FCCLIPConfig
from lexiseg.models.opsnet import OPSNetConfig

SOURCES = "sources"
"""The key in config.json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Where one part of a model lies: on the hub, or on this machine."""

    repository: str | None = None
    revision: str | None = None
    path: str | None = None
    """A file, or a folder in transformers' or open_clip's layout."""
    sha256: str | None = None
    """Of the path's files: their names and what is in them."""
    stamp: str | None = None
    """Their sizes and times; where it is the same, they are not read to be compared."""

    def __post_init__(self) -> None:
        if (self.path is None) == (self.repository is None) or (self.repository is None) != (self.revision is None):
            raise ValueError("a source is either a path or a repository with its revision.")


def part_of_path(path: Path) -> Part:
    """Describes a file or folder on this machine; reads all of it.

    Raises:
        ModelError: if it can't be read.
    """
    return Part(path=str(real(path)), sha256=_sha256(path), stamp=stamp_of(path))


def stamp_of(path: Path) -> str:
    """The sizes and times of a file's or folder's files.

    Raises:
        ModelError: if it can't be read.
    """
    about = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in _files(path)]
    return hashlib.sha256(repr(about).encode()).hexdigest()[:16]


def place_of(part: Part) -> Path:
    """Where a part's files lie, after a look whether they are there and are the same.

    Raises:
        ModelError: if not.
    """
    if part.repository is not None:
        assert part.revision is not None
        folder = cached_folder(part.repository, part.revision)
        if not _files(folder):
            raise ModelError(
                f"{part.repository} (revision {part.revision[:7]}) is no longer in the cache {printable(folder)}: load "
                "the model by its name again, which fetches it."
            )
        return folder
    path = Path(str(part.path))
    if not _files(path):
        raise ModelError(
            f"{printable(path)}, of which this model was assembled, is gone: put it back, or assemble the model anew "
            "of the file where it is now."
        )
    if part.stamp != stamp_of(path) and part.sha256 != _sha256(path):
        raise ModelError(
            f"{printable(path)} has changed since this model was assembled of it: assemble it anew, or put the earlier "
            "file back."
        )
    return path


def parts_of(sources: object, source: str) -> dict[str, Part]:
    """The parts by name ("segmenter", "clip", "checkpoint"), as config.json lists them.

    Raises:
        ModelError: if they are not such a list.
    """
    if not isinstance(sources, Mapping):
        raise ModelError(f"{source} must list parts by name, got a {type(sources).__name__}: assemble the model again.")
    return {name: from_jsonable(Part, about, source=f"{source}, {name}") for name, about in sources.items()}


def told(part: Part) -> str:
    """A part as people read it."""
    return f"{part.repository}@{str(part.revision)[:7]}" if part.repository else str(part.path)


def sources_of(folder: Path) -> dict[str, Part]:
    """The parts of a model folder; none if it is whole, or no model folder.

    Raises:
        ModelError: if its list is damaged.
    """
    try:
        document = read_json_object(folder / CONFIG_FILE)
    except ValueError:
        return {}
    listed = document.get(SOURCES)
    return {} if listed is None else parts_of(listed, f"{SOURCES} in {printable(folder)}")


def sources_document(parts: Mapping[str, Part]) -> dict[str, Any]:
    """The parts as plain data for config.json."""
    return {name: to_jsonable(part) for name, part in parts.items()}


def read_sources(parts: Mapping[str, Part], config: Any, place: str) -> dict[str, Tensor]:
    """A model's state dict without what its folder derived, read from its sources.

    Raises:
        ModelError: if a source is missing, changed or damaged, or they are not such as make a model.
    """
    try:
        if isinstance(config, FCCLIPConfig) and "checkpoint" in parts:
            clip = place_of(parts["clip"]) if "clip" in parts else None
            return import_fcclip(place_of(parts["checkpoint"]), clip=clip).model.state_dict()
        if parts.keys() == {"checkpoint"}:
            return import_ovseg(place_of(parts["checkpoint"])).model.state_dict()
        if parts.keys() == {"segmenter", "clip"} and isinstance(config, OPSNetConfig):
            closed = read_closed_set(place_of(parts["segmenter"]))
            clip = read_clip(place_of(parts["clip"]), model=config.clip)
            return weights_of_parts(config, closed, clip.state)
    except ModelError:
        raise
    except (ValueError, torch.OutOfMemoryError) as error:
        raise ModelError(str(error)) from error
    raise ModelError(f"{place}: {SOURCES} must list a segmenter and a CLIP, or a checkpoint; assemble it again.")


def _files(path: Path) -> list[Path]:
    """The files of a part that matter, in the order of their names."""
    if path.is_file():
        return [path]
    weights = find_weights(path)
    shards = [] if weights is None else [path / name for name in read_shard_names(weights)]
    clips = [path / name for name in CLIP_WEIGHTS if (path / name).is_file()]
    if not all(shard.is_file() for shard in shards):
        return []
    found = [file for file in (weights, *shards, *clips) if file is not None]
    return [
        file for file in (path / CONFIG_FILE, path / "preprocessor_config.json") if file.is_file() and found
    ] + found


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    for file in _files(path):
        digest.update(file.name.encode())
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()

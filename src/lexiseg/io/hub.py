"""Models of the Hugging Face hub: config.json first, then only the files that are needed, kept in the hub's own cache.

A file grows under the name "<etag>.incomplete" in that cache and gets its own name when its size and, of a large one,
its SHA-256 are right; a download that was stopped, or killed, goes on from there.
"""

import hashlib
import logging
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lexiseg.core.errors import ModelError
from lexiseg.core.files import (
    CLIP_CONFIG,
    CLIP_WEIGHTS,
    WEIGHT_FILES,
    find_weights,
    kind_of_text,
    read_json_object,
    read_shard_names,
)
from lexiseg.core.messages import few, printable
from lexiseg.io.hub_messages import (
    NoSuchFileError,
    UnreachableError,
    endpoint,
    hub_cache,
    not_cached,
    size_told,
    told,
)
from lexiseg.io.kinds import SEGMENTERS, judge
from lexiseg.io.shipped import CONFIG_FILE

logger = logging.getLogger(__name__)

Kind = Literal["model", "clip", "any"]
MOST_BYTES = 16 * 10**9
"""More than any model that is read here has; what claims more is not fetched."""
_CHUNK = 1 << 16
_TRIES = 4
"""Attempts in a row that bring no new byte, before a download is given up for now."""
_ETAG = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PREPARATION = ("preprocessor_config.json",)
_BESIDE: Mapping[Kind, tuple[str, ...]] = {
    "model": _PREPARATION,
    "any": _PREPARATION,
    "clip": ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "spiece.model"),
}
"""Small files that are taken too where they are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Files of one repository at one revision, in the hub's cache."""

    repository: str
    revision: str
    folder: Path
    document: Mapping[str, Any]
    """Its config.json, or a CLIP's open_clip_config.json."""


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def cached_folder(repository: str, revision: str) -> Path:
    """Where the hub's cache keeps the files of a revision, whether it has them or not."""
    return hub_cache() / f"models--{repository.replace('/', '--')}" / "snapshots" / revision


def fetch(name: str, kind: Kind = "model", *, licence: str = "", weights: tuple[str, ...] = CLIP_WEIGHTS) -> Fetched:
    """Fetches what is needed of a model on the hub, or finds it in the cache.

    The hub is not asked about a segmenter or a CLIP that is in the cache; it is asked whether there is a newer revision
    of anything else, if it can be reached. Before anything large is fetched its size, licence and source are logged.

    Args:
        name: "owner/name".
        kind: a whole model or a closed-set segmenter; a CLIP in open_clip's layout; or whatever has a config.json.
        licence: what is known of it, beside what the hub says.
        weights: what the file of a CLIP may be called; the first that is there is taken.

    Raises:
        ModelError: one sentence that says which of the many reasons it is, and the way out.
    """
    marker = CLIP_CONFIG if kind == "clip" else CONFIG_FILE
    there = _from_cache(name, kind, marker, weights)
    if there is not None and (is_offline() or kind == "clip" or there.document.get("model_type") in SEGMENTERS):
        return there
    try:
        revision = _fetch_file(name, marker, "main")
    except UnreachableError:
        if there is not None:
            return there
        raise
    folder = cached_folder(name, revision)
    document = read_json_object(folder / marker, ModelError)
    if kind == "model":
        judge(document, name)
    listed, said = _listing(name, revision)
    choices = weights if kind == "clip" else WEIGHT_FILES
    needed = _needed(name, listed, choices, revision)
    needed |= _sizes(name, revision, listed, _BESIDE[kind])
    missing = {file: size for file, size in needed.items() if not (folder / file).is_file()}
    total = sum(size or 0 for size in missing.values())
    if total > MOST_BYTES:
        raise ModelError(
            f"{name} claims {size_told(total)} of weights, more than any model that is read here has; nothing was "
            "fetched: check the name."
        )
    if missing:
        terms = "; ".join(filter(None, (licence, f"by its page '{said}'" if said else "")))
        logger.warning(
            "Fetching %s of %s (revision %s) from %s to %s; licence: %s.",
            size_told(total) if all(missing.values()) else "an untold number of bytes", name, revision[:7], endpoint(),
            hub_cache(), terms or "unknown",
        )  # fmt: skip
    for file in missing:
        _fetch_file(name, file, revision)
    return Fetched(repository=name, revision=revision, folder=folder, document=document)


def _from_cache(name: str, kind: Kind, marker: str, clip_weights: tuple[str, ...]) -> Fetched | None:
    """What the cache holds of a model, if it is whole."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(name, marker)
    except ValueError as error:  # a name that is none
        raise told(error, name) from error
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    document = read_json_object(folder / marker, ModelError)
    if kind == "model":
        judge(document, name)
    if kind != "clip":
        weights = find_weights(folder)
        is_whole = weights is not None and all((folder / shard).is_file() for shard in read_shard_names(weights))
    else:
        is_whole = any((folder / file).is_file() for file in clip_weights)
    if not is_whole:
        return None
    return Fetched(repository=name, revision=folder.name, folder=folder, document=document)


def _listing(name: str, revision: str) -> tuple[dict[str, int | None] | None, str]:
    """The sizes in bytes of a repository's files by name, None without a list, and the licence on its page."""
    from huggingface_hub import HfApi

    try:
        found = HfApi().model_info(name, revision=revision, files_metadata=True)
    except Exception as error:  # of whichever of its libraries; mirrors that have files alone answer anything
        logger.info("%s", told(error, name))
        return None, ""
    if not found.siblings:  # nor has one that does not list them
        return None, ""
    sizes = {file.rfilename: file.size if isinstance(file.size, int) else None for file in found.siblings}
    marks = [tag.removeprefix("license:") for tag in found.tags or () if tag.startswith("license:")]
    return sizes, marks[0] if marks else ""


def _sizes(
    name: str, revision: str, listed: Mapping[str, int | None] | None, files: Iterable[str]
) -> dict[str, int | None]:
    """The sizes of those files that are there; what a repository's list does not say is asked file by file."""
    found: dict[str, int | None] = {}
    for file in files if listed is None else [file for file in files if file in listed]:
        try:
            found[file] = (listed or {}).get(file) or _head(name, file, revision).size
        except NoSuchFileError:
            if listed is not None:  # which has it nevertheless: the download says what is wrong
                found[file] = None
    return found


def _needed(
    name: str, listed: Mapping[str, int | None] | None, choices: tuple[str, ...], revision: str
) -> dict[str, int | None]:
    """The files of weights to take of a repository and their sizes; an index of shards is fetched."""
    chosen = next((found for file in choices if (found := _sizes(name, revision, listed, [file]))), None)
    if chosen is None:
        raise ModelError(f"{name} holds no weights in a known layout ({few(choices)}): choose another model.")
    index = next(iter(chosen))
    if not index.endswith(".index.json"):
        return chosen
    _fetch_file(name, index, revision)
    try:
        shards = read_shard_names(cached_folder(name, revision) / index)
    except ValueError as error:
        raise ModelError(str(error)) from error
    sizes = _sizes(name, revision, listed, shards)
    if lost := [shard for shard in shards if shard not in sizes]:
        raise ModelError(f"{name} lacks {few([printable(shard) for shard in lost])}, which its {index} lists.")
    return sizes


def _head(name: str, file: str, revision: str) -> Any:
    """What the hub says of a file without sending it: its ETag, its size, and the revision's full name."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError

    if is_offline():
        raise not_cached(name)
    try:
        return get_hf_file_metadata(hf_hub_url(name, file, revision=revision))
    except EntryNotFoundError as error:
        what = "no model (config.json is missing)" if file == CONFIG_FILE else f"no {file}"
        raise NoSuchFileError(f"{name} holds {what}: choose a repository with a model for segmentation.") from error
    except Exception as error:  # of whichever of its libraries
        what = told(error, name)
        is_of_a_mirror = isinstance(error, HfHubHTTPError) and not isinstance(error, RepositoryNotFoundError)
        if (
            is_of_a_mirror and getattr(getattr(error, "response", None), "status_code", None) == 404
        ):  # a mirror that does not say of what
            raise NoSuchFileError(str(what)) from error
        raise what from error


def _fetch_file(name: str, file: str, revision: str) -> str:
    """Brings one file into the hub's cache; gives back the revision's full name."""
    from huggingface_hub import hf_hub_download, hf_hub_url

    url = hf_hub_url(name, file, revision=revision)
    about = _head(name, file, revision)
    etag, commit = about.etag or "", about.commit_hash or ""
    if not _ETAG.fullmatch(etag) or not _COMMIT.fullmatch(commit):
        raise ModelError(f"{endpoint()} does not answer as a Hugging Face hub does: check HF_ENDPOINT and the network.")
    blob = cached_folder(name, commit).parents[1] / "blobs" / etag
    try:
        if not blob.exists():
            _download(url, blob, name=name, file=file, size=about.size)
        hf_hub_download(name, file, revision=revision)  # finds the blob, and links the revision's own name to it
    except ModelError:
        raise
    except Exception as error:  # of whichever of its libraries
        raise told(error, name) from error
    return commit


def _download(url: str, blob: Path, *, name: str, file: str, size: int | None) -> None:
    """Fetches a file to its place in the cache, going on where an earlier run stopped."""
    from huggingface_hub.utils import WeakFileLock

    locks = hub_cache() / ".locks" / blob.parents[1].name
    for folder in (locks, blob.parent):
        folder.mkdir(parents=True, exist_ok=True)
    part = blob.with_name(f"{blob.name}.incomplete")
    with WeakFileLock(locks / f"{blob.name}.lock"):
        if blob.exists():  # another process has brought it in the meantime
            return
        there = part.stat().st_size if part.exists() else 0
        if size is not None and there > size:
            part.unlink()
            there = 0
        _check_room(name, blob.parent, (size or 0) - there)
        try:
            _receive(url, part, name=name, file=file, size=size)
        except KeyboardInterrupt:
            logger.warning("%s of %s are here; the same command goes on from there.", size_told(_length(part)), file)
            raise
        if _SHA256.fullmatch(blob.name) and _sha256(part) != blob.name:
            part.unlink()
            raise ModelError(f"{file} of {name} was damaged on its way (its SHA-256 is not the hub's): try again.")
        if what := kind_of_text(part):
            part.unlink()
            raise ModelError(
                f"{file} of {name} is {what}, not what it is called: the repository is damaged, or wants a login."
            )
        part.replace(blob)


def _receive(url: str, part: Path, *, name: str, file: str, size: int | None) -> None:
    """Appends to a file until it is whole; a connection that breaks is taken up again."""
    from huggingface_hub.utils import tqdm

    with tqdm(
        total=size, initial=_length(part), unit="B", unit_scale=True, desc=file, disable=not sys.stderr.isatty()
    ) as bar:
        tries = _TRIES
        while True:
            before = _length(part)
            try:
                _receive_once(url, part, size, bar.update)
            except (OSError, ModelError):
                raise
            except Exception as error:  # a broken connection, in the words of its library
                tries = _TRIES if _length(part) > before else tries - 1
                if not tries:
                    raise ModelError(
                        f"the connection broke after {size_told(_length(part))} of {file} of {name} "
                        f"({type(error).__name__}): run the same command again, it goes on from there."
                    ) from error
                continue
            break
    if size is not None and _length(part) != size:
        got = _length(part)
        if got > size:
            part.unlink()
        raise ModelError(
            f"{file} of {name} should have {size} bytes, but {got} came: run the same command again, and if it does "
            "so again, the repository is damaged."
        )


def _receive_once(url: str, part: Path, size: int | None, update: Callable[[int], object]) -> None:
    from huggingface_hub import get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    there = _length(part)
    if size is not None and there == size:
        part.touch()
        return
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if there:
        headers["Range"] = f"bytes={there}-"
    with get_session().stream("GET", url, headers=headers, follow_redirects=True, timeout=30) as response:
        hf_raise_for_status(response)
        goes_on = response.status_code == 206
        with part.open("ab" if goes_on else "wb") as target:
            if not goes_on:
                update(-there)
                there = 0
            for chunk in response.iter_bytes(_CHUNK):
                target.write(chunk)
                update(len(chunk))
                there += len(chunk)
                if there > (MOST_BYTES if size is None else size):
                    return  # more than was announced; the caller says so


def _check_room(name: str, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ModelError(
            f"{name} needs {size_told(needed)} more, but only {size_told(free)} are free at {printable(hub_cache())}: "
            "free some space, or set HF_HOME to a folder on a larger disk."
        )


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Models of the Hugging Face hub: config.json first, then only the files that are needed, kept in the hub's own cache.

A file grows under the name "<etag>.incomplete" in that cache and gets its own name when its size and, of a large one,
its SHA-256 are right; a download that was stopped, or killed, goes on from there.
"""

import errno
import hashlib
import logging
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lexiseg.core.errors import ModelError
from lexiseg.core.files import WEIGHT_FILES, find_weights, read_json_object, read_shard_names
from lexiseg.core.messages import few, printable
from lexiseg.io.kinds import CLIP_CONFIG, CLIP_WEIGHTS, SEGMENTERS, judge
from lexiseg.io.named_models import near_names
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


def hub_cache() -> Path:
    """The folder of the hub's cache."""
    from huggingface_hub import constants  # here, as in every function below, because few commands need it

    return Path(constants.HF_HUB_CACHE)


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
    sizes, said = _listing(name, revision)
    choices = weights if kind == "clip" else WEIGHT_FILES
    needed = _needed(name, sizes, [file for file in _BESIDE[kind] if file in sizes], choices, revision)
    missing = [file for file in needed if not (folder / file).is_file()]
    total = sum(sizes[file] or 0 for file in missing)
    if total > MOST_BYTES:
        raise ModelError(
            f"{name} claims {_size(total)} of weights, more than any model that is read here has; nothing was fetched: "
            "check the name."
        )
    if missing:
        terms = "; ".join(filter(None, (licence, f"by its page '{said}'" if said else "")))
        logger.warning(
            "Fetching %s of %s (revision %s) from %s to %s; licence: %s.",
            _size(total), name, revision[:7], _endpoint(), hub_cache(), terms or "unknown",
        )  # fmt: skip
    for file in missing:
        _fetch_file(name, file, revision)
    return Fetched(repository=name, revision=revision, folder=folder, document=document)


class UnreachableError(ModelError):
    """The hub did not answer; what is in the cache may do."""


class NoSuchFileError(ModelError):
    """A repository is there, but lacks a file."""


def _from_cache(name: str, kind: Kind, marker: str, clip_weights: tuple[str, ...]) -> Fetched | None:
    """What the cache holds of a model, if it is whole."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(name, marker)
    except ValueError as error:  # a name that is none
        raise _told(error, name) from error
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


def _listing(name: str, revision: str) -> tuple[dict[str, int | None], str]:
    """The sizes in bytes of a repository's files by name, and the licence on its page."""
    from huggingface_hub import HfApi

    try:
        found = HfApi().model_info(name, revision=revision, files_metadata=True)
    except Exception as error:  # of whichever of its libraries
        raise _told(error, name) from error
    sizes = {file.rfilename: file.size if isinstance(file.size, int) else None for file in found.siblings or ()}
    marks = [tag.removeprefix("license:") for tag in found.tags or () if tag.startswith("license:")]
    return sizes, marks[0] if marks else ""


def _needed(
    name: str, sizes: Mapping[str, int | None], small: list[str], choices: tuple[str, ...], revision: str
) -> list[str]:
    """The files to take of a repository, by its list: small ones first, then weights; an index of shards is fetched."""
    chosen = next((file for file in choices if file in sizes), None)
    if chosen is None:
        raise ModelError(f"{name} holds no weights in a known layout ({few(choices)}): choose another model.")
    if not chosen.endswith(".index.json"):
        return [*small, chosen]
    _fetch_file(name, chosen, revision)
    try:
        shards = read_shard_names(cached_folder(name, revision) / chosen)
    except ValueError as error:
        raise ModelError(str(error)) from error
    if lost := [shard for shard in shards if shard not in sizes]:
        raise ModelError(f"{name} lacks {few([printable(shard) for shard in lost])}, which its {chosen} lists.")
    return [*small, *shards]


def _fetch_file(name: str, file: str, revision: str) -> str:
    """Brings one file into the hub's cache; gives back the revision's full name."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    if is_offline():
        raise _not_cached(name)
    url = hf_hub_url(name, file, revision=revision)
    try:
        about = get_hf_file_metadata(url)
    except EntryNotFoundError as error:
        what = "no model (config.json is missing)" if file == CONFIG_FILE else f"no {file}"
        raise NoSuchFileError(f"{name} holds {what}: choose a repository with a model for segmentation.") from error
    except Exception as error:  # of whichever of its libraries
        raise _told(error, name) from error
    etag, commit = about.etag or "", about.commit_hash or ""
    if not _ETAG.fullmatch(etag) or not _COMMIT.fullmatch(commit):
        raise ModelError(
            f"{_endpoint()} does not answer as a Hugging Face hub does: check HF_ENDPOINT and the network."
        )
    blob = cached_folder(name, commit).parents[1] / "blobs" / etag
    try:
        if not blob.exists():
            _download(url, blob, name=name, file=file, size=about.size)
        hf_hub_download(name, file, revision=revision)  # finds the blob, and links the revision's own name to it
    except ModelError:
        raise
    except Exception as error:  # of whichever of its libraries
        raise _told(error, name) from error
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
            logger.warning("%s of %s are here; the same command goes on from there.", _size(_length(part)), file)
            raise
        if _SHA256.fullmatch(blob.name) and _sha256(part) != blob.name:
            part.unlink()
            raise ModelError(f"{file} of {name} was damaged on its way (its SHA-256 is not the hub's): try again.")
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
                        f"the connection broke after {_size(_length(part))} of {file} of {name} "
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
            f"{name} needs {_size(needed)} more, but only {_size(free)} are free at {printable(hub_cache())}: free "
            "some space, or set HF_HOME to a folder on a larger disk."
        )


def _told(error: Exception, name: str) -> ModelError:
    """What went wrong, as one sentence."""
    from huggingface_hub import errors

    near = near_names(name)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return _not_cached(name)
    if isinstance(error, errors.GatedRepoError):
        return ModelError(
            f"{name} is gated: ask for access at {_endpoint()}/{name}, log in with 'hf auth login' or set HF_TOKEN, "
            "and try again."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return ModelError(
            f"the Hugging Face hub has no model {name}, or it is private: {near or 'check the name'}; if it is yours, "
            "log in with 'hf auth login' or set HF_TOKEN."
        )
    if isinstance(error, errors.HFValidationError):
        return ModelError(f"{printable(name)} is no name of the Hugging Face hub: {near or 'give owner/name'}.")
    if isinstance(error, errors.HfHubHTTPError):
        status = getattr(error.response, "status_code", "an error")
        kind = UnreachableError if status == 429 or str(status).startswith("5") else ModelError
        return kind(f"the Hugging Face hub at {_endpoint()} answered {status} for {name}: try again later.")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ModelError(
            f"the disk is full at {printable(hub_cache())}: free some space, or set HF_HOME to a folder on a larger "
            "disk; the same command goes on from there."
        )
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return ModelError(f"{printable(error.filename)} can't be written ({error.strerror}): set HF_HOME to another.")
    if type(error).__name__ == "TooManyRedirects":
        return ModelError(f"{_endpoint()} sends on from address to address without an end for {name}: try another.")
    reason = " ".join(str(error).split())[:80]
    return UnreachableError(
        f"the Hugging Face hub can't be reached at {_endpoint()} ({type(error).__name__}{reason and ': '}{reason}), "
        f"and {name} is not whole in the cache: check the network; or run 'hf download {name}' on a machine that has "
        f"one, and copy its folder {printable(hub_cache())}."
    )


def _not_cached(name: str) -> ModelError:
    return ModelError(
        f"HF_HUB_OFFLINE forbids the network, and {name} is not whole in the cache {printable(hub_cache())}: run "
        f"'hf download {name}' on a machine with a network and copy that folder, or unset HF_HUB_OFFLINE."
    )


def _endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(count: int) -> str:
    """Bytes as a person reads them."""
    return f"{count / 1e6:,.0f} MB" if count >= 10**6 else f"{count / 1e3:,.0f} kB"

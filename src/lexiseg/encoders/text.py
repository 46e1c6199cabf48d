"""Text embeddings: prompt templates, averaging, a memory of names, and a checked cache on disk.

In memory every name is remembered by itself, so that one more word costs one embedding. On disk a vocabulary is one
file. While a long one is embedded, every part of `PART` names is a file of its own, which goes when the whole is
written: a run that is interrupted loses a part at most, and the next one takes up the parts that are there. Their
names, as that of the whole, are hashes of what they hold, so that two processes may embed the same words at once. (A
file for each name would be 21,000 files, or a data base that processes have to lock.)
"""

import hashlib
import json
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.files import write_atomically
from lexiseg.core.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

BATCH_SIZE = 256  # prompts per call of the text tower: under 300 MB for CLIP's widths
PART = 256  # names that are remembered together: with CLIP RN50's text tower and 14 templates some 20 s on one core
NEWS = 30.0  # seconds after which a long vocabulary tells how far it is
MOST_NAMES = 2**15  # that are remembered in memory
MOST_BYTES = 2**27  # of their rows: 32,768 of CLIP RN50's 1,024 numbers
_FORMAT = 1  # part of every key: raised when the averaging changes, so that old files are not read


@runtime_checkable
class TextEncoder(Protocol):
    """A text tower: sentences to embeddings, and a fingerprint for the cache."""

    @property
    def fingerprint(self) -> str:
        """A hash of the weights and of all else that the embeddings depend on."""
        ...

    def encode_text(self, prompts: Sequence[str]) -> Float[Tensor, "M D"]:
        """Encodes whole sentences; float32, not normalised."""
        ...


def default_cache_dir() -> Path:
    """The folder of cached text embeddings: $LEXISEG_CACHE, else the user's cache folder."""
    if chosen := os.environ.get("LEXISEG_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "lexiseg"


K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memory(Generic[K, V]):
    """What is remembered up to a number and a size; the least recently used goes first. For any number of threads."""

    def __init__(self, most: int, most_bytes: int) -> None:
        """Remembers nothing yet.

        Args:
            most: values.
            most_bytes: of all together; the last one stays even if it is larger.
        """
        self.most = most
        self.most_bytes = most_bytes
        self.bytes = 0
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: K) -> V | None:
        """What is remembered, and is now the last that was used; None if it is not."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def put(self, key: K, value: V, size: int) -> None:
        """Remembers a value of so many bytes, and forgets others for it."""
        with self._lock:
            self.bytes += size - self._kept.pop(key, (None, 0))[1]
            self._kept[key] = value, size
            while len(self._kept) > 1 and (len(self._kept) > self.most or self.bytes > self.most_bytes):
                self.bytes -= self._kept.popitem(last=False)[1][1]


class TextMemory:
    """Rows of names, by the encoder and the templates that they were embedded with. For any number of threads.

    A row is the same in whatever vocabulary its name stands, but for rounding: the last digit may be that of other
    names which were encoded in the same call.
    """

    def __init__(self, most: int = MOST_NAMES, most_bytes: int = MOST_BYTES) -> None:
        """Remembers nothing yet; the bounds are those of `Memory`."""
        self.rows: Memory[tuple[str, tuple[str, ...], str], Float[Tensor, " D"]] = Memory(most, most_bytes)

    def unknown(self, encoder: TextEncoder, names: Sequence[str], templates: tuple[str, ...]) -> list[str]:
        """Which of some names `embed` would have to encode."""
        fingerprint = encoder.fingerprint
        return [name for name in dict.fromkeys(names) if self.rows.get((fingerprint, templates, name)) is None]

    def add(
        self, encoder: TextEncoder, names: Sequence[str], templates: tuple[str, ...], embed: Float[Tensor, "R D"]
    ) -> None:
        """Remembers rows that were embedded elsewhere."""
        fingerprint = encoder.fingerprint
        for name, row in zip(names, embed, strict=True):
            self.rows.put((fingerprint, templates, name), row.clone(), row.nbytes)  # a view would hold all rows

    def embed(self, encoder: TextEncoder, names: Sequence[str], templates: tuple[str, ...]) -> Float[Tensor, "R D"]:
        """Does as `embed_names`, and encodes only what is not remembered."""
        fingerprint = encoder.fingerprint
        found = {name: self.rows.get((fingerprint, templates, name)) for name in names}
        if unknown := [name for name, row in found.items() if row is None]:
            embed = embed_names(encoder, unknown, templates)
            self.add(encoder, unknown, templates, embed)
            found.update(zip(unknown, embed, strict=True))
        return torch.stack([row for name in names if (row := found[name]) is not None])


def names_at_once(templates: Sequence[str]) -> int:
    """Names that are encoded in one call of the text tower."""
    return max(1, BATCH_SIZE // len(templates))


@torch.no_grad()
def embed_names(encoder: TextEncoder, names: Sequence[str], templates: Sequence[str]) -> Float[Tensor, "R D"]:
    """Embeds names as OVSeg and FC-CLIP do: encode, normalise, average over templates, normalise.

    Args:
        encoder: the text tower.
        names: R names; repeated ones are encoded once.
        templates: sentences with `{}` where the name goes.

    Returns:
        Unit rows in the order of the names; float32, on the CPU.

    Raises:
        ValueError: if there are no names or no templates, or the encoder gives no finite vectors.
    """
    if not names or not templates:
        raise ValueError(
            f"expected at least one name and one template, got {len(names)} and {len(templates)}: ask for a word."
        )
    distinct = list(dict.fromkeys(names))
    step = names_at_once(templates)
    chunks = [
        _embed_chunk(encoder, distinct[start : start + step], templates) for start in range(0, len(distinct), step)
    ]
    embed = torch.cat(chunks)
    if not bool(embed.isfinite().all()):
        raise ValueError(
            "expected finite text embeddings, got NaN or infinity: the weights of the text "
            "encoder are damaged, load them anew."
        )
    row_of = {name: row for row, name in enumerate(distinct)}
    return embed[[row_of[name] for name in names]]


def _embed_chunk(encoder: TextEncoder, names: Sequence[str], templates: Sequence[str]) -> Float[Tensor, "R D"]:
    """One batch of `embed_names`: all templates of a few names in a single call."""
    # `replace`, not `format`: a name or a template may hold other braces
    prompts = [template.replace("{}", name) for template in templates for name in names]
    embed = F.normalize(encoder.encode_text(prompts).float().cpu(), dim=-1)
    embed = embed.unflatten(0, (len(templates), len(names))).mean(dim=0)  # T R D -> R D
    return F.normalize(embed, dim=-1)


def text_embed(
    encoder: TextEncoder, vocabulary: Vocabulary, *, cache_dir: Path | None, memory: TextMemory | None = None
) -> Float[Tensor, "R D"]:
    """Embeds all names of a vocabulary, one row per name as in `Vocabulary.row_names`.

    Embeddings are cached on disk by a hash of weights, templates and names, in order. A file that is damaged or does
    not fit is rebuilt with a warning; a folder that cannot be written only causes a warning.

    Args:
        encoder: the text tower.
        vocabulary: names and templates.
        cache_dir: folder of cached embeddings, such as `default_cache_dir()`; None caches nothing.
        memory: of names, which is asked first, and remembers what it has to be told.

    Returns:
        Unit rows; float32, on the CPU.

    Raises:
        ValueError: if the encoder gives no finite vectors.
    """
    names, templates = vocabulary.row_names(), vocabulary.templates
    embed_some = embed_names if memory is None else memory.embed
    if cache_dir is None or (memory is not None and not memory.unknown(encoder, names, templates)):
        return embed_some(encoder, names, templates)
    path, key = _place(cache_dir, "text", encoder, names, templates)
    embed = _load(path, key, len(names))
    if embed is None:
        parts = [names[start : start + PART] for start in range(0, len(names), PART)]
        embed, places, is_writable = _embed_parts(encoder, parts, templates, cache_dir, embed_some)
        if is_writable and _save(path, key, embed):
            for place in places:
                with suppress(OSError):
                    place.unlink()
    elif memory is not None:
        memory.add(encoder, names, templates, embed)
    return embed


def _embed_parts(
    encoder: TextEncoder,
    parts: list[tuple[str, ...]],
    templates: tuple[str, ...],
    cache_dir: Path,
    embed_some: Callable[[TextEncoder, tuple[str, ...], tuple[str, ...]], Float[Tensor, "R D"]],
) -> tuple[Float[Tensor, "R D"], list[Path], bool]:
    """Embeds the parts of a vocabulary, those that an earlier run has embedded excepted.

    Also returns their files, and whether these could be written.
    """
    if len(parts) == 1:
        return embed_some(encoder, parts[0], templates), [], True
    rows: list[Tensor] = []
    places: list[Path] = []
    number, done, encoded = sum(map(len, parts)), 0, 0
    began = told = time.monotonic()
    is_writable = True
    for names in parts:
        path, key = _place(cache_dir, "part", encoder, names, templates)
        embed = _load(path, key, len(names))
        if embed is None:
            embed = embed_some(encoder, names, templates)
            encoded += len(names)
            is_writable = is_writable and _save(path, key, embed)  # that it is not is told once
        rows.append(embed)
        places.append(path)
        done += len(names)
        if encoded and done < number and (now := time.monotonic()) - told >= NEWS:
            told, left = now, (now - began) / encoded * (number - done) / 60
            logger.warning("%s of %s names are embedded; about %d min left.", f"{done:,}", f"{number:,}", left + 1)
    return torch.cat(rows), places, is_writable


def _place(
    cache_dir: Path, what: str, encoder: TextEncoder, names: tuple[str, ...], templates: tuple[str, ...]
) -> tuple[Path, str]:
    """The file of some names, and the key that it is checked with."""
    content = json.dumps([_FORMAT, encoder.fingerprint, list(templates), list(names)])
    key = hashlib.sha256(content.encode()).hexdigest()
    return cache_dir / f"{what}-{key}.safetensors", key


def _checksum(key: str, embed: Float[Tensor, "R D"]) -> Tensor:
    """32 bytes over the key, the shape and every number."""
    digest = hashlib.sha256(f"{key} {tuple(embed.shape)}".encode())
    rows: Any = embed.contiguous().numpy()  # hashed in place: 21,000 names are 86 MB, and a copy as many again
    digest.update(rows)
    return torch.tensor(list(digest.digest()), dtype=torch.uint8)


def _load(path: Path, key: str, num_names: int) -> Float[Tensor, "R D"] | None:
    """Reads cached embeddings; None if there are none, or they are damaged or do not fit."""
    try:
        # the whole file at once: no later writer can change it under a memory map
        content = load(path.read_bytes())
        embed, checksum = content["text_embed"], content["checksum"]
    except FileNotFoundError:
        return None
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        logger.warning("the text cache file %s cannot be read and is rebuilt: %r", path, error)
        return None
    fits = embed.dtype == torch.float32 and embed.ndim == 2 and len(embed) == num_names
    fits = fits and checksum.dtype == torch.uint8
    if not fits or not torch.equal(checksum, _checksum(key, embed)):
        logger.warning("the text cache file %s is damaged and is rebuilt", path)
        return None
    return embed


def _save(path: Path, key: str, embed: Float[Tensor, "R D"]) -> bool:
    """Writes embeddings; False, with a warning, if they can't be written."""
    content = save({"text_embed": embed.contiguous(), "checksum": _checksum(key, embed)})
    try:
        write_atomically(path, content)
    except ValueError as error:
        logger.warning("text embeddings are not remembered: %s", error)
        return False
    return True

"""Encoded pictures by handles, as many as fit into a bound of bytes; the least recently used go first."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass

from torch import Tensor

from lexiseg.inference.encoded import EncodedImage
from lexiseg.models.crops import SeenCrops
from lexiseg.server.errors import RequestError

MOST_PICTURES = 2**14
"""However small they are."""
HANDLE = "^[0-9a-f]{32}$"
"""What a handle looks like: 128 random bits."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    """An encoded picture."""

    image: EncodedImage
    seconds: float
    """That the model looked at it."""


class Cache:
    """Pictures that were encoded, for further questions. Any number of threads may use it."""

    def __init__(self, most_bytes: int) -> None:
        """Begins empty.

        Args:
            most_bytes: of all pictures together: their pixels, mask logits, features.
        """
        self.most_bytes = most_bytes
        self.bytes = 0
        """That are taken."""
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, kept: Kept) -> str:
        """Keeps a picture, and forgets others for it.

        Returns:
            The handle.

        Raises:
            RequestError: if it does not fit even alone.
        """
        handle = secrets.token_hex(16)
        with self._lock:
            self._kept[handle] = kept
            self._measure(handle)
        return handle

    def get(self, handle: str) -> Kept:
        """A picture by its handle; it is now the one that was used last.

        Raises:
            RequestError: if it is not there, whether or not it ever was.
        """
        with self._lock:
            if handle not in self._kept:
                raise RequestError(410, "This picture is not kept any more: send it again.")
            self._kept.move_to_end(handle)
            return self._kept[handle]

    def measure(self, handle: str) -> None:
        """Counts a picture's bytes again, as some models remember crops of it with the first questions.

        Raises:
            RequestError: if it does not fit even alone any more.
        """
        with self._lock:
            if handle in self._kept:
                self._measure(handle)

    def _measure(self, handle: str) -> None:
        size = bytes_of(self._kept[handle].image)
        if size > self.most_bytes:
            self._drop(handle)
            raise RequestError(
                413,
                f"The picture takes {size:,} bytes once it is encoded, and the server keeps {self.most_bytes:,}: "
                "make it smaller.",
            )
        self.bytes += size - self._sizes.get(handle, 0)
        self._sizes[handle] = size
        self._kept.move_to_end(handle)
        while self.bytes > self.most_bytes or len(self) > MOST_PICTURES:
            self._drop(next(iter(self._kept)))

    def _drop(self, handle: str) -> None:
        del self._kept[handle]
        self.bytes -= self._sizes.pop(handle, 0)


def bytes_of(image: EncodedImage) -> int:
    """Bytes of an encoded picture: of its array and of every tensor that hangs on it, each storage once."""
    storages = [tensor.untyped_storage() for tensor in _held(image.encoded)]
    return image.picture.nbytes + sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def _held(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
        return
    parts: Iterable[object] = ()
    if isinstance(value, SeenCrops):
        parts = vars(value).values()
    elif is_dataclass(value):
        parts = (getattr(value, field.name) for field in fields(value))
    elif isinstance(value, tuple):
        parts = value
    for part in parts:
        yield from _held(part)

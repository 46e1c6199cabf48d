"""Pickles of numpy arrays, as detectron2's model zoo has them, read without running anything that they hold."""

import math
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

_TYPES: Mapping[str, torch.dtype] = {
    "f2": torch.float16,
    "f4": torch.float32,
    "f8": torch.float64,
    "i1": torch.int8,
    "i2": torch.int16,
    "i4": torch.int32,
    "i8": torch.int64,
    "u1": torch.uint8,
    "b1": torch.bool,
}
"""Array types by numpy's letters."""
_TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How files of old versions of torch.save begin, which are pickles too."""


def is_pickle_of_arrays(path: Path) -> bool:
    """Whether a file begins as a pickle does that `torch.save` has not written."""
    with path.open("rb") as file:
        start = file.read(len(_TORCH_MAGIC))
    return start[:1] == b"\x80" and start != _TORCH_MAGIC


def read_pickled_arrays(path: Path) -> dict[str, Tensor]:
    """Reads the arrays under "model", or at the top, by name; entries that are none are left out.

    Nothing of numpy's own is called: what a pickle says of an array is taken as plain data, and any other object that
    it asks for ends the reading.

    Raises:
        Exception: of many kinds, if the file is damaged or holds anything but arrays, texts, numbers and containers.
    """
    with path.open("rb") as file:
        content: Any = _ArrayUnpickler(file, encoding="latin1").load()
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not isinstance(content, Mapping):
        return {}
    return {str(key): value.tensor() for key, value in content.items() if isinstance(value, _Array)}


class _Type:
    """What a pickle says of an array's type."""

    __slots__ = ("code", "order")

    def __init__(self, code: object, align: object = False, copy: object = True) -> None:
        self.code, self.order = code, "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class _Array:
    """What a pickle says of an array."""

    __slots__ = ("state",)

    def __init__(self, kind: object, shape: object, letter: object) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def tensor(self) -> Tensor:
        """The array; raises ValueError unless its numbers are of a known type and as many as its shape says."""
        _, shape, kind, is_fortran, content = self.state
        if not isinstance(kind, _Type) or kind.code not in _TYPES or kind.order not in ("|", "<", "="):
            raise ValueError("an array holds no numbers")
        dtype, data = _TYPES[cast(str, kind.code)], content.encode("latin1") if isinstance(content, str) else content
        if not all(type(side) is int and side >= 0 for side in shape):
            raise ValueError("an array has no size")
        if not isinstance(data, bytes) or len(data) != math.prod(shape) * dtype.itemsize:
            raise ValueError("an array is cut off")
        if not data:
            return torch.empty(shape, dtype=dtype)
        flat = torch.frombuffer(bytearray(data), dtype=dtype)
        return flat.reshape(shape[::-1]).permute(*range(len(shape))[::-1]) if is_fortran else flat.reshape(shape)


class _Buffer(_Array):
    """What a pickle of protocol 5 says of an array."""

    __slots__ = ()

    def __init__(self, content: object, kind: object, shape: object, order: object) -> None:
        super().__init__(kind, shape, order)
        data = bytes(content) if isinstance(content, bytearray) else content
        self.state = (1, shape, kind, order == "F", data)


_ADMITTED: Mapping[tuple[str, str], type[Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _Buffer,
    ("numpy._core.numeric", "_frombuffer"): _Buffer,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
}
"""All that a pickle may name, and what stands in its place."""


# The unpickler in Python, whose table of objects grows with the file and not with the numbers that stand in it.
_Base: type[pickle.Unpickler] = getattr(pickle, "_Unpickler")  # noqa: B009


class _ArrayUnpickler(_Base):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (found := _ADMITTED.get((module_name, global_name))) is None:
            raise pickle.UnpicklingError(f"the file asks for {module_name}.{global_name}")
        return found

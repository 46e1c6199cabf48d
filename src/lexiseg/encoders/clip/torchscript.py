"""The tensors of a TorchScript archive, as OpenAI distributes its CLIPs, without the program beside them.

Such an archive is a zip: `data.pkl` describes a tree of modules, `data/N` are the bytes of storage N, and `code/` is
the program, which is never opened here. The pickle is read by an unpickler that knows how to describe a tensor and how
to hold a module's attributes, and refuses all else; no byte of a storage is read before its size is checked.
"""

import io
import math
import pickle
import pickletools
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lexiseg.core.messages import printable, shown
from lexiseg.core.weights import is_torchscript, read_tensors

_DTYPES: Mapping[str, torch.dtype] = {
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_LONGEST_PICKLE = 64 << 20  # OpenAI's have under half a megabyte
_OPCODES = re.compile(
    "PROTO|STOP|MARK|GLOBAL|REDUCE|BUILD|NEWOBJ|BINPERSID|BINPUT|LONG_BINPUT|BINGET|LONG_BINGET|NONE|NEWTRUE|NEWFALSE|"
    "BININT[12]?|LONG1|BINFLOAT|BINUNICODE|EMPTY_TUPLE|TUPLE[123]?|EMPTY_LIST|APPENDS?|EMPTY_DICT|SETITEMS?"
)
"""What TorchScript's own writer uses."""


def read_stored(path: Path) -> dict[str, Tensor]:
    """Reads the tensors of a checkpoint in any layout of `read_tensors`, or of a TorchScript archive.

    Raises:
        ValueError: if there is no such file, it can't be read safely, or it holds no tensors by name.
    """
    return read_torchscript(path) if path.is_file() and is_torchscript(path) else read_tensors(path)


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Reads parameters and buffers by the names that `state_dict` would give them; on the CPU, in their own types.

    Raises:
        ValueError: if the archive is damaged, holds more than tensors in modules, or claims more than is in it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path.stat().st_size)
    except Exception as error:  # whatever a hostile or broken file raises
        reason = str(error) if isinstance(error, _RefusedError) else "it is damaged or cut off"
        raise ValueError(
            f"cannot read the tensors of the TorchScript archive {printable(path)}: {reason}; download it again, or "
            "give a state dict."
        ) from error


class _RefusedError(Exception):
    """Why an archive is not read."""


@dataclass(frozen=True, slots=True)
class _Storage:
    dtype: torch.dtype
    key: str
    length: int


@dataclass(frozen=True, slots=True)
class _Described:
    """A tensor whose bytes have not been read."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _Module:
    """What the classes of the program are replaced with: places for attributes."""


def _describe(storage: object, offset: object, size: object, stride: object, *_: object) -> _Described:
    if not isinstance(storage, _Storage) or not isinstance(size, tuple) or not isinstance(stride, tuple):
        raise _RefusedError("it describes a tensor in an unknown way")
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or not all(type(number) is int and number >= 0 for number in numbers):
        raise _RefusedError("it describes a tensor of an impossible shape")
    assert isinstance(offset, int)
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if math.prod(size) > storage.length or (math.prod(size) and last >= storage.length):
        raise _RefusedError("it describes a tensor that is larger than its storage")
    return _Described(storage, offset, size, stride)


class _Unpickler(pickle.Unpickler):
    """Admits descriptions of tensors, and modules as mere places for attributes."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            return type("Module", (_Module,), {})  # made anew, as a pickle may set attributes of what it is given
        match module, name:
            case "torch._utils", "_rebuild_tensor_v2":
                return lambda *about: _describe(*about)
            case "collections", "OrderedDict":
                return OrderedDict
            case "torch.jit._pickle", _:  # typed lists and dicts of a program, which hold no weights
                return lambda *values: values
            case "torch", _ if name in _DTYPES:
                return _DTYPES[name]
        raise _RefusedError(f"it asks for {shown(f'{module}.{name}')}, which no tensor needs")

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", torch.dtype() as dtype, str() as key, _, int() as length) if length >= 0:
                return _Storage(dtype, key, length)
        raise _RefusedError("it describes a storage in an unknown way")


def _read(archive: zipfile.ZipFile, file_size: int) -> dict[str, Tensor]:
    members = {info.filename: info for info in archive.infolist()}
    root = next((name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl")), None)
    if root is None:
        raise _RefusedError("it holds no data.pkl")
    data = {name: info for name, info in members.items() if name.startswith(f"{root}data")}
    if sum(info.file_size for info in data.values()) > file_size:  # packed, or the same bytes listed twice
        raise _RefusedError("it claims to hold more bytes than the file has")
    if members[f"{root}data.pkl"].file_size > _LONGEST_PICKLE:
        raise _RefusedError("its description of the modules is too long")
    if f"{root}byteorder" in members and archive.read(f"{root}byteorder") != b"little":
        raise _RefusedError("its numbers are in another byte order")
    content = archive.read(f"{root}data.pkl")
    for opcode, argument, _ in pickletools.genops(content):
        is_too_far = opcode.name == "LONG_BINPUT" and int(argument or 0) > len(content)  # memory for what lies between
        if is_too_far or not _OPCODES.fullmatch(opcode.name):
            raise _RefusedError(f"it has the instruction {opcode.name}, which no writer of such archives uses")
    described = dict(_tensors(_Unpickler(io.BytesIO(content)).load()))
    return {name: _materialise(archive, f"{root}data/{one.storage.key}", one) for name, one in described.items()}


def _tensors(whole: object) -> Iterator[tuple[str, _Described]]:
    """The tensors of a tree of modules by name; every module is entered once, so that no cycle is followed."""
    waiting, entered = [("", whole)], set[int]()
    while waiting:
        prefix, module = waiting.pop()
        if not isinstance(module, _Module) or id(module) in entered:
            continue
        entered.add(id(module))
        for name, value in vars(module).items():
            if isinstance(value, _Described):
                yield f"{prefix}{name}", value
            else:
                waiting.append((f"{prefix}{name}.", value))


def _materialise(archive: zipfile.ZipFile, member: str, described: _Described) -> Tensor:
    storage = described.storage
    try:
        claimed = archive.getinfo(member).file_size
    except KeyError as error:
        raise _RefusedError(f"it lacks the storage {shown(storage.key)}") from error
    if claimed != storage.length * storage.dtype.itemsize:
        raise _RefusedError("it describes a storage of another size than it has")
    if not storage.length:
        return torch.empty(described.size, dtype=storage.dtype)
    flat = torch.frombuffer(bytearray(archive.read(member)), dtype=storage.dtype)
    return flat.as_strided(described.size, described.stride, described.offset)

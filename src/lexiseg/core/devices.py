"""Choosing the device that a model runs on, and what it computes in."""

import sys
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch

from lexiseg.core.errors import DeviceError

Precision = Literal["float32", "bf16", "fp16"]
"""What a network computes in, or what its weights are stored in."""
DTYPES: Mapping[Precision, torch.dtype] = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Their types in torch."""


def dtype_of(precision: Precision | None) -> torch.dtype | None:
    """Its type in torch; None, which leaves weights as they are, of None."""
    return None if precision is None else DTYPES[precision]


def has_bf16_units(device: str | torch.device) -> bool:
    """Whether a device multiplies bf16 in units of its own.

    A CPU without them takes two to fifteen times as long in bf16 as in float32. Other devices are taken to have them.
    """
    # torch asks the CPU, but tells in private alone; versions that do not are taken at their default, bf16.
    told = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return torch.device(device).type != "cpu" or told is None or told()


def computing(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """What a network runs under to compute in a precision, compiled or not; float32 changes nothing.

    Matrix products and convolutions alone are in half precision (torch.autocast). What loses too much there, or gives
    NaN, stays in float32: cosines to words, and the sampling of deformable attention, where grid_sample of half
    precision reads past its input on a CPU.

    Raises:
        DeviceError: if the device has no use for the precision: fp16 on a CPU, where it overflows and saves no time;
            inside, if a compiled network can't be compiled on this machine.
    """
    if precision == "float32":
        return _compiling(nullcontext())
    if precision == "fp16" and device.type == "cpu":
        raise DeviceError("fp16 is computed on a GPU only, and this is a CPU; take bf16 or float32 as precision.")
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise DeviceError("this GPU has no bf16; take fp16 or float32 as precision.")
    return _compiling(torch.autocast(device.type, DTYPES[precision]))


@contextmanager
def _compiling(around: AbstractContextManager[object]) -> Generator[None, None, None]:
    """Says in a sentence what torch.compile says in pages."""
    try:
        with around:
            yield
    except RuntimeError as error:
        compiler = sys.modules.get("torch._dynamo.exc")
        if compiler is None or not isinstance(error, compiler.TorchDynamoException):
            raise
        reason = " ".join(str(error).split("\n")[:2])  # the backend's name, then what it says
        raise DeviceError(
            f"torch.compile failed ({reason}): it needs a C++ compiler on a CPU, and triton on a GPU; "
            "install that, or leave compile out."
        ) from error


def choose_device(name: str) -> torch.device:
    """The torch device of a name.

    Args:
        name: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", "mps" ...

    Raises:
        DeviceError: if torch does not know it, or this machine does not have it.
    """
    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"expected auto, cpu, cuda or mps as device, got {name!r}.") from error
    is_there = {
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": has_mps,
    }.get(device.type, True)
    if not is_there:
        raise DeviceError(f"this machine has no {name} that torch can use; take auto or cpu as device.")
    return device

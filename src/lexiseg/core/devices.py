"""Choosing the device that a model runs on."""

import torch

from lexiseg.core.errors import DeviceError


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

"""Reading safetensors; checking weights against a network, and loading them into a part of one."""

from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lexiseg.core.messages import few


def read_safetensors(path: Path, error: ValueError) -> dict[str, Tensor]:
    """The tensors of a .safetensors file by name, on the CPU.

    Args:
        path: the file.
        error: raised if it is missing, damaged or no safetensors file.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError) as cause:
        raise error from cause


def _never(_: str) -> bool:
    return False


def weight_complaint(
    found: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    *,
    is_optional: Callable[[str], object] = _never,
    is_ignored: Callable[[str], object] = _never,
) -> str:
    """Says why weights don't fit, such as "lacks a and holds the unknown b, c"; empty if they do.

    Args:
        found: the weights by name.
        expected: tensors of the right shapes by name; the meta device suffices.
        is_optional: whether a name may be missing.
        is_ignored: whether an unexpected name is allowed.
    """
    complaints = {
        "lacks": [name for name in expected if name not in found and not is_optional(name)],
        "holds the unknown": [name for name in found if name not in expected and not is_ignored(name)],
        "has another shape in": [
            f"{name} {list(found[name].shape)} instead of {list(tensor.shape)}"
            for name, tensor in expected.items()
            if name in found and found[name].shape != tensor.shape
        ],
    }
    return ", and ".join(f"{verb} {few(names)}" for verb, names in complaints.items() if names)


def load_part(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Loads weights by name into a module; what has no weights among them stays as it is.

    Raises:
        RuntimeError: if the module lacks one of the names, or has another shape there.
    """
    module.load_state_dict({**module.state_dict(), **weights})

"""Weights held against what a network needs: which are missing, unknown or of another shape."""

from collections.abc import Callable, Mapping

from torch import Tensor

from lexiseg.core.messages import few


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
        found: the weights.
        expected: tensors of the right shapes by name; the meta device suffices.
        is_optional: whether a name may be missing.
        is_ignored: whether a name that is not expected may be there.
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

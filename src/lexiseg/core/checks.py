"""Checks that several modules share: ranges of settings, and sizes of what lies on one another."""

from collections.abc import Sequence
from typing import Any, get_args

from lexiseg.core.errors import FormatError


def check_fractions(config: object, *names: str) -> None:
    """Checks fields that must lie in [0, 1]; None is skipped.

    Raises:
        ValueError: naming the first field that does not.
    """
    for name in names:
        value = getattr(config, name)
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f"{name} must lie in [0, 1], got {value}.")


def check_choices(config: object, **kinds: Any) -> None:
    """Checks fields that must have one of the values of a `Literal`.

    Args:
        config: has the fields.
        kinds: the `Literal` of each field.

    Raises:
        ValueError: naming the first field that has another value.
    """
    for name, kind in kinds.items():
        if getattr(config, name) not in get_args(kind):
            raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}, got {getattr(config, name)!r}.")


def check_multiples(config: object, **factors: str | int) -> None:
    """Checks fields that must be positive multiples of a number or of another field.

    Args:
        config: has the fields.
        factors: for each field the number, or the name of the other field.

    Raises:
        ValueError: naming the first field that is not.
    """
    for name, factor in factors.items():
        value, part = getattr(config, name), getattr(config, factor) if isinstance(factor, str) else factor
        if value < 1 or part < 1 or value % part:
            got = f"{value} and {part}" if isinstance(factor, str) else f"{value}"
            raise ValueError(f"{name} must be a multiple of {factor}, got {got}.")


def check_size(whole: str, expected: Sequence[int], part: str, found: Sequence[int]) -> None:
    """Refuses what lies pixel by pixel on something else, and is not of its size.

    Args:
        whole: what has the right size, with its article; the sentence begins with it.
        expected: its height, its width and whatever follows in its shape.
        part: what must be of that size.
        found: its height, its width and whatever follows.

    Raises:
        FormatError: naming both sizes, width first.
    """
    if tuple(expected[:2]) != tuple(found[:2]):
        raise FormatError(
            f"{whole} is {expected[1]} x {expected[0]} pixels, {part} {found[1]} x {found[0]}: bring both to the "
            "picture's own pixels."
        )

"""Configurations as JSON: dataclasses to plain data, and back with type checks."""

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from lexiseg.core.errors import ModelError
from lexiseg.core.messages import few

ConfigT = TypeVar("ConfigT")

_SCALARS: Mapping[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def to_jsonable(config: Any) -> Any:
    """Turns a configuration into dicts, lists, numbers, texts and None.

    Raises:
        ModelError: if it holds something that JSON can't say, such as infinity or an object.
    """
    return _to_jsonable(config, "config")


def from_jsonable(cls: type[ConfigT], doc: object, *, source: str = "config.json") -> ConfigT:
    """Builds a configuration from plain data; the inverse of `to_jsonable`.

    Fields may be numbers, texts, booleans, `Literal`, `None`, unions of these, `tuple`, `list`,
    `dict` with text keys, and dataclasses of such fields. A whole number may stand for a `float`;
    nothing else is converted. A field with a default may be missing, so that a folder outlives the
    fields that are added later.

    Args:
        cls: the dataclass to build.
        doc: what `json.loads` gave.
        source: where `doc` comes from, for messages.

    Raises:
        ModelError: naming the field, if one is unknown, missing, of a wrong type, or refused by the
            dataclass.
    """
    return _from_jsonable(cls, doc, _Place(source, ()))


class _Place(NamedTuple):
    """The document and the path in it of a value."""

    source: str
    path: tuple[str, ...]

    def inside(self, key: str) -> "_Place":
        return _Place(self.source, (*self.path, key))

    def error(self, complaint: str) -> ModelError:
        field = f"{'.'.join(self.path)} " if self.path else ""
        return ModelError(f"{self.source}: {field}{complaint}")


def _to_jsonable(value: Any, path: str) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _to_jsonable(getattr(value, field.name), f"{path}.{field.name}")
            for field in fields(value)
            if field.init and (getattr(value, field.name) or not field.metadata.get("leave_out_empty"))
        }
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ModelError(f"{path} has the key {key!r}, but JSON allows only texts as keys.")
        return {key: _to_jsonable(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_to_jsonable(item, f"{path}.{index}") for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ModelError(f"{path} is {value}, which JSON can't hold; use a finite number or None.")
    if isinstance(value, float):
        return value
    raise ModelError(f"{path} is of type {type(value).__name__}, which can't be saved; use numbers, texts or tuples.")


def _from_jsonable(kind: Any, value: Any, place: _Place) -> Any:
    if kind is Any or kind is object:
        return value
    if is_dataclass(kind):
        return _from_dict(kind, value, place)
    if kind in _SCALARS:
        return _scalar(kind, value, place)
    if kind is None or kind is types.NoneType:
        if value is not None:
            raise place.error(f"must be null, got {_shown(value)}.")
        return None
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        # A Literal[1] must not take true, which Python holds to be equal to 1.
        if not any(value == choice and type(value) is type(choice) for choice in arguments):
            choices = ", ".join(repr(choice) for choice in arguments)
            raise place.error(f"must be one of {choices}, got {_shown(value)}.")
        return value
    if origin is Union or origin is types.UnionType:
        return _union(arguments, value, place)
    if kind in (tuple, list) or origin in (tuple, list):
        return _sequence(origin or kind, arguments, value, place)
    if kind is dict or origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise place.error(f"must be an object, got {_shown(value)}.")
        item_kind = arguments[1] if arguments else Any
        return {key: _from_jsonable(item_kind, item, place.inside(key)) for key, item in value.items()}
    raise TypeError(f"{'.'.join(place.path)} is annotated as {kind}, which no configuration can hold.")


def _from_dict(cls: Any, value: Any, place: _Place) -> Any:
    if not isinstance(value, dict):
        raise place.error(f"must be an object with named fields, got {_shown(value)}.")
    known = {field.name: field for field in fields(cls) if field.init}
    unknown = sorted(str(key) for key in value if key not in known)
    if unknown:
        raise place.error(f"has unknown fields ({few(unknown)}); known are {', '.join(known)}.")
    missing = [name for name, field in known.items() if name not in value and _required(field)]
    if missing:
        raise place.error(f"lacks fields ({few(missing)}); add them.")
    kinds = get_type_hints(cls)
    arguments = {key: _from_jsonable(kinds[key], value[key], place.inside(key)) for key in value}
    try:
        return cls(**arguments)
    except ModelError:
        raise
    except ValueError as error:
        raise place.error(f"is refused: {error}") from error


def _scalar(kind: type, value: Any, place: _Place) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:  # exactly: a bool is an int to Python, but not to a person
        raise place.error(f"must be {_SCALARS[kind]}, got {_shown(value)}.")
    if kind is float and not math.isfinite(value):
        raise place.error(f"must be a finite number, got {value}.")
    return value


def _union(arms: tuple[Any, ...], value: Any, place: _Place) -> Any:
    if value is None and types.NoneType in arms:
        return None
    others = [arm for arm in arms if arm is not types.NoneType]
    if isinstance(value, dict) and (nearest := _nearest(others, value)) is not None:
        return _from_dict(nearest, value, place)
    complaints: list[ModelError] = []
    for arm in others:
        try:
            return _from_jsonable(arm, value, place)
        except ModelError as error:
            complaints.append(error)
    if len(complaints) == 1:
        raise complaints[0]
    names = ", ".join(getattr(arm, "__name__", str(arm)) for arm in others)
    raise place.error(f"fits none of {names}, got {_shown(value)}.")


def _nearest(arms: list[Any], value: Mapping[str, Any]) -> Any | None:
    """The dataclass that alone knows most of an object's keys, so that a complaint is about that one."""
    known = {arm: sum(field.name in value for field in fields(arm)) for arm in arms if is_dataclass(arm)}
    best = [arm for arm, count in known.items() if count == max(known.values()) > 0]
    return best[0] if len(best) == 1 else None


def _sequence(kind: type, arguments: tuple[Any, ...], value: Any, place: _Place) -> Any:
    if not isinstance(value, list):
        raise place.error(f"must be a list, got {_shown(value)}.")
    if kind is list or not arguments or arguments[-1] is Ellipsis:
        kinds = [arguments[0] if arguments else Any] * len(value)
    else:
        kinds = list(arguments)
        if len(kinds) != len(value):
            raise place.error(f"must be a list of {len(kinds)}, got {len(value)} entries.")
    return kind(
        _from_jsonable(item_kind, item, place.inside(str(index)))
        for index, (item_kind, item) in enumerate(zip(kinds, value, strict=True))
    )


def _required(field: "Field[Any]") -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

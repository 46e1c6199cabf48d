import json
from dataclasses import dataclass, replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexiseg.core.errors import ModelError
from lexiseg.io.config_json import from_jsonable, to_jsonable


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    width: int
    kind: Literal["swin", "resnet"] = "swin"
    depths: tuple[int, ...] = (2, 2)

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width must be positive, got {self.width}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    part: Part
    other: Part | None = None
    scale: float = 1.0
    names: tuple[str, ...] = ()
    size: tuple[int, int] = (1, 2)
    frozen: bool = True
    limit: int | None = None
    pairs: tuple[tuple[str, float], ...] = ()
    table: dict[str, int] | None = None
    either: int | str = 0


@given(
    width=st.integers(1, 10**9),
    scale=st.floats(allow_nan=False, allow_infinity=False),
    names=st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=5), max_size=3),
    limit=st.none() | st.integers(),
    other=st.booleans(),
    either=st.integers() | st.text(max_size=3),
)
def test_json_and_back_is_the_identity(
    width: int, scale: float, names: list[str], limit: int | None, other: bool, either: int | str
) -> None:
    config = Whole(
        part=Part(width=width, kind="resnet", depths=()),
        other=Part(width=1) if other else None,
        scale=scale,
        names=tuple(names),
        limit=limit,
        pairs=tuple((name, scale) for name in names),
        table=dict.fromkeys(names, 3),
        either=either,
    )

    assert from_jsonable(Whole, json.loads(json.dumps(to_jsonable(config)))) == config


def test_fields_with_a_default_may_be_missing_and_integers_may_be_floats() -> None:
    config = from_jsonable(Whole, {"part": {"width": 3}, "scale": 2})

    assert config == replace(Whole(part=Part(width=3)), scale=2.0)
    assert type(config.scale) is float


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"part": {}}, r"part lacks fields \(width\)"),
        ({"part": {"width": 3, "widht": 4}}, r"part has unknown fields \(widht\); known are width"),
        ({"part": {"width": "3"}}, r"part\.width must be a whole number, got '3'"),
        ({"part": {"width": True}}, r"part\.width must be a whole number, got True"),
        ({"part": {"width": 3.0}}, r"part\.width must be a whole number"),
        ({"part": {"width": 0}}, r"part is refused: width must be positive"),
        ({"part": {"width": 3, "kind": "vit"}}, r"part\.kind must be one of 'swin', 'resnet'"),
        ({"part": {"width": 3, "depths": [1, "x"]}}, r"part\.depths\.1 must be a whole number"),
        ({"part": None}, r"part must be an object with named fields, got None"),
        ({"other": {"width": []}}, r"other\.width must be a whole number"),
        ({"scale": float("nan")}, r"scale must be a finite number"),
        ({"scale": None}, r"scale must be a number, got None"),
        ({"names": "cat"}, r"names must be a list, got 'cat'"),
        ({"size": [1]}, r"size must be a list of 2, got 1 entries"),
        ({"frozen": 1}, r"frozen must be true or false"),
        ({"pairs": [["a"]]}, r"pairs\.0 must be a list of 2"),
        ({"table": [1]}, r"table must be an object"),
        ({"either": 1.5}, r"either fits none of int, str, got 1\.5"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=f"^here: {message}"):
        from_jsonable(Whole, {"part": {"width": 3}} | change, source="here")


def test_a_document_that_is_no_object_is_refused() -> None:
    with pytest.raises(ModelError, match="must be an object"):
        from_jsonable(Whole, [1, 2])


@pytest.mark.parametrize("value", [float("inf"), object(), {1: 2}, {"deep": [object()]}])
def test_what_json_cannot_hold_is_refused_when_saving(value: object) -> None:
    with pytest.raises(ModelError, match="config"):
        to_jsonable({"field": value})

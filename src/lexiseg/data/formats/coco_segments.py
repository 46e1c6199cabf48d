"""The segments of a picture as COCO panoptic format lists them, checked where they stand, and made when asked for."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from lexiseg.core.errors import FormatError
from lexiseg.data.dataset import Category, SegmentInfo
from lexiseg.data.formats.layouts import Remarks, to_flag

BOX = 4
"""Numbers of a box: its left and upper side, its width and height."""
MOST_AREA = 2**31
"""More pixels than a picture has."""
MEASURED = "segments without a number for their area: {n}, first {first}; it is counted in the map."
BOXLESS = "segments without four numbers for their box: {n}, first {first}; it counts as empty."
TEXT = "segments with numbers or flags written as text: {n}, first {first}; they are read as what they say."
PLACES = (
    "segments with a label_id, as transformers writes it, and no category_id: {n}, first {first}; it is taken for the "
    "place of a category in the list of all, from 0."
)


class ListedSegments(Sequence[SegmentInfo]):
    """Segments as a JSON lists them, each made when it is asked for, as there are millions of them."""

    __slots__ = ("entries",)

    def __init__(self, entries: Sequence[Mapping[str, Any]]) -> None:
        self.entries = entries

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, place: Any) -> Any:
        return (
            tuple(map(_to_segment, self.entries[place]))
            if isinstance(place, slice)
            else _to_segment(self.entries[place])
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


def column(segments: Sequence[SegmentInfo], key: Literal["id", "category_id", "is_crowd"]) -> list[int]:
    """One field of every segment; of listed ones without making them."""
    if isinstance(segments, ListedSegments):
        if key == "is_crowd":
            return [entry.get("iscrowd", 0) for entry in segments.entries]
        return [entry[key] for entry in segments.entries]
    return [getattr(segment, key) for segment in segments]


def listed_segments(
    entries: Sequence[Any], name: str, categories: Sequence[Category], remarks: Remarks
) -> Sequence[SegmentInfo]:
    """The segments of a picture."""
    if all(map(_is_plain, entries)):
        return ListedSegments(entries)
    return ListedSegments([one if _is_plain(one) else _mended(one, name, categories, remarks) for one in entries])


def _is_plain(one: Any) -> bool:
    """Whether a segment is as COCO has it, so that nothing need be said; quick, as there are millions."""
    try:
        return (
            type(one["id"]) is int
            and type(one["category_id"]) is int
            and 0 <= one["area"] <= MOST_AREA
            and one.get("iscrowd", 0) in (0, 1)
            and len(one["bbox"]) == BOX
            and math.isfinite(sum(one["bbox"]))
        )
    except (KeyError, TypeError, AttributeError, OverflowError):
        return False


def _mended(one: Any, name: str, categories: Sequence[Category], remarks: Remarks) -> Mapping[str, Any]:
    """A segment as COCO has it, of one that is not; remarks on what it did.

    Raises:
        FormatError: naming picture and segment, if it can't be used.
    """
    entry: Mapping[str, Any] = one if isinstance(one, Mapping) else {}
    where = f"{name}, segment {entry.get('id')}"
    try:
        if "category_id" not in entry and "label_id" in entry:
            place = _whole(entry["label_id"])
            if not 0 <= place < len(categories):
                raise ValueError(f"its label_id {place} is no place among the {len(categories)} categories")
            remarks.add(PLACES, where)
            entry = {**entry, "category_id": categories[place].id}
        if missing := [key for key in ("id", "category_id") if key not in entry]:
            raise ValueError(f"it has no '{missing[0]}'")
        if any(isinstance(entry.get(key), str) for key in ("id", "category_id", "area", "iscrowd")):
            remarks.add(TEXT, where)
        if (area := _rounded(entry.get("area"))) is None or not 0 <= area <= MOST_AREA:
            remarks.add(MEASURED, where)
            area = 0
        sides = box if isinstance(box := entry.get("bbox"), list) and len(box) == BOX else [None]
        if None in (box := list(map(_rounded, sides))):
            remarks.add(BOXLESS, where)
            box = [0] * BOX
        return {
            "id": _whole(entry["id"]),
            "category_id": _whole(entry["category_id"]),
            "area": area,
            "bbox": box,
            "iscrowd": to_flag(entry.get("iscrowd")),
        }
    except (TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"{where}: {error}.") from error


def _rounded(written: Any) -> int | None:
    """A number towards 0, also where it is written as text; None of what is no number."""
    try:
        return int(float(written))
    except (TypeError, ValueError, OverflowError):
        return None


def _whole(written: Any) -> int:
    if isinstance(written, float) and not written.is_integer():
        raise ValueError(f"{written} is no whole number")
    return int(written)


def _to_segment(entry: Mapping[str, Any]) -> SegmentInfo:
    x, y, width, height = entry["bbox"]
    return SegmentInfo(
        id=entry["id"],
        category_id=entry["category_id"],
        area=int(entry["area"]),
        box=(int(x), int(y), int(width), int(height)),
        is_crowd=bool(entry.get("iscrowd", 0)),
    )

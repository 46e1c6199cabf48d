"""Captions from files: COCO's JSON, the drawn world's own, tab-separated lines, or JSON lines."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from lexiseg.core.errors import FormatError
from lexiseg.core.files import read_json, read_text
from lexiseg.core.messages import shown
from lexiseg.data.formats.coco_captions import coco_captions

Captions = Mapping[str, tuple[str, ...]]
"""The captions of a picture, by its file name."""

FORMS = (
    "COCO's captions (.json), a panoptic.json whose images have captions, lines of a file name, a tab and a caption "
    '(.tsv), or lines such as {"file_name": "1.jpg", "captions": ["a cat"]} (.jsonl)'
)
HEADING = ("filepath", "title")
"""First line of the tab-separated files that OVSeg trains from; it may be missing."""


def read_captions(path: Path) -> Captions:
    """Reads captions in the form that the file's end names; those of one picture keep their order.

    Raises:
        FormatError: naming the line or key, if the file can't be read or is in none of the forms.
    """
    readers = {".json": _pairs_of_json, ".jsonl": _pairs_of_json_lines, ".tsv": _pairs_of_lines}
    if path.suffix.lower() not in readers:
        raise FormatError(f"{path}: expected {FORMS}.")
    captions: dict[str, list[str]] = defaultdict(list)
    for name, caption in readers[path.suffix.lower()](path):
        captions[name].append(caption)
    if not captions:
        raise FormatError(f"{path}: there are no captions.")
    return {name: tuple(texts) for name, texts in captions.items()}


def captions_of(file_names: Sequence[str], captions: Captions) -> tuple[tuple[str, ...], ...]:
    """The captions of each picture of a data set; none where the file has none.

    A picture has the captions of its own name, else of the one that ends as its does or as whose its ends: "1.jpg" is
    "train/1.jpg", and "val/1.jpg" is not.

    Raises:
        ValueError: if no picture has a caption, or names are too short to tell whose captions they are.
    """
    whole = captions.keys() & set(file_names)
    by_last: dict[str, list[str]] = defaultdict(list)
    for name in captions:
        by_last[PurePosixPath(name).name].append(name)
    pictures = Counter(PurePosixPath(name).name for name in file_names)
    found: list[tuple[str, ...]] = []
    for name in file_names:
        last = PurePosixPath(name).name
        alike = [other for other in by_last[last] if other not in whole and _is_end(name, other)]
        if name not in whole and alike and (pictures[last] > 1 or len(by_last[last]) > 1):
            raise ValueError(
                f"the captions of {shown(alike[0])} could be those of {shown(name)} or of another picture: give "
                "captions under the data set's own file names."
            )
        found.append(captions[name] if name in whole else captions[alike[0]] if alike else ())
    if not any(found):
        ours, theirs = file_names[0] if file_names else "", next(iter(captions), "")
        raise ValueError(
            f"no picture has a caption: the data set's are named like {shown(ours)}, the captions' like "
            f"{shown(theirs)}; give the captions of these pictures."
        )
    return tuple(found)


def _is_end(name: str, other: str) -> bool:
    """Whether one path is the end of the other."""
    short, long = sorted((PurePosixPath(name).parts, PurePosixPath(other).parts), key=len)
    return long[len(long) - len(short) :] == short


def _pairs_of_json(path: Path) -> Iterator[tuple[str, str]]:
    content = read_json(path)
    images = content.get("images") if isinstance(content, Mapping) else None
    if isinstance(images, list) and any(isinstance(image, Mapping) and "captions" in image for image in images):
        for number, image in enumerate(images, start=1):
            yield from _pairs_of_entry(image, f"{path}: entry {number} of its images")
        return
    for _, name, texts in coco_captions(path):
        yield from ((name, text) for text in texts)


def _pairs_of_json_lines(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in _lines(path):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{path}: line {number} is no JSON ({error}).") from error
        yield from _pairs_of_entry(entry, f"{path}: line {number}")


def _pairs_of_lines(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in _lines(path):
        name, tab, caption = line.partition("\t")
        name, caption = name.strip(), caption.strip()
        if number == 1 and (name, caption) == HEADING:
            continue
        if not tab:
            raise FormatError(f"{path}: line {number} has no tab; expected a file name, a tab and a caption.")
        yield name, caption


def _pairs_of_entry(entry: Any, where: str) -> Iterator[tuple[str, str]]:
    """One picture with `captions`, a list of texts, or `caption`, a text."""
    content = entry if isinstance(entry, Mapping) else {}
    name = content.get("file_name")
    texts = content.get("captions", [content["caption"]] if "caption" in content else None)
    if not isinstance(name, str) or not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise FormatError(f'{where} must hold a "file_name" and "captions", a list of texts, got {shown(entry, 60)}.')
    yield from ((name, text.strip()) for text in texts)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, numbered from 1."""
    lines = enumerate(read_text(path).split("\n"), start=1)  # splitlines() cuts at marks that a caption may hold
    yield from ((number, line.strip("\r")) for number, line in lines if line.strip())

"""What a result format is: files per picture, and documents that speak of all pictures."""

import base64
import functools
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from lexiseg.core.picture_files import VIDEO_SUFFIXES
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Category
from lexiseg.data.formats.coco_panoptic import category_entry, image_entry
from lexiseg.inference.palette import LARGEST_PALETTE, RGB, name_colours
from lexiseg.inference.result import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Categories:
    """What is listed in COCO files: categories by name, and ids of pictures where a truth has given them."""

    numbers: Mapping[tuple[str, bool], int]
    """Category ids by name and whether it is a thing, in the order of the words."""
    listed: tuple[Category, ...] = ()
    """The JSON's `categories`, where they are a truth's: those of `numbers` if not given."""
    pictures: Mapping[str, int | str] | None = None
    """Ids of pictures by the names with which they are added; from 1 if not given."""

    @staticmethod
    def of(*vocabularies: Vocabulary) -> "Categories":
        """Numbers the concepts of one or more vocabularies in their order from 1; equal ones share a number."""
        kinds = ((name, c.is_thing) for v in vocabularies for name, c in zip(v.names, v.concepts, strict=True))
        keys = dict.fromkeys(kinds)
        return Categories(numbers={key: number for number, key in enumerate(keys, start=1)})

    @property
    def words(self) -> tuple[str, ...]:
        """The names in the order of the words."""
        return tuple(name for name, _ in self.numbers)

    def to_coco(self) -> list[dict[str, Any]]:
        """Returns the JSON's list of categories."""
        numbered = (Category(id=id, name=name, is_thing=is_thing) for (name, is_thing), id in self.numbers.items())
        return [category_entry(category) for category in self.listed or numbered]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedResult:
    """The result of one picture, and what it is called in files."""

    result: Result
    stem: str
    """Of the files' names, unique among the pictures."""
    picture: str
    """The picture's name in documents."""
    categories: Categories
    map_name: str
    """Of the id PNG, with the ending."""
    path: str | None = None
    """Where the picture lies, wherever a run starts."""
    overlay: Image.Image | None = None
    """A drawing in the place of the usual one."""

    def image(self) -> dict[str, Any]:
        """The picture, as COCO files list it; its id is 0 until all are known."""
        height, width = self.result.segmentation.shape
        return image_entry(0, self.picture, height, width) | ({} if self.path is None else {"path": self.path})


def name_of_picture(result: Result, otherwise: str) -> str:
    """What documents call a result's picture: its file as it was given, what a video's frame is called, or else."""
    if result.source is None or result.source.suffix.lower() in VIDEO_SUFFIXES:
        return result.called or otherwise
    return str(result.source)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedPicture:
    """What documents may say of a picture whose own files are written; plain data alone."""

    name: str
    """Of its id PNG, also where that is not asked for."""
    image: dict[str, Any]
    """As COCO files list it."""
    entries: dict[str, Any]
    """What each format says of it, by the formats' names."""
    files: tuple[str, ...]
    """Its own files, in folders or not; the first shows whether they are there still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All pictures of a result, as documents speak of them."""

    categories: Categories
    pictures: Callable[[], Iterator[FinishedPicture]]
    """Reads them once more, whenever it is called: no list of them is made."""
    question: Mapping[str, Any] | None = None
    """What was asked: plain data."""


Document = Callable[[Run], Iterable[str]]
"""The text of a document, piece by piece."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A form that results can have."""

    says: str
    """What is written, in one sentence."""
    files: Callable[[NamedResult], Mapping[str, bytes]] = lambda named: {}
    """A picture's own files."""
    entry: Callable[[NamedResult], Any] = lambda named: None
    """What the documents say of a picture: plain data."""
    documents: Mapping[str, Document] = field(default_factory=dict)
    """The files that speak of all pictures."""


def json_list(items: Iterable[Any]) -> Iterator[str]:
    """The text of a JSON list, an item at a time."""
    gap = "["
    for item in items:
        yield gap + json.dumps(item)
        gap = ", "
    yield "[]" if gap == "[" else "]"


def coco_json(run: Run, annotations: Iterable[Mapping[str, Any]], categories: list[dict[str, Any]]) -> Iterator[str]:
    """The text of a COCO file: what was asked, if it is known, the pictures, the annotations and the categories."""
    yield "{" if run.question is None else f'{{"info": {json.dumps(run.question)}, '
    yield '"images": '
    yield from json_list(picture.image for picture in run.pictures())
    yield ', "annotations": '
    yield from json_list(annotations)
    yield f', "categories": {json.dumps(categories)}}}'


def encoded(picture: Image.Image, form: str = "PNG", **settings: Any) -> bytes:
    """The bytes of a picture's file."""
    file = io.BytesIO()
    picture.save(file, format=form, **settings)
    return file.getvalue()


def data_address(picture: Image.Image, form: str = "PNG", **settings: Any) -> str:
    """A picture's file as an address that holds it whole, for pages and documents that stand alone."""
    return f"data:image/{form.lower()};base64,{base64.b64encode(encoded(picture, form, **settings)).decode('ascii')}"


@functools.lru_cache(8)
def word_colours(words: tuple[str, ...]) -> tuple[RGB, ...]:
    """The colour that each word has in drawings, where no other word of a picture looks the same."""
    among = words if len(words) <= LARGEST_PALETTE else ()
    return tuple(name_colours([word], among)[word] for word in words)


def hexadecimal(colour: RGB) -> str:
    """A colour as pages write it."""
    return "#{:02x}{:02x}{:02x}".format(*colour)

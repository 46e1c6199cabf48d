"""Writing results: overlays, id PNGs and one COCO panoptic JSON, which never speaks of half of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from PIL import Image

from lexiseg.core.errors import FormatError
from lexiseg.core.files import STAGED, StagingFolder, read_json_object, read_text, real, writing
from lexiseg.core.messages import few, printable
from lexiseg.core.picture_files import OVERLAY_MARK
from lexiseg.core.structures import Guess, PanopticMap
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Category, SegmentInfo
from lexiseg.data.formats.coco_panoptic import annotation_entry, category_entry, image_entry
from lexiseg.data.id_maps import save_ids

DOCUMENT = "panoptic.json"
_FINISHED = "finished.jsonl"
"""In a hidden folder: what was asked, then a line for every picture whose files are there."""

Entry = tuple[dict[str, Any], dict[str, Any]]
"""What the JSON says of a picture: its image and its annotation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Categories:
    """What is listed in COCO files: categories by name, and ids of pictures where a truth has given them."""

    numbers: Mapping[tuple[str, bool], int]
    """Category ids by name and whether it is a thing."""
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

    def to_coco(self) -> list[dict[str, Any]]:
        """The JSON's `categories`."""
        numbered = (Category(id=i, name=name, is_thing=thing) for (name, thing), i in self.numbers.items())
        return [category_entry(category) for category in self.listed or numbered]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a run is to answer; answers to one question add up in a folder, those to two are never mixed."""

    question: Mapping[str, Any]
    """Plain data that decide every answer: model, words, settings."""
    pictures: Mapping[str, str]
    """Absolute real paths of pictures, or names that are the same wherever a run starts, by names of their maps."""
    resume: bool | None = False
    """Whether pictures that the question was answered for are left as they are, also by a run that was killed; None
    where no run ever resumes."""


class ResultWriter:
    """Writes the results of any number of pictures into one folder.

    Files are written to a hidden folder inside it and moved at the end, the JSON last. A failure, or Ctrl-C, leaves
    nothing behind; with a request it leaves what is finished, and a process that is killed, or can't close, leaves it
    for a run that resumes. Files of an earlier run with the same names are replaced; other files are not touched.

    Usage: `with ResultWriter(folder, categories) as writer: writer.add(...)`.
    """

    def __init__(
        self, folder: Path, categories: Categories, *, document: str = DOCUMENT, request: Request | None = None
    ) -> None:
        """Makes the folder.

        Raises:
            ValueError: if it can't be written, another run answers another question in it, or it holds answers to
                another question, or of another picture under the same name, that would not all be replaced.
        """
        self.folder = folder
        self._categories = categories
        self._document = document
        self._request = request
        self._names: list[str] = []
        self._entries: list[Entry] = []
        self._kept, self._stale = ([], []) if request is None else _earlier(folder, document, request)
        with writing(folder, ValueError, ValueError):  # a name with a null byte is a ValueError
            self._staging = StagingFolder(folder, inherit=self._inherit)
        try:
            with writing(folder, ValueError):
                self._log(self._staging.path)
            self._check_alone()
        except BaseException:
            self._staging.discard()
            raise

    @property
    def finished(self) -> frozenset[str]:
        """Names of the maps that are there already; none without `resume`."""
        if self._request is None or not self._request.resume:
            return frozenset()
        return frozenset(annotation["file_name"] for _, annotation in (*self._kept, *self._entries))

    def add(
        self,
        panoptic: PanopticMap,
        *,
        stem: str,
        overlay: Image.Image,
        picture_name: str,
        map_name: str | None = None,
        with_paths: bool = False,
    ) -> tuple[Path, Path]:
        """Writes the overlay and the map of one picture.

        Args:
            panoptic: the map.
            stem: of the files' names, unique among the pictures.
            overlay: from `visualize.overlay`.
            picture_name: the picture's file name in the JSON.
            map_name: the map's file name; `stem` with `.png` if not given.
            with_paths: writes each segment's path, too.

        Returns:
            The paths of overlay and map after closing.

        Raises:
            ValueError: if they can't be written.
        """
        names = f"{stem}{OVERLAY_MARK}.png", map_name or f"{stem}.png"
        height, width = panoptic.segmentation.shape
        numbers = [self._categories.numbers[s.name, s.is_thing] for s in panoptic.segments]
        segments = [
            SegmentInfo(id=s.id, category_id=number, area=s.area, box=s.box)
            for s, number in zip(panoptic.segments, numbers, strict=True)
        ]
        annotation = annotation_entry(0, names[1], segments)
        for listed, segment in zip(annotation["segments_info"], panoptic.segments, strict=True):
            listed["score"] = round(segment.score, 4)
            if with_paths:
                listed["path"] = guesses_to_jsonable(segment.path)
        path = {} if self._request is None else {"path": self._request.pictures[names[1]]}
        entry = image_entry(0, picture_name, height, width) | path, annotation
        with writing(self.folder / names[0], ValueError):
            try:
                for name in names:
                    if (self.folder / name).is_dir():
                        raise IsADirectoryError(None, "a folder has this name")
                overlay.save(self._staging.path / names[0])
                save_ids(self._staging.path / names[1], panoptic.segmentation)
                self._log(self._staging.path, entry)
            except OSError:
                for name in names:
                    (self._staging.path / name[:200]).unlink(missing_ok=True)
                raise
        self._names += names
        self._entries.append(entry)
        return self.folder / names[0], self.folder / names[1]

    def add_picture(self, name: str, picture: Image.Image) -> Path:
        """Writes one more picture beside the results.

        Raises:
            ValueError: if it can't be written.
        """
        with writing(self.folder / name, ValueError):
            picture.save(self._staging.path / name)
        self._names.append(name)
        return self.folder / name

    def close(self) -> None:
        """Writes the JSON and moves everything to its final name, the JSON last.

        Raises:
            ValueError: if it can't be written.
        """
        try:
            self._publish()
        except BaseException:
            if self._request is None or self._request.resume is None:
                self._staging.discard()
            self._staging.leave()
            raise
        self._staging.discard()

    def _publish(self) -> None:
        way_out = "choose a folder that can"
        if self._request is not None:  # another run may have ended in the meantime
            self._kept, self._stale = _earlier(self.folder, self._document, self._request)
            if self._request.resume is not None:
                way_out = "what is finished is kept there: make room, and the same command with --resume goes on"
        replaced = {annotation["file_name"] for _, annotation in self._entries}
        kept = [entry for entry in self._kept if entry[1]["file_name"] not in replaced]
        first = max((image["id"] for image, _ in kept if isinstance(image["id"], int)), default=0) + 1
        for number, (image, annotation) in enumerate(self._entries, start=first):
            own = self._categories.pictures
            image["id"] = annotation["image_id"] = number if own is None else own[image["file_name"]]
        images, annotations = zip(*kept, *self._entries, strict=True)
        about = {} if self._request is None else {"info": self._request.question}
        content = {**about, "images": images, "annotations": annotations, "categories": self._categories.to_coco()}
        with writing(self.folder, ValueError, way_out=way_out):
            # ASCII only: a file name that is no valid text can't be encoded as UTF-8
            (self._staging.path / self._document).write_text(json.dumps(content), encoding="ascii")
            self._staging.publish(*self._names, self._document)
            for name in set(self._stale) - set(self._names):
                (self.folder / name).unlink(missing_ok=True)

    def _log(self, folder: Path, *entries: Entry) -> None:
        """Writes down what is asked, and the pictures whose files are there."""
        if self._request is None:
            return
        with (folder / _FINISHED).open("a", encoding="ascii") as log:
            lines = entries if log.tell() else (self._request.question, *entries)
            log.writelines(json.dumps(line) + "\n" for line in lines)

    def _check_alone(self) -> None:
        """Refuses to start beside a run whose answers could not be told from these."""
        if self._request is None:
            return
        for log in self.folder.glob(f"{STAGED}*/{_FINISHED}"):
            try:
                question = json.loads(read_text(log).partition("\n")[0])
            except ValueError:  # it ends just now, or has just begun and will see this one
                continue
            if question != self._request.question:
                raise ValueError(
                    f"another run writes results of other words, another model or other settings into "
                    f"{printable(self.folder)}; wait until it ends, or choose another --out."
                )

    def _inherit(self, left: Path, own: Path) -> None:
        """Takes over what a killed run has finished of what is asked for now, if that goes on."""
        if self._request is None or not self._request.resume:
            return
        try:
            question, *lines = read_text(left / _FINISHED).splitlines()
            if json.loads(question) != self._request.question:
                return
            for line in lines:
                image, annotation = json.loads(line)
                names = _files_of(annotation["file_name"])
                asked = self._request.pictures.get(names[-1])
                is_whole = all((left / name).is_file() for name in names)  # killed while they were moved
                if (
                    is_whole
                    and asked is not None
                    and _path_of(image) == real(Path(asked))
                    and names[-1] not in self._names
                ):
                    for name in names:
                        (left / name).rename(own / name)
                    self._log(own, (image, annotation))
                    self._names += names
                    self._entries.append((image, annotation))
        except ValueError:  # there is none, or it is cut off within its last line
            return

    def __enter__(self) -> "ResultWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._entries and (error is None or self._request is not None):
            self.close()
        else:
            self._staging.discard()


def guesses_to_jsonable(guesses: Sequence[Guess]) -> list[dict[str, Any]]:
    """Names with their scores as plain data."""
    return [{"name": guess.name, "score": round(guess.score, 4)} for guess in guesses]


def _files_of(map_name: str) -> tuple[str, str]:
    """Overlay and map of a picture."""
    return f"{Path(map_name).stem}{OVERLAY_MARK}.png", map_name


def _path_of(image: Mapping[str, Any]) -> Path:
    """Where a picture lies; JSONs of before have the name alone, as it was typed."""
    return real(Path(str(image.get("path", image["file_name"]))))


def _earlier(folder: Path, document: str, request: Request) -> tuple[list[Entry], list[str]]:
    """What a folder holds already: answers to the same question; and files of answers that are to go.

    Raises:
        ValueError: if results would be mixed, or what is there is no result.
    """
    if not (folder / document).exists():
        return [], []
    name = printable(folder)
    try:
        content = read_json_object(folder / document)
        image_of = {image["id"]: image for image in content["images"]}
        entries = [(image_of[annotation["image_id"]], annotation) for annotation in content["annotations"]]
        pictures = {str(annotation["file_name"]): _path_of(image) for image, annotation in entries}
        there = [entry for entry in entries if (folder / entry[1]["file_name"]).is_file()]
        is_ours = str(content.get("info", {}).get("description")).startswith("lexiseg ")
        is_result = is_ours or there == entries  # of ours, a map that somebody has deleted is to be made anew
    except (FormatError, KeyError, TypeError, AttributeError):
        content, there, pictures, is_result = {}, [], {}, False
    if not is_result:
        raise ValueError(f"the {document} in {name} is no result of lexiseg; choose another --out.")
    for map_name, picture in pictures.items():
        ours = request.pictures.get(map_name)
        if ours is not None and real(Path(ours)) != picture:
            raise ValueError(
                f"{name} holds the result of {printable(picture)}, and that of {printable(ours)} would have the same "
                "name; choose another --out."
            )
    if content.get("info") == request.question:
        return there, []
    others = sorted({annotation["file_name"] for _, annotation in there} - request.pictures.keys())
    if others or request.resume:
        raise ValueError(
            f"{name} holds results of other words, another model or other settings ({few(others or list(pictures))}), "
            "and they would be mixed; repeat what they were made with, or choose another --out."
        )
    return [], [file for map_name in pictures for file in _files_of(map_name)]


def check_unspoilt(folder: Path, stems: Sequence[str], pictures: Sequence[Path]) -> None:
    """Checks that results replace neither a picture nor a file that is no earlier result.

    Args:
        folder: where the results go.
        stems: the names of the results.
        pictures: the files that are segmented.

    Raises:
        ValueError: naming the first file that would be replaced.
    """
    given = {real(picture) for picture in pictures}
    has_results = (folder / DOCUMENT).is_file()
    for name in (f"{stem}{mark}.png" for stem in stems for mark in ("", OVERLAY_MARK)):
        target = folder / name
        if real(target) in given:
            raise ValueError(f"{printable(target)} is one of the pictures and would be replaced; choose another --out.")
        if target.exists() and not has_results:
            raise ValueError(f"{printable(target)} is there already and is no result of lexiseg; choose another --out.")

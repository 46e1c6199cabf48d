"""The record of a folder of results: what was asked, then a line for every picture that is finished.

Documents are written from it, and it tells a later run what is there, so that neither needs all pictures in memory.
"""

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from lexiseg.core.files import STAGED, leftovers, read_json_object, real
from lexiseg.core.messages import few, printable
from lexiseg.core.picture_files import OVERLAY_MARK, film_name, frame_of
from lexiseg.inference.formats import USUAL, documents_of, known_formats
from lexiseg.inference.formats.format import FinishedPicture
from lexiseg.inference.formats.panoptic import DOCUMENT, PANOPTIC
from lexiseg.inference.sheet import SHEET

RECORD = ".lexiseg.jsonl"
"""In a folder of results."""
FINISHED = "finished.jsonl"
"""In a hidden folder: the record of what is finished there."""

Pictures = Callable[[], Iterator[FinishedPicture]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a run is to answer; answers to one question add up in a folder, those to two are never mixed."""

    question: Mapping[str, Any]
    """Plain data that decide every answer: model, words, settings."""
    identity_of: Callable[[str], str | None]
    """Gives the absolute real path of a picture, or another name that is the same wherever a run starts, by the name of
    its map; None if that is not asked for."""
    resume: bool | None = False
    """Whether pictures that the question was answered for are left as they are, also by a run that was killed; None
    where no run ever resumes."""

    def is_of(self, picture: FinishedPicture) -> bool:
        """Whether a finished picture is the one that is asked for by its name."""
        return self.identity_of(picture.name) == identity_of(picture)


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What a folder holds already."""

    pictures: Pictures = lambda: iter(())
    """Those with answers to the same question."""
    stale: Callable[[], Iterator[str]] = lambda: iter(())
    """Files of answers that are to go."""


def question_of(question: Mapping[str, Any], formats: tuple[str, ...]) -> dict[str, Any]:
    """What is asked, with the formats where they are not the usual ones."""
    return {**question} if formats == USUAL else {**question, "formats": list(formats)}


def write_record(path: Path, question: Mapping[str, Any], pictures: Iterator[FinishedPicture]) -> None:
    """Writes a whole record."""
    with path.open("w", encoding="ascii") as file:
        file.write(json.dumps(question) + "\n")
        file.writelines(to_line(picture) for picture in pictures)


def to_line(picture: FinishedPicture) -> str:
    """A picture's line."""
    about = {"name": picture.name, "image": picture.image, "entries": picture.entries, "files": picture.files}
    return json.dumps(about) + "\n"


def read_question(path: Path) -> Any:
    """What was asked, as the first line has it.

    Raises:
        OSError, ValueError: if there is no such file, or it has no whole line.
    """
    with path.open(encoding="utf-8") as file:
        return json.loads(file.readline())


def read_pictures(path: Path) -> Iterator[FinishedPicture]:
    """The pictures of a record, one by one.

    Raises:
        OSError, ValueError, KeyError, TypeError: if it is damaged; a run that was killed may have cut off its end.
    """
    with path.open(encoding="utf-8") as file:
        file.readline()
        for line in file:
            content = json.loads(line)
            yield _of_pair(*content) if isinstance(content, list) else _of_line(content)


def earlier_results(folder: Path, question: Mapping[str, Any], request: Request) -> Earlier:
    """What a folder holds already: answers to the same question; or files of answers that are to go.

    Raises:
        ValueError: if results would be mixed, or what is there is no result.
    """
    found = _read(folder)
    if found is None:
        return Earlier()
    theirs, pictures = found
    for one in pictures():
        asked = request.identity_of(one.name)
        if asked is not None and not request.is_of(one):
            raise ValueError(
                f"{printable(folder)} holds the result of {printable(identity_of(one))}, and that of "
                f"{printable(asked)} would have the same name; choose another --out."
            )
    documents = documents_of(theirs.get("formats", USUAL))

    def there() -> Iterator[FinishedPicture]:
        for one in pictures():
            witness = one.files[0] if one.files else next(reversed(documents))
            if (folder / witness).is_file():  # what somebody has deleted is to be made anew
                yield one

    if theirs == question:
        return Earlier(pictures=there)
    others = sorted({one.name for one in there() if request.identity_of(one.name) is None})
    if others or request.resume:
        raise _other_question(folder, theirs, question, others or [one.name for one in pictures()])
    return Earlier(stale=lambda: chain(documents, _files_of(pictures())))


def check_leftovers(folder: Path, question: Mapping[str, Any]) -> None:
    """Checks that what killed runs have left answers the same question, before it is cleared away.

    Raises:
        ValueError: if one of them has finished pictures with answers to another question.
    """
    for left in leftovers(folder):
        theirs, names = question, list[str]()
        with _as_far_as_it_goes():
            theirs = read_question(left / FINISHED)
            names += (picture.name for picture in read_pictures(left / FINISHED))
        if names and theirs != question:
            raise _other_question(folder, theirs, question, names)


def earlier_names(folder: Path) -> Iterator[tuple[str, str]]:
    """The identities of the pictures of which a folder has results, and their names; also of those in killed runs.

    Raises:
        ValueError: if what is there is no result.
    """
    found = _read(folder)
    logs = [partial(read_pictures, log) for log in folder.glob(f"{STAGED}*/{FINISHED}")]
    for pictures in [*([found[1]] if found else []), *logs]:
        with _as_far_as_it_goes():
            yield from ((identity_of(picture), Path(picture.name).stem) for picture in pictures())


def results_in(folder: Path) -> frozenset[str]:
    """The files of results in a folder, by their paths in it."""
    files: set[str] = set()
    with _as_far_as_it_goes():
        if found := _read(folder):
            files.add(SHEET)
            files.update(_files_of(found[1]()))
    return frozenset(files)


def identity_of(picture: FinishedPicture) -> str:
    """What a finished picture is, see `Request`; JSONs of before have the name alone, as it was typed."""
    return str(picture.image.get("path") or real(Path(str(picture.image["file_name"]))))


def _other_question(
    folder: Path, theirs: Mapping[str, Any], question: Mapping[str, Any], names: Sequence[str]
) -> ValueError:
    formats = ",".join(theirs.get("formats", USUAL))
    is_formats_alone = {**theirs, "formats": ""} == {**question, "formats": ""}
    what = f"the formats {formats}" if is_formats_alone else "other words, another model or other settings"
    how = f"--format {formats}" if is_formats_alone else "what they were made with"
    return ValueError(
        f"{printable(folder)} holds results of {what} ({few(names)}), and they would be mixed; repeat {how}, or choose "
        "another --out."
    )


def _files_of(pictures: Iterator[FinishedPicture]) -> Iterator[str]:
    """All files of pictures, and what is joined of those of a video's frames."""
    films: dict[str, None] = {}
    for picture in pictures:
        yield from picture.files
        video, number = frame_of(Path(picture.name).stem)
        if identity_of(picture).endswith(f"#{number}"):
            films[film_name(video)] = None
    yield from films


def _read(folder: Path) -> tuple[dict[str, Any], Pictures] | None:
    """What a folder's results answer, and the pictures; None if it has none."""
    if (folder / RECORD).exists():
        return _read_record(folder / RECORD)
    return _read_document(folder / DOCUMENT) if (folder / DOCUMENT).exists() else None


def _as_far_as_it_goes() -> AbstractContextManager[None]:
    """Ends where a record is damaged; a run that was killed may have cut off its end."""
    return suppress(OSError, ValueError, KeyError, TypeError, AttributeError)


@contextmanager
def _as_result(path: Path) -> Generator[None, None, None]:
    """Says in a sentence that a file is no result, whatever is wrong with it."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"the {path.name} in {printable(path.parent)} is no result of lexiseg; choose another --out."
        ) from error


def _read_record(path: Path) -> tuple[dict[str, Any], Pictures]:
    """What was asked, and the pictures."""
    with _as_result(path):
        question = read_question(path)
        known_formats(question.get("formats", USUAL))

    def pictures() -> Iterator[FinishedPicture]:
        with _as_result(path):
            yield from read_pictures(path)

    return question, pictures


def _read_document(path: Path) -> tuple[dict[str, Any], Pictures]:
    """The same of the JSON alone, which is all that earlier versions have left."""
    with _as_result(path):
        content = read_json_object(path)
        image_of = {image["id"]: image for image in content["images"]}
        entries = [_of_pair(image_of[annotation["image_id"]], annotation) for annotation in content["annotations"]]
        question = content.get("info", {})
        is_ours = str(question.get("description")).startswith("lexiseg ")
        if not is_ours and not all((path.parent / one.files[0]).is_file() for one in entries):
            raise FileNotFoundError
    return question, lambda: iter(entries)


def _of_line(content: dict[str, Any]) -> FinishedPicture:
    return FinishedPicture(**{**content, "files": tuple(content["files"])})


def _of_pair(image: dict[str, Any], annotation: dict[str, Any]) -> FinishedPicture:
    """A picture as earlier versions recorded it, whose files are the usual ones."""
    name = str(annotation["file_name"])
    files = (name, f"{Path(name).stem}{OVERLAY_MARK}.png")
    entry = {key: value for key, value in annotation.items() if key != "image_id"}
    return FinishedPicture(name=name, image=image, entries={PANOPTIC: entry}, files=files)

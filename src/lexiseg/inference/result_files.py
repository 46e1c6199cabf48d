"""Writing results in any formats: files per picture, and documents, which never speak of half of them."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from types import TracebackType

from PIL import Image

from lexiseg.core.files import STAGED, StagingFolder, real, writing
from lexiseg.core.messages import printable
from lexiseg.core.picture_files import OVERLAY_MARK, film_name
from lexiseg.core.structures import PanopticMap
from lexiseg.inference.formats import FORMATS, HTML, USUAL, all_files, documents_of, finish, known_formats
from lexiseg.inference.formats.format import Categories, FinishedPicture, NamedResult, Run, name_of_picture
from lexiseg.inference.formats.panoptic import DOCUMENT, PANOPTIC, read_map
from lexiseg.inference.result import Result
from lexiseg.inference.result_record import (
    FINISHED,
    RECORD,
    Request,
    check_leftovers,
    earlier_results,
    question_of,
    read_pictures,
    read_question,
    to_line,
    write_record,
)

__all__ = ["DOCUMENT", "RECORD", "Categories", "Request", "ResultWriter", "check_unspoilt", "save"]
_STALE = "stale.jsonl"
"""In a hidden folder: names of files that go."""


class ResultWriter:
    """Writes the results of any number of pictures into one folder.

    Files are written to a hidden folder inside it and moved at the end, the documents last. A failure, or Ctrl-C,
    leaves what is finished, and a process that is killed, or can't close, leaves it for a run that resumes. Files of an
    earlier run with the same names are replaced; other files are not touched. Of each picture the name alone is kept in
    memory.

    Usage: `with ResultWriter(folder, categories, request=request) as writer: writer.add(...)`.
    """

    def __init__(
        self, folder: Path, categories: Categories, *, request: Request, formats: Iterable[str] = USUAL
    ) -> None:
        """Makes the folder.

        Raises:
            ValueError: if it can't be written, another run answers another question in it, or it holds answers to
                another question, or of another picture under the same name, that would not all be replaced, or a run
                that resumes finds some that a killed one has left; or if a format is not known.
        """
        self.folder = folder
        self.formats = known_formats(formats)
        self._categories = categories
        self._request = request
        self._question = question_of(request.question, self.formats)
        self._names: set[str] = set()
        self._others: list[str] = []
        self._earlier = earlier_results(folder, self._question, request)
        if request.resume:
            check_leftovers(folder, self._question)
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
        """Names of the maps of pictures that are finished already; none without `resume`."""
        if not self._request.resume:
            return frozenset()
        return frozenset(self._names.union(picture.name for picture in self._earlier.pictures()))

    def maps(self) -> Iterator[tuple[str, Callable[[], PanopticMap]]]:
        """What reads the maps that are finished already, by their names without the ending, in the order of the record.

        There is none without `resume`, nor where panoptic is no format that is written.
        """
        if not self._request.resume or PANOPTIC not in self.formats:
            return
        here = read_pictures(self._staging.path / FINISHED)
        for folder, pictures in ((self.folder, self._earlier.pictures()), (self._staging.path, here)):
            for picture in pictures:
                yield Path(picture.name).stem, partial(read_map, folder, picture, self._categories)

    def add(
        self, result: Result, *, stem: str, picture_name: str, overlay: Image.Image | None = None
    ) -> dict[str, tuple[Path, ...]]:
        """Writes the files of one picture.

        Args:
            result: of the picture.
            stem: of the files' names, unique among the pictures.
            picture_name: the picture's file name in documents.
            overlay: a drawing in the place of the result's own.

        Returns:
            The paths of its files after closing, by format.

        Raises:
            ValueError: if they can't be written, or the result can't be had in one of the formats.
        """
        name = f"{stem}.png"
        named = NamedResult(
            result=result,
            stem=stem,
            picture=picture_name,
            categories=self._categories,
            map_name=name,
            path=self._request.identity_of(name),
            overlay=overlay,
        )
        made = {form: FORMATS[form].files(named) for form in self.formats}
        begun: list[Path] = []
        try:
            for file, content in chain.from_iterable(files.items() for files in made.values()):
                with writing(self.folder / file, ValueError):
                    if (self.folder / file).is_dir():
                        raise IsADirectoryError(None, "a folder has this name")
                    begun.append(self._staging.path / file)
                    begun[-1].parent.mkdir(exist_ok=True, parents=True)
                    begun[-1].write_bytes(content)
            with writing(self.folder, ValueError):
                self._log(self._staging.path, finish(named, made))
        except ValueError:
            for path in begun:
                with suppress(OSError):  # of a name that no file can have
                    path.unlink(missing_ok=True)
            raise
        self._names.add(name)
        return {form: tuple(self.folder / file for file in files) for form, files in made.items()}

    def add_picture(self, name: str, picture: Image.Image) -> Path:
        """Writes one more picture beside the results.

        Raises:
            ValueError: if it can't be written.
        """
        with writing(self.folder / name, ValueError):
            picture.save(self._staging.path / name)
        self._others.append(name)
        return self.folder / name

    def close(self) -> None:
        """Writes the documents and moves everything to its final name, the documents last.

        Raises:
            ValueError: if they can't be written.
        """
        try:
            self._publish()
        except BaseException:
            if self._request.resume is None:
                self._staging.discard()
            self._staging.leave()
            raise
        self._staging.discard()

    def _publish(self) -> None:
        # another run may have ended in the meantime
        self._earlier = earlier_results(self.folder, self._question, self._request)
        way_out = "choose a folder that can"
        if self._request.resume is not None:
            way_out = "what is finished is kept there: make room, and the same command with --resume goes on"
        hidden = self._staging.path
        run = Run(
            categories=self._categories,
            pictures=lambda: read_pictures(hidden / RECORD),
            question=self._question,
        )
        with writing(self.folder, ValueError, way_out=way_out):
            write_record(hidden / RECORD, self._question, self._numbered())
            documents = documents_of(self.formats)
            for name, document in documents.items():
                (hidden / name).parent.mkdir(exist_ok=True, parents=True)
                # what is no valid text can't be encoded; JSON has it as escapes
                with (hidden / name).open("w", encoding="utf-8", errors="replace", newline="\n") as file:
                    file.writelines(document(run))
            # copied, as the record that names them leaves first
            (hidden / _STALE).write_text("".join(json.dumps(name) + "\n" for name in self._earlier.stale()))
            self._staging.publish(*documents, RECORD, before=self._files, without=self._stale)

    def _numbered(self) -> Iterator[FinishedPicture]:
        """All pictures: those of before with the numbers that they have, then those of this run."""
        last, own = 0, self._categories.pictures
        for picture in self._earlier.pictures():
            if picture.name not in self._names:
                number = picture.image["id"]
                last = max(last, number if isinstance(number, int) else 0)
                yield picture
        for number, picture in enumerate(read_pictures(self._staging.path / FINISHED), start=last + 1):
            known = number if own is None else own[picture.image["file_name"]]
            yield replace(picture, image={**picture.image, "id": known})

    def _files(self) -> Iterator[str]:
        """The files that this run has made."""
        yield from self._others
        for picture in read_pictures(self._staging.path / FINISHED):
            yield from picture.files

    def _stale(self) -> Iterator[str]:
        """The files of answers to another question, which go."""
        with (self._staging.path / _STALE).open(encoding="ascii") as lines:
            yield from map(json.loads, lines)

    def _log(self, folder: Path, *pictures: FinishedPicture) -> None:
        """Writes down what is asked, and the pictures whose files are there, whole lines or none."""
        path = folder / FINISHED
        begin = path.stat().st_size if path.exists() else 0
        lines = [] if begin else [json.dumps(self._question) + "\n"]
        try:
            with path.open("a", encoding="ascii") as log:
                log.writelines([*lines, *map(to_line, pictures)])
        except OSError:
            os.truncate(path, begin)
            raise

    def _check_alone(self) -> None:
        """Refuses to start beside a run whose answers could not be told from these."""
        for log in self.folder.glob(f"{STAGED}*/{FINISHED}"):
            try:
                question = read_question(log)
            except (OSError, ValueError):  # it ends just now, or has just begun and will see this one
                continue
            if question != self._question:
                raise ValueError(
                    f"another run writes results of other words, another model or other settings into "
                    f"{printable(self.folder)}; wait until it ends, or choose another --out."
                )

    def _inherit(self, left: Path, own: Path) -> None:
        """Takes over what a killed run has finished of what is asked for now, if that goes on."""
        if not self._request.resume:
            return
        with suppress(OSError, ValueError, KeyError, TypeError):  # there is none, or it is cut off within its last line
            if read_question(left / FINISHED) != self._question:
                return
            for picture in read_pictures(left / FINISHED):
                is_whole = all((left / file).is_file() for file in picture.files)  # killed while they were moved
                if is_whole and self._request.is_of(picture) and picture.name not in self._names:
                    for file in picture.files:
                        (own / file).parent.mkdir(exist_ok=True, parents=True)
                        (left / file).rename(own / file)
                    self._log(own, picture)
                    self._names.add(picture.name)

    def __enter__(self) -> "ResultWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._names:
            self.close()
        else:
            self._staging.discard()


def save(result: Result, folder: Path, name: str, formats: str | Iterable[str]) -> tuple[Path, ...]:
    """Writes one picture's files under a name, atomically; see `Result.save`.

    Raises:
        UsageError: if a format is not known.
        ValueError: if they can't be written.
    """
    named = NamedResult(
        result=result,
        stem=name,
        picture=name_of_picture(result, result.name),
        categories=Categories.of(result.vocabulary),
        # not `cat.png`, as the command line does in a folder of its own: that may be the picture itself
        map_name=f"{name}.{PANOPTIC}.png",
    )
    files = dict(all_files(named, known_formats(formats), lambda file: _beside(file, named)))
    with writing(folder, ValueError), StagingFolder(folder) as staging:
        for file, content in files.items():
            (staging.path / file).parent.mkdir(exist_ok=True, parents=True)
            (staging.path / file).write_bytes(content)
        staging.publish(*files)
    return tuple(folder / file for file in files)


def _beside(file: str, named: NamedResult) -> str:
    """What a file of a run's folder is called where results of other pictures may lie; empty of what is left out.

    Every name begins with that of the picture; a page stands for itself, without an index.
    """
    name = named.stem
    if file.startswith(f"{HTML}/"):
        return f"{name}.html" if file == f"{HTML}/pictures/{name}.html" else ""
    return file if file in (named.map_name, f"{name}{OVERLAY_MARK}.png") else f"{name}.{file}"


def check_unspoilt(
    folder: Path,
    stems: Sequence[str],
    pictures: Sequence[Path],
    formats: Sequence[str] = USUAL,
    videos: Sequence[str] = (),
) -> None:
    """Checks that results replace neither a picture nor a file that is no earlier result.

    Args:
        folder: where the results go.
        stems: the names of the results.
        pictures: the files that are segmented.
        formats: in which they are written.
        videos: the names of those of whose overlays a video is made.

    Raises:
        ValueError: naming the first file that would be replaced.
    """
    given = {real(picture) for picture in pictures}
    has_results = (folder / DOCUMENT).is_file() or (folder / RECORD).is_file()
    marks = [mark for form, mark in ((PANOPTIC, ""), ("overlay", OVERLAY_MARK)) if form in formats]
    tops = (name.partition("/")[0] for name in documents_of(formats) if name != DOCUMENT)
    films = (film_name(video) for video in videos if "overlay" in formats)
    for name in chain((f"{stem}{mark}.png" for stem in stems for mark in marks), films, tops):
        target = folder / name
        if real(target) in given:
            raise ValueError(f"{printable(target)} is one of the pictures and would be replaced; choose another --out.")
        if target.exists() and not has_results:
            raise ValueError(f"{printable(target)} is there already and is no result of lexiseg; choose another --out.")

"""`lexiseg segment`."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from PIL import Image

from lexiseg.cli.console import (
    FAILURE,
    FINE,
    FLAWED,
    fail,
    note,
    open_file,
    progress,
    resumable,
    say,
    show,
    width,
    wrap,
)
from lexiseg.cli.options.segment import SegmentOptions
from lexiseg.cli.options.shared import read_vocabulary
from lexiseg.cli.overrides import fusion_for, set_regions, set_sides
from lexiseg.core.concepts import kinds_of
from lexiseg.core.errors import PictureError
from lexiseg.core.messages import few, printable, shown
from lexiseg.core.structures import Segment
from lexiseg.core.vocabulary import Vocabulary, is_thing
from lexiseg.evaluation.shards import digest
from lexiseg.inference.encoded import with_items
from lexiseg.inference.films import film_of, write_film
from lexiseg.inference.formats import USUAL, known_formats
from lexiseg.inference.formats.panoptic import DOCUMENT, PANOPTIC
from lexiseg.inference.labels import is_drawable
from lexiseg.inference.numbering import numbered
from lexiseg.inference.predictor import Model, load
from lexiseg.inference.result import Result
from lexiseg.inference.result_files import RECORD, Request, ResultWriter, check_unspoilt
from lexiseg.inference.result_record import earlier_names
from lexiseg.inference.sheet import MOST_CELLS, cell, save_sheet
from lexiseg.inference.source import Item, Origin, Source
from lexiseg.inference.visualize import found_words
from lexiseg.io.checkpoint import weights_hash
from lexiseg.io.config_json import to_jsonable
from lexiseg.io.finding import find_model, resolution
from lexiseg.io.models import training_vocabulary


def run_segment(options: SegmentOptions) -> int:
    """Segments pictures and writes what was found; one that fails does not stop the rest.

    Returns:
        The exit code: 0, 1 if every picture failed, 3 if some did.

    Raises:
        ValueError: if vocabulary, pictures, model or folder are of no use.
    """
    vocabulary, taken = _read_words(options)
    earlier = earlier_names(options.out)
    source = Source.of(options.pictures, recursive=options.recursive, every=options.every, earlier=earlier)
    origins = source.origins.values()
    vocabulary, categories = numbered(vocabulary, [origin.shown for origin in origins], options.categories)
    formats = known_formats(options.format)
    videos = [video.name for video in source.videos]
    given = [origin.file for origin in origins if origin.file is not None]
    check_unspoilt(options.out, source.names_in(options.out), given, formats, videos)
    model = load(options.model, device=options.device, precision=options.precision, compile=options.compile)
    answer = _answerer(model, vocabulary, options)
    _note_strange_letters(vocabulary)
    request = Request(
        question=_question(model, vocabulary, options),
        identity_of=lambda name: source.identity_of(Path(name).stem),
        resume=options.resume,
    )
    done, failed, cells = 0, 0, list[Image.Image]()
    with (
        resumable(options.out, lambda: (options.out / RECORD).is_file()),
        ResultWriter(options.out, categories, request=request, formats=formats) as writer,
        progress("Segmenting") as report,
    ):
        finished = {Path(name).stem for name in writer.finished}
        if PANOPTIC not in formats:  # without their maps nobody knows the ids of a video's segments
            finished &= source.origins.keys()
        already, total = sum(source.identity_of(name) is not None for name in finished), source.count()
        if already:
            note(f"lexiseg: {already}{'' if total is None else f' of {total}'} pictures are finished already.")
        todo = None if total is None else max(0, total - already)
        report(0, todo)
        start = time.perf_counter()
        for item, result in answer(source.items(finished, writer.maps)):
            seconds = time.perf_counter() - start
            try:
                if isinstance(result, ValueError):
                    raise result
                files = writer.add(result, stem=item.name, picture_name=item.shown)
                if options.show and len(cells) < MOST_CELLS:
                    cells.append(cell(result, item.name))
            except ValueError as error:
                failed += 1
                fail(error)
                if options.as_json:
                    say(json.dumps({"picture": item.shown, "error": str(error)}))
            else:
                done += 1
                _tell(item.shown, result, files, seconds, options)
            report(done + failed, todo)
            start = time.perf_counter()
    if failed and not done + already:
        return FAILURE
    films = source.videos if "overlay" in formats else []
    joined = [_join(options, film) for film in films if done or not film_of(options.out, film).exists()]
    if taken:
        note(taken)
    told = f"Wrote {_told(formats, done)} to {options.out}."
    told = told if done else f"Nothing new; what was finished earlier lies in {options.out}."
    note(told) if options.as_json else say(told)
    if cells:
        open_file(save_sheet(cells, options.out))
    if failed:
        note(f"lexiseg: {failed} of {done + failed} pictures failed; the others are done.")
    return FLAWED if failed or not all(joined) else FINE


def _read_words(options: SegmentOptions) -> tuple[Vocabulary, str]:
    """Reads the words, and says what those without a mark are taken for; the model's training decides first."""
    folder = find_model(options.model)
    if resolved := resolution(options.model, folder):
        note(f"lexiseg: {resolved}")
    trained = training_vocabulary(folder)
    kinds_trained = kinds_of(trained.concepts if trained else ())
    taken: dict[bool, list[str]] = {True: [], False: []}

    def unmarked(names: tuple[str, ...]) -> bool:
        kind = is_thing(names, kinds_trained)
        taken[kind].append(shown(names[0]))
        return kind

    vocabulary = read_vocabulary(options.vocabulary, unmarked, options.wordnet)
    kinds = [f"for {name}: {few(taken[kind])}" for kind, name in ((True, "things"), (False, "stuff")) if taken[kind]]
    return vocabulary, f"Taken {'; '.join(kinds)} (:thing or :stuff after a word decides)." if kinds else ""


def _tell(
    shown_name: str, result: Result, files: Mapping[str, Sequence[Path]], seconds: float, options: SegmentOptions
) -> None:
    """Prints what was found in a picture."""
    if options.as_json:
        more = {"not_there": _not_there(result)} if options.best_only else {}
        written = {**_written(files), "seconds": round(seconds, 3)}
        say(json.dumps({"picture": shown_name} | written | result.to_jsonable() | more))
        return
    absent = _not_there(result) if options.best_only else []
    words = [found_words(result.panoptic), f"not there: {few(absent)}" if absent else ""]
    in_a_line = shown_name.replace("\n", "\\n")
    say(f"{in_a_line}: {'; '.join(filter(None, words)) or 'nothing found'} ({seconds:.1f} s)")
    if options.tree:
        rows = [(segment.name, _path_text(segment), str(segment.area)) for segment in result.segments]
        show("", ("segment", "path, with scores among siblings", "pixels"), rows, right=("pixels",))
        return
    for path in dict.fromkeys(" > ".join(step.name for step in segment.path) for segment in result.segments):
        for line in filter(None, wrap(path, width() - 2)):
            say(f"  {line}")


def _join(options: SegmentOptions, video: Origin) -> bool:
    """Joins the overlays of a video's frames; whether that went well."""
    try:
        with progress("Joining overlays") as report:
            has_overlays = write_film(options.out, video, options.every, report)
    except ValueError as error:
        fail(error)
        return False
    if has_overlays:
        note(f"lexiseg: the overlays of {video.shown} are joined to {film_of(options.out, video)}.")
    return True


def _told(formats: Sequence[str], done: int) -> str:
    """What was written, in words: 2 overlays and panoptic.json."""
    if formats == USUAL:
        return f"{done} overlay{'' if done == 1 else 's'} and {DOCUMENT}"
    return f"{', '.join(formats)} of {done} picture{'' if done == 1 else 's'}"


def _written(files: Mapping[str, Sequence[Path]]) -> dict[str, Any]:
    """The files of a picture, by format: one by its path, several as a list."""
    texts = {name: [str(path) for path in paths] for name, paths in files.items() if paths}
    return {name: paths[0] if len(paths) == 1 else paths for name, paths in texts.items()}


def _path_text(segment: Segment) -> str:
    """A path as people read it: thing 0.99 > animal 0.95 > cat 0.80."""
    return " > ".join(f"{step.name} {step.score:.2f}" for step in segment.path)


def _not_there(result: Result) -> list[str]:
    """The words without a segment."""
    found = {segment.name for segment in result.segments}
    return [name for name in result.vocabulary.names if name not in found]


def _question(model: Model, vocabulary: Vocabulary, options: SegmentOptions) -> dict[str, Any]:
    """All that decides an answer, for the JSON."""
    elsewhere = {
        "pictures",
        "recursive",
        "vocabulary",
        "out",
        "model",
        "device",
        "batch_size",
        "compile",
        "as_json",
        "resume",
        "categories",
        "wordnet",
        "format",
        "show",
    }
    settings = {field.name: getattr(options, field.name) for field in fields(options) if field.name not in elsewhere}
    if options.precision == "float32":  # what an interrupted run of earlier versions was asked for too
        del settings["precision"]
    if not options.tree:
        del settings["tree"]
    if options.every == 1:
        del settings["every"]
    return {
        "description": "lexiseg segment",
        "model": weights_hash(model.network.state_dict()),
        "words": digest([json.dumps(to_jsonable(vocabulary))]),
        **{name: value for name, value in settings.items() if value is not None},
    } | ({} if options.categories is None else {"categories": str(options.categories)})


def _note_strange_letters(vocabulary: Vocabulary) -> None:
    strange = next((name for name in vocabulary.names if not is_drawable(name)), None)
    if strange is not None:
        note(
            f"lexiseg: no font here has all letters of {printable(strange)}: overlays spell it otherwise; "
            "maps and JSON have the word itself."
        )


def _answerer(
    model: Model, vocabulary: Vocabulary, options: SegmentOptions
) -> Callable[[Iterator[Item]], Iterator[tuple[Item, Result | ValueError]]]:
    """What segments pictures as asked, in their order; bad weights are found out here, and not blamed on a picture."""
    set_regions(model.network, options)
    set_sides(model.network, options)
    fusion = None if options.best_only else fusion_for(options, model.network)
    model.encode(vocabulary, negatives=options.best_only or options.negatives)

    def best(items: Iterator[Item]) -> Iterator[tuple[Item, Result | ValueError]]:
        for item in items:
            try:
                yield item, model.find(item, vocabulary)
            except PictureError as error:
                yield item, error

    def segmented(items: Iterator[Item]) -> Iterator[tuple[Item, Result | ValueError]]:
        return with_items(
            items,
            lambda read, on_error: model.segment_many(
                read,
                vocabulary,
                negatives=options.negatives,
                score_threshold=options.score_threshold,
                fusion=fusion,
                rank_by=options.rank_by,
                tree=options.tree,
                batch_size=options.batch_size,
                on_error=on_error,
            ),
        )

    return best if options.best_only else segmented

"""`lexiseg segment`."""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lexiseg.cli.console import FAILURE, FINE, FLAWED, fail, note, say
from lexiseg.cli.options.segment import SegmentOptions
from lexiseg.cli.options.shared import read_vocabulary
from lexiseg.cli.overrides import fusion_for, merge_for, set_regions
from lexiseg.core.messages import few, printable, shown
from lexiseg.core.picture_files import find_pictures, unique_names
from lexiseg.core.structures import PanopticMap
from lexiseg.core.vocabulary import Vocabulary, is_thing
from lexiseg.inference.labels import is_drawable
from lexiseg.inference.predictor import Model, load
from lexiseg.inference.result import Result
from lexiseg.inference.result_files import DOCUMENT, Categories, ResultWriter, check_unspoilt
from lexiseg.inference.visualize import legend_entries
from lexiseg.io.models import find_model, training_vocabulary


def run_segment(options: SegmentOptions) -> int:
    """Segments pictures and writes what was found; one that fails does not stop the rest.

    Returns:
        The exit code: 0, 1 if every picture failed, 3 if some did.

    Raises:
        ValueError: if vocabulary, pictures, model or folder are of no use.
    """
    vocabulary, taken = _read_words(options)
    paths = find_pictures(options.pictures)
    stems = unique_names(paths)
    check_unspoilt(options.out, stems, paths)
    failed = 0
    with ResultWriter(options.out, Categories.of(vocabulary)) as writer:
        model = load(options.model, device=options.device)
        answer = _answerer(model, vocabulary, options)
        strange = next((name for name in vocabulary.names if not is_drawable(name)), None)
        if strange is not None:
            note(
                f"lexiseg: no font here has all letters of {printable(strange)}: overlays spell it otherwise; "
                "maps and JSON have the word itself."
            )
        for path, stem in zip(paths, stems, strict=True):
            start = time.perf_counter()
            try:
                result = answer(path)
                seconds = time.perf_counter() - start
                files = writer.add(result.panoptic, stem=stem, overlay=result.overlay(), picture_name=str(path))
            except ValueError as error:
                failed += 1
                fail(error)
                if options.as_json:
                    say(json.dumps({"picture": str(path), "error": str(error)}))
                continue
            if options.as_json:
                written = {"overlay": str(files[0]), "panoptic": str(files[1]), "seconds": round(seconds, 3)}
                more = {"not_there": _not_there(result)} if options.best_only else {}
                say(json.dumps({"picture": str(path)} | written | result.to_jsonable() | more))
            else:
                absent = _not_there(result) if options.best_only else []
                words = [found_words(result.panoptic), f"not there: {few(absent)}" if absent else ""]
                say(f"{path}: {'; '.join(filter(None, words)) or 'nothing found'} ({seconds:.1f} s)")
    if failed == len(paths):
        return FAILURE
    if taken:
        note(taken)
    done = len(paths) - failed
    told = f"Wrote {done} overlay{'' if done == 1 else 's'} and {DOCUMENT} to {options.out}."
    note(told) if options.as_json else say(told)
    if failed:
        note(f"lexiseg: {failed} of {len(paths)} pictures failed; the others are done.")
    return FLAWED if failed else FINE


def _read_words(options: SegmentOptions) -> tuple[Vocabulary, str]:
    """Reads the words, and says what those without a mark are taken for; the model's training decides first."""
    trained = training_vocabulary(find_model(options.model))
    taken: dict[bool, list[str]] = {True: [], False: []}

    def unmarked(names: tuple[str, ...]) -> bool:
        kind = is_thing(names, trained)
        taken[kind].append(shown(names[0]))
        return kind

    vocabulary = read_vocabulary(options.vocabulary, unmarked)
    kinds = [f"for {name}: {few(taken[kind])}" for kind, name in ((True, "things"), (False, "stuff")) if taken[kind]]
    return vocabulary, f"Taken {'; '.join(kinds)} (:thing or :stuff behind a word decides)." if kinds else ""


def _not_there(result: Result) -> list[str]:
    """The words without a segment."""
    found = {segment.name for segment in result.segments}
    return [name for name in result.vocabulary.names if name not in found]


def _answerer(model: Model, vocabulary: Vocabulary, options: SegmentOptions) -> Callable[[Path], Result]:
    """What segments a picture as asked; bad weights are found out here, and not blamed on a picture."""
    set_regions(model.network, options)
    if options.best_only:
        return partial(model.find, vocabulary=vocabulary)
    model.encode(vocabulary, negatives=options.negatives)
    merge = merge_for(options, model.network.config.merge)
    return partial(
        model.segment,
        vocabulary=vocabulary,
        negatives=options.negatives,
        score_threshold=merge.score_threshold,
        fusion=fusion_for(options, model.network),
        rank_by=merge.rank_by,
    )


def found_words(panoptic: PanopticMap, *, things: bool | None = None) -> str:
    """What was found, as one line: names with their best score and how many there are.

    Args:
        panoptic: the map.
        things: only things, only stuff, or both.
    """
    return ", ".join(
        f"{entry.name} {entry.score:.2f}" + (f" ×{entry.count}" if entry.count > 1 else "")
        for entry in legend_entries(panoptic)
        if things is None or entry.is_thing == things
    )

"""`lexiseg segment`."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexiseg.cli.console import fail, note, say
from lexiseg.cli.options.segment import SegmentOptions
from lexiseg.cli.options.shared import read_vocabulary
from lexiseg.cli.overrides import fusion_for, merge_for, set_regions
from lexiseg.core.messages import printable
from lexiseg.core.picture_files import find_pictures, unique_names
from lexiseg.core.structures import PanopticMap
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.inference.labels import is_drawable
from lexiseg.inference.predictor import Model, load
from lexiseg.inference.result import Result
from lexiseg.inference.result_files import DOCUMENT, Categories, ResultWriter, check_unspoilt
from lexiseg.inference.visualize import legend_entries

ALL_WELL, ALL_FAILED, SOME_FAILED = 0, 1, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What became of one picture."""

    path: Path
    result: Result | None = None
    error: ValueError | None = None
    files: tuple[Path, ...] = ()
    seconds: float = 0.0


def run_segment(options: SegmentOptions) -> int:
    """Segments pictures and writes what was found.

    Returns:
        The exit code: 0, 1 if every picture failed, 3 if some did.

    Raises:
        ValueError: if vocabulary, pictures, model or folder are of no use.
    """
    vocabulary = read_vocabulary(options.vocabulary)
    paths = find_pictures(options.pictures)
    stems = unique_names(paths)
    check_unspoilt(options.out, stems, paths)
    failed = 0
    with ResultWriter(options.out, Categories.of(vocabulary)) as writer:
        model = load(options.model, device=options.device)
        set_regions(model.network, options)
        if not options.best_only:  # here, so that bad weights are not blamed on a picture
            model.encode(vocabulary, negatives=options.negatives)
        strange = next((name for name in vocabulary.names if not is_drawable(name)), None)
        if strange is not None:
            note(
                f"lexiseg: no font here has all letters of {printable(strange)}: overlays spell it otherwise; "
                "maps and JSON have the word itself."
            )
        for answer in _answers(model, paths, stems, vocabulary, options, writer):
            if answer.error is not None:
                failed += 1
                fail(answer.error)
            say(_json_line(answer)) if options.as_json else _tell(answer)
    if failed == len(paths):
        return ALL_FAILED
    done = len(paths) - failed
    told = f"Wrote {done} overlay{'' if done == 1 else 's'} and {DOCUMENT} to {options.out}."
    note(told) if options.as_json else say(told)
    if failed:
        note(f"lexiseg: {failed} of {len(paths)} pictures failed; the others are done.")
    return SOME_FAILED if failed else ALL_WELL


def _answers(
    model: Model,
    paths: Sequence[Path],
    stems: Sequence[str],
    vocabulary: Vocabulary,
    options: SegmentOptions,
    writer: ResultWriter,
) -> Iterator[_Answer]:
    """Segments one picture after the other; one that fails does not stop the rest."""
    merge = merge_for(options, model.network.config.merge)
    fusion = fusion_for(options, model.network)
    for path, stem in zip(paths, stems, strict=True):
        start = time.perf_counter()
        try:
            result = (
                model.find(path, vocabulary)
                if options.best_only
                else model.segment(
                    path,
                    vocabulary,
                    negatives=options.negatives,
                    score_threshold=merge.score_threshold,
                    fusion=fusion,
                    rank_by=merge.rank_by,
                )
            )
            seconds = time.perf_counter() - start
            files = writer.add(result.panoptic, stem=stem, overlay=result.overlay(), picture_name=str(path))
        except ValueError as error:
            yield _Answer(path=path, error=error)
            continue
        yield _Answer(path=path, result=result, files=files, seconds=seconds)


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


def _tell(answer: _Answer) -> None:
    if answer.result is not None:
        found = found_words(answer.result.panoptic) or "nothing found"
        say(f"{answer.path}: {found} ({answer.seconds:.1f} s)")


def _json_line(answer: _Answer) -> str:
    document: dict[str, Any] = {"picture": str(answer.path)}
    if answer.result is None:
        document["error"] = str(answer.error)
    else:
        overlay, panoptic = answer.files
        document |= {"overlay": str(overlay), "panoptic": str(panoptic), "seconds": round(answer.seconds, 3)}
        document |= answer.result.to_jsonable()
    return json.dumps(document)

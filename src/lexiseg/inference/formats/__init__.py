"""The forms that results can have, by name, and one picture's files in any of them."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from lexiseg.core.errors import UsageError
from lexiseg.core.messages import printable, shown
from lexiseg.core.picture_files import OVERLAY_MARK
from lexiseg.inference.formats import label_studio, panoptic
from lexiseg.inference.formats.cutouts import CUTOUTS, cutouts_document, cutouts_entry, cutouts_files
from lexiseg.inference.formats.format import (
    Categories,
    Document,
    FinishedPicture,
    Format,
    NamedResult,
    Run,
    encoded,
    name_of_picture,
)
from lexiseg.inference.formats.instances import INSTANCES, instances_document, instances_entry
from lexiseg.inference.formats.json_lines import JSON, json_document, json_entry
from lexiseg.inference.formats.page import HTML, index_document, page_entry, page_files
from lexiseg.inference.formats.polygons import polygons_document, polygons_files
from lexiseg.inference.formats.semantic import semantic_files, semantic_legend
from lexiseg.inference.result import Result

FORMATS: Mapping[str, Format] = {
    "overlay": Format(
        says="The picture with its segments, their names and a legend drawn over it.",
        files=lambda named: {
            f"{named.stem}{OVERLAY_MARK}.png": encoded(
                named.result.overlay() if named.overlay is None else named.overlay
            )
        },
    ),
    panoptic.PANOPTIC: Format(
        says="COCO panoptic format: a PNG of segment ids per picture, and one JSON.",
        files=panoptic.panoptic_files,
        entry=panoptic.panoptic_entry,
        documents={panoptic.DOCUMENT: panoptic.panoptic_document},
    ),
    "semantic": Format(
        says="A PNG per picture whose values are places in the vocabulary, and a legend.",
        files=semantic_files,
        documents={"semantic/classes.json": semantic_legend},
    ),
    INSTANCES: Format(
        says="COCO instance format: one JSON with a compressed run-length code per thing.",
        entry=instances_entry,
        documents={"instances.json": instances_document},
    ),
    label_studio.LABEL_STUDIO: Format(
        says="Tasks with brush masks for Label Studio's import, and the labels of the project.",
        entry=label_studio.label_studio_entry,
        documents={
            "label-studio/tasks.json": label_studio.tasks_document,
            "label-studio/config.xml": label_studio.labels_document,
        },
    ),
    "polygons": Format(
        says="A data set for YOLO: pictures, a text of polygons for each, and data.yaml.",
        files=polygons_files,
        documents={"polygons/data.yaml": polygons_document},
    ),
    CUTOUTS: Format(
        says="Each segment as a picture of its own, transparent around it.",
        files=cutouts_files,
        entry=cutouts_entry,
        documents={"cutouts/cutouts.jsonl": cutouts_document},
    ),
    JSON: Format(
        says="JSON lines: all that is known of each picture's segments.",
        entry=json_entry,
        documents={"results.jsonl": json_document},
    ),
    HTML: Format(
        says="A page per picture that needs no network, with segments to point at, and an index.",
        files=page_files,
        entry=page_entry,
        documents={"html/index.html": index_document},
    ),
}
"""Every format by its name."""
USUAL = ("overlay", panoptic.PANOPTIC)
"""The formats that are written where none is asked for."""


def known_formats(names: str | Iterable[str]) -> tuple[str, ...]:
    """The formats of these names, or of a text of names with commas between; each once, in the order of `FORMATS`.

    Raises:
        UsageError: if there is none, or one is not known.
    """
    listed = names.split(",") if isinstance(names, str) else names
    asked = {name.strip().lower() for name in listed} - {""}
    if strange := sorted(asked - FORMATS.keys()) or ([] if asked else [""]):
        near = difflib.get_close_matches(strange[0], FORMATS, n=2, cutoff=0.5)
        meant = f" (near: {', '.join(near)})" if near else ""
        raise UsageError(
            f"there is no format {shown(strange[0])}{meant}; expected one of {', '.join(FORMATS)}, or several with "
            "commas between."
        )
    return tuple(name for name in FORMATS if name in asked)


def files_of(result: Result, formats: str | Iterable[str], stem: str) -> dict[str, bytes]:
    """One picture's files and documents, as `lexiseg segment --format` writes them for a run of that picture alone.

    Args:
        result: of the picture.
        formats: names from `FORMATS`, in any order, also as one text with commas between.
        stem: of the files' names.

    Returns:
        The files' bytes by their names, which may have folders: documents come last.

    Raises:
        UsageError: if a format is not known, or the stem is no name of a file.
        ValueError: if the words are too many for one of the formats.
    """
    if not stem or any(letter in stem for letter in "/\\\0"):
        raise UsageError(f"{printable(stem)} can't be the name of a file: expected one without folders.")
    named = NamedResult(
        result=result,
        stem=stem,
        picture=name_of_picture(result, stem),
        categories=Categories.of(result.vocabulary),
        map_name=f"{stem}.png",
    )
    return dict(all_files(named, known_formats(formats)))


def all_files(
    named: NamedResult, formats: Sequence[str], called: Callable[[str], str] = str
) -> Iterator[tuple[str, bytes]]:
    """The files of one picture, then the documents of a run of that picture alone.

    Args:
        named: the result.
        formats: names from `FORMATS`.
        called: gives a file another name, or an empty one where it is to be left out.
    """
    made = {
        name: {new: content for file, content in FORMATS[name].files(named).items() if (new := called(file))}
        for name in formats
    }
    for files in made.values():
        yield from files.items()
    finished = finish(named, made)
    finished.image["id"] = 1
    run = Run(categories=named.categories, pictures=lambda: iter([finished]))
    for file, document in documents_of(formats).items():
        if new := called(file):
            yield new, "".join(document(run)).encode("utf-8", "replace")


def finish(named: NamedResult, made: Mapping[str, Mapping[str, bytes]]) -> FinishedPicture:
    """What documents may say of a picture of which the files of each format are made."""
    files = [file for name in sorted(made, key=lambda name: name != panoptic.PANOPTIC) for file in made[name]]
    entries = {name: FORMATS[name].entry(named) for name in made if FORMATS[name].documents}
    return FinishedPicture(name=named.map_name, image=named.image(), entries=entries, files=tuple(files))


def documents_of(formats: Sequence[str]) -> dict[str, Document]:
    """The documents of some formats, that of the first one last."""
    return {file: document for name in reversed(formats) for file, document in FORMATS[name].documents.items()}

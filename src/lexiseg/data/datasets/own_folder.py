"""A user's own folder, recognised by what is in it: COCO panoptic, COCO instance, or a label PNG per picture.

The third form is two folders and a list:

    images/    pictures of any common format, also in folders inside
    labels/    PNGs of the same names, whose values are classes (or `annotations/` or `masks/`)
    classes.txt    a name per line, numbered from 0, or each with its own number before it: "7 road", "11 sky:stuff"
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lexiseg.core.concepts import numbered_lines
from lexiseg.core.errors import FormatError, VocabularyError
from lexiseg.core.files import read_json, read_lines
from lexiseg.core.messages import few
from lexiseg.core.vocabulary import Concept, Vocabulary
from lexiseg.data.categories import places
from lexiseg.data.dataset import Category, Dataset, Sample
from lexiseg.data.datasets.folders import stems
from lexiseg.data.formats.coco_instances import read_instances
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.data.formats.label_maps import semantic_dataset

IMAGE_ENDS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".JPG", ".JPEG", ".PNG")
LABEL_FOLDERS = ("labels", "annotations", "masks")
CLASS_FILES = ("classes.txt", "classes.json")
FORMS = (
    "a COCO panoptic JSON beside a folder of id PNGs of its name, a COCO instance JSON, "
    "or images/ and labels/ with a classes.txt"
)


def open_folder(path: Path, split: str | None = None) -> Dataset:
    """Opens a folder, or a COCO JSON in it.

    Args:
        path: the folder or the JSON.
        split: takes `val` of `images/val/` and `labels/val/`, or the JSON that has this word in its name.

    Raises:
        FormatError: if it is in none of the forms, in several, or not readable.
    """
    if path.is_file():
        return _open_json(path)
    if not path.is_dir():
        raise FormatError(f"{path}: there is no such folder, and no data set of the catalogue is called so.")
    classes = [path / name for name in CLASS_FILES if (path / name).is_file()]
    if classes:
        return read_labels_folder(path, classes[0], split)
    jsons = sorted(file for file in (*path.glob("*.json"), *path.glob("annotations/*.json")))
    if split is not None:
        jsons = [file for file in jsons if re.search(rf"(?<![a-z]){re.escape(split)}(?![a-z])", file.stem)]
    panoptic = [file for file in jsons if file.with_suffix("").is_dir()]
    if split is not None and not jsons:
        raise FormatError(f"{path}: no JSON has {split!r} in its name, so the data set has no such split.")
    if split is None and ((path / "panoptic.json").is_file() or len(panoptic) > 1):
        return read_panoptic(path)
    if panoptic:
        return _open_json(panoptic[0])
    if len(jsons) == 1:
        return _open_json(jsons[0])
    if jsons:
        raise FormatError(f"{path}: found several data sets ({few([f.name for f in jsons])}). Name the JSON itself.")
    raise FormatError(f"{path}: this is no data set that is known; expected {FORMS}.")


def read_labels_folder(root: Path, classes: Path, split: str | None = None) -> Dataset:
    """Reads a label PNG per picture.

    Raises:
        FormatError: if a folder is missing, two pictures have one name, or the classes are none.
    """
    folders = [root / name for name in LABEL_FOLDERS if (root / name).is_dir()]
    if not folders or not (root / "images").is_dir():
        raise FormatError(f"{root}: beside {classes.name}, expected a folder images/ and a folder labels/.")
    images, labels = root / "images", folders[0]
    if split is not None:
        images, labels = images / split, labels / split
        if not images.is_dir():
            raise FormatError(f"{images}: there is no such folder, so the data set has no split {split!r}.")
    categories = read_classes(classes)
    image_of: dict[str, str] = {}
    for end in IMAGE_ENDS:
        for stem in stems(images, end, deep=True):
            if stem in image_of:
                raise FormatError(f"{images}: {stem}{end} and {image_of[stem]} have one name. Rename one of them.")
            image_of[stem] = f"{stem}{end}"
    names = sorted({*image_of, *stems(labels, ".png", deep=True)})
    if not names:
        raise FormatError(f"{images}: there are no pictures.")
    samples = tuple(
        Sample(
            file_name=image_of.get(name, name),
            image_path=images / image_of.get(name, f"{name}.jpg"),
            mask_path=labels / f"{name}.png",
        )
        for name in names
    )
    return semantic_dataset(categories, samples, places(categories), ignored=frozenset({0, 255, 65535}))


def read_classes(path: Path) -> tuple[Category, ...]:
    """Reads names and values: text as described above, or JSON as a list, a mapping or COCO's categories.

    Raises:
        FormatError: if there is no class, a name is none, or a value or name stands twice.
    """
    numbered = _numbered_json(path) if path.suffix == ".json" else _numbered_lines(path)
    if not numbered:
        raise FormatError(f"{path}: there are no classes. Write one name per line.")
    categories = []
    for value, concept in numbered:
        if value < 0:
            raise FormatError(f"{path}: the value of {concept.name!r} must not be negative, got {value}.")
        categories.append(Category(id=value, name=concept.name, is_thing=concept.is_thing))
    for what in ("id", "name"):
        seen = [getattr(category, what) for category in categories]
        if twice := sorted({item for item in seen if seen.count(item) > 1}):
            raise FormatError(f"{path}: {twice[0]!r} stands twice. Give every class its own name and value.")
    return tuple(categories)


def _numbered_lines(path: Path) -> list[tuple[int, Concept]]:
    return [(number, _concept(line, path)) for number, line in numbered_lines(read_lines(path))]


def _numbered_json(path: Path) -> list[tuple[int, Concept]]:
    content = read_json(path)
    try:
        if isinstance(content, Mapping):
            return [(int(value), _concept(name, path)) for value, name in content.items()]
        if all(isinstance(entry, str) for entry in content):
            return [(number, _concept(name, path)) for number, name in enumerate(content)]
        return [(int(entry["id"]), _coco_concept(entry, path)) for entry in content]
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            f'{path}: expected a list of names, a mapping such as {{"7": "road"}}, or COCO\'s categories '
            f"({type(error).__name__}: {error})."
        ) from error


def _coco_concept(entry: Mapping[str, Any], path: Path) -> Concept:
    is_thing = entry.get("isthing", entry.get("is_thing"))
    return _concept(entry["name"] if is_thing is None else [entry["name"], bool(is_thing)], path)


def _concept(written: Any, path: Path) -> Concept:
    """A class as people write it, with or without `:thing` or `:stuff`."""
    try:
        if isinstance(written, list):
            return Concept(str(written[0]), is_thing=bool(written[1]))
        return Vocabulary.of([str(written)]).concepts[0]
    except VocabularyError as error:
        raise FormatError(f"{path}: {error}") from error


def _open_json(path: Path) -> Dataset:
    """Opens a COCO JSON, panoptic or instance by its content."""
    content = read_json(path)
    annotations = content.get("annotations") if isinstance(content, Mapping) else None
    if not isinstance(annotations, list):
        raise FormatError(f"{path}: this is no data set that is known; expected {FORMS}.")
    first = annotations[0] if annotations and isinstance(annotations[0], Mapping) else {}
    if "segments_info" in first:
        return read_panoptic(path)
    return read_instances(path)

"""A user's own folder, recognised by what is in it: a COCO JSON, or a file of labels per picture.

The second form is two folders and a list:

    images/    pictures of any common format, also in folders inside (or `JPEGImages/`)
    labels/    of the same names: pictures whose values are classes, or YOLO's texts of polygons
               (or `annotations/`, `masks/`, `SegmentationClass/`)
    classes.txt    a name per line, numbered from 0, or each with its own number before it: "7 road", "11 sky:stuff"

Other tools have other lists: `class_names.txt` of labelme, `labelmap.txt` of CVAT and Datumaro with a colour for every
class, `data.yaml` of YOLO.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lexiseg.core.concepts import numbered_lines, shown_names
from lexiseg.core.errors import FormatError, VocabularyError
from lexiseg.core.files import no_collection, read_json, read_lines, read_text
from lexiseg.core.messages import few
from lexiseg.core.picture_files import SUFFIXES
from lexiseg.core.vocabulary import Concept, Vocabulary
from lexiseg.data.categories import places
from lexiseg.data.dataset import Category, Dataset, Sample
from lexiseg.data.datasets.folders import files_below, without_end
from lexiseg.data.formats.coco_instances import read_instances
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.data.formats.label_maps import semantic_dataset
from lexiseg.data.formats.layouts import LABEL_FOLDERS, SPLIT_WORDS, Remarks, fold
from lexiseg.data.formats.yolo_polygons import read_polygons

IMAGE_FOLDERS = ("images", "JPEGImages")
LABELME, COLOURS = "class_names.txt", "labelmap.txt"
OWN_CLASSES = ("classes.txt", "classes.json")
CLASS_FILES = (*OWN_CLASSES, LABELME, COLOURS, "data.yaml")
"""Other tools' lists, and those in `labels/`, count where there is no COCO JSON."""
UNLISTED = "pictures in no list of ImageSets/Segmentation: {n}, first {first}; they are left out."
LONELY = "texts without a picture: {n}, first {first}; they are left out."
VOID_NAMES = frozenset(("background", "_background_", "__ignore__"))
"""What is no class in the lists of labelme and in those with colours."""
HIGHEST = 255
"""The largest number of a colour."""
VOC_LISTS = "ImageSets/Segmentation"
FORMS = (
    "a COCO panoptic JSON beside a folder of id PNGs of its name, a COCO instance JSON, "
    "or images/ and labels/ with a classes.txt"
)


def open_folder(path: Path, split: str | None = None) -> Dataset:
    """Opens a folder, or a COCO JSON in it.

    Args:
        path: the folder or the JSON.
        split: takes `val` of `images/val/` and `labels/val/`, or of `val/images/` and `val/labels/`; or the JSON that
            has this word in its name or in that of its folder.

    Raises:
        FormatError: if it is in none of the forms, in several, or not readable.
    """
    if path.is_file():
        return _open_json(path)
    if not path.is_dir():
        raise FormatError(f"{path}: there is no such folder, and no data set of the catalogue is called so.")
    if (classes := _class_file(path)) is not None:
        return read_labels_folder(path, classes, split)
    jsons = _jsons(path, split)
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
        names = [file.name if file.parent in (path, path / "annotations") else file.relative_to(path) for file in jsons]
        raise FormatError(f"{path}: found several data sets ({few(names)}). Name the JSON itself.")
    raise FormatError(f"{path}: this is no data set that is known; expected {FORMS}.")


def open_split(path: Path, usual: str) -> Dataset:
    """Opens a folder where no split is named: the usual one of a folder that has val and train, or else all of it.

    Raises:
        FormatError: as `open_folder` does.
    """
    if not has_splits(path):
        return open_folder(path)
    dataset = open_folder(path, usual)
    note = f"the folder has train and val: {usual} is taken, as no split is named."
    return replace(dataset, notes=(note, *dataset.notes))


def has_splits(path: Path) -> bool:
    """Whether a folder holds val and train, so that all of it is both."""
    if not path.is_dir() or (path / "panoptic.json").is_file():
        return False
    if (classes := _class_file(path)) is not None:
        return all(_has_split(path, classes, split) for split in ("val", "train"))
    panoptic = [file for file in _jsons(path) if file.with_suffix("").is_dir()]
    kept = panoptic or _jsons(path)
    return all(set(kept) & set(_jsons(path, split)) for split in ("val", "train"))


def _has_split(root: Path, classes: Path, split: str) -> bool:
    try:
        return bool(_images_and_labels(root, classes, split))
    except FormatError:
        return False


def _class_file(path: Path) -> Path | None:
    lists = [folder / name for folder in (path, path / LABEL_FOLDERS[0]) for name in CLASS_FILES]
    found = next(filter(Path.is_file, lists), None)
    if found is None or (found.parent == path and found.name in OWN_CLASSES):
        return found
    return None if any(b'"annotations"' in file.read_bytes() for file in _jsons(path) if file.is_file()) else found


def _jsons(path: Path, split: str | None = None) -> list[Path]:
    """The JSONs of a folder, or those that have the split's word in their name or in that of their folder."""
    found = sorted((*path.glob("*.json"), *path.glob("annotations/*.json"))) or sorted(path.glob("*/*.json"))
    if split is None:
        return found
    words = "|".join(map(re.escape, SPLIT_WORDS.get(split, (split,))))
    mark = re.compile(rf"(?<![a-z])({words})(?![a-z])")
    return [file for file in found if mark.search(str(file.relative_to(path).with_suffix("")))]


def read_labels_folder(root: Path, classes: Path, split: str | None = None) -> Dataset:
    """Reads a file of labels per picture: a map, or a text of polygons.

    Raises:
        FormatError: if a folder is missing, two pictures have one name, or the classes are none.
    """
    images, labels, named = _images_and_labels(root, classes, split)
    image_of: dict[str, str] = {}
    remarks = Remarks()
    for name in sorted(files_below(images, SUFFIXES), key=_is_gif):
        if (stem := without_end(name)) in image_of:
            if _is_gif(name):
                continue  # a preview
            raise FormatError(f"{images}: {name} and {image_of[stem]} have one name. Rename one of them.")
        image_of[stem] = name
    maps, texts = files_below(labels, SUFFIXES), [n for n in files_below(labels, (".txt",)) if n not in CLASS_FILES]
    maps = [name for name in maps if name.lower().endswith(".png")] or maps  # others beside are previews
    label_of = _paired(image_of, maps or texts)
    stems = sorted({*image_of, *label_of}) if named is None else named
    if not stems:
        raise FormatError(f"{images}: there are no pictures.")
    if split is None and named is not None:
        for stem in sorted(image_of.keys() - {*named}):
            remarks.add(UNLISTED, image_of[stem])
    if texts and not maps:
        for stem in sorted(label_of.keys() - image_of.keys()):
            remarks.add(LONELY, label_of[stem])
        shown = [stem for stem in stems if stem in image_of]
        pictures = {image_of[stem]: labels / label_of[stem] if stem in label_of else None for stem in shown}
        return _noted(read_polygons(images, pictures, read_classes(classes)), remarks)
    samples = tuple(
        Sample(
            file_name=image_of.get(stem, stem),
            image_path=images / image_of.get(stem, f"{stem}.jpg"),
            mask_path=labels / label_of.get(stem, f"{stem}.png"),
        )
        for stem in stems
    )
    if classes.name == COLOURS:
        colours = _colours_of(classes)
        categories = tuple(category for category in colours.values() if category is not None)
        class_of = {code: categories.index(category) for code, category in colours.items() if category is not None}
        return _noted(semantic_dataset(categories, samples, class_of, encoding="colours"), remarks)
    categories = read_classes(classes)
    void = frozenset({0, 255, 65535})
    return _noted(semantic_dataset(categories, samples, places(categories), ignored=void), remarks)


def _is_gif(name: str) -> bool:
    return name.lower().endswith(".gif")


def _noted(dataset: Dataset, remarks: Remarks) -> Dataset:
    return replace(dataset, notes=(*remarks.sentences(), *dataset.notes))


def _images_and_labels(root: Path, classes: Path, split: str | None) -> tuple[Path, Path, list[str] | None]:
    """The folders of pictures and labels; and the names in VOC's list of the split, without ends, if there are any."""
    words = () if split is None else SPLIT_WORDS.get(split, (split,))
    inside = sorted(folder for folder in root.glob("*") if _half(folder, IMAGE_FOLDERS))  # train/images/, valid/images/
    tops = (root, *(root / word for word in words), *(inside if split is None and len(inside) == 1 else ()))
    halves = ((_half(top, IMAGE_FOLDERS), _half(top, LABEL_FOLDERS)) for top in tops)
    images, labels = next(((one, other) for one, other in halves if one and other), (None, None))
    if images is None or labels is None:
        hint = f" It has the splits {', '.join(one.name for one in inside)}: name one with --split." if inside else ""
        raise FormatError(f"{root}: beside {classes.name}, expected a folder images/ and a folder labels/.{hint}")
    lists = sorted((root / VOC_LISTS).glob("*.txt"))
    if images.parent != root or not (split or lists):
        return images, labels, None
    if lists:
        chosen = [file for file in lists if split is None or file.stem in words]
        if not chosen:
            raise FormatError(f"{root / VOC_LISTS}: there is no {split}.txt, so the data set has no split {split!r}.")
        lines = {line.split()[0] for file in chosen for line in read_lines(file)}
        return images, labels, sorted({_listed(name) for name in lines})
    if (word := next((word for word in words if (images / word).is_dir()), None)) is None:
        raise FormatError(f"{images / str(split)}: there is no such folder, so the data set has no split {split!r}.")
    return images / word, labels / next((one for one in words if (labels / one).is_dir()), word), None


def _listed(name: str) -> str:
    """A name of VOC's lists, some of which have an end, or the path of picture and map."""
    name = name.rpartition("/")[2] if name.startswith("/") else name
    return without_end(name) if name.lower().endswith(tuple(SUFFIXES)) else name


def _half(folder: Path, names: Iterable[str]) -> Path | None:
    """The first of the folders that are there; of several, the first with a label or a picture."""
    there = [folder / name for name in names if (folder / name).is_dir()]
    full = (one for one in there if len(there) > 1 and files_below(one, (*SUFFIXES, ".txt")))
    return next(full, there[0] if there else None)


def _paired(image_of: Mapping[str, str], labels: Iterable[str]) -> dict[str, str]:
    """The label file of each stem: that of a picture where one has it, whatever its letters' case, or its own.

    Of two files with one stem, a PNG counts.
    """
    stems = {fold(stem): stem for stem in image_of}
    found: dict[str, str] = {}
    for name in sorted(labels, key=lambda name: name.lower().endswith(".png")):
        stem = without_end(name)
        found[stem if stem in image_of else stems.get(fold(stem), stem)] = name
    return found


def read_classes(path: Path) -> tuple[Category, ...]:
    """Reads names and values: text as described above, or JSON as a list, a mapping or COCO's categories.

    Raises:
        FormatError: if there is no class, a name is none, or a value or name stands twice.
    """
    if path.name == COLOURS:
        return tuple(category for category in _colours_of(path).values() if category is not None)
    numbered = _numbered_lines(path) if path.suffix == ".txt" else _numbered_document(path)
    if path.name == LABELME:
        numbered = [(value, concept) for value, concept in numbered if concept.name not in VOID_NAMES]
    if not numbered:
        raise FormatError(f"{path}: there are no classes. Write one name per line.")
    categories = []
    names = shown_names(concept for _, concept in numbered)
    for name, (value, concept) in zip(names, numbered, strict=True):
        if value < 0:
            raise FormatError(f"{path}: the value of {name!r} must not be negative, got {value}.")
        categories.append(Category(id=value, name=name, is_thing=concept.is_thing))
    for what in ("id", "name"):
        seen = [getattr(category, what) for category in categories]
        if twice := sorted({item for item in seen if seen.count(item) > 1}):
            raise FormatError(f"{path}: {twice[0]!r} stands twice. Give every class its own name and value.")
    return tuple(categories)


def _colours_of(path: Path) -> dict[int, Category | None]:
    """The class of each colour, R + 256 G + 65536 B, in lines of "name:red,green,blue:parts:actions"; None is void.

    A line without a colour has that of VOC's colour map for its place.
    """
    found: dict[int, Category | None] = {}
    for number, line in enumerate(one for one in read_lines(path) if not one.startswith("#")):
        if (match := re.fullmatch(r"([^:]+):(?:(\d+),(\d+),(\d+))?(?::.*)?", line)) is None:
            raise FormatError(f"{path}: expected lines such as 'cat:128,0,0::', got {line!r}.")
        concept = _concept(match[1], path)
        code = sum(int(match[place + 2]) << 8 * place for place in range(3)) if match[2] else _voc_colour(number)
        if code in found or max(map(int, match.groups("0")[1:])) > HIGHEST:
            raise FormatError(
                f"{path}: expected a colour of its own, of numbers to {HIGHEST}, for every class: {line!r}."
            )
        is_void = concept.name in VOID_NAMES
        found[code] = None if is_void else Category(id=number, name=concept.name, is_thing=concept.is_thing)
    if not any(found.values()):
        raise FormatError(f"{path}: there are no classes. Write one per line, such as 'cat:128,0,0::'.")
    return found


def _voc_colour(number: int) -> int:
    """The colour of a class in VOC's map, as a code: its bits, three by three, are the high ones of the channels."""
    places = ((bit, channel) for bit in range(8) for channel in range(3))
    return sum((number >> 3 * bit + channel & 1) << 7 - bit + 8 * channel for bit, channel in places)


def _numbered_lines(path: Path) -> list[tuple[int, Concept]]:
    return [(number, _concept(line, path)) for number, line in numbered_lines(read_lines(path))]


def _numbered_document(path: Path) -> list[tuple[int, Concept]]:
    content = read_json(path) if path.suffix == ".json" else _yaml_names(path)
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
            f'{path}: expected a list of names, a mapping such as {{"7": "road"}}, or COCO\'s categories with id and '
            "name."
        ) from error


def _yaml_names(path: Path) -> Any:
    """The `names` of YOLO's data.yaml: a list, or a mapping from numbers."""
    import yaml  # here, because it costs more than all else that most data sets need

    try:
        content = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise FormatError(f"{path}: this is no YAML ({' '.join(str(error).split())}).") from error
    if not isinstance(content, Mapping) or not isinstance(content.get("names"), list | Mapping):
        raise FormatError(f"{path}: expected `names`, a list of classes or a mapping from their numbers.")
    return content["names"]


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
    with no_collection():
        content = read_json(path)
        annotations = content.get("annotations") if isinstance(content, Mapping) else None
        if not isinstance(annotations, list):
            raise FormatError(f"{path}: this is no data set that is known; expected {FORMS}.")
        first = annotations[0] if annotations and isinstance(annotations[0], Mapping) else {}
        read = read_panoptic if "segments_info" in first else read_instances
        return read(path, content=content)

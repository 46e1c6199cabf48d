"""COCO panoptic format, read and written: id PNGs beside one JSON, for drawings and photographs.

A pixel's id is R + 256 G + 65536 B of the PNG; 0 is void. Nothing here needs torch. The entries of the JSON, in and
out, are named in this file and in `coco_segments` alone.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, Integer
from PIL import Image

from lexiseg.core.checks import check_size
from lexiseg.core.errors import FormatError
from lexiseg.core.files import STAGED, StagingFolder, read_json, read_json_object, writing
from lexiseg.data.dataset import (
    Annotation,
    Category,
    Dataset,
    Sample,
    Segmentation,
    SegmentInfo,
    describe_segments,
    last_of_each_id,
)
from lexiseg.data.formats.coco_segments import listed_segments
from lexiseg.data.formats.layouts import (
    FileFinder,
    Remarks,
    category_number,
    find_annotations,
    in_format,
    name_of,
    picture_finder,
    to_flag,
    to_id,
)
from lexiseg.data.id_maps import MAX_ID, VOID, compact, load_ids, run_lengths, save_ids

IMAGE_KEYS = ("id", "file_name", "height", "width")
FORM = "COCO panoptic format"


def read_panoptic(
    root: Path,
    *,
    annotations: Path | None = None,
    images: Path | None = None,
    masks: Path | None = None,
    categories: Sequence[Category] | None = None,
    content: Any = None,
    finds_pictures: bool = True,
) -> Dataset:
    """Reads the JSON of a data set; pictures and masks are opened later, one sample at a time.

    Found without help: our own layout (`images/`, `panoptic/`, `panoptic.json`), and every JSON in the folder or in its
    `annotations/` that has a folder of the same name beside it, as COCO has.

    Args:
        root: the folder, or the JSON itself.
        annotations: the JSON, where there are several or it lies elsewhere.
        images: the folder of pictures.
        masks: the folder of id PNGs.
        categories: for files of predictions, which carry none.
        content: of the JSON, where it has been read already.
        finds_pictures: looks for those that are not where they are listed.

    Raises:
        FormatError: if nothing is found, the choice is not unique, or the JSON is not in format.
    """
    if root.is_file():
        root, annotations = root.parent, annotations or root
        root = root.parent if root.name == "annotations" else root
    annotations = annotations or find_annotations(root)
    masks = masks or annotations.with_suffix("")
    is_prediction = categories is not None  # its own list of pictures, if there is one, means nothing
    content = read_json(annotations) if content is None else content
    with in_format(annotations, FORM, content, **_needed(content, is_prediction=is_prediction)):
        if categories is None:
            categories = [_to_category(entry) for entry in content["categories"]]
        pictures = {} if is_prediction else _pictures_of(content)
        finder = picture_finder(annotations, masks) if images is None else FileFinder([images], skip=masks)
        remarks = Remarks()
        told = remarks if finds_pictures and pictures else None
        samples = _samples(
            content["annotations"], pictures, categories, partial(finder.find_all, remarks=told), masks, remarks
        )
    if len({category.id for category in categories}) < len(categories):
        raise FormatError(f"{annotations}: two categories have one id. Give each its own.")
    if len({sample.image_id for sample in samples}) < len(samples):
        raise FormatError(f"{annotations}: a picture has two annotations. Leave one of them out.")
    return _dataset(categories, samples, remarks)


def read_lists(annotations: Path, content: Any = None) -> tuple[tuple[Category, ...], dict[str, int | str]]:
    """Reads what a JSON lists: categories, and ids of pictures by file name; `content` where it is read already.

    Raises:
        FormatError: if the JSON is not in format.
    """
    content = read_json_object(annotations) if content is None else content
    with in_format(annotations, FORM, content):
        categories = tuple(_to_category({"isthing": 1, **entry}) for entry in content.get("categories") or ())
        return categories, {name_of(picture): key for key, picture in _pictures_of(content).items()}


def read_named_panoptic(
    annotations: Path,
    masks: Path,
    categories: Sequence[Category],
    images: Path,
    rename: Callable[[str], str] = str,
) -> Dataset:
    """Reads a JSON whose pictures have names for ids, as those of ADE20K and Cityscapes have.

    Pictures are numbered from 1 in the order of the JSON.

    Args:
        annotations: the JSON.
        masks: the folder of id PNGs.
        categories: what the numbers in the JSON mean; the JSON's own names are not used.
        images: the folder of pictures.
        rename: the picture's name there, of the one that the JSON has for it.

    Raises:
        FormatError: if the JSON is not in format, or speaks of other categories.
    """
    content = read_json(annotations)
    known = {category.id for category in categories}
    with in_format(annotations, FORM, content, **_needed(content)):
        if strange := sorted({int(c["id"]) for c in content["categories"]} - known):
            raise FormatError(
                f"category {strange[0]} is none of this data set; the JSON belongs to another one, or was made with "
                "other numbers."
            )
        pictures = {key: {**one, "file_name": rename(name_of(one))} for key, one in _pictures_of(content).items()}
        if content["annotations"] and not pictures:
            raise FormatError(f"picture {content['annotations'][0]['image_id']} is not among the images.")
        remarks = Remarks()
        find = partial(FileFinder([images]).find_all, remarks=remarks)
        found = _samples(content["annotations"], pictures, categories, find, masks, remarks)
    numbered = enumerate(found, start=1)
    return _dataset(categories, [replace(s, image_id=n, file_name=s.image_path.name) for n, s in numbered], remarks)


def _dataset(categories: Sequence[Category], samples: Sequence[Sample], remarks: Remarks) -> Dataset:
    has_captions = any(sample.captions for sample in samples)
    return Dataset(
        categories=tuple(categories),
        samples=tuple(samples),
        kinds=frozenset({"panoptic", "captions"}) if has_captions else frozenset({"panoptic"}),
        read=read_segmentation,
        notes=remarks.sentences(),
    )


def read_segmentation(sample: Sample, categories: Sequence[Category], strict: bool) -> Annotation:
    """Reads the id map of a sample; see `Dataset.annotation`. Of entries with one id the last counts.

    Raises:
        FormatError: naming the picture, if the map can't be read or a category is unknown; if strict, also where the
            picture is missing, or an id stands in the PNG alone.
    """
    name, segments = sample.file_name, last_of_each_id(sample.segments or ())
    assert sample.mask_path is not None, "every sample of this format has its PNG"
    if strict and not sample.image_path.is_file():
        raise FormatError(f"{name}: the picture is missing, expected it at {sample.image_path}.")
    check_list(name, segments, categories)
    ids = load_ids(sample.mask_path)
    if strict:
        check_segmentation(name, ids, segments)
    panoptic = Segmentation(ids=ids, segments=segments)
    return Annotation(sample=sample, panoptic=panoptic, captions=sample.captions)


def check_segmentation(name: str, ids: Int32[np.ndarray, "H W"], segments: Sequence[SegmentInfo]) -> None:
    """Refuses a map with an id that its list lacks; `name` stands in the message.

    A listed segment without a pixel is refused by nobody: ADE20K's usual files list stuff that things cover wholly.
    """
    (values,), _ = run_lengths(ids)
    places = compact(values, [VOID, *{segment.id for segment in segments}])
    if (places < 0).any():
        raise FormatError(f"{name}: segment {int(values[places < 0][0])} is in the PNG but not in the JSON.")


def check_list(name: str, segments: Sequence[SegmentInfo], categories: Sequence[Category]) -> None:
    """Refuses a list of segments that makes no sense, whatever the map."""
    known = {category.id for category in categories}
    for segment in segments:
        if segment.category_id not in known:
            raise FormatError(
                f"{name}: segment {segment.id} has category {segment.category_id}, which is not among the categories."
            )
        if not VOID < segment.id <= MAX_ID:
            raise FormatError(f"{name}: segment ids must lie in 1 to {MAX_ID}, got {segment.id}.")


class PanopticWriter:
    """Writes a data set that `read_panoptic` reads; it appears whole or, on failure, not at all.

    Everything is written under a temporary name inside `root` and renamed at the end. With
    `overwrite` the older data set stays until then; other files in the folder are never touched.

    Usage: `with PanopticWriter(root, categories) as writer: writer.add(...)`.
    """

    def __init__(self, root: Path, categories: Sequence[Category], overwrite: bool = False) -> None:
        """Reserves the folder.

        Raises:
            ValueError: if the folder is not empty and `overwrite` is off, if overwriting would
                delete pictures that are no data set's, or if the folder can't be written.
        """
        self.root = root
        self._categories = tuple(categories)
        self._written: dict[int, tuple[Sample, tuple[int, ...]]] = {}
        self._names: set[str] = set()
        with writing(root, ValueError, way_out="choose another folder"):
            there = root.iterdir() if root.exists() else ()
            content = {path.name for path in there if not path.name.startswith(STAGED)}
            if content and not overwrite:
                raise ValueError(f"{root} is not empty. Choose another folder or ask to overwrite it.")
            if content & {"images", "panoptic"} and "panoptic.json" not in content:
                raise ValueError(
                    f"{root} holds pictures but no panoptic.json, so it is no data set that may be "
                    "overwritten. Choose another folder."
                )
            self._staging = StagingFolder(root)
            (self._staging.path / "images").mkdir()
            (self._staging.path / "panoptic").mkdir()

    def add(
        self,
        image_id: int,
        picture: Image.Image,
        ids: Integer[np.ndarray, "H W"],
        category_ids: Mapping[int, int],
        *,
        crowd: Collection[int] = (),
        extras: Mapping[str, Any] | None = None,
        file_name: str | None = None,
    ) -> Sample:
        """Writes one picture and its map; area, box and iscrowd follow from the map.

        Args:
            image_id: unique in the data set.
            picture: RGB, of the size of the map.
            ids: the map; 0 is void.
            category_ids: for each segment id, the category; ids without a pixel are left out.
            crowd: ids that are regions of many things.
            extras: what else to say of the picture, as JSON values: captions, labels.
            file_name: the picture's name, twelve digits and `.png` if not given. Its end decides
                the format.

        Returns:
            The sample as it will be found after closing.

        Raises:
            ValueError: if the picture was written before, the sizes differ, a segment has no
                category, or a category is unknown.
        """
        file_name = file_name or f"{image_id:012d}.png"
        mask_name = Path(file_name).with_suffix(".png").name
        if Path(file_name).name != file_name:
            raise ValueError(f"{file_name!r} must be a plain file name, without folders.")
        if image_id in self._written or mask_name in self._names:
            raise ValueError(f"{file_name} (id {image_id}) was already written. Give each its own.")
        check_size(f"{file_name}: the picture", picture.size[::-1], "its map", ids.shape)
        segments = describe_segments(ids, category_ids, crowd=crowd)
        if unknown := {s.category_id for s in segments} - {c.id for c in self._categories}:
            raise ValueError(f"{file_name}: category {min(unknown)} is not among the categories.")
        with writing(self.root, ValueError):
            picture.save(self._staging.path / "images" / file_name)
            save_ids(self._staging.path / "panoptic" / mask_name, ids)
        sample = Sample(
            image_id=image_id,
            file_name=file_name,
            image_path=self.root / "images" / file_name,
            mask_path=self.root / "panoptic" / mask_name,
            segments=segments,
            captions=tuple((extras or {}).get("captions") or ()),
            extras=dict(extras or {}),
        )
        self._written[image_id] = sample, ids.shape
        self._names.add(mask_name)
        return sample

    def close(self) -> None:
        """Writes the JSON and moves everything to its final name."""
        try:
            text = to_json(self._written.values(), self._categories)
            with writing(self.root, ValueError):
                (self._staging.path / "panoptic.json").write_text(text, encoding="utf-8")
                self._staging.publish("images", "panoptic", "panoptic.json")
        finally:
            self._staging.discard()

    def __enter__(self) -> "PanopticWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self._staging.discard()


def to_json(samples: Iterable[tuple[Sample, tuple[int, ...]]], categories: Sequence[Category]) -> str:
    """The JSON of samples, each with the height and width of its picture.

    Raises:
        TypeError, ValueError: if JSON can't hold what a sample's extras say.
    """
    images, annotations = [], []
    for sample, (height, width) in samples:
        assert sample.mask_path is not None, "every sample of this format has its PNG"
        images.append({**sample.extras, **image_entry(sample.key, sample.file_name, height, width)})
        annotations.append(annotation_entry(sample.key, sample.mask_path.name, sample.segments or ()))
    content = {"images": images, "annotations": annotations, "categories": [category_entry(c) for c in categories]}
    return json.dumps(content, ensure_ascii=False)


def image_entry(image_id: int | str, file_name: str, height: int, width: int) -> dict[str, Any]:
    """A picture, as the JSON lists it."""
    return dict(zip(IMAGE_KEYS, (image_id, file_name, height, width), strict=True))


def annotation_entry(image_id: int | str, mask_name: str, segments: Iterable[SegmentInfo]) -> dict[str, Any]:
    """A picture's segments, as the JSON lists them."""
    keys = ("id", "category_id", "area", "bbox", "iscrowd")
    values = ((s.id, s.category_id, s.area, list(s.box), int(s.is_crowd)) for s in segments)
    listed = [dict(zip(keys, one, strict=True)) for one in values]
    return {"image_id": image_id, "file_name": mask_name, "segments_info": listed}


def category_entry(category: Category) -> dict[str, Any]:
    """A category, as the JSON lists it."""
    return {"id": category.id, "name": category.name, "isthing": int(category.is_thing)}


def _needed(content: Any, *, is_prediction: bool = False) -> dict[str, Sequence[str]]:
    """The lists that a JSON must have, and the keys of their entries; that of pictures may be absent."""
    needed: dict[str, Sequence[str]] = {"annotations": ("image_id", "file_name", "segments_info")}
    if is_prediction:
        return needed
    lists_pictures = isinstance(content, Mapping) and "images" in content
    pictures = {"images": ("id", "file_name|coco_url")} if lists_pictures else {}
    return {"categories": ("id", "name", "isthing"), **pictures, **needed}


def _to_category(entry: Mapping[str, Any]) -> Category:
    return Category(id=category_number(entry), name=str(entry["name"]), is_thing=to_flag(entry["isthing"]))


def _pictures_of(content: Mapping[str, Any]) -> dict[int | str, Mapping[str, Any]]:
    return {to_id(picture["id"]): picture for picture in content.get("images", ())}


def _samples(
    entries: Sequence[Mapping[str, Any]],
    pictures: Mapping[int | str, Mapping[str, Any]],
    categories: Sequence[Category],
    find: Callable[[Sequence[str]], list[Path]],
    masks: Path,
    remarks: Remarks,
) -> tuple[Sample, ...]:
    """The samples of a JSON's annotations; `find` finds pictures."""
    mask_names = [str(entry["file_name"]) for entry in entries]
    image_ids = [to_id(entry["image_id"]) for entry in entries]
    for image_id, mask_name in zip(image_ids, mask_names, strict=True) if pictures else ():
        if image_id not in pictures:
            raise FormatError(f"{mask_name} belongs to picture {image_id}, which is not among the images.")
    # Files of predictions list no pictures; a picture then has its mask's name.
    listed = [
        pictures.get(i) or {"file_name": f"{Path(n).stem}.jpg"} for i, n in zip(image_ids, mask_names, strict=True)
    ]
    names = [name_of(picture) for picture in listed]
    mask_paths = FileFinder([masks]).find_all(mask_names, remarks)
    return tuple(
        Sample(
            image_id=image_id,
            file_name=name,
            image_path=path,
            mask_path=mask_path,
            segments=listed_segments(entry["segments_info"], name, categories, remarks),
            captions=tuple(picture.get("captions") or ()),
            extras={key: value for key, value in picture.items() if key not in IMAGE_KEYS},
        )
        for entry, image_id, picture, name, path, mask_path in zip(
            entries, image_ids, listed, names, find(names), mask_paths, strict=True
        )
    )

"""COCO panoptic format, read and written: id PNGs beside one JSON, for drawings and photographs.

A pixel's id is R + 256 G + 65536 B of the PNG; 0 is void. Nothing here needs torch.
"""

import json
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Int32, Integer
from PIL import Image

from lexiseg.core.errors import FormatError
from lexiseg.data.formats.id_maps import MAX_ID, VOID, Box, compact, load_ids, run_lengths, save_ids, segments_of
from lexiseg.data.formats.layouts import find_annotations, find_images

IMAGE_KEYS = ("id", "file_name", "height", "width")


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """One class of a data set."""

    id: int
    """The data set's own number for it: any non-negative number, with gaps."""
    name: str
    is_thing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentInfo:
    """One segment of one picture."""

    id: int
    """Value of its pixels in the id map; positive."""
    category_id: int
    area: int
    """Pixels."""
    box: Box
    """x, y, width, height in pixels."""
    is_crowd: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One picture with its segmentation, still on disk."""

    image_id: int | str
    """A number as COCO has it, or a name as the files of ADE20K and Cityscapes have it that other programs make."""
    file_name: str
    image_path: Path
    segmentation_path: Path
    segments: tuple[SegmentInfo, ...]
    extras: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else the JSON says of the picture: captions, labels, a licence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticDataset:
    """Categories and samples, in the order of the JSON."""

    categories: tuple[Category, ...]
    samples: tuple[Sample, ...]


def describe_segments(
    ids: Integer[np.ndarray, "H W"], category_ids: Mapping[int, int], *, crowd: Collection[int] = ()
) -> tuple[SegmentInfo, ...]:
    """Describes the segments of a map: area and box are measured, never taken on trust.

    Args:
        ids: the map; 0 is void.
        category_ids: for each segment id, its category. Ids without a pixel are left out.
        crowd: ids that are regions of many things.

    Raises:
        ValueError: if the map holds an id that has no category.
    """
    measured = segments_of(ids)
    if missing := sorted(measured.keys() - category_ids.keys()):
        raise ValueError(f"segment {missing[0]} is in the map but has no category. Name it or paint it 0.")
    return tuple(
        SegmentInfo(id=i, category_id=category_ids[i], area=area, box=box, is_crowd=i in crowd)
        for i, (area, box) in measured.items()
    )


def read_panoptic(
    root: Path,
    *,
    annotations: Path | None = None,
    images: Path | None = None,
    masks: Path | None = None,
    categories: Sequence[Category] | None = None,
) -> PanopticDataset:
    """Reads the JSON of a data set; pictures and masks are opened later, one sample at a time.

    Found without help: our own layout (`images/`, `panoptic/`, `panoptic.json`), and every JSON in
    the folder or in its `annotations/` that has a folder of the same name beside it, as COCO has.

    Args:
        root: the folder, or the JSON itself.
        annotations: the JSON, where there are several or it lies elsewhere.
        images: the folder of pictures.
        masks: the folder of id PNGs.
        categories: for files of predictions, which carry none.

    Raises:
        FormatError: if nothing is found, the choice is not unique, or the JSON is not in format.
    """
    if root.is_file():
        root, annotations = root.parent, annotations or root
        root = root.parent if root.name == "annotations" else root
    annotations = annotations or find_annotations(root)
    masks = masks or annotations.with_suffix("")
    is_prediction = categories is not None  # its own list of pictures, if there is one, means nothing
    try:
        content = json.loads(annotations.read_text(encoding="utf-8-sig"))
        if categories is None:
            categories = [
                Category(id=int(c["id"]), name=str(c["name"]), is_thing=bool(c["isthing"]))
                for c in content["categories"]
            ]
        pictures = {} if is_prediction else {_to_id(p["id"]): p for p in content.get("images", ())}
        if images is None:
            images = find_images(root, masks, [p["file_name"] for p in pictures.values()])
        samples = tuple(_to_sample(entry, pictures, images, masks) for entry in content["annotations"])
    except FormatError as error:
        raise FormatError(f"{annotations}: {error}") from error
    except OSError as error:
        raise FormatError(f"{annotations}: cannot be read ({error.strerror or error}).") from error
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise FormatError(f"{annotations}: not in COCO panoptic format ({type(error).__name__}: {error}).") from error
    if len({category.id for category in categories}) < len(categories):
        raise FormatError(f"{annotations}: two categories have one id. Give each its own.")
    if len({sample.image_id for sample in samples}) < len(samples):
        raise FormatError(f"{annotations}: a picture has two annotations. Leave one of them out.")
    return PanopticDataset(categories=tuple(categories), samples=samples)


def load_segmentation(sample: Sample, categories: Sequence[Category]) -> Int32[np.ndarray, "H W"]:
    """Loads the id map of a sample and holds it against the JSON.

    Raises:
        FormatError: naming the picture, if the picture is missing, a category is unknown, or an id
            is listed twice or stands in only one of PNG and JSON.
    """
    name = sample.file_name
    if not sample.image_path.is_file():
        raise FormatError(f"{name}: the picture is missing, expected it at {sample.image_path}.")
    return check_segmentation(name, load_ids(sample.segmentation_path), sample.segments, categories)


def check_segmentation(
    name: str,
    ids: Int32[np.ndarray, "H W"],
    segments: Sequence[SegmentInfo],
    categories: Sequence[Category],
) -> Int32[np.ndarray, "H W"]:
    """Returns `ids` unchanged if map and list agree; `name` stands in the message if not."""
    check_list(name, segments, categories)
    listed = [segment.id for segment in segments]
    (values,), _ = run_lengths(ids)
    places = compact(values, [VOID, *listed])
    if (places < 0).any():
        stray = int(values[places < 0][0])
        raise FormatError(f"{name}: segment {stray} is in the PNG but not in the JSON.")
    runs = np.bincount(places, minlength=len(listed) + 1)[1:]
    if not runs.all():
        raise FormatError(f"{name}: segment {listed[int(runs.argmin())]} is in the JSON but not in the PNG.")
    return ids


def check_list(name: str, segments: Sequence[SegmentInfo], categories: Sequence[Category]) -> None:
    """Refuses a list of segments that makes no sense, whatever the map."""
    known = {category.id for category in categories}
    for segment in segments:
        if segment.category_id not in known:
            raise FormatError(
                f"{name}: segment {segment.id} has category {segment.category_id}, which is not among the categories."
            )
    listed = [segment.id for segment in segments]
    if len(set(listed)) < len(listed) or any(not VOID < i <= MAX_ID for i in listed):
        raise FormatError(f"{name}: segment ids must be distinct and lie in 1 to {MAX_ID}.")


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
                delete pictures that are no data set's, or if the folder cannot be written.
        """
        self.root = root
        self._categories = tuple(categories)
        self._samples: dict[int | str, Sample] = {}
        self._sizes: dict[int | str, tuple[int, ...]] = {}
        self._names: set[str] = set()
        try:
            self._is_new = not root.exists()
            root.mkdir(parents=True, exist_ok=True)
            content = {p.name for p in root.iterdir() if not p.name.startswith(".partial-")}
            if content and not overwrite:
                raise ValueError(f"{root} is not empty. Choose another folder or ask to overwrite it.")
            if content & {"images", "panoptic"} and "panoptic.json" not in content:
                raise ValueError(
                    f"{root} holds pictures but no panoptic.json, so it is no data set that may be "
                    "overwritten. Choose another folder."
                )
            self._partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=root))
            (self._partial / "images").mkdir()
            (self._partial / "panoptic").mkdir()
        except OSError as error:
            raise ValueError(f"{root} cannot be written ({error.strerror}). Choose another folder.") from error

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
        if image_id in self._samples or mask_name in self._names:
            raise ValueError(f"{file_name} (id {image_id}) was already written. Give each its own.")
        if picture.size != (ids.shape[1], ids.shape[0]):
            raise ValueError(f"{file_name}: the picture is {picture.size}, its map {ids.shape[::-1]}.")
        segments = describe_segments(ids, category_ids, crowd=crowd)
        if unknown := {s.category_id for s in segments} - {c.id for c in self._categories}:
            raise ValueError(f"{file_name}: category {min(unknown)} is not among the categories.")
        picture.save(self._partial / "images" / file_name)
        save_ids(self._partial / "panoptic" / mask_name, ids)
        sample = Sample(
            image_id=image_id,
            file_name=file_name,
            image_path=self.root / "images" / file_name,
            segmentation_path=self.root / "panoptic" / mask_name,
            segments=segments,
            extras=dict(extras or {}),
        )
        self._samples[image_id], self._sizes[image_id] = sample, ids.shape
        self._names.add(mask_name)
        return sample

    def close(self) -> None:
        """Writes the JSON and moves everything to its final name."""
        content = {
            "images": [self._to_image(sample) for sample in self._samples.values()],
            "annotations": [_to_annotation(sample) for sample in self._samples.values()],
            "categories": [{"id": c.id, "name": c.name, "isthing": int(c.is_thing)} for c in self._categories],
        }
        try:
            text = json.dumps(content, ensure_ascii=False)
            (self._partial / "panoptic.json").write_text(text, encoding="utf-8")
        except (OSError, TypeError, ValueError):
            self.discard()
            raise
        # The JSON leaves first and arrives last: where it stands, the pictures stand too.
        for name in ("panoptic.json", "images", "panoptic"):
            if (self.root / name).exists():
                (self.root / name).rename(self._partial / f"old-{name}")
        for name in ("images", "panoptic", "panoptic.json"):
            (self._partial / name).rename(self.root / name)
        shutil.rmtree(self._partial)

    def discard(self) -> None:
        """Removes what was written so far; an older data set stays as it was."""
        shutil.rmtree(self._partial, ignore_errors=True)
        if self._is_new and not any(self.root.iterdir()):
            self.root.rmdir()

    def __enter__(self) -> "PanopticWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()

    def _to_image(self, sample: Sample) -> dict[str, Any]:
        height, width = self._sizes[sample.image_id]
        named = dict(zip(IMAGE_KEYS, (sample.image_id, sample.file_name, height, width), strict=True))
        return {**sample.extras, **named}


def _to_sample(
    entry: Mapping[str, Any], pictures: Mapping[int | str, Mapping[str, Any]], images: Path, masks: Path
) -> Sample:
    image_id, mask_name = _to_id(entry["image_id"]), str(entry["file_name"])
    if pictures and image_id not in pictures:
        raise FormatError(f"{mask_name} belongs to picture {image_id}, which is not among the images.")
    # Files of predictions list no pictures; a picture then has its mask's name.
    picture = pictures.get(image_id, {"file_name": f"{Path(mask_name).stem}.jpg"})
    return Sample(
        image_id=image_id,
        file_name=str(picture["file_name"]),
        image_path=images / picture["file_name"],
        segmentation_path=masks / mask_name,
        segments=tuple(_to_segment(segment) for segment in entry["segments_info"]),
        extras={key: value for key, value in picture.items() if key not in IMAGE_KEYS},
    )


def _to_id(written: Any) -> int | str:
    """COCO's numbers, also where they are written as text, and other programs' names."""
    return written if isinstance(written, str) and not written.isdecimal() else int(written)


def _whole(written: Any) -> int:
    if isinstance(written, float) and not written.is_integer():
        raise ValueError(f"{written} is no whole number")
    return int(written)


def _to_segment(entry: Mapping[str, Any]) -> SegmentInfo:
    x, y, width, height = entry.get("bbox", (0, 0, 0, 0))
    return SegmentInfo(
        id=_whole(entry["id"]),
        category_id=_whole(entry["category_id"]),
        area=int(entry.get("area", 0)),
        box=(int(x), int(y), int(width), int(height)),
        is_crowd=bool(entry.get("iscrowd", 0)),
    )


def _to_annotation(sample: Sample) -> dict[str, Any]:
    segments = [
        {
            "id": s.id,
            "category_id": s.category_id,
            "area": s.area,
            "bbox": list(s.box),
            "iscrowd": int(s.is_crowd),
        }
        for s in sample.segments
    ]
    return {
        "image_id": sample.image_id,
        "file_name": sample.segmentation_path.name,
        "segments_info": segments,
    }

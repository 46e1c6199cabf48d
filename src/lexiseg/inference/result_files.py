"""Writing results: overlays, id PNGs and one COCO panoptic JSON, all or none."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from PIL import Image

from lexiseg.core.files import StagingFolder, writing
from lexiseg.core.messages import printable
from lexiseg.core.picture_files import OVERLAY_MARK
from lexiseg.core.structures import PanopticMap
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Category, SegmentInfo
from lexiseg.data.formats.coco_panoptic import annotation_entry, category_entry, image_entry
from lexiseg.data.id_maps import save_ids

DOCUMENT = "panoptic.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Categories:
    """Category ids of names in COCO files, from 1."""

    numbers: Mapping[tuple[str, bool], int]
    """Category ids by name and whether it is a thing."""

    @staticmethod
    def of(*vocabularies: Vocabulary) -> "Categories":
        """Numbers the concepts of one or more vocabularies in their order; equal ones share a number."""
        keys = dict.fromkeys((c.name, c.is_thing) for v in vocabularies for c in v.concepts)
        return Categories(numbers={key: number for number, key in enumerate(keys, start=1)})

    def to_coco(self) -> list[dict[str, Any]]:
        """The JSON's `categories`."""
        numbered = (Category(id=i, name=name, is_thing=thing) for (name, thing), i in self.numbers.items())
        return [category_entry(category) for category in numbered]


class ResultWriter:
    """Writes the results of any number of pictures into one folder.

    Files are written to a hidden folder inside it and moved at the end; a failure, or Ctrl-C, leaves nothing behind.
    Files of an earlier run with the same names are replaced; other files are not touched.

    Usage: `with ResultWriter(folder, categories) as writer: writer.add(...)`.
    """

    def __init__(self, folder: Path, categories: Categories, *, document: str = DOCUMENT) -> None:
        """Makes the folder.

        Raises:
            ValueError: if it can't be written.
        """
        self.folder = folder
        self._categories = categories
        self._document = document
        self._names: list[str] = []
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        with writing(folder, ValueError, ValueError):  # a name with a null byte is a ValueError
            self._staging = StagingFolder(folder)

    def add(
        self, panoptic: PanopticMap, *, stem: str, overlay: Image.Image, picture_name: str, map_name: str | None = None
    ) -> tuple[Path, Path]:
        """Writes the overlay and the map of one picture.

        Args:
            panoptic: the map.
            stem: of the files' names, unique among the pictures.
            overlay: from `visualize.overlay`.
            picture_name: the picture's file name in the JSON.
            map_name: the map's file name; `stem` with `.png` if not given.

        Returns:
            The paths of overlay and map after closing.

        Raises:
            ValueError: if they can't be written.
        """
        names = f"{stem}{OVERLAY_MARK}.png", map_name or f"{stem}.png"
        with writing(self.folder / names[0], ValueError):
            try:
                for name in names:
                    if (self.folder / name).is_dir():
                        raise IsADirectoryError(None, "a folder has this name")
                overlay.save(self._staging.path / names[0])
                save_ids(self._staging.path / names[1], panoptic.segmentation)
            except OSError:
                for name in names:
                    (self._staging.path / name[:200]).unlink(missing_ok=True)
                raise
        height, width = panoptic.segmentation.shape
        image_id = len(self._images) + 1
        self._names += names
        numbers = [self._categories.numbers[s.name, s.is_thing] for s in panoptic.segments]
        segments = [
            SegmentInfo(id=s.id, category_id=number, area=s.area, box=s.box)
            for s, number in zip(panoptic.segments, numbers, strict=True)
        ]
        annotation = annotation_entry(image_id, names[1], segments)
        for entry, segment in zip(annotation["segments_info"], panoptic.segments, strict=True):
            entry["score"] = round(segment.score, 4)
        self._images.append(image_entry(image_id, picture_name, height, width))
        self._annotations.append(annotation)
        return self.folder / names[0], self.folder / names[1]

    def add_picture(self, name: str, picture: Image.Image) -> Path:
        """Writes one more picture beside the results.

        Raises:
            ValueError: if it can't be written.
        """
        with writing(self.folder / name, ValueError):
            picture.save(self._staging.path / name)
        self._names.append(name)
        return self.folder / name

    def close(self) -> None:
        """Writes the JSON and moves everything to its final name, the JSON last.

        Raises:
            ValueError: if it can't be written.
        """
        categories = self._categories.to_coco()
        content = {"images": self._images, "annotations": self._annotations, "categories": categories}
        try:
            with writing(self.folder, ValueError):
                # ASCII only: a file name that is no valid text can't be encoded as UTF-8
                (self._staging.path / self._document).write_text(json.dumps(content), encoding="ascii")
                self._staging.publish(*self._names, self._document)
        finally:
            self._staging.discard()

    def __enter__(self) -> "ResultWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._images:
            self.close()
        else:
            self._staging.discard()


def check_unspoilt(folder: Path, stems: list[str], pictures: list[Path]) -> None:
    """Checks that results replace neither a picture nor a file that is no earlier result.

    Args:
        folder: where the results go.
        stems: the names of the results.
        pictures: the files that are segmented.

    Raises:
        ValueError: naming the first file that would be replaced.
    """
    given = {picture.resolve() for picture in pictures}
    has_results = (folder / DOCUMENT).is_file()
    for name in (f"{stem}{mark}.png" for stem in stems for mark in ("", OVERLAY_MARK)):
        target = folder / name
        if target.resolve() in given:
            raise ValueError(f"{printable(target)} is one of the pictures and would be replaced; choose another --out.")
        if target.exists() and not has_results:
            raise ValueError(f"{printable(target)} is there already and is no result of lexiseg; choose another --out.")

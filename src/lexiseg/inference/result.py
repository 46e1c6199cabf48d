"""The result of segmenting one picture, with overlay, files and JSON."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image

from lexiseg.core.structures import Guess, PanopticMap, Segment
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.inference.visualize import found_words, overlay
from lexiseg.models.postprocess.instances import Instance
from lexiseg.models.postprocess.semantic import semantic_map


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """One picture's panoptic map, with its vocabulary and the picture itself."""

    segmentation: Int32[np.ndarray, "H W"]
    """Segment ids; 0 is void."""
    segments: tuple[Segment, ...]
    """By falling score; may be empty."""
    vocabulary: Vocabulary
    picture: UInt8[np.ndarray, "H W 3"]
    """RGB, upright."""
    source: Path | None = None
    """The picture's file, where it was one."""
    instances: tuple[Instance, ...] | None = None
    """Things with whole masks that may overlap, best first; None without `with_instances`."""
    called: str | None = None
    """The picture's name, where it is not its file's: of a frame, that of the video with its number."""

    @property
    def name(self) -> str:
        """The picture's name: its file's without the ending, or what it is called."""
        return self.called or ("picture" if self.source is None else self.source.stem or "picture")

    @property
    def panoptic(self) -> PanopticMap:
        """Map and segments only."""
        return PanopticMap(segmentation=self.segmentation, segments=self.segments)

    def semantic(self, *, void: int = -1) -> Int32[np.ndarray, "H W"]:
        """The index of each pixel's concept in the vocabulary; `void` where there is no segment."""
        return semantic_map(self.panoptic, len(self.vocabulary), void=void)

    def overlay(self, *, legend: bool = True) -> Image.Image:
        """Draws the segments over the picture, with names and a legend."""
        return overlay(self.picture, self.panoptic, legend=legend, among=self.vocabulary.names)

    def save(self, where: str | Path, formats: str | Iterable[str] = ("overlay", "panoptic")) -> tuple[Path, ...]:
        """Writes files in any of the formats that `lexiseg segment --format` knows, atomically.

        Args:
            where: an existing folder; or a prefix: "out/cat" gives `out/cat.overlay.png`, `out/cat.panoptic.png` and
                `out/cat.panoptic.json`.
            formats: their names, also as one text with commas between: overlay, panoptic, semantic, instances,
                label-studio, polygons, cutouts, json, html.

        Returns:
            The files, in the order of the formats; then the documents, such as the JSON of `panoptic`.

        Raises:
            UsageError: if a format is not known.
            ValueError: if they can't be written.
        """
        from lexiseg.inference.result_files import save  # here, as it writes results

        where = Path(where)
        folder, name = (where, self.name) if where.is_dir() else (where.parent, where.name)
        return save(self, folder, name, formats)

    def to_coco(self) -> dict[str, Any]:
        """The things as the content of a COCO instance JSON, which pycocotools reads.

        Whole masks that may overlap where the result has `instances`, or else those of the map, as compressed
        run-length codes with their scores. `["annotations"]` alone is what `COCO.loadRes` takes, once their picture
        and categories have the numbers of a truth.
        """
        from lexiseg.inference.formats.instances import to_coco  # here, as it reads results

        return to_coco(self)

    def to_supervision(self) -> Any:
        """The segments, things and stuff, as a `supervision.Detections` (the extra `supervision`).

        It has `mask`; `xyxy`, whose right and lower sides lie behind the last pixel; `confidence`; `class_id`, which
        is the place in the vocabulary; and the names as `data["class_name"]`. All are empty where nothing was found.

        Raises:
            UsageError: if supervision is not installed.
        """
        from lexiseg.inference.formats.detections import to_detections  # here, as it reads results

        return to_detections(self)

    def to_jsonable(self) -> dict[str, Any]:
        """Height and width in pixels and the segments, as plain data for JSON."""
        height, width = self.segmentation.shape
        return {"height": height, "width": width, "segments": [segment_to_jsonable(s) for s in self.segments]}

    def _repr_png_(self) -> bytes:
        """The overlay as PNG bytes, for notebooks."""
        buffer = io.BytesIO()
        self.overlay().save(buffer, format="PNG")
        return buffer.getvalue()

    def __repr__(self) -> str:
        height, width = self.segmentation.shape
        return f"<Result {self.name}: {width} x {height} pixels, {found_words(self.panoptic) or 'nothing found'}>"


def segment_to_jsonable(segment: Segment) -> dict[str, Any]:
    """One segment as plain data."""
    return {
        "id": segment.id,
        "name": segment.name,
        "score": round(segment.score, 4),
        "is_thing": segment.is_thing,
        "area": segment.area,
        "box": list(segment.box),
        "guesses": guesses_to_jsonable(segment.guesses),
        "path": guesses_to_jsonable(segment.path),
    }


def guesses_to_jsonable(guesses: Sequence[Guess]) -> list[dict[str, Any]]:
    """Names with their scores as plain data."""
    return [{"name": guess.name, "score": round(guess.score, 4)} for guess in guesses]

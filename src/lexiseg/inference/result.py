"""The result of segmenting one picture, with overlay, files and JSON."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image

from lexiseg.core.structures import PanopticMap, Segment
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.inference.result_files import Categories, ResultWriter, guesses_to_jsonable
from lexiseg.inference.visualize import legend_entries, overlay
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

    def save(self, where: str | Path) -> tuple[Path, ...]:
        """Writes an overlay and the map in COCO panoptic format, atomically.

        Args:
            where: an existing folder; or a prefix: "out/cat" gives `out/cat.overlay.png`,
                `out/cat.panoptic.png` and `out/cat.panoptic.json`.

        Returns:
            The files in this order.

        Raises:
            ValueError: if they can't be written.
        """
        where = Path(where)
        folder, name = (where, self.name) if where.is_dir() else (where.parent, where.name)
        document = f"{name}.panoptic.json"
        with ResultWriter(folder, Categories.of(self.vocabulary), document=document) as writer:
            # not `cat.png`, as the command line does in a folder of its own: that may be the picture itself
            files = writer.add(
                self.panoptic,
                stem=name,
                overlay=self.overlay(),
                picture_name=str(self.source or self.name),
                map_name=f"{name}.panoptic.png",
            )
        return (*files, folder / document)

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
        found = ", ".join(
            f"{entry.name} {entry.score:.2f}" + (f" ×{entry.count}" if entry.count > 1 else "")
            for entry in legend_entries(self.panoptic)
        )
        return f"<Result {self.name}: {width} x {height} pixels, {found or 'nothing found'}>"


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

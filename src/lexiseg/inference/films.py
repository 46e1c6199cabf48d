"""Videos of the overlays of a video's frames."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from PIL import Image

from lexiseg.core.errors import PictureError
from lexiseg.core.messages import printable
from lexiseg.core.picture_files import OVERLAY_MARK
from lexiseg.inference.source import Origin, frame_of
from lexiseg.inference.video import facts_of, frames_of, write_video
from lexiseg.inference.visualize import drawing_size


def write_film(folder: Path, video: Origin, every: int) -> Path | None:
    """Joins the overlays that a folder has of a video's frames to a video, without their legends.

    Args:
        folder: of the results.
        video: whose frames they are of.
        every: of its frames, so many-th were taken.

    Returns:
        The file; None if there are no overlays.

    Raises:
        ValueError: if it can't be written, or the video can't be read any more.
    """
    ending = f"{OVERLAY_MARK}.png"
    names = (path.name.removesuffix(ending) for path in folder.iterdir() if path.name.endswith(ending))
    frames = sorted((number, name) for name in names for stem, number in [frame_of(name)] if stem == video.name)
    if video.file is None or not frames:
        return None
    height, width = drawing_size(*_size_of(video.file))

    def drawings() -> Iterator[Image.Image]:
        for _, name in frames:
            with Image.open(folder / f"{name}{ending}") as overlay:
                yield overlay.crop((0, 0, width, height))  # the legend lies below, or at the right

    target = folder / f"{video.name}{OVERLAY_MARK}.mp4"
    write_video(target, drawings(), facts_of(video.file).rate / every)
    return target


def _size_of(path: Path) -> tuple[int, int]:
    """Height and width of the first frame that can be opened."""
    for frame in frames_of(path):
        with suppress(PictureError):
            return frame.open().shape[:2]
    raise PictureError(f"{printable(path)} has no frames that can be opened any more.")

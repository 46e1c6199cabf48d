"""Videos of the overlays of a video's frames."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from PIL import Image

from lexiseg.core.errors import PictureError
from lexiseg.core.messages import printable
from lexiseg.core.picture_files import OVERLAY_MARK, film_name, frame_of
from lexiseg.inference.source import Origin
from lexiseg.inference.video import facts_of, frames_of, write_video
from lexiseg.inference.visualize import drawing_size


def film_of(folder: Path, video: Origin) -> Path:
    """Where the overlays of a video's frames are joined to a video."""
    return folder / film_name(video.name)


def write_film(folder: Path, video: Origin, every: int, report: Callable[[int, int], None]) -> bool:
    """Joins the overlays that a folder has of a video's frames to a video, without their legends.

    Args:
        folder: of the results.
        video: whose frames they are of.
        every: of its frames, every so many-th was taken.
        report: called with the number of frames that are done and of all.

    Returns:
        Whether there are overlays.

    Raises:
        ValueError: if it can't be written, or the video can't be read any more.
    """
    ending = f"{OVERLAY_MARK}.png"
    names = (path.name.removesuffix(ending) for path in folder.iterdir() if path.name.endswith(ending))
    frames = sorted((number, name) for name in names for stem, number in [frame_of(name)] if stem == video.name)
    if video.file is None or not frames:
        return False
    height, width = drawing_size(*_size_of(video.file))

    def drawings() -> Iterator[Image.Image]:
        for place, (_, name) in enumerate(frames):
            report(place, len(frames))
            with Image.open(folder / f"{name}{ending}") as overlay:
                yield overlay.crop((0, 0, width, height))  # the legend lies below, or at the right

    write_video(film_of(folder, video), drawings(), facts_of(video.file).rate / every)
    return True


def _size_of(path: Path) -> tuple[int, int]:
    """Height and width of the first frame that can be opened."""
    for frame in frames_of(path):
        with suppress(PictureError):
            return frame.open().shape[:2]
    raise PictureError(f"{printable(path)} has no frames that can be opened any more.")

"""Frames of videos, one after the other, and videos of drawings: the only door to PyAV (the extra `video`)."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from lexiseg.core.errors import PictureError
from lexiseg.core.files import open_regular, replacing, writing
from lexiseg.core.messages import printable

CONTAINERS = "asf,avi,flv,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mpeg,mpegts,ogg"
"""What is opened, by FFmpeg's names; it also knows lists of files and addresses, and a stranger's file may be one."""
MOST_PIXELS = 120_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A frame of a video."""

    number: int
    """From 0, counting every frame."""
    open: Callable[[], UInt8[np.ndarray, "H W 3"]]
    """Gives it as RGB bytes, upright; raises a PictureError if it is damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFacts:
    """What a video's file says of it."""

    num_frames: int | None
    """None where it doesn't."""
    rate: Fraction
    """Frames in a second."""


def facts_of(path: Path) -> VideoFacts:
    """What a video's file says before its frames, which may be wrong.

    Raises:
        PictureError: if it can't be opened.
    """
    with _opened(path) as (container, stream):
        rate = stream.average_rate or stream.base_rate or Fraction(25)
        return VideoFacts(num_frames=_expected(container, stream, rate), rate=rate)


def frames_of(path: Path) -> Iterator[Frame]:
    """The frames of a video in their order; one of them alone is in memory.

    A frame that is damaged raises when it is opened, and those behind it follow.

    Raises:
        PictureError: if the file is no video, is too large or damaged, or when it breaks off.
    """
    name, number = printable(path), 0
    with _opened(path) as (container, stream):
        for packet in _packets(container, stream, name):
            try:
                decoded = packet.decode()
            except Exception:  # a decoder of untrusted bytes may raise anything
                yield Frame(number=number, open=partial(_refuse, name, number))
                number += 1
                continue
            for frame in decoded:
                yield Frame(number=number, open=partial(_open, frame, name, number))
                number += 1
        is_told = stream.frames or len(container.streams) == 1  # or else a duration may be that of the sound
        expected = (is_told and _expected(container, stream, stream.average_rate)) or 0
    # a little is missing of many files that play well, as durations are rounded
    if number == 0 or number < 0.95 * expected - 1:
        least = f" of about {expected}" if expected else ""
        raise PictureError(f"{name} breaks off after {number}{least} frames; copy or download it again.")


def write_video(target: Path, pictures: Iterable[Image.Image], rate: Fraction) -> None:
    """Writes pictures as the frames of an mp4 (H.264; MPEG-4 where that is missing), atomically.

    Args:
        target: the file.
        pictures: the first one decides on the size, which others are given, too; at least one.
        rate: frames in a second.

    Raises:
        ValueError: if it can't be written.
    """
    av = _library(target)
    try:
        codec = av.codec.Codec("libx264", "w").name
    except ValueError:
        codec = "mpeg4"
    rate = Fraction(min(max(rate, 1), 240)).limit_denominator(1001)  # what MPEG-4 takes
    with (
        writing(target, ValueError, av.FFmpegError),
        replacing(target) as hidden,
        av.open(str(hidden), "w", format="mp4") as container,
    ):
        stream: Any = None
        for picture in pictures:
            if stream is None:
                stream = container.add_stream(codec, rate=rate)
                # both codecs take even sizes alone
                stream.width, stream.height = (side + side % 2 for side in picture.size)
                stream.pix_fmt = "yuv420p"
                stream.codec_context.thread_count = 1  # with more, the same pictures are not always the same bytes
            if picture.size != (stream.width, stream.height):
                picture = picture.resize((stream.width, stream.height))
            container.mux(stream.encode(av.VideoFrame.from_image(picture.convert("RGB"))))
        container.mux(stream.encode())


@contextmanager
def _opened(path: Path) -> Generator[tuple[Any, Any], None, None]:
    """A video's container and its pictures' stream."""
    name, av = printable(path), _library(path)
    try:
        file = open_regular(path)
    except OSError as error:
        raise PictureError(f"{name} can't be read ({error.strerror}); give a file that can.") from error
    with file:
        try:
            container = av.open(file, options={"format_whitelist": CONTAINERS})
        except Exception as error:  # a reader of untrusted bytes may raise anything
            raise PictureError(
                f"{name} is no video that can be read, or is damaged or cut off; give an MP4, MOV, MKV, WebM or AVI, "
                "or copy it again."
            ) from error
        with container:
            if not container.streams.video:
                raise PictureError(f"{name} has sound and no pictures; give a video that has.")
            stream = container.streams.video[0]
            _check_size(name, stream.codec_context.width, stream.codec_context.height)
            yield container, stream


def _packets(container: Any, stream: Any, name: str) -> Iterator[Any]:
    try:
        yield from container.demux(stream)
    except Exception as error:  # a reader of untrusted bytes may raise anything
        raise PictureError(f"{name} can't be read to its end; copy or download it again.") from error


def _open(frame: Any, name: str, number: int) -> UInt8[np.ndarray, "H W 3"]:
    _check_size(name, frame.width, frame.height)
    try:
        picture = frame.to_ndarray(format="rgb24")
    except Exception as error:
        raise _damage(name, number) from error
    # FFmpeg counts a turn counter-clockwise, as numpy does
    return np.ascontiguousarray(np.rot90(picture, round(frame.rotation / 90)))


def _refuse(name: str, number: int) -> UInt8[np.ndarray, "H W 3"]:
    raise _damage(name, number)


def _damage(name: str, number: int) -> PictureError:
    return PictureError(f"frame {number} of {name} is damaged; copy or download the video again.")


def _check_size(name: str, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise PictureError(
            f"{name} is too large ({width} x {height}, the limit is {MOST_PIXELS:,} pixels); make it smaller first."
        )


def _expected(container: Any, stream: Any, rate: Fraction | None) -> int | None:
    """How many frames a file says that it has."""
    if stream.frames:
        return stream.frames
    seconds = (container.duration or 0) / 1e6
    return round(seconds * rate) or None if rate else None


def _library(path: Path) -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise PictureError(
            f"{printable(path)} is a video, which PyAV opens: pip install 'lexiseg[video]', or give its frames as "
            "pictures."
        ) from error
    return av

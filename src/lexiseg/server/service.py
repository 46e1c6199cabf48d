"""The model of a server with what it works in: threads, kept pictures, uploads, counts."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lexiseg.core.images import open_picture
from lexiseg.inference.encoded import Question
from lexiseg.inference.predictor import Model, load
from lexiseg.inference.result import Result
from lexiseg.server.cache import Cache, Kept
from lexiseg.server.errors import busy
from lexiseg.server.metrics import Metrics
from lexiseg.server.served import ServedModel
from lexiseg.server.settings import Settings
from lexiseg.server.uploads import Uploads
from lexiseg.server.work import Lane

T = TypeVar("T")


class Service:
    """What the routes use.

    One thread runs the model. Two others open pictures for it, and two ask it and write answers, so that no more than
    two opened pictures and two answers are in memory at once, however many wait.
    """

    def __init__(self, settings: Settings, load_model: Callable[[], Model] | None = None) -> None:
        """Loads nothing yet.

        Args:
            settings: what the server is told.
            load_model: gives the model; that of the settings if not given.
        """
        limits = settings.limits
        self.settings = settings
        self.cache = Cache(limits.cache_bytes)
        self.uploads = Uploads(limits)
        self.metrics = Metrics()
        self._device = Lane(threads=1, most_waiting=limits.queue, seconds=limits.seconds)
        self._openers = Lane(threads=2, most_waiting=limits.queue, seconds=limits.seconds)
        self._askers = Lane(threads=2, most_waiting=limits.queue, seconds=limits.seconds)
        self._load = load_model or (lambda: load(settings.model, device=settings.device, precision=settings.precision))
        self._served: ServedModel | None = None

    @property
    def served(self) -> ServedModel:
        """The model, for the device's thread; anybody may look at what it is.

        Raises:
            RequestError: if it is still being loaded.
        """
        if self._served is None:
            raise busy("The model is still being loaded: try again in a moment.")
        return self._served

    async def prepare(self, folder: Path) -> Model:
        """Loads the model.

        Args:
            folder: the server's own, for embeddings of words.

        Raises:
            ValueError: if there is no such model, or it is damaged.
        """
        self._served = await self._device.do(lambda: ServedModel(self._load(), folder))
        return self._served.model

    async def encode(self, picture: bytes) -> tuple[str, Kept]:
        """Looks at a picture and keeps what was seen.

        Args:
            picture: the file.

        Returns:
            The handle, and what is kept.

        Raises:
            PictureError: if it can't be opened.
            RequestError: if it is too large, or the server is busy.
        """
        served, most = self.served, self.settings.limits.pixels

        def look() -> Kept:
            array = open_picture(picture, max_pixels=most)
            image, seconds = self._device.run(lambda: _timed(lambda: served.look(array)))
            return Kept(image=image, seconds=seconds)

        kept = await self._openers.do(look)
        self.metrics.encodes += 1
        return self.cache.put(kept), kept

    async def read(self, call: Callable[[], T]) -> T:
        """Does what needs no model, but too long for the thread that all requests share.

        Raises:
            RequestError: if the server is busy.
        """
        return await self._askers.do(call)

    async def answer(
        self, handle: str, kept: Kept, question: Question, write: Callable[[Result, float], bytes]
    ) -> bytes:
        """Answers a question of a picture.

        Args:
            handle: of the picture, to count its bytes anew.
            kept: the picture.
            question: its words were read before.
            write: what a result and the seconds that it took are sent as.

        Raises:
            RequestError: if the picture became too large with what the model remembers of it, or the server is busy.
        """

        def ask() -> bytes:
            result, seconds = self._device.run(lambda: _timed(lambda: kept.image.answer(question)))
            self.cache.measure(handle)
            return write(result, seconds)

        content = await self._askers.do(ask)
        self.metrics.answers += 1
        return content

    def told_metrics(self) -> str:
        """Counts, times and what is measured now, as Prometheus reads them."""
        return self.metrics.text(
            {
                "queue_length": ("Calls that wait or run.", len(self._openers) + len(self._askers)),
                "cache_bytes": ("Bytes of kept pictures.", self.cache.bytes),
                "cache_pictures": ("Kept pictures.", len(self.cache)),
                "upload_bytes": ("Bytes of bodies in memory.", self.uploads.held),
                "ready": ("Whether the model is loaded.", self._served is not None),
            }
        )

    def close(self) -> None:
        """Ends the threads once they are done; nobody waits for them."""
        for lane in (self._openers, self._askers, self._device):
            lane.close()


def _timed(call: Callable[[], T]) -> tuple[T, float]:
    """What a call gives, and its seconds."""
    began = time.perf_counter()
    return call(), time.perf_counter() - began

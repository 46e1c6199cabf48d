"""The model of a server with what it works in: threads, kept pictures, uploads, counts."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

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
from lexiseg.server.work import PATIENCE, Lane

HANDS = 4
"""Threads beside the model's."""


class Service:
    """What the routes use.

    One thread runs the model. A few others do all else that takes long, each for one request: they read it, open its
    picture, wait for the model, and write the answer. No more pictures and answers than threads are in memory at once,
    however many requests wait.
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
        self.hands = Lane(threads=HANDS, most_waiting=limits.queue, seconds=limits.seconds)
        self._device = Lane(threads=1, most_waiting=HANDS, seconds=limits.seconds)
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

    def look(self, picture: bytes, gone: threading.Event) -> tuple[str, Kept]:
        """Looks at a picture and keeps what was seen; for a thread of `hands`.

        Args:
            picture: the file.
            gone: set once nobody awaits the answer, so that the model is spared.

        Returns:
            The handle, and what is kept.

        Raises:
            PictureError: if it can't be opened.
            RequestError: if it is too large, or the model is not loaded or does not come to it in time.
        """
        served, array = self.served, open_picture(picture, max_pixels=self.settings.limits.pixels)

        def run() -> Kept:
            began = time.perf_counter()
            image = served.look(array)
            self.metrics.encodes += 1
            return Kept(image=image, seconds=time.perf_counter() - began)

        kept = self._device.run(run, gone)
        return self.cache.put(kept), kept

    def ask(self, handle: str, kept: Kept, question: Question, gone: threading.Event) -> tuple[Result, float]:
        """Asks the model of a picture; for a thread of `hands`.

        Args:
            handle: of the picture, whose bytes are counted anew.
            kept: the picture.
            question: its words are read already.
            gone: set once nobody awaits the answer, so that the model is spared.

        Returns:
            The answer, and the seconds that it took.

        Raises:
            RequestError: if the model does not come to it in time, or the picture became too large with what the model
                remembers of it.
        """

        def run() -> tuple[Result, float]:
            began = time.perf_counter()
            result = kept.image.answer(question)
            self.metrics.answers += 1
            return result, time.perf_counter() - began

        answer = self._device.run(run, gone)
        self.cache.measure(handle)
        return answer

    def told_metrics(self) -> str:
        """Counts, times and what is measured now, as Prometheus reads them."""
        return self.metrics.text(
            {
                "queue_length": ("Calls that wait or run.", len(self.hands)),
                "cache_bytes": ("Bytes of kept pictures.", self.cache.bytes),
                "cache_pictures": ("Kept pictures.", len(self.cache)),
                "upload_bytes": ("Bytes of bodies in memory.", self.uploads.held),
                "ready": ("Whether the model is loaded.", self._served is not None),
            }
        )

    def close(self) -> None:
        """Ends the threads; the model's first, for which the others wait."""
        deadline = time.monotonic() + PATIENCE
        for lane in (self._device, self.hands):
            lane.close(deadline - time.monotonic())

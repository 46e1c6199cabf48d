"""The model of a server with what it works in: lanes of threads, kept pictures, uploads, counts."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lexiseg.core.images import open_picture
from lexiseg.inference.predictor import Model, load
from lexiseg.server.answers import PNG, ZIP, as_json, as_zip, check_formats, files_of, id_map_png
from lexiseg.server.asks import SegmentRequest, question_of
from lexiseg.server.cache import Cache, Kept
from lexiseg.server.errors import busy
from lexiseg.server.metrics import Metrics
from lexiseg.server.settings import Settings
from lexiseg.server.uploads import Uploads
from lexiseg.server.work import Lane

T = TypeVar("T")


class Service:
    """What the routes use. One thread runs the model, two open pictures and write answers."""

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
        self.device = Lane("device", threads=1, most_waiting=limits.queue, seconds=limits.seconds)
        self.hands = Lane("hands", threads=2, most_waiting=limits.queue, seconds=limits.seconds)
        self._load = load_model or (lambda: load(settings.model, device=settings.device, precision=settings.precision))
        self._model: Model | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the model is loaded."""
        return self._model is not None

    @property
    def model(self) -> Model:
        """The model.

        Raises:
            RequestError: if it is still being loaded.
        """
        if self._model is None:
            raise busy("The model is still being loaded: try again in a moment.")
        return self._model

    async def prepare(self, folder: Path) -> Model:
        """Loads the model.

        Args:
            folder: the server's own, for embeddings of words.

        Raises:
            ValueError: if there is no such model, or it is damaged.
        """
        self._model = await self.device.do(self._load)
        return self._model

    async def encode(self, picture: bytes) -> tuple[str, Kept]:
        """Looks at a picture and keeps what was seen.

        Returns:
            The handle, and what is kept.

        Raises:
            PictureError: if it can't be opened.
            RequestError: if it is too large, or the server is busy.
        """
        model, most = self.model, self.settings.limits.pixels
        array = await self.hands.do(lambda: open_picture(picture, max_pixels=most))

        image, seconds = await self.device.do(lambda: _timed(lambda: model.encode_image(array)))
        kept = Kept(image=image, seconds=seconds)
        self.metrics.encodes += 1
        return self.cache.put(kept), kept

    async def answer(self, request: SegmentRequest, picture: bytes | None, media: str) -> bytes:
        """Answers a question of a picture that is kept, or of one that is sent with it.

        Args:
            request: the question.
            picture: a picture file, in place of the request's handle.
            media: what the answer is to be.

        Raises:
            PictureError: if the picture can't be opened.
            VocabularyError: if the words make no vocabulary.
            RequestError: if the picture is not kept any more, something is too large, or the server is busy.
        """
        model, limits = self.model, self.settings.limits
        if media == ZIP:
            check_formats(request.formats)
        kept = None if request.handle is None else self.cache.get(request.handle)
        question = await self.hands.do(lambda: question_of(request, model, limits))
        handle = request.handle
        if kept is None or handle is None:
            handle, kept = await self.encode(picture or b"")
        result, seconds = await self.device.do(lambda: _timed(lambda: kept.image.answer(question)))
        self.cache.measure(handle)
        self.metrics.answers += 1

        def dressed() -> bytes:
            if media == PNG:
                return id_map_png(result.segmentation)
            if media == ZIP:
                return as_zip(files_of(result, request.formats, "picture"))
            times = {"encode": round(kept.seconds, 4), "answer": round(seconds, 4)}
            return as_json(result, handle=handle, model=model.name, seconds=times)

        return await self.hands.do(dressed)

    def told_metrics(self) -> str:
        """Counts, times and what is measured now, as Prometheus reads them."""
        return self.metrics.text(
            {
                "queue_length": ("Calls that wait for the model or run.", self.device.inside),
                "cache_bytes": ("Bytes of kept pictures.", self.cache.bytes),
                "cache_pictures": ("Kept pictures.", len(self.cache)),
                "upload_bytes": ("Bytes of bodies in memory.", self.uploads.held),
                "ready": ("Whether the model is loaded.", self.is_ready),
            }
        )

    def close(self) -> None:
        """Waits for what runs."""
        self.hands.close()
        self.device.close()


def _timed(call: Callable[[], T]) -> tuple[T, float]:
    """What a call gives, and its seconds."""
    began = time.perf_counter()
    return call(), time.perf_counter() - began

"""The routes under /v1 and those that tell how the server is."""

import asyncio
from collections.abc import Callable
from threading import Event
from typing import TypeVar

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, Response

from lexiseg.core.vocabulary import Vocabulary, builtin_names, builtin_source
from lexiseg.inference.formats import FORMATS, files_of, known_formats
from lexiseg.io.models import MODELS
from lexiseg.server.answers import (
    PNG,
    ZIP,
    as_json,
    as_zip,
    id_map_png,
    media_type_of,
    words_to_jsonable,
)
from lexiseg.server.asks import SegmentRequest, question_of, read_request, request_schema
from lexiseg.server.errors import RequestError
from lexiseg.server.examples import EXAMPLES, SIZE, example_png
from lexiseg.server.service import Service
from lexiseg.server.uploads import parts_of
from lexiseg.server.work import Lane

T = TypeVar("T")

DRAWN_WORLD = "It knows the drawn world of the examples alone; photographs need other weights."
_PICTURE = {"type": "string", "format": "binary"}
_BODIES = {
    "encode": {
        "multipart/form-data": {
            "schema": {"type": "object", "required": ["picture"], "properties": {"picture": _PICTURE}}
        }
    },
    "segment": {
        "application/json": {"schema": request_schema()},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["picture", "request"],
                "properties": {"picture": _PICTURE, "request": {"type": "string", "description": "The JSON above."}},
            }
        },
    },
}
"""What routes take, for /openapi.json; they read it themselves, within limits."""


def routes(service: Service) -> APIRouter:
    """All routes but the page.

    Args:
        service: what answers.
    """
    router = APIRouter()
    limits = service.settings.limits

    @router.post("/v1/encode", openapi_extra={"requestBody": {"content": _BODIES["encode"], "required": True}})
    async def encode(request: Request) -> Response:
        """Looks at a picture once, for any number of questions.

        Takes a file in the field `picture`. Answers `handle`, 32 hexadecimal digits that stand for the picture until it
        is forgotten (410); `width` and `height` in pixels; and the `seconds` that the model took.
        """
        async with service.uploads.body(request) as body:
            handle, kept = await _unless_gone(
                request, service.hands, lambda gone: service.look(_parts(request, body, "picture")["picture"], gone)
            )
        height, width = kept.image.size
        return JSONResponse({"handle": handle, "width": width, "height": height, "seconds": round(kept.seconds, 4)})

    @router.post("/v1/segment", openapi_extra={"requestBody": {"content": _BODIES["segment"], "required": True}})
    async def segment(request: Request) -> Response:
        """Finds words in a picture.

        Takes JSON with a handle; or a picture in the field `picture` and JSON without a handle in the field `request`.
        Answers, by the header Accept, `application/json`: `handle`, `model`, `seconds`, `score_threshold` (the model's
        own where none was asked for), `width`, `height`; `segments`, best first, each with `id`, `name`, `score`,
        `is_thing`, `area` in pixels, `box` (x, y, width, height), `guesses` and `path` (names with scores); `words` as
        they were read; and `id_map`, a PNG in base64. `image/png`: that PNG, whose pixels are ids,
        R + 256 G + 65536 B, 0 where there is no segment. `application/zip`: the files of `formats`.
        """
        media = media_type_of(request.headers.get("accept", ""))
        async with service.uploads.body(request) as body:
            content = await _unless_gone(
                request, service.hands, lambda gone: _answer(service, request, body, media, gone)
            )
        return Response(content, media_type=media, headers={"Vary": "Accept"})

    @router.get("/v1/models")
    async def models() -> Response:
        """The model that answers: its name, size, device, and the words that it was trained with."""
        model = service.served.model
        network = model.network
        one = {
            "name": model.name,
            "system": next(name for name, (_, kind) in MODELS.items() if isinstance(network, kind)),
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "device": str(model.device),
            "trained_on": network.training_vocabulary.names,
            "is_shipped": model.is_shipped,
            "note": DRAWN_WORLD if model.is_shipped else "",
        }
        return JSONResponse({"models": [one]})

    @router.get("/v1/vocabularies")
    def vocabularies() -> Response:
        """The built-in lists of words."""
        listed = [
            {"name": name, "says": builtin_source(name), "words": len(Vocabulary.of(name))} for name in builtin_names()
        ]
        return JSONResponse({"vocabularies": listed})

    @router.get("/v1/vocabularies/{name}")
    def vocabulary(name: str) -> Response:
        """The words of a built-in list."""
        if name not in builtin_names():
            raise RequestError(404, f"There is no such list: there are {', '.join(builtin_names())}.")
        return JSONResponse({"name": name, "words": words_to_jsonable(Vocabulary.of(name))})

    @router.get("/v1/examples")
    async def examples() -> Response:
        """Drawn scenes to try, with the words of what they show."""
        height, width = SIZE
        listed = [
            {"name": name, "width": width, "height": height, "words": example.words.split(", ")}
            for name, example in EXAMPLES.items()
        ]
        return JSONResponse({"examples": listed})

    @router.get("/v1/examples/{name}")
    def example(name: str) -> Response:
        """A drawn scene as a PNG."""
        if name not in EXAMPLES:
            raise RequestError(404, f"There is no such example: there are {', '.join(EXAMPLES)}.")
        return Response(example_png(name), media_type="image/png", headers={"Cache-Control": "max-age=86400"})

    @router.get("/v1/formats")
    async def formats() -> Response:
        """The files that an archive may hold."""
        return JSONResponse({"formats": [{"name": name, "says": one.says} for name, one in FORMATS.items()]})

    @router.get("/v1/limits")
    async def told_limits() -> Response:
        """What a request may hold at most: `bytes`; `pixels` of a picture; `words`, with `letters` each."""
        return JSONResponse({name: getattr(limits, name) for name in ("bytes", "pixels", "words", "letters")})

    @router.get("/healthz")
    async def alive() -> Response:
        """Whether the server lives, 200."""
        return JSONResponse({"status": "alive"})

    @router.get("/readyz")
    async def ready() -> Response:
        """Whether the model is loaded: 200, or 503 before."""
        return JSONResponse({"status": "ready", "model": service.served.model.name})

    @router.get("/metrics")
    async def metrics() -> Response:
        """Counts and times, as Prometheus reads them."""
        return PlainTextResponse(service.told_metrics(), media_type="text/plain; version=0.0.4")

    return router


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _answer(service: Service, request: Request, body: bytearray, media: str, gone: Event) -> bytes:
    """Answers what a body asks; all that can be refused is refused before the model is asked."""
    served = service.served
    asked, picture = _asked(request, body)
    if media == ZIP:
        if not asked.formats:
            raise RequestError(422, f'"formats" is missing: name some of {", ".join(FORMATS)}.')
        known_formats(asked.formats)
    question = question_of(asked, served, service.settings.limits)
    if picture is None:
        handle = str(asked.handle)
        kept = service.cache.get(handle)
    else:
        handle, kept = service.look(picture, gone)
    result, seconds = service.ask(handle, kept, question, gone)
    if media == PNG:
        return id_map_png(result.segmentation)
    if media == ZIP:
        try:
            return as_zip(files_of(result, asked.formats, "picture"))
        except ValueError as error:  # a format that takes fewer words
            raise RequestError(422, str(error)) from error
    times = {"encode": round(kept.seconds, 4), "answer": round(seconds, 4)}
    about = {"handle": handle, "model": served.model.name, "seconds": times}
    return as_json(result, **about, score_threshold=question.merge.score_threshold)


def _asked(request: Request, body: bytearray) -> tuple[SegmentRequest, bytes | None]:
    """What is asked, and the picture that was sent with it."""
    picture, text = None, bytes(body)
    if _content_type(request) != "application/json":
        parts = _parts(request, body, "picture", "request")
        picture, text = parts["picture"], parts["request"]
    asked = read_request(text)
    if (asked.handle is None) == (picture is None):
        raise RequestError(422, "Expected either a handle, or a picture in multipart/form-data.")
    return asked, picture


def _parts(request: Request, body: bytearray, *names: str) -> dict[str, bytes]:
    """The fields of a body that must be multipart."""
    if _content_type(request) != "multipart/form-data":
        raise RequestError(415, "Expected multipart/form-data with a picture, or JSON with a handle: see /docs.")
    parts = parts_of(body, request.headers["content-type"])
    if parts.keys() != set(names):
        raise RequestError(422, f"Expected {' and '.join(names)} as field{'s'[: len(names) - 1]}, and nothing else.")
    return parts


async def _unless_gone(request: Request, lane: Lane, call: Callable[[Event], T]) -> T:
    """Runs a call in its turn, unless the client goes away before it is done; which is what its event tells.

    Raises:
        ClientDisconnect: if it does.
    """
    gone = Event()
    working, leaving = asyncio.ensure_future(lane.do(lambda: call(gone))), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        gone.set()
        working.cancel()
        leaving.cancel()
        del working, leaving  # as in `Lane`


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

"""Bodies of requests: read within limits of bytes and time, and taken apart, all in memory."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from lexiseg.server.errors import RequestError, busy
from lexiseg.server.settings import Limits

MOST_PARTS = 8
"""Of a multipart body; the server asks for two at most."""


class Uploads:
    """The bodies that are in memory now."""

    def __init__(self, limits: Limits) -> None:
        """Holds none yet.

        Args:
            limits: on one body's bytes and seconds, and how many of the largest fit at once.
        """
        self._limits = limits
        self.held = 0
        """Bytes."""

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncGenerator[bytearray, None]:
        """Reads a body, which counts as held within the block.

        Raises:
            RequestError: if it is too large, arrives too slowly, or there is no room for it now.
        """
        limits = self._limits
        told = request.headers.get("content-length", "0")
        if not (told.isascii() and told.isdecimal()) or int(told[:20]) > limits.bytes:
            raise _too_large(limits)
        content = bytearray()
        try:
            await self._receive(request, content)
            yield content
        finally:
            self.held -= len(content)

    async def _receive(self, request: Request, content: bytearray) -> None:
        limits = self._limits
        try:
            async with asyncio.timeout(limits.body_seconds):
                async for chunk in request.stream():
                    content += chunk
                    self.held += len(chunk)
                    if len(content) > limits.bytes:
                        raise _too_large(limits)
                    if self.held > limits.bytes * limits.uploads:
                        raise busy("The server receives too much at once: try again in a moment.")
        except TimeoutError as error:
            raise RequestError(408, f"The request did not arrive within {limits.body_seconds:g} seconds.") from error


def _too_large(limits: Limits) -> RequestError:
    return RequestError(413, f"The request is larger than {limits.bytes:,} bytes: make the picture smaller.")


def parts_of(body: bytearray, content_type: str) -> dict[str, bytes]:
    """The fields of a multipart body by their names.

    Raises:
        RequestError: if it is no such body, or a name stands twice.
    """
    parts: dict[str, bytes] = {}
    head: list[bytearray] = []
    contents: list[list[memoryview]] = []
    names: list[str] = []
    ends: list[bool] = []

    def begin() -> None:
        if len(contents) >= MOST_PARTS:
            raise RequestError(400, f"A multipart body may have {MOST_PARTS} fields at most.")
        contents.append([])
        names.append("")

    def begin_header() -> None:
        head[:] = bytearray(), bytearray()

    def end_header() -> None:
        if head[0].lower() == b"content-disposition":
            names[-1] = parse_options_header(bytes(head[1]))[1].get(b"name", b"").decode("utf-8", "replace")

    callbacks: Any = {
        "on_part_begin": begin,
        "on_header_begin": begin_header,
        "on_header_field": lambda data, start, end: head[0].extend(data[start:end]),
        "on_header_value": lambda data, start, end: head[1].extend(data[start:end]),
        "on_header_end": end_header,
        "on_part_data": lambda data, start, end: contents[-1].append(memoryview(data)[start:end]),
        "on_end": lambda: ends.append(True),
    }
    try:
        parser = MultipartParser(parse_options_header(content_type)[1].get(b"boundary", b""), callbacks)
        parser.write(body)  # pyright: ignore[reportArgumentType]
        parser.finalize()
    except FormParserError:
        ends.clear()
    if not ends:
        raise RequestError(400, "The body is no multipart/form-data, or cut off: send it anew.")
    for name, content in zip(names, contents, strict=True):
        if name in parts:
            raise RequestError(400, "The body has two fields of one name: send one of them.")
        parts[name] = b"".join(content)
    return parts

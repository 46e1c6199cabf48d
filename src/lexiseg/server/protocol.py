"""HTTP connections that end when the other side is too slow, or sends what is no HTTP.

uvicorn itself limits the bytes of a request's head (64 KB) and the seconds of an idle connection (5), and nothing else.
Here a connection also ends, without an answer, if a head has not arrived `header_seconds` after the connection was made
or the head began; if the rest of a refused body still comes as long after the answer; and if less than `LEAST_RATE` of
an answer is taken meanwhile. One connection too many is answered 503.
"""

import asyncio
import json
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from lexiseg.server.settings import Limits

LEAST_RATE = 32_768
"""Bytes of a long answer that the other side must take in a second."""


class Connection(H11Protocol):
    """One connection; `limited` makes the type that uvicorn takes."""

    limits: ClassVar[Limits] = Limits()
    _reading: asyncio.TimerHandle | None = None
    _writing: asyncio.TimerHandle | None = None

    @classmethod
    def limited(cls, limits: Limits) -> type["Connection"]:
        """The type of connections with some limits."""
        return type("LimitedConnection", (cls,), {"limits": limits})

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begins to wait for a request."""
        super().connection_made(transport)
        self._read_soon()
        if len(self.connections) > self.limits.connections:
            self._answer(503, "The server has too many connections: try again in a moment.", b"retry-after: 2\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits for nothing any more."""
        self._reading = _stopped(self._reading)
        self._writing = _stopped(self._writing)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes what comes; once a head is whole, the application limits the time of its body."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            if self.cycle is not None and not self.cycle.response_complete:
                self._reading = _stopped(self._reading)
        elif self._reading is None:
            self._read_soon()

    def on_response_complete(self) -> None:
        """Lets the other side have what was written, and send the rest of its body, for a while."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
            self._read_soon()

    def pause_writing(self) -> None:
        """Waits until the other side takes more of an answer."""
        super().pause_writing()
        self._taken_soon()

    def resume_writing(self) -> None:
        """Goes on writing."""
        self._writing = _stopped(self._writing)
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no HTTP, unless an answer has begun."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._answer(400, "This is no request of HTTP/1.1.")
        else:
            self.transport.close()

    def _answer(self, status: int, sentence: str, headers: bytes = b"") -> None:
        body = json.dumps({"error": sentence}).encode()
        head = b"HTTP/1.1 %d \r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n"
        self.transport.write(head % (status, len(body)) + headers + b"\r\n" + body)
        self.transport.close()

    def _read_soon(self) -> None:
        _stopped(self._reading)
        self._reading = self.loop.call_later(self.limits.header_seconds, self.transport.abort)

    def _taken_soon(self) -> None:
        """Looks again later whether enough was taken, and goes on so until little is left."""
        seconds, size = self.limits.header_seconds, self.transport.get_write_buffer_size

        def look(before: int) -> None:
            if size() > before - seconds * LEAST_RATE:
                self.transport.abort()
            else:
                self._taken_soon()

        self._writing = self.loop.call_later(seconds, look, size())


def _stopped(timer: asyncio.TimerHandle | None) -> None:
    """Stops a timer; what to write in its place."""
    if timer is not None:
        timer.cancel()

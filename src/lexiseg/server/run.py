"""Serving: the socket, uvicorn, and an end that leaves nobody without an answer."""

import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from lexiseg.core.errors import UsageError
from lexiseg.inference.predictor import Model
from lexiseg.server.app import create_app
from lexiseg.server.protocol import Connection
from lexiseg.server.settings import Limits, Settings

GRACE = 30
"""Seconds for requests that are under way when the server is stopped."""


def serve(settings: Settings, tell: Callable[[str, Model], None]) -> None:
    """Serves until the process is asked to end: by SIGTERM, after which it returns, or by SIGINT.

    Args:
        settings: what the server is told.
        tell: called with the address and the model once that is loaded.

    Raises:
        UsageError: if the address can't be had.
        ValueError: if there is no such model, or it is damaged.
        KeyboardInterrupt: after SIGINT, once requests under way are answered.
    """
    failures: list[Exception] = []

    def loaded(found: Model | Exception) -> None:
        if isinstance(found, Exception):
            failures.append(found)
            server.should_exit = True
        else:
            logging.getLogger("lexiseg.models").setLevel(logging.ERROR)  # notes on words are none of the operator's
            tell(address, found)

    with listen(settings.host, settings.port) as listening:
        address = address_of(listening)
        server = server_of(create_app(settings, on_loaded=loaded), settings.limits)
        before = signal.signal(signal.SIGTERM, _end)
        try:
            server.run(sockets=[listening])
        except _Ended:
            pass
        finally:
            signal.signal(signal.SIGTERM, before)
    if failures:
        raise failures[0]


def server_of(app: FastAPI, limits: Limits) -> uvicorn.Server:
    """What serves an application by HTTP/1.1, within limits.

    Args:
        app: the application.
        limits: on connections.
    """
    for name in ("uvicorn", "python_multipart"):
        logging.getLogger(name).setLevel(logging.ERROR)  # that strangers send nonsense is no news
    config = uvicorn.Config(
        app,
        http=Connection.limited(limits),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """Listens at an address.

    Args:
        host: its name or number.
        port: 0 takes a free one.

    Raises:
        UsageError: if it can't be had.
    """
    failure: OSError | None = None
    try:
        for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            try:
                listening = socket.create_server(address, family=family, backlog=256)
            except OSError as error:
                failure = failure or error
            else:
                # Connections inherit it. Without it the body of an answer waits 40 ms for the client to confirm the
                # headers: asyncio sets it for none but sockets that name their protocol, as create_server's do not.
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return listening
    except OSError as error:  # there is no such name
        failure = error
    reason = str(failure and failure.strerror).partition(" (while")[0]
    raise UsageError(
        f"the address {host} with port {port} can't be had ({reason}): give another --port, such as 0 for a free one, "
        "or another --host."
    ) from failure


def address_of(listening: socket.socket) -> str:
    """Where a browser on this machine finds a socket."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # all of this machine's
        host = "localhost"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class _Ended(BaseException):
    """SIGTERM has come, and uvicorn has ended for it."""


def _end(_: int, __: FrameType | None) -> None:
    raise _Ended

"""Serving: the socket, uvicorn, and an end that leaves nobody without an answer."""

import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from lexiseg.core.errors import UsageError
from lexiseg.inference.predictor import Model
from lexiseg.server.app import create_app
from lexiseg.server.settings import Settings

GRACE = 30
"""Seconds for answers to requests that are under way when the server is stopped."""


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
            tell(address, found)

    with _socket(settings.host, settings.port) as listening:
        address = address_of(listening)
        app = create_app(settings, on_loaded=loaded)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE,
            )
        )
        logging.getLogger("uvicorn").setLevel(logging.ERROR)  # that strangers send nonsense is no news
        before = signal.signal(signal.SIGTERM, _end)
        try:
            server.run(sockets=[listening])
        except _Ended:
            pass
        finally:
            signal.signal(signal.SIGTERM, before)
    if failures:
        raise failures[0]


class _Ended(BaseException):
    """SIGTERM has come, and uvicorn has ended for it."""


def _end(_: int, __: FrameType | None) -> None:
    raise _Ended


def _socket(host: str, port: int) -> socket.socket:
    """Listens at an address.

    Raises:
        UsageError: if it can't be had.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=256)
    except OSError as error:
        raise UsageError(
            f"the address {host} with port {port} can't be had ({error.strerror}): give another --port, such as 0 for "
            "a free one, or another --host."
        ) from error


def address_of(listening: socket.socket) -> str:
    """Where a browser finds a socket."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"

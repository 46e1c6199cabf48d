"""A server for tests: by uvicorn in a thread, at a free port, and raw bytes to it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import torch

from lexiseg.server.app import create_app
from lexiseg.server.run import listen, server_of
from lexiseg.server.settings import Settings


def loading(model: Any) -> Callable[[], Any]:
    """What gives a model to a server, whose thread computes with one thread as tests do: torch keeps that by thread."""

    def load() -> Any:
        torch.set_num_threads(1)
        return model

    return load


@contextmanager
def running(settings: Settings, model: Any) -> Iterator[httpx.Client]:
    """Serves a model, and ends.

    Yields:
        A client of it, whose `base_url` has the port.
    """
    server = server_of(create_app(settings, load_model=loading(model)), settings.limits)
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                while client.get("/readyz").status_code != 200:
                    time.sleep(0.01)
                yield client
        finally:
            server.should_exit = True
            thread.join()


def head(path: str, *lines: str, method: str = "POST") -> bytes:
    """The head of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def send(client: httpx.Client, *pieces: bytes, pause: float = 0.0, wait: float = 10.0) -> bytes:
    """Sends raw bytes, piece by piece; all that comes back until the server closes, or nothing comes for a while."""
    answer = bytearray()

    def read() -> None:
        with suppress(ConnectionError, TimeoutError):
            while received := connection.recv(65_536):
                answer.extend(received)

    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=wait) as connection:
        reading = threading.Thread(target=read)
        reading.start()
        with suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
        reading.join()
    return bytes(answer)
